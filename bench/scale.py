"""How a worker's throughput follows its concurrency and the size of its batches.

One worker process drains tasks that do nothing with ``-c`` 1 to 256, and with ``--prefetch`` 0 to 1,000, which
bounds how many tasks one claim takes. The floor makes the same claim and settle calls in a bare loop, 1 to 1,000 at a
time.
"""

from __future__ import annotations

from bench.common import Options, Stage, Tick, main
from bench.drain import claim_and_settle, drain
from bench.report import Report

TASKS = 10_000
CONCURRENCY = (1, 4, 16, 64, 256)
PREFETCH = (0, 100, 500, 1_000)
BATCHES = (1, 10, 100, 500, 1_000)


def measure(options: Options, tick: Tick) -> Report:
    """Tasks a second by concurrency, by prefetch and by batch."""
    report = Report(name="scale", title="no-op tasks a second through one worker, by its concurrency and its batches")
    count = options.sized(TASKS)
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            for flag, choices in (("-c", CONCURRENCY), ("--prefetch", PREFETCH)):
                for choice in choices:
                    report.add(f"{flag} {choice}", drain(stage, count, flag, str(choice)).rate, "tasks/s")
                tick(f"run {run}, {flag}")
            for batch in BATCHES:
                some = min(count, batch * 1_000)
                seconds, _ = claim_and_settle(stage, some, batch)
                report.add(f"claim and settle, {batch} at a time", some / seconds, "tasks/s", floor=True)
            tick(f"run {run}, the bare loop")
    for name, figure, choices in (
        ("worker, by concurrency (-c)", "-c {}", CONCURRENCY),
        ("worker, by prefetch + 16", "--prefetch {}", PREFETCH),
        ("bare loop, by batch", "claim and settle, {} at a time", BATCHES),
    ):
        more = 16 if "prefetch" in name else 0
        report.series[name] = [(choice + more, report.median(figure.format(choice))) for choice in choices]
    return report


if __name__ == "__main__":
    main(measure, __doc__)
