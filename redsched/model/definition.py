"""What a recurring schedule is: the structures that a caller writes and JSON holds.

Nothing is checked on creation; ``redsched.model.schedule.check`` does, and names the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from redsched.model.calendar import CalendarRule
from redsched.model.condition import Conditions
from redsched.model.cron import Dialect
from redsched.model.duration import duration_ms
from redsched.model.errors import InvalidSchedule
from redsched.model.retry import Explicit, Exponential, Fixed, RetryPolicy
from redsched.model.task import DEFAULT_QUEUE, Priority, Task
from redsched.model.zones import Fold, Gap, Note

if TYPE_CHECKING:
    Duration = timedelta | int | str
    Instant = datetime | int | str
    Retry = RetryPolicy | Sequence[timedelta | int | str] | timedelta | Mapping[str, Any] | None
    Conditioned = Conditions | Mapping[str, Any] | None
else:  # as JSON writes them
    Duration = Instant = int | str
    Retry = dict[str, Any] | list[int | str] | None
    Conditioned = dict[str, Any] | None

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]
CatchUp = Literal["none", "latest", "all"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
CATCH_UPS: tuple[CatchUp, ...] = get_args(CatchUp)

_NAMED = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")


class TaskTemplate(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The task that each run makes; its fields are those of ``Task``."""

    type: str
    payload: Any = None
    queue: str = DEFAULT_QUEUE
    priority: Priority = "normal"
    max_attempts: int | None = None
    retry: Retry = None
    timeout: Duration | None = None
    expires_in: Duration | None = None
    key: str | None = None
    tags: list[str] | None = None
    headers: dict[str, str] | None = None
    retention: Duration | None = None
    keep: bool = False
    conditions: Conditioned = None

    def task(self, *, id: str | None = None, due: datetime | int | str | None = None) -> Task:
        """The task to enqueue; raises ValueError for a retry policy that is none."""
        return Task(
            type=self.type,
            payload=self.payload,
            queue=self.queue,
            id=id,
            due=due,
            priority=self.priority,
            max_attempts=self.max_attempts,
            retry=retry_of(self.retry),
            timeout=self.timeout,
            expires_in=self.expires_in,
            key=self.key,
            tags=self.tags,
            headers=self.headers,
            retention=self.retention,
            keep=self.keep,
            conditions=self.conditions,
        )


class Every(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An interval of at least a second, at n * every + phase since the epoch: the same on every node."""

    every: Duration
    phase: Duration = 0


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


class Schedule(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A recurring schedule: the union of its rules, less what is excluded, from ``start`` to ``end`` (inclusive).

    ``cron``, ``every`` (an interval such as ``90s``, ``1h/15m`` with a phase, or ``Every``), ``calendar``, ``rrule``
    (RFC 5545) and ``at`` may be combined; ``after_completion`` and ``random`` stand alone. ``jitter`` moves each run
    by up to so much, always by the same for the same slot, and never past ``end``. A ``start`` of 0 is from the
    beginning. A slot at most 5 s late is on time; a ``catch_up_window`` of 0 makes no later one.
    """

    id: str = ""
    task: TaskTemplate
    cron: list[str] | str = []
    every: list[Every | str | int] | Every | str | int = []
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
    jitter: Duration = 0
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


def document(schedule: Schedule) -> dict[str, Any]:
    """The schedule as JSON holds it: durations in ms, instants as text, defaults left out."""
    written = getattr(schedule.task, "payload", None)
    if isinstance(written, msgspec.Raw):  # JSON that stays as it was written
        schedule = msgspec.structs.replace(schedule, task=msgspec.structs.replace(schedule.task, payload=None))
    found: dict[str, Any] = msgspec.to_builtins(schedule, builtin_types=(datetime, timedelta), enc_hook=_refuse)
    plain: dict[str, Any] = _plain(found)
    if not isinstance(schedule.task, TaskTemplate):
        return plain  # a dict that stands for one
    if schedule.task.retry is not None:
        plain["task"]["retry"] = _plain(_retry_document(schedule.task.retry))
    if isinstance(written, msgspec.Raw):
        plain["task"]["payload"] = written
    elif schedule.task.payload is not None:
        plain["task"]["payload"] = msgspec.to_builtins(schedule.task.payload, str_keys=True)  # as in any task
    return plain


def schedule_of(value: bytes | Mapping[str, Any]) -> Schedule:
    """The schedule of JSON text or of a decoded object; raises InvalidSchedule, which names the field."""
    try:
        if isinstance(value, bytes):
            return msgspec.json.decode(value, type=Schedule)
        return msgspec.convert(value, Schedule)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        field = path.lstrip(".").rstrip("`")
        if named := _NAMED.match(problem):
            field = f"{field}.{named[2]}".lstrip(".")
            known = named[1] != "contains unknown"
            code = "invalid_schedule" if known else "unknown_field"
            raise InvalidSchedule(field, "is required" if known else "is no field of it", code=code) from None
        raise InvalidSchedule(field or "schedule", problem) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidSchedule("schedule", str(error)) from None


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


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch, RFC 7396, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def merged_text(target: bytes, patch: msgspec.Raw) -> msgspec.Raw | None:
    """The same of two JSON texts, in which what stays is as it was written; None where the patch is null."""
    members = _members(bytes(patch))
    if members is None:
        return None if bytes(patch) == b"null" else patch
    found = _members(target) or {}
    for name, value in members.items():
        new = merged_text(bytes(found.get(name, b"null")), value)
        if new is None:
            found.pop(name, None)
        else:
            found[name] = new
    return msgspec.Raw(msgspec.json.encode(found))


def _members(text: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def plain(schedule: Schedule) -> Schedule:
    """The same schedule as JSON would hold it: what was given as a dict is the structure that it stands for.

    Raises:
        InvalidSchedule: a field has a type that it cannot have.
    """
    try:
        return schedule_of(document(schedule))
    except InvalidSchedule:
        raise
    except (TypeError, ValueError, NotImplementedError, AttributeError, RecursionError) as error:
        raise InvalidSchedule("schedule", str(error)) from None


def retry_of(value: Retry) -> RetryPolicy | Sequence[timedelta | int | str] | timedelta | None:
    """The policy of ``{"kind": "fixed" | "exponential" | "list", ...}``; any other value as it is.

    Raises:
        ValueError: another kind, or fields that it does not have.
    """
    if not isinstance(value, Mapping):
        return value
    fields = dict(value)
    kinds: dict[str, type[RetryPolicy]] = {"fixed": Fixed, "exponential": Exponential, "list": Explicit}
    kind = kinds.get(str(fields.pop("kind", "")))
    if kind is None:
        raise ValueError("kind must be fixed, exponential or list")
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _retry_document(value: Retry) -> Any:
    if isinstance(value, Fixed | Exponential | Explicit):
        named = {name: getattr(value, name) for name in value.__struct_fields__}
        return {"kind": type(value).__struct_config__.tag, **named}
    return [value] if isinstance(value, timedelta) else value


def _refuse(value: Any) -> Any:
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return duration_ms(value) if isinstance(value, timedelta) else value
