"""How late tasks start: the handler's first statement less the due time, of every task.

3,000 tasks due 1/300 s apart, then 10,000 due at one instant, through one ``redsched worker`` process with its
defaults. The floor is what the machine alone adds: how late a process that sleeps until the same times wakes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.common import Options, Stage, Tick, main
from bench.report import Report, percentile

SPREAD, RATE = 3_000, 300
INSTANT = 10_000


def measure(options: Options, tick: Tick) -> Report:
    """Milliseconds from due to started."""
    report = Report(name="lateness", title="start less due, every task, through one worker process")
    with Stage(report, options) as stage:
        for _ in range(options.runs):
            _spread(stage, options.sized(SPREAD))
            _instant(stage, options.sized(INSTANT))
            _sleep(stage, options.sized(SPREAD) // 5)
            tick()
    return report


def _spread(stage: Stage, count: int) -> None:
    late = _lateness(stage, [1_000 * n // RATE for n in range(count)])
    for name, value, target in (
        ("300/s: p50", percentile(late, 0.5), 3.0),
        ("300/s: p99", percentile(late, 0.99), 15.0),
        ("300/s: max", late[-1], None),
    ):
        stage.report.add(name, value, "ms", target=target, better="less")
    stage.report.add("300/s: started early", sum(1 for value in late if value < 0), "tasks", target=0, better="less")


def _instant(stage: Stage, count: int) -> None:
    late = _lateness(stage, [0] * count)
    for name, value, target in (
        (f"{count:,} at once: p50", percentile(late, 0.5), None),
        (f"{count:,} at once: p99", percentile(late, 0.99), None),
        (f"{count:,} at once: all started", late[-1], 1_500.0),
    ):
        stage.report.add(name, value, "ms", target=target, better="less")
    early = sum(1 for value in late if value < 0)
    stage.report.add(f"{count:,} at once: started early", early, "tasks", target=0, better="less")


def _lateness(stage: Stage, offsets_ms: Sequence[int]) -> list[float]:
    """How late each task started, in order, once every one has."""
    count = len(offsets_ms)
    stage.clear()
    with stage.worker() as process:
        stage.enqueue_ahead(offsets_ms, process)
        watch = stage.watch(worker=process.pid)
        limit = 120 + offsets_ms[-1] / 1_000
        stage.until(lambda: stage.started() >= count, limit, "every task's start", process)
        stage.watched(watch)
    records = stage.records()
    if {record[0] for record in records} != set(range(count)):
        raise RuntimeError("another set of tasks ran than was enqueued")
    return sorted(started_ns / 1e6 - due_ms for _, due_ms, started_ns in records)


def _sleep(stage: Stage, count: int) -> None:
    late: list[float] = []
    first = time.time() + 0.1
    for n in range(count):
        due = first + n / RATE
        time.sleep(max(due - time.time(), 0))
        late.append(1_000 * (time.time() - due))
    stage.report.add("300/s: p50 of a bare sleep", percentile(late, 0.5), "ms", floor=True)
    stage.report.add("300/s: p99 of a bare sleep", percentile(late, 0.99), "ms", floor=True)


if __name__ == "__main__":
    main(measure, __doc__)
