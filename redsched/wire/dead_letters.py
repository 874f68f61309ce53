"""Verbs on what was set aside: dead letters, the quarantine, their caps, and the inboxes. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from redsched.model.duration import instant
from redsched.model.errors import InvalidTask
from redsched.model.task import MAX_BATCH
from redsched.wire import protocol
from redsched.wire.codec import cap_of, check_id, due_word, text_of
from redsched.wire.keys import QueueKeys
from redsched.wire.protocol import Call

MOST = 1_000_000_000_000  # of a cap
LATEST_MS = 253_402_300_799_000  # that a datetime can hold


class Quarantined(msgspec.Struct, frozen=True):
    """One member of a quarantine. ``member`` names it exactly, though its id be no text."""

    id: str
    reason: str
    at: datetime
    member: bytes


class QuarantinePage(msgspec.Struct, frozen=True):
    """One page of a quarantine, the latest first; ``next_cursor`` is None on the last one."""

    items: list[Quarantined]
    next_cursor: str | None = None


class Limits(msgspec.Struct, frozen=True):
    """How many finished and dead tasks a queue keeps; None: each until its retention ends."""

    most_finished: int | None
    most_dead: int | None


class Ingest(msgspec.Struct, frozen=True):
    """What became of one queue's inbox: tasks made, entries set aside, entries left."""

    queue: str
    created: int
    refused: int
    left: int


def drop(keys: QueueKeys, ids: Sequence[str]) -> Call[dict[str, str]]:
    """Remove 1..1000 dead or finished tasks."""
    return Call("drop", (keys.due,), (0, "task", *_ids(ids)), _by_id(ids))


def drop_quarantined(keys: QueueKeys, members: Sequence[bytes]) -> Call[int]:
    """Remove 1..1000 members of a quarantine; answers how many were there."""
    if not 1 <= len(members) <= MAX_BATCH:
        raise InvalidTask("members", f"{len(members)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    return Call("drop", (keys.due,), (0, "quarantine", *members), lambda reply: reply.count(b"dropped"))


def requeue(keys: QueueKeys, ids: Sequence[str], *, due: Any = None, delay: Any = None) -> Call[dict[str, str]]:
    """Schedule 1..1000 ids of the quarantine whose hashes can be read by now."""
    return Call("requeue", (keys.due,), (0, due_word(due, delay), *_ids(ids)), _by_id(ids))


def quarantined(keys: QueueKeys, *, limit: int = 50, cursor: str | None = None) -> Call[QuarantinePage]:
    """One page of a quarantine."""
    page = protocol.list_tasks(keys, state="quarantined", limit=limit, cursor=cursor)

    def read(reply: list[Any]) -> QuarantinePage:
        items = [_quarantined(member, score) for member, score in reply[1:]]
        return QuarantinePage(items, text_of(reply[0]).replace(" ", "~") or None)

    return Call(page.verb, page.keys, page.args, read)


def _quarantined(member: bytes, score: bytes) -> Quarantined:
    reason, _, task_id = member.partition(b":")
    at = max(0.0, min(float(score), LATEST_MS))  # anybody may have written it
    return Quarantined(text_of(task_id), text_of(reason), instant(int(at)), member)


def limit(keys: QueueKeys, caps: Mapping[str, int | str | None]) -> Call[Limits]:
    """Set how many finished and dead tasks a queue keeps, by ``most_finished`` and ``most_dead``: a number, ``none``,
    or None for the default. Answers what holds now; without any it writes nothing."""
    words: list[Any] = [0]
    for field, most in caps.items():
        is_number = isinstance(most, int) and not isinstance(most, bool) and 0 <= most <= MOST
        if not (is_number or most in (None, "none")):
            raise InvalidTask(field, f"{most!r} is no number of 0..{MOST}, nor none or default")
        words += (field, "" if most is None else most)
    return Call("limit", (keys.due,), tuple(words), lambda reply: Limits(cap_of(reply[:1]), cap_of(reply[1:2])))


def ingest(queues: Sequence[QueueKeys], *, limit: int = 100) -> Call[list[Ingest]]:
    """Make tasks of up to ``limit`` entries of the inboxes of 1..16 queues."""

    def read(reply: list[int]) -> list[Ingest]:
        return [
            Ingest(keys.queue, *reply[at : at + 3]) for keys, at in zip(queues, range(1, len(reply), 3), strict=True)
        ]

    return Call("ingest", [keys.due for keys in queues], (0, limit), read)


def _ids(ids: Sequence[str]) -> tuple[str, ...]:
    if not 1 <= len(ids) <= MAX_BATCH:
        raise InvalidTask("ids", f"{len(ids)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    return tuple(check_id(task_id) for task_id in ids)


def _by_id(ids: Sequence[str]) -> Callable[[list[bytes]], dict[str, str]]:
    return lambda reply: {task_id: text_of(word) for task_id, word in zip(ids, reply, strict=True)}
