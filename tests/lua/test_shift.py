"""shift: due times of tasks that wait, each moved by as much from its own, once."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.call import Call
from tests.support.acts import hold
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue


def shift(queue: Queue, *tasks: tuple[str, int | None], by: int = 2 * HOUR, operation: str = "") -> dict[str, str]:
    """The words by id."""
    return queue.send(protocol.shift(queue.keys, tasks, by_ms=by, operation=operation))


def test_each_is_moved_from_its_own_due_time(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}), ("b", NOW + 2 * HOUR, {}))

    assert shift(queue, ("a", NOW + HOUR), ("b", None)) == {"a": "rescheduled", "b": "rescheduled"}

    assert queue.places() == {"due": {"a": NOW + 3 * HOUR, "b": NOW + 4 * HOUR}}
    assert queue.events()[-2:] == [f"rescheduled a due={NOW + 3 * HOUR}", f"rescheduled b due={NOW + 4 * HOUR}"]


def test_the_same_call_again_moves_nothing_twice(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))

    assert [shift(queue, ("a", NOW + HOUR))["a"] for _ in range(3)] == ["rescheduled"] * 3

    assert queue.places() == {"due": {"a": NOW + 3 * HOUR}}


def test_an_operation_moves_a_task_once_wherever_it_is_by_then(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))
    assert shift(queue, ("a", None), operation="o") == {"a": "rescheduled"}
    queue.send(protocol.move(queue.keys, ["a"], to="r"))
    there = queue.other("r")

    for was in (None, NOW + 3 * HOUR):
        assert shift(there, ("a", was), operation="o") == {"a": "rescheduled"}
    assert there.places() == {"due": {"a": NOW + 3 * HOUR}}

    assert shift(there, ("a", None), operation="p") == {"a": "rescheduled"}
    assert there.places() == {"due": {"a": NOW + 5 * HOUR}}


def test_one_that_an_operation_moved_and_that_has_run_since_counts(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))
    shift(queue, ("a", NOW + HOUR), operation="o")
    queue.send(protocol.cancel(queue.keys, ["a"]))

    assert shift(queue, ("a", NOW + HOUR), operation="o") == {"a": "rescheduled"}
    assert shift(queue, ("a", NOW + HOUR), operation="p") == {"a": "finished"}


def test_one_that_somebody_moved_meanwhile_stays(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))

    assert shift(queue, ("a", NOW + 5 * HOUR)) == {"a": "changed"}

    assert queue.places() == {"due": {"a": NOW + HOUR}}


def test_one_that_is_ready_waits_again(queue: Queue) -> None:
    queue.enqueue(("a", 0, {"priority": "high"}))

    assert shift(queue, ("a", NOW)) == {"a": "rescheduled"}

    assert queue.places() == {"due": {"a": NOW + 2 * HOUR}}


def test_one_that_is_held_waits_for_its_due_time(queue: Queue) -> None:
    hold(queue, "a", due_at=NOW + HOUR, blocked="confirm")

    assert shift(queue, ("a", None), by=-HOUR // 2) == {"a": "rescheduled"}

    assert queue.places() == {"due": {"a": NOW + HOUR // 2}}


def test_those_that_do_not_wait_stay(queue: Queue) -> None:
    queue.running("r")
    queue.enqueue(("d", NOW + HOUR, {}))
    queue.send(protocol.cancel(queue.keys, ["d"]))
    queue.redis.zadd(queue.key("held:q"), {"nobody": 1})
    queue.broken.add("nobody")

    assert shift(queue, ("r", NOW), ("d", None), ("nobody", None), by=5) == {
        "r": "running",
        "d": "finished",
        "nobody": "missing",
    }


@pytest.mark.parametrize("by", ["5", "+", "+1h", "", "-1.5", "+" + "9" * 13])
def test_by_is_ms_with_a_sign(queue: Queue, by: str) -> None:
    assert queue.refused("shift", NOW, by, "", "a", "").startswith("RS_INVALID 1 by must be")


@pytest.mark.parametrize("fields", [{}, {"expires_at": NOW + 4 * HOUR}])
@pytest.mark.parametrize("operation", ["", "o"])
@pytest.mark.parametrize("due", [0, NOW + HOUR])
def test_wherever_it_stops_the_same_again_moves_it_once(
    queue: Queue, due: int, operation: str, fields: dict[str, Any]
) -> None:
    def scene(queue: Queue) -> Call[Any]:
        queue.enqueue(("a", due, fields))
        return protocol.shift(queue.keys, [("a", due or NOW)], by_ms=HOUR, operation=operation)

    for here, call in each_stop(queue, scene):
        assert here.send(call) == {"a": "rescheduled"}
        task = here.task("a")
        assert (task.get("shifted", ""), task.get("shifting")) == (operation, None)
        assert task.get("expires_at") == (str(NOW + 5 * HOUR) if fields else None)
        for _ in range(2):
            here.promote()
        assert here.places()["due"] == {"a": (due or NOW) + HOUR}
        assert not here.claim().tasks, "an entry of it may be left, which is nobody's"
