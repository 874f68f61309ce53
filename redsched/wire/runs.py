"""Long lists of tasks that are created in parts, each once. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from redsched.model.enqueued import Enqueued
from redsched.wire.call import Call
from redsched.wire.codec import check_name
from redsched.wire.keys import QueueKeys


class Place(msgspec.Struct, frozen=True):
    """How far a list has come, when its first call came (ms), and the answers for a part that was created by this."""

    at: int
    began: int
    answers: Sequence[Enqueued] | None = None


def place(keys: QueueKeys, run: str) -> Call[Place]:
    """How far a list has come; of a new one, what time it is."""
    return Call("enqueue_run", (keys.due,), (0, check_name("run", run), 0, 0, 0), lambda reply: Place(*reply[:2]))


def part(run: str, at: int, count: int, began: int, enqueue: Call[list[Enqueued]]) -> Call[Place]:
    """What ``enqueue`` does, for the next ``count`` tasks of a list; nothing where they are not the next."""

    def read(reply: Any) -> Place:
        return Place(reply[0], reply[1], enqueue.read(reply[2:]) if len(reply) > 2 else None)

    args = (0, check_name("run", run), at, at + count, began, *enqueue.args[1:])
    return Call("enqueue_run", enqueue.keys, args, read)
