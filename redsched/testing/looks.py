"""What a test's client asks the store beside redsched's verbs: when something is due next, which keys expire, which
facts there are. Conversations, without I/O.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from math import ceil
from typing import Any

import msgspec

from redsched.model.task import TaskView
from redsched.model.vocabulary import State
from redsched.steps.conversation import Conversation
from redsched.steps.exchange import Chain, Command
from redsched.wire import protocol
from redsched.wire.codec import text_of
from redsched.wire.keys import CellKeys, QueueKeys
from redsched.wire.redis_errors import Refused

WAITING: tuple[State, ...] = ("ready", "scheduled")
PAGE = 500
NEVER = 9_000_000_000_000_000  # ms; scores beyond mean that nothing is looked at


class Agenda(msgspec.Struct, frozen=True):
    """What is due at one moment, and the next moment (ms) at which something else is: None where nothing is planned. No
    moment comes for removals alone; they are made up for at the next one."""

    due: list[QueueKeys]
    leases: list[QueueKeys]
    inboxes: list[QueueKeys]
    has_items: bool  # of the movers' agenda: ends of holds, events, pauses
    has_schedules: bool
    has_sweeps: bool
    next: int | None


def agenda(
    keys: CellKeys, queues: Sequence[QueueKeys], now: int, unhandled: Mapping[str, int]
) -> Generator[Chain, Any, Agenda]:
    """Look at what is due in ``queues`` and in the cell. ``unhandled``: how many tasks of a queue have no handler here;
    so many due times of it may be theirs, and time does not stop for them."""
    zsets = [(keys.sweeps, 0), (keys.agenda, 0), (keys.schedules, 0)]
    zsets += [(queue.due, unhandled.get(queue.queue, 0)) for queue in queues]
    zsets += [(queue.index("running"), 0) for queue in queues]
    commands: list[Command] = []
    for key, skipped in zsets:
        commands.append(("ZRANGE", key, "-inf", now, "BYSCORE", "LIMIT", 0, 1, "WITHSCORES"))
        commands.append(("ZRANGE", key, f"({now}", NEVER, "BYSCORE", "LIMIT", skipped, 1, "WITHSCORES"))
    commands += [("XLEN", queue.index("inbox")) for queue in queues]
    replies = _unbroken((yield Chain(tuple(commands))))
    inboxes = [queue for queue, n in zip(queues, replies[2 * len(zsets) :], strict=True) if n]
    now_due = [bool(found) for found in replies[0 : 2 * len(zsets) : 2]]
    later = [ceil(float(found[1])) for found in replies[3 : 2 * len(zsets) : 2] if found]
    has_sweeps, has_items, has_schedules, *of_queues = now_due
    return Agenda(
        [queue for queue, is_due in zip(queues, of_queues[: len(queues)], strict=True) if is_due],
        [queue for queue, is_due in zip(queues, of_queues[len(queues) :], strict=True) if is_due],
        inboxes,
        has_items,
        has_schedules,
        has_sweeps,
        min(later, default=None),
    )


def due(queues: Sequence[QueueKeys], until: int) -> Conversation[list[TaskView]]:
    """The tasks that wait and are due no later than this, ms; the first one first."""
    found: list[TaskView] = []
    for queue in queues:
        for state in WAITING:
            cursor: str | None = None
            while True:
                page = yield protocol.list_tasks(queue, state=state, type_=None, limit=PAGE, cursor=cursor)
                found += page.items
                if (cursor := page.next_cursor) is None:
                    break
    return sorted((view for view in found if _due_ms(view) <= until), key=_due_ms)


def _due_ms(view: TaskView) -> float:
    return 0 if view.due_at is None else view.due_at.timestamp() * 1_000


def _unbroken(replies: list[Any]) -> list[Any]:
    """The replies, if none was refused; raises the first Refused."""
    for reply in replies:
        if isinstance(reply, Refused):
            raise reply
    return replies


def all_keys(prefix: str) -> Generator[Command, Any, list[str]]:
    """All keys that begin so."""
    found: dict[str, None] = {}
    cursor = ""
    while cursor != "0":
        reply = yield ("SCAN", cursor or "0", "MATCH", prefix + "*", "COUNT", 1_000)
        cursor = text_of(reply[0])
        found.update(dict.fromkeys(map(text_of, reply[1])))
    return list(found)


def age(keys: CellKeys, queues: Sequence[QueueKeys], ms: int) -> Generator[Command | Chain, Any, None]:
    """Let all keys that expire do so ``ms`` sooner, for Redis counts by its own clock. The counts of minutes may stay:
    each has its minute in its name."""
    found = yield from all_keys(keys.prefix)
    lasting = tuple(
        prefix for queue in queues for prefix in (queue.task(""), queue.outcome(""), queue.index("stats") + ":")
    )
    mortal = [key for key in found if not key.startswith(lasting)]
    if not mortal:
        return
    left = _unbroken((yield Chain(tuple(("PTTL", key) for key in mortal))))
    changes: list[Command] = []
    for key, ttl in zip(mortal, left, strict=True):
        if ttl >= 0:
            changes.append(("UNLINK", key) if ttl <= ms else ("PEXPIRE", key, ttl - ms))
    if changes:
        _unbroken((yield Chain(tuple(changes))))


def facts(keys: CellKeys) -> Generator[Command | Chain, Any, dict[str, Any]]:
    """Every fact by its name. A string is read as JSON, and is text where it is none; a hash is a dict of texts."""
    prefix = keys.fact("")
    names = sorted((yield from all_keys(prefix)))
    if not names:
        return {}
    kinds = yield Chain(tuple(("TYPE", key) for key in names))
    reads = {b"string": "GET", b"hash": "HGETALL"}
    known = [(key, reads[kind]) for key, kind in zip(names, kinds, strict=True) if kind in reads]
    values = _unbroken((yield Chain(tuple((command, key) for key, command in known))))
    return {
        key.removeprefix(prefix): _value(value)
        for (key, _), value in zip(known, values, strict=True)
        if value is not None
    }


def _value(stored: Any) -> Any:
    if isinstance(stored, list):
        texts = [text_of(word) for word in stored]
        return dict(zip(texts[::2], texts[1::2], strict=True))
    try:
        return msgspec.json.decode(stored)
    except msgspec.DecodeError:
        return text_of(stored)
