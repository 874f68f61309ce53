"""``ctx.once``: what a step returned is kept with its task, so that no later run takes the step again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from redsched import App, Context, Fixed, InvalidTask, LeaseLost, Reject, TaskView, Worker
from redsched.testing import TestClient, make_context
from tests.support.workers import FINAL, SHORT, Site, site_on


class Charge(msgspec.Struct):
    """What a provider answers."""

    id: str
    amount: Decimal
    day: date


PAID = Charge("ch_1", Decimal("12.50"), date(2027, 1, 31))


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def work(site: Site, app: App, ids: list[str]) -> list[TaskView]:
    """Run a worker of the app until these tasks have ended."""

    async def main() -> int:
        worker = Worker(app, site.settings())
        running = asyncio.create_task(worker.run())
        while any(view.state not in FINAL for view in site.views(ids)):
            await asyncio.sleep(0.02)
        worker.stop()
        return await running

    assert asyncio.run(asyncio.wait_for(main(), 60)) == 0
    return site.views(ids)


@pytest.mark.parametrize(
    ("dies", "notes", "result"),
    [
        ("after", ["started", "charge", "mail", "started"], "charge of run 1, mail of run 1"),
        ("within", ["started", "charge", "mail", "started", "mail"], "charge of run 1, mail of run 2"),
    ],
)
def test_a_run_after_a_crash_takes_only_the_steps_that_are_not_kept(
    site: Site, dies: str, notes: list[str], result: str
) -> None:
    (task_id,) = site.enqueue("charge", 1, payload={"dies": dies})
    assert site.worker("--lease", SHORT).wait() == -9
    site.worker("--lease", SHORT)
    view = site.until_state(task_id)
    assert (view.state, view.result) == ("completed", result)
    assert site.ledger.of(task_id) == notes


def failing(calls: list[str]) -> App:
    """An app whose first runs fail after a step, in each way to call it."""
    app = App("shop")

    async def awaited(name: str) -> Charge:
        await asyncio.sleep(0)
        return plain(name)

    def plain(name: str) -> Charge:
        calls.append(name)
        return PAID

    def fails(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ConnectionError("after the step")

    @app.task("awaited")
    async def with_await(ctx: Context) -> Any:
        found = await ctx.once("charge", lambda: awaited("awaited"))
        fails(ctx)
        return found

    @app.task("plain")
    async def with_plain(ctx: Context) -> Any:
        found = await ctx.once("charge", lambda: plain("plain"), returns=Charge)
        fails(ctx)
        assert found == PAID
        return found.id

    @app.task("thread")
    def with_thread(ctx: Context) -> Any:
        found = ctx.once_sync("charge", lambda: plain("thread"), returns=Charge)
        fails(ctx)
        assert found == PAID
        return found.id

    return app


def test_a_retry_gets_what_the_step_returned_in_the_attempt_before(site: Site) -> None:
    calls: list[str] = []
    ids = [site.enqueue(type_, 1, retry=Fixed("0s"))[0] for type_ in ("awaited", "plain", "thread")]

    views = work(site, failing(calls), ids)

    assert sorted(calls) == ["awaited", "plain", "thread"]
    assert [view.attempt for view in views] == [2, 2, 2]
    assert [view.result for view in views] == [{"id": "ch_1", "amount": "12.50", "day": "2027-01-31"}, "ch_1", "ch_1"]


def test_a_step_that_raises_is_taken_again(site: Site) -> None:
    app, calls = App("shop"), list[int]()

    @app.task("charge")
    async def charge(ctx: Context) -> Any:
        def call() -> int:
            calls.append(ctx.attempt)
            if ctx.attempt < 3:
                raise ConnectionError("no answer")
            return ctx.attempt

        return await ctx.once("charge", call)

    (view,) = work(site, app, site.enqueue("charge", 1, retry=Fixed("0s")))
    assert (calls, view.result) == ([1, 2, 3], 3)


@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("type_", ["coroutine", "plain"])
def test_a_run_that_lost_its_task_calls_nothing_more_and_keeps_nothing(site: Site, when: str, type_: str) -> None:
    app, calls, seen = App("shop"), list[str](), list[Any]()

    def lose(ctx: Context) -> str:
        """As if another worker had claimed it: its token is another one."""
        site.store.redis.hset(site.store.key(f"task:default:{ctx.id}"), "token", "2.other")
        return "done"

    def call(ctx: Context) -> str:
        calls.append(when)
        return lose(ctx) if when == "within" else "done"

    def lost(ctx: Context, error: LeaseLost) -> None:
        seen.append((str(error).startswith("lost the lease"), ctx.lease_lost))

    @app.task("coroutine")
    async def coroutine(ctx: Context) -> None:
        if when == "before":
            lose(ctx)
        try:
            await ctx.once("charge", lambda: call(ctx))
        except LeaseLost as error:
            lost(ctx, error)

    @app.task("plain")
    def plain(ctx: Context) -> None:
        if when == "before":
            lose(ctx)
        try:
            ctx.once_sync("charge", lambda: call(ctx))
        except LeaseLost as error:
            lost(ctx, error)
        worker.stop()

    (task_id,) = site.enqueue(type_, 1)

    async def main() -> None:
        running = asyncio.create_task(worker.run())
        while not seen:
            await asyncio.sleep(0.01)
        worker.stop()
        await running

    worker = Worker(app, site.settings())
    asyncio.run(asyncio.wait_for(main(), 60))
    assert (calls, seen) == ([] if when == "before" else ["within"], [(True, True)])
    assert site.store.redis.exists(site.store.key(f"outcome:default:{task_id}")) == 0


def test_what_can_never_be_kept_ends_the_task_and_says_so(site: Site) -> None:
    app, calls = App("shop"), list[str]()

    @app.task("bad")
    async def bad(ctx: Context, what: str) -> None:
        def call(returned: Any) -> Any:
            calls.append(what)
            return returned

        match what:
            case "no JSON":
                await ctx.once("charge", lambda: call(object()))
            case "no number":
                await ctx.once("charge", lambda: call({"rate": [1.0, math.nan]}))
            case "too long":
                await ctx.once("charge", lambda: call("x" * 65_536))
            case "too many":
                for number in range(101):
                    await ctx.once(f"step-{number}", lambda: "x")
            case "another type":
                await ctx.once("charge", lambda: call({"id": 7}), returns=Charge)

    cases = {
        "no JSON": "step 'charge' was taken, and is not kept: what it returned cannot be written as JSON",
        "no number": "step 'charge' was taken, and is not kept: what it returned cannot be written as JSON: holds a ",
        "too long": "step 'charge' was taken, and is not kept: it returned 65538 bytes of JSON; a task keeps 100 steps",
        "too many": "step 'step-100' was not taken; a task keeps 100 steps, and 64 KiB of them in all",
        "another type": "step 'charge' was taken: what is kept of it is no Charge",
    }
    ids = [site.enqueue("bad", 1, payload={"what": what})[0] for what in cases]
    views = work(site, app, ids)
    assert [(view.state, view.reason, view.attempt) for view in views] == [("dead", "step", 1)] * 5
    for view, text in zip(views, cases.values(), strict=True):
        assert (view.error or "").startswith(text)
    assert sorted(calls) == ["another type", "no JSON", "no number", "too long"]


def test_a_name_is_one_step_of_a_task(site: Site) -> None:
    app, calls = App("shop"), list[str]()

    @app.task("charge")
    async def charge(ctx: Context) -> Any:
        async def call(name: str) -> str:
            calls.append(name)
            await asyncio.sleep(0)
            return name

        with pytest.raises(RuntimeError, match="'a' is being taken in this run already"):
            await ctx.once("a", lambda: ctx.once("a", lambda: call("first")))
        for name in ("", "a b", 7):
            with pytest.raises(InvalidTask, match="step"):
                await ctx.once(name, lambda: call("badly named"))  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="await once"):
            ctx.once_sync("b", lambda: call("blocking"))
        return [await ctx.once("a", lambda: call("second")), await ctx.once("a", lambda: call("third"))]

    (view,) = work(site, app, site.enqueue("charge", 1, retry=Fixed("0s")))
    assert (view.state, view.result, calls) == ("completed", ["second", "second"], ["second"])


def test_a_step_that_was_taken_as_its_run_was_stopped_is_kept(site: Site) -> None:
    app, calls = App("shop"), list[int]()

    @app.task("charge")
    async def charge(ctx: Context) -> Any:
        def call() -> int:
            calls.append(ctx.attempt)
            own = asyncio.current_task()
            assert own is not None
            own.cancel()  # as a time limit would that is over now
            return ctx.attempt

        return await ctx.once("charge", call)

    (view,) = work(site, app, site.enqueue("charge", 1, retry=Fixed("0s")))
    assert (view.state, view.attempt, view.result, calls) == ("completed", 2, 1, [1])


def test_a_test_client_keeps_steps_by_its_own_clock() -> None:
    calls: list[str] = []
    with TestClient(failing(calls)) as client:
        for type_ in ("awaited", "plain", "thread"):
            client.enqueue(type_, retry=Fixed("1h"))
        client.run_due()
        client.advance(hours=1)
        assert [run.outcome for run in client.runs] == ["failed"] * 3 + ["completed"] * 3
    assert sorted(calls) == ["awaited", "plain", "thread"]


def test_a_context_of_a_direct_call_keeps_steps_for_the_next() -> None:
    def call() -> Charge:
        return PAID

    async def main() -> None:
        first = make_context()
        assert await first.once("charge", call, returns=Charge) == PAID
        assert first.steps == {"charge": {"id": "ch_1", "amount": "12.50", "day": "2027-01-31"}}
        again = make_context(attempt=2, steps=first.steps)
        assert await again.once("charge", lambda: pytest.fail("called again"), returns=Charge) == PAID
        with pytest.raises(LeaseLost):
            await make_context(lease_lost=True).once("charge", lambda: pytest.fail("called"))

    asyncio.run(main())
    plain = make_context()
    assert plain.once_sync("charge", call)["id"] == "ch_1"
    assert plain.once_sync("charge", lambda: pytest.fail("called again"))["id"] == "ch_1"
    with pytest.raises(InvalidTask, match="is no name"):
        plain.once_sync("a b", lambda: pytest.fail("called"))
    for value in ("x" * 65_536, math.nan, {"rates": {1.0, -math.inf}}):
        with pytest.raises(Reject, match="was taken, and is not kept"):
            plain.once_sync("bad", lambda value=value: value)  # type: ignore[misc]
    assert plain.once_sync("none", lambda: [None, "null", 1.5]) == [None, "null", 1.5]
