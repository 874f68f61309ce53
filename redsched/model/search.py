"""Which tasks are looked for: ``Search``, and the words in which people write it.

Each word is ``name:value``; all of them must hold. A word without a name is a subject or, where it has a colon, an id:
``order-42 tag:merchant:M state:waiting due:<1h``.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from datetime import datetime

import msgspec

from redsched.model.duration import duration_ms, instant_ms, is_digits
from redsched.model.errors import InvalidTask
from redsched.model.task import TaskView
from redsched.model.vocabulary import STATES

WAITING = ("scheduled", "held", "ready")
STATE_WORDS = (*(state for state in STATES if state != "quarantined"), "finished", "waiting")
NAMES = ("tag", "key", "subject", "id", "type", "state", "queue", "reason", "due", "created", "ended")
_TIMES = ("due", "created", "ended")
_HOW = "write <1h, >2d, 1h..2h or an instant such as <2027-01-31T09:00:00Z"
_ASIDE = ("quarantine", "quarantined")


class Within(msgspec.Struct, frozen=True):
    """A span of time, both ends included, as words of the wire: ms since the epoch, or ``+ms`` or ``-ms`` from now by
    the server's clock; None: open."""

    since: str | None = None
    until: str | None = None


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks, of all queues; all that is given must hold, and what is left out is not asked.

    ``subject``: the part of the id before its first colon. ``states``: any of them; ``finished`` is any of four, and
    ``waiting`` is scheduled, held or ready. ``due``: when they are or were due; ``ended``: when they ended.
    """

    id: str | None = None
    subject: str | None = None
    tags: tuple[str, ...] = ()
    key: str | None = None
    type: str | None = None
    states: tuple[str, ...] = ()
    queue: str | None = None
    reason: str | None = None
    due: Within | None = None
    created: Within | None = None
    ended: Within | None = None


class Found(msgspec.Struct, frozen=True):
    """One page of a search. ``looked``: tasks that were looked at. ``next_cursor`` is None on the last page; a page may
    have no items and still not be the last.

    ``forgotten``, where an id was looked for: queue -> when a task of it was removed there, up to a day ago.
    """

    items: list[TaskView]
    next_cursor: str | None = None
    looked: int = 0
    forgotten: dict[str, datetime] = {}


class KnownFact(msgspec.Struct, frozen=True):
    """A fact: what an event left, or what a client put there. ``value`` is cut at 200 bytes."""

    name: str
    value: str
    expires_in_ms: int | None = None


class KnownLine(msgspec.Struct, frozen=True):
    """A line of tasks that start one after another: whose turn it is, and how many stand in it."""

    queue: str
    name: str
    first: str
    tasks: int


class KnownLock(msgspec.Struct, frozen=True):
    """A unique key that a task holds; ``expires_in_ms``: None where it is held until the task starts or ends."""

    queue: str
    key: str
    task: str
    since: datetime
    expires_in_ms: int | None = None


class KnownSchedule(msgspec.Struct, frozen=True):
    """A schedule; ``next_look``: None where it is paused or over."""

    id: str
    next_look: datetime | None = None
    paused: str | None = None


class KnownEvent(msgspec.Struct, frozen=True):
    """An entry of the stream of events, with its details."""

    at: datetime
    event: str
    queue: str
    id: str
    details: dict[str, str] = {}


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a subject, such as ``order-42``: its tasks in every state and queue, and what goes with them.

    ``more``: there are more tasks; ``client.search`` pages through all. Of lines, locks and schedules those are told
    that its tasks name, and those that have its name. Events are of the last 1000
    of the namespace, or of the last 250 where so much goes with the subject that the call takes long.
    """

    subject: str
    tasks: list[TaskView]
    facts: list[KnownFact]
    lines: list[KnownLine]
    locks: list[KnownLock]
    schedules: list[KnownSchedule]
    events: list[KnownEvent]
    forgotten: dict[str, datetime] = {}
    more: bool = False


def search_of(given: str | Sequence[str] | Search) -> Search:
    """The search that words, or one text of them, ask for.

    Raises:
        InvalidTask: names the word.
    """
    if isinstance(given, Search):
        return given
    if isinstance(given, str):
        try:
            given = shlex.split(given)
        except ValueError:
            raise InvalidTask("search", "has a quotation mark without its end") from None
    tags: list[str] = []
    found: dict[str, object] = {}
    for word in given:
        name, value = _named(word)
        if not value:
            raise InvalidTask("search", f"{name}: has no value")
        if name == "tag":
            tags.append(value)
        elif name in found:
            raise InvalidTask("search", f"{name}: is given twice")
        elif name in _TIMES:
            found[name] = _within(name, value)
        else:
            found[name] = value
    states = found.pop("state", None)
    return Search(tags=tuple(tags), states=_states(str(states)) if states else (), **found)  # type: ignore[arg-type]


def _named(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if name in NAMES and colon:
        return name, value
    if not colon:
        return "subject", word
    close = difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.6)
    if close:
        raise InvalidTask("search", f"{_short(name)}: is no name; did you mean {close[0]}:? An id is written id:...")
    return "id", word


def _states(value: str) -> tuple[str, ...]:
    found: list[str] = []
    for state in value.split(","):
        if state in _ASIDE:
            where = "redsched quarantine ls -q QUEUE, client.quarantined(queue)"
            raise InvalidTask("search", f"state:{state} is in no search: what was set aside is no task; see {where}")
        if state not in STATE_WORDS:
            raise InvalidTask("search", f"state:{_short(state)} is none of {', '.join(STATE_WORDS)}")
        found += WAITING if state == "waiting" else (state,)
    return tuple(dict.fromkeys(found))


def _within(name: str, value: str) -> Within:
    if value[:1] in ("<", ">"):
        return _one_end(name, value[0], value[1:].removeprefix("="))
    first, dots, last = value.partition("..")
    if not dots or not (first or last):
        raise InvalidTask("search", f"{name}:{_short(value)} is no time; {_HOW}")
    ends = [_time(name, end) if end else None for end in (first, last)]
    relative = [end for end in (first, last) if end and not _is_instant(end)]
    found = Within(*(reversed(ends) if name != "due" and len(relative) == 2 else ends))
    if _is_empty(found):
        swapped = f"{_short(last)}..{_short(first)}"
        raise InvalidTask("search", f"{name}:{_short(value)} ends before it begins; write {name}:{swapped}")
    return found


def _is_empty(span: Within) -> bool:
    """Whether nothing can lie in it. Of an instant and a time from now only the server's clock knows that."""
    if span.since is None or span.until is None or (span.since[0] in "+-") != (span.until[0] in "+-"):
        return False
    return int(span.since) > int(span.until)


def _one_end(name: str, sign: str, value: str) -> Within:
    """Of an age, less is later: what was created less than an hour ago."""
    time = _time(name, value)
    later = (sign == ">") != (name != "due" and not _is_instant(value))
    return Within(since=time) if later else Within(until=time)


def _is_instant(value: str) -> bool:
    return re.match(r"[0-9]{4}-[0-9]{2}-|[0-9]{12,}", value) is not None


def _time(name: str, value: str) -> str:
    try:
        if _is_instant(value):
            return str(instant_ms(value))
        back = value.startswith("-")
        unsigned = value.removeprefix("-")
        if is_digits(unsigned):
            some = f"<{unsigned}s, <{unsigned}m, <{unsigned}h or an instant such as <2027-01-31T09:00:00Z"
            raise InvalidTask("search", f"{name}:{_short(value)} is a bare number; write {some}")
        if back and name != "due":
            some = f"<{unsigned}, >{unsigned} or an instant such as <2027-01-31T09:00:00Z"
            raise InvalidTask("search", f"{name}:{_short(value)} is no age, for it lies in the future; write {some}")
        span = duration_ms(unsigned)
    except ValueError:
        raise InvalidTask("search", f"{name}:{_short(value)} is no time; {_HOW}") from None
    return f"{'-' if back == (name == 'due') else '+'}{span}"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."
