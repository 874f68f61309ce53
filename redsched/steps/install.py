"""Conversations of plain commands: install, ping, and whether it is still the same Redis."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from redsched.steps.exchange import Command, Mode, load
from redsched.wire import scripts
from redsched.wire.codec import text_of
from redsched.wire.ids import nonce
from redsched.wire.keys import CellKeys
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
