"""``redsched.testing.AsyncTestClient``: the same for tests that await; and TestClient inside an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from redsched import App, AsyncClient, Context, LeaseLost, Task
from redsched.testing import AsyncTestClient, TestClient, make_context
from redsched.testing.store import ServerKind

START = datetime(2027, 1, 15, 8, tzinfo=UTC)
Test = Callable[[AsyncTestClient, App], Awaitable[None]]


def run(test: Test, server: ServerKind = "memory", *, inline: bool = False, raise_errors: bool = True) -> None:
    """Run a test that awaits, with a client of an app without handlers."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[AsyncTestClient, App]]:
        app = App()
        async with AsyncTestClient(app, server=server, start=START, inline=inline, raise_errors=raise_errors) as client:
            yield client, app

    async def main() -> None:
        async with opened() as (client, app):
            await test(client, app)

    asyncio.run(main())


@pytest.mark.parametrize("server", ["memory", "embedded"])
def test_handlers_run_on_the_loop_of_the_test_each_at_its_own_time(server: ServerKind) -> None:
    async def test(client: AsyncTestClient, app: App) -> None:
        assert isinstance(client, AsyncClient)
        loops = []

        @app.task("echo")
        async def echo(n: int) -> int:
            loops.append(asyncio.get_running_loop())
            if n == 1:
                await client.enqueue("echo", {"n": 2}, id="second", delay="1h")
            return n

        @app.task("plain")
        def plain() -> None:
            client.sync.enqueue("echo", {"n": 3}, id="third")

        await client.enqueue("echo", {"n": 1}, id="first", delay="1h")
        await client.enqueue("plain", id="plain", delay="3h")

        assert [run.id for run in await client.advance(hours=1)] == ["first"]
        assert [view.id for view in await client.due("1h")] == ["second"]
        await client.advance_to(START + timedelta(days=1))

        assert [(run.id, run.result) for run in client.runs] == [
            ("first", 1),
            ("second", 2),
            ("plain", None),
            ("third", 3),
        ]
        assert loops == [asyncio.get_running_loop()] * 3
        assert client.now == START + timedelta(days=1)

    run(test, server)


def test_inline_runs_what_is_due_before_enqueue_answers() -> None:
    async def test(client: AsyncTestClient, app: App) -> None:
        @app.task("fail")
        async def fail() -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await client.enqueue("fail", id="f")
        assert (await client.task("f")).state == "scheduled"
        assert await client.facts() == {}

    run(test, inline=True)


def test_a_handler_has_the_context_of_a_worker() -> None:
    async def test(client: AsyncTestClient, app: App) -> None:
        @app.task("part")
        async def part(ctx: Context) -> dict[str, object]:
            await ctx.progress({"half": True})
            return {"id": ctx.id, "attempt": ctx.attempt, "due": ctx.due_at}

        @app.task("sum")
        def total(ctx: Context) -> list[str]:
            ctx.progress_sync("all")
            return [parent.id for parent in ctx.parents_sync()]

        await client.group([Task(type="part", id="a"), Task(type="part", id="b")], Task(type="sum", id="s"))
        first, second, last = await client.run_due()

        assert first.result == {"id": "a", "attempt": 1, "due": "2027-01-15T08:00:00Z"}
        assert (second.id, sorted(last.result)) == ("b", ["a", "b"])
        assert (await client.task("a")).state == "completed"

    run(test)


def test_a_task_that_a_handler_cancels_itself_is_asked_to_stop() -> None:
    async def test(client: AsyncTestClient, app: App) -> None:
        seen = []

        @app.task("own")
        async def own(ctx: Context) -> None:
            seen.append(await client.cancel(ctx.id))
            await ctx.progress(1)
            seen.append(ctx.cancel_requested)

        await client.enqueue("own", id="o")
        await client.run_due()
        assert seen == [{"o": "requested"}, True]

    run(test)


def test_in_an_event_loop_the_client_that_does_not_await_refuses_to_block_it() -> None:
    async def main() -> None:
        client.enqueue("t")
        with pytest.raises(RuntimeError, match="would block the event loop that runs here: await an AsyncTestClient"):
            client.run_due()

    with TestClient(App()) as client:
        asyncio.run(main())


def test_a_handler_is_called_directly_with_a_context_of_the_tests_own() -> None:
    app = App()

    @app.task("send")
    async def send(ctx: Context, phone: str) -> str:
        await ctx.progress("begun")
        return f"{ctx.id} {ctx.attempt}/{ctx.max_attempts} {phone} {ctx.headers['tenant']} {ctx.due_at:%H:%M}"

    context = make_context(id="a", attempt=3, headers={"tenant": "t"}, due_at=START)

    assert asyncio.run(send(context, phone="+1")) == "a 3/5 +1 t 08:00"
    assert context.progressed == ["begun"]
    assert isinstance(context, Context)


def test_a_context_of_the_tests_own_may_have_lost_its_lease_or_be_asked_to_stop() -> None:
    context = make_context(lease_lost=True)
    with pytest.raises(LeaseLost):
        context.progress_sync(1)
    assert context.progressed == []
    assert make_context(cancel_requested=True).cancel_requested


@pytest.mark.parametrize("server", ["memory", "embedded"])
def test_a_client_may_be_closed_twice(server: ServerKind) -> None:
    """As by a test and then by its fixture."""

    async def test(client: AsyncTestClient, app: App) -> None:
        await client.close()

    run(test, server)
    with TestClient(App(), server=server) as client:
        client.close()
