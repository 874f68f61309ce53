"""How the doctor looks. It can write nothing: it calls the library's functions that say ``no-writes``, or sends the
same text under EVAL_RO where our library is not loaded; loading it would be a write.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import msgspec

from redsched.steps.exchange import Chain, Command, Mode
from redsched.wire import scripts
from redsched.wire.call import Call
from redsched.wire.codec import text_of
from redsched.wire.doctor import T
from redsched.wire.keys import CellKeys
from redsched.wire.redis_errors import Refused


class Way(msgspec.Struct, frozen=True):
    """How scripts can be run here without writing: ``FCALL_RO``, ``FCALL``, ``EVAL_RO`` or ``EVAL``."""

    how: str
    build: int | None  # of the library that is loaded, if one is
    digest: str


def find_way(mode: Mode) -> Generator[Command, Any, Way]:
    """Look how scripts can be run without loading anything."""
    build, digest = None, ""
    for how in ("FCALL_RO", "FCALL") if mode.functions else ():  # who may only read may not use FCALL
        try:
            build, found = yield (how, scripts.PREFIX + "version", 0)
        except Refused:
            continue
        digest = text_of(found)
        if digest == scripts.digest() or build > scripts.BUILD:
            return Way(how, build, digest)
    try:
        yield ("EVAL_RO", "return 1", 0)
    except Refused:
        return Way("EVAL", build, digest)  # it is the same text, and it writes nothing
    return Way("EVAL_RO", build, digest)


def read_only(way: Way, call: Call[T]) -> Generator[Command, Any, T]:
    """Send a verb that writes nothing, once."""
    return call.read((yield _words(way, call)))


def read_only_all(way: Way, calls: Sequence[Call[T]]) -> Generator[Chain, Any, list[T | Refused]]:
    """The same of several calls of one verb, in one round trip; a Refused stands where one was refused."""
    replies = yield Chain(tuple(_words(way, call, again=at > 0) for at, call in enumerate(calls)))
    return [
        reply if isinstance(reply, Refused) else call.read(reply) for call, reply in zip(calls, replies, strict=True)
    ]


def _words(way: Way, call: Call[Any], *, again: bool = False) -> Command:
    """``again``: the command before it in the same trip was the same verb, so that the server has its text."""
    words = (len(call.keys), *call.keys, *call.args)
    if way.how.startswith("FCALL"):
        return (way.how, scripts.PREFIX + call.verb, *words)
    if again:
        return (way.how.replace("EVAL", "EVALSHA"), scripts.sha1(call.verb), *words)
    return (way.how, scripts.script(call.verb), *words)


def ask(*commands: Command) -> Generator[Chain, Any, list[Any]]:
    """Plain reading commands in one round trip; a Refused stands where a command was refused."""
    replies = yield Chain(commands)
    return list(replies)


def scan(keys: CellKeys, cursor: bytes) -> Generator[Command, Any, tuple[bytes, list[bytes]]]:
    """One step over the names of all keys, without what they begin with; the next cursor is b"0" at the end."""
    reply = yield ("SCAN", cursor, "MATCH", keys.prefix + "*", "COUNT", 1_000)
    start = len(keys.prefix.encode())
    return reply[0], [name[start:] for name in reply[1]]


def listed(keys: CellKeys) -> Generator[Command, Any, set[str] | None]:
    """The names in the set of queues; None where it is none, or may not be read."""
    found: set[str] = set()
    cursor = b"0"
    while True:
        try:
            reply = yield ("SSCAN", keys.queues, cursor, "COUNT", 1_000)
        except Refused:
            return None
        found.update(text_of(name) for name in reply[1])
        cursor = reply[0]
        if cursor == b"0":
            return found
