"""reschedule: another due time for a task in each state."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from tests.support.acts import SEED, hold
from tests.support.lua_queue import HOUR, NOW, Queue

THEN = NOW + HOUR


def reschedule(queue: Queue, *ids: str, due: int = THEN, now: int | None = None) -> dict[str, str]:
    """The word for each id."""
    return queue.send(protocol.reschedule(queue.keys, ids, due=due), now=now)


def test_a_scheduled_task_gets_another_due_time(queue: Queue) -> None:
    queue.seed("a", due=NOW + 5)

    assert reschedule(queue, "a") == {"a": "rescheduled"}

    assert queue.places() == {"due": {"a": THEN}}
    assert queue.task("a") == SEED | {"state": "scheduled"}
    assert queue.events() == [f"rescheduled a due={THEN}"]


def test_a_ready_task_waits_again_and_leaves_its_stream(queue: Queue) -> None:
    queue.ready("a", priority="low")

    assert reschedule(queue, "a") == {"a": "rescheduled"}

    assert queue.places() == {"due": {"a": THEN}}
    assert queue.claim().tasks == []
    queue.promote(now=THEN)
    assert (queue.task("a")["due_at"], queue.task("a")["entry"]) == (str(THEN), "low/1")


def test_a_ready_task_whose_entry_a_reader_holds_is_acknowledged(queue: Queue) -> None:
    queue.ready("a")
    queue.redis.xreadgroup("workers", "reader", {queue.keys.ready: ">"}, count=1)

    reschedule(queue, "a")

    assert queue.pending() == 0


def test_a_held_task_is_scheduled(queue: Queue) -> None:
    hold(queue, "a")

    assert reschedule(queue, "a") == {"a": "rescheduled"}

    assert queue.places() == {"due": {"a": THEN}}


@pytest.mark.parametrize(
    ("due", "given"), [(0, NOW + 9), (NOW - HOUR, NOW - HOUR), ("+500", NOW + 509), ("+0", NOW + 9)]
)
def test_now_the_past_and_a_delay_are_taken(queue: Queue, due: Any, given: int) -> None:
    queue.seed("a", due=NOW + 5)

    assert queue.run("reschedule", [queue.keys.due], [NOW + 9, due, "a"]) == [b"rescheduled"]

    assert queue.places() == {"due": {"a": given}}


def test_a_running_task_and_a_finished_one_are_left_alone(queue: Queue) -> None:
    queue.settle(queue.running("done"), "complete")
    queue.settle(queue.running("dead"), "dead", "x")
    queue.running("runs")
    before = queue.dump()

    words = {"runs": "running", "done": "finished", "dead": "finished", "nobody": "missing"}
    assert reschedule(queue, *words) == words
    assert queue.run("reschedule", [queue.keys.due], [NOW, THEN, "a b"]) == [b"missing"]

    assert queue.dump() == before


def test_a_key_that_is_no_hash_is_missing_and_left_alone(queue: Queue) -> None:
    queue.broken.add("string")
    queue.redis.set(queue.keys.task("string"), "mine")

    assert reschedule(queue, "string") == {"string": "missing"}

    assert queue.places() == {}


def test_a_retry_can_be_brought_forward(queue: Queue) -> None:
    queue.settle(queue.running("a"), "retry", HOUR, "it broke")

    reschedule(queue, "a", due=0)
    queue.promote()

    assert queue.claim().tasks[0].attempt == 2


@pytest.mark.parametrize("due", ["", "soon", "-1", NOW // 1_000, NOW * 1_000, "+", "+-1", "1.5", "inf"])
def test_a_due_time_that_is_none_is_refused(queue: Queue, due: Any) -> None:
    queue.seed("a", due=NOW + 5)

    assert queue.refused("reschedule", NOW, due, "a") == "RS_INVALID 1 due must be ms since the epoch, 0 or +ms"
