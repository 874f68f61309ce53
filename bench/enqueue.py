"""How fast a producer can submit tasks through the client: one by one, in batches of 100 and of 1,000.

The Task objects exist beforehand; what the client does with them (checks, ids, JSON, packing, the answer) counts. The
floor writes the same hash and the same due entry without any of the promises: plainly over a socket, through redis-py,
and by a minimal script that either of them calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import redis

from bench.common import QUEUE, TYPE, Options, Stage, Tick, main, now_ms, task
from bench.report import Report
from bench.wire import pack
from redsched import Task

HOUR_MS = 3_600_000
SCRIPT = """
for i = 1, #ARGV, 3 do
  redis.call('HSET', KEYS[2] .. ARGV[i], 'type', 'bench.noop', 'payload', ARGV[i + 1])
  redis.call('ZADD', KEYS[1], ARGV[i + 2], ARGV[i])
end
return #ARGV / 3
"""
EVALSHA, ONE_BY_ONE = "redis-py, EVALSHA of both writes, one by one", "one by one, of redis-py's EVALSHA one by one"
SHARE = 0.8  # of that floor
Send = Callable[[Sequence[Task]], object]


def measure(options: Options, tick: Tick) -> Report:
    """Tasks a second that one producer process submits."""
    report = Report(name="enqueue", title="tasks a second from one producer, 100-byte payload, due in an hour")
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            floor = Floor(stage)
            due = now_ms() + HOUR_MS
            rates: dict[str, float] = {}
            for name, count, batch, due_ms in (
                ("one by one", 5_000, 1, due),
                ("batch of 100", 50_000, 100, due),
                ("batch of 1,000", 100_000, 1_000, due),
                ("batch of 1,000, due now", 100_000, 1_000, None),
            ):
                send: Send = _one_by_one(stage) if batch == 1 else stage.client.enqueue_many
                target = 50_000 if batch == 1_000 else None
                rates[name] = _rate(stage, options.sized(count), batch, due_ms, send)
                report.add(name, rates[name], "tasks/s", target=target)
            for name, count, batch, send in (
                ("socket, HSET + ZADD, one by one", 5_000, 1, floor.plain),
                ("socket, HSET + ZADD, pipeline of 100", 50_000, 100, floor.plain),
                ("socket, HSET + ZADD, pipeline of 1,000", 100_000, 1_000, floor.plain),
                ("socket, one EVALSHA a 1,000", 100_000, 1_000, floor.script),
                (EVALSHA, 5_000, 1, floor.evalsha),
                ("redis-py, HSET + ZADD, pipeline of 1,000", 50_000, 1_000, floor.library),
            ):
                rates[name] = _rate(stage, options.sized(count), batch, due, send)
                report.add(name, rates[name], "tasks/s", floor=True)
            report.add(ONE_BY_ONE, rates["one by one"] / rates[EVALSHA], "x", target=SHARE)
            tick(f"run {run}")
    for name, one, many in (
        ("redsched", "one by one", "batch of {}"),
        ("floor: socket, HSET + ZADD", "socket, HSET + ZADD, one by one", "socket, HSET + ZADD, pipeline of {}"),
    ):
        report.series[name] = [(1, report.median(one))]
        report.series[name] += [(batch, report.median(many.format(f"{batch:,}"))) for batch in (100, 1_000)]
    return report


class Floor:
    """The same two writes a task, with nothing checked and nothing promised."""

    def __init__(self, stage: Stage) -> None:
        self._wire = stage.wire
        self._redis = redis.Redis(port=stage.port)
        self._sha = stage.wire.text("SCRIPT", "LOAD", SCRIPT)
        self._number = 0

    def plain(self, tasks: Sequence[Task]) -> None:
        """Two commands a task in one write to the socket."""
        packed = []
        for key, name, body, due_ms in self._written(tasks):
            packed.append(pack("HSET", key, "type", TYPE, "payload", body))
            packed.append(pack("ZADD", "{floor}:due", due_ms, name))
        self._wire.pipeline(packed, len(packed))

    def script(self, tasks: Sequence[Task]) -> None:
        """One call of a script that does both writes for every task."""
        words: list[str | bytes | int] = []
        for _, name, body, due_ms in self._written(tasks):
            words += (name, body, due_ms)
        self._wire.call("EVALSHA", self._sha, 2, "{floor}:due", "{floor}:task:", *words)

    def evalsha(self, tasks: Sequence[Task]) -> None:
        """The same script through redis-py, one call a task."""
        for _, name, body, due_ms in self._written(tasks):
            self._redis.evalsha(self._sha, 2, "{floor}:due", "{floor}:task:", name, body, str(due_ms))

    def library(self, tasks: Sequence[Task]) -> None:
        """Two commands a task in one pipeline of redis-py."""
        pipeline = self._redis.pipeline(transaction=False)
        for key, name, body, due_ms in self._written(tasks):
            pipeline.hset(key, mapping={"type": TYPE, "payload": body})
            pipeline.zadd("{floor}:due", {name: due_ms})
        pipeline.execute()

    def _written(self, tasks: Sequence[Task]) -> list[tuple[str, str, bytes, int]]:
        found = []
        for one in tasks:
            self._number += 1
            name = f"0-{self._number:032x}"
            assert isinstance(one.due, int)
            found.append(("{floor}:task:" + name, name, msgspec.json.encode(one.payload), one.due))
        return found


def _one_by_one(stage: Stage) -> Send:
    enqueue = stage.client.enqueue

    def send(tasks: Sequence[Task]) -> None:
        for one in tasks:
            enqueue(one.type, one.payload, queue=QUEUE, due=one.due)

    return send


def _rate(stage: Stage, count: int, batch: int, due_ms: int | None, send: Send) -> float:
    stage.clear()
    batches = [[task(start + n, due_ms) for n in range(batch)] for start in range(0, count, batch)]
    watch = stage.watch()
    began = time.perf_counter()
    for tasks in batches:
        send(tasks)
    seconds = time.perf_counter() - began
    stage.watched(watch)
    return len(batches) * batch / seconds


if __name__ == "__main__":
    main(measure, __doc__)
