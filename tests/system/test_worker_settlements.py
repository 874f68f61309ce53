"""What Redis will always refuse is not sent for ever: neither by a worker, nor beside what it would take."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from redsched import App, AsyncClient, Client, Settings, Task, Worker
from redsched.engine.worker.settlements import MOST, MOST_BYTES, Settlements
from redsched.engine.worker.spool import Spool
from redsched.model.errors import RedschedError
from redsched.wire import protocol
from redsched.wire.claims import Settlement, Started
from redsched.wire.keys import queue_keys
from tests.support.servers import RedisServer, connect, start_redis7, start_valkey

LIMIT = 1_048_576  # the lowest that servers can be set to
app = App("answers")


@app.task("result")
async def result(size: int) -> str:
    return "r" * size


@app.task("error")
async def error(size: int) -> None:
    raise ValueError("e" * size)


@app.task("error.sync")
def error_sync(size: int) -> None:
    raise ValueError("e" * size)


@pytest.fixture(scope="module", params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that takes no text and no call of more than a mebibyte."""
    start: Callable[[Path], Any] = {"valkey": start_valkey, "redis": start_redis7}[request.param]
    found = start(tmp_path_factory.mktemp("server"))
    try:
        with connect(found.url) as connection:
            connection.config_set("proto-max-bulk-len", LIMIT)
            connection.config_set("client-query-buffer-limit", LIMIT)
        yield found
    finally:
        found.stop()


@pytest.fixture
def settings(server: RedisServer, tmp_path: Path) -> Settings:
    """For the workers of a test; the server is empty."""
    with connect(server.url) as connection:
        connection.flushall()
    return Settings(redis_url=server.url, data_dir=str(tmp_path), retry_for_ms=300, redis_timeout_ms=10_000)


def run_all(settings: Settings) -> None:
    """One worker until nothing is left to run."""
    assert asyncio.run(asyncio.wait_for(Worker(app, settings, burst=True).run(), 60)) == 0


@pytest.mark.parametrize("type_", ["result", "error", "error.sync"])
def test_a_result_and_an_error_longer_than_redis_takes_cost_their_text_only(settings: Settings, type_: str) -> None:
    with Client(settings=settings) as client:
        big = client.enqueue(type_, 2 * LIMIT, max_attempts=1)
        small = client.enqueue("result", 2)

        run_all(settings)

        assert client.task(small.id).result == "rr"
        found = client.task(big.id)
        if type_ == "result":
            assert (found.state, found.result) == ("completed", None)
        else:
            assert (found.state, found.reason) == ("dead", "attempts")
            assert (found.error or "").startswith("ValueError: eeee") and len(found.error or "") == 4_000
            assert "raise ValueError(" in (found.traceback or "")


def test_many_results_that_end_together_do_not_make_one_call_too_long(settings: Settings) -> None:
    with Client(settings=settings) as client:
        every = client.enqueue_many([Task(type="result", payload=60_000) for _ in range(60)])

        run_all(settings)

        assert Counter(len(client.task(made.id).result) for made in every) == {60_000: 60}


async def spool_of(settings: Settings) -> Spool:
    """The file that a worker finds."""
    async with AsyncClient(settings=settings) as client:
        spool = Spool(settings)
        await spool.identify(client)
    return spool


def test_what_a_former_worker_could_not_tell_does_not_hold_up_the_next(settings: Settings) -> None:
    ends = [Settlement("default", "gone", "1.ff", "complete", b'"' + b"x" * 2 * LIMIT + b'"')]
    asyncio.run(spool_of(settings)).keep(ends)
    with Client(settings=settings) as client:
        made = client.enqueue("result", 1)

        run_all(settings)

        assert client.task(made.id).state == "completed"


@asynccontextmanager
async def claimed(
    settings: Settings, count: int, queue: str = "default"
) -> AsyncIterator[tuple[AsyncClient, list[Started]]]:
    """A client, and so many tasks that it runs."""
    async with AsyncClient(settings=settings) as client:
        await client.enqueue_many([Task(type="t", queue=queue, max_attempts=3) for _ in range(count)])
        keys = [queue_keys(client.cell, queue)]
        tasks: list[Started] = []
        while len(tasks) < count:  # a call stops early on a server that is slow
            call = protocol.claim(keys, consumer="c", count=count - len(tasks), lease_ms=30_000)
            tasks += (await client.transport.send(call)).tasks
        yield client, tasks


def end(started: Any, outcome: str, first: Any = "", error: str = "", traceback: str = "") -> Settlement:
    """How a run ended."""
    return Settlement(started.queue, started.id, started.token, outcome, first, error, traceback)


async def tell_all(settlements: Settlements) -> list[str]:
    """Until Redis has been told of all, or will not be; its words in order."""
    found: list[str] = []
    async with asyncio.timeout(60):
        while settlements.batch():
            try:
                words, _ = await settlements.tell()
            except RedschedError:
                await asyncio.sleep(0.01)
                continue
            if words:
                found += words[: len(settlements.answered(words))]
    return found


def test_one_settlement_that_cannot_be_sent_is_shortened_and_the_others_are_told(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with claimed(settings, 40) as (client, tasks):
            settlements = Settlements(client)
            settlements.extend([end(started, "complete", b"1") for started in tasks[:20]])
            settlements.append(end(tasks[20], "complete", b'"' + b"x" * 2 * LIMIT + b'"'))
            settlements.append(end(tasks[21], "retry", "", "e" * 2 * LIMIT, "t" * 2 * LIMIT))
            settlements.extend([end(started, "complete", b"2") for started in tasks[22:]])

            words = await tell_all(settlements)

            assert Counter(words) == {"completed": 39, "scheduled": 1}
            views = [await client.task(started.id) for started in tasks]
            assert [view.result for view in views] == [1] * 20 + [None] * 2 + [2] * 18
            assert views[21].error == "SettleRefused: Redis did not take the error's text"

    asyncio.run(main())
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["answers.shortened"] * 2


def test_a_claim_that_can_never_be_settled_is_given_up_loudly_and_its_lease_gives_the_task_back(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with claimed(settings, 3) as (client, tasks):
            settlements = Settlements(client)
            settlements.append(end(tasks[0], "complete"))
            settlements.append(end(tasks[1], "no such outcome"))
            settlements.append(end(tasks[2], "complete"))

            assert await tell_all(settlements) == ["completed", "completed"]
            assert (await client.task(tasks[1].id)).state == "running"

    asyncio.run(main())
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["answers.dropped"]


def test_a_queue_that_these_credentials_may_not_write_holds_up_no_other(
    settings: Settings, server: RedisServer
) -> None:
    async def main(connection: redis.Redis) -> None:
        async with claimed(settings, 2, "mine") as (client, mine), claimed(settings, 2, "theirs") as (_, theirs):
            keys = ("~{rs}:*:mine*", "~{rs}:meta", "~{rs}:*s")
            connection.execute_command("ACL", "SETUSER", "default", "resetkeys", *keys)
            settlements = Settlements(client)
            settlements.extend([end(started, "complete") for started in (theirs[0], *mine, theirs[1])])

            assert await tell_all(settlements) == ["completed", "completed"]
            assert [left.task_id for left in settlements.left()] == [started.id for started in theirs]

    with connect(server.url) as connection:
        try:
            asyncio.run(main(connection))
        finally:
            connection.execute_command("ACL", "SETUSER", "default", "allkeys")


def test_a_server_that_is_away_costs_no_settlement_its_text(settings: Settings) -> None:
    async def main() -> None:
        async with claimed(settings, 3) as (client, tasks):
            settlements = Settlements(client)
            ends = [end(started, "complete", b"1") for started in tasks]
            settlements.extend(ends)
            away = AsyncClient(settings=Settings(redis_url="redis://127.0.0.1:1/0", retry_for_ms=0))
            settlements._client = away
            for _ in range(8):
                settlements.batch()
                with pytest.raises(RedschedError):
                    await settlements.tell()
            await away.close()

            assert settlements.left() == ends

    asyncio.run(main())


def test_a_call_is_bounded_in_bytes_and_in_claims(settings: Settings) -> None:
    async def main() -> None:
        async with AsyncClient(settings=settings) as client:
            settlements = Settlements(client)
            settlements.extend([Settlement("q", str(n), "1.f", "complete", b"x" * 65_536) for n in range(20)])
            settlements.extend([Settlement("q", str(n), "1.f", "complete") for n in range(3_000)])
            sizes = []
            while batch := settlements.batch():
                assert sum(len(sent.first) for sent in batch) <= MOST_BYTES  # type: ignore[arg-type]
                sizes.append(len(batch))
                settlements.answered(["completed"] * len(batch))

            assert sizes[:2] == [8, 8] and sum(sizes) == 3_020 and max(sizes) == MOST

    asyncio.run(main())


def test_a_call_settles_a_bounded_number_of_claims_that_take_long_and_the_next_ones_go_on_in_order(
    settings: Settings,
) -> None:
    async def main() -> None:
        async with claimed(settings, 200) as (client, tasks):
            settlements = Settlements(client)
            outcomes = ("complete", *["snooze"] * 4) * 40
            settlements.extend([end(*ended, "60000") for ended in zip(tasks, outcomes, strict=True)])
            told = list[Settlement]()
            sizes = list[int]()

            while settlements.batch():
                words, _ = await settlements.tell()
                answered = settlements.answered(words)
                assert [*words[: len(answered)]] == [WORDS[one.outcome] for one in answered]
                told += answered
                sizes.append(len(answered))

            assert [one.task_id for one in told] == [started.id for started in tasks]
            assert sizes == [80, 80, 40]

    asyncio.run(main())


WORDS = {"complete": "completed", "snooze": "scheduled"}


def test_a_call_of_both_that_is_refused_leaves_no_more_to_one_settle_than_it_may_be_given(
    settings: Settings, server: RedisServer
) -> None:
    """Settle carries out all that it is given, and each claim may be entered in much: so 64 are the most."""

    async def main(connection: redis.Redis) -> list[int]:
        async with claimed(settings, 200) as (client, tasks):
            rules = ("-fcall", "+fcall|rs1_settle", "+fcall|rs1_show")
            connection.execute_command("ACL", "SETUSER", "default", *rules)
            settlements = Settlements(client)
            settlements.extend([end(started, "complete") for started in tasks])
            sizes = []
            while settlements.batch():
                words, _ = await settlements.tell()
                if words:
                    sizes.append(len(settlements.answered(words)))
            assert {view.state for view in [await client.task(started.id) for started in tasks]} == {"completed"}
            return sizes

    with connect(server.url) as connection:
        try:
            assert asyncio.run(main(connection)) == [64, 64, 64, 8]
        finally:
            connection.execute_command("ACL", "SETUSER", "default", "+@all")
