"""update: other fields for a task in each state."""

from __future__ import annotations

import pytest

from redsched.wire.claims import Bell
from tests.support.acts import SEED, hold, update
from tests.support.lua_queue import HOUR, KEEP_DEAD, LEASE, NOW, Queue


def test_fields_of_a_scheduled_task_change_and_nothing_else_does(queue: Queue) -> None:
    queue.seed("a", due=NOW + 5, key="k")

    assert update(queue, ["a"], payload="[1]", max_attempts=9, expires_at="+60000") == ["updated"]

    assert queue.places() == {"due": {"a": NOW + 5}}
    assert queue.task("a") == SEED | {
        "payload": "[1]",
        "key": "k",
        "max_attempts": "9",
        "expires_at": str(NOW + 60_000),
    }
    assert queue.events() == ["updated a"]


def test_an_empty_value_takes_a_field_back_to_its_default(queue: Queue) -> None:
    fields = {
        "priority": "low",
        "max_attempts": "9",
        "retry": "fixed 1",
        "timeout_ms": "9",
        "expires_at": str(NOW + 9),
        "key": "k",
        "tags": "[]",
        "headers": "{}",
        "traceparent": "x",
        "retention_ms": "9",
        "keep": "1",
        "content_type": "x",
    }
    queue.seed("a", due=NOW + 5, **fields)

    assert update(queue, ["a"], **dict.fromkeys(fields, "")) == ["updated"]

    assert queue.task("a") == SEED


def test_a_ready_task_moves_to_the_stream_of_its_new_priority(queue: Queue) -> None:
    queue.ready("a")
    queue.ready("b")

    assert update(queue, ["b"], priority="high") == ["updated"]

    assert queue.places() == {"ready": {"high": ["b"], "normal": ["a"]}}
    assert (queue.task("b")["entry"], queue.task("b")["priority"]) == ("high/1", "high")
    assert [task.id for task in queue.claim().tasks] == ["b", "a"]


def test_a_ready_task_moves_back_to_the_normal_stream(queue: Queue) -> None:
    queue.ready("a", priority="low")

    update(queue, ["a"], priority="")

    assert queue.places() == {"ready": {"normal": ["a"]}}
    assert queue.task("a") == SEED | {"state": "ready", "entry": "normal/1", "due_at": str(NOW)}


def test_a_ready_task_stays_in_its_stream_when_other_fields_change(queue: Queue) -> None:
    queue.ready("a", priority="low")

    update(queue, ["a"], payload="[1]")

    assert queue.places() == {"ready": {"low": ["a"]}}
    assert queue.claim().tasks[0].payload == b"[1]"


def test_an_entry_that_a_reader_holds_starts_nothing_after_an_update(queue: Queue) -> None:
    queue.ready("a")
    ((_, ((at, _),)),) = queue.redis.xreadgroup("workers", "w", {queue.keys.ready: ">"}, count=1)
    update(queue, ["a"], priority="low")

    claimed = queue.claim(bells=[Bell("q", f"normal/{at}", "a")])

    assert [task.id for task in claimed.tasks] == ["a"]
    assert queue.pending() == queue.pending("low") == 0


def test_a_ready_task_whose_priority_somebody_spoilt_can_be_mended(queue: Queue) -> None:
    queue.ready("a")
    queue.redis.hset(queue.keys.task("a"), "priority", "urgent")

    assert update(queue, ["a"], payload="[1]") == ["updated"]

    assert queue.places() == {"ready": {"normal": ["a"]}}


def test_a_held_and_a_dead_task_stay_where_they_are(queue: Queue) -> None:
    hold(queue, "held")
    queue.settle(queue.running("dead"), "dead", "x")

    assert update(queue, ["held", "dead"], payload="[1]") == ["updated", "updated"]

    assert queue.places() == {"held": {"held": NOW + HOUR}, "dead": {"dead": NOW + KEEP_DEAD}}
    assert (queue.task("dead")["payload"], queue.task("dead")["state"]) == ("[1]", "dead")


def test_what_runs_has_finished_or_is_no_task_is_left_alone(queue: Queue) -> None:
    queue.settle(queue.running("done"), "complete")
    queue.running("runs")
    queue.broken.add("string")
    queue.redis.set(queue.keys.task("string"), "mine")
    before = queue.dump()

    assert update(queue, ["runs", "done", "string", "nobody", "a b", ""], payload="1") == [
        "running",
        "finished",
        "missing",
        "missing",
        "missing",
        "missing",
    ]

    assert queue.dump() == before
    assert queue.places()["running"] == {"runs": NOW + LEASE}


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("request", "r", "request cannot be changed"),
        ("request", "", "request cannot be changed"),
        ("type", "", "type must be"),
        ("type", "no good", "type must be"),
        ("priority", "urgent", "priority must be"),
        ("max_attempts", "0", "max_attempts is no number"),
        ("timeout_ms", "x", "timeout_ms is no number"),
        ("retry", "sometimes", "retry is no policy"),
        ("retry", "exponential 1 nan 2 0", "retry is no policy"),
        ("expires_at", "0", "expires_at must be"),
        ("key", "k" * 129, "key is too long"),
        ("state", "ready", "fields hold one that is unknown"),
        ("state", "", "fields hold one that is unknown"),
        ("color", "", "fields hold one that is unknown"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_and_nothing_is_written(
    queue: Queue, field: str, value: str, why: str
) -> None:
    queue.seed("a", due=NOW + 5)

    assert queue.refused("update", NOW, 2, "payload", "[1]", field, value, "a").startswith(f"RS_INVALID 1 {why}")


def test_an_empty_payload_is_one(queue: Queue) -> None:
    queue.seed("a", due=NOW + 5)

    update(queue, ["a"], payload="")

    assert queue.task("a")["payload"] == ""


def test_fields_for_no_task_are_taken(queue: Queue) -> None:
    assert update(queue, [], payload="[1]") == []
