"""What a task costs the server from enqueue until the sweep has removed it, part by part.

The server's CPU as Linux counts it, reading the call and writing the answer included, in batches of 100 and of 10;
the calls are redsched's own, over a bare connection, at times of our own choice. The floor is a Lua library that sends
the same commands with no check, no answer for a lost reply, no lateness and no totals. A busy worker settles and claims
in one call, so that few tasks are running at a time; the floor of that does the same.
"""

from __future__ import annotations

from bench.common import Options, Stage, Tick, main
from bench.report import PARTS, Report
from bench.verbs import LATER, Verbs

TASKS = 20_000
TARGETS = {100: 28.0, 10: 45.0}
UNIT = "us/task"


def measure(options: Options, tick: Tick) -> Report:
    """Microseconds of the server's CPU a task."""
    report = Report(name="life", title="the server's CPU for a whole life of a task, from enqueue to removal")
    count = options.sized(TASKS)
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            for batch, target in TARGETS.items():
                for what, due_ms in ((f"batches of {batch}", LATER), (f"batches of {batch}, due at once", 0)):
                    stage.clear()
                    verbs = Verbs(stage)
                    verbs.life(batch * 10, batch, due_ms)  # warm
                    cost, floor = verbs.life(count, batch, due_ms), verbs.floor(count, batch, due_ms)
                    _add(report, what, cost, floor, target if due_ms else None)
                    in_one = verbs.life(count, batch, due_ms, in_one=True)
                    report.add(f"{what}: settle and claim in one call", in_one["settle and claim"], UNIT, better="less")
                    ratio = in_one["in all"] / verbs.floor(count, batch, due_ms, in_one=True)["in all"]
                    report.add(f"{what}, settled and claimed in one call: times the floor", ratio, "x", better="less")
                    tick(f"run {run}, {what}")
            report.add("a call that does nothing", verbs.nothing(count // 10), "us/call", floor=True)
    for batch in TARGETS:
        for name, prefix in (("redsched", ""), ("plain commands", "plain commands, ")):
            medians = [report.median(f"{prefix}batches of {batch}: {part}") for part in PARTS]
            report.series[f"{name}, {batch} a call"] = [*enumerate(medians)]
    return report


def _add(report: Report, what: str, cost: dict[str, float], floor: dict[str, float], target: float | None) -> None:
    for part, value in cost.items():
        whole = part == "in all"
        report.add(f"{what}: {part}", value, UNIT, target=target if whole else None, better="less")
    report.add(f"{what}: times the floor", cost["in all"] / floor["in all"], "x")
    for part, value in floor.items():
        report.add(f"plain commands, {what}: {part}", value, UNIT, floor=True)


if __name__ == "__main__":
    main(measure, __doc__)
