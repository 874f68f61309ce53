"""What wakes a mover: its timer, CLIENT TRACKING, and the short naps of one that is blind. Counted, not timed.

The tests raise the timer's cap to a minute, so that whatever happens sooner was not found by looking now and then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from redsched import Task
from redsched.engine import isolation
from redsched.engine.mover import discovery, promotions, sweeps
from redsched.wire import protocol
from redsched.wire.keys import queue_keys
from tests.support.movers import eventually, is_ready, quiet, running, tracking_clients, write_raw
from tests.support.servers import Store
from tests.support.workers import Site, site_on

FEW = 5  # looks that follow a write


@pytest.fixture(params=["valkey", "redis", "redis8"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


@pytest.fixture
def long_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Movers that look by themselves once a minute."""
    monkeypatch.setattr(promotions, "CAP", 60.0)


def test_an_idle_mover_asks_about_once_a_second(site: Site) -> None:
    async def main() -> None:
        async with running(site.settings(), at_home=("default",)) as mover:
            before, began = mover.promotions.calls, time.monotonic()
            await asyncio.sleep(2.5)

            assert 1 <= mover.promotions.calls - before <= time.monotonic() - began + 1.5

    asyncio.run(main())


def test_a_raw_zadd_wakes_it(site: Site, long_cap: None) -> None:
    async def main() -> None:
        async with running(site.settings()) as mover:
            for number in range(3):
                before = mover.promotions.calls
                write_raw(site.store, f"raw-{number}", site.store.now_ms())
                await eventually(lambda n=number: is_ready(site.store, f"raw-{n}"))

                assert mover.standing.armed
                assert 1 <= mover.promotions.calls - before <= FEW

    asyncio.run(main())


def test_it_wakes_by_itself_at_the_due_time_that_it_was_told_of(site: Site, long_cap: None) -> None:
    async def main() -> None:
        async with running(site.settings()) as mover:
            due = site.store.now_ms() + 400
            write_raw(site.store, "later", due)
            await quiet(mover)
            before = mover.promotions.calls
            assert not is_ready(site.store, "later") or site.store.now_ms() >= due
            await eventually(lambda: is_ready(site.store, "later"))

            assert mover.promotions.calls - before <= FEW

    asyncio.run(main())


def test_a_write_to_a_queue_that_it_never_heard_of_wakes_it(site: Site, long_cap: None) -> None:
    async def main() -> None:
        async with running(site.settings()):
            write_raw(site.store, "raw", queue="brand-new")
            await eventually(lambda: is_ready(site.store, "raw", "brand-new"))

    asyncio.run(main())


def test_it_finds_the_due_sets_that_were_there_before_it(site: Site, long_cap: None) -> None:
    for number in range(40):
        write_raw(site.store, "raw", queue=f"old-{number}")

    async def main() -> None:
        async with running(site.settings()):
            await eventually(lambda: all(is_ready(site.store, "raw", f"old-{number}") for number in range(40)))

    asyncio.run(main())


def test_a_killed_tracking_connection_is_armed_again_and_what_was_written_meanwhile_is_found(
    site: Site, long_cap: None
) -> None:
    async def main() -> None:
        async with running(site.settings()) as mover:
            for number in range(2):
                (old,) = tracking_clients(site.store)
                site.store.redis.execute_command("CLIENT", "KILL", "ID", old)
                write_raw(site.store, f"meanwhile-{number}")
                await eventually(lambda n=number: is_ready(site.store, f"meanwhile-{n}"))
                await eventually(lambda old=old: mover.standing.armed and old not in tracking_clients(site.store))
                await quiet(mover)

                before = mover.promotions.calls
                write_raw(site.store, f"after-{number}")
                await eventually(lambda n=number: is_ready(site.store, f"after-{n}"))
                assert mover.standing.armed
                assert 1 <= mover.promotions.calls - before <= FEW

    asyncio.run(main())


def test_without_the_right_to_track_it_promotes_by_looking_often(
    site: Site, long_cap: None, caplog: pytest.LogCaptureFixture
) -> None:
    site.store.redis.execute_command(
        "ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-client|tracking"
    )
    url = site.url.replace("redis://", "redis://blind:secret@")

    async def main() -> None:
        with caplog.at_level(logging.WARNING, logger="redsched.mover"):
            async with running(site.settings(redis_url=url), armed=False, at_home=("default",)) as mover:
                await eventually(lambda: mover.promotions.calls >= 3)
                write_raw(site.store, "raw", site.store.now_ms())
                before = mover.promotions.calls
                await eventually(lambda: is_ready(site.store, "raw"))
                assert mover.promotions.calls - before <= FEW
                await eventually(lambda: mover.promotions.calls >= before + 5)

                assert not mover.standing.armed

    asyncio.run(main())
    assert [record.message for record in caplog.records] == ["mover.blind"]


def test_a_blind_mover_looks_at_every_queue_of_its_worker_however_many(site: Site, long_cap: None) -> None:
    site.store.redis.execute_command(
        "ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-client|tracking"
    )
    url = site.url.replace("redis://", "redis://blind:secret@")
    queues = [f"home-{number}" for number in range(40)]

    async def main() -> None:
        async with running(site.settings(redis_url=url), armed=False, at_home=queues) as mover:
            await eventually(lambda: mover.promotions.calls >= 5)
            for queue in queues:
                write_raw(site.store, "raw", queue=queue)
            await eventually(lambda: all(is_ready(site.store, "raw", queue) for queue in queues))

    asyncio.run(main())


def test_a_server_that_cannot_track_is_looked_at_often(request: pytest.FixtureRequest, long_cap: None) -> None:
    import fakeredis

    fake = request.getfixturevalue("fake_server")
    store = Store("fakeredis", fakeredis.FakeRedis(server=fake, decode_responses=True, protocol=2), fake=fake)

    async def main() -> None:
        client = store.async_client()
        async with client, running(client.settings, armed=False, client=client, at_home=("default",)) as mover:
            await eventually(lambda: mover.promotions.calls >= 3)
            write_raw(store, "raw")
            await eventually(lambda: is_ready(store, "raw"))
            assert not mover.standing.armed

    asyncio.run(main())


def test_one_of_two_movers_follows_the_writes_and_the_other_stands_by(site: Site) -> None:
    async def main() -> None:
        async with running(site.settings()) as first, running(site.settings()) as second:
            for round_ in range(8):  # a mover that stands still for a second loses its turn to the other
                before = first.promotions.calls, second.promotions.calls
                for number in range(60):
                    write_raw(site.store, f"raw-{round_}-{number}")
                    await eventually(lambda n=number, r=round_: is_ready(site.store, f"raw-{r}-{n}"))
                made = sorted((first.promotions.calls - before[0], second.promotions.calls - before[1]))
                if made[0] <= 5 and made[1] >= 20:
                    break
            else:
                raise AssertionError(f"both follow the writes: {made}")

    asyncio.run(main())


def test_a_queue_that_redis_refuses_does_not_hold_up_the_others(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "REFUSED", 0.2)
    site.store.redis.set(site.store.key("due:bad"), "somebody else's")

    async def main() -> None:
        async with running(site.settings(), at_home=("bad", "default")):
            for number in range(5):
                write_raw(site.store, f"raw-{number}", site.store.now_ms() + 20)
                await eventually(lambda n=number: is_ready(site.store, f"raw-{n}"))
            site.store.redis.delete(site.store.key("due:bad"))
            write_raw(site.store, "mended", queue="bad")
            await eventually(lambda: is_ready(site.store, "mended", "bad"))

    asyncio.run(main())
    told = [record.message for record in caplog.records if record.name == "redsched.mover"]
    assert told in (["promote.refused"], ["promote.refused", "promote.accepted"])  # the end may come before it is told


def claim_for_a_worker_that_dies(site: Site, *queues: str, **options: Any) -> list[str]:
    """One task of each queue runs with a lease of a second; their ids."""
    made = [site.client.enqueue("note", queue=queue, **options).id for queue in queues]
    keys = [queue_keys(site.client.cell, queue) for queue in queues]
    claim = protocol.claim(keys, consumer="gone", count=len(queues), lease_ms=1_000)
    assert {task.id for task in site.client.transport.send(claim).tasks} == set(made)
    return made


def test_a_queue_whose_leases_cannot_be_taken_back_does_not_hold_up_the_others(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "REFUSED", 0.2)
    caplog.set_level(logging.ERROR, "redsched.mover")
    queues = ("bad", "good", "fine")
    ids = claim_for_a_worker_that_dies(site, *queues)
    for task_id, queue in zip(ids, queues, strict=True):
        site.client.cancel(task_id, queue=queue)
    bad = site.store.key("finished:bad")
    site.store.redis.set(bad, "somebody else's")

    def states() -> list[str]:
        return [site.client.task(task_id, queue=queue).state for task_id, queue in zip(ids, queues, strict=True)]

    async def main() -> None:
        async with running(site.settings(), at_home=queues) as mover:
            await eventually(lambda: states() == ["running", "cancelled", "cancelled"])
            before, began = mover.promotions.calls, time.monotonic()
            for number in range(5):  # due tasks of the bad queue go on, and it is tried no more often than that
                write_raw(site.store, f"raw-{number}", site.store.now_ms() + 20, queue="bad")
                await eventually(lambda n=number: is_ready(site.store, f"raw-{n}", "bad"))
            await asyncio.sleep(0.5)
            assert mover.promotions.calls - before < 40 * max(1.0, time.monotonic() - began)
            site.store.redis.delete(bad)
            await eventually(lambda: states() == ["cancelled"] * 3)

    asyncio.run(main())
    told = sorted((record.message, record.__dict__["queue"]) for record in caplog.records)
    assert told == [("reap.refused", "bad"), ("sweep.refused", "bad")]


@pytest.mark.parametrize("place", ["finished", "dead"])
def test_a_queue_that_cannot_be_swept_does_not_hold_up_the_others(
    site: Site, place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "EVERY", 0.05)
    monkeypatch.setattr(isolation, "REFUSED", 0.05)
    caplog.set_level(logging.ERROR, "redsched.mover")
    for queue in ("bad", "good", "fine"):
        ended = site.client.enqueue("note", queue=queue, retention=timedelta(milliseconds=1), delay="1h")
        site.client.cancel(ended.id, queue=queue)
    site.store.redis.delete(site.store.key(f"{place}:bad"))
    site.store.redis.set(site.store.key(f"{place}:bad"), "somebody else's")

    async def main() -> None:
        async with running(site.settings(), at_home=("bad", "good", "fine")):
            healthy = [site.store.key(f"finished:{queue}") for queue in ("good", "fine")]
            await eventually(lambda: not site.store.redis.exists(*healthy))
            await asyncio.sleep(0.3)  # some rounds more

    asyncio.run(main())
    assert [(record.message, record.__dict__["queue"]) for record in caplog.records] == [("sweep.refused", "bad")]


@pytest.mark.parametrize("lost", ["DEL", "XTRIM"])
def test_ready_tasks_whose_entries_were_removed_by_hand_get_others(
    site: Site, lost: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "EVERY", 0.05)
    monkeypatch.setattr(discovery, "SOON", 0.05)
    ids = sorted(answer.id for answer in site.client.enqueue_many([Task(type="note") for _ in range(70)]))
    later = site.client.enqueue("note", delay="1h")
    ready = site.store.key("ready:default")
    site.client.enqueue("note", queue="bad")
    site.store.redis.set(site.store.key("ready:bad"), "somebody else's")  # this one cannot be mended

    def entries() -> list[str]:
        return sorted(fields["id"] for _, fields in site.store.redis.xrange(ready))

    async def main() -> None:
        async with running(site.settings()):
            site.store.redis.execute_command(*(("DEL", ready) if lost == "DEL" else ("XTRIM", ready, "MAXLEN", 1)))
            await eventually(lambda: entries() == ids)
            await asyncio.sleep(0.3)  # some rounds more

    asyncio.run(main())
    assert entries() == ids and site.client.task(later.id).state == "scheduled"
    told = [(record.message, record.__dict__["n"]) for record in caplog.records if record.name == "redsched.mover"]
    assert {message for message, _ in told} == {"tasks.stranded"}
    assert sum(n for _, n in told) == (70 if lost == "DEL" else 69)


def test_a_lease_that_ends_unanswered_is_taken_back(site: Site) -> None:
    (made,) = claim_for_a_worker_that_dies(site, "default", retry=["1m"])

    async def main() -> None:
        async with running(site.settings()):
            await eventually(lambda: site.client.task(made).state == "ready")

    asyncio.run(main())
    task = site.client.task(made)
    assert (task.attempt, list(task.history or ())) == (0, []), "no handler had begun: the attempt is given back"


def test_a_stranger_holding_the_name_of_the_acting_mover_costs_little(site: Site) -> None:
    site.store.redis.set(site.store.key("mover"), "a mover that died", px=60_000)

    async def main() -> None:
        async with running(site.settings(), at_home=("default",)):
            write_raw(site.store, "raw", site.store.now_ms())
            await eventually(lambda: is_ready(site.store, "raw"))

    asyncio.run(main())


def test_a_namespace_that_was_emptied_is_told_at_once_and_goes_on(
    site: Site, long_cap: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "redsched.mover")

    async def main() -> None:
        async with running(site.settings()) as mover:
            await eventually(lambda: mover.discovery.epoch.seen)

            for key in list(site.store.redis.scan_iter(site.store.key("*"))):
                site.store.redis.delete(key)
            mover.tracking.changed(None)  # what a flush of the whole server is told as

            await eventually(lambda: [record.message for record in caplog.records] == ["store.emptied"])
            task = site.client.enqueue("a", delay="1ms")
            await eventually(lambda: site.client.task(task.id).state == "ready")

    asyncio.run(main())
