"""Discovery: finds the queues that nobody has told this mover of, and forgets those that are gone.

It reads the list of queues once a minute. The acting mover also scans the keys: all of them at its start and whenever
it may have missed writes, then a few steps a minute.
"""

from __future__ import annotations

import logging

from redsched.client import AsyncClient
from redsched.engine.isolation import Refusals
from redsched.engine.loop import Loop
from redsched.engine.mover.epoch import Epoch
from redsched.engine.mover.inbox import Inboxes
from redsched.engine.mover.known_queues import KnownQueues
from redsched.engine.mover.orphans import Orphans
from redsched.engine.mover.promotions import Promotions
from redsched.engine.mover.standing import Standing
from redsched.engine.observer import Observer
from redsched.steps import queues as queue_steps

log = logging.getLogger("redsched.mover")
EVERY = 60.0
SOON = 5.0  # where tasks were found that were ready and nowhere
STEPS = 20  # SCAN calls a minute, once the first pass is done
ANSWERED_S = 1.0  # for which it waits to learn whether this mover acts


class Discovery:
    """The loop ``scan``. What it finds it tells promotions and inboxes."""

    def __init__(
        self,
        client: AsyncClient,
        queues: KnownQueues,
        standing: Standing,
        promotions: Promotions,
        inboxes: Inboxes,
        observer: Observer,
    ) -> None:
        self._client = client
        self._queues = queues
        self._standing = standing
        self._promotions = promotions
        self._inboxes = inboxes
        self._lists = Refusals("queues", observer, log, "key")
        self.epoch = Epoch(client, observer)
        self._orphans = Orphans(client)
        self._cursor = "0"
        self._anew = True  # whether the scan has to begin again
        self._to_the_end = True  # whether it goes on without a pause until it has seen all
        self.loop = Loop("scan", self.step, observer=observer, log=log)
        standing.when_it_takes_over(self.begin_anew)

    def begin_anew(self) -> None:
        """Something may have come that nobody told of: look at all the keys."""
        self._anew = True
        self.loop.nudge()

    async def step(self) -> float:
        """Look around; answers the seconds until the next look."""
        self._client.mode.check_library()
        await self.epoch.look()
        listed = await self._listed()
        if listed and self._standing.armed:  # whoever writes to a queue that is forgotten tells of it
            self._queues.keep(listed | self._promotions.busy)
        self._learn(listed)
        if self._queues:
            await self._standing.wait_for_answer(ANSWERED_S)
        return await self._scan() if self._standing.acting else EVERY

    async def _listed(self) -> set[str]:
        """The queues that are listed; none where the list cannot be read: a scan finds them as well."""
        return set(await self._lists.answer(self._client.cell_keys.queues, self._client.queues()) or ())

    async def _scan(self) -> float:
        while True:
            if self._anew:
                self._anew, self._to_the_end, self._cursor = False, True, "0"
            steps = queue_steps.scan_due(self._client.cell_keys, self._cursor, STEPS)
            self._cursor, found, inboxes = await self._client.transport.steps("scan", steps)
            self._learn(found)
            self._inboxes.written(inboxes)
            if self._cursor == "0":
                self._to_the_end = False
            if not self._to_the_end and not self._anew:
                stranded = self._standing.acting and await self._orphans.step()
                return SOON if stranded else EVERY

    def _learn(self, queues: set[str]) -> None:
        if new := self._queues.learn(queues):
            self._promotions.written(new)
