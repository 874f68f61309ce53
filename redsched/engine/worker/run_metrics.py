"""Run metrics: what a worker reports to its observer. They are collected run by run and reported in batches, off the
hot path.
"""

from __future__ import annotations

from collections import defaultdict

from redsched.engine.observer import Observer


class RunMetrics:
    """Starts and ends of runs since they were last told."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._late: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._again: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._took: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)

    def started(self, queue: str, type_: str, attempt: int, late_ms: float) -> None:
        """One run began."""
        self._late[queue, type_].append(max(late_ms, 0.0))
        if attempt > 1:
            self._again[queue, type_] += 1

    def finished(self, queue: str, type_: str, outcome: str, seconds: float) -> None:
        """One run ended."""
        self._took[queue, type_, outcome].append(seconds)

    def tell(self, total: int, busy: int) -> None:
        """Tell the observer, also how many slots are busy of how many, and begin anew."""
        late, again, took = self._late, self._again, self._took
        self._late, self._again, self._took = defaultdict(list), defaultdict(int), defaultdict(list)
        for (queue, type_), lateness in late.items():
            self._observer.started(queue, type_, lateness)
        for (queue, type_), n in again.items():
            self._observer.redelivered(queue, type_, n)
        for (queue, type_, outcome), seconds in took.items():
            self._observer.finished(queue, type_, outcome, seconds)
        self._observer.slots(total, busy)
