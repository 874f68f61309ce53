"""The words that a task's priority and state may be, and the limits of what a producer gives."""

from __future__ import annotations

from typing import Literal, get_args

Priority = Literal["high", "normal", "low"]
State = Literal[
    "scheduled", "held", "ready", "running", "completed", "skipped", "expired", "cancelled", "dead", "quarantined"
]
Listed = State | Literal["finished"]  # finished: completed, skipped, expired or cancelled
Action = Literal["revive", "drop", "cancel"]  # on many tasks at once
ManyAction = Literal["cancel", "revive", "drop", "run", "reschedule", "priority", "retag", "move"]  # on a search
Durability = Literal["memory", "fsync", "replicas:1", "replicas:2", "replicas:3", "replicas:4", "replicas:5"]
STATES: tuple[State, ...] = get_args(State)
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
FINISHED: frozenset[str] = frozenset(("completed", "skipped", "expired", "cancelled"))

_MOVED = "moved to "
DEFAULT_QUEUE = "default"
MAX_BATCH = 1_000
MAX_PAYLOAD_BYTES = 262_144
MAX_TAGS = 16
MOST_OPERATED = 1_000_000  # tasks of one operation
OPERATION_GOES_ON = ("finding", "running")  # its states while it does
OPERATION_IS_OVER = ("completed", "aborted")  # and once it will not go on


def moved_to(state: str, reason: str | None) -> str | None:
    """The queue that a task was moved to, if this is the note that it left in its old queue; else None."""
    return reason[len(_MOVED) :] if state == "skipped" and reason and reason.startswith(_MOVED) else None
