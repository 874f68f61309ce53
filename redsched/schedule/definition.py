"""What a caller writes to say when something recurs: the structures that JSON holds.

Nothing is checked on creation; ``redsched.schedule.slots.Plan`` does, and names the field.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from redsched.schedule.calendar import CalendarRule
from redsched.schedule.cron import Dialect
from redsched.schedule.zones import Fold, Gap, Note

if TYPE_CHECKING:  # what Python code may give: a bare number would be milliseconds, and few mean those
    Duration = timedelta | str
    Instant = datetime | int | str
else:  # as JSON writes them
    Duration = Instant = int | str

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]
CatchUp = Literal["none", "latest", "all"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)


class Every(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An interval of at least a second, at n * every + phase since the epoch: the same on every node."""

    every: Duration
    phase: Duration = 0  # type: ignore[assignment]  # ms, as in JSON


class Random(msgspec.Struct, forbid_unknown_fields=True):
    """A pause from ``least`` to ``most`` between runs, drawn from the schedule's id and the previous slot."""

    least: Duration
    most: Duration


class Exclude(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is left out, in the schedule's zone.

    ``dates``: ``2027-12-25``, or ``*-12-25`` of each year. ``crons``: every slot in a minute that matches (in a second,
    where the expression has seconds). ``calendars``: names of stored calendars.
    """

    dates: list[str] = []
    crons: list[str] = []
    calendars: list[str] = []


class Definition(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """When something recurs: the union of its rules, less what is excluded, from ``start`` to ``end`` (inclusive).

    ``cron``, ``every`` (an interval such as ``90s``, ``1h/15m`` with a phase, or ``Every``), ``calendar``, ``rrule``
    (RFC 5545) and ``at`` may be combined; ``after_completion`` and ``random`` stand alone. ``jitter`` moves each run
    by up to so much, always by the same for the same slot, and never past ``end``. A ``start`` of 0 is from the
    beginning. A slot at most 5 s late is on time; a ``catch_up_window`` of 0 makes no later one.
    """

    id: str = ""
    task: Any = None  # what each run makes; nothing here looks at it
    cron: list[str] | str = []
    every: list[Every | Duration] | Every | Duration = []
    after_completion: Duration | None = None
    random: Random | None = None
    calendar: list[CalendarRule] = []
    rrule: list[str] | str = []
    at: list[Instant] = []
    exclude: Exclude | None = None
    time_zone: str = "UTC"
    dialect: Dialect = "standard"
    dst_gap: Gap = "run_after"
    dst_fold: Fold = "first"
    start: Instant | None = None
    end: Instant | None = None
    max_runs: int | None = None
    jitter: Duration = 0  # type: ignore[assignment]  # ms, as in JSON
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    catch_up_window: Duration = "60s"
    pause_on_failure: bool = False
    description: str = ""


class Run(msgspec.Struct, frozen=True):
    """One run to come: its slot, when it is due (the slot plus jitter), the slot's local time, and what an edge did."""

    slot_ms: int
    due_ms: int
    local: str
    note: Note = ""


class _Payload(msgspec.Struct):
    payload: msgspec.Raw


class _WithPayload(msgspec.Struct):
    task: _Payload


def keep_payload(given: dict[str, Any], text: bytes) -> None:
    """Put the payload of a definition, of a patch of one or of a rule, which was decoded from ``text``, back as it was
    written: numbers and texts would come out otherwise after a decoding."""
    task = given.get("task")
    if isinstance(task, dict) and task.get("payload") is not None:
        task["payload"] = msgspec.json.decode(text, type=_WithPayload).task.payload
