"""Claims: what a worker holds, and how it lets go of what it has not begun. Nothing is forgotten here: a claim that
leaves is ended by a settlement, or it is another worker's already.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from redsched.engine.worker.held import Held, Why, about, returned
from redsched.wire.claims import Settlement, Started

log = logging.getLogger("redsched.worker")


class Claims:
    """The claims of one worker: those that wait for a slot, oldest first, and those that run."""

    def __init__(self, lease_s: float, end: Callable[[Settlement, str], None]) -> None:
        self.waiting: deque[Held] = deque()
        self.held: dict[str, Held] = {}  # by key: waiting and running
        self._lease_s = lease_s
        self._end = end  # told how a claim ends, with the outcome's name

    def take(self, started: Started, *, sent: float, server_ms: int) -> None:
        """Hold what a claim has started."""
        held = Held(started, sent=sent, server_ms=server_ms, lease_s=self._lease_s)
        self.held[held.key] = held
        self.waiting.append(held)

    def give_back(self, held: Held, name: str = "returned") -> None:
        """Hand a claim back that waits: no handler has begun, so its attempt is not used up."""
        self._leave(held)
        self._end(returned(held.started), name)

    def give_back_all(self) -> None:
        """Hand back everything that waits."""
        for held in list(self.waiting):
            held.why = Why.SHUTDOWN
            self.give_back(held)

    def lose(self, held: Held) -> None:
        """A claim is another worker's: stop its run, or forget it where it waits."""
        held.stop(Why.LOST)
        if held.context is None:
            self._leave(held)
            log.warning("task.lost", extra=about(held.started))

    def _leave(self, held: Held) -> None:
        self.waiting.remove(held)
        self.held.pop(held.key, None)
