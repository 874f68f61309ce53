"""Conversations about queues: which there are, and what is paused in them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from heapq import nsmallest
from typing import Any

import msgspec

from redsched.model.views import Paused
from redsched.steps.exchange import Command
from redsched.wire.call import Call
from redsched.wire.codec import (
    is_name,
    text_of,
)
from redsched.wire.keys import GROUP, PRIORITIES, CellKeys, QueueKeys
from redsched.wire.queues import paused
from redsched.wire.redis_errors import Kind, Refused, sort_error

MOST_QUEUES = 100  # of one call that tells what is paused


def all_paused(queues: Sequence[QueueKeys]) -> Generator[Call[Any], Any, list[Paused]]:
    """All that is paused in 1..100 queues."""
    found: dict[tuple[str, str | None, str | None, bool], Paused] = {}
    cursor = ""
    while True:
        stops, cursor = yield paused(queues, cursor=cursor)
        found |= {(stop.queue, stop.type, stop.key, stop.all): stop for stop in stops}
        if not cursor:
            return list(found.values())


def paused_of(queues: Sequence[QueueKeys]) -> Generator[Call[Any], Any, list[Paused]]:
    """The same in any number of queues; a pause of everything once, first, for the queue ``*``."""
    found: list[Paused] = []
    for at in range(0, len(queues), MOST_QUEUES):
        found += yield from all_paused(queues[at : at + MOST_QUEUES])
    of_all = [stop for stop in found if stop.all]
    if of_all:
        waiting = sum(stop.waiting for stop in of_all)
        of_all = [msgspec.structs.replace(of_all[0], queue="*", waiting=waiting)]
    return of_all + [stop for stop in found if not stop.all]


def queues(keys: CellKeys) -> Generator[Command, Any, list[str]]:
    """The names of all queues seen, sorted, without what is no name; none where somebody put something else in place of
    the set."""
    found: set[str] = set()
    cursor = ""
    while cursor != "0":
        cursor, names = yield from _names(keys, cursor or "0")
        found.update(filter(is_name, names))
    return sorted(found)


def some_queues(keys: CellKeys, after: str, limit: int) -> Generator[Command, Any, list[str]]:
    """The first ``limit`` names of queues behind ``after``, sorted; keeps no more of them at any time."""
    found: list[str] = []
    cursor = ""
    while cursor != "0":
        cursor, names = yield from _names(keys, cursor or "0")
        found = nsmallest(limit, {name for name in names if name > after and is_name(name)}.union(found))
    return found


def is_queue(keys: CellKeys, queue: str) -> Generator[Command, Any, bool]:
    """Whether a queue has been seen."""
    cursor = ""
    while cursor != "0":
        cursor, names = yield from _names(keys, cursor or "0")
        if queue in names:
            return True
    return False


def _names(keys: CellKeys, cursor: str) -> Generator[Command, Any, tuple[str, list[str]]]:
    """A page of what is in the set of queues; nothing where somebody put something else in its place."""
    try:
        reply = yield ("SSCAN", keys.queues, cursor, "COUNT", 1_000)
    except Refused as refused:
        if "WRONGTYPE" not in str(refused):
            raise
        return "0", []
    return text_of(reply[0]), [text_of(name) for name in reply[1]]


def sweeps(keys: CellKeys, limit: int) -> Generator[Command, Any, list[tuple[str, int]]]:
    """The ``limit`` queues that are to be swept first, each with when, ms. What names no queue is taken out."""
    flat = yield ("ZRANGE", keys.sweeps, 0, limit - 1, "WITHSCORES")
    noted = [(flat[at], min(float(flat[at + 1]), 9e15)) for at in range(0, len(flat), 2)]
    if strays := [name for name, _ in noted if not is_name(text_of(name))]:
        yield ("ZREM", keys.sweeps, *strays)
    return [(text_of(name), int(max(at, 0))) for name, at in noted if name not in strays]


def join(queues_joined: Sequence[QueueKeys], keys: CellKeys) -> Generator[Command, Any, dict[str, str]]:
    """Make the consumer groups of queues that a worker is about to serve, so that it can wait for their entries.

    Answers why not, by queue, where the keys of one are of a wrong type, or not for these credentials.
    """
    for queue in queues_joined:
        try:
            yield ("SADD", keys.queues, queue.queue)
        except Refused as refused:  # it only helps others to find the queue
            if not _is_about_keys(refused):
                raise
    problems: dict[str, str] = {}
    for queue in queues_joined:
        for priority in PRIORITIES:
            try:
                yield ("XGROUP", "CREATE", queue.stream(priority), GROUP, "0", "MKSTREAM")
            except Refused as refused:
                if "already exists" in str(refused) or str(refused).startswith("BUSYGROUP"):
                    continue
                if not _is_about_keys(refused):
                    raise
                problems[queue.queue] = str(refused)
    return problems


def _is_about_keys(refused: Refused) -> bool:
    """Whether an error is about the keys of the command: a wrong type, or no right to them."""
    problem = str(refused)
    return "WRONGTYPE" in problem or (
        sort_error(problem) is Kind.DENIED and not problem.startswith(("NOAUTH", "WRONGPASS"))
    )


def scan_due(keys: CellKeys, cursor: str, steps: int) -> Generator[Command, Any, tuple[str, set[str], set[str]]]:
    """Look for due sets and inboxes that nobody told of, at most ``steps`` calls on from ``cursor``; the next cursor
    is "0" at the end, and where these credentials may not look around."""
    due: set[str] = set()
    inboxes: set[str] = set()
    for _ in range(steps):
        try:
            # one pattern for due: and inbox:, so that one pass finds both
            reply = yield ("SCAN", cursor, "MATCH", keys.prefix + "[di][un][eb]*:*", "COUNT", 1_000)
        except Refused as refused:
            if sort_error(str(refused)) is not Kind.DENIED:
                raise
            return "0", due, inboxes
        for key in map(text_of, reply[1]):
            due.update(filter(is_name, (keys.queue_of(key) or "",)))
            inboxes.update(filter(is_name, (keys.inbox_of(key) or "",)))
        cursor = text_of(reply[0])
        if cursor == "0":
            break
    return cursor, due, inboxes
