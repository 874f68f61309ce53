"""What is known of a schedule, and what its verbs answer. Times are aware UTC datetimes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from redsched.model.duration import instant
from redsched.model.schedule import Schedule, document
from redsched.model.vocabulary import State
from redsched.schedule.definition import Run
from redsched.schedule.describe import describe


class SchedulePut(msgspec.Struct, frozen=True):
    """``exists``: it was to be created only; ``changed``: another rev was expected. ``newer``: a worker of a newer
    version of its owner lives; ``other``: it belongs to another application, of which a worker lives.
    Then it stays as it was. ``rev`` grows with each change."""

    id: str
    status: Literal["created", "updated", "unchanged", "exists", "changed", "newer", "other"]
    rev: int


class RecentRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was made: its slot (None for one that was triggered) and what its task is now; ``gone``: removed."""

    id: str
    slot: datetime | None
    fired_at: datetime
    state: State | Literal["gone"]
    lateness_ms: int | None  # start less planned time; None where it has not started


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule. ``counters``: fired, missed, skipped (by overlap), dropped (from its buffer), triggered,
    backfilled."""

    schedule: Schedule
    rev: int
    state: Literal["active", "paused", "ended"]
    paused_reason: str | None
    paused_until: datetime | None
    next_runs: list[Run]
    recent_runs: list[RecentRun]
    counters: dict[str, int]
    running: list[str]  # ids of tasks that had not ended when it was last looked at
    buffered: int
    owner: str | None = None  # the application, or the file, that put it last
    owner_version: str | None = None
    problem: str | None = None  # why its definition cannot be used: somebody wrote it by hand


class SchedulePage(msgspec.Struct, frozen=True):
    """One page; ``next_cursor`` is None on the last one."""

    items: list[ScheduleView]
    next_cursor: str | None = None


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of the range; ``ids`` of the tasks that were made, ``waiting``: kept until others have ended."""

    slots: list[datetime]
    ids: list[str]
    waiting: int
    skipped: int


class Upcoming(msgspec.Struct, frozen=True):
    """The runs to come: queue -> when each is due, ms since the epoch; ``complete``: whether these are all."""

    due: dict[str, list[int]]
    complete: bool


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """Ids by what was done with them, or would be."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    pruned: list[str]
    other: list[str]  # they belong to an application of which a worker lives, and stay as they were


def run_document(run: Run) -> dict[str, Any]:
    """A run to come, ready for JSON."""
    return {"slot": instant(run.slot_ms), "due": instant(run.due_ms), "local": run.local, "note": run.note}


def view_document(view: ScheduleView) -> dict[str, Any]:
    """A schedule, ready for JSON."""
    found = msgspec.structs.asdict(view)
    found |= {"schedule": document(view.schedule), "next_runs": [run_document(run) for run in view.next_runs]}
    return {"id": view.schedule.id, **found, "description": described(view)}


def described(view: ScheduleView) -> str:
    """When it runs, in a line; or why nobody can say."""
    return view.problem if view.problem is not None else describe(view.schedule)
