"""Joining: what a worker does before it claims, however long Redis stays away. It makes the consumer groups of its
queues, puts the types and schedules of its application, and tells what this machine's last worker could not.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.app_types import Definitions
from redsched.engine.isolation import Refusals
from redsched.engine.loop import Loop
from redsched.engine.observer import Observer
from redsched.engine.worker.groups import join
from redsched.engine.worker.settlements import Settlements
from redsched.engine.worker.shutdown import Stopping
from redsched.engine.worker.spool import Spool
from redsched.wire.keys import QueueKeys

log = logging.getLogger("redsched.worker")


class Joining:
    """The loops ``join`` and ``late``, one after the other; a worker that is to stop waits for neither."""

    def __init__(
        self,
        client: AsyncClient,
        queues: Sequence[QueueKeys],
        refusals: Refusals,
        definitions: Definitions,
        spool: Spool,
        stopping: Stopping,
        observer: Observer,
    ) -> None:
        self._client = client
        self._queues = queues
        self._refusals = refusals
        self._definitions = definitions
        self._spool = spool
        self._stopping = stopping
        self._late = Settlements(client)
        self._joins = Loop("join", self.join, observer=observer, log=log)
        self._tells = Loop("late", self.tell, observer=observer, log=log)

    async def run(self) -> None:
        """Until all is done."""
        await self._joins.run()
        self._late.extend(self._spool.take())
        await self._tells.run()
        self._spool.keep(self._late.left())
        self._spool.told()

    async def join(self) -> None:
        """Make the groups, and put the types and the schedules."""
        if not self._stopping.is_asked:
            await join(self._client, self._queues, self._refusals)
            await self._definitions.put()
            await self._spool.identify(self._client)

    async def tell(self) -> float | None:
        """Tell Redis some of what the last worker could not; None at the end."""
        if self._stopping.is_asked or not self._late.batch():
            return None
        words, _ = await self._late.tell()
        if words:
            told = self._late.answered(words)
            log.info("answers.told", extra={"n": len(told), "lost": words.count("lost")})
        return 0.0
