"""Verbs of movers: promote, reap, sweep, attend, ingest. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from redsched.wire.call import Call, known_ms
from redsched.wire.keys import CellKeys, QueueKeys


class Moved(msgspec.Struct, frozen=True):
    """One queue after promote or reap: ids moved, next due time and next end of a lease in ms (None: none)."""

    queue: str
    moved: int
    next_due: int | None
    next_lease: int | None


class Promoted(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms; ``acting``: whether this mover is the one that follows every wake-up."""

    now: int
    acting: bool
    queues: list[Moved]

    @property
    def moved(self) -> int:
        """Ids that left the due sets."""
        return sum(queue.moved for queue in self.queues)


class Reaped(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms."""

    now: int
    queues: list[Moved]


class Swept(msgspec.Struct, frozen=True):
    """Tasks removed; whether there may be more to remove."""

    removed: int
    more: bool


def promote(queues: Sequence[QueueKeys], *, mover: str, limit: int = 100) -> Call[Promoted]:
    """Make up to ``limit`` due tasks of 1..16 queues ready."""

    def read(reply: list[int]) -> Promoted:
        moved = [
            Moved(keys.queue, reply[at], known_ms(reply[at + 1]), known_ms(reply[at + 2]))
            for keys, at in zip(queues, range(2, len(reply), 3), strict=True)
        ]
        return Promoted(reply[0], reply[1] == 1, moved)

    return Call("promote", [keys.due for keys in queues], (0, limit, mover), read)


def reap(queues: Sequence[QueueKeys], *, limit: int = 100) -> Call[Reaped]:
    """Take back up to ``limit`` tasks of 1..16 queues whose leases ended."""

    def read(reply: list[int]) -> Reaped:
        moved = [
            Moved(keys.queue, reply[at], None, known_ms(reply[at + 1]))
            for keys, at in zip(queues, range(1, len(reply), 2), strict=True)
        ]
        return Reaped(reply[0], moved)

    return Call("reap", [keys.due for keys in queues], (0, limit), read)


def sweep(queues: Sequence[QueueKeys], *, limit: int = 500, forgotten: int = 1_000_000) -> Call[Swept]:
    """Remove what is past its retention or beyond the caps, of 1..16 queues; ``forgotten``: how many ids of the
    namespace that were removed are known for a day."""
    return Call(
        "sweep", [keys.due for keys in queues], (0, limit, forgotten), lambda reply: Swept(reply[0], reply[1] == 1)
    )


AT_ONCE = 20  # the limit of one attend: less than a millisecond of the server


class Attended(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms; tasks looked at; when there is more to do, ms (None: nothing is left); items
    that this caller may not carry out."""

    now: int
    done: int
    next_look: int | None
    left: int = 0


def attend(keys: CellKeys, limit: int = AT_ONCE, skip: int = 0) -> Call[Attended]:
    """Work off a part of the agenda, but for ``skip`` items at its head."""

    def read(reply: list[int]) -> Attended:
        return Attended(reply[0], reply[1], None if reply[2] < 0 else reply[2], *reply[3:4])

    return Call("attend", (keys.agenda,), (0, limit, skip), read)


class Ingest(msgspec.Struct, frozen=True):
    """What became of one queue's inbox: tasks made, entries set aside, entries left."""

    queue: str
    created: int
    refused: int
    left: int


def ingest(queues: Sequence[QueueKeys], *, limit: int = 100) -> Call[list[Ingest]]:
    """Make tasks of up to ``limit`` entries of the inboxes of 1..16 queues."""

    def read(reply: list[int]) -> list[Ingest]:
        return [
            Ingest(keys.queue, *reply[at : at + 3]) for keys, at in zip(queues, range(1, len(reply), 3), strict=True)
        ]

    return Call("ingest", [keys.due for keys in queues], (0, limit), read)
