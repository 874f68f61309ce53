"""How much memory a task takes once it has ended: while its id is known, and as a dead letter.

The growth of used_memory over 20,000 tasks with a payload of 100 bytes that were enqueued, started and settled: with
no result, with one of 100 bytes, and dead with an error and a traceback of 1,000 bytes. From it follows what a rate of
tasks holds in Redis by its retention.
"""

from __future__ import annotations

import msgspec

from bench.common import BATCH, Options, Stage, Tick, main, task
from bench.memory import SERVERS, UNIT, used_memory
from bench.report import Report
from bench.verbs import LEASE_MS, MAX_PAYLOAD, NOW, Verbs
from redsched.wire import protocol
from redsched.wire.claims import Settlement

TASKS = 20_000
ENDS: dict[str, tuple[str, bytes | str, str, str]] = {
    "finished, no result": ("complete", b"", "", ""),
    "finished, a result of 100 bytes": ("complete", b'"' + b"x" * 98 + b'"', "", ""),
    "dead, 1,000 bytes of traceback": ("dead", "attempts", "ValueError: no such order", "x" * 1_000),
}


def measure(options: Options, tick: Tick) -> Report:
    """Bytes a task that has ended."""
    report = Report(name="kept", title="bytes of Redis memory a task that has ended")
    told = []
    for kind, name in SERVERS.items():
        try:
            with Stage(report, msgspec.structs.replace(options, server=kind)) as stage:
                told.append(report.server)
                for what, end in ENDS.items():
                    report.add(f"{name}: {what}", _grown(stage, options.sized(TASKS), end), UNIT)
                    tick(f"{name}, {what}")
        except RuntimeError as error:
            report.notes.append(f"{name} left out: {error}")
    report.server = "; ".join(told)
    return report


def _grown(stage: Stage, count: int, end: tuple[str, bytes | str, str, str]) -> float:
    stage.wire.call("FLUSHALL", "SYNC")
    stage.client.install()
    verbs = Verbs(stage)
    _run(stage, verbs, BATCH, end, "warm")  # what a queue keeps for itself
    before = used_memory(stage)
    _run(stage, verbs, count, end, "task")
    return (used_memory(stage) - before) / count


def _run(stage: Stage, verbs: Verbs, count: int, end: tuple[str, bytes | str, str, str], name: str) -> None:
    cell = stage.client.cell
    for first in range(0, count, BATCH):
        tasks = [msgspec.structs.replace(task(n, 0), id=f"{name}-{n:027d}") for n in range(first, first + BATCH)]
        verbs.send(protocol.enqueue(cell, tasks, max_payload=MAX_PAYLOAD), NOW)
        for _ in range(BATCH // 100):
            claim = protocol.claim([verbs.keys], consumer="bench", count=100, lease_ms=LEASE_MS)
            started = verbs.send(claim, NOW).tasks
            ends = [Settlement(one.queue, one.id, one.token, *end) for one in started]
            assert len(verbs.send(protocol.settle(cell, ends), NOW)) == 100


if __name__ == "__main__":
    main(measure, __doc__)
