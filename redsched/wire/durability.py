"""How durable an enqueue is when it is answered, and what may be believed of it.

``memory``: in the primary's memory, on its way to its AOF and replicas. ``fsync``: on the primary's disk.
``replicas:n``: in the memory of n replicas besides. What is answered is never better than the truth:

- ``fsync`` is reached where the server says ``appendonly yes`` and ``appendfsync always``: it then answers only after
  the fsync. WAITAOF is not asked: under ``everysec`` it was measured to answer before the fsync (redis/redis#13793),
  and writes that it had vouched for were lost in a power cut.
- ``replicas:n`` is what WAIT counts. A write of our own goes before it on the same connection, because WAIT vouches
  only for what its own connection wrote, and the enqueue may have been answered on another one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from redsched.model.enqueued import STORED, Enqueued
from redsched.model.errors import InvalidTask, NotDurable
from redsched.model.refused import kind_and_length
from redsched.wire.call import Call
from redsched.wire.codec import text_of
from redsched.wire.ids import nonce
from redsched.wire.keys import CellKeys

_REPLICAS = re.compile(r"replicas:([1-9]|[1-9][0-9])")
Commands = tuple[tuple[Any, ...], ...]


def is_durability(value: str) -> bool:
    """Whether it is memory, fsync or replicas:1 .. replicas:99."""
    return value in ("memory", "fsync") or _REPLICAS.fullmatch(value) is not None


def with_durability(
    call: Call[list[Enqueued]], durability: str, keys: CellKeys, *, wait_ms: int
) -> Call[list[Enqueued]]:
    """The enqueue, with the commands that make sure of its durability or ask for it.

    ``wait_ms`` is how long replicas may take to acknowledge.

    Raises:
        InvalidTask: ``durability`` is none of memory, fsync, replicas:1 .. replicas:99.
        NotDurable: (when the answer is read) stored, but not so.
    """
    if durability == "memory":
        return call
    replicas = _REPLICAS.fullmatch(durability)
    if durability == "fsync":
        chain: Commands = (("CONFIG", "GET", "append*"),)
    elif replicas is not None:
        chain = (("SET", keys.durable, nonce(), "EX", 60), ("WAIT", int(replicas[1]), wait_ms))
    else:
        problem = f"{kind_and_length(durability)} is not memory, fsync or replicas:n (n of 1..99)"
        raise InvalidTask("durability", problem)

    def read(reply: Any) -> list[Enqueued]:
        enqueued = call.read(reply[0])
        reached, problem = _fsynced(reply[1]) if replicas is None else _replicated(reply[2], int(replicas[1]))
        if problem:
            stored = [answer.id for answer in enqueued if answer.status in STORED]
            if stored:
                raise NotDurable(stored, durability, reached, problem)
        return [msgspec.structs.replace(answer, durability=reached) for answer in enqueued]

    return msgspec.structs.replace(call, read=read, chain=chain)


def _fsynced(reply: Any) -> tuple[str, str]:
    if not isinstance(reply, Sequence):
        return "memory", "the server does not tell whether it fsyncs (CONFIG GET is refused)"
    found = {text_of(reply[at]): text_of(reply[at + 1]) for at in range(0, len(reply) - 1, 2)}
    if found.get("appendonly") != "yes":
        return "memory", "the server has no append-only file (appendonly no)"
    if found.get("appendfsync") != "always":
        return "memory", f"the server fsyncs {found.get('appendfsync', 'at its leisure')}, not always"
    return "fsync", ""


def _replicated(reply: Any, wanted: int) -> tuple[str, str]:
    if not isinstance(reply, int):
        return "memory", f"the server does not wait for replicas ({reply})"
    if reply < wanted:
        return (f"replicas:{reply}" if reply else "memory"), f"{reply} of {wanted} replicas acknowledged in time"
    return f"replicas:{reply}", ""
