"""Conversations of plain commands: install, ping, the list of queues. They yield commands and get replies; no I/O."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from heapq import nsmallest
from typing import Any

import msgspec

from redsched.wire import scripts
from redsched.wire.codec import is_name, text_of
from redsched.wire.exchange import Command, Mode, load
from redsched.wire.ids import nonce
from redsched.wire.keys import GROUP, PRIORITIES, CellKeys, QueueKeys
from redsched.wire.redis_errors import Kind, Refused, sort_error

LISTPACK_BYTES = 1_024  # of hash-max-listpack-value: a hash whose values are all shorter stays compact


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a server tells of itself; empty texts where it does not say."""

    server: str  # redis | valkey
    version: str
    role: str  # master | slave
    mode: str  # standalone | cluster | sentinel
    build: int | None  # of the function library; None where it is not loaded
    maxmemory_policy: str
    aof: str  # yes | no
    used_memory: int | None
    maxmemory: int | None


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What ``install`` did."""

    mode: str  # functions | scripts
    build: int
    listpack: str  # raised | already | refused
    server: str  # such as "valkey 9.1.2"


def _info(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def ping(mode: Mode) -> Generator[Command, Any, ServerInfo]:
    """Ask what the server is."""
    yield ("PING",)
    try:
        info = _info(text_of((yield ("INFO",))))
    except Refused:
        info = {}
    build = None
    if mode.functions:
        try:
            build = (yield ("FCALL", scripts.PREFIX + "version", 0))[0]
        except Refused:
            build = None
    valkey = info.get("valkey_version", "")
    return ServerInfo(
        server="valkey" if valkey else "redis" if info else "",
        version=valkey or info.get("redis_version", ""),
        role=info.get("role", ""),
        mode=info.get("redis_mode") or info.get("server_mode", ""),  # valkey 9 says server_mode
        build=build,
        maxmemory_policy=info.get("maxmemory_policy", ""),
        aof={"1": "yes", "0": "no"}.get(info.get("aof_enabled", ""), ""),
        used_memory=int(info["used_memory"]) if "used_memory" in info else None,
        maxmemory=int(info["maxmemory"]) if "maxmemory" in info else None,
    )


def install(mode: Mode, keys: CellKeys) -> Generator[Command, Any, Installed]:
    """Load the Lua; write ``meta`` where it is missing; raise the listpack setting where that is allowed."""
    build = yield from load(mode, replace=True)
    for field, value in (("contract", scripts.CONTRACT), ("cells", 1), ("tags", keys.cell.tag), ("epoch", nonce())):
        yield ("HSETNX", keys.meta, field, value)
    try:
        found = yield ("CONFIG", "GET", "hash-max-listpack-value")
        listpack = "already"
        if len(found) < 2 or int(found[1]) < LISTPACK_BYTES:
            yield ("CONFIG", "SET", "hash-max-listpack-value", LISTPACK_BYTES)
            listpack = "raised"
    except Refused:
        listpack = "refused"
    about = yield from ping(mode)
    server = f"{about.server} {about.version}".strip()
    return Installed(mode="functions" if mode.functions else "scripts", build=build, listpack=listpack, server=server)


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


def epoch(keys: CellKeys) -> Generator[Command, Any, str | None]:
    """Which life of this namespace it is: a random text in ``meta``, made where it is missing. None where that is
    refused, or ``meta`` is no hash: the doctor tells of that."""
    found = None
    read = ("HGET", keys.meta, "epoch")
    for command in (read, ("HSETNX", keys.meta, "epoch", nonce()), read):
        if isinstance(found, (bytes, str)):
            break
        try:
            found = yield command
        except Refused as refused:
            if "WRONGTYPE" in str(refused):
                return None
            if command[0] == "HGET" or sort_error(str(refused)) is not Kind.DENIED:
                raise
    return None if found is None else text_of(found)


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
