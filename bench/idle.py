"""What ``redsched worker`` processes cost while there is nothing to do: one of them, and ten together.

Commands a second as MONITOR shows them, less those that scripts run inside Redis, and the CPU of the processes and of
the server as Linux counts it. The floor is one connection that waits in the blocking read of an idle worker, and the
server with nobody connected but this measurement.
"""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Iterator, Mapping

from bench.common import Options, Stage, Tick, main, worker_arguments
from bench.noise import Watch, resident_bytes
from bench.report import Report
from bench.wire import Wire, pack

SECONDS = 30
SETTLE_SECONDS = 3  # a worker's first second has more to do
MANY = 10


def measure(options: Options, tick: Tick) -> Report:
    """Commands a second and CPU of idle workers."""
    report = Report(name="idle", title=f"workers with nothing to do, {options.sized(SECONDS)} s")
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            _bare(stage)
            for count in (1, MANY):
                stage.clear()
                with _workers(stage, count) as pids:
                    time.sleep(SETTLE_SECONDS)
                    _idle(stage, pids)
                tick(f"run {run}, {count} at once")
    return report


@contextlib.contextmanager
def _workers(stage: Stage, count: int) -> Iterator[dict[str, int]]:
    """``count`` workers of one queue."""
    with contextlib.ExitStack() as closing:
        arguments = worker_arguments()
        pids = {f"worker{n}": closing.enter_context(stage.child(f"worker{n}", arguments)).pid for n in range(1, count)}
        pids["worker0"] = closing.enter_context(stage.worker()).pid
        stage.until(lambda: _blocked(stage) >= count, 60, "every worker's blocking read")
        yield pids


def _blocked(stage: Stage) -> int:
    return int(stage.wire.info("clients")["blocked_clients"])


def _idle(stage: Stage, pids: Mapping[str, int]) -> None:
    commands, watch = monitor(stage, pids)
    report, count = stage.report, len(pids)
    name = "one worker" if count == 1 else f"{count} workers"
    most, most_cpu = (2.0, 0.5) if count == 1 else (20.0, None)
    used = sum(watch.used[worker] for worker in pids)
    report.add(f"{name}: commands sent", commands.total() / watch.seconds, "1/s", target=most, better="less")
    report.add(f"{name}: CPU", 100 * used / watch.seconds, "%", target=most_cpu, better="less")
    report.add(f"{name}: the server's CPU", 100 * watch.used["server"] / watch.seconds, "%")
    report.add(f"{name}: memory of each", resident_bytes(pids["worker0"]) / 2**20, "MiB")
    counted = ", ".join(f"{command} {n / watch.seconds:.2f}/s" for command, n in commands.most_common())
    note = f"{name}, last run: {counted or 'no command'}"
    report.notes[:] = [*(line for line in report.notes if not line.startswith(name)), note]


def _bare(stage: Stage) -> None:
    stage.clear()
    stage.wire.call("XGROUP", "CREATE", "{floor}:ready", "workers", 0, "MKSTREAM")
    with contextlib.closing(Wire(stage.port)) as reader:
        reader.send(pack("XREADGROUP", "GROUP", "workers", "bench", "BLOCK", 0, "STREAMS", "{floor}:ready", ">"))
        _, watch = monitor(stage, {})
    share = 100 * watch.used["server"] / watch.seconds
    stage.report.add("one blocked read: the server's CPU", share, "%", floor=True)


def monitor(stage: Stage, pids: Mapping[str, int]) -> tuple[collections.Counter[str], Watch]:
    """Commands that clients send, by their names, and the CPU of these processes and the server meanwhile."""
    commands: collections.Counter[str] = collections.Counter()
    with contextlib.closing(Wire(stage.port)) as monitor:
        monitor.call("MONITOR")
        watch = stage.watch(**pids)
        end = time.monotonic() + stage.options.sized(SECONDS)
        while (left := end - time.monotonic()) > 0:
            commands.update(_name(line) for line in monitor.lines(left) if " lua] " not in line)
        stage.watched(watch)
    return commands, watch


def _name(line: str) -> str:
    """The command of one line of MONITOR, and the function or script that it calls."""
    words = [word.strip('"') for word in line.partition("] ")[2].split(" ")[:2]]
    return " ".join(words) if words[0].upper() in ("FCALL", "FCALL_RO", "CLIENT") else words[0]


if __name__ == "__main__":
    main(measure, __doc__)
