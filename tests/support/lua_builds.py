"""A raw connection to a server, builds of the Lua with something changed in it, and the whole state of a namespace.

The simulation makes millions of calls, so it speaks to the server over a plain socket; nothing here retries or hides.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis

from redsched.wire import scripts
from redsched.wire.keys import PRIORITIES

Entry = tuple[str, str]  # queue, priority/stream id
TaskKey = tuple[str, str]  # queue, id

# Makes a script stop before its n-th write: that and each later one fails, as where a server is full half-way.
HALT = """local HALT, redis = {at = 0, halted = false, library = redis, server = function() return redis end}, nil
do
  local WRITES = {HSET = 1, HDEL = 1, HINCRBY = 1, ZADD = 1, ZREM = 1, ZREMRANGEBYRANK = 1, XADD = 1, XACK = 1,
    XDEL = 1, XTRIM = 1, XREADGROUP = 1, XGROUP = 1, SET = 1, SADD = 1, UNLINK = 1, RPUSH = 1, HSETNX = 1,
    PEXPIRE = 1, PERSIST = 1, RENAME = 1, ZUNIONSTORE = 1}
  local function halt(command)
    if HALT.at > 0 and WRITES[command] then
      HALT.at = HALT.at - 1
      if HALT.at == 0 then HALT.halted = true end
    end
    if HALT.halted and WRITES[command] then error({err = 'OOM RS_HALT stopped half-way'}) end
  end
  redis = {}
  function redis.error_reply(problem) return HALT.server().error_reply(problem) end
  function redis.call(command, ...) halt(command) return HALT.server().call(command, ...) end
  function redis.pcall(command, ...) halt(command) return HALT.server().pcall(command, ...) end
end
"""
SNAPSHOT = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind = redis.call('TYPE', key).ok
  local content = {}
  local name = string.match(key, '^%a+', #ARGV[1] + 1)
  if ARGV[2] ~= '' and (name == 'events' or name == 'stats' or name == 'claimed' or name == 'meta') then
    kind = 'left out'
  end
  if kind == 'hash' then content = redis.call('HGETALL', key)
  elseif kind == 'zset' then content = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then content = redis.call('SMEMBERS', key)
  elseif kind == 'string' then content = {redis.call('GET', key)}
  elseif kind == 'stream' then
    local pending = redis.pcall('XPENDING', key, 'workers', '-', '+', 1000)
    if pending.err then pending = {} end
    content = {redis.call('XRANGE', key, '-', '+'), pending}
  end
  found[#found + 1] = {key, kind, content}
end
return found
"""


class Refused(Exception):
    """An error reply; its text."""


class Line:
    """One connection; a call is a list of words, the answer is as hiredis reads it."""

    def __init__(self, port: int, db: int = 0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        if db:
            self("SELECT", db)

    def __call__(self, *words: Any) -> Any:
        (reply,) = self.together(words)
        if isinstance(reply, Refused):
            raise reply
        return reply

    def together(self, *calls: Sequence[Any]) -> list[Any]:
        """The replies to calls that are sent at once; a ``Refused`` among them is the error reply of its call."""
        self._socket.sendall(b"".join(map(hiredis.pack_command, map(tuple, calls))))
        return [self._reply() for _ in calls]

    def _reply(self) -> Any:
        while True:
            reply = self._reader.gets()
            if reply is not False:
                return Refused(str(reply)) if isinstance(reply, hiredis.ReplyError) else reply
            chunk = self._socket.recv(262_144)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(chunk)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@contextlib.contextmanager
def changed(changes: Mapping[str, str]) -> Iterator[None]:
    """While it lasts, ``redsched.wire.scripts`` reads these texts in place of files of ``lua/``."""
    real = scripts.text
    made = (scripts.uses, scripts.linked, scripts.digest, scripts.script, scripts.sha1, scripts.library, scripts.header)
    try:
        scripts.text = lambda name: changes[name] if name in changes else real(name)  # type: ignore[assignment]
        for function in made:
            function.cache_clear()
        yield
    finally:
        scripts.text = real
        for function in made:
            function.cache_clear()


def source(name: str) -> str:
    """The text of a file of ``lua/``."""
    return scripts.text(name)


@dataclass(frozen=True)
class Build:
    """A function library loaded under a name of its own, so that many can be on one server."""

    name: str

    @classmethod
    def load(cls, line: Line, name: str, changes: Mapping[str, str] | None = None) -> Build:
        """Load the Lua with these files changed, and with a way to stop a script half-way."""
        with changed(changes or {}):
            text = scripts.library()
        first, _, rest = text.partition("\n")
        text = first.replace(scripts.LIBRARY, name) + "\n" + HALT + rest
        text = text.replace("redis.register_function", "HALT.library.register_function")
        text = text.replace(f"function_name = '{scripts.PREFIX}", f"function_name = '{name}_")
        text += (
            f"HALT.library.register_function{{function_name = '{name}_halt', "
            "callback = function(_, argv) HALT.at, HALT.halted = tonumber(argv[1]), false end, flags = {'no-writes'}}\n"
        )
        line("FUNCTION", "LOAD", "REPLACE", text)
        return cls(name)


@dataclass
class Snapshot:
    """Everything that a namespace holds, at one moment."""

    tasks: dict[TaskKey, dict[str, str]] = field(default_factory=dict)
    wrong: set[TaskKey] = field(default_factory=set)  # task keys that are no hash
    places: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)  # (queue, place) -> id -> score
    entries: dict[Entry, str] = field(default_factory=dict)  # -> id
    pending: dict[Entry, str] = field(default_factory=dict)  # -> consumer
    outcomes: set[TaskKey] = field(default_factory=set)
    others: list[str] = field(default_factory=list)  # keys that belong to no task

    def where(self) -> dict[TaskKey, list[str]]:
        """The places in which each id is; ``ready`` once per entry."""
        found: dict[TaskKey, list[str]] = {}
        for (queue, place), ids in self.places.items():
            if place != "quarantine":
                for task_id in ids:
                    found.setdefault((queue, task_id), []).append(place)
        for (queue, _), task_id in self.entries.items():
            found.setdefault((queue, task_id), []).append("ready")
        return found


def text(value: Any) -> str:
    """Bytes of a reply as text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _pairs(flat: list[Any]) -> dict[str, str]:
    words = [text(word) for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))


_STREAM = re.compile(rf"(.+):({'|'.join(PRIORITIES)})")
_parsed: dict[bytes, tuple[list[Any], Any]] = {}  # key -> content as it came, and parsed: most keys are as they were


def _content(key: bytes, kind: bytes, content: list[Any]) -> Any:
    was = _parsed.get(key)
    if was is not None and was[0] == content:
        return was[1]
    if len(_parsed) > 1_000:
        _parsed.clear()
    made = _pairs(content)
    parsed = {member: float(score) for member, score in made.items()} if kind == b"zset" else made
    _parsed[key] = (content, parsed)
    return parsed


def snapshot(line: Line, namespace: str) -> Snapshot:
    """Read it in one atomic call."""
    prefix = f"{{{namespace}}}:"
    made = Snapshot()
    for raw_key, raw_kind, content in line("EVAL", SNAPSHOT, 0, prefix, "brief"):
        key = text(raw_key).removeprefix(prefix)
        kind, _, rest = key.partition(":")
        queue, _, task_id = rest.partition(":")
        if kind == "task":
            if raw_kind == b"hash":
                made.tasks[queue, task_id] = _content(raw_key, raw_kind, content)
            else:
                made.wrong.add((queue, task_id))
        elif kind == "ready" and raw_kind == b"stream":
            found = _STREAM.fullmatch(rest)
            name, priority = (found[1], found[2]) if found else (rest, "normal")
            for at, fields in content[0]:
                made.entries[name, f"{priority}/{text(at)}"] = text(fields[1]) if fields else ""
            for at, consumer, *_ in content[1]:
                made.pending[name, f"{priority}/{text(at)}"] = text(consumer)
        elif kind in ("due", "held", "running", "finished", "dead", "quarantine") and raw_kind == b"zset":
            made.places[rest, kind] = _content(raw_key, raw_kind, content)
        elif kind == "outcome":
            made.outcomes.add((queue, task_id))
        else:
            made.others.append(key)
    return made


def whole(line: Line, namespace: str, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """Every key and its content, to compare two states; idle times and counts of deliveries are left out."""
    prefix = f"{{{namespace}}}:"
    found: dict[str, Any] = {}
    for raw_key, raw_kind, content in line("EVAL", SNAPSHOT, 0, prefix, ""):
        key = text(raw_key).removeprefix(prefix)
        if key.partition(":")[0] in left_out:
            continue
        if raw_kind == b"hash":
            found[key] = sorted(_pairs(content).items())
        elif raw_kind == b"stream":
            found[key] = [content[0], [row[:2] for row in content[1]]]
        else:
            found[key] = sorted(content) if raw_kind == b"set" else content
    return found


def clear(line: Line, namespace: str) -> None:
    """Remove what the namespace holds."""
    if keys := line("KEYS", f"{{{namespace}}}:*"):
        line("UNLINK", *keys)
