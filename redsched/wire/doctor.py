"""What the doctor reads and repairs. Its reading can write nothing: the library's functions that say ``no-writes``, or
the same text under EVAL_RO where our library is not loaded; loading it would be a write.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from redsched.wire import scripts
from redsched.wire.codec import text_of
from redsched.wire.exchange import Chain, Command, Mode
from redsched.wire.keys import CellKeys, QueueKeys
from redsched.wire.protocol import Call
from redsched.wire.redis_errors import Refused

T = TypeVar("T")
PAGE = 50  # tasks of one call: about a millisecond of the server's time
FEW = 10  # tasks or keys of a queue that are judged with those of other queues, in one round trip
A_TRIP = 50  # tasks or keys of one round trip: Redis carries out what came at once without a look at others
FIRST = 16  # parts of a page: of so many queues a part is looked at in one round trip
MENDED = 20  # things that one repair is asked for
MOST = 500  # of anything
BRIEF = b"brief"  # of a set only the members that name no hash
SETS = ("due", "held", "running", "finished", "dead")
STREAMS = ("high", "normal", "low")


class Fault(msgspec.Struct, frozen=True):
    """One broken rule. The same fault twice means that nothing but time has passed in between."""

    queue: str
    kind: str  # task | entry | pending | key | queue
    name: bytes  # id · <priority>/<stream id> · key without its {namespace}:
    rule: str
    mark: bytes = b""  # of what it was judged by
    task_id: bytes = b""


class Inspected(msgspec.Struct, frozen=True):
    """One page. ``now``: the server's clock, ms; ``cursor``: empty on the last page."""

    now: int
    cursor: bytes
    looked: int
    faults: list[Fault]


class Way(msgspec.Struct, frozen=True):
    """How scripts can be run here without writing: ``FCALL_RO``, ``FCALL``, ``EVAL_RO`` or ``EVAL``."""

    how: str
    build: int | None  # of the library that is loaded, if one is
    digest: str


def inspect(
    keys: QueueKeys, what: str, *, cursor: bytes = b"", limit: int = PAGE, names: Sequence[bytes] = ()
) -> Call[Inspected]:
    """Judge one page of ``what`` (see lua/inspect.lua), or up to 500 named tasks, entries, pendings or keys.

    Of named keys it may be fewer: then the cursor is how many it was.
    """

    def read(reply: list[Any]) -> Inspected:
        faults = [
            Fault(keys.queue, text_of(kind), name, rule, mark, task_id)
            for kind, name, broken, mark, task_id in reply[3:]
            for rule in text_of(broken).split()
        ]
        return Inspected(reply[0], reply[1], reply[2], faults)

    return Call("inspect", (keys.due,), (0, what, cursor, limit, *names), read)


def repair(keys: QueueKeys, faults: Iterable[tuple[str, bytes]]) -> Call[list[str]]:
    """Mend up to 500 things of a queue, each a kind and a name; what has become of each."""
    words = [word for fault in faults for word in fault]
    return Call("repair", (keys.due,), (0, *words), lambda reply: [text_of(word) for word in reply])


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
