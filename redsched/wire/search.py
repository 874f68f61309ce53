"""The verb find, and the words of its filter. Pure functions."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from redsched.model.condition import KEY
from redsched.model.duration import LATEST_MS, instant
from redsched.model.errors import InvalidTask
from redsched.model.search import Found, KnownEvent, KnownFact, KnownLine, KnownLock, KnownSchedule, Search
from redsched.model.task import TaskView
from redsched.wire.call import Call, known_ms
from redsched.wire.codec import Word, check_id, check_name, text_of
from redsched.wire.keys import CellKeys
from redsched.wire.task_view import task_view

MOST_LOOKED = 500  # of one call
LONGEST_TAG = 512  # bytes
PLACES = ("due", "held", "ready", "running", "finished", "dead")  # where a task of a queue can be
FIELDS = ("state", "type", "priority", "attempt", "due_at", "created_at", "started_at", "finished_at", "expires_at",
          "key", "tags", "worker", "reason")  # fmt: skip
_PLACE_OF = {"scheduled": "due", "completed": "finished", "skipped": "finished", "expired": "finished",
             "cancelled": "finished"}  # fmt: skip
_SOURCE = re.compile(r"(?:about|keyed|tagged|id|due|held|ready|running|finished|dead):.+", re.DOTALL)


class Cut(msgspec.Struct, frozen=True):
    """One call's part of a search: what it found, where it looked, and the cursor there; '' where nothing is left."""

    found: Found
    source: str
    cursor: str


def find(
    cell: CellKeys,
    where: Search,
    *,
    source: str = "",
    cursor: str = "",
    limit: int = MOST_LOOKED,
    most: int = MOST_LOOKED,
) -> Call[Cut]:
    """Look at up to ``limit`` tasks, in a source (see lua/find.lua) or in the smallest that the search names, and tell
    ``most`` of them."""
    args = (0, cursor, limit, most, source, *_words(where))

    def read(reply: list[Any]) -> Cut:
        forgotten, items = {}, list[TaskView]()
        for words in reply[4:]:
            if words[3] == b"forgotten":
                forgotten[text_of(words[0])] = instant(int(words[2]))
            else:
                items.append(_found(words))
        return Cut(Found(items, None, reply[3], forgotten), text_of(reply[1]), text_of(reply[2]))

    return Call("find", (cell.queues,), args, read)


def find_ids(cell: CellKeys, cursors: Mapping[str, str]) -> Call[list[Cut]]:
    """In which queues ids are: a page of queues for each id, from its cursor on; all in one round trip."""
    first, *others = (find(cell, Search(id=one), source=f"id:{one}", cursor=at) for one, at in cursors.items())

    def read(reply: Any) -> list[Cut]:
        if not others:
            return [first.read(reply)]
        return [call.read(one) for call, one in zip((first, *others), reply, strict=True)]

    return Call("find", first.keys, first.args, read, chain=tuple(others))


def is_indexed(where: Search) -> bool:
    """Whether there is a key that names the tasks looked for."""
    return bool(where.id or where.tags or where.key or where.subject)


def places_of(where: Search) -> tuple[str, ...]:
    """The places of a queue in which a task looked for can be."""
    if not where.states:
        return PLACES
    wanted = {_PLACE_OF.get(state, state) for state in where.states}
    return tuple(place for place in PLACES if place in wanted)


def _words(where: Search) -> list[Word]:
    found: list[Word] = []
    for tag in where.tags:
        if not 1 <= len(tag.encode()) <= LONGEST_TAG:
            raise InvalidTask("search", f"a tag has 1 to {LONGEST_TAG} bytes")
        found += ("tag", tag)
    if where.key is not None and KEY.fullmatch(where.key) is None:
        raise InvalidTask("search", "a key has 1 to 128 printable ASCII characters without spaces")
    if where.subject is not None and ":" in where.subject:
        raise InvalidTask("search", "a subject has no colon; an id is written id:...")
    for name, value in (("id", where.id), ("subject", where.subject)):
        found += (name, check_id(value)) if value is not None else ()
    for name, value in (("type", where.type), ("queue", where.queue)):
        found += (name, check_name(name, value)) if value is not None else ()
    for name, value in (("key", where.key), ("reason", where.reason)):
        found += (name, value) if value is not None else ()
    if where.states:
        found += ("state", ",".join(where.states))
    for name in ("due", "created", "ended"):
        span = getattr(where, name)
        for side, end in (("from", span.since), ("to", span.until)) if span is not None else ():
            found += (f"{name}_{side}", end) if end is not None else ()
    return found


def _found(words: list[Any]) -> TaskView:
    fields = {name: value for name, value in zip(FIELDS, words[3:], strict=True) if value is not None}
    return task_view(text_of(words[1]), text_of(words[0]), fields, {}, words[2])


MOST_NAMED = 500  # things that one ``about`` looks for by their names


class About(msgspec.Struct, frozen=True):
    """What ``about`` told, by its kinds."""

    facts: list[KnownFact]
    lines: list[KnownLine]
    locks: list[KnownLock]
    schedules: list[KnownSchedule]
    events: list[KnownEvent]


def about(cell: CellKeys, subject: str, named: Sequence[tuple[str, str]] = ()) -> Call[About]:
    """What there is about a subject beside its tasks; ``named``: what else to look for (see lua/about.lua)."""

    def read(reply: list[Any]) -> About:
        found = About([], [], [], [], [])
        for words in reply[1:]:
            kind, rest = text_of(words[0]), _texts(words[1:])
            if kind == "fact":
                found.facts.append(KnownFact(rest[0], rest[1], known_ms(rest[2])))
            elif kind == "line":
                found.lines.append(KnownLine(*rest))
            elif kind == "lock":
                found.locks.append(KnownLock(rest[0], rest[1], rest[2], instant(rest[3]), known_ms(rest[4])))
            elif kind == "schedule":
                at = None if rest[1] >= LATEST_MS else instant(rest[1])
                found.schedules.append(KnownSchedule(rest[0], at, rest[2] or None))
            else:
                details = dict(zip(rest[4::2], rest[5::2], strict=False))
                found.events.append(KnownEvent(instant(rest[0]), rest[1], rest[2], rest[3], details))
        return found

    words = [word for pair in named[:MOST_NAMED] for word in pair]
    return Call("about", (cell.queues,), (0, subject, *words), read)


def _texts(words: Sequence[Any]) -> list[Any]:
    return [word if isinstance(word, int) else text_of(word) for word in words]


def cursor_text(source: str, cursor: str) -> str:
    """A cursor as people carry it."""
    return base64.urlsafe_b64encode(msgspec.json.encode((source, cursor))).decode().rstrip("=")


def cursor_of(text: str) -> tuple[str, str]:
    """The source and the place in it that a cursor names; raises InvalidTask."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        source, cursor = msgspec.json.decode(raw, type=tuple[str, str])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        source, cursor = "", ""
    if _SOURCE.fullmatch(source) is None or len(text) > 4_000:
        raise InvalidTask("cursor", "is not one that a page answered", code="bad_cursor")
    return source, cursor
