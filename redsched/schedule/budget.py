"""How much work next runs may take, whichever threads do it: seconds of CPU time, so that a busy machine is given time.

Who searches asks the budget once a slot; nothing breaks a thread off from outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from redsched.model.errors import PlanningSpent

T = TypeVar("T")


class Budget:
    """So many seconds of work in all. One thread at a time uses it."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._ends: float | None = None  # by the clock of the thread that works; None: nobody does

    @classmethod
    def share(cls, seconds: float, whole: Budget | None = None) -> Budget:
        """One that this thread uses from now on; it ends with the ``whole`` at the latest."""
        part = cls(seconds)
        part._ends = time.thread_time() + seconds
        if whole is not None and whole._ends is not None:
            part._ends = min(part._ends, whole._ends)
        return part

    def spend(self, work: Callable[..., T], *given: Any) -> T:
        """What ``work`` returns; the CPU time that it takes counts."""
        self._ends = time.thread_time() + self._left
        try:
            return work(*given)
        finally:
            self._left = self._ends - time.thread_time()
            self._ends = None

    def check(self) -> None:
        """Raises PlanningSpent where it is used up."""
        if self._ends is not None and time.thread_time() > self._ends:
            raise PlanningSpent
