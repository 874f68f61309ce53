"""Ahead: how many tasks a busy worker holds beside those that run, so that no slot waits for a round trip. Pure."""

from __future__ import annotations

AHEAD_S = 0.05  # seconds of work that are held ahead
WINDOW_S = 0.02  # seconds over which the rate is taken, at least


class Ahead:
    """Follows the rate at which runs end. ``tasks``: how many to hold ahead now, ``most`` at most."""

    def __init__(self, most: int) -> None:
        self.tasks = 0
        self._most = most
        self._since = 0.0
        self._ended = 0

    def follow(self, ended: int, now: float) -> None:
        """Take note that ``ended`` runs have ended in all by ``now``, in seconds."""
        passed = now - self._since
        if passed > WINDOW_S:
            tasks = (ended - self._ended) / passed * AHEAD_S
            self.tasks = min(int(tasks), self._most) if tasks > 1 else 0
            self._ended, self._since = ended, now
