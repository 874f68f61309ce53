"""The verbs of the doctor: inspect, which judges, and repair. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from redsched.wire.call import Call
from redsched.wire.codec import text_of
from redsched.wire.keys import QueueKeys

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
