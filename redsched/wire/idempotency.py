"""Requests with an idempotency key: what the first one was answered, kept so that a repeat is answered the same.

The tasks of such a request get ids and request tokens made from the key. So even a repeat that starts anew, because
the first
one crashed between its two calls, cannot make a second task.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from redsched.model.task import Task
from redsched.wire.call import Call
from redsched.wire.codec import count_of, text_of
from redsched.wire.keys import CellKeys

LAPSE_MS = 60_000  # a request that never answered blocks its repeats for so long


class Reserved(msgspec.Struct, frozen=True):
    """``word``: new, in flight, other or done; the rest is the stored answer of one that is done."""

    word: str
    status: int = 0
    location: str = ""
    body: bytes = b""


def digest(*parts: bytes) -> str:
    """64 hex digits that stand for some texts, in order."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def reserve(keys: CellKeys, key: str, body: str) -> Call[Reserved]:
    """Begin the request with this key's digest and this body's digest."""

    def read(reply: list[Any]) -> Reserved:
        word = text_of(reply[0])
        if word != "done":
            return Reserved(word)
        status = count_of(reply[1])
        if not 200 <= status <= 599:  # somebody wrote what is no answer: until it lapses
            return Reserved("in flight")
        return Reserved(word, status, text_of(reply[2]), reply[3])

    # a repeat after a lost answer would find its own reservation in flight
    return Call("reserve", (keys.answer(key),), (body, LAPSE_MS), read, repeatable=False)


def answer(
    keys: CellKeys, key: str, body: str, *, status: int | None, location: str = "", text: bytes = b"", ttl_ms: int
) -> Call[str]:
    """Store the answer, or with status None give the reservation up; answers stored, given up or lapsed."""
    return Call("answer", (keys.answer(key),), (body, status or "", location, text, ttl_ms), text_of)


def identified(task: Task, key: str, index: int, cell: int = 0) -> Task:
    """The task with an id and a request token made from the key, as far as it has none of its own."""
    made = digest(key.encode(), str(index).encode())
    return msgspec.structs.replace(
        task, id=task.id or f"{cell}-{made[:32]}", request=task.request or f"key-{made[32:]}"
    )
