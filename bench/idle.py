"""What one ``redsched worker`` process costs while there is nothing to do.

Commands a second as MONITOR shows them, less those that scripts run inside Redis, and the CPU of the process and of
the server as Linux counts it.
"""

from __future__ import annotations

import collections
import contextlib
import time

from bench.common import Options, Stage, Tick, main
from bench.report import Report
from bench.wire import Wire

SECONDS = 30
SETTLE_SECONDS = 3  # the worker's first second has more to do


def measure(options: Options, tick: Tick) -> Report:
    """Commands a second and CPU of an idle worker."""
    report = Report(name="idle", title=f"one worker with nothing to do, {options.sized(SECONDS)} s")
    with Stage(report, options) as stage:
        for _ in range(options.runs):
            stage.clear()
            with stage.worker() as process:
                time.sleep(SETTLE_SECONDS)
                _idle(stage, process.pid, options.sized(SECONDS))
            tick()
    return report


def _idle(stage: Stage, pid: int, seconds: int) -> None:
    commands: collections.Counter[str] = collections.Counter()
    with contextlib.closing(Wire(stage.port)) as monitor:
        monitor.call("MONITOR")
        watch = stage.watch(worker=pid)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            commands.update(_name(line) for line in monitor.lines(left) if " lua] " not in line)
        stage.watched(watch)
    report = stage.report
    report.add("commands sent by the worker", commands.total() / watch.seconds, "1/s", target=3, better="less")
    report.add("worker's CPU", 100 * watch.used["worker"] / watch.seconds, "%", target=1, better="less")
    report.add("server's CPU", 100 * watch.used["server"] / watch.seconds, "%")
    counted = ", ".join(f"{name} {count / watch.seconds:.2f}/s" for name, count in commands.most_common())
    report.notes[:] = [f"last run: {counted or 'no command'}; memory of the worker {_resident_mib(pid):.0f} MiB"]


def _name(line: str) -> str:
    """The command of one line of MONITOR, and the function or script that it calls."""
    words = [word.strip('"') for word in line.partition("] ")[2].split(" ")[:2]]
    return " ".join(words) if words[0].upper() in ("FCALL", "FCALL_RO", "CLIENT") else words[0]


def _resident_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1_024
    return 0.0


if __name__ == "__main__":
    main(measure, __doc__)
