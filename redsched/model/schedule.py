"""A recurring schedule: when it runs and which task each run makes; how JSON holds it, and whether it can be used.

Nothing is checked on creation; ``check`` does, and names the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from redsched.model.duration import duration_ms
from redsched.model.errors import InvalidSchedule, SearchSpent
from redsched.model.fields import FIELDS
from redsched.model.refused import without_value
from redsched.model.retry import policy_document, retry_wire
from redsched.model.template import TaskTemplate
from redsched.schedule.budget import Budget
from redsched.schedule.definition import Definition
from redsched.schedule.fields import ranged, read
from redsched.schedule.slots import LONGEST_MS, Plan

MAX_RUNS = 1_000_000_000
MAX_TEXT = 1_000
_DURATIONS = [field.name for field in FIELDS if field.in_template and field.kind in ("duration", "start_within")]
_NAMED = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")


class Schedule(Definition, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A recurring schedule: when it runs, as ``Definition`` says, and the task that each run makes."""

    task: TaskTemplate


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
        plain["task"]["retry"] = _plain(policy_document(schedule.task.retry))
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
        raise InvalidSchedule(field or "schedule", without_value(problem)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidSchedule("schedule", str(error)) from None


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


def check(
    schedule: Schedule,
    holidays: Mapping[str, frozenset[str]] | None = None,
    *,
    after_ms: int = 0,
    budget: Budget | None = None,
) -> None:
    """Whether a schedule can be used; ``after_ms``: it must run after that instant.

    Raises:
        InvalidSchedule: with the field, and a code: invalid_cron, unknown_time_zone, never_fires, invalid_schedule.
    """
    schedule = plain(schedule)  # the types, which Python does not check
    plan = Plan(schedule, holidays, budget)
    _check_task(schedule.task)
    ranged("catch_up_window", schedule.catch_up_window, 0, LONGEST_MS)
    if schedule.max_runs is not None and not 1 <= schedule.max_runs <= MAX_RUNS:
        raise InvalidSchedule("max_runs", f"{schedule.max_runs} is outside 1..{MAX_RUNS}")
    if len(schedule.description) > MAX_TEXT:
        raise InvalidSchedule("description", f"is longer than {MAX_TEXT} characters")
    try:
        first = next(plan.after(after_ms), None)
    except SearchSpent as spent:
        raise InvalidSchedule("exclude", str(spent), code="never_fires") from None
    if first is None:
        raise InvalidSchedule("schedule", "never runs: no slot is left within start and end", code="never_fires")


def _check_task(template: TaskTemplate) -> None:
    """What can be said of the task here; the rest is checked where it is written."""
    if not template.type:
        raise InvalidSchedule("task.type", "is empty")
    task = read("task.retry", template.task)
    if task.retry is not None:
        read("task.retry", retry_wire, task.retry)
    for name in _DURATIONS:
        if (value := getattr(template, name)) is not None:
            read(f"task.{name}", duration_ms, value)
