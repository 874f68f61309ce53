"""How quiet the machine was: its speed before and after, and what other processes used meanwhile.

A figure without this is worth little on a shared machine: gaps under 25 % are ties, and a step beside which others
used a large part of a core should be repeated.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from bench.wire import Wire, pack

QUIET = 0.1  # cores
CORES = os.sched_getaffinity(0)  # that this process may use, before it binds itself to one
TICKS = os.sysconf("SC_CLK_TCK")


class Probe(msgspec.Struct, frozen=True):
    """Speed of this core and of one round trip to the server, per second."""

    loops: float
    round_trips: float

    @classmethod
    def take(cls, wire: Wire, seconds: float = 0.3) -> Self:
        """Two short loops of ``seconds`` each."""
        ping = pack("PING")
        loops = _rate(_loop, seconds)
        return cls(loops=loops, round_trips=_rate(lambda: wire.pipeline(ping, 1), seconds))


class Watch:
    """CPU used between ``start`` and ``stop``: by each of our processes, and by all others together (in cores)."""

    def __init__(self, **pids: int) -> None:
        self._pids = {"bench": os.getpid(), **pids}
        self.seconds = 0.0
        self.others = 0.0
        self.used: dict[str, float] = {}  # process -> CPU seconds
        self.start()

    def start(self) -> None:
        """Begin again."""
        self._began = time.perf_counter()
        self._busy = busy_seconds()
        self._before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def stop(self) -> Self:
        """Fill in what was used since the start; our processes must still be alive."""
        self.seconds = time.perf_counter() - self._began
        self.used = {name: cpu_seconds(pid) - self._before[name] for name, pid in self._pids.items()}
        self.others = max(0.0, (busy_seconds() - self._busy - sum(self.used.values())) / self.seconds)
        return self


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far: to the nanosecond where Linux tells it, else to the clock tick."""
    total = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    if total:
        return total / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """Memory that a process holds, as Linux counts it; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1_024
    return 0


def wait_for_quiet(patience: float) -> None:
    """Return when other processes used under a tenth of a core for half a second, or after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while True:
        watch = Watch()
        time.sleep(0.5)
        if watch.stop().others < QUIET or time.monotonic() >= deadline:
            return


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run this process on one core meanwhile, where there are several."""
    before = os.sched_getaffinity(0)
    if len(CORES) > 1:  # this one may be on a single core only meanwhile
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def core_speed(seconds: float = 0.05) -> float:
    """Rounds of a short loop in a second of this process's own CPU time, however busy the core is."""
    return _rate(_loop, seconds, time.process_time)


def busy_seconds() -> float:
    """CPU time that all processes of the machine have used so far."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def _loop() -> int:
    return sum(range(1_000))


def _rate(act: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    count, began = 0, clock()
    while clock() - began < seconds:
        act()
        count += 1
    return count / (clock() - began)
