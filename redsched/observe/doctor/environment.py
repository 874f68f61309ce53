"""Whether the server suits: version, role, memory, persistence, clock, the library, the rights of these credentials."""

from __future__ import annotations

import time
from typing import Any

from redsched.client import Client
from redsched.model.duration import is_digits
from redsched.observe.doctor.report import Level, Line
from redsched.steps import doctor as doctor_steps
from redsched.steps.doctor import Way
from redsched.steps.install import LISTPACK_BYTES
from redsched.wire import scripts
from redsched.wire.codec import text_of
from redsched.wire.keys import queue_keys
from redsched.wire.redis_errors import Refused

SKEW_MS = 250
FLOOR = {"redis": (7, 0, 0), "valkey": (7, 2, 0)}
Version = tuple[int, int, int]
LUA = "CVE-2025-49844: code execution from Lua"
BLOCKED = "CVE-2026-23479: use after free when a blocked client is ended"
TLS = "CVE-2026-81934: code execution without a password, where it serves TLS"
VALKEY_TLS = "CVE-2026-56684: code execution by CLIENT KILL, where it serves TLS"
# server, first and first mended version of a range, what is wrong with it; each branch was mended by itself
KNOWN_BAD: tuple[tuple[str, Version, Version, str], ...] = (
    ("redis", (7, 0, 0), (7, 2, 0),
     "CVE-2025-49844 and CVE-2026-81934 (code execution from Lua, and by TLS) unless the distribution mended them"),
    ("redis", (7, 2, 0), (7, 2, 11), LUA), ("redis", (7, 4, 0), (7, 4, 6), LUA),
    ("redis", (8, 0, 0), (8, 0, 4), LUA), ("redis", (8, 2, 0), (8, 2, 2), LUA),
    ("redis", (7, 2, 0), (7, 2, 14), BLOCKED), ("redis", (7, 4, 0), (7, 4, 9), BLOCKED),
    ("redis", (8, 0, 0), (8, 2, 6), BLOCKED), ("redis", (8, 4, 0), (8, 4, 3), BLOCKED),
    ("redis", (8, 6, 0), (8, 6, 3), BLOCKED),
    ("redis", (7, 2, 0), (7, 2, 16), TLS), ("redis", (7, 4, 0), (7, 4, 11), TLS), ("redis", (8, 0, 0), (8, 2, 9), TLS),
    ("redis", (8, 4, 0), (8, 4, 6), TLS), ("redis", (8, 6, 0), (8, 6, 6), TLS), ("redis", (8, 8, 0), (8, 8, 2), TLS),
    ("redis", (8, 10, 0), (8, 10, 1), TLS),
    ("redis", (8, 2, 0), (8, 2, 3), "CVE-2025-62507: code execution by XACKDEL"),
    ("redis", (7, 4, 0), (7, 4, 3), "redis#13793: WAITAOF answers before the fsync"),
    ("valkey", (7, 2, 0), (7, 2, 11), LUA), ("valkey", (8, 0, 0), (8, 0, 6), LUA),
    ("valkey", (8, 1, 0), (8, 1, 4), LUA),
    ("valkey", (7, 2, 0), (7, 2, 13), BLOCKED), ("valkey", (8, 0, 0), (8, 0, 8), BLOCKED),
    ("valkey", (8, 1, 0), (8, 1, 7), BLOCKED), ("valkey", (9, 0, 0), (9, 0, 4), BLOCKED),
    ("valkey", (7, 2, 0), (7, 2, 14), VALKEY_TLS), ("valkey", (8, 0, 0), (8, 0, 10), VALKEY_TLS),
    ("valkey", (8, 1, 0), (8, 1, 9), VALKEY_TLS), ("valkey", (9, 0, 0), (9, 0, 5), VALKEY_TLS),
    ("valkey", (9, 1, 0), (9, 1, 1), VALKEY_TLS),
)  # fmt: skip


def lines(client: Client, way: Way) -> list[Line]:
    """One line a thing; what these credentials may not ask is left out or said so."""
    info_reply, config = client.converse("doctor", doctor_steps.ask(("INFO",), ("CONFIG", "GET", "*")))
    info = {} if isinstance(info_reply, Refused) else _info(text_of(info_reply))
    settings = (
        {}
        if isinstance(config, Refused)
        else {text_of(config[at]): text_of(config[at + 1]) for at in range(0, len(config) - 1, 2)}
    )
    found = []
    if not info:
        found.append(
            Line(
                "WARN",
                "server",
                "INFO is refused",
                "version, role, memory and persistence are not known",
                "ACL SETUSER <user> +info",
            )
        )
    else:
        found += [*_server(info), _role(info), *_memory(info), *_persistence(info, settings)]
    return [*found, _listpack(settings), _clock(client), _library(way), _rights(client, way)]


def _info(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _version(text: str) -> Version:
    numbers = [int(part) for part in text.split(".")[:3] if is_digits(part)]
    return (*numbers, 0, 0, 0)[:3]  # type: ignore[return-value]


def _server(info: dict[str, str]) -> list[Line]:
    name = "valkey" if "valkey_version" in info else "redis"
    text = info.get(f"{name}_version", "")
    version = _version(text)
    if version < FLOOR[name]:
        return [Line("FAIL", "server", f"{name} {text}", "older than Redis 7.0 and Valkey 7.2", "upgrade the server")]
    bad = known_bad(name, version)
    if bad:
        return [
            Line("WARN", "server", f"{name} {text}: {why}", "a known fault of this build", "upgrade the server")
            for why in bad
        ]
    return [Line("OK", "server", f"{name} {text}")]


def known_bad(name: str, version: Version) -> list[str]:
    """What is known to be wrong with a build."""
    return [why for server, first, mended, why in KNOWN_BAD if server == name and first <= version < mended]


def _role(info: dict[str, str]) -> Line:
    role = info.get("role", "")
    if role == "slave":
        return Line("FAIL", "role", "a replica", "it refuses every write", "name the primary: --redis URL")
    return Line("OK", "role", f"{role}, {info.get('connected_slaves', '0')} replicas")


def _memory(info: dict[str, str]) -> list[Line]:
    policy = info.get("maxmemory_policy", "")
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if policy and policy != "noeviction":
        return [
            Line(
                "FAIL",
                "memory",
                f"maxmemory-policy {policy}",
                "Redis would delete tasks when it is full",
                "redis-cli CONFIG SET maxmemory-policy noeviction",
            )
        ]
    used_text = f"{used / 1_048_576:.1f} MiB used"
    if most and used > 0.9 * most:
        return [
            Line(
                "WARN",
                "memory",
                f"{used_text} of {most / 1_048_576:.1f}",
                "at its limit producers are refused",
                "redis-cli CONFIG SET maxmemory <bytes>",
            )
        ]
    return [Line("OK", "memory", f"noeviction, {used_text}")]


def _persistence(info: dict[str, str], settings: dict[str, str]) -> list[Line]:
    found = []
    fsync = settings.get("appendfsync", "not told")
    if info.get("aof_enabled") != "1":
        found.append(
            Line(
                "WARN",
                "persistence",
                "no append-only file",
                "a crash of Redis loses what came since its last snapshot",
                "redis-cli CONFIG SET appendonly yes",
            )
        )
    else:
        level: Level = "WARN" if fsync == "no" else "OK"
        cost = {
            "always": "a power cut costs nothing",
            "everysec": "a power cut may cost the last second",
            "no": "a power cut may cost half a minute",
        }.get(fsync, "")
        mend = "redis-cli CONFIG SET appendfsync everysec" if level == "WARN" else ""
        found.append(Line(level, "persistence", f"append-only file, appendfsync {fsync}", cost, mend))
    for field, what in (
        ("aof_last_write_status", "writing the append-only file"),
        ("rdb_last_bgsave_status", "the snapshot"),
        ("aof_last_bgrewrite_status", "rewriting the append-only file"),
    ):
        if info.get(field, "ok") != "ok":
            found.append(Line("FAIL", "persistence", f"{what} failed last time", "is its disk full?", "df -h; its log"))
    return found


def _listpack(settings: dict[str, str]) -> Line:
    text = settings.get("hash-max-listpack-value", "")
    if not text:
        return Line("OK", "listpack", "hash-max-listpack-value is not told")
    if int(text) < LISTPACK_BYTES:
        return Line(
            "WARN",
            "listpack",
            f"hash-max-listpack-value is {text}",
            f"a value over {text} bytes makes a scheduled task cost 675 bytes in place of 427",
            f"redsched install, or redis-cli CONFIG SET hash-max-listpack-value {LISTPACK_BYTES}",
        )
    return Line("OK", "listpack", f"hash-max-listpack-value {text}")


def _clock(client: Client) -> Line:
    best: tuple[float, float] | None = None  # how long the answer took, how far we are behind: ms
    for _ in range(3):
        asked = time.time()
        (reply,) = client.converse("doctor", doctor_steps.ask(("TIME",)))
        took = (time.time() - asked) * 1_000
        if isinstance(reply, Refused):
            return Line("OK", "clock", "TIME is refused; scripts read it all the same")
        server = int(reply[0]) * 1_000 + int(reply[1]) / 1_000
        skew = server - (asked * 1_000 + took / 2)
        if best is None or took < best[0]:
            best = (took, skew)
    assert best is not None
    return clock_line(*best)


def clock_line(took_ms: float, skew_ms: float) -> Line:
    """The line for a skew that was measured by an answer that took so long."""
    if abs(skew_ms) > SKEW_MS + took_ms / 2:
        ahead = "ahead of" if skew_ms > 0 else "behind"
        return Line(
            "WARN",
            "clock",
            f"the server is {abs(skew_ms):.0f} ms {ahead} this machine",
            "absolute due times made here are off by that",
            "keep both in time: chronyc tracking",
        )
    return Line("OK", "clock", f"within {abs(skew_ms):.0f} ms of this machine")


def _library(way: Way) -> Line:
    if way.build is None:
        return Line(
            "WARN",
            "library",
            "our functions are not loaded",
            "a program in another language cannot call them",
            "redsched install",
        )
    if way.build > scripts.BUILD:
        return Line("OK", "library", f"build {way.build}, newer than ours ({scripts.BUILD})")
    if way.digest != scripts.digest():
        ours = f"{scripts.BUILD} ({scripts.digest()})"
        return Line(
            "WARN",
            "library",
            f"build {way.build} ({way.digest}); ours is {ours}",
            "a process of another version loaded it",
            "redsched install",
        )
    return Line("OK", "library", f"build {way.build}, as shipped")


def _rights(client: Client, way: Way) -> Line:
    (user,) = client.converse("doctor", doctor_steps.ask(("ACL", "WHOAMI")))
    if isinstance(user, Refused):
        return Line("OK", "rights", "not known: ACL WHOAMI is refused", "redsched acl print lists what a worker needs")
    name = text_of(user)
    needed = _needed(client, way)
    replies = client.converse("doctor", doctor_steps.ask(*(("ACL", "DRYRUN", name, *words) for words in needed)))
    if any(isinstance(reply, Refused) for reply in replies):
        return Line(
            "OK",
            "rights",
            f"user {name}; not known: ACL DRYRUN is refused",
            "redsched acl print lists what a worker needs",
        )
    lacking = sorted({words[0] for words, reply in zip(needed, replies, strict=True) if text_of(reply) != "OK"})
    if lacking:
        return Line(
            "WARN",
            "rights",
            f"user {name} may not: {', '.join(lacking).lower()}",
            "a worker with these credentials would be refused",
            "redsched acl print",
        )
    return Line("OK", "rights", f"user {name} may do all that a worker does")


def _needed(client: Client, way: Way) -> list[tuple[Any, ...]]:
    keys = queue_keys(client.cell, "default")
    task, due, ready, running = keys.task("id"), keys.due, keys.ready, keys.index("running")
    call = ("FCALL", "rs1_claim", 1, due) if way.build is not None else ("EVALSHA", scripts.sha1("claim"), 1, due)
    return [
        call,
        ("TIME",),
        ("TYPE", task),
        ("EXISTS", task),
        ("HGET", task, "f"),
        ("HMGET", task, "f"),
        ("HGETALL", task),
        ("HSET", task, "f", "v"),
        ("HDEL", task, "f"),
        ("HINCRBY", client.cell_keys.prefix + "stats:default", "f", 1),
        ("ZADD", due, 1, "id"),
        ("ZREM", due, "id"),
        ("ZRANGE", due, 0, 1),
        ("ZSCORE", running, "id"),
        ("ZREMRANGEBYRANK", keys.index("quarantine"), 0, 1),
        ("ZCARD", due),
        ("XADD", ready, "*", "id", "id"),
        ("XDEL", ready, "1-1"),
        ("XACK", ready, "workers", "1-1"),
        ("XLEN", ready),
        ("XRANGE", ready, "-", "+"),
        ("XREADGROUP", "GROUP", "workers", "c", "STREAMS", ready, ">"),
        ("XPENDING", ready, "workers"),
        ("XGROUP", "CREATE", ready, "workers", "0"),
        ("XINFO", "GROUPS", ready),
        ("UNLINK", task),
        ("GET", client.cell_keys.mover),
        ("SET", client.cell_keys.mover, "m"),
        ("SADD", client.cell_keys.queues, "q"),
        ("PEXPIRE", client.cell_keys.prefix + "stats:default:1", 1),
    ]
