"""Whether one queue suffers from others: beside 10,000 queues, and beside 1,000 connections that wait.

The 10,000 queues hold one task each that is due in a day; the worker's mover finds them and looks after them. The
1,000 connections wait as idle workers do, over 100 queues, 50 of them on the measured one: what rings there claims and
runs tasks like any other worker. The floor is the same worker alone, in the same run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from bench.common import BATCH, TYPE, Options, Stage, Tick, main
from bench.drain import drain
from bench.lateness import RATE, lateness, spread
from bench.readers import CONNECTIONS
from bench.report import Report, percentile
from redsched import Task

TASKS, SPREAD = 20_000, 1_500
QUEUES = 10_000


def measure(options: Options, tick: Tick) -> Report:
    """Throughput and lateness of one queue in company."""
    report = Report(name="crowd", title="one queue beside many others and beside many connections")
    queues = options.sized(QUEUES)
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            _one(stage, "alone", lambda closing: None, floor=True)
            tick(f"run {run}, alone")
            _one(stage, f"beside {queues:,} queues", lambda closing: _queues(stage, queues))
            tick(f"run {run}, beside queues")
            _one(stage, f"beside {CONNECTIONS:,} blocked connections", lambda closing: _readers(stage, closing))
            tick(f"run {run}, beside connections")
    return report


def _one(stage: Stage, name: str, prepare: Callable[[contextlib.ExitStack], None], *, floor: bool = False) -> None:
    report, sized = stage.report, stage.options.sized
    with contextlib.ExitStack() as closing:
        drained = drain(stage, sized(TASKS), prepare=lambda: prepare(closing))
    with contextlib.ExitStack() as closing:
        late = lateness(stage, spread(sized(SPREAD), RATE), prepare=lambda: prepare(closing))
    server = drained.watch.used["server"] * 1e6 / sized(TASKS)
    report.add(f"{name}: drain", drained.rate, "tasks/s", floor=floor)
    report.add(f"{name}: server's CPU", server, "us/task", better="less", floor=floor)
    report.add(f"{name}: 300/s, p50", percentile(late, 0.5), "ms", better="less", floor=floor)
    report.add(f"{name}: 300/s, p99", percentile(late, 0.99), "ms", better="less", floor=floor)


def _queues(stage: Stage, count: int) -> None:
    for first in range(0, count, BATCH):
        some = range(first, min(first + BATCH, count))
        stage.client.enqueue_many([Task(type=TYPE, payload={}, queue=f"other{n}", delay="1d") for n in some])


def _readers(stage: Stage, closing: contextlib.ExitStack) -> None:
    process = closing.enter_context(stage.process("readers", ["-m", "bench.readers", str(stage.port)]))
    stage.until(
        lambda: int(stage.wire.info("clients")["blocked_clients"]) >= CONNECTIONS, 60, "blocked connections", process
    )


if __name__ == "__main__":
    main(measure, __doc__)
