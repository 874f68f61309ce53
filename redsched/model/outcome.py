"""How a run of a task can end: a frozen value, returned by a handler or chosen by what it raises.

Returning anything else completes the task with that result; raising any other exception retries it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec


class Completed(msgspec.Struct, frozen=True):
    """The task is done. ``result`` is stored beside it as JSON when it is not None."""

    result: Any = None


class Retry(msgspec.Struct, frozen=True):
    """Run again: after ``delay``, or after what the task's retry policy says. Uses up an attempt."""

    error: str = ""
    delay: timedelta | str | None = None
    traceback: str = ""


class Snooze(msgspec.Struct, frozen=True):
    """Run again after ``delay``; gives the attempt back."""

    delay: timedelta | str


class Dead(msgspec.Struct, frozen=True):
    """Never run again by itself: a dead letter, kept for people to revive."""

    reason: str = "rejected"
    error: str = ""
    traceback: str = ""


class Cancelled(msgspec.Struct, frozen=True):
    """The task stopped because it was asked to."""

    reason: str = ""


Outcome = Completed | Retry | Snooze | Dead | Cancelled


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a task's history: how one of its runs ended."""

    attempt: int
    at: datetime
    outcome: str
    error: str = ""
    worker: str = ""


class KeptStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a task's handler that ``Context.once`` keeps: when it was kept, and what it returned."""

    name: str
    at: datetime | None = None
    value: Any = None


class OutcomeChosen(Exception):
    """Base of the exceptions by which a handler chooses its outcome from any depth."""

    outcome: Outcome


class RetryLater(OutcomeChosen):
    """Raise to retry with a delay of its own; ``None`` leaves it to the task's retry policy."""

    def __init__(self, error: str = "", *, delay: timedelta | str | None = None) -> None:
        super().__init__(error)
        self.outcome = Retry(error=error, delay=delay)


class SnoozeFor(OutcomeChosen):
    """Raise to run again after ``delay`` without using up the attempt."""

    def __init__(self, delay: timedelta | str) -> None:
        super().__init__(f"snoozed for {delay}")
        self.outcome = Snooze(delay=delay)


class Reject(OutcomeChosen):
    """Raise to make the task a dead letter at once: another try could not help."""

    def __init__(self, error: str = "", *, reason: str = "rejected") -> None:
        super().__init__(error)
        self.outcome = Dead(reason=reason, error=error)


class Stop(OutcomeChosen):
    """Raise to end the task as cancelled."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.outcome = Cancelled(reason=reason)
