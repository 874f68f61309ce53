"""Trips: the round trips of a worker. Each settles what has ended and claims what fits, both in one call."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from redsched.client import AsyncClient
from redsched.engine.app import TaskType
from redsched.engine.elapsed import elapsed
from redsched.engine.isolation import is_its_own
from redsched.engine.loop import Loop
from redsched.engine.observer import Observer
from redsched.engine.worker.ahead import Ahead
from redsched.engine.worker.claim_order import ClaimOrder
from redsched.engine.worker.claims import Claims
from redsched.engine.worker.doorbell import Doorbell
from redsched.engine.worker.ends import Ends
from redsched.engine.worker.held import about, returned
from redsched.engine.worker.shutdown import Stopping
from redsched.engine.worker.slots import Slots
from redsched.model.errors import StoreError
from redsched.settings import Settings
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Claimed

log = logging.getLogger("redsched.worker")
MOST_CLAIMED = 250  # tasks of one call
MOST_UNTOLD = 500  # ends that wait to be told; where the process is lost, their tasks run again
IDLE = 30.0
IDLE_BURST = 0.1  # seconds between looks whether a burst is over


class Trips:
    """The loop ``claim``. It ends when the worker is to stop and holds nothing, or a burst has nothing left."""

    def __init__(
        self,
        client: AsyncClient,
        settings: Settings,
        consumer: str,
        types: Mapping[str, TaskType],
        stopping: Stopping,
        *,
        order: ClaimOrder,
        claims: Claims,
        slots: Slots,
        ends: Ends,
        bell: Doorbell,
        burst: bool,
        nudged: asyncio.Event,
        observer: Observer,
    ) -> None:
        """``nudged`` is set by whoever has something for the next round trip."""
        self._client = client
        self._settings = settings
        self._consumer = consumer
        self._types = types
        self._stopping = stopping
        self._order = order
        self._claims = claims
        self._slots = slots
        self._ends = ends
        self._bell = bell
        self._burst = burst
        self._ahead = Ahead(settings.prefetch)
        self._claim: Call[Claimed] | None = None  # a claim without an answer is repeated as it was
        self._claim_made = 0.0
        self.loop = Loop("claim", self.step, observer=observer, log=log, nudged=nudged)

    async def step(self) -> float | None:
        """A round trip; answers the seconds to wait for the next one, None at the end. If Redis refuses a claim,
        others follow at once."""
        try:
            return await self._trip()
        except StoreError as error:
            if self._claim is None or error.verb != "claim" or not is_its_own(error):
                raise
            self._claim = None
            self._order.refused(error)
            return 0.0

    async def _trip(self) -> float | None:
        self._ahead.follow(self._slots.ended, time.monotonic())
        self._slots.tell()
        self._slots.open()
        if self._ends.has_batch():
            claimed = await self._ends.tell(self._next_claim)
            if claimed is not None:
                self._claimed(claimed)
        elif (claim := self._next_claim()) is not None:
            self._claimed(await self._client.transport.send(claim))
        elif not self._claims.held and (self._stopping.is_asked or (self._burst and await self._nothing_due())):
            return None
        ended = self._stopping.is_asked and not self._claims.held
        if self._ends or ended or self._next_claim() is not None:
            await asyncio.sleep(0)
            return 0.0
        if self._order.is_exhausted and not self._stopping.is_asked and self._slots.room(self._ahead.tasks) > 0:
            self._bell.listen()
        return IDLE_BURST if self._burst else IDLE

    def _next_claim(self) -> Call[Claimed] | None:
        """The claim to send now: the one without an answer, or a new one where there is room and may be work."""
        if self._claim is not None:
            return self._claim
        room = self._room_worth_a_call()
        if room <= 0 or (asked := self._order.ask()) is None:
            return None
        queues, bells = asked
        self._claim_made = elapsed()
        self._claim = protocol.claim(
            queues,
            consumer=self._consumer,
            count=min(room, MOST_CLAIMED),
            lease_ms=self._settings.lease_ms,
            bells=bells,
        )
        return self._claim

    def _room_worth_a_call(self) -> int:
        """How many tasks to claim now; none while all that is to be held ahead is there, or too many ends wait.

        A worker that stops claims only what its bell was given, to hand it back.
        """
        if self._stopping.is_asked:
            return 1 if self._order.bells else 0
        ahead = self._ahead.tasks
        room = self._slots.room(ahead)
        if len(self._claims.waiting) - self._slots.unfilled > ahead and room < self._settings.concurrency + ahead:
            return 0
        return min(room, MOST_UNTOLD - len(self._ends))

    def _claimed(self, claimed: Claimed) -> None:
        self._claim = None
        self._slots.clock_offset = claimed.now - elapsed() * 1_000
        # so busy that more has come meanwhile
        self._order.answered(more=claimed.more or len(claimed.tasks) >= self._settings.concurrency)
        for started in claimed.tasks:
            if self._stopping.is_asked:
                self._ends.append(returned(started))
            elif started.type in self._types:
                # from its first sending: a claim that had to be repeated may have begun its lease long ago
                self._claims.take(started, sent=self._claim_made, server_ms=claimed.now)
            else:
                self._ends.append(returned(started, "unhandled"))
                log.warning("task.unhandled", extra=about(started))
        self._slots.open()

    async def _nothing_due(self) -> bool:
        found = await self._client.stats(list(self._settings.queues))
        return all(queue.ready == 0 and queue.running == 0 and queue.oldest_due_age_ms is None for queue in found)
