"""Recurring schedules on the wire: a pure function a verb, as ``wire.protocol`` has them for tasks.

A schedule's hash holds its timing and policies as one JSON text, ``spec``, and the fields of its tasks one by one, so
that Lua copies them and never reads a payload. Durations and instants in ``spec`` are whole ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from redsched.model.duration import LATEST_MS, duration_ms, instant_ms
from redsched.model.errors import InvalidSchedule
from redsched.model.schedule import Schedule, document, schedule_of
from redsched.model.schedule_views import SchedulePut
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.schedule.catch_up import Decision, Policy
from redsched.schedule.fields import bounds
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.codec import (
    Word,
    check_name,
    is_name,
    pairs,
    reason_word,
    stored_json,
    text_of,
)
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.pages import set_cursor
from redsched.wire.templates import TEMPLATE_NAME, task_words, template_of

MAX_SLOTS = 1_000  # of one backfill
_TASK = "task:"
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
        return int(found) if found.isdecimal() and len(found) < 16 else None

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
        """Of its tasks."""
        found = self.text("queue")
        return found if is_name(found) else DEFAULT_QUEUE

    @property
    def task_fields(self) -> dict[str, Any]:
        """The fields of its tasks, as words."""
        return {name.removeprefix(_TASK): word for name, word in self.fields.items() if name.startswith(_TASK)}


class Looked(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms; ``next_look``: of the earliest of the others (None: none)."""

    now: int
    next_look: int | None
    calendars: int  # grows with each change of a calendar
    schedules: list[Stored]


class Shown(msgspec.Struct, frozen=True):
    """A schedule and its last runs: (run/fired at, state, started at, due at), '' where unknown."""

    stored: Stored
    runs: list[tuple[str, str, str, str]]


class Firing(msgspec.Struct, frozen=True):
    """What is to be done about one schedule, as it was read."""

    stored: Stored
    decision: Decision
    last: str = ""  # release of tzdata/local time of the last slot that is made or missed; empty: it stays


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


def put_schedule(cell: Cell, schedule: Schedule, *, mode: str = "", max_payload: int) -> Call[tuple[SchedulePut, int]]:
    """Create or replace; ``mode``: ``create``, ``dry``, ``replan``, ``=<rev>``. Answers the server clock (ms), too."""
    words = (0, check_name("id", schedule.id), mode, spec_text(schedule), *task_words(schedule.task, max_payload))

    def read(reply: list[Any]) -> tuple[SchedulePut, int]:
        return SchedulePut(schedule.id, text_of(reply[0]), reply[1]), reply[2]  # type: ignore[arg-type]

    return Call("put_schedule", (queue_keys(cell, schedule.task.queue).due,), words, read)


def patch_schedule(
    cell: Cell, schedule: Schedule, stored: Stored, patch: Mapping[str, Any], *, max_payload: int
) -> Call[tuple[SchedulePut, int]]:
    """Replace ``stored``, at its revision, by ``schedule``, which is that with a merge patch.

    What the patch does not name is written back as it is stored, though it may be nothing that a ``Schedule`` can hold:
    a raw producer may have written it.
    """
    call = put_schedule(cell, schedule, mode=f"={stored.number('rev') or 0}", max_payload=max_payload)
    now, schedule_id, mode, spec, *fields = call.args
    if untouched := _spec_members(stored).keys() - patch.keys():
        members = _spec_members(stored)
        spec = _JSON.encode(stored_json(spec) | {name: members[name] for name in untouched})
    task = patch.get("task", {})
    if isinstance(task, Mapping):
        named = TEMPLATE_NAME | {"content_type": "payload"}
        given = dict(zip(fields[::2], fields[1::2], strict=True))
        for field, value in stored.fields.items():
            at = field.removeprefix(_TASK)
            if at != field and named.get(at, at) not in task:
                given[at] = value
        fields = [word for pair in given.items() for word in pair]
    return msgspec.structs.replace(call, args=(now, schedule_id, mode, spec, *fields))


def _spec_members(stored: Stored) -> dict[str, Any]:
    found = stored_json(stored.fields.get("spec", b"null"))
    return found if isinstance(found, dict) else {}


def due_schedules(keys: CellKeys, limit: int = 100) -> Call[Looked]:
    """Those to be looked at now, at most 1..500."""

    def read(reply: list[Any]) -> Looked:
        found = [Stored(text_of(words[0]), pairs(words[1:])) for words in reply[3:]]
        return Looked(reply[0], None if reply[1] < 0 else reply[1], reply[2], found)

    return Call("due_schedules", (keys.schedules,), (0, limit), read)


def replan_schedules(keys: CellKeys, *, changes: int, release: str, cursor: str = "") -> Call[tuple[str, int]]:
    """Have those looked at that a change of the calendars, or this release of tzdata, may move.

    Answers the next cursor (empty: all are done), and how many of this page.
    """
    words: list[Word] = [0, changes, release, cursor]
    return Call("replan_schedules", (keys.schedules,), words, lambda reply: (text_of(reply[0]), reply[1]))


def fire(cell: Cell, firings: Sequence[Firing]) -> Call[list[str]]:
    """Carry decisions out; answers for each how many runs were made, or why none."""
    numbers: dict[str, int] = {}
    words: list[Any] = [0]
    for one in firings:
        stored, todo = one.stored, one.decision
        number = numbers.setdefault(stored.queue, len(numbers) + 1)
        following = f"{todo.following}~{one.last}" if one.last else todo.following
        words += (number, stored.id, stored.text("rev"), stored.text("slot"), following)
        words += ("" if todo.due is None else todo.due, todo.missed, todo.why, len(todo.slots))
        for slot, due in todo.slots:
            words += (slot, due)
    return Call("fire", [queue_keys(cell, queue).due for queue in numbers], words, lambda reply: [*map(text_of, reply)])


def trigger(
    cell: Cell, schedule_id: str, queue: str, *, payload: bytes = b"", overlap: str = "", slots: Sequence[int] = ()
) -> Call[tuple[str, int, list[str]]]:
    """One run now, or one for each slot: the word of the script, how many were made or kept, ids of those made."""

    def read(reply: list[Any]) -> tuple[str, int, list[str]]:
        return text_of(reply[0]), reply[1], [text_of(word) for word in reply[2:]]

    words: list[Word] = [0, check_name("id", schedule_id), overlap, payload, *slots]
    return Call("trigger", (queue_keys(cell, queue).due,), words, read, repeatable=False)


def pause_schedule(keys: CellKeys, schedule_id: str, *, reason: str, until: int) -> Call[bool]:
    """Pause, until a time in ms or with 0 until it is resumed; False where there is no such schedule."""
    words = (0, check_name("id", schedule_id), reason_word(reason), until)
    return Call("pause_schedule", (keys.schedules,), words, lambda reply: text_of(reply) == "paused")


def resume_schedule(keys: CellKeys, schedule_id: str) -> Call[str]:
    """``resumed``, ``active`` (it was not paused) or ``missing``."""
    return Call("resume_schedule", (keys.schedules,), (0, check_name("id", schedule_id)), text_of)


def drop_schedule(keys: CellKeys, ids: Sequence[str]) -> Call[list[bool]]:
    """Remove 1..1000; whether each was there."""
    words: list[Word] = [0, *(check_name("id", one) for one in ids)]
    return Call("drop_schedule", (keys.schedules,), words, lambda reply: [text_of(word) == "dropped" for word in reply])


def show_schedules(
    keys: CellKeys, ids: Sequence[str] = (), *, cursor: str = "", limit: int = 50
) -> Call[tuple[int, str, list[Shown]]]:
    """Those named, or one page: the server's clock in ms, the next cursor, the schedules that are there."""

    def read(reply: list[Any]) -> tuple[int, str, list[Shown]]:
        found = [Shown(Stored(text_of(words[0]), pairs(words[1])), _runs(words[2])) for words in reply[2:]]
        return reply[0], text_of(reply[1]).replace(" ", "~"), [one for one in found if one.stored.fields]

    words: list[Word] = [0, set_cursor(cursor), limit, *(check_name("id", one) for one in ids)]
    return Call("show_schedules", (keys.schedules,), words, read)


def _runs(words: Sequence[Any]) -> list[tuple[str, str, str, str]]:
    texts = [text_of(word) for word in words]
    return [(texts[at], texts[at + 1], texts[at + 2], texts[at + 3]) for at in range(0, len(texts), 4)]


def put_calendar(keys: CellKeys, name: str, dates: Sequence[str] | None) -> Call[str]:
    """Keep a named list of dates, or with None remove it; put, unchanged, dropped or missing."""
    text = b"" if dates is None else _JSON.encode(sorted(set(dates)))
    return Call("put_calendar", (keys.schedules,), (check_name("name", name), text, 0), text_of)


def calendars(keys: CellKeys) -> Call[Mapping[str, list[str]]]:
    """All of them."""

    def read(reply: list[Any]) -> Mapping[str, list[str]]:
        return {name: _dates(text) for name, text in pairs(reply).items()}

    return Call("calendars", (keys.schedules,), (), read)


def _dates(text: Any) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except (ValueError, RecursionError):
        return []  # somebody wrote what is no list; as if it were empty
