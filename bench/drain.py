"""How fast one ``redsched worker`` process, with its defaults, runs tasks that do nothing but note their start.

The tasks are all scheduled for one instant a few seconds ahead: the worker's own mover promotes them, it claims, runs
and settles them, with leases, fencing and statistics. The rate is over the time from the first handler's start to the
last one's, and counts only tasks whose hash then reads ``completed``. The floor makes the same claim and settle calls
at the same batch in a bare loop, and reads, acknowledges and deletes bare stream entries; what the handler's own write
costs is measured apart.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.app import RECORD
from bench.common import BATCH, QUEUE, Options, Stage, Tick, main
from bench.noise import Watch
from bench.report import Report
from bench.wire import pack
from redsched import AsyncClient
from redsched.eventloop import loop_factory
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, Settlement
from redsched.wire.keys import QueueKeys, queue_keys

TASKS = 20_000
READ_BATCH = 500
LEASE_MS = 30_000
SHARE = 0.82  # of the floor that a worker should reach


class Drained(NamedTuple):
    """One drain: tasks a second, and what it was counted from."""

    rate: float
    completed: int
    records: list[tuple[int, int, int]]
    due: int
    watch: Watch
    calls: float  # of scripts
    in_scripts: float  # microseconds


def measure(options: Options, tick: Tick) -> Report:
    """Tasks a second through one worker process."""
    report = Report(name="drain", title="no-op tasks a second through one worker process, from scheduled to completed")
    count = options.sized(TASKS)
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            drained = drain(stage, count)
            _add(report, count, drained)
            tick(f"run {run}, the worker")
            for batch in (100, READ_BATCH):
                floor = _claim_and_settle(stage, count, batch)
            report.add("drain, of the floor at 500 a time", drained.rate / floor, "x", target=SHARE)
            _read_streams(stage, count, READ_BATCH)
            report.add("the handler's own write", _write_records(stage, count), "us/task", floor=True)
            tick(f"run {run}, the floors")
    return report


def drain(stage: Stage, count: int, *flags: str, prepare: Callable[[], None] = lambda: None) -> Drained:
    """Run ``count`` tasks through one worker; ``prepare`` comes between the emptied server and the worker's start."""
    stage.clear()
    prepare()
    with stage.worker(*flags) as process:
        stage.wire.call("CONFIG", "RESETSTAT")
        ids, due = stage.enqueue_ahead([0] * count, process)
        finished, before = stage.finished(), stage.wire.info("commandstats")
        watch = stage.watch(worker=process.pid)
        stage.until(lambda: stage.started() >= count, 60 + count / 200, "every task's start", process)
        stage.until(lambda: stage.finished() >= finished + count, 60, "every task's end", process)
        stage.watched(watch)
        after = stage.wire.info("commandstats")
        completed = stage.completed(ids)
    records = stage.records()
    seconds = (records[-1][2] - records[0][2]) / 1e9
    calls, microseconds = (b - a for a, b in zip(_script_calls(before), _script_calls(after), strict=True))
    return Drained(completed / seconds, completed, records, due, watch, calls, microseconds)


def _add(report: Report, count: int, drained: Drained) -> None:
    records, used = drained.records, drained.watch.used
    report.add("drain", drained.rate, "tasks/s", target=12_000)
    report.add("completed, of those enqueued", 100 * drained.completed / count, "%")
    report.add("handlers started more than once", len(records) - len({record[0] for record in records}), "tasks")
    report.add("from due to the last start", records[-1][2] / 1e6 - drained.due, "ms")
    report.add("worker's CPU", used["worker"] * 1e6 / count, "us/task")
    report.add("server's CPU", used["server"] * 1e6 / count, "us/task")
    report.add("script calls", drained.calls, "calls")
    report.add("in scripts", drained.in_scripts / count, "us/task")


def _script_calls(commandstats: dict[str, str]) -> tuple[float, float]:
    """Calls of functions and scripts so far, and the microseconds inside them."""
    calls = microseconds = 0.0
    for name in ("cmdstat_fcall", "cmdstat_evalsha"):
        fields = dict(pair.split("=") for pair in commandstats.get(name, "").split(",") if pair)
        calls += float(fields.get("calls", 0))
        microseconds += float(fields.get("usec", 0))
    return calls, microseconds


def claim_and_settle(stage: Stage, count: int, batch: int) -> tuple[float, Watch]:
    """The floor of any worker: the seconds that the bare calls take for tasks that are ready, and the CPU they use."""
    stage.clear()
    stage.enqueue([0] * count)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        watch = stage.watch()
        seconds = runner.run(_claim_and_settle_all(stage.url, count, batch))
        stage.watched(watch)
    return seconds, watch


def _claim_and_settle(stage: Stage, count: int, batch: int) -> float:
    seconds, watch = claim_and_settle(stage, count, batch)
    name = f"claim and settle {batch} at a time, nothing run"
    stage.report.add(name, count / seconds, "tasks/s", floor=True)
    stage.report.add(f"{name}: client's CPU", watch.used["bench"] * 1e6 / count, "us/task", floor=True)
    stage.report.add(f"{name}: server's CPU", watch.used["server"] * 1e6 / count, "us/task", floor=True)
    return count / seconds


async def _claim_and_settle_all(url: str, count: int, batch: int) -> float:
    """Claim the next tasks and settle the last ones in one call, as the worker does; the seconds it took."""
    async with AsyncClient(url, name="bench") as client:
        keys = [queue_keys(client.cell, QUEUE)]
        await client.ping()
        began = time.perf_counter()
        done, running = 0, await client.transport.send(_claim(keys, batch))
        while running.tasks:
            ends = [Settlement(QUEUE, started.id, started.token, "complete") for started in running.tasks]
            turn = protocol.settle_and_claim(client.cell, ends, _claim(keys, batch))
            answers, running = await client.transport.send(turn)
            done += answers.count("completed")
        seconds = time.perf_counter() - began
    if done != count:
        raise RuntimeError(f"{done} of {count} tasks were settled")
    return seconds


def _claim(keys: Sequence[QueueKeys], batch: int) -> Call[Claimed]:
    return protocol.claim(keys, consumer="bench", count=batch, lease_ms=LEASE_MS)


def _read_streams(stage: Stage, count: int, batch: int) -> None:
    stage.clear()
    wire, stream = stage.wire, "{floor}:ready"
    for start in range(0, count, BATCH):
        wire.pipeline([pack("XADD", stream, "*", "id", f"0-{start + n:032x}") for n in range(BATCH)], BATCH)
    wire.call("XGROUP", "CREATE", stream, "workers", 0)
    watch = stage.watch()
    began = time.perf_counter()
    done = 0
    while entries := _read(stage, stream, batch):
        wire.pipeline([pack("XACK", stream, "workers", *entries), pack("XDEL", stream, *entries)], 2)
        done += len(entries)
    seconds = time.perf_counter() - began
    stage.watched(watch)
    stage.report.add(
        f"XREADGROUP, XACK and XDEL {batch} at a time, nothing else", done / seconds, "entries/s", floor=True
    )


def _read(stage: Stage, stream: str, batch: int) -> Sequence[bytes]:
    answer = stage.wire.call("XREADGROUP", "GROUP", "workers", "bench", "COUNT", batch, "STREAMS", stream, ">")
    return [entry[0] for entry in answer[0][1]] if answer else []


def _write_records(stage: Stage, count: int) -> float:
    """Microseconds of one record appended to a file, as the handler does it."""
    file = os.open(stage.folder / "floor.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        began = time.perf_counter()
        for n in range(count):
            os.write(file, RECORD.pack(n, 0, time.time_ns()))
        return (time.perf_counter() - began) * 1e6 / count
    finally:
        os.close(file)


if __name__ == "__main__":
    main(measure, __doc__)
