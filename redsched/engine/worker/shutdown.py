"""Shutdown: the end of a worker. It hands back what has not begun, lets the rest finish within the grace, then hands
that back, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from redsched.client import AsyncClient
from redsched.engine.worker.claim_order import ClaimOrder
from redsched.engine.worker.claims import Claims
from redsched.engine.worker.ends import Ends
from redsched.engine.worker.held import Why
from redsched.engine.worker.slots import Slots
from redsched.engine.worker.spool import Spool
from redsched.model.errors import RedschedError
from redsched.wire import protocol

log = logging.getLogger("redsched.worker")
LAST_WORDS = 2.0  # seconds in which what was stopped at the end of the grace is handed back
LEAVE_S = 1.0  # seconds in which the consumer is taken out of its groups


class Stopping:
    """Whether a worker is to end. ``at_once``: it does not wait for what runs."""

    def __init__(self) -> None:
        self.is_asked = False
        self.at_once = False
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """End; a second time: at once."""
        self.at_once = self.is_asked
        self.is_asked = True
        self._asked.set()

    async def wait(self) -> None:
        """Until it is asked for."""
        await self._asked.wait()


class Shutdown:
    """Ends the work of one worker, once."""

    def __init__(
        self,
        client: AsyncClient,
        consumer: str,
        stopping: Stopping,
        *,
        order: ClaimOrder,
        claims: Claims,
        slots: Slots,
        ends: Ends,
        spool: Spool,
        nudge: Callable[[], None],
    ) -> None:
        """``nudge`` is told that there is something to hand back."""
        self._client = client
        self._consumer = consumer
        self._stopping = stopping
        self._order = order
        self._claims = claims
        self._slots = slots
        self._ends = ends
        self._spool = spool
        self._nudge = nudge

    async def run(self, trips: asyncio.Task[None]) -> None:
        """Until Redis has been told of all by the round trips, or the time is up; then it is kept for the next one."""
        if not trips.done():  # a burst has nothing left
            await self.drain()
            self._nudge()
            await asyncio.wait((trips,), timeout=LAST_WORDS)
        if trips.done():
            trips.result()
        self._spool.keep([end for end in self._ends.left() if end.outcome != "return"])
        with contextlib.suppress(TimeoutError, RedschedError):
            async with asyncio.timeout(LEAVE_S):
                for chunk in self._order.chunks:
                    await self._client.transport.send(protocol.leave(chunk, self._consumer))

    async def drain(self) -> None:
        """Hand back what waits; what runs may finish within the grace, then it is stopped."""
        log.info("worker.draining", extra={"running": len(self._slots.tasks), "buffered": len(self._claims.waiting)})
        self._claims.give_back_all()
        self._nudge()
        grace = time.monotonic() + self._client.settings.shutdown_grace_ms / 1_000
        while self._claims.held and not self._stopping.at_once and time.monotonic() < grace:
            slots = self._slots.tasks
            await asyncio.wait(slots, timeout=0.05) if slots else await asyncio.sleep(0.01)
        for held in list(self._claims.held.values()):
            held.stop(Why.SHUTDOWN)
