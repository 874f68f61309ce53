"""What a comparison found: medians, how many times better redsched is, marks and checks, as tables.

A ratio above 1 is redsched's advantage: its rate over the other's, or the other's time over its own. A row is marked
where a library stays under 0.8 of what it reached in an earlier run (``known.json``): then this run or its adapter
does it no justice, and its ratio says little.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from bench.peers.catalog import OURS, PEERS
from bench.peers.steps import KINDS
from bench.report import number, range_text

BELOW = 0.8
MARK = "below its known figure"
# (figure, against: a library or the fastest Python library, at least)
TARGETS = (("drain", "", 2.3), ("drain", "bullmq", 1.35), ("bulk", "bullmq", 2.5), ("one", "bullmq", 1.0))


class Known(msgspec.Struct, frozen=True):
    """Each library's figures in an earlier run, on what and when."""

    at: str
    machine: str
    figures: dict[str, dict[str, float]]

    @classmethod
    def read(cls) -> Known:
        """As kept beside this file."""
        return msgspec.json.decode((Path(__file__).parent / "known.json").read_bytes(), type=cls)


class Row(msgspec.Struct, frozen=True):
    """One library's value of one figure, a value for each round."""

    peer: str
    values: list[float]
    median: float
    ratio: float | None  # of the medians; None for redsched itself, and without it
    ratios: list[float]  # round by round
    known: float | None
    mark: str


class Check(msgspec.Struct, frozen=True):
    """A ratio that is aimed at."""

    text: str
    ratio: float
    target: float
    doubt: str = ""  # the other library's mark

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.ratio >= self.target

    @property
    def line(self) -> str:
        """One line for people."""
        doubt = f", but {self.doubt}" if self.doubt else ""
        return f"{self.text}: {number(self.ratio)}x, aimed at {self.target}x: {'met' if self.met else 'missed'}{doubt}"


class Comparison(msgspec.Struct, kw_only=True):
    """Everything that one run measured. ``values``: figure -> library -> round -> value."""

    at: str = ""
    machine: str = ""
    server: str = ""
    rounds: int = 0
    quick: bool = False
    values: dict[str, dict[str, dict[int, float]]] = {}
    cut: list[tuple[str, str]] = []  # (figure, library) that the time limit ended
    notes: list[str] = []
    failed: list[str] = []
    noise: str = ""

    def add(self, figure: str, peer: str, at_round: int, value: float) -> None:
        """One value."""
        self.values.setdefault(figure, {}).setdefault(peer, {})[at_round] = value

    def rows(self, figure: str, known: Known) -> list[Row]:
        """A figure's rows: redsched, then the others, best first."""
        found = self.values.get(figure, {})
        more = KINDS[figure].better == "more"
        ours = found.get(OURS, {})
        rows = []
        for peer, rounds in found.items():
            median = statistics.median(rounds.values())
            other = peer != OURS and bool(ours)
            rows.append(
                Row(
                    peer=peer,
                    values=[*rounds.values()],
                    median=median,
                    ratio=_advantage(statistics.median(ours.values()), median, more) if other else None,
                    ratios=[_advantage(ours[n], rounds[n], more) for n in rounds if n in ours] if other else [],
                    known=known.figures.get(peer, {}).get(figure),
                    mark=self._mark(figure, peer, median, known),
                )
            )
        return sorted(rows, key=lambda row: (row.peer != OURS, -row.median if more else row.median))

    def checks(self, known: Known) -> list[Check]:
        """The ratios aimed at, of those that were measured."""
        checks = []
        for figure, against, target in TARGETS:
            rows = [row for row in self.rows(figure, known) if row.ratio is not None]
            rows = [row for row in rows if (row.peer == against if against else PEERS[row.peer].python)]
            if rows and rows[0].ratio is not None:
                other = against or f"the fastest Python library ({rows[0].peer})"
                doubt = f"{rows[0].peer} is {rows[0].mark}" if rows[0].mark else ""
                checks.append(Check(f"{figure} against {other}", rows[0].ratio, target, doubt))
        return checks

    def _mark(self, figure: str, peer: str, median: float, known: Known) -> str:
        marks = ["cut off"] if (figure, peer) in self.cut else []
        expected = known.figures.get(peer, {}).get(figure)
        if expected is not None and not self.quick:
            share = median / expected if KINDS[figure].better == "more" else expected / median
            marks += [MARK] if share < BELOW else []
        return ", ".join(marks)


def _advantage(ours: float, other: float, more: bool) -> float:
    better, worse = (ours, other) if more else (other, ours)
    return better / worse if worse else 0.0


COLUMNS = ("library", "median", "lowest - highest", "redsched is", "round by round", "known", "")


def cells(row: Row) -> tuple[str, ...]:
    """One row as text."""
    return (
        row.peer,
        number(row.median),
        range_text(row.values),
        f"{number(row.ratio)}x" if row.ratio is not None else "",
        range_text(row.ratios) if row.ratios else "",
        number(row.known) if row.known is not None else "",
        row.mark,
    )


def tables(comparison: Comparison, known: Known) -> Iterable[Table]:
    """One table a figure, for the terminal."""
    for figure, kind in KINDS.items():
        if rows := comparison.rows(figure, known):
            table = Table(title=f"{figure}: {kind.title} ({kind.unit})", title_justify="left")
            for column in COLUMNS:
                table.add_column(column, justify="left" if column in ("library", "") else "right")
            for row in rows:
                table.add_row(*cells(row), style="yellow" if row.mark else "bold" if row.peer == OURS else "")
            yield table


def markdown(comparison: Comparison, known: Known, peers: Sequence[str]) -> str:
    """Every table, check and setting, for README.md."""
    lines = [
        f"{comparison.at}; {comparison.machine}; {comparison.server}; medians of {comparison.rounds} rounds.",
        f"Known: each library's figure in a run of {known.at} on {known.machine}.",
        "",
    ]
    for figure, kind in KINDS.items():
        if rows := comparison.rows(figure, known):
            lines += [f"### {figure}: {kind.title} ({kind.unit})", "", "| " + " | ".join(COLUMNS) + " |"]
            lines += ["|---|---:|---:|---:|---:|---:|---|"]
            lines += ["| " + " | ".join(cells(row)) + " |" for row in rows] + [""]
    lines += [f"- {check.line}" for check in comparison.checks(known)]
    lines += [f"- {note}" for note in [*comparison.notes, *comparison.failed]]
    lines += ["", comparison.noise + ".", "", "| library | what was run | bulk call | worker |", "|---|---|---|---|"]
    for name in peers:
        peer = PEERS[name]
        few = f"; drain of {peer.drain:,} tasks" if peer.drain != PEERS[OURS].drain else ""
        lines.append(f"| {name} | {', '.join(peer.packages) or 'this version'} | {peer.bulk} | {peer.worker}{few} |")
    return "\n".join(lines)
