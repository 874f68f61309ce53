"""The verbs of a task's life over a bare connection, at a time of our own choice: what they cost the server alone.

The client's side of a call is made beforehand or does not count; only the server's CPU does, as Linux counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.common import QUEUE, TYPE, Stage, payload, task
from bench.noise import cpu_seconds
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Settlement
from redsched.wire.keys import QueueKeys, queue_keys

T = TypeVar("T")
NOW = 1_800_000_000_000  # what time it is for the scripts: in January 2027
LATER = NOW + 1_000
SWEPT = NOW + 2 * 3_600_000  # everything that was finished at LATER is past its retention
LEASE_MS = 30_000
MAX_PAYLOAD = 262_144
FLOOR = tuple(sorted((Path(__file__).parent / "floor").glob("*.lua")))


class Verbs:
    """One namespace whose clock is ours."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._cell = stage.client.cell
        stage.wire.call("HSET", stage.client.cell_keys.meta, "virtual_clock", 1)

    @property
    def keys(self) -> QueueKeys:
        """The measured queue's."""
        return queue_keys(self._cell, QUEUE)

    def send(self, call: Call[T], now: int) -> T:
        """Send one call at that time."""
        args = (now, *call.args[1:])
        return call.read(self._stage.wire.call("FCALL", "rs1_" + call.verb, len(call.keys), *call.keys, *args))

    def load_floor(self) -> None:
        """Load the libraries of plain commands."""
        for library in FLOOR:
            self._stage.wire.call("FUNCTION", "LOAD", "REPLACE", library.read_text(encoding="utf-8"))

    def life(self, count: int, batch: int, due_ms: int = LATER, *, in_one: bool = False) -> dict[str, float]:
        """Microseconds of the server's CPU a task of each part of its life, and in all; nothing of them is left.

        ``due_ms`` 0: due at once, so that nothing is promoted. ``in_one``: as a busy worker does it, which settles what
        ended and claims the next in one call.

        Raises:
            RuntimeError: a part did not do all of its work.
        """
        enqueues = [
            protocol.enqueue(self._cell, [task(first + n, due_ms) for n in range(batch)], max_payload=MAX_PAYLOAD)
            for first in range(0, count, batch)
        ]
        claims: list[list[Settlement]] = []

        def claim() -> int:
            call = protocol.claim([self.keys], consumer="bench", count=batch, lease_ms=LEASE_MS)
            tasks = self.send(call, LATER).tasks
            claims.append([Settlement(QUEUE, started.id, started.token, "complete") for started in tasks])
            return len(tasks)

        def settle_and_claim() -> int:
            if not claims:
                claim()
            next_claim = protocol.claim([self.keys], consumer="bench", count=batch, lease_ms=LEASE_MS)
            words, claimed = self.send(protocol.settle_and_claim(self._cell, claims.pop(), next_claim), LATER)
            claims.append([Settlement(QUEUE, started.id, started.token, "complete") for started in claimed.tasks])
            return words.count("completed")

        worker: dict[str, Callable[[], int]] = {
            "claim": claim,
            "settle": lambda: self.send(protocol.settle(self._cell, claims.pop()), LATER).count("completed"),
        }
        steps: dict[str, Callable[[], int]] = {
            "enqueue": lambda: len(self.send(enqueues.pop(), NOW)),
            "promote": lambda: self.send(protocol.promote([self.keys], mover="bench", limit=batch), LATER).moved,
            **({"settle and claim": settle_and_claim} if in_one else worker),
            "sweep": lambda: self.send(protocol.sweep([self.keys], limit=batch), SWEPT).removed,
        }
        if not due_ms:
            del steps["promote"]
        return self._stage_cpu(steps, count, batch)

    def floor(self, count: int, batch: int, due_ms: int = LATER, *, in_one: bool = False) -> dict[str, float]:
        """As ``life``, of the same commands with nothing checked; ``in_one`` takes them in this order, in two calls."""
        self.load_floor()
        call = self._stage.wire.call
        batches: list[list[Any]] = []
        for first in range(0, count, batch):
            words: list[Any] = []
            for n in range(first, first + batch):
                words += (f"0-{n:032x}", due_ms or NOW, TYPE, msgspec.json.encode(payload(n, due_ms)))
            batches.append(words)
        ids: list[Sequence[bytes]] = []

        def claim() -> int:
            tasks = call("FCALL", "floor_claim", 0, LATER, batch, "1.0123456789abcdef", "bench")
            ids.append([found[0] for found in tasks])
            return len(tasks)

        def settle() -> int:
            return int(call("FCALL", "floor_settle", 0, LATER, *ids.pop()))

        create = "floor_enqueue" if due_ms else "floor_enqueue_ready"
        steps: dict[str, Callable[[], int]] = {
            "enqueue": lambda: int(call("FCALL", create, 0, *batches.pop())),
            "promote": lambda: int(call("FCALL", "floor_promote", 0, LATER, batch)),
            **({"settle and claim": lambda: claim() and settle()} if in_one else {"claim": claim, "settle": settle}),
            "sweep": lambda: int(call("FCALL", "floor_sweep", 0, SWEPT, batch)),
        }
        if not due_ms:
            del steps["promote"]
        return self._stage_cpu(steps, count, batch)

    def nothing(self, calls: int) -> float:
        """Microseconds of a call that does nothing."""
        self.load_floor()
        call = self._stage.wire.call
        return self._stage_cpu({"call": lambda: int(call("FCALL", "floor_nothing", 0))}, calls, 1)["call"]

    def _stage_cpu(self, steps: dict[str, Callable[[], int]], count: int, batch: int) -> dict[str, float]:
        found: dict[str, float] = {}
        pid = self._stage.server.pid
        for part, step in steps.items():
            watch, before, done = self._stage.watch(), cpu_seconds(pid), 0
            for _ in range(count // batch):
                done += step()
            found[part] = (cpu_seconds(pid) - before) * 1e6 / count
            self._stage.watched(watch)
            if done != count:
                raise RuntimeError(f"{part}: {done} of {count} tasks")
        found["in all"] = sum(found.values())
        return found
