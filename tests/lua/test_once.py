"""once: what a step of a running task returned is kept with the task, by the claim that runs it."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.claims import MAX_STEP_BYTES, MAX_STEPS, Started, Step
from tests.support.lua_queue import HOUR, LEASE, NOW, Queue

OPEN = Step("open", False, b"")
FULL = Step("full", False, b"")
LOST = Step("lost", False, b"")


def kept(value: bytes, asked: bool = False) -> Step:
    return Step("kept", asked, value)


def once(queue: Queue, started: Started, step: str = "charge", value: bytes = b"") -> Step:
    return queue.send(protocol.once(queue.keys, started.id, started.token, step, value))


def test_a_step_is_open_until_it_is_kept_and_a_look_writes_nothing(queue: Queue) -> None:
    started = queue.running("a")
    before = queue.dump()
    assert once(queue, started) == OPEN
    assert queue.dump() == before

    assert once(queue, started, value=b'{"id":7}') == kept(b'{"id":7}')

    assert once(queue, started) == kept(b'{"id":7}')
    assert once(queue, started, "mail") == OPEN
    assert queue.places() == {"running": {"a": NOW + LEASE}}


def test_a_task_shows_its_steps_and_when_each_was_kept(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.once(queue.keys, "a", started.token, "mail", b'"sent"'), now=NOW + 2)
    queue.send(protocol.once(queue.keys, "a", started.token, "charge", b'{"id":7}'), now=NOW + 1)
    queue.redis.hset(queue.keys.outcome("a"), f"step:{NOW + 5}:other", "1")  # of another task with the id

    def steps(stored: bool = False) -> list[tuple[str, int, Any]]:
        view = queue.send(protocol.show(queue.keys, ["a"], stored=stored))["a"]
        assert view is not None
        return [(one.name, round(one.at.timestamp() * 1_000) if one.at else 0, one.value) for one in view.steps or ()]

    assert steps() == [("charge", NOW + 1, {"id": 7}), ("mail", NOW + 2, "sent")]
    assert [bytes(value) for _, _, value in steps(stored=True)] == [b'{"id":7}', b'"sent"']
    queue.settle(started, "complete")
    assert len(steps()) == 2
    queue.redis.hdel(queue.keys.outcome("a"), *[f for f in queue.redis.hkeys(queue.keys.outcome("a")) if "kept:" in f])
    assert steps() == [("charge", 0, {"id": 7}), ("mail", 0, "sent")]  # of an earlier version


def test_what_is_kept_first_stays(queue: Queue) -> None:
    started = queue.running("a")
    once(queue, started, value=b"1")
    before = queue.dump()

    assert once(queue, started, value=b"1") == kept(b"1")  # the call repeated, for its answer was lost
    assert once(queue, started, value=b"2") == kept(b"1")

    assert queue.dump() == before


def test_a_run_that_lost_its_lease_neither_looks_nor_keeps(queue: Queue) -> None:
    old = queue.running("a")
    once(queue, old, "first", b"1")
    queue.reap(now=NOW + LEASE)
    before = queue.dump()
    for started in (old, Started(*(*list(_fields(old))[:-1], ""))):
        assert once(queue, started, "first") == LOST
        assert once(queue, started, "second", b"2") == LOST
    assert queue.run("once", [queue.keys.due], ["ghost", old.token, "a", "1"])[0] == b"lost"
    assert queue.run("once", [queue.keys.due], ["a b", old.token, "a", "1"])[0] == b"lost"
    assert queue.dump() == before

    queue.promote(now=NOW + LEASE)
    (new,) = queue.claim(now=NOW + LEASE, consumer="other").tasks
    assert once(queue, old, "second", b"2") == LOST
    assert once(queue, new, "first") == kept(b"1")
    assert once(queue, new, "second") == OPEN


def test_a_run_that_has_been_settled_neither_looks_nor_keeps(queue: Queue) -> None:
    started = queue.running("a")
    once(queue, started, "first", b"1")
    queue.settle(started, "retry")

    assert once(queue, started, "first") == LOST
    assert once(queue, started, "second", b"2") == LOST


def _fields(started: Started) -> Any:
    return (getattr(started, name) for name in started.__struct_fields__)


def test_a_task_that_was_asked_to_stop_is_told_and_keeps_its_steps(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.cancel(queue.keys, ["a"]))

    assert once(queue, started) == Step("open", True, b"")
    assert once(queue, started, value=b"1") == kept(b"1", asked=True)
    assert once(queue, started) == kept(b"1", asked=True)


@pytest.mark.parametrize("outcome", ["retry", "snooze", "return"])
def test_steps_stay_over_runs(queue: Queue, outcome: str) -> None:
    started = queue.running("a")
    once(queue, started, value=b"1")
    queue.settle(started, outcome, 0 if outcome == "snooze" else "")
    queue.promote(now=NOW + HOUR)

    (again,) = queue.claim(now=NOW + HOUR).tasks
    assert once(queue, again) == kept(b"1")


def test_steps_stay_when_a_dead_task_is_revived(queue: Queue) -> None:
    started = queue.running("a")
    once(queue, started, value=b"1")
    queue.settle(started, "dead", "x")
    queue.send(protocol.revive(queue.keys, ["a"]))
    queue.promote()

    (again,) = queue.claim().tasks
    assert once(queue, again) == kept(b"1")


def test_steps_go_with_the_task(queue: Queue) -> None:
    ends = []
    for task_id, fields in (("a", {}), ("b", {"retention_ms": 0}), ("c", {}), ("d", {"retention_ms": 0})):
        started = queue.running(task_id, **fields)
        once(queue, started, value=b"1")
        ends.append(started)
    for started, outcome in zip(ends, ("complete", "complete", "cancelled", "cancelled"), strict=True):
        queue.settle(started, outcome)
    assert queue.redis.exists(queue.keys.outcome("b"), queue.keys.outcome("d")) == 0

    queue.send(protocol.sweep([queue.keys]), now=NOW + 2 * HOUR)

    assert queue.redis.exists(queue.keys.outcome("a"), queue.keys.outcome("c")) == 0


def test_a_later_task_of_the_id_does_not_take_the_steps_of_one_whose_hash_somebody_deleted(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}))
    (started,) = queue.claim().tasks
    once(queue, started, value=b"1")
    queue.redis.delete(queue.keys.task("a"))
    queue.redis.zrem(queue.key("running:q"), "a")

    queue.enqueue(("a", 0, {}), now=NOW + 1)
    (later,) = queue.claim(now=NOW + 1).tasks

    assert once(queue, later) == OPEN


def test_a_task_keeps_so_many_steps(queue: Queue) -> None:
    started = queue.running("a")
    for number in range(MAX_STEPS):
        assert once(queue, started, f"s{number}", b"1").word == "kept"
    before = queue.dump()

    assert once(queue, started, "more") == FULL
    assert once(queue, started, "more", b"1") == FULL
    assert once(queue, started, "s0") == kept(b"1")
    assert queue.dump() == before


def test_a_task_keeps_so_many_bytes_of_steps(queue: Queue) -> None:
    started = queue.running("a")
    half = MAX_STEP_BYTES // 2
    assert once(queue, started, "a", b"1" * (half - 1)).word == "kept"
    assert once(queue, started, "b", b"1" * half) == FULL
    assert once(queue, started, "b", b"1" * (half - 1)).word == "kept"

    assert once(queue, started, "c") == FULL
    assert once(queue, started, "a").value == b"1" * (half - 1)


def test_a_key_of_another_type_in_the_place_of_the_steps_holds_up_nothing(queue: Queue) -> None:
    started = queue.running("a")
    queue.broken.add("a")
    queue.redis.set(queue.keys.outcome("a"), "mine")

    assert once(queue, started) == OPEN
    assert once(queue, started, value=b"1") == kept(b"1")
    assert once(queue, started) == kept(b"1")


def test_a_name_that_is_none_is_refused(queue: Queue) -> None:
    started = queue.running("a")
    for step in ("", "a b", "x" * 129, "é"):
        text = "RS_INVALID 1 step must be 1 to 128 of [A-Za-z0-9._@+:-]"
        assert queue.refused("once", "a", started.token, step, "1") == text
