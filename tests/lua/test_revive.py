"""revive: dead tasks run again, others are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import dead_letters, protocol
from tests.support.acts import SEED
from tests.support.lua_queue import HOUR, NOW, Queue

THEN = NOW + HOUR


def test_a_dead_task_is_scheduled_as_if_it_had_never_been_tried(queue: Queue) -> None:
    started = queue.running("a", max_attempts=1, key="k")
    queue.send(protocol.cancel(queue.keys, ["a"]))
    queue.settle(started, "dead", "rejected", "it broke")
    history = queue.outcome("a")

    assert queue.send(protocol.revive(queue.keys, ["a"], due=THEN)) == {"a": "revived"}

    assert queue.places() == {"due": {"a": THEN}}
    assert queue.task("a") == SEED | {
        "key": "k",
        "max_attempts": "1",
        "state": "scheduled",
        "attempt": "0",
        "due_at": str(NOW),
    }
    assert queue.outcome("a") == history
    assert queue.events()[-1] == "revived a"
    assert queue.totals()["revived"] == 1


def test_a_revived_task_runs_with_a_first_attempt(queue: Queue) -> None:
    queue.settle(queue.running("a", max_attempts=1), "retry", "", "it broke")
    queue.send(protocol.revive(queue.keys, ["a"]))
    queue.promote()

    (started,) = queue.claim().tasks

    assert started.attempt == 1


def test_a_claim_from_before_the_revival_is_lost(queue: Queue) -> None:
    old = queue.running("a")
    queue.settle(old, "dead", "x")
    queue.send(protocol.revive(queue.keys, ["a"]))

    assert queue.settle(old, "complete") == "lost"


@pytest.mark.parametrize(("due", "given"), [(0, NOW), ("+500", NOW + 500), (NOW - 5, NOW - 5)])
def test_now_the_past_and_a_delay_are_taken(queue: Queue, due: Any, given: int) -> None:
    queue.settle(queue.running("a"), "dead", "x")

    queue.run("revive", [queue.keys.due], [NOW, due, "a"])

    assert queue.places() == {"due": {"a": given}}


def test_other_states_are_named_and_left_alone(queue: Queue) -> None:
    queue.settle(queue.running("completed"), "complete")
    queue.running("running")
    queue.seed("scheduled", due=THEN)
    queue.seed("cancelled", due=THEN)
    queue.send(protocol.cancel(queue.keys, ["cancelled"]))
    queue.broken.add("string")
    queue.redis.set(queue.keys.task("string"), "mine")
    before = queue.dump()

    ids = ["completed", "running", "scheduled", "cancelled"]
    words = dict(zip(ids, ids, strict=True)) | {"nobody": "missing", "string": "missing"}
    assert queue.send(protocol.revive(queue.keys, [*words])) == words
    assert queue.run("revive", [queue.keys.due], [NOW, 0, "a b"]) == [b"missing"]

    assert queue.dump() == before


def test_a_second_revival_is_told_that_the_task_waits(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "x")

    assert queue.run("revive", [queue.keys.due], [NOW, THEN, "a", "a"]) == [b"revived", b"scheduled"]

    assert queue.places() == {"due": {"a": THEN}}


def test_a_due_time_that_is_none_is_refused(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "x")

    assert queue.refused("revive", NOW, "soon", "a") == "RS_INVALID 1 due must be ms since the epoch, 0 or +ms"


def died(queue: Queue, task_id: str, conditions: str) -> None:
    """A dead letter with conditions."""
    queue.enqueue((task_id, 0, {"conditions": conditions}))
    queue.promote()
    (started,) = queue.claim().tasks
    queue.settle(started, "dead", "rejected")


def test_an_event_counts_from_the_revival_on_though_the_task_is_due_later(queue: Queue) -> None:
    died(queue, "a", '{"cancel_on":["x"]}')

    queue.run("revive", [queue.keys.due], [NOW, "+3600000", "a"])
    queue.emit("x")

    assert queue.task("a")["state"] == "cancelled"
    assert queue.task("a")["reason"] == "event x"


def test_a_dead_child_runs_again_though_its_parent_was_removed_meanwhile(queue: Queue) -> None:
    queue.seed("parent")
    queue.plan("child", {"after": {"ids": ["parent"]}})
    queue.promote()
    for outcome in ("complete", "dead"):
        (started,) = queue.claim().tasks
        queue.settle(started, outcome)
        queue.attend()
        queue.promote()
    queue.send(dead_letters.drop(queue.keys, ["parent"]))
    queue.attend()

    queue.run("revive", [queue.keys.due], [NOW, 0, "child"])
    queue.promote()

    assert queue.task("child")["state"] == "ready"
