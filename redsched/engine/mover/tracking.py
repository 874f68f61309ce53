"""Tracking: the connection on which Redis tells this mover of writes, and who of its actors hears of which.

Where Redis cannot tell, or these credentials may not ask for it, the actors look by themselves, and more often.
"""

from __future__ import annotations

import asyncio
import logging

from redsched.client import AsyncClient
from redsched.client.aio.tracking import watch
from redsched.engine.mover.discovery import Discovery
from redsched.engine.mover.firing import Schedules
from redsched.engine.mover.inbox import Inboxes
from redsched.engine.mover.known_queues import KnownQueues
from redsched.engine.mover.promotions import Promotions
from redsched.engine.mover.standing import Standing
from redsched.engine.mover.wakeups import Wakeups
from redsched.wire.codec import text_of
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

log = logging.getLogger("redsched.mover")
FIRST_PAUSE = 0.1  # seconds before a lost connection is made again; doubles up to LONGEST_PAUSE
LONGEST_PAUSE = 2.0
REFUSED = 60.0  # seconds until it is asked for again where Redis refused it


class Tracking:
    """Keeps ``standing.armed`` true."""

    def __init__(
        self,
        client: AsyncClient,
        queues: KnownQueues,
        standing: Standing,
        *,
        promotions: Promotions,
        inboxes: Inboxes,
        schedules: Schedules,
        wakeups: Wakeups,
        discovery: Discovery,
    ) -> None:
        self._client = client
        self._queues = queues
        self._standing = standing
        self._promotions = promotions
        self._inboxes = inboxes
        self._schedules = schedules
        self._wakeups = wakeups
        self._discovery = discovery

    async def run(self) -> None:
        """Until cancelled."""
        pause, told = FIRST_PAUSE, False
        keys = self._client.cell_keys
        prefixes = (keys.due_prefix, keys.inbox_prefix, keys.schedules, keys.calendars, keys.agenda)
        while True:
            try:
                await watch(self._client.transport, prefixes, self.changed)
            except Refused as refused:
                if not told:
                    told = True
                    log.warning("mover.blind", extra={"error": str(refused)})
                pause = REFUSED
            except (Unreached, Unanswered) as trouble:
                log.debug("tracking.ended", extra={"error": str(trouble)})
                pause = FIRST_PAUSE if self._standing.armed else min(pause * 2, LONGEST_PAUSE)
            self._go_blind()
            await asyncio.sleep(pause)

    def changed(self, names: list[bytes] | None) -> None:
        """Somebody wrote these keys. None: it is armed, or all keys are gone; writes may have been missed."""
        if names is None:
            self._look_at_everything()
            return
        keys = self._client.cell_keys
        for name in map(text_of, names):
            if (queue := keys.queue_of(name)) is not None:
                self._promotions.written((queue,))
            elif (queue := keys.inbox_of(name)) is not None:
                self._inboxes.written((queue,))
            elif name in (keys.schedules, keys.calendars):
                self._schedules.loop.nudge()
            elif name == keys.agenda:
                self._wakeups.written()

    def _look_at_everything(self) -> None:
        self._standing.armed = True
        self._promotions.written(self._queues)
        self._inboxes.written(self._queues)
        self._schedules.loop.nudge()
        self._wakeups.loop.nudge()
        self._discovery.begin_anew()

    def _go_blind(self) -> None:
        """The actors have to look by themselves from now on."""
        self._standing.armed = False
        self._promotions.look_now()
        for loop in (self._inboxes.loop, self._schedules.loop, self._wakeups.loop):
            loop.nudge()
