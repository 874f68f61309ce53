"""cancel: what it does to a task in each state."""

from __future__ import annotations

import pytest

from redsched.wire import protocol
from tests.support.acts import SEED, hold
from tests.support.lua_queue import HOUR, KEEP_FINISHED, LEASE, NOW, Queue


def cancel(queue: Queue, *ids: str, reason: str = "") -> dict[str, str]:
    """The word for each id."""
    return queue.send(protocol.cancel(queue.keys, ids, reason=reason))


def test_a_scheduled_task_is_cancelled_at_once(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR)

    assert cancel(queue, "a", reason="paid") == {"a": "cancelled"}

    assert queue.places() == {"finished": {"a": NOW + KEEP_FINISHED}}
    assert queue.task("a") == SEED | {"state": "cancelled", "finished_at": str(NOW), "reason": "paid"}
    assert queue.events() == ["cancelled a"]
    assert queue.totals() == {"cancelled": 1}


def test_a_ready_task_leaves_its_stream(queue: Queue) -> None:
    for priority in ("high", "normal", "low"):
        queue.seed(priority, priority=priority)
    queue.promote()

    assert set(cancel(queue, "high", "normal", "low").values()) == {"cancelled"}

    assert queue.places() == {"finished": dict.fromkeys(("high", "normal", "low"), NOW + KEEP_FINISHED)}
    assert queue.claim().tasks == []


def test_a_ready_task_whose_entry_a_reader_holds_is_acknowledged(queue: Queue) -> None:
    queue.ready("a")
    queue.redis.xreadgroup("workers", "reader", {queue.keys.ready: ">"}, count=1)

    cancel(queue, "a")

    assert queue.pending() == 0


def test_a_held_task_is_cancelled_at_once(queue: Queue) -> None:
    hold(queue, "a")

    assert cancel(queue, "a") == {"a": "cancelled"}

    assert queue.places() == {"finished": {"a": NOW + KEEP_FINISHED}}
    assert queue.task("a")["reason"] == "cancelled"


def test_a_running_task_is_asked_once_and_runs_on(queue: Queue) -> None:
    queue.running("a")

    assert cancel(queue, "a", reason="paid") == {"a": "requested"}
    before = queue.dump()
    assert cancel(queue, "a", reason="again") == {"a": "requested"}

    assert queue.dump() == before
    assert queue.places() == {"running": {"a": NOW + LEASE}}
    assert queue.task("a")["cancel_requested"] == "paid"
    assert queue.events() == ["cancel_requested a"]


def test_a_task_that_waits_for_its_retry_is_cancelled(queue: Queue) -> None:
    queue.settle(queue.running("a"), "retry", 5_000, "it broke")

    assert cancel(queue, "a") == {"a": "cancelled"}

    assert queue.places() == {"finished": {"a": NOW + KEEP_FINISHED}}
    assert queue.outcome("a")["error"] == "it broke"


def test_a_second_cancel_answers_the_same_and_writes_nothing(queue: Queue) -> None:
    queue.seed("a")
    cancel(queue, "a", reason="one")
    before = queue.dump()

    assert cancel(queue, "a", reason="two") == {"a": "cancelled"}

    assert queue.dump() == before


@pytest.mark.parametrize("state", ["completed", "expired", "skipped", "dead"])
def test_a_finished_task_is_left_alone(queue: Queue, state: str) -> None:
    place = "dead" if state == "dead" else "finished"
    queue.write("a", state=state, finished_at=1, reason="r", **SEED)
    queue.redis.zadd(queue.keys.index(place), {"a": NOW + 1})
    before = queue.dump()

    assert cancel(queue, "a") == {"a": "finished"}

    assert queue.dump() == before


def test_what_is_no_task_is_missing_and_left_alone(queue: Queue) -> None:
    queue.broken |= {"string", "ghost"}
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.redis.zadd(queue.keys.due, {"ghost": NOW})
    before = queue.dump()

    assert cancel(queue, "string", "ghost", "nobody") == dict.fromkeys(("string", "ghost", "nobody"), "missing")
    assert queue.run("cancel", [queue.keys.due], [NOW, "", "a b", ""]) == [b"missing", b"missing"]

    assert {key: value for key, value in queue.dump().items() if ":stats:" not in key} == before


def test_a_task_without_retention_leaves_nothing(queue: Queue) -> None:
    queue.settle(queue.running("a", retention_ms=0), "retry", 5_000, "it broke")

    assert cancel(queue, "a") == {"a": "cancelled"}

    assert queue.places() == {}
    assert (queue.task("a"), queue.outcome("a")) == ({}, {})


def test_several_ids_are_answered_in_order(queue: Queue) -> None:
    queue.seed("a", due=NOW + 1)
    queue.running("b")
    queue.seed("c")

    assert queue.run("cancel", [queue.keys.due], [NOW, "", "c", "nobody", "b", "a", "c"]) == [
        b"cancelled",
        b"missing",
        b"requested",
        b"cancelled",
        b"cancelled",
    ]


def test_a_long_reason_is_cut(queue: Queue) -> None:
    queue.seed("a")
    cancel(queue, "a", reason="r" * 300)

    assert queue.task("a")["reason"] == "r" * 200


def test_a_malformed_task_can_be_cancelled(queue: Queue) -> None:
    queue.seed("a", type="no good", retention_ms="forever", priority="urgent", due=NOW + 1)

    assert cancel(queue, "a") == {"a": "cancelled"}

    assert queue.places() == {"finished": {"a": NOW + KEEP_FINISHED}}
