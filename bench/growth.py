"""What a task costs the server while millions of others wait for their time.

The same life of a task as in life.py, in batches of 100, in a queue with 0 to 5,000,000 tasks that are due in a month
(``--backlog``; fewer where they do not fit into memory). The floor is a second server that holds nothing: each run
measures one right after the other, so that what else the machine does strikes both; and the same commands without any
check (floor/), which slow down as well where the tasks no longer fit into the processor's caches. The server's hash
tables have reached their size before it is measured; while they grow, every use of them takes longer.
"""

from __future__ import annotations

import random
import statistics
from pathlib import Path

from bench.common import Options, Stage, Tick, main, task
from bench.noise import cpu_seconds, wait_for_quiet
from bench.report import PARTS, Report
from bench.verbs import MAX_PAYLOAD, NOW, Verbs
from bench.wire import pack
from redsched.wire import protocol

TASKS, BATCH = 20_000, 100
MIDST = 5_000  # tasks enqueued in the midst of the waiting ones
LEVELS = (1_000, 100_000, 1_000_000, 5_000_000)
MONTH_MS = 30 * 86_400_000
FILL = 1_000  # tasks of one call
VISITS = 10_000  # of one call
TASK_BYTES = 470  # a little more than a waiting task takes
PLAIN = "plain: "  # the floor's parts among the costs
SPARE_BYTES = 1_000_000_000  # left to the machine
TARGETS = {
    "enqueue": 1.2,
    "enqueue in the midst": None,  # at a random time among those that wait, where no step of its way is in a cache
    "promote": 1.1,
    "claim": 1.1,
    "settle": 1.1,
    "sweep": None,
    "in all": None,
}


def measure(options: Options, tick: Tick) -> Report:
    """Microseconds of the server's CPU a task, by how many wait."""
    report = Report(name="growth", title="the server's CPU a task beside waiting ones, batches of 100")
    wanted = levels(options)
    fitting = [level for level in wanted if fits(level, _available_bytes())]
    if fitting != wanted:
        report.notes.append(
            f"{', '.join(f'{level:,}' for level in wanted[len(fitting) :])} waiting tasks left out: "
            f"they take {wanted[-1] * TASK_BYTES / 1e9:.1f} GB and {_available_bytes() / 1e9:.1f} GB are free"
        )
        tick(report.notes[-1])
    with Stage(report, options) as empty, Stage(report, options) as full:
        Verbs(empty).life(BATCH * 10, BATCH)  # warm
        Verbs(full).life(BATCH * 10, BATCH)
        costs: dict[int, list[dict[str, float]]] = {0: []}
        filled = 0
        for level in fitting:
            _fill(full, filled, level, tick)
            filled = level
            for run in range(1, options.runs + 1):
                wait_for_quiet(options.patience)
                costs[0].append(_cost(empty, 0, options))
                costs.setdefault(level, []).append(_cost(full, level, options))
                _compare(report, level, costs[0][-1], costs[level][-1])
                tick(f"{level:,} waiting, run {run}")
            for part in (*PARTS, "in all"):
                name = f"plain commands, {part} beside {level:,}, times the empty server's"
                for empty_cost, full_cost in zip(costs[0][-options.runs :], costs[level], strict=True):
                    ratio = full_cost[PLAIN + part] / empty_cost[PLAIN + part]
                    report.add(name, ratio, "x", better="less", floor=True)
    for level in (0, filled):
        for part in TARGETS:
            for cost in costs[level]:
                name = f"{part} beside {level:,}" if level else f"{part} on the empty server"
                report.add(name, cost[part], "us/task", floor=not level)
    for part in TARGETS:
        report.series[part] = [
            (level, statistics.median(cost[part] for cost in found)) for level, found in costs.items()
        ]
    return report


def levels(options: Options) -> list[int]:
    """How many tasks wait, ascending; the last is the backlog asked for."""
    most = options.sized(options.backlog)
    return [*(level for level in map(options.sized, LEVELS) if level < most), most]


def fits(level: int, available: int) -> bool:
    """Whether so many tasks leave the machine some memory."""
    return level * TASK_BYTES + SPARE_BYTES < available


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1_024
    return 0


def _fill(stage: Stage, filled: int, level: int, tick: Tick) -> None:
    """Add waiting tasks until there are ``level``, their due times a millisecond apart."""
    verbs = Verbs(stage)
    verbs.load_floor()
    prefix = verbs.keys.task("")
    for first in range(filled, level, FILL):
        count = min(FILL, level - first)
        stage.wire.call("FCALL", "floor_fill", 0, first, count, NOW + MONTH_MS, prefix, verbs.keys.due)
        if first and first % 1_000_000 == 0:
            tick(f"filled {first:,} of {level:,}")
    for _ in range(0, level, VISITS):  # Redis moves a table that has to grow step by step, with each use of it
        stage.wire.call("FCALL", "floor_visit", 0, VISITS, verbs.keys.due)
    if (found := stage.wire.call("ZCARD", verbs.keys.due)) != level:
        raise RuntimeError(f"{found:,} tasks wait where {level:,} should")


def _cost(stage: Stage, level: int, options: Options) -> dict[str, float]:
    """Microseconds a task of each part; what was enqueued is gone afterwards."""
    verbs = Verbs(stage)
    cost = verbs.life(options.sized(TASKS), BATCH)
    cost |= {PLAIN + part: value for part, value in verbs.floor(options.sized(TASKS), BATCH).items()}
    count = options.sized(MIDST)
    calls = [
        protocol.enqueue(
            stage.client.cell,
            [task(first + n, NOW + MONTH_MS + random.randrange(max(level, 1))) for n in range(BATCH)],
            max_payload=MAX_PAYLOAD,
        )
        for first in range(0, count, BATCH)
    ]
    before = cpu_seconds(stage.server.pid)
    ids = [found.id for call in calls for found in verbs.send(call, NOW)]
    cost["enqueue in the midst"] = (cpu_seconds(stage.server.pid) - before) * 1e6 / count
    for start in range(0, count, BATCH):
        some = ids[start : start + BATCH]
        words = [pack("UNLINK", *map(verbs.keys.task, some)), pack("ZREM", verbs.keys.due, *some)]
        stage.wire.pipeline(words, 2)
    return cost


def _compare(report: Report, level: int, empty: dict[str, float], full: dict[str, float]) -> None:
    for part, target in TARGETS.items():
        name = f"{part} beside {level:,}, times the empty server's"
        report.add(name, full[part] / empty[part], "x", target=target, better="less")


if __name__ == "__main__":
    main(measure, __doc__)
