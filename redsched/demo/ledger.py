"""The demo's own evidence: an append-only file with one line for every run of a handler.

It knows nothing of Redis. What the demo claims at its end is this file compared with the ids that were acknowledged.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from redsched.model.duration import instant_ms


class Run(NamedTuple):
    """One line: a run of one task's handler."""

    id: str
    type: str
    attempt: int
    due_ms: int
    started_ms: float
    outcome: str  # completed | failed

    @property
    def lateness_ms(self) -> float:
        """Handler's first statement less due time."""
        return self.started_ms - self.due_ms


@contextmanager
def noted(path: str, id: str, type: str, attempt: int, due_at: datetime) -> Iterator[None]:
    """Note one run: how it ended, and when it began by the clock read here, before anything else."""
    started_ns = time.time_ns()
    outcome = "failed"
    try:
        yield
        outcome = "completed"
    finally:
        due_ms = instant_ms(due_at)
        line = f"{id} {type} {attempt} {due_ms} {started_ns / 1e6:.3f} {outcome}\n"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line.encode())  # one write of one line: runs of several processes never mix
        finally:
            os.close(file)


class Ledger:
    """Reads the file as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: list[Run] = []
        self.by_id: dict[str, list[Run]] = defaultdict(list)
        self._offset = 0

    def read(self) -> list[Run]:
        """The runs noted since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        new = []
        for line in whole.decode().splitlines():
            id, type, attempt, due, started, outcome = line.split(" ")
            new.append(Run(id, type, int(attempt), int(due), float(started), outcome))
        for run in new:
            self.by_id[run.id].append(run)
        self.runs.extend(new)
        return new

    def completed(self, id: str) -> bool:
        """Whether a run of this task got to its end."""
        return any(run.outcome == "completed" for run in self.by_id.get(id, ()))


class Account(NamedTuple):
    """What became of every acknowledged task."""

    submitted: int
    completed: int
    dead: int
    cancelled: int
    skipped: int
    lost: dict[str, str]  # id -> why it counts as lost
    lateness_ms: list[float]

    def line(self) -> str:
        """The demo's last line."""
        return (
            f"demo: submitted {self.submitted}, completed {self.completed}, dead {self.dead}, "
            f"cancelled {self.cancelled}, skipped {self.skipped}, lost {len(self.lost)}, "
            f"lateness p50 {percentile(self.lateness_ms, 50):.1f} ms p99 {percentile(self.lateness_ms, 99):.1f} ms"
        )

    def document(self) -> dict[str, object]:
        """The same for machines."""
        figures = {f"lateness_p{n}_ms": round(percentile(self.lateness_ms, n), 3) for n in (50, 99)}
        return {name: value for name, value in self._asdict().items() if name != "lateness_ms"} | figures


def account(acknowledged: Sequence[str], states: dict[str, str], ledger: Ledger, meant: dict[str, str]) -> Account:
    """Compare what was acknowledged with the final states and with the ledger.

    ``meant``: how those are to end that are not meant to complete: dead, cancelled or skipped. A task that Redis calls
    completed counts only when a handler noted it.
    """
    counts = {"completed": 0, "dead": 0, "cancelled": 0, "skipped": 0}
    lost: dict[str, str] = {}
    for id in acknowledged:
        end = meant.get(id, "completed")
        state = states.get(id, "missing")
        if state != end:
            lost[id] = "Redis does not know it any more" if state == "missing" else f"it is {state}, not {end}"
        elif end == "completed" and not ledger.completed(id):
            lost[id] = "Redis calls it completed, but no handler ran to its end"
        elif end != "completed" and ledger.completed(id):
            lost[id] = f"it is {end}, but a handler ran to its end"
        else:
            counts[end] += 1
    return Account(
        len(acknowledged),
        counts["completed"],
        counts["dead"],
        counts["cancelled"],
        counts["skipped"],
        lost,
        [run.lateness_ms for run in ledger.runs],
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
