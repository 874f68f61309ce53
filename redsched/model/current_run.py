"""Which task this code runs for, so that whatever it logs can name the task."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol


class Run(Protocol):
    """One run of a task, as far as a log tells of it."""

    @property
    def queue(self) -> str:
        """The task's queue."""

    @property
    def id(self) -> str:
        """The task's id."""

    @property
    def type(self) -> str:
        """The task's type."""

    @property
    def attempt(self) -> int:
        """Which attempt it is."""


_current: ContextVar[Run | bool] = ContextVar("redsched_run", default=False)


# From now on this context, which is one run's own, is that of a task. It is called for each run.
begin: Callable[[Run], object] = _current.set


def begin_application() -> None:
    """From now on this context is that of code of the application which runs for no single task: its lifespan, a
    batch."""
    _current.set(True)


def is_of_the_application() -> bool:
    """Whether code of the application runs here."""
    return _current.get() is not False


def current() -> Run | None:
    """The run that this code belongs to; None outside of one."""
    found = _current.get()
    return None if isinstance(found, bool) else found
