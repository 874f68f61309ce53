"""Schedules whose fire stops before one of its writes: no slot is made twice, and none stands in its own way."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire.call import Call
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.timetable import MINUTE, Timetable, decision, plain


def fire_of_a_slot(queue: Queue) -> Call[Any]:
    """The slot of a schedule that starts no run beside another."""
    Timetable(queue).planned(NOW, {"overlap": "skip"})
    return Call("fire", [queue.keys.due], [0, *decision(queue, following=NOW + MINUTE, slots=[NOW])], plain)


def test_no_run_starts_beside_another_wherever_the_call_that_made_it_stopped(queue: Queue) -> None:
    for here, _ in each_stop(queue, fire_of_a_slot):
        times = Timetable(here)
        if times.hash().get("slot") == str(NOW):
            times.fire(NOW + MINUTE, now=NOW + 30_000, missed=1, why="nobody looked for a while")
        times.run(NOW + MINUTE)

        assert len(times.tasks()) == 1


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other"])
def test_a_slot_whose_task_was_made_is_not_in_its_own_way(queue: Queue, overlap: str) -> None:
    def scene(here: Queue) -> Call[Any]:
        Timetable(here).planned(NOW, {"overlap": overlap})
        return Call("fire", [here.keys.due], [0, *decision(here, following=NOW + MINUTE, slots=[NOW])], plain)

    for here, _ in each_stop(queue, scene):
        times = Timetable(here)
        if times.hash().get("slot") == str(NOW):
            times.fire(NOW + MINUTE, now=NOW, slots=[NOW])

        assert times.tasks() == {f"s@{NOW}": "ready"}
        assert not {"buffer", "skipped", "dropped"} & times.hash().keys()
        assert times.redis.hget(here.keys.task(f"s@{NOW}"), "cancel_requested") is None


def test_a_run_that_waited_and_was_made_does_not_wait_on(queue: Queue) -> None:
    """Nobody looks at a schedule while it is paused, and its tasks are removed meanwhile."""

    def scene(here: Queue) -> Call[Any]:
        times = Timetable(here)
        times.planned(NOW, {"overlap": "buffer_one"})
        times.run(NOW, NOW + MINUTE)
        times.run(NOW + MINUTE, NOW + 2 * MINUTE)
        times.end(now=NOW + MINUTE)
        here.now = NOW + MINUTE + 1
        return Call("fire", [here.keys.due], [0, *decision(here)], plain)

    made = f"s@{NOW + MINUTE}"
    for here, _ in each_stop(queue, scene):
        times = Timetable(here)
        was_made = made in times.tasks()
        times.call("pause_schedule", "s", "", 0, now=here.now)
        times.remove(made)
        times.call("resume_schedule", "s", now=here.now + 1)
        times.fire(NOW + HOUR, now=here.now + 1)

        assert (made in times.tasks()) is not was_made


def test_the_last_run_of_a_schedule_does_not_wait_on_once_it_was_made(queue: Queue) -> None:
    def scene(here: Queue) -> Call[Any]:
        times = Timetable(here)
        times.planned(NOW, {"overlap": "buffer_one"})
        times.run(NOW, NOW + MINUTE)
        times.run(NOW + MINUTE, "none")
        times.end(now=NOW + MINUTE)
        here.now = NOW + MINUTE + 1
        return Call("fire", [here.keys.due], [0, *decision(here)], plain)

    for here, call in each_stop(queue, scene):
        here.send(call)

        assert f"s@{NOW + MINUTE}" in Timetable(here).tasks()
        assert not Timetable(here).hash().get("buffer")  # an empty one is as good as removed
