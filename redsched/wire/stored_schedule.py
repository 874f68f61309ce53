"""A schedule as its hash has it: how a definition is written, and how it is read back.

Timing and policies are one JSON text, ``spec``, and the fields of its tasks stand one by one, so that Lua copies them
and never reads a payload. Durations and instants in ``spec`` are whole ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from redsched.model.duration import LATEST_MS, duration_ms, instant_ms, is_digits
from redsched.model.errors import InvalidSchedule
from redsched.model.schedule import Schedule, document, schedule_of
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.schedule.catch_up import Policy
from redsched.schedule.fields import bounds
from redsched.wire.codec import is_name, stored_json, text_of
from redsched.wire.templates import TEMPLATE_NAME, template_of

_TASK = "task:"  # how the names of a task's fields begin
_DURATIONS = {"after_completion": 0, "catch_up_window": 60_000, "jitter": 0}  # and the defaults, which are not written
_JSON = msgspec.json.Encoder(order="deterministic")


class Former(msgspec.Struct, frozen=True):
    """A spec whose slots after ``since``, up to and with ``until`` (ms), are to be made or counted."""

    since: int
    until: int
    spec: str


class Stored(msgspec.Struct, frozen=True):
    """A schedule as its hash has it."""

    id: str
    fields: dict[str, Any]  # name -> bytes

    def text(self, name: str) -> str:
        """A field, '' where there is none."""
        return text_of(self.fields.get(name, b""))

    def number(self, name: str) -> int | None:
        """A field as a whole number; None where it is none."""
        found = self.text(name)
        return int(found) if is_digits(found) and len(found) < 16 else None

    def former(self) -> list[Former]:
        """The definitions that were replaced before a mover looked at all of their slots, oldest first."""
        try:
            return msgspec.json.decode(self.fields.get("former", b"[]"), type=list[Former], strict=False)
        except (ValueError, RecursionError):
            return [Former(since=0, until=LATEST_MS, spec="")]  # somebody wrote what is none; it is passed over

    def as_it_was(self, former: Former) -> Stored:
        """The same schedule with an earlier spec."""
        return Stored(self.id, {**self.fields, "spec": former.spec.encode("utf-8", "surrogatepass")})

    def words(self, name: str) -> list[str]:
        """A field that is a list."""
        return self.text(name).split()

    @property
    def queue(self) -> str:
        """The queue of its tasks."""
        found = self.text("queue")
        return found if is_name(found) else DEFAULT_QUEUE

    @property
    def task_fields(self) -> dict[str, Any]:
        """The fields of its tasks, as words."""
        return {name.removeprefix(_TASK): word for name, word in self.fields.items() if name.startswith(_TASK)}


def spec_text(schedule: Schedule) -> bytes:
    """Timing and policies as JSON: the same for the same definition, however its durations were written."""
    found = document(schedule)
    del found["task"]
    found.pop("id", None)
    for name, default in _DURATIONS.items():
        if name in found and (milliseconds := duration_ms(found.pop(name))) != default:
            found[name] = milliseconds
    for name, limit in zip(("start", "end"), bounds(found.pop("start", None), found.pop("end", None)), strict=True):
        if limit is not None:
            found[name] = limit
    if "every" in found:
        given = found["every"]
        found["every"] = [_interval(one) for one in (given if isinstance(given, list) else [given])]
    if "random" in found:
        found["random"] = {name: duration_ms(value) for name, value in found["random"].items()}
    if "at" in found:
        found["at"] = sorted({instant_ms(one) for one in found["at"]})
    return _JSON.encode(found)


def _interval(given: Any) -> dict[str, int]:
    if not isinstance(given, dict):
        every, _, phase = str(given).partition("/")
        given = {"every": every, "phase": phase or 0}
    phase_ms = duration_ms(given.get("phase", 0))
    return {"every": duration_ms(given["every"])} | ({"phase": phase_ms} if phase_ms else {})


def definition_of(stored: Stored, *, written: bool = False) -> Schedule:
    """The definition; ``written``: its payload is ``msgspec.Raw``, byte for byte as it is stored.

    Raises:
        InvalidSchedule: somebody wrote what is none.
    """
    try:
        found = stored_json(stored.fields.get("spec", b"null"))
    except ValueError as error:
        raise InvalidSchedule("spec", str(error)) from None
    if not isinstance(found, dict):
        raise InvalidSchedule("spec", "is no JSON object")
    schedule = schedule_of({**found, "id": stored.id, "task": {"type": "-"}})
    schedule.task = template_of(stored.task_fields, stored.queue, written=written)
    return schedule


def policy_of(schedule: Schedule) -> Policy:
    """The part that decides about slots of the past.

    Raises:
        InvalidSchedule: a duration or an instant is none, or the end lies before the start.
    """
    try:
        return _policy_of(schedule)
    except ValueError as error:
        raise InvalidSchedule("catch_up_window", str(error)) from None


def _policy_of(schedule: Schedule) -> Policy:
    start, end = bounds(schedule.start, schedule.end)
    return Policy(
        catch_up=schedule.catch_up,
        window_ms=duration_ms(schedule.catch_up_window),
        after_completion=schedule.after_completion is not None,
        start_ms=start,
        end_ms=end,
    )


def patched(stored: Stored, spec: Any, fields: Sequence[Any], patch: Mapping[str, Any]) -> tuple[Any, ...]:
    """The spec, and field, value, ... of the tasks, of ``stored`` with a merge patch; given what both became.

    What the patch does not name is written back as it is stored, though it may be nothing that a ``Schedule`` can hold:
    a raw producer may have written it.
    """
    members = _spec_members(stored)
    if untouched := members.keys() - patch.keys():
        spec = _JSON.encode(stored_json(spec) | {name: members[name] for name in untouched})
    task = patch.get("task", {})
    if not isinstance(task, Mapping):
        return spec, *fields
    named = TEMPLATE_NAME | {"content_type": "payload"}
    given = dict(zip(fields[::2], fields[1::2], strict=True))
    given |= {at: word for at, word in stored.task_fields.items() if named.get(at, at) not in task}
    return spec, *(word for pair in given.items() for word in pair)


def _spec_members(stored: Stored) -> dict[str, Any]:
    found = stored_json(stored.fields.get("spec", b"null"))
    return found if isinstance(found, dict) else {}
