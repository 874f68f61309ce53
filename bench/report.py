"""What a measurement found: figures with every run's value, printed as one table and kept as one JSON file."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from bench.noise import Probe

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"


class Figure(msgspec.Struct, kw_only=True):
    """One row: a value for each run, and the target where there is one. A floor is what the parts cost alone."""

    name: str
    values: list[float]
    unit: str
    target: float | None = None
    better: Literal["more", "less"] = "more"
    floor: bool = False

    @property
    def median(self) -> float:
        """The figure."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the median reaches the target; empty without one."""
        if self.target is None:
            return ""
        met = self.median >= self.target if self.better == "more" else self.median <= self.target
        return "met" if met else "missed"


class Report(msgspec.Struct, kw_only=True):
    """One measurement: its figures, and what they were measured on."""

    name: str
    title: str
    server: str = ""
    machine: str = ""
    at: str = ""
    figures: list[Figure] = []
    notes: list[str] = []
    probes: list[Probe] = []
    others: list[float] = []  # cores that other processes used, a value for each step
    series: dict[str, list[tuple[float, float]]] = {}  # what plots.py draws: points by the name of their line

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        target: float | None = None,
        better: Literal["more", "less"] = "more",
        floor: bool = False,
    ) -> None:
        """One run's value of a figure; the same name again is another run of it."""
        for figure in self.figures:
            if figure.name == name:
                figure.values.append(value)
                return
        self.figures.append(Figure(name=name, values=[value], unit=unit, target=target, better=better, floor=floor))

    def median(self, name: str) -> float:
        """The figure of that name."""
        return next(figure.median for figure in self.figures if figure.name == name)

    @property
    def noise(self) -> str:
        """One line on how quiet the machine was."""
        loops = [probe.loops for probe in self.probes]
        trips = [probe.round_trips for probe in self.probes]
        others = f"{statistics.median(self.others):.2f} (most {max(self.others):.2f})" if self.others else "-"
        speed = f"{range_text(loops)} loops/s, {range_text(trips)} round trips/s"
        return f"probes: {speed}; cores used by other processes: {others}"

    def print(self, console: Console) -> None:
        """The table, the notes and the noise."""
        table = Table(title=f"{self.name}: {self.title}", title_justify="left", caption_justify="left")
        for column in ("figure", "median", "lowest - highest", "unit", "target"):
            table.add_column(column, justify="right" if column in ("median", "lowest - highest") else "left")
        for figure in self.figures:
            table.add_row(
                ("floor: " if figure.floor else "") + figure.name,
                number(figure.median),
                range_text(figure.values),
                figure.unit,
                target_text(figure),
                style="dim" if figure.floor else "",
            )
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}", highlight=False)
        console.print(f"  {self.server}; {self.machine}; {self.noise}\n", highlight=False, style="dim")

    def write(self) -> Path:
        """Keep it as ``results/<name>.json``."""
        self.at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))
        return path


def console() -> Console:
    """The terminal; 130 columns where the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else 130)


def target_text(figure: Figure) -> str:
    """The target and whether it was met, for a table."""
    if figure.target is None:
        return ""
    return f"{'>=' if figure.better == 'more' else '<='} {number(figure.target)} {figure.verdict}"


def number(value: float) -> str:
    """Three or more significant digits, thousands separated."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile, ``share`` in 0..1."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def machine() -> str:
    """Cores, processor, kernel and Python of this machine."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, Python {platform.python_version()}"


def range_text(values: Sequence[float]) -> str:
    """Lowest and highest run; one number where they read the same."""
    if not values:
        return "-"
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} - {high}"


def put(figures: str, begin: str, end: str) -> None:
    """Put text between two marks of README.md, in place of what is there.

    Raises:
        ValueError: a mark is missing.
    """
    before, found, rest = README.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{README.name} has lost its marks {begin} and {end}")
    README.write_text(f"{before}{begin}\n{figures}\n{end}{after}", encoding="utf-8")


PARTS = ("enqueue", "promote", "claim", "settle", "sweep")
