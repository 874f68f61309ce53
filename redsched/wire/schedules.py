"""Verbs of recurring schedules and of their calendars. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from redsched.model.schedule import Schedule
from redsched.model.schedule_views import SchedulePut
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.schedule.catch_up import Decision
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.codec import Word, check_name, pairs, reason_word, text_of
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.pages import set_cursor
from redsched.wire.stored_schedule import Stored, patched, spec_text
from redsched.wire.task_types import NO_VERSION
from redsched.wire.templates import task_words

MAX_SLOTS = 1_000  # of one backfill
MOST_LEFT_OUT = 100  # schedules that one call pauses or drops because their owner has them no more


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


class Kept(msgspec.Struct, frozen=True):
    """``ruling``: the version of the owner that rules, "" without a live worker; ``left_out``: the schedules that were
    paused or dropped, or would be."""

    ruling: str
    left_out: list[str]


class Firing(msgspec.Struct, frozen=True):
    """What is to be done about one schedule, as it was read."""

    stored: Stored
    decision: Decision
    last: str = ""  # release of tzdata/local time of the last slot that is made or missed; empty: it stays


def put_schedule(
    cell: Cell,
    schedule: Schedule,
    *,
    mode: str = "",
    owner: str | None = None,
    version: str | None = None,
    max_payload: int,
) -> Call[tuple[SchedulePut, int]]:
    """Create or replace; ``mode``: ``create``, ``dry``, ``replan``, ``=<rev>``. ``owner``: whose it is from now on,
    with that version of it; None: that stays. Answers the server clock (ms), too."""
    words: list[Word] = [0, check_name("id", schedule.id), mode, spec_text(schedule)]
    words += task_words(schedule.task, max_payload)
    if owner is not None:
        words += ("owner", check_name("owner", owner), "owner_version", version or NO_VERSION)

    def read(reply: list[Any]) -> tuple[SchedulePut, int]:
        return SchedulePut(schedule.id, text_of(reply[0]), reply[1]), reply[2]  # type: ignore[arg-type]

    return Call("put_schedule", (queue_keys(cell, schedule.task.queue or DEFAULT_QUEUE).due,), words, read)


def keep_schedules(keys: CellKeys, owner: str, version: str | None, mode: str, ids: Sequence[str]) -> Call[Kept]:
    """Say which schedules, up to 1000, an owner has; the others of it are paused or dropped (``mode``: ``pause``,
    ``drop``, ``dry``). With ``changed`` nothing is written, and those are answered that another version changed."""

    def read(reply: list[Any]) -> Kept:
        return Kept(text_of(reply[0]), [text_of(word) for word in reply[1:]])

    words: list[Word] = [0, check_name("owner", owner), version or NO_VERSION, mode]
    words += (check_name("id", one) for one in ids)
    return Call("keep_schedules", (keys.schedules,), words, read)


def patch_schedule(
    cell: Cell, schedule: Schedule, stored: Stored, patch: Mapping[str, Any], *, max_payload: int
) -> Call[tuple[SchedulePut, int]]:
    """Replace ``stored``, at its revision, by ``schedule``, which is that with a merge patch."""
    call = put_schedule(cell, schedule, mode=f"={stored.number('rev') or 0}", max_payload=max_payload)
    now, schedule_id, mode, spec, *fields = call.args
    return msgspec.structs.replace(call, args=(now, schedule_id, mode, *patched(stored, spec, fields, patch)))


def due_schedules(keys: CellKeys, limit: int = 100) -> Call[Looked]:
    """Those to be looked at now, at most 1..500."""

    def read(reply: list[Any]) -> Looked:
        found = [_stored(words[0], words[1:]) for words in reply[3:]]
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
        found = [Shown(_stored(words[0], words[1]), _runs(words[2])) for words in reply[2:]]
        return reply[0], text_of(reply[1]).replace(" ", "~"), [one for one in found if one.stored.fields]

    words: list[Word] = [0, set_cursor(cursor), limit, *(check_name("id", one) for one in ids)]
    return Call("show_schedules", (keys.schedules,), words, read)


def _stored(schedule_id: Any, flat: Sequence[Any]) -> Stored:
    """An empty field is as good as removed, for Lua too: a call that stopped half-way may leave one."""
    return Stored(text_of(schedule_id), {name: word for name, word in pairs(flat).items() if word})


def _runs(words: Sequence[Any]) -> list[tuple[str, str, str, str]]:
    texts = [text_of(word) for word in words]
    return [(texts[at], texts[at + 1], texts[at + 2], texts[at + 3]) for at in range(0, len(texts), 4)]


def put_calendar(keys: CellKeys, name: str, dates: Sequence[str] | None) -> Call[str]:
    """Keep a named list of dates, or with None remove it; put, unchanged, dropped or missing."""
    text = b"" if dates is None else msgspec.json.encode(sorted(set(dates)))
    return Call("put_calendar", (keys.schedules,), (check_name("name", name), text, 0), text_of)


def calendars(keys: CellKeys) -> Call[Mapping[str, list[str]]]:
    """Read all calendars: their dates by name."""

    def read(reply: list[Any]) -> Mapping[str, list[str]]:
        return {name: _dates(text) for name, text in pairs(reply).items()}

    return Call("calendars", (keys.schedules,), (), read)


def _dates(text: Any) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except (ValueError, RecursionError):
        return []  # somebody wrote what is no list; as if it were empty
