"""One call of a verb: what is sent, and how the answer is read. What the verbs' functions share is here too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from redsched.model.errors import InvalidTask
from redsched.model.vocabulary import MAX_BATCH
from redsched.wire.codec import (
    Word,
    check_id,
    text_of,
)

T = TypeVar("T")


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One call of a verb's script. ``repeatable``: whether one whose answer was lost may be sent again without
    doing twice what it does."""

    verb: str
    keys: Sequence[str]
    args: Sequence[Word]
    read: Callable[[Any], T]
    repeatable: bool = True
    # commands, or calls of other verbs, sent after it on the same connection; ``read`` gets all replies
    chain: tuple[tuple[Any, ...] | Call[Any], ...] = ()


def known_ms(milliseconds: int) -> int | None:
    return None if milliseconds < 0 else milliseconds


def words_of(reply: list[bytes]) -> list[str]:
    return [word.decode() for word in reply]


def checked_ids(ids: Sequence[str]) -> tuple[str, ...]:
    if not 1 <= len(ids) <= MAX_BATCH:
        raise InvalidTask("ids", f"{len(ids)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    return tuple(check_id(task_id) for task_id in ids)


def by_id(ids: Sequence[str]) -> Callable[[list[bytes]], dict[str, Any]]:
    return lambda reply: {task_id: text_of(word) for task_id, word in zip(ids, reply, strict=True)}
