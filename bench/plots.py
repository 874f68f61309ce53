"""One SVG for each question, drawn from what its measurement kept.

Needs matplotlib (``pip install 'redsched[bench]'``); without it every figure is printed all the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from bench.report import PARTS, RESULTS, Report

PLOTS = Path(__file__).parent / "plots"
WIDTH, HEIGHT = 8.0, 4.5  # inches
GRAY, BLUE = "#999999", "#1f77b4"
SETTINGS: Any = {"svg.hashsalt": "redsched", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}


def draw(screen: Console, reports: Sequence[Report]) -> list[Path]:
    """Draw each report that has something to draw; the files. Says so where there is no matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        screen.print("plots left out: pip install 'redsched[bench]' brings matplotlib", highlight=False)
        return []
    import matplotlib
    from matplotlib.figure import Figure

    PLOTS.mkdir(exist_ok=True)
    files = []
    with matplotlib.rc_context(SETTINGS):
        for report in reports:
            drawing = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            DRAWN.get(report.name, _bars)(drawing, report)
            drawing.suptitle(report.title, fontsize=11)
            files.append(PLOTS / f"{report.name}.svg")
            drawing.savefig(files[-1], metadata={"Date": None})
    return files


def load(name: str) -> Report:
    """What a measurement kept last."""
    return msgspec.json.decode((RESULTS / f"{name}.json").read_bytes(), type=Report)


def _lines(x: str, y: str, scale: str = "linear") -> Callable[[Any, Report], None]:
    def draw_lines(drawing: Any, report: Report) -> None:
        axes = drawing.subplots()
        for name, points in report.series.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
        axes.set_xscale(scale)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if report.series:
            drawing.legend(loc="outside right upper")

    return draw_lines


def _histograms(drawing: Any, report: Report) -> None:
    every = drawing.subplots(len(report.series), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, points) in zip(every, report.series.items(), strict=True):
        labels = [f"{bound:g}" for bound, _ in points]
        axes.bar(labels, [share for _, share in points])
        axes.set_ylabel("% of tasks")
        axes.set_title(name, fontsize=9)
        axes.tick_params(axis="x", labelrotation=90)
    every[-1].set_xlabel("ms late, at most")


def _stacks(drawing: Any, report: Report) -> None:
    axes = drawing.subplots()
    names = [*report.series]
    left = [0.0] * len(names)
    for at, part in enumerate(PARTS):
        values = [report.series[name][at][1] for name in names]
        axes.barh(names, values, left=left, label=part)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("microseconds of the server's CPU a task")
    drawing.legend(loc="outside right upper")


def _panels(drawing: Any, report: Report) -> None:
    every = drawing.subplots(len(report.series), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, points) in zip(every, report.series.items(), strict=True):
        axes.plot(*zip(*points, strict=True))
        axes.set_ylabel(name, rotation=0, horizontalalignment="right")
        axes.set_ylim(bottom=0)
    every[-1].set_xlabel("minute")


def _bars(drawing: Any, report: Report) -> None:
    """The figures of the first one's unit, floors in gray, targets as lines."""
    axes = drawing.subplots()
    shown = [figure for figure in report.figures if figure.unit == report.figures[0].unit]
    names = [("floor: " if figure.floor else "") + figure.name for figure in shown]
    axes.barh(names, [figure.median for figure in shown], color=[GRAY if figure.floor else BLUE for figure in shown])
    for at, figure in enumerate(shown):
        if figure.target is not None:
            axes.plot([figure.target] * 2, [at - 0.4, at + 0.4], color="black")
    axes.invert_yaxis()
    axes.set_xlabel(report.figures[0].unit)


DRAWN: dict[str, Callable[[Any, Report], None]] = {
    "enqueue": _lines("tasks in a call", "tasks/s", "log"),
    "scale": _lines("concurrency or batch", "tasks/s", "log"),
    "memory": _lines("bytes of payload", "bytes a scheduled task"),
    "growth": _lines("waiting tasks", "microseconds of the server's CPU a task", "symlog"),
    "lateness": _histograms,
    "life": _stacks,
    "soak": _panels,
}


if __name__ == "__main__":
    found = sorted(path.stem for path in RESULTS.glob("*.json") if not path.stem.startswith("peers-"))
    for path in draw(Console(), [load(name) for name in found]):
        print(path)
