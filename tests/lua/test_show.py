"""show: everything that is known of tasks."""

from __future__ import annotations

import pytest

from redsched.model.duration import instant
from redsched.wire import protocol
from tests.support.lua_queue import HOUR, LEASE, NOW, Queue


def test_a_scheduled_task_is_due_at_its_score(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR, tags='["x"]', headers='{"h":"1"}', payload='{"n":[1]}')

    view = queue.send(protocol.show(queue.keys, ["a"]))["a"]

    assert view is not None
    assert (view.id, view.queue, view.state, view.type, view.payload) == ("a", "q", "scheduled", "t", {"n": [1]})
    assert (view.due_at, view.tags, view.headers, view.attempt) == (instant(NOW + HOUR), ["x"], {"h": "1"}, 0)
    assert (view.lease_until, view.history, view.result) == (None, None, None)


def test_a_running_task_has_its_lease_and_progress(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.progress(queue.keys, "a", started.token, [1, 2]))
    queue.send(protocol.cancel(queue.keys, ["a"]))

    view = queue.send(protocol.show(queue.keys, ["a"]))["a"]

    assert view is not None
    assert (view.state, view.attempt, view.worker, view.cancel_requested) == ("running", 1, "w", True)
    assert (view.lease_until, view.due_at, view.started_at) == (instant(NOW + LEASE), instant(NOW), instant(NOW))
    assert view.progress == [1, 2]


def test_a_dead_task_has_its_error_and_history(queue: Queue) -> None:
    queue.settle(queue.running("a"), "retry", 0, "first", "line 1")
    queue.promote()
    queue.settle(queue.claim().tasks[0], "dead", "rejected", "second  with spaces", now=NOW + 5)

    view = queue.send(protocol.show(queue.keys, ["a"]))["a"]

    assert view is not None and view.history is not None
    assert (view.state, view.reason, view.error, view.finished_at) == (
        "dead",
        "rejected",
        "second  with spaces",
        instant(NOW + 5),
    )
    assert [(one.attempt, one.outcome, one.error, one.worker) for one in view.history] == [
        (1, "retry", "first", "w"),
        (2, "dead", "second  with spaces", "w"),
    ]


def test_what_is_no_task_is_none_and_order_is_kept(queue: Queue) -> None:
    queue.seed("a")
    queue.broken.add("string")
    queue.redis.set(queue.keys.task("string"), "mine")

    views = queue.send(protocol.show(queue.keys, ["nobody", "a", "string"]))

    assert [view and view.id for view in views.values()] == [None, "a", None]
    assert queue.run("show", [queue.keys.due], ["a b", ""]) == [[], []]


def test_an_outcome_that_is_no_hash_is_left_out(queue: Queue) -> None:
    queue.seed("a")
    queue.broken.add("a")
    queue.redis.set(queue.keys.outcome("a"), "mine")

    view = queue.send(protocol.show(queue.keys, ["a"]))["a"]

    assert view is not None and view.history is None


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": b"\xff\xfe"},
        {"payload": "{"},
        {"attempt": "x"},
        {"due_at": "1e400"},
        {"created_at": "nan"},
        {"expires_at": "9" * 30},
        {"tags": "3"},
        {"headers": "[1]"},
        {"started_at": "-5"},
        {"type": b"\xff"},
    ],
    ids=str,
)
def test_garbage_is_shown_and_not_refused(queue: Queue, fields: dict[str, str]) -> None:
    queue.redis.hset(queue.keys.task("a"), mapping={"type": "t", "payload": "{}"} | fields)

    reply = queue.run("show", [queue.keys.due], ["a"])
    view = protocol.show(queue.keys, ["a"]).read(reply)["a"]

    assert view is not None and view.id == "a"


def test_a_hundred_tasks_are_answered_at_most(queue: Queue) -> None:
    assert len(queue.run("show", [queue.keys.due], [f"t{number}" for number in range(101)])) == 100


def test_nothing_is_written(queue: Queue) -> None:
    queue.running("a")
    before = queue.dump()

    queue.send(protocol.show(queue.keys, ["a", "nobody"]))

    assert queue.dump() == before
