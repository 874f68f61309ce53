"""What a mover does about queues in which nothing happens: counted in commands, not timed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from redsched.engine.mover import sweeps
from redsched.engine.mover.known_queues import KnownQueues
from redsched.engine.mover.standing import Standing
from redsched.engine.mover.sweeps import Sweeps
from redsched.engine.observer import Silent
from tests.support.movers import eventually, is_ready, quiet, running, tracking_clients, write_raw
from tests.support.workers import Site, site_on

MANY = 700


@pytest.fixture(params=["valkey", "redis", "redis8"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


def calls(site: Site, *commands: str) -> int:
    """How often clients, or scripts, have sent these commands."""
    stats = site.store.redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for command in commands)


def over(site: Site, count: int = MANY) -> list[str]:
    """Queues that are listed, and of which nothing is left."""
    names = [f"over{number}" for number in range(count)]
    site.store.redis.sadd(site.store.key("queues"), *names)
    return names


def sweeper(site: Site, client: Any, names: list[str], *, acting: bool = True) -> Sweeps:
    """The sweeps of a mover that knows these queues."""
    standing = Standing(acting=acting)
    standing.hear_clock(site.store.now_ms(), asyncio.get_running_loop().time())
    return Sweeps(client, KnownQueues(client.cell, names), standing, Silent())


def end_one(site: Site, queue: str) -> None:
    """A task of a queue whose retention is over, and that is noted as due."""
    ended = site.client.enqueue("note", queue=queue, retention=timedelta(milliseconds=1), delay="1h")
    site.client.cancel(ended.id, queue=queue)
    site.store.redis.zadd(site.store.key("sweeps"), {queue: site.store.now_ms() - 1_000})


def test_of_many_queues_a_look_sweeps_those_that_are_due_and_a_few_of_the_others(site: Site) -> None:
    names = over(site)
    end_one(site, names[-1])

    async def main() -> None:
        async with site.store.async_client() as client:
            mine = sweeper(site, client, names)
            await mine.step()  # the first one looks which library there is
            before = calls(site, "fcall")
            for _ in range(10):
                assert await mine.step() == sweeps.EVERY
            assert calls(site, "fcall") - before == 10

    asyncio.run(main())
    assert not site.store.redis.exists(site.store.key(f"finished:{names[-1]}"))


def test_each_queue_is_swept_once_an_hour_though_nobody_notes_it(site: Site) -> None:
    names = over(site)

    async def main() -> None:
        async with site.store.async_client() as client:
            mine = sweeper(site, client, names)
            for _ in range(360):
                await mine.step()

    asyncio.run(main())
    assert site.store.redis.zcard(site.store.key("sweeps")) == len(names)


def test_a_mover_that_stands_by_sweeps_only_what_is_late(site: Site) -> None:
    end_one(site, "late")
    end_one(site, "due")
    site.store.redis.zadd(site.store.key("sweeps"), {"late": site.store.now_ms() - 60_000})

    async def main() -> None:
        async with site.store.async_client() as client:
            await sweeper(site, client, over(site), acting=False).step()

    asyncio.run(main())
    assert site.store.redis.exists(site.store.key("finished:late"), site.store.key("finished:due")) == 1
    assert site.store.redis.exists(site.store.key("finished:due"))


def test_more_queues_than_one_look_tells_are_swept_without_a_pause(site: Site) -> None:
    names = over(site)
    site.store.redis.zadd(site.store.key("sweeps"), dict.fromkeys(names, 1))

    async def main() -> None:
        async with site.store.async_client() as client:
            mine = sweeper(site, client, [])
            assert [await mine.step() for _ in range(3)] == [sweeps.AGAIN, sweeps.AGAIN, sweeps.EVERY]

    asyncio.run(main())
    assert not site.store.redis.zcount(site.store.key("sweeps"), "-inf", site.store.now_ms())


@pytest.mark.parametrize("garbage", ["set", "members"])
def test_what_somebody_else_wrote_there_stops_no_sweep(site: Site, garbage: str) -> None:
    end_one(site, "good")
    if garbage == "set":
        site.store.redis.delete(site.store.key("sweeps"))
        site.store.redis.sadd(site.store.key("sweeps"), "mine")
    else:
        members = {f"no name {number}": -1e300 for number in range(300)} | {"inf": "+inf", "\x00": "-inf"}
        site.store.redis.zadd(site.store.key("sweeps"), members)

    async def main() -> None:
        async with site.store.async_client() as client:
            mine = sweeper(site, client, ["good"])
            for _ in range(3):
                await mine.step()

    asyncio.run(main())
    assert not site.store.redis.exists(site.store.key("finished:good"))


def test_an_empty_queue_has_no_timer(site: Site) -> None:
    over(site, 40)

    async def main() -> None:
        async with running(site.settings()) as mover:
            write_raw(site.store, "waits", site.store.now_ms() + 3_600_000, "busy")
            await eventually(lambda: "busy" in mover.promotions.timers.queues)
            await quiet(mover)

            assert mover.promotions.timers.queues == {"busy"}

    asyncio.run(main())


def test_only_the_acting_mover_scans_also_when_its_tracking_connection_is_lost(site: Site) -> None:
    write_raw(site.store, "raw", queue="unlisted")
    over(site, 1)

    async def main() -> None:
        async with running(site.settings()) as first:
            await eventually(lambda: is_ready(site.store, "raw", "unlisted"))
            await quiet(first)
            scans = calls(site, "scan")
            assert scans
            async with running(site.settings()) as second:
                await eventually(lambda: not second.standing.acting)
                await quiet(second)
                assert calls(site, "scan") == scans
                mine = max(tracking_clients(site.store), key=int)  # it came later
                site.store.redis.client_kill_filter(_id=mine)
                await eventually(lambda: mine not in tracking_clients(site.store))
                await eventually(lambda: second.standing.armed)
                await quiet(second)
                assert calls(site, "scan") == scans

    asyncio.run(main())


def test_a_mover_that_takes_over_scans_and_looks_at_what_it_was_told_of_meanwhile(site: Site) -> None:
    over(site, 1)

    async def main() -> None:
        async with running(site.settings()) as second_to_act:
            site.store.redis.set(site.store.key("mover"), "somebody 999999", px=3_000)
            await eventually(lambda: not second_to_act.standing.acting)
            scans = calls(site, "scan")
            write_raw(site.store, "meanwhile", site.store.now_ms(), "new")
            await eventually(lambda: is_ready(site.store, "meanwhile", "new"))

            assert second_to_act.standing.acting
            await eventually(lambda: calls(site, "scan") > scans)

    asyncio.run(main())


def test_a_queue_that_is_listed_no_more_is_forgotten_and_a_write_to_it_wakes_all_the_same(site: Site) -> None:
    names = over(site, 3)

    async def main() -> None:
        async with running(site.settings()) as mover:
            await eventually(lambda: set(names) <= set(mover.queues))
            await quiet(mover)
            site.store.redis.srem(site.store.key("queues"), *names[:2])
            mover.discovery.loop.nudge()
            await eventually(lambda: set(mover.queues) == {names[2]})

            write_raw(site.store, "back", site.store.now_ms(), names[0])
            await eventually(lambda: is_ready(site.store, "back", names[0]))

    asyncio.run(main())
