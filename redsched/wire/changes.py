"""Verbs that change many tasks in a way that one call of another verb cannot. Pure functions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from redsched.model.duration import span_ms
from redsched.model.errors import InvalidTask
from redsched.model.vocabulary import MAX_BATCH, MAX_TAGS
from redsched.wire.call import Call, by_id, checked_ids
from redsched.wire.codec import Word, check_id, check_name, pairs, text_of
from redsched.wire.field_words import texts_word
from redsched.wire.keys import CellKeys, QueueKeys, queue_keys

MOST_SHIFT_MS = 31_536_000_000  # a year


def shift_ms(by: timedelta | str) -> int:
    """Milliseconds of ``+2h``, ``-30m`` or a timedelta, which may be negative; raises InvalidTask."""
    try:
        if isinstance(by, str):
            sign = -1 if by.startswith("-") else 1
            found = sign * span_ms(by[1:] if by[:1] in ("+", "-") else by)
        elif isinstance(by, timedelta):
            found = round(by / timedelta(milliseconds=1))
        else:
            found = span_ms(by)
    except ValueError as error:
        raise InvalidTask("by", str(error)) from None
    if not 0 < abs(found) <= MOST_SHIFT_MS:
        raise InvalidTask("by", "must be something, and at most a year")
    return found


def shift(
    keys: QueueKeys, tasks: Sequence[tuple[str, int | None]], *, by_ms: int, operation: str = ""
) -> Call[dict[str, str]]:
    """Move the due times of 1..1000 tasks that wait, and their start-bys with them; none is moved twice by one
    ``operation``.

    ``tasks``: each with its due time when the caller looked, ms.
    """
    if not 1 <= len(tasks) <= MAX_BATCH:
        raise InvalidTask("ids", f"{len(tasks)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    words = [word for task_id, was in tasks for word in (check_id(task_id), "" if was is None else was)]
    return Call("shift", (keys.due,), (0, f"{by_ms:+d}", operation, *words), by_id([task_id for task_id, _ in tasks]))


def retag(keys: QueueKeys, ids: Sequence[str], *, add: Sequence[str], remove: Sequence[str]) -> Call[dict[str, str]]:
    """Add tags to 1..1000 tasks, and take others from them."""
    given = (("add", add), ("remove", remove))
    words = [texts_word(name, list(tags), None) if tags else b"[]" for name, tags in given]
    if not (add or remove):
        raise InvalidTask("add", f"give 1 to {MAX_TAGS} tags to add or remove")
    if not set(add).isdisjoint(remove):
        raise InvalidTask("add", "has a tag that remove has too; give each in one of them")
    return Call("retag", (keys.due,), (0, *words, *checked_ids(ids)), by_id(ids))


def move(keys: QueueKeys, ids: Sequence[str], *, to: str) -> Call[dict[str, str]]:
    """Take 1..1000 tasks that wait, or are dead, to another queue; the old one keeps a note of each."""
    other = queue_keys(keys.cell, check_name("to", to))
    if other.queue == keys.queue:
        raise InvalidTask("to", "is the queue that they are in")
    return Call("move", (keys.due, other.due), (0, *checked_ids(ids)), by_id(ids))


def new_operation() -> str:
    """An id of an operation."""
    return secrets.token_hex(8)


class OperationStep(msgspec.Struct, frozen=True):
    """What ``operate`` answered: a word, the server's time, and the record where the header of the verb names it."""

    word: str
    now_ms: int
    record: dict[str, str]


def operate(
    cell: CellKeys, operation_id: str, what: str, driver: str = "", fields: Mapping[str, Any] | None = None
) -> Call[OperationStep]:
    """Begin an operation or take it up, write what it has done, or ask it to stop (see lua/operate.lua)."""
    words: list[Word] = []
    for name, value in (fields or {}).items():
        words += (name, value if isinstance(value, int | str) else msgspec.json.encode(value))

    def read(reply: list[Any]) -> OperationStep:
        return OperationStep(text_of(reply[0]), reply[1], record_of(reply[2]))

    return Call("operate", (cell.operation(check_name("operation", operation_id)),), (0, what, driver, *words), read)


def record_of(flat: Sequence[Any]) -> dict[str, str]:
    """The fields of an operation's record."""
    return {name: text_of(value) for name, value in pairs(list(flat)).items()}
