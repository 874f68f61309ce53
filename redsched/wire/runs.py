"""Long lists of tasks that are created in parts, each once. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from redsched.model.enqueued import Enqueued
from redsched.model.task import Task
from redsched.wire.call import Call
from redsched.wire.codec import check_name, json_encoder, text_of
from redsched.wire.keys import QueueKeys

_sorted_encoder = msgspec.json.Encoder(enc_hook=json_encoder.enc_hook, order="deterministic")


class Place(msgspec.Struct, frozen=True):
    """How far a list has come, when its first call came (ms), and the answers for a part that was created by this.

    ``first``, ``last``: digests of its first task and of the last one so far; empty where none is known.
    """

    at: int
    began: int
    answers: Sequence[Enqueued] | None = None
    first: str = ""
    last: str = ""


def made_id(run: str, number: int) -> str:
    """The id of a task of a list that has none of its own."""
    return f"{run}.{number}"


def digest_of(task: Task, made: str) -> str:
    """By what a task of a list is known again: its type with its id or, where that is missing or ``made`` here, with
    its payload."""
    known = task.id if task.id != made else None
    try:
        words = _sorted_encoder.encode((task.type, known, task.payload if known is None else None))
    except (TypeError, ValueError, NotImplementedError, RecursionError, OverflowError):
        return ""  # enqueue says what is wrong with it
    return hashlib.sha256(words).hexdigest()[:16]


def place(keys: QueueKeys, run: str) -> Call[Place]:
    """How far a list has come; of a new one, what time it is."""
    return Call("enqueue_run", (keys.due,), (0, check_name("run", run), 0, 0, 0, "", ""), _place)


def _place(reply: Any) -> Place:
    return Place(reply[0], reply[1], None, text_of(reply[2]), text_of(reply[3]))


def part(
    run: str, at: int, count: int, began: int, enqueue: Call[list[Enqueued]], first: str = "", last: str = ""
) -> Call[Place]:
    """What ``enqueue`` does, for the next ``count`` tasks of a list; nothing where they are not the next.

    ``first``, ``last``: digests of the first task of the list and of the last one of this part.
    """

    def read(reply: Any) -> Place:
        found = _place(reply)
        return msgspec.structs.replace(found, answers=enqueue.read(reply[4:])) if len(reply) > 4 else found

    args = (0, check_name("run", run), at, at + count, began, first, last, *enqueue.args[1:])
    return Call("enqueue_run", enqueue.keys, args, read)
