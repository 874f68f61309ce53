"""How late tasks start: the handler's first statement less the due time, of every task.

3,000 tasks due 1/300 s apart, 10,000 due at one instant, and five seconds of tasks at half of the rate at which the
same worker drains a backlog, measured just before. The floor is what the machine alone adds: how late a process that
sleeps until the same times wakes, and how long the bare calls take for 10,000 tasks.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Sequence

from bench.common import Options, Stage, Tick, main
from bench.drain import claim_and_settle, drain
from bench.report import Report, percentile

SPREAD, RATE = 3_000, 300
INSTANT = 10_000
TOP = 20_000  # tasks drained to learn the top rate
HALF_SECONDS = 5
BUCKETS_MS = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 25, 50, 100, 250, 500, 1_000, 5_000)


def measure(options: Options, tick: Tick) -> Report:
    """Milliseconds from due to started."""
    report = Report(name="lateness", title="start less due, every task, through one worker process")
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            add_spread(report, "300/s", lateness(stage, spread(options.sized(SPREAD), RATE)))
            tick(f"run {run}, 300/s")
            _instant(stage, options.sized(INSTANT))
            tick(f"run {run}, at one instant")
            _half(stage, options)
            tick(f"run {run}, at half of the top rate")
            _sleep(stage, options.sized(SPREAD) // 5)
    return report


def spread(count: int, rate: float) -> list[int]:
    """When each of ``count`` tasks is due after the first, ms."""
    return [int(1_000 * n / rate) for n in range(count)]


def add_spread(report: Report, name: str, late: Sequence[float]) -> None:
    """The figures of tasks that are due one after the other."""
    targets = {"p50": 2.0, "p99": 6.0} if name == "300/s" else {}
    for share, value in (("p50", percentile(late, 0.5)), ("p99", percentile(late, 0.99)), ("max", late[-1])):
        report.add(f"{name}: {share}", value, "ms", target=targets.get(share), better="less")
    report.add(f"{name}: started early", early(late), "tasks", target=0, better="less")
    report.series[name] = histogram(late)


def early(late: Sequence[float]) -> int:
    """How many started before they were due."""
    return sum(1 for value in late if value < 0)


def histogram(late: Sequence[float]) -> list[tuple[float, float]]:
    """Percent of the tasks up to each bound (ms), the ones below it left out; the last takes the rest."""
    found: collections.Counter[float] = collections.Counter()
    for value in late:
        found[next((bound for bound in BUCKETS_MS if value <= bound), BUCKETS_MS[-1])] += 1
    return [(bound, 100 * found[bound] / len(late)) for bound in BUCKETS_MS]


def _instant(stage: Stage, count: int) -> None:
    late = lateness(stage, [0] * count)
    name, report = f"{count:,} at once", stage.report
    report.add(f"{name}: p50", percentile(late, 0.5), "ms")
    report.add(f"{name}: p99", percentile(late, 0.99), "ms")
    report.add(f"{name}: all started", late[-1], "ms", target=600, better="less")
    report.add(f"{name}: started early", early(late), "tasks", target=0, better="less")
    report.series[name] = histogram(late)
    seconds, _ = claim_and_settle(stage, count, 500)
    report.add(f"{name}: claimed and settled in a bare loop", 1_000 * seconds, "ms", floor=True)


def _half(stage: Stage, options: Options) -> None:
    report = stage.report
    rate = drain(stage, options.sized(TOP)).rate / 2
    late = lateness(stage, spread(max(int(rate * options.sized(HALF_SECONDS * 10) / 10), 100), rate))
    report.add("half of the top rate", rate, "tasks/s")
    report.add("half of the top rate: p50", percentile(late, 0.5), "ms")
    report.add("half of the top rate: p99", percentile(late, 0.99), "ms", target=25, better="less")
    report.add("half of the top rate: max", late[-1], "ms")
    report.series["half of the top rate"] = histogram(late)


def lateness(stage: Stage, offsets_ms: Sequence[int], *, prepare: Callable[[], None] = lambda: None) -> list[float]:
    """How late each task started, in order, once every one has; ``prepare`` comes before the worker's start."""
    count = len(offsets_ms)
    stage.clear()
    prepare()
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
