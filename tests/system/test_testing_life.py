"""``redsched.testing`` and the life of a worker: lifespan, state and clients, as a worker has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from redsched import App, Context
from redsched.testing import AsyncTestClient, TestClient, make_context


def shop(notes: list[Any]) -> App:
    """An app whose lifespan and handlers note what they do."""
    app = App("shop")

    @app.lifespan
    async def life() -> AsyncIterator[list[Any]]:
        notes.append("opened")
        yield notes
        notes.append("closed")

    @app.task("first")
    async def first(ctx: Context) -> None:
        ctx.state.append("first")
        await ctx.client.enqueue("second", delay="1h")

    @app.task("second")
    def second(ctx: Context) -> None:
        ctx.state.append("second")
        ctx.client_sync.enqueue("third", delay="1h")

    @app.task("third")
    def third(ctx: Context) -> None:
        ctx.state.append("third")

    return app


@pytest.mark.parametrize("inline", [False, True])
def test_a_lifespan_is_open_from_the_first_run_until_the_client_closes(inline: bool) -> None:
    notes: list[Any] = []
    with TestClient(shop(notes), inline=inline) as client:
        client.enqueue("first")
        client.advance(hours=1)
        client.advance(hours=1)
        assert notes == ["opened", "first", "second", "third"]
    assert notes == ["opened", "first", "second", "third", "closed"]


def test_the_same_with_await() -> None:
    notes: list[Any] = []

    async def main() -> None:
        async with AsyncTestClient(shop(notes), inline=True) as client:
            await client.enqueue("first")
            await client.advance(hours=2)

    asyncio.run(main())
    assert notes == ["opened", "first", "second", "third", "closed"]


def test_what_a_lifespan_raises_is_raised_by_the_call_that_would_run_a_task() -> None:
    app = App("shop")

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        raise ConnectionError("no database")
        yield

    @app.task("first")
    async def first() -> None: ...

    with TestClient(app) as client:
        made = client.enqueue("first")
        with pytest.raises(ConnectionError, match="no database"):
            client.run_due()
        assert client.task(made.id).state == "ready"


def test_what_a_lifespan_raises_as_it_closes_is_raised_by_close() -> None:
    app = App("shop")

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        yield
        raise ConnectionError("lost")

    client = TestClient(app)
    client.run_due()
    with pytest.raises(ConnectionError, match="lost"):
        client.close()


def test_a_context_of_a_direct_call_has_the_state_and_the_clients_that_it_is_given() -> None:
    with TestClient(App("shop")) as client:
        context = make_context(state={"db": 1}, client=client.aio, client_sync=client)
        assert (context.state, context.client, context.client_sync) == ({"db": 1}, client.aio, client)

    with pytest.raises(RuntimeError, match=r"make_context\(client=...\)"):
        _ = make_context().client
