"""How fast one ``redsched worker`` process, with its defaults, runs tasks that do nothing but note their start.

The tasks are all scheduled for one instant a few seconds ahead: the worker's own mover promotes them, it claims, runs
and settles them, with leases, fencing and statistics. The rate is over the time from the first handler's start to the
last one's, and counts only tasks whose hash then reads ``completed``. The floor makes the same claim and settle calls
at the same batch in a bare loop, and reads, acknowledges and deletes bare stream entries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bench.common import BATCH, QUEUE, Options, Stage, Tick, main
from bench.report import Report
from bench.wire import pack
from redsched import AsyncClient
from redsched.eventloop import loop_factory
from redsched.wire import protocol
from redsched.wire.keys import QueueKeys, queue_keys
from redsched.wire.protocol import Call, Claimed, Settlement

TASKS = 20_000
READ_BATCH = 500
LEASE_MS = 30_000


def measure(options: Options, tick: Tick) -> Report:
    """Tasks a second through one worker process."""
    report = Report(name="drain", title="no-op tasks a second through one worker process, from scheduled to completed")
    with Stage(report, options) as stage:
        for _ in range(options.runs):
            _drain(stage, options.sized(TASKS))
            for batch in (100, READ_BATCH):
                _claim_and_settle(stage, options.sized(TASKS), batch)
            _read_streams(stage, options.sized(TASKS), READ_BATCH)
            tick()
    return report


def _drain(stage: Stage, count: int) -> None:
    stage.clear()
    with stage.worker() as process:
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
    report = stage.report
    report.add("drain", completed / seconds, "tasks/s", target=12_000)
    report.add("completed, of those enqueued", 100 * completed / count, "%")
    report.add("handlers started more than once", len(records) - len({record[0] for record in records}), "tasks")
    report.add("from due to the last start", records[-1][2] / 1e6 - due, "ms")
    report.add("worker's CPU", watch.used["worker"] * 1e6 / count, "us/task")
    report.add("server's CPU", watch.used["server"] * 1e6 / count, "us/task")
    calls, microseconds = (b - a for a, b in zip(_script_calls(before), _script_calls(after), strict=True))
    report.add("script calls", calls, "calls")
    report.add("in scripts", microseconds / count, "us/task")


def _script_calls(commandstats: dict[str, str]) -> tuple[float, float]:
    """Calls of functions and scripts so far, and the microseconds inside them."""
    calls = microseconds = 0.0
    for name in ("cmdstat_fcall", "cmdstat_evalsha"):
        fields = dict(pair.split("=") for pair in commandstats.get(name, "").split(",") if pair)
        calls += float(fields.get("calls", 0))
        microseconds += float(fields.get("usec", 0))
    return calls, microseconds


def _claim_and_settle(stage: Stage, count: int, batch: int) -> None:
    stage.clear()
    stage.enqueue([0] * count)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        watch = stage.watch()
        seconds = runner.run(_claim_and_settle_all(stage.url, count, batch))
        stage.watched(watch)
    name = f"claim and settle {batch} at a time, nothing run"
    stage.report.add(name, count / seconds, "tasks/s", floor=True)
    stage.report.add(f"{name}: client's CPU", watch.used["bench"] * 1e6 / count, "us/task", floor=True)
    stage.report.add(f"{name}: server's CPU", watch.used["server"] * 1e6 / count, "us/task", floor=True)


async def _claim_and_settle_all(url: str, count: int, batch: int) -> float:
    """Claim the next tasks and settle the last ones in one round trip, as the worker does; the seconds it took."""
    async with AsyncClient(url, name="bench") as client:
        keys = [queue_keys(client.cell, QUEUE)]
        await client.ping()
        began = time.perf_counter()
        done, running = 0, await client.transport.send(_claim(keys, batch))
        while running.tasks:
            ends = [Settlement(QUEUE, started.id, started.token, "complete") for started in running.tasks]
            running, answers = await client.transport.send_both(_claim(keys, batch), protocol.settle(client.cell, ends))
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
        wire.pipeline(
            [pack("XACK", stream, "workers", *entries), pack("XDEL", stream, *entries)], 2
        )
        done += len(entries)
    seconds = time.perf_counter() - began
    stage.watched(watch)
    stage.report.add(
        f"XREADGROUP, XACK and XDEL {batch} at a time, nothing else", done / seconds, "entries/s", floor=True
    )


def _read(stage: Stage, stream: str, batch: int) -> Sequence[bytes]:
    answer = stage.wire.call("XREADGROUP", "GROUP", "workers", "bench", "COUNT", batch, "STREAMS", stream, ">")
    return [entry[0] for entry in answer[0][1]] if answer else []


if __name__ == "__main__":
    main(measure, __doc__)
