"""How long does one call of each verb hold the server at most: on the worst input that its callers may give it.

Measured on the server's side: of all calls that one act of a client, a worker or a mover sends, the longest, as SLOWLOG
has it. Each case is seeded anew for each run, on the server's own clock: under a virtual clock no stopwatch stops a
call. The floor is a plain function that writes as many hashes of four fields as a call of the act sent commands.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from bench import worst_care, worst_changes, worst_events, worst_search, worst_tasks
from bench.common import Options, Stage, Tick, end_cleanly, options_of, parser
from bench.ground import CASES, Case, Ground, Held
from bench.progress import Progress
from bench.report import Report, console

TARGET_MS = 5.0
assert worst_care and worst_changes and worst_events and worst_search and worst_tasks  # they fill CASES


def measure(options: Options, tick: Tick, only: frozenset[str] = frozenset()) -> Report:
    """Milliseconds of the longest call, a figure for each case."""
    report = Report(name="holds", title="the longest call of each verb on its worst input")
    cases = [case for case in CASES if not only or case.verb in only]
    longest: dict[str, float] = {}
    with Stage(report, options) as stage:
        with contextlib.suppress(PermissionError):  # as on a quiet machine: others do not take its core
            os.sched_setscheduler(stage.server.pid, os.SCHED_FIFO, os.sched_param(1))
        ground = Ground(stage)
        for number, case in enumerate(cases, 1):
            for _ in range(options.runs):
                held = _run(ground, case)
                report.add(case.name, held.longest_ms, "ms", target=TARGET_MS, better="less")
                report.add(f"{case.name}: as many HSETs", ground.floor(held.commands), "ms", floor=True)
                longest[case.verb] = max(longest.get(case.verb, 0.0), held.longest_ms)
            tick(f"{number}/{len(cases)} {case.name}: {report.median(case.name):.2f} ms, {held.calls} calls")
    over = sorted((f"{verb} {ms:.1f}" for verb, ms in longest.items() if ms > TARGET_MS))
    report.notes.append(f"verbs whose longest call of all took over {TARGET_MS:.0f} ms: {', '.join(over) or 'none'}")
    return report


def _run(ground: Ground, case: Case) -> Held:
    ground.clear()
    return ground.held(case.verb, case.seed(ground))


def main() -> int:
    """Measure; a missed target is no failure."""
    verbs = sorted({case.verb for case in CASES})
    arguments = parser(__doc__)
    arguments.add_argument("--only", default="", metavar="VERB,...", help=f"only these verbs, of {', '.join(verbs)}")
    given = arguments.parse_args()
    only = frozenset(name.strip() for name in given.only.split(",") if name.strip())
    _check(arguments, only, verbs)
    end_cleanly()
    screen = console()
    with Progress(screen, "holds") as progress:
        report = measure(options_of(given), progress, only)
    report.print(screen)
    if not only:
        report.write()
    return 0


def _check(arguments: argparse.ArgumentParser, only: frozenset[str], verbs: list[str]) -> None:
    if unknown := only - set(verbs):
        arguments.error(f"no verb {', '.join(sorted(unknown))}")


if __name__ == "__main__":
    sys.exit(main())
