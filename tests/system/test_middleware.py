"""``@app.middleware``: an application's own code around each run; the examples of the guide among it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched import App, CallNext, Completed, Context, OutcomeChosen, Reject, SnoozeFor, Worker
from redsched.testing import AsyncTestClient, RunFailed, TestClient
from tests.support.workers import Site, site_on


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def work(site: Site, app: App, **settings: Any) -> int:
    """Run a worker of the app until its tasks have run."""
    worker = Worker(app, site.settings(**settings), burst=True)
    return asyncio.run(asyncio.wait_for(worker.run(), 60))


def test_the_first_is_the_outermost_around_coroutines_and_functions(site: Site) -> None:
    app, notes = App("shop"), list[Any]()

    def noting(name: str) -> None:
        @app.middleware
        async def note(ctx: Context, call_next: CallNext) -> Any:
            notes.append((name, ctx.type))
            result = await call_next()
            notes.append((name, result))
            return result

    for name in ("outer", "middle", "inner"):
        noting(name)

    @app.task("plain")
    def plain() -> str:
        notes.append("runs")
        assert threading.current_thread() is not threading.main_thread()
        return "of a thread"

    @app.task("coroutine")
    async def coroutine() -> str:
        await asyncio.sleep(0)
        notes.append("runs")
        return "of a coroutine"

    for type_, result in (("plain", "of a thread"), ("coroutine", "of a coroutine")):
        notes.clear()
        (task_id,) = site.enqueue(type_, 1)
        assert work(site, app) == 0
        assert notes == [
            *((name, type_) for name in ("outer", "middle", "inner")),
            "runs",
            *((name, result) for name in ("inner", "middle", "outer")),
        ]
        assert site.views([task_id])[0].result == result


def test_a_tenant_of_the_task_is_known_wherever_its_handler_looks(site: Site) -> None:
    app, tenant = App("shop"), contextvars.ContextVar("tenant", default="nobody")
    seen: set[tuple[str, str]] = set()

    @app.middleware
    async def with_tenant(ctx: Context, call_next: CallNext) -> Any:
        tenant.set(ctx.headers.get("tenant", "nobody"))
        return await call_next()

    @app.task("coroutine")
    async def coroutine(ctx: Context) -> None:
        await asyncio.sleep(0)
        seen.add((ctx.id, tenant.get()))

    @app.task("plain")
    def plain(ctx: Context) -> None:
        seen.add((ctx.id, tenant.get()))

    expected = {
        (site.enqueue(type_, 1, headers={"tenant": name})[0], name)
        for type_ in ("coroutine", "plain")
        for name in "abc"
    } | {(site.enqueue("coroutine", 1)[0], "nobody")}
    assert work(site, app, concurrency=2) == 0
    assert seen == expected


class Reporter:
    """Stands for the client of an error reporter."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def capture(self, error: BaseException, **tags: Any) -> None:
        self.sent.append((type(error).__name__, tags))


def test_an_error_reporter_gets_what_handlers_raise_but_no_outcome_that_they_choose(site: Site) -> None:
    app, reporter = App("shop"), Reporter()

    @app.middleware
    async def report(ctx: Context, call_next: CallNext) -> Any:
        try:
            return await call_next()
        except OutcomeChosen:
            raise  # the handler chose how its run ends: this is no error
        except Exception as error:
            reporter.capture(error, task=ctx.id, type=ctx.type, attempt=ctx.attempt)
            raise

    @app.task("broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @app.task("broken.sync")
    def broken_sync() -> None:
        raise KeyError("a")

    @app.task("rejected")
    async def rejected() -> None:
        raise Reject("no such order")

    ids = [site.enqueue(type_, 1, max_attempts=1)[0] for type_ in ("broken", "broken.sync", "rejected")]
    assert work(site, app) == 0
    assert sorted(reporter.sent) == [
        ("KeyError", {"task": ids[1], "type": "broken.sync", "attempt": 1}),
        ("ZeroDivisionError", {"task": ids[0], "type": "broken", "attempt": 1}),
    ]
    assert [view.state for view in site.views(ids)] == ["dead"] * 3
    assert (site.views(ids)[0].error or "").startswith("ZeroDivisionError")


def test_a_metric_counts_runs_and_their_time(site: Site) -> None:
    app, runs, seconds = App("shop"), Counter[tuple[str, str]](), Counter[str]()

    @app.middleware
    async def measure(ctx: Context, call_next: CallNext) -> Any:
        began, outcome = time.perf_counter(), "raised"
        try:
            result = await call_next()
            outcome = "returned"
            return result
        finally:
            runs[ctx.type, outcome] += 1
            seconds[ctx.type] += time.perf_counter() - began

    @app.task("good")
    def good() -> None: ...

    @app.task("bad")
    async def bad() -> None:
        raise ValueError

    site.enqueue("good", 3)
    site.enqueue("bad", 2, max_attempts=1)
    assert work(site, app) == 0
    assert runs == {("good", "returned"): 3, ("bad", "raised"): 2}
    assert seconds.keys() == {"good", "bad"}


def test_what_a_middleware_returns_or_raises_is_how_the_run_ended(site: Site) -> None:
    app, called = App("shop"), list[str]()

    @app.middleware
    async def decide(ctx: Context, call_next: CallNext) -> Any:
        match ctx.type:
            case "skipped":
                return Completed("not called")
            case "later":
                raise SnoozeFor("1h")
            case "caught":
                with contextlib.suppress(ValueError):
                    await call_next()
                return "all the same"
            case "twice":
                await call_next()
                await call_next()

    for type_ in ("skipped", "later", "caught", "twice"):

        @app.task(type_)
        async def handler(ctx: Context) -> None:
            called.append(ctx.type)
            if ctx.type == "caught":
                raise ValueError

    ids = [site.enqueue(type_, 1, max_attempts=1)[0] for type_ in ("skipped", "later", "caught", "twice")]
    assert work(site, app) == 0
    skipped, later, caught, twice = site.views(ids)
    assert sorted(called) == ["caught", "twice"]
    assert (skipped.state, skipped.result) == ("completed", "not called")
    assert (later.state, later.attempt) == ("scheduled", 0)
    assert (caught.state, caught.result) == ("completed", "all the same")
    assert twice.state == "dead" and "call_next twice" in (twice.error or "")


@pytest.mark.parametrize("type_", ["coroutine", "plain"])
def test_the_time_limit_stops_what_runs_within_and_the_middleware_may_clean_up(site: Site, type_: str) -> None:
    app, notes, go = App("shop"), list[str](), threading.Event()

    @app.middleware
    async def clean(ctx: Context, call_next: CallNext) -> Any:
        try:
            return await call_next()
        finally:
            notes.append("cleaned")
            go.set()

    @app.task("coroutine", timeout="50ms")
    async def coroutine() -> None:
        await asyncio.sleep(3_600)

    @app.task("plain", timeout="50ms")
    def plain() -> None:
        go.wait(60)

    (task_id,) = site.enqueue(type_, 1, max_attempts=1)
    assert work(site, app) == 0
    (view,) = site.views([task_id])
    assert (view.state, notes) == ("dead", ["cleaned"])
    assert (view.error or "").startswith("TimeLimit")


def test_a_payload_that_does_not_fit_reaches_no_middleware(site: Site) -> None:
    app, called = App("shop"), list[str]()

    @app.middleware
    async def note(ctx: Context, call_next: CallNext) -> Any:
        called.append(ctx.id)
        return await call_next()

    @app.task("typed")
    async def typed(number: int) -> None: ...

    bad, good = site.enqueue("typed", 1, payload={"number": "x"}), site.enqueue("typed", 1, payload={"number": 1})
    assert work(site, app) == 0
    assert called == good
    assert site.views(bad)[0].reason == "payload"


def test_what_cannot_be_awaited_around_a_run_is_refused_when_it_is_registered() -> None:
    app = App("shop")

    def plain(ctx: Any, call_next: Any) -> None: ...

    async def alone(ctx: Any) -> None: ...

    async def generates(ctx: Any, call_next: Any) -> Any:
        yield

    class Callable_:
        async def __call__(self, ctx: Any, call_next: Any) -> Any:
            return await call_next()

    for function, problem in ((plain, "async def"), (generates, "async def"), (alone, "two arguments")):
        with pytest.raises(TypeError, match=problem):
            app.middleware(function)  # type: ignore[type-var]
    app.middleware(Callable_())


def shop(caught: bool) -> App:
    app = App("shop")

    @app.middleware
    async def check(ctx: Context, call_next: CallNext) -> Any:
        try:
            return await call_next()
        except ValueError:
            if caught:
                return "caught"
            raise KeyError("of the middleware") from None

    @app.task("bad")
    def bad() -> None:
        raise ValueError("of the handler")

    return app


def test_a_test_client_runs_handlers_within_the_middleware_and_tells_how_that_ended() -> None:
    with TestClient(shop(caught=True), raise_errors=True) as client:
        client.enqueue("bad")
        (run,) = client.run_due()
        assert (run.outcome, run.result, run.exception) == ("completed", "caught", None)

    async def main() -> None:
        async with AsyncTestClient(shop(caught=False), raise_errors=True) as client:
            await client.enqueue("bad", max_attempts=1)
            with pytest.raises(KeyError, match="of the middleware"):
                await client.run_due()
            (run,) = client.runs
            assert (run.outcome, run.state) == ("failed", "dead")

    asyncio.run(main())


def test_a_run_that_no_middleware_raised_is_an_error_of_the_test_client_only_if_it_failed() -> None:
    app = shop(caught=True)

    @app.middleware
    async def late(ctx: Context, call_next: CallNext) -> Any:
        await asyncio.sleep(3_600)

    with TestClient(app, raise_errors=True) as client:
        client.enqueue("bad", max_attempts=1, timeout="50ms")
        with pytest.raises(RunFailed, match="TimeLimit"):
            client.run_due()
