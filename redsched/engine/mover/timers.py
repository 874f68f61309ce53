"""Timers: when each queue is looked at next. Pure; 10,000 idle queues cost nothing, as they have none."""

from __future__ import annotations

import heapq
from collections.abc import Set


class Timers:
    """One time a queue, in monotonic seconds; a later ``set`` replaces an earlier one."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # may hold times that were replaced

    @property
    def queues(self) -> Set[str]:
        """Those that have a timer."""
        return self._at.keys()

    @property
    def next(self) -> float:
        """The earliest time; infinite where there is none."""
        while self._heap and self._is_replaced(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")

    def set(self, queue: str, at: float) -> None:
        """Look at a queue then, and not when it was to be looked at before."""
        self._at[queue] = at
        heapq.heappush(self._heap, (at, queue))
        if len(self._heap) > 64 + 4 * len(self._at):
            self._heap = [(at, queue) for queue, at in self._at.items()]
            heapq.heapify(self._heap)

    def bring_forward(self, queue: str, at: float) -> None:
        """Look at a queue then at the latest."""
        if at < self._at.get(queue, float("inf")):
            self.set(queue, at)

    def take(self, now: float, most: int) -> list[str]:
        """The queues whose time has come, earliest first; they have no timer any more."""
        taken: list[str] = []
        while len(taken) < most and self.next <= now:
            _, queue = heapq.heappop(self._heap)
            del self._at[queue]
            taken.append(queue)
        return taken

    def _is_replaced(self, at: float, queue: str) -> bool:
        return self._at.get(queue) != at
