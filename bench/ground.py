"""What the worst inputs of holds.py are built on: a cell, quick ways to fill it, how long an act held the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import hiredis
import msgspec

from bench.common import QUEUE, Stage
from bench.noise import cpu_seconds
from bench.verbs import FLOOR
from bench.wire import Word, pack
from redsched import Task
from redsched.wire.call import Call
from redsched.wire.keys import CellKeys, QueueKeys, queue_keys

PIPE = 500  # commands of one write
SHORT_US = 100  # what takes less is not looked for one by one
HOUR_MS = 3_600_000

Act = Callable[[], object]
Seed = Callable[["Ground"], Act]


class Case(msgspec.Struct, frozen=True):
    """One worst input: the seed fills the server and returns the act whose calls are measured."""

    verb: str
    what: str
    seed: Seed

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.verb}: {self.what}"


class Held(msgspec.Struct, frozen=True):
    """What an act cost the server: its longest call, how many calls there were, commands that they sent on average."""

    longest_ms: float
    calls: int
    commands: int


CASES: list[Case] = []


def case(verb: str, what: str) -> Callable[[Seed], Seed]:
    """Add a function as the seed of a case."""

    def add(seed: Seed) -> Seed:
        CASES.append(Case(verb, what, seed))
        return seed

    return add


class Ground:
    """One cell on the server's own clock."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.wire = stage.wire
        self.client = stage.client
        self.cell = stage.client.cell
        self.cell_keys: CellKeys = stage.client.cell_keys
        self.keys: QueueKeys = self.queue(QUEUE)
        for library in FLOOR:
            self.wire.call("FUNCTION", "LOAD", "REPLACE", library.read_text(encoding="utf-8"))
        self.wire.call("CONFIG", "SET", "slowlog-max-len", 10_000)

    def queue(self, name: str) -> QueueKeys:
        """The keys of a queue."""
        return queue_keys(self.cell, name)

    def key(self, name: str) -> str:
        """A key of the cell."""
        return self.cell_keys.prefix + name

    @property
    def now(self) -> int:
        """The server's time, ms."""
        seconds, microseconds = self.wire.call("TIME")
        return int(seconds) * 1_000 + int(microseconds) // 1_000

    def clear(self) -> None:
        """Forget every key."""
        self.wire.call("FLUSHALL", "SYNC")
        self.client.install()

    def pipe(self, commands: Iterable[Sequence[Word]]) -> None:
        """Send plain commands."""
        packed = [pack(*command) for command in commands]
        for at in range(0, len(packed), PIPE):
            some = packed[at : at + PIPE]
            self.wire.pipeline(some, len(some))

    def send(self, call: Call[Any]) -> Any:
        """Send one call; its plain reply."""
        return self.wire.call("FCALL", "rs1_" + call.verb, len(call.keys), *call.keys, *call.args)

    def hashes(self, ids: Iterable[str], keys: QueueKeys | None = None, **fields: Word) -> None:
        """Hashes of tasks, written plainly."""
        flat = [word for field in ({"type": "t", "payload": "{}"} | fields).items() for word in field]
        self.pipe(("HSET", (keys or self.keys).task(task_id), *flat) for task_id in ids)

    def scores(self, key: str, members: Iterable[str], score: float = 1) -> None:
        """Members of a sorted set."""
        self.pipe(("ZADD", key, score, member) for member in members)

    def add(self, tasks: Sequence[Task], batch: int = 50) -> list[str]:
        """Enqueue tasks in small calls; their ids."""
        ids: list[str] = []
        for at in range(0, len(tasks), batch):
            ids += (answer.id for answer in self.client.enqueue_many(tasks[at : at + batch]))
        return ids

    def ready(self, count: int, payload: Any = None, conditions: Mapping[str, Any] | None = None) -> list[str]:
        """Ready tasks."""
        batch = 8 if conditions or payload else 500
        return self.add([self.task(payload=payload, conditions=conditions) for _ in range(count)], batch)

    def task(self, task_id: str | None = None, **fields: Any) -> Task:
        """A task of the measured queue."""
        return Task(type="t", queue=QUEUE, id=task_id, **fields)

    def later(self, task_id: str | None = None, **fields: Any) -> Task:
        """One that is due in an hour."""
        return self.task(task_id, due=self.now + HOUR_MS, **fields)

    def held(self, verb: str, act: Act) -> Held:
        """How long its calls held the server; no longer than the CPU that it used, for others may have had its core."""
        self.wire.call("CONFIG", "SET", "slowlog-log-slower-than", SHORT_US)
        time.sleep(0.02)  # what was unlinked is freed by another thread
        self.wire.call("SLOWLOG", "RESET")
        self.wire.call("CONFIG", "RESETSTAT")
        before = cpu_seconds(self._stage.server.pid)
        act()
        used_ms = (cpu_seconds(self._stage.server.pid) - before) * 1_000
        stats = self._commandstats()
        self.wire.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
        calls, micros, commands = 0, 0, 0
        for name, (count, usec) in stats.items():
            if name in ("fcall", "fcall_ro"):
                calls, micros = calls + count, micros + usec
            elif name not in ("config|resetstat", "config|set", "slowlog|reset", "info", "time"):
                commands += count
        logged = [
            int(entry[2])
            for entry in self.wire.call("SLOWLOG", "GET", 10_000)
            if entry[3][0].upper().startswith(b"FCALL") and entry[3][1] == b"rs1_" + verb.encode()
        ]
        longest = max(logged, default=micros // max(calls, 1))
        return Held(min(longest / 1_000, used_ms), calls, commands // max(calls, 1))

    def floor(self, commands: int) -> float:
        """ms of so many plain HSETs in one call."""
        self.wire.call("CONFIG", "RESETSTAT")
        self.wire.call("FCALL", "floor_write", 0, max(commands, 1))
        return self._commandstats()["fcall"][1] / 1_000

    def _commandstats(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for name, value in self.wire.info("commandstats").items():
            parts = dict(part.split("=") for part in value.split(","))
            found[name.removeprefix("cmdstat_")] = int(parts["calls"]), int(parts["usec"])
        return found


def refused(act: Act) -> Act:
    """An act whose refusal is as good as its answer."""

    def sent() -> object:
        try:
            return act()
        except hiredis.ReplyError as error:
            return error

    return sent
