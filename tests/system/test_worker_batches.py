"""``@app.batch``: tasks of one type run together, and each keeps its own lease, time limit, context and end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from redsched import (
    App,
    CallNext,
    Cancelled,
    Context,
    Dead,
    Fixed,
    InvalidTask,
    Reject,
    Retry,
    RetryLater,
    Snooze,
    SnoozeFor,
    TaskView,
    Worker,
)
from redsched.testing import AsyncTestClient, RunFailed, TestClient, make_context
from tests.support.workers import FINAL, Site, site_on

Items = list[tuple[Context, Any]]


@dataclass
class Mail:
    """A payload."""

    to: str
    copies: int = 1


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def ended(views: Sequence[TaskView]) -> bool:
    return all(view.state in FINAL for view in views)


def work(
    site: Site,
    app: App,
    ids: list[str],
    until: Callable[[Sequence[TaskView]], bool] = ended,
    stragglers: int = 0,
    **settings: Any,
) -> list[TaskView]:
    """Run a worker of the app until this is so of these tasks; so many threads outlive it."""
    worker: Worker | None = None

    async def main() -> int:
        nonlocal worker
        worker = Worker(app, site.settings(**settings))
        running = asyncio.create_task(worker.run())
        while not until(site.views(ids)):
            await asyncio.sleep(0.02)
        worker.stop()
        return await running

    assert asyncio.run(asyncio.wait_for(main(), 60)) == 0
    assert worker is not None and worker.stragglers == stragglers
    return site.views(ids)


def test_tasks_that_are_due_together_run_together_and_each_gets_its_own_result(site: Site) -> None:
    app, sizes = App("shop"), list[int]()

    @app.batch("mail", size=40, linger="10s")
    async def mail(batch: list[tuple[Context, Mail]]) -> list[Any]:
        sizes.append(len(batch))
        await asyncio.sleep(0)
        return [{"id": ctx.id, "to": found.to} for ctx, found in batch]

    made = [site.enqueue("mail", 1, payload={"to": f"u{number}"})[0] for number in range(120)]

    views = work(site, app, made, concurrency=2)  # a batch takes the place of one run: 2 of them fit

    assert sizes == [40, 40, 40]
    assert [view.result for view in views] == [{"id": id_, "to": f"u{n}"} for n, id_ in enumerate(made)]
    site.assert_consistent()


def test_a_batch_that_is_not_full_runs_when_its_time_is_over(site: Site) -> None:
    app, sizes = App("shop"), list[int]()

    @app.batch("mail", size=500, linger="50ms")
    def mail(batch: Items) -> None:
        assert threading.current_thread() is not threading.main_thread()
        sizes.append(len(batch))

    views = work(site, app, site.enqueue("mail", 5))
    assert [(view.state, view.result) for view in views] == [("completed", None)] * 5
    assert sum(sizes) == 5


def test_each_task_ends_as_the_batch_says_of_it(site: Site) -> None:
    app = App("shop")
    said: dict[str, Any] = {
        "result": "sent",
        "none": None,
        "retry": Retry("later", delay="1h"),
        "raised": RetryLater("busy", delay="1h"),
        "snooze": Snooze("1h"),
        "snoozed": SnoozeFor(timedelta(hours=1)),
        "dead": Dead("no such address"),
        "rejected": Reject("never"),
        "cancelled": Cancelled("asked to"),
        "error": ValueError("of this one"),
    }

    @app.batch("mail", size=len(said), linger="10s")
    async def mail(batch: Items) -> list[Any]:
        return [said[payload] for _, payload in batch]

    ids = [site.enqueue("mail", 1, payload=name, retry=Fixed("1h"))[0] for name in said]

    def settled(views: Sequence[TaskView]) -> bool:
        return not any(view.state in ("ready", "running") for view in views)

    views = dict(zip(said, work(site, app, ids, settled), strict=True))
    assert {name: view.state for name, view in views.items()} == {
        "result": "completed",
        "none": "completed",
        "retry": "scheduled",
        "raised": "scheduled",
        "snooze": "scheduled",
        "snoozed": "scheduled",
        "dead": "dead",
        "rejected": "dead",
        "cancelled": "cancelled",
        "error": "scheduled",
    }
    assert (views["result"].result, views["none"].result) == ("sent", None)
    assert [views[name].attempt for name in ("retry", "raised", "snooze", "snoozed", "error")] == [1, 1, 0, 0, 1]
    assert [views[name].error for name in ("retry", "raised", "error")] == ["later", "busy", "ValueError: of this one"]
    assert (views["dead"].reason, views["rejected"].reason) == ("no such address", "rejected")


@pytest.mark.parametrize("type_", ["coroutine", "plain"])
def test_what_a_batch_raises_ends_all_of_its_tasks(site: Site, type_: str) -> None:
    app = App("shop")

    def fail(batch: Items) -> None:
        raise (ConnectionError if batch[0][1] == "error" else Reject)("the provider is down")

    @app.batch("coroutine", size=3, linger="10s")
    async def coroutine(batch: Items) -> None:
        await asyncio.sleep(0)
        fail(batch)

    app.batch("plain", size=3, linger="10s")(fail)

    views = work(site, app, site.enqueue(type_, 3, payload="error", max_attempts=1))
    assert {(view.state, view.reason, view.error) for view in views} == {
        ("dead", "attempts", "ConnectionError: the provider is down")
    }
    for frame in ("in fail", "in join"):  # each has a traceback of its own
        assert {(view.traceback or "").count(frame) for view in views} == {1}
    views = work(site, app, site.enqueue(type_, 3, payload="reject"))
    assert {(view.state, view.reason) for view in views} == {("dead", "rejected")}


def test_an_answer_that_is_too_short_fails_those_left_out_and_one_too_long_fails_all(site: Site) -> None:
    app = App("shop")
    answers = {"short": ["a"], "long": ["a", "b", "c"], "text": "ab", "generator": (x for x in "ab")}

    @app.batch("mail", size=2, linger="10s")
    async def mail(batch: Items) -> Any:
        return answers[batch[0][1]]

    found = {}
    for name in answers:
        views = work(site, app, site.enqueue("mail", 2, payload=name, max_attempts=1))
        found[name] = [(view.state, view.error or view.result) for view in views]
    too_long = "TypeError: the batch handler answered 3 outcomes for 2 tasks, so nobody knows which is whose"
    no_list = "TypeError: the batch handler returned '{}'; it answers a list, an outcome for each task"
    assert found == {
        "short": [
            ("completed", "a"),
            ("dead", "TypeError: the batch handler answered 1 outcomes for 2 tasks, and none for this one"),
        ],
        "long": [("dead", too_long)] * 2,
        "text": [("dead", no_list.format("str"))] * 2,
        "generator": [("dead", no_list.format("generator"))] * 2,
    }


def test_a_payload_that_does_not_fit_ends_its_own_task_and_joins_no_batch(site: Site) -> None:
    app, seen = App("shop"), list[list[Mail]]()

    @app.batch("mail", size=2, linger="10s")
    async def mail(batch: Sequence[tuple[Context, Mail]]) -> None:
        seen.append([payload for _, payload in batch])

    payloads: list[Any] = [{"to": "a"}, {"copies": 3}, ["no mail"], {"to": "b", "copies": 2, "new_field": 1}]
    ids = [site.enqueue("mail", 1, payload=payload)[0] for payload in payloads]
    views = work(site, app, ids)
    assert [(view.state, view.reason) for view in views] == [
        ("completed", None),
        ("dead", "payload"),
        ("dead", "payload"),
        ("completed", None),
    ]
    assert seen == [[Mail("a"), Mail("b", 2)]]


def test_a_task_that_is_cancelled_leaves_its_batch_and_the_others_go_on(site: Site) -> None:
    app, started, go, told = App("shop"), threading.Event(), threading.Event(), list[bool]()

    @app.batch("mail", size=3, linger="10s")
    async def mail(batch: Items) -> list[str]:
        started.set()
        await asyncio.to_thread(go.wait, 60)
        told.extend(ctx.cancel_requested for ctx, _ in batch)
        return [ctx.id for ctx, _ in batch]

    ids = site.enqueue("mail", 3)

    def until(views: Sequence[TaskView]) -> bool:
        if started.is_set() and not views[1].cancel_requested and views[1].state == "running":
            site.client.cancel(ids[1])
        if views[1].state == "cancelled":
            go.set()
        return ended(views)

    views = work(site, app, ids, until)
    assert [view.state for view in views] == ["completed", "cancelled", "completed"]
    assert told == [False, True, False]


@pytest.mark.parametrize("type_", ["coroutine", "plain"])
def test_the_time_limit_is_that_of_each_task_and_the_batch_stops_with_its_last(site: Site, type_: str) -> None:
    app, notes, go = App("shop"), list[str](), threading.Event()

    @app.batch("coroutine", size=2, linger="10s")
    async def coroutine(batch: Items) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            notes.append("stopped")

    @app.batch("plain", size=2, linger="10s")
    def plain(batch: Items) -> None:
        go.wait(60)

    ids = [site.enqueue(type_, 1, max_attempts=1, timeout=limit)[0] for limit in ("50ms", "150ms")]
    try:
        if type_ == "plain":
            views = work(site, app, ids, stragglers=1)
        else:
            views = work(site, app, ids, lambda views: ended(views) and bool(notes))
    finally:
        go.set()
    assert [(view.state, (view.error or "")[:9]) for view in views] == [("dead", "TimeLimit")] * 2
    assert notes == (["stopped"] if type_ == "coroutine" else [])


def test_a_worker_that_stops_hands_back_what_waits_for_a_batch(site: Site) -> None:
    app = App("shop")

    @app.batch("mail", size=3, linger="10s")
    async def mail(batch: Items) -> None:
        raise AssertionError("it was to be stopped before")

    ids = site.enqueue("mail", 2, max_attempts=1)
    views = work(site, app, ids, lambda views: all(view.state == "running" for view in views), shutdown_grace_ms=100)
    assert [(view.state, view.attempt) for view in views] == [("ready", 0)] * 2
    site.assert_consistent()


def test_middleware_and_steps_are_those_of_each_task(site: Site) -> None:
    app, notes = App("shop"), list[tuple[str, Any]]()

    @app.middleware
    async def note(ctx: Context, call_next: CallNext) -> Any:
        result = await call_next()
        notes.append((ctx.id, result))
        return result

    @app.batch("mail", size=2, linger="10s")
    async def mail(batch: Items) -> list[Any]:
        return [await ctx.once("send", lambda payload=payload: f"sent {payload}") for ctx, payload in batch]

    ids = [site.enqueue("mail", 1, payload=name)[0] for name in "ab"]
    views = work(site, app, ids)
    assert sorted(notes) == sorted(zip(ids, ["sent a", "sent b"], strict=True))
    assert [view.result for view in views] == ["sent a", "sent b"]


def test_other_types_run_beside_a_batch_that_collects(site: Site) -> None:
    app, alone = App("shop"), list[str]()

    @app.batch("mail", size=1_000, linger="10s")
    async def mail(batch: Items) -> None: ...

    @app.task("plain")
    async def plain(ctx: Context) -> None:
        alone.append(ctx.id)

    waiting = site.enqueue("mail", 20)
    ids = site.enqueue("plain", 20)
    views = work(site, app, ids, concurrency=2, shutdown_grace_ms=100)
    assert sorted(alone) == sorted(ids)
    assert {view.state for view in views} == {"completed"}
    assert {view.state for view in site.views(waiting)} == {"ready"}


def test_what_is_no_batch_handler_is_refused_when_it_is_registered() -> None:
    app = App("shop")

    def none() -> None: ...
    def two(ctx: Context, batch: Items) -> None: ...
    def no_list(batch: dict[str, Any]) -> None: ...
    def no_pairs(batch: list[Mail]) -> None: ...
    def no_context(batch: list[tuple[str, Mail]]) -> None: ...
    def odd(batch: list[tuple[Context, threading.Event]]) -> None: ...
    def good(batch: Items) -> None: ...

    for function in (none, two, no_list, no_pairs, no_context):
        with pytest.raises(TypeError, match="a batch handler takes one list"):
            app.batch("mail")(function)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="the payloads of its list"):
        app.batch("mail")(odd)
    for size, linger in ((0, "1s"), (1_001, "1s"), (1, "11s")):
        with pytest.raises(ValueError, match="is not between"):
            app.batch("mail", size=size, linger=linger)(good)
    with pytest.raises(InvalidTask):
        app.batch("mail", max_attempts=0)(good)
    assert "mail" not in app.tasks
    app.batch("mail")(good)
    with pytest.raises(ValueError, match="has a handler already"):
        app.batch("mail")(good)
    app.batch("any")(lambda batch: None)


def test_the_schema_of_a_batchs_payloads_is_that_of_one_of_them() -> None:
    app = App("shop")

    @app.batch("mail", retention="2h", key="mails")
    def mail(batch: list[tuple[Context, Mail]]) -> None: ...

    found = json.loads(app.tasks["mail"].handler.schema())
    (of_mail,) = found["$defs"].values()
    assert (found["$ref"], of_mail["required"]) == ("#/$defs/Mail", ["to"])
    task = app.tasks["mail"].task({"to": "a"})
    assert (task.payload, task.retention, task.key) == ({"to": "a"}, "2h", "mails")
    app.batch("any")(lambda batch: None)
    assert json.loads(app.tasks["any"].handler.schema()).keys() == {"$schema"}


def shop(sizes: list[int]) -> App:
    app = App("shop")

    @app.batch("mail", size=3, linger="10s")
    async def mail(batch: list[tuple[Context, Mail]]) -> list[Any]:
        sizes.append(len(batch))
        return [ValueError("bad") if found.to == "bad" else found.to for _, found in batch]

    @app.task("plain")
    async def plain(ctx: Context) -> None:
        sizes.append(0)

    return app


def test_a_test_client_runs_what_is_due_together_in_batches() -> None:
    sizes: list[int] = []
    with TestClient(shop(sizes)) as client:
        for number in range(4):
            client.enqueue("mail", {"to": f"u{number}"}, timeout="5s")  # it does not wait for more to come
        client.enqueue("plain")
        client.enqueue("mail", {"to": "late"}, delay="1h")
        runs = client.run_due()
        assert sorted(run.result for run in runs if run.type == "mail") == ["u0", "u1", "u2", "u3"]
        assert sizes == [3, 1, 0]
        (late,) = client.advance(hours=1)
        assert (late.result, late.outcome) == ("late", "completed")


def test_a_test_client_raises_the_first_error_of_a_batch_and_settles_all() -> None:
    async def main() -> None:
        async with AsyncTestClient(shop([]), raise_errors=True) as client:
            for to in ("a", "bad", "b"):
                await client.enqueue("mail", {"to": to}, max_attempts=1)
            with pytest.raises(ValueError, match="bad"):
                await client.run_due()
            assert sorted(run.state for run in client.runs) == ["completed", "completed", "dead"]
            await client.enqueue("mail", {"two": 2})
            with pytest.raises(RunFailed):
                await client.run_due()

    asyncio.run(main())


def test_a_batch_handler_is_called_directly_with_contexts_of_the_test() -> None:
    app = App("shop")

    @app.batch("mail")
    async def mail(batch: list[tuple[Context, Mail]]) -> list[str]:
        return [f"{ctx.id} {found.to}" for ctx, found in batch]

    called = mail([(make_context(id="a"), Mail("x")), (make_context(id="b"), Mail("y"))])
    assert asyncio.run(called) == ["a x", "b y"]  # type: ignore[arg-type]
