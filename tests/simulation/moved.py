"""What ``move`` may do to each task, and what the note that it leaves must say."""

from __future__ import annotations

from typing import Any

from redsched.wire.call import Call
from tests.simulation.calls_and_states import FINAL, number_of
from tests.support.lua_builds import Snapshot, TaskKey, text

Fields = dict[str, str]
HOUR, YEAR = 3_600_000, 31_536_000_000
MOVABLE = ("scheduled", "held", "ready", "dead")
# a task that gives way to its note, one that comes, one that takes the place of a note; and a part of these
CHANGES: set[tuple[str | None, str | None]] = {
    *((before, after) for before in MOVABLE for after in ("skipped", None)),
    *((before, after) for before in (None, "skipped") for after in ("scheduled", "dead")),
    ("held", "scheduled"), ("ready", "scheduled"), (None, "skipped"),
}  # fmt: skip
OF_A_NOTE = {"type", "created_at", "request", "submitted", "state", "reason", "finished_at"}


def moved_to(task: Fields | None) -> str | None:
    """The queue that a note names; None of anything else."""
    reason = (task or {}).get("reason", "")
    is_note = (task or {}).get("state") == "skipped" and reason.startswith("moved to ")
    return reason.removeprefix("moved to ") if is_note else None


def pairs(call: Call[Any]) -> list[tuple[TaskKey, TaskKey]]:
    """Each task in the old queue, and in the new one."""
    here, there = (key.partition(":due:")[2] for key in call.keys)
    return [((here, text(word)), (there, text(word))) for word in call.args[1:]]


def problem(call: Call[Any], now: int, reply: Any, old: Snapshot, new: Snapshot) -> str | None:
    """What is wrong with the answers, or with what was written; None: nothing."""
    for (task, other), answer in zip(pairs(call), [text(word) for word in reply], strict=True):
        was, there = old.tasks.get(task), old.tasks.get(other)
        expected = _expected(task, other, old)
        if answer != expected:
            return f"move of {task}, {was}, to {other}, {there}: {answer}, not {expected}"
        is_done = answer == "moved" and was is not None and moved_to(was) is None
        if is_done and (why := _unlike(task, other, now, old, new)):
            return f"move of {task}, {was}: {why}; now {new.tasks.get(task)} and {new.tasks.get(other)}"
    return None


def _expected(task: TaskKey, other: TaskKey, old: Snapshot) -> str:
    was, there = old.tasks.get(task), old.tasks.get(other)
    if was is None:
        return "moved" if there is not None and task not in old.wrong else "missing"
    state = was.get("state", "scheduled")
    if moved_to(was) == other[0]:
        return "moved"
    if state == "running" or state in FINAL:
        return "running" if state == "running" else "finished"
    if other in old.wrong or (there is not None and moved_to(there) is None):
        return "existing"
    return "moved" if state in MOVABLE else "linked"


def _unlike(task: TaskKey, other: TaskKey, now: int, old: Snapshot, new: Snapshot) -> str | None:
    """How what is there differs from the task as it was, its place, and the note that has to be left."""
    was, is_, note = old.tasks[task], new.tasks.get(other, {}), new.tasks.get(task, {})
    left_out = ("state", "entry", "blocked", "delay_ms")
    if {name: value for name, value in was.items() if name not in left_out} != {
        name: value for name, value in is_.items() if name not in left_out
    }:
        return "it has other fields"
    state = was.get("state", "scheduled")
    place = "dead" if state == "dead" else "due"
    score = new.places.get((other[0], place), {}).get(other[1])
    known = old.places.get((task[0], place), {}).get(task[1]) if state in ("scheduled", "dead") else None
    if score is None or (known is not None and score != known):
        return f"its place is {place}: {score}, and was {known}"
    if moved_to(note) != other[0] or note["finished_at"] != str(now) or note.keys() - OF_A_NOTE:
        return "its note is another"
    for name in ("type", "created_at", "request", "submitted"):
        if note.get(name) != was.get(name):
            return f"its note has another {name}"
    keep = 60_000 if place == "dead" else max(number_of(was, "retention_ms", HOUR), 60_000)
    end, right = new.places[task[0], "finished"].get(task[1]), min(max(score, now) + keep, now + YEAR)
    if end != right and number_of(was, "retention_ms", 0) >= 0:
        return f"its note is kept until {end}, not {right}"
    return None
