"""What a soak keeps of each minute and of each part, in a directory, and whether its figures stay flat."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from bench.report import Report, number

MIB = 2**20
ALLOWED = {"used_memory": 0.1, "worker_rss": 0.1, "p50": 0.5, "p99": 1.0}  # share of the median, over the whole run


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """One minute: lateness in ms, memory in bytes, tasks."""

    part: int
    acknowledged: int
    started: int
    again: int  # starts of a task that had started before: what a killed worker held
    p50: float
    p99: float
    most: float
    used_memory: int
    worker_rss: int  # of the worker that is never killed
    server_rss: int
    waiting: int  # scheduled, ready and running at the end of the minute
    finished: int  # kept until the sweep
    others: float  # cores that other processes used
    killed: list[str]
    core: float = 0.0  # speed of the core: rounds of a short loop in a second of CPU time


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part that was carried to its end, and what its tasks came to."""

    acknowledged: int
    completed: int
    never_started: int
    again: int
    early: int

    @property
    def lost(self) -> int:
        """Acknowledged tasks that did not complete."""
        return max(self.acknowledged - self.completed, self.never_started)


class State(msgspec.Struct, kw_only=True):
    """The whole soak so far. ``begun`` counts parts, those that were cut off too."""

    rate: float = 0.0  # tasks a second
    begun: int = 0
    parts: list[Part] = []
    minutes: list[Minute] = []

    @classmethod
    def load(cls, folder: Path) -> State:
        """What the folder holds; an empty state where it holds nothing."""
        path = folder / "state.json"
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def save(self, folder: Path) -> None:
        """Write it in one step."""
        path = folder / "state.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        fresh.replace(path)


def drift(values: Sequence[float]) -> float:
    """How far the values went from the first to the last, as a share of their median.

    The slope is the median of those of all pairs (Theil-Sen), so that single outliers count for nothing.
    """
    pairs = [(b - a) / (j - i) for i, a in enumerate(values) for j, b in enumerate(values) if j > i]
    middle = statistics.median(values) if values else 0.0
    return statistics.median(pairs) * (len(values) - 1) / middle if pairs and middle else 0.0


def verdicts(minutes: Sequence[Minute]) -> dict[str, tuple[float, bool]]:
    """Name -> (drift, whether it is flat: it may fall), the first sixth of the minutes left out as warm-up."""
    counted = minutes[len(minutes) // 6 + 1 :]
    found = {name: drift([float(getattr(minute, name)) for minute in counted]) for name in ALLOWED}
    return {name: (share, share <= ALLOWED[name]) for name, share in found.items()}


def table(minutes: Sequence[Minute]) -> Table:
    """One row a minute."""
    shown = Table(title="Minute by minute", title_justify="left")
    names = (
        "minute",
        "part",
        "acknowledged",
        "started",
        "again",
        "p50 ms",
        "p99 ms",
        "most ms",
        "used_memory MiB",
        "worker MiB",
        "server MiB",
        "waiting",
        "finished",
        "others",
        "core",
        "killed",
    )
    for name in names:
        shown.add_column(name, justify="left" if name == "killed" else "right")
    for at, row in enumerate(minutes, 1):
        shown.add_row(
            str(at),
            str(row.part),
            f"{row.acknowledged:,}",
            f"{row.started:,}",
            f"{row.again:,}",
            number(row.p50),
            number(row.p99),
            number(row.most),
            number(row.used_memory / MIB),
            number(row.worker_rss / MIB),
            number(row.server_rss / MIB),
            f"{row.waiting:,}",
            f"{row.finished:,}",
            f"{row.others:.2f}",
            f"{row.core:,.0f}",
            ", ".join(row.killed),
        )
    return shown


def fill(report: Report, state: State) -> None:
    """Figures over all minutes, the lost tasks and the verdicts."""
    counted = state.minutes
    for row in counted:
        report.add("acknowledged", row.acknowledged, "tasks a minute")
        report.add("lateness p50", row.p50, "ms")
        report.add("lateness p99", row.p99, "ms")
        report.add("used_memory", row.used_memory / MIB, "MiB")
        report.add("memory of the worker that lives", row.worker_rss / MIB, "MiB")
        report.add("speed of the core", row.core, "loops/s")
        report.add("started again after a crash", row.again, "tasks a minute")
    if state.parts:
        report.add("acknowledged, of the parts that ended", sum(part.acknowledged for part in state.parts), "tasks")
        report.add("lost", sum(part.lost for part in state.parts), "tasks", target=0, better="less")
        report.add("started early", sum(part.early for part in state.parts), "tasks", target=0, better="less")
    report.others = [row.others for row in counted]
    cut = state.begun - len(state.parts)
    if cut:
        report.notes.append(f"{cut} part(s) cut off: their minutes count, their tasks were not checked one by one")
    if len(counted) < 4:
        report.notes.append(f"{len(counted)} minute(s) are too few to call anything flat")
    else:
        for name, (share, flat) in verdicts(counted).items():
            word = "flat" if flat else "NOT flat"
            report.notes.append(f"{name}: {word}, {100 * share:+.1f} % over the run (at most {ALLOWED[name]:.0%})")
        speed = 100 * drift([row.core for row in counted])
        report.notes.append(f"speed of the core: {speed:+.1f} % over the run; where it falls, lateness rises with it")
    for label, name, unit in (
        ("p50 ms", "p50", 1),
        ("p99 ms", "p99", 1),
        ("MiB in Redis", "used_memory", MIB),
        ("MiB of worker", "worker_rss", MIB),
    ):
        report.series[label] = [(at, getattr(row, name) / unit) for at, row in enumerate(counted, 1)]
