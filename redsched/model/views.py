"""What is known of many tasks: a page of a listing, a queue's depths and its pauses. Times are aware UTC datetimes."""

from __future__ import annotations

from datetime import datetime

import msgspec

from redsched.model.task import TaskView


class Page(msgspec.Struct, frozen=True):
    """One page of a listing; ``next_cursor`` is None on the last one."""

    items: list[TaskView]
    next_cursor: str | None = None


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's depths by state (counted now), the ages of what waits longest, and totals since it exists."""

    queue: str
    scheduled: int
    held: int
    ready: int
    running: int
    finished: int
    dead: int
    quarantined: int
    oldest_due_age_ms: int | None  # how long the oldest task that is due has waited; None when none is due
    next_due: datetime | None
    totals: dict[str, int]  # enqueued, promoted, started, completed, retried, dead, expired, cancelled, ...
    lateness: dict[str, int]  # starts of the current and the last minute by lateness bucket, upper bound in ms
    lateness_totals: dict[str, int]  # all starts, by the same buckets
    most_finished: int | None = None  # finished tasks that the queue keeps; None: each until its retention ends
    most_dead: int | None = None  # dead letters, the same


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """What is paused: a queue, a type or a key of it, or a queue because all of them are; ``waiting``: tasks that were
    due and are set aside."""

    queue: str
    type: str | None = None
    key: str | None = None
    all: bool = False
    reason: str = ""
    since: datetime
    until: datetime | None = None
    waiting: int = 0
