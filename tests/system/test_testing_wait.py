"""``wait`` of the clients for tests: it runs what is due and lets time go on by the test's clock."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from redsched import App, Context, Fixed, TaskNotCompleted, TaskNotEnded, TaskNotFound, TaskRemoved
from redsched.testing import AsyncTestClient, TestClient
from tests.support.app_clients import START, Make

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def app() -> App:
    app = App("shop")

    @app.task("echo")
    async def echo(value: Any = None) -> Any:
        return value

    @app.task("third", retry=Fixed(delay="1m"), max_attempts=3)
    def third(ctx: Context) -> int:
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return ctx.attempt

    @app.task("fail", max_attempts=1)
    def fail() -> None:
        raise ValueError("no")

    return app


def test_it_runs_what_is_due_and_the_clock_stays_where_the_task_ended(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echo", {"value": 1}, id="now")
    client.enqueue("echo", {"value": 2}, id="later", delay="1h")
    client.enqueue("echo", {"value": 3}, id="after", delay="2h")

    assert (client.wait("now", "4s"), client.now) == (1, START)
    assert (client.wait("later", "1d"), client.now) == (2, START + HOUR)
    assert [run.id for run in client.runs] == ["now", "later"]
    assert (client.wait("later", "1d"), client.now) == (2, START + HOUR)


def test_a_task_is_waited_for_over_its_retries(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("third", id="t")
    client.enqueue("fail", id="f")

    assert (client.wait("t", "1h"), client.now) == (3, START + 2 * MINUTE)
    with pytest.raises(TaskNotCompleted, match="it is dead"):
        client.wait("f", "1h")


def test_what_does_not_end_in_time_is_told_when_the_clock_has_gone_so_far(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echo", id="late", delay="2h")
    client.enqueue("echo", id="before", delay="59m")

    with pytest.raises(TaskNotEnded, match="it is scheduled, and goes on"):
        client.wait("late", "1h")

    assert (client.now, [run.id for run in client.runs]) == (START + HOUR, ["before"])
    with pytest.raises(TaskNotFound):
        client.wait("nobody", "1h")
    assert client.now == START + HOUR


def test_a_task_that_is_gone_with_its_result_is_told_as_in_production(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echo", id="gone", delay="1m", retention="0s")

    with pytest.raises(TaskRemoved, match="its retention is 0"):
        client.wait("gone", "1h")

    assert client.now == START + MINUTE


@pytest.mark.parametrize("place", ["client", "ctx"])
def test_a_handler_cannot_wait_for_another_task(app: App, place: str) -> None:
    with TestClient(app) as client:

        @app.task("waits")
        def waits(ctx: Context) -> Any:
            waiting = {"client": client, "ctx": ctx.client_sync}[place]
            return waiting.wait("other", "1h")

        @app.task("awaits")
        async def awaits(ctx: Context) -> Any:
            return await ctx.client.wait("other", "1h")

        client.enqueue("echo", id="other", delay="1m")
        client.enqueue("waits", id="w", max_attempts=1)
        client.enqueue("awaits", id="a", max_attempts=1)

        client.run_due()

        assert [run.outcome for run in client.runs] == ["failed"] * 2
        for run in client.runs:
            assert run.error.startswith("RuntimeError: wait: in a test tasks run one at a time")


def test_several_wait_at_once_with_await(app: App) -> None:
    async def main() -> None:
        async with AsyncTestClient(app, start=START) as client:

            @app.task("waits")
            async def waits(ctx: Context) -> Any:
                return await ctx.client.wait("2", "1h")

            for number in (3, 1, 2):
                await client.enqueue("echo", {"value": number}, id=str(number), delay=timedelta(minutes=number))

            assert await asyncio.gather(*(client.wait(str(one), "1h") for one in (1, 2, 3))) == [1, 2, 3]
            assert client.now == START + 3 * MINUTE
            with pytest.raises(TaskNotEnded):
                await client.enqueue("echo", id="late", delay="1h")
                await client.wait("late", "4s")
            await client.enqueue("waits", id="w", max_attempts=1)
            assert [run.result for run in await client.run_due()] == [2]  # what has ended needs no time

    asyncio.run(main())


def test_a_handler_that_awaits_cannot_wait_either() -> None:
    app = App("shop")

    async def main() -> None:
        async with AsyncTestClient(app, start=START) as client:

            @app.task("waits")
            async def waits() -> Any:
                return await client.wait("other", "1h")

            @app.task("plain")
            def plain(ctx: Context) -> Any:
                return ctx.client_sync.wait("other", "1h")

            await client.enqueue("waits", id="other", delay="1d")
            for type_ in ("waits", "plain"):
                await client.enqueue(type_, max_attempts=1)
            for run in await client.run_due():
                assert run.error.startswith("RuntimeError: wait: in a test tasks run one at a time")
            assert len(client.runs) == 2

    asyncio.run(main())
