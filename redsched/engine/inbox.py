"""Inboxes: takes what producers that may only append have written, as soon as tracking tells of it.

Any number of movers may do it, the script is the only lock; one that stands by gives the acting one a moment. Where
there is no tracking, the known queues are looked at in turn.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable

from redsched.client import AsyncClient
from redsched.engine.isolation import Isolation
from redsched.engine.observer import Observer
from redsched.wire import protocol
from redsched.wire.keys import QueueKeys, queue_keys

log = logging.getLogger("redsched.mover")
QUEUES_A_CALL = 16
BATCH = 100  # entries one call takes at most
DEBOUNCE = 0.003  # seconds in which entries gather
STANDBY = 0.15  # seconds that a mover which does not act leaves to the one that does
IDLE = 60.0
BLIND = 1.0  # seconds between looks without tracking


class Inboxes:
    """The step of the loop ``ingest``."""

    def __init__(self, client: AsyncClient, known: Collection[str], observer: Observer) -> None:
        self._client = client
        self._ingests = Isolation("ingest", client.transport, observer)
        self._known = known
        self._told: set[str] = set()  # queues whose inbox somebody wrote
        self._turn: list[str] = []
        self.acting = True
        self.armed = False
        self.nudge: Callable[[], None] = lambda: None

    def tell(self, queues: Iterable[str]) -> None:
        """These may have something in their inboxes."""
        before = len(self._told)
        self._told.update(queues)
        if len(self._told) > before:
            self.nudge()

    async def step(self) -> float:
        """Take from up to 16 inboxes; answers the seconds until the next look."""
        self._told.update(queue for queue, at in self._ingests.refused.items() if at <= time.monotonic())
        if not self._told:
            if self.armed:
                return self._wait()
            self._turn = self._turn or list(self._known)
            self._told.update(self._turn[:QUEUES_A_CALL])
            del self._turn[:QUEUES_A_CALL]
            if not self._told:
                return BLIND
        await asyncio.sleep(DEBOUNCE if self.acting else STANDBY)
        names = [self._told.pop() for _ in range(min(len(self._told), QUEUES_A_CALL))]
        await self._take([queue_keys(self._client.cell, name) for name in names])
        return 0.0 if self._told else self._wait()

    async def _take(self, queues: list[QueueKeys]) -> None:
        try:
            answers = await self._ingests.send(queues, lambda some: protocol.ingest(some, limit=BATCH))
        except BaseException:
            self._told.update(keys.queue for keys in queues)
            raise
        for inbox in (inbox for found in answers for inbox in found):
            if inbox.refused:
                log.warning("inbox.refused", extra={"queue": inbox.queue, "n": inbox.refused})
            if inbox.left:
                self._told.add(inbox.queue)

    def _wait(self) -> float:
        """Until those that Redis refused are tried again, if there are any."""
        wait = IDLE if self.armed else BLIND
        return max(0.0, min([self._next_refused() - time.monotonic(), wait]))

    def _next_refused(self) -> float:
        return min(self._ingests.refused.values(), default=float("inf"))
