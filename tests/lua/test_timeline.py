"""What queues did, by minute, and what is due in them, in one bounded look."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.timeline import Told, Window
from tests.support.lua_queue import HOUR, NOW, Queue

MINUTE = 60_000
STEP = 5 * MINUTE
FIRST = (NOW - HOUR) // STEP * STEP


def told(queue: Queue, *, now: int = NOW, past: int = HOUR, ahead: int = HOUR, sample: int = 0) -> Told:
    """The timeline of one queue."""
    moment, first, (found,) = queue.send(protocol.timeline([queue.keys], Window(past, ahead, STEP), sample), now=now)
    assert (moment, first) == (now, (now - past) // STEP * STEP)
    return found


def step_of(moment: int) -> int:
    """The number of the step in which a moment lies."""
    return (moment - FIRST) // STEP


def test_what_is_due_is_counted_in_its_step(queue: Queue) -> None:
    moments = {"a": NOW + 1, "b": NOW + STEP, "c": NOW + STEP, "d": NOW + HOUR - 1, "e": NOW + 3 * HOUR}
    queue.enqueue(*((name, moment, {}) for name, moment in moments.items()))
    queue.write("late", due=NOW - 10, type="t")

    found = told(queue)

    counted = [0] * len(found.due)
    for name in "abcd":
        counted[step_of(moments[name])] += 1
    assert (found.late, found.later, found.due) == (1, 1, counted)


def test_each_due_time_counts_once_at_the_edges_of_steps(queue: Queue) -> None:
    edge = FIRST + step_of(NOW) * STEP + STEP
    queue.enqueue(*((f"t{at}", moment, {}) for at, moment in enumerate((edge - 1, edge, edge + STEP - 1, edge + STEP))))

    found = told(queue)

    assert found.due[step_of(edge) - 1 : step_of(edge) + 2] == [1, 2, 1]
    assert sum(found.due) == 4


def test_the_past_is_counted_by_minute(queue: Queue) -> None:
    for moment in (NOW - 30 * MINUTE, NOW - 29 * MINUTE, NOW):
        queue.enqueue((f"t{moment}", 0, {}), now=moment)
        for started in queue.claim(now=moment).tasks:
            queue.settle(started, "complete", now=moment)

    found = told(queue)

    for what in ("enqueued", "started", "completed"):
        assert sum(counts.get(what, 0) for counts in found.counts.values()) == 3
    assert found.counts[step_of(NOW)]["completed"] == 1
    assert sum(found.counts[step_of(NOW)].get(f"late_{bound}", 0) for bound in (1, 2, 5)) == 1
    assert told(queue, past=0).counts.keys() <= {0}


def test_types_are_those_of_a_sample_spread_over_what_is_due(queue: Queue) -> None:
    kinds = ["a"] * 300 + ["b"] * 100
    queue.enqueue(*((f"t{at:03}", NOW + 1 + at, {"type": kind}) for at, kind in enumerate(kinds)))
    queue.enqueue(("much-later", NOW + 3 * HOUR, {"type": "c"}))
    queue.write("late", due=NOW - 10, type="d")

    assert told(queue, sample=200).types == {"a": 150, "b": 50}
    assert sum(told(queue, sample=9).types.values()) == 9
    assert told(queue, sample=0).types == {}


def test_foreign_keys_and_ids_are_passed_over(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {"ghost": NOW + 1, "no id": NOW + 2})
    queue.redis.set(queue.key(f"stats:q:{NOW // MINUTE}"), "x")

    call = protocol.timeline([queue.keys], Window(HOUR, HOUR, STEP), 10)
    _, _, (found,) = call.read(queue.run("timeline", call.keys, (NOW, *call.args[1:])))

    assert (sum(found.due), found.types, found.counts) == (2, {}, {})


@pytest.mark.parametrize(
    "words",
    [
        (HOUR + 1, 0, MINUTE, 0),
        (-1, 0, MINUTE, 0),
        (0, -1, MINUTE, 0),
        (0, 0, 0, 0),
        (0, 0, MINUTE + 1, 0),
        (0, 0, MINUTE, 201),
        (0, 0, MINUTE, -1),
        (0, 400 * HOUR, MINUTE, 0),
        ("x", 0, MINUTE, 0),
        (0, 0, "x", 0),
    ],
)
def test_what_is_too_much_or_nothing_is_refused(queue: Queue, words: tuple[Any, ...]) -> None:
    assert queue.refused("timeline", 0, *words).startswith("RS_INVALID 1 ")
