"""Verbs on what was set aside: dead letters and the quarantine. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from redsched.model.answers import DropAnswer, RequeueAnswer, ReviveAnswer
from redsched.model.duration import instant
from redsched.model.errors import InvalidTask
from redsched.model.vocabulary import MAX_BATCH
from redsched.wire.call import Call, by_id, checked_ids
from redsched.wire.codec import text_of
from redsched.wire.field_words import due_word
from redsched.wire.keys import QueueKeys
from redsched.wire.tasks import list_tasks

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


def revive(keys: QueueKeys, ids: Sequence[str], *, due: Any = None, delay: Any = None) -> Call[dict[str, ReviveAnswer]]:
    """Run 1..1000 dead tasks again."""
    return Call("revive", (keys.due,), (0, due_word(due, delay), *checked_ids(ids)), by_id(ids), repeatable=False)


def drop(keys: QueueKeys, ids: Sequence[str]) -> Call[dict[str, DropAnswer]]:
    """Remove 1..1000 dead or finished tasks."""
    return Call("drop", (keys.due,), (0, "task", *checked_ids(ids)), by_id(ids))


def drop_quarantined(keys: QueueKeys, members: Sequence[bytes]) -> Call[int]:
    """Remove 1..1000 members of a quarantine; answers how many were there."""
    if not 1 <= len(members) <= MAX_BATCH:
        raise InvalidTask("members", f"{len(members)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    return Call("drop", (keys.due,), (0, "quarantine", *members), lambda reply: reply.count(b"dropped"))


def requeue(
    keys: QueueKeys, ids: Sequence[str], *, due: Any = None, delay: Any = None
) -> Call[dict[str, RequeueAnswer]]:
    """Schedule 1..1000 ids of the quarantine whose hashes can be read by now."""
    return Call("requeue", (keys.due,), (0, due_word(due, delay), *checked_ids(ids)), by_id(ids))


def quarantined(keys: QueueKeys, *, limit: int = 50, cursor: str | None = None) -> Call[QuarantinePage]:
    """One page of a quarantine."""
    page = list_tasks(keys, state="quarantined", limit=limit, cursor=cursor)

    def read(reply: list[Any]) -> QuarantinePage:
        items = [_quarantined(member, score) for member, score in reply[1:]]
        return QuarantinePage(items, text_of(reply[0]).replace(" ", "~") or None)

    return Call(page.verb, page.keys, page.args, read)


def _quarantined(member: bytes, score: bytes) -> Quarantined:
    reason, _, task_id = member.partition(b":")
    at = max(0.0, min(float(score), LATEST_MS))  # anybody may have written it
    return Quarantined(text_of(task_id), text_of(reason), instant(int(at)), member)
