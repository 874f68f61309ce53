"""Who is told what the engine does. ``redsched.observe.metrics`` is one such observer; the engine knows none of
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Observer(Protocol):
    """Told in batches, off the hot path. Lateness in ms, durations in seconds."""

    def promoted(self, queue: str, n: int) -> None:
        """``n`` ids left the due set."""

    def started(self, queue: str, type: str, lateness_ms: Sequence[float]) -> None:
        """Handlers started, each so much after its due time."""

    def redelivered(self, queue: str, type: str, n: int) -> None:
        """``n`` of the started runs are not the task's first."""

    def finished(self, queue: str, type: str, outcome: str, seconds: Sequence[float]) -> None:
        """Runs ended so, each after so many seconds."""

    def progressed(self, loop: str) -> None:
        """A loop went round."""

    def redis_error(self, kind: str) -> None:
        """A call to Redis failed."""

    def slots(self, total: int, busy: int) -> None:
        """How many tasks run of how many may."""

    def fired(self, schedule: str, runs: int, missed: int) -> None:
        """A schedule made so many runs, and missed so many of its slots."""


class Silent:
    """The observer of whoever wants none."""

    def promoted(self, queue: str, n: int) -> None:
        """It is not noted."""

    def started(self, queue: str, type: str, lateness_ms: Sequence[float]) -> None:
        """It is not noted."""

    def redelivered(self, queue: str, type: str, n: int) -> None:
        """It is not noted."""

    def finished(self, queue: str, type: str, outcome: str, seconds: Sequence[float]) -> None:
        """It is not noted."""

    def progressed(self, loop: str) -> None:
        """It is not noted."""

    def redis_error(self, kind: str) -> None:
        """It is not noted."""

    def slots(self, total: int, busy: int) -> None:
        """It is not noted."""

    def fired(self, schedule: str, runs: int, missed: int) -> None:
        """It is not noted."""
