"""Outage: tells the log that Redis does not answer, and for how long it did not.

Calls are repeated for longer than most outages last, so that nobody else would tell of them.
"""

from __future__ import annotations

import logging
import threading
from contextvars import Context
from typing import Any

log = logging.getLogger("redsched.client")
TOLD_AFTER_S = 1.0  # seconds without an answer until the log is told
APART_S = 10.0  # seconds without any call after which the next failure begins another outage


class Outage:
    """Whether the server of one client answers; threads may share it. All times are in seconds of one clock."""

    def __init__(self) -> None:
        self._since: float | None = None  # since when there is no answer
        self._last = 0.0  # when a call failed last
        self._back = 0.0  # when the last outage ended
        self._told = False
        self._lock = threading.Lock()

    def failed(self, problem: str, *, asked: float, now: float) -> None:
        """A command that was sent at ``asked`` has no answer, or one that says that Redis is not ready."""
        with self._lock:
            if self._since is None or (asked - self._last > APART_S and not self._told):
                self._since = max(asked, self._back)  # it may have been sent during an outage that is over
            self._last = now
            if self._told or now - self._since < TOLD_AFTER_S:
                return
            self._told = True
        _warn("redis.away", {"error": problem})

    def answered(self, now: float) -> None:
        """Redis answered a command."""
        with self._lock:
            since, told = self._since, self._told
            self._since, self._told, self._back = None, False, now
        if told and since is not None:
            _warn("redis.back", {"seconds": round(now - since, 1)})

    @property
    def is_on(self) -> bool:
        """Whether the last command has no answer: who is answered has to say so."""
        return self._since is not None


def _warn(event: str, facts: dict[str, Any]) -> None:
    """Tell the log in a context of its own: an outage is of no task, though the run of one may meet it first."""
    Context().run(log.warning, event, extra=facts)
