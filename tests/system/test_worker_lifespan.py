"""``@app.lifespan``: what a worker opens before its first run and closes after its last; and the clients of a run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched import App, AsyncClient, Context, Worker
from redsched.engine import lifespan as lifespans
from tests.support.workers import Site, site_on


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def work(site: Site, app: App, *, burst: bool = True, **settings: Any) -> int:
    """Run a worker of the app to its end; its exit code."""
    worker = Worker(app, site.settings(**settings), burst=burst)
    return asyncio.run(asyncio.wait_for(worker.run(), 60))


def noting(notes: list[Any]) -> App:
    """An app whose lifespan and runs note what they do; its state is the list of notes."""
    app = App("shop")

    @app.lifespan
    async def life() -> AsyncIterator[list[Any]]:
        notes.append("opened")
        yield notes
        notes.append("closed")

    @app.task("note")
    async def note(ctx: Context) -> None:
        await asyncio.sleep(0)
        ctx.state.append(ctx.id)

    @app.task("note.sync")
    def note_sync(ctx: Context) -> None:
        ctx.state.append(ctx.id)

    return app


def test_it_is_open_from_before_the_first_run_until_after_the_last(site: Site) -> None:
    notes: list[Any] = []
    ids = site.enqueue("note", 20) + site.enqueue("note.sync", 5)

    assert work(site, noting(notes)) == 0

    assert (notes[0], notes[-1]) == ("opened", "closed")
    assert sorted(notes[1:-1]) == sorted(ids)


def test_it_closes_after_a_run_that_a_signal_found_at_work(site: Site) -> None:
    notes: list[Any] = []
    app = noting(notes)
    begun = asyncio.Event()

    @app.task("slow")
    async def slow() -> None:
        begun.set()
        await asyncio.sleep(0.2)
        notes.append("ran")

    async def main() -> int:
        worker = Worker(app, site.settings())
        running = asyncio.create_task(worker.run())
        await begun.wait()
        worker.stop()
        return await running

    site.enqueue("slow", 1)
    assert asyncio.run(asyncio.wait_for(main(), 60)) == 0
    assert notes == ["opened", "ran", "closed"]


def test_a_worker_whose_lifespan_does_not_open_claims_nothing_and_says_why(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("shop")

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        raise ConnectionError("no database")
        yield

    @app.task("note")
    async def note() -> None: ...

    (task_id,) = site.enqueue("note", 1)
    assert work(site, app) == 1

    (told,) = [record for record in caplog.records if record.getMessage() == "lifespan.failed"]
    assert told.levelno == logging.CRITICAL
    assert (told.app, told.error, told.problem) == (  # type: ignore[attr-defined]
        "shop",
        "ConnectionError",
        "it did not open, so nothing runs",
    )
    assert "no database" in str(told.exc_info)
    (view,) = site.views([task_id])
    assert (view.state, view.attempt) == ("ready", 0)


@pytest.mark.parametrize("way", [SystemExit, asyncio.CancelledError])
def test_a_lifespan_that_exits_while_it_opens_stops_the_worker_and_nothing_else(
    site: Site, way: type[BaseException]
) -> None:
    app = App("shop")

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        raise way
        yield

    assert work(site, app) == 1


def test_a_worker_that_is_stopped_while_its_lifespan_opens_closes_what_is_open(site: Site) -> None:
    notes: list[str] = []
    app = App("shop")

    async def main() -> int:
        opening = asyncio.Event()

        @app.lifespan
        async def life() -> AsyncIterator[None]:
            try:
                opening.set()
                await asyncio.sleep(3_600)
                yield
            finally:
                notes.append("closed")

        worker = Worker(app, site.settings())
        running = asyncio.create_task(worker.run())
        await opening.wait()
        worker.stop()
        return await running

    assert asyncio.run(asyncio.wait_for(main(), 60)) == 0
    assert notes == ["closed"]


def test_a_lifespan_that_fails_later_stops_the_worker(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = App("shop")

    async def breaks() -> None:
        raise ConnectionError("the feed has ended")

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(breaks())
            yield

    assert work(site, app, burst=False) == 1
    assert "worker.failed" in [record.getMessage() for record in caplog.records]


def test_a_lifespan_that_does_not_close_is_cut_off_and_told_of(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App("shop")
    notes: list[str] = []

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        yield
        try:
            await asyncio.sleep(3_600)
        finally:
            notes.append("cut off")

    monkeypatch.setattr(lifespans, "EXIT_S", 0.05)
    assert work(site, app) == 1
    assert notes == ["cut off"]
    (told,) = [record for record in caplog.records if record.getMessage() == "lifespan.failed"]
    assert told.error == "TimeoutError"  # type: ignore[attr-defined]


def test_it_takes_the_workers_client_and_anything_that_is_an_async_context_manager(site: Site) -> None:
    app = App("shop")
    found: list[str] = []

    @app.lifespan
    @contextlib.asynccontextmanager
    async def life(client: AsyncClient) -> AsyncIterator[str]:
        made = await client.enqueue("note")
        yield made.id

    @app.task("note")
    async def note(ctx: Context) -> None:
        found.append(ctx.state)
        assert ctx.state == ctx.id

    assert work(site, app) == 0
    assert len(found) == 1


def test_what_is_no_lifespan_is_refused_when_it_is_registered() -> None:
    app = App("shop")

    async def returns() -> None: ...

    def generates() -> Iterator[None]:
        yield

    async def takes_two(one: Any, two: Any) -> AsyncIterator[None]:
        yield

    for function, problem in ((returns, "yields once"), (generates, "yields once"), (takes_two, "or nothing")):
        with pytest.raises(TypeError, match=problem):
            app.lifespan(function)  # type: ignore[type-var]

    async def good() -> AsyncIterator[None]:
        yield

    app.lifespan(good)
    with pytest.raises(ValueError, match="has a lifespan already"):
        app.lifespan(good)


def test_a_coroutine_has_the_workers_client_and_a_function_a_client_for_threads(site: Site) -> None:
    app = App("shop")
    told: list[Any] = []

    @app.task("first")
    async def first(ctx: Context) -> None:
        await ctx.client.enqueue("second")
        with pytest.raises(RuntimeError, match="use client"):
            _ = ctx.client_sync

    @app.task("second")
    def second(ctx: Context) -> None:
        told.append(ctx.client_sync)
        ctx.client_sync.enqueue("third")  # which may begin at once

    @app.task("third")
    def third(ctx: Context) -> None:
        told.append(ctx.client_sync)
        told.append(threading.current_thread() is not threading.main_thread())

    site.enqueue("first", 1)
    assert work(site, app) == 0

    client, same, in_thread = told
    assert client is same
    assert in_thread
    assert site.depths() == {"finished": 3}


def test_a_worker_says_which_types_it_can_never_get(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = App("shop")

    @app.task("a")
    async def a() -> None: ...

    @app.task("b", queue="mail")
    async def b() -> None: ...

    @app.task("c", queue="mail")
    async def c() -> None: ...

    assert work(site, app) == 0
    (told,) = [record for record in caplog.records if record.getMessage() == "worker.queue_not_served"]
    assert (told.queue, told.types) == ("mail", "b, c")  # type: ignore[attr-defined]

    caplog.clear()
    assert work(site, App("empty"), queues=("default", "mail")) == 0
    (told,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert (told.getMessage(), told.app) == ("worker.no_types", "empty")  # type: ignore[attr-defined]
