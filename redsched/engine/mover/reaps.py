"""Reaps: takes back the claims whose leases ended: those of a worker that died, or stood still for too long.

After a jump of the server's clock all leases may seem to have ended, so none is taken back for the length of one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.isolation import isolated_queues
from redsched.engine.mover.standing import Standing
from redsched.engine.observer import Observer
from redsched.wire import protocol
from redsched.wire.keys import QueueKeys
from redsched.wire.mover import Moved

log = logging.getLogger("redsched.mover")
BATCH = 250  # claims one call takes back at most
MARGIN = 0.001  # seconds: a lease ends on a whole ms, and our idea of the server's clock is a little off


class Reaps:
    """Says when the leases of a queue are to be taken back, and takes them back."""

    def __init__(self, client: AsyncClient, standing: Standing, observer: Observer) -> None:
        self._standing = standing
        self._lease = client.settings.lease_ms / 1_000
        self._reaps = isolated_queues("reap", client.transport, observer)
        self._from = 0.0  # monotonic; none is taken back before

    def hold_off(self) -> None:
        """Take nothing back for the length of a lease."""
        self._from = time.monotonic() + self._lease

    def is_overdue(self, queue: str, lease: int) -> bool:
        """Whether a queue is to be reaped now whose first lease ends at a time (ms) of the server's clock."""
        return max(self._standing.to_local(lease), self._not_before(queue)) <= time.monotonic()

    def time_of(self, queue: str, lease: int) -> float:
        """When that is to be done, monotonic."""
        return max(self._standing.to_local(lease) + MARGIN, self._not_before(queue))

    async def take_back(self, queues: Sequence[QueueKeys]) -> list[Moved]:
        """What each queue has lost, and its next end of a lease; nothing about those that Redis refuses.

        Raises:
            RedschedError: Redis did not answer, or refused for a reason that is no queue's own.
        """
        answers = await self._reaps.send(queues, lambda some: protocol.reap(some, limit=BATCH))
        found = [moved for _, reaped in answers for moved in reaped.queues]
        for moved in found:
            if moved.moved:
                log.warning("tasks.reaped", extra={"queue": moved.queue, "n": moved.moved})
        return found

    def _not_before(self, queue: str) -> float:
        """In the past, but after a jump of the clock or a refusal."""
        return max(self._from, self._reaps.refusals.until.get(queue, 0.0))
