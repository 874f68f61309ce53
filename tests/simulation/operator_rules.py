"""What the verbs of operators may do, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redsched.wire.call import Call
from tests.simulation import moved
from tests.simulation.calls_and_states import FINAL, due_time, number_of, require, start_by_given, start_by_of
from tests.support.lua_builds import Snapshot, text


def cancel(call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
    """What waits is cancelled, what runs is asked to stop."""
    for task_id, answer in zip(call.args[2:], [text(word) for word in reply], strict=True):
        task = queues[0], text(task_id)
        was, is_ = old.tasks.get(task), new.tasks.get(task)
        state = "missing" if was is None else was.get("state", "scheduled")
        if state == "running":
            require(answer == "requested" and is_ and "cancel_requested" in is_, f"cancel of {task}: {answer}")
        elif state in ("scheduled", "held", "ready", "cancelled"):
            over = is_ is None or is_.get("state") == "cancelled"
            require(answer == "cancelled" and over, f"cancel of {task}: {answer}, it is {is_}")
        else:
            ended = "moved" if moved.moved_to(was) else "finished"
            require(answer == ("missing" if was is None else ended), f"cancel of {task} {state}: {answer}")


def reschedule(call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
    """What waits is due then, unless it would expire."""
    due = due_time(text(call.args[1]), now)
    for task_id, answer in zip(call.args[2:], [text(word) for word in reply], strict=True):
        task = queues[0], text(task_id)
        state = old.tasks[task].get("state", "scheduled") if task in old.tasks else "missing"
        waits = state in ("scheduled", "held", "ready")
        too_late = waits and start_by_of(old.tasks[task]) <= max(due, now)
        expected = "expires" if too_late else "rescheduled"
        require(waits == (answer == expected), f"reschedule of {task} {state} to {due}: {answer}")
        if too_late:
            require(new.tasks.get(task) == old.tasks[task], f"{task} was answered expires, and changed")
        elif waits:
            score = new.places.get((queues[0], "due"), {}).get(task[1])
            require(score == due, f"{task} was rescheduled to {due} and is due {score}")


def revive(call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
    """What is dead is due then, as if it was never tried."""
    due = due_time(text(call.args[1]), now)
    for task_id, answer in zip(call.args[2:], [text(word) for word in reply], strict=True):
        task = queues[0], text(task_id)
        was_dead = old.tasks.get(task, {}).get("state") == "dead"
        too_late = was_dead and start_by_of(old.tasks[task]) <= max(due, now)
        require(was_dead == (answer == ("expires" if too_late else "revived")), f"revive of {task} for {due}: {answer}")
        if was_dead and not too_late:
            fields = new.tasks[task]
            require(fields.get("attempt") == "0" and "token" not in fields, f"{task} was revived as {fields}")
            require(new.places[queues[0], "due"].get(task[1]) == due, f"{task} was revived, but not for {due}")


def drop(call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
    """What is over is gone."""
    for task_id, answer in zip(call.args[2:], [text(word) for word in reply], strict=True):
        task = queues[0], text(task_id)
        over = old.tasks.get(task, {}).get("state") in (*FINAL, "dead")
        require(over == (answer == "dropped"), f"drop of {task}: {answer}, it was {old.tasks.get(task)}")
        require(not over or task not in new.tasks, f"{task} was dropped and is there")


def update(call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
    """What waits or is dead is changed."""
    n = int(call.args[1])
    for task_id, answer in zip(call.args[2 + 2 * n :], [text(word) for word in reply], strict=True):
        was = old.tasks.get((queues[0], text(task_id)))
        state = "missing" if was is None else was.get("state", "scheduled")
        expected = "finished" if state in FINAL else state if state in ("running", "missing") else "updated"
        if expected == "updated" and state != "dead":
            due = number_of(was or {}, "due_at", now)
            due = old.places.get((queues[0], "due"), {}).get(text(task_id), due) if state == "scheduled" else due
            expected = "expires" if start_by_given(call, now) <= max(due, now) else expected
        expected = "moved" if moved.moved_to(was) else expected
        require(answer == expected, f"update of {text(task_id)} {state}: {answer}")


CHECKS: dict[str, Callable[..., None]] = {
    "cancel": cancel, "reschedule": reschedule, "revive": revive, "drop": drop, "update": update,
}  # fmt: skip
