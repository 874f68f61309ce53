"""Mover: the actors that keep time for the queues of a cell, and their loops. Any number may run; the scripts are the
only lock.

| actor | does | loop |
|---|---|---|
| Promotions | makes due tasks ready by its timers; has ended leases taken back | promote |
| Inboxes | makes tasks of what producers have appended | ingest |
| Schedules | fires recurring schedules | fire |
| Wakeups | carries out the agenda: holds, large events, ends of pauses | attend |
| Sweeps | removes what is past its retention | sweep |
| Discovery | finds queues, and tasks that are ready and nowhere | scan |
| Tracking | is told of writes, and wakes the others | - |

They share a Standing (whether this mover acts, the server's clock) and the queues that are known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.mover.discovery import Discovery
from redsched.engine.mover.firing import Schedules
from redsched.engine.mover.inbox import Inboxes
from redsched.engine.mover.known_queues import KnownQueues
from redsched.engine.mover.promotions import Promotions
from redsched.engine.mover.standing import Standing
from redsched.engine.mover.sweeps import Sweeps
from redsched.engine.mover.tracking import Tracking
from redsched.engine.mover.wakeups import Wakeups
from redsched.engine.observer import Observer, Silent
from redsched.eventloop import own_task
from redsched.settings import Settings

log = logging.getLogger("redsched.mover")


class Mover:
    """Keeps time for the queues of a cell: those it is given, those it is told of, those it finds."""

    def __init__(
        self,
        settings: Settings,
        *,
        client: AsyncClient | None = None,
        observer: Observer | None = None,
        at_home: Sequence[str] = (),
    ) -> None:
        self._own_client = client is None
        self._client = client = client or AsyncClient(settings=settings, name="mover")
        observer = observer or Silent()
        self.standing = standing = Standing()
        self.queues = queues = KnownQueues(client.cell, at_home)
        self.promotions = promotions = Promotions(client, queues, standing, observer)
        inboxes = Inboxes(client, queues, standing, observer)
        schedules = Schedules(client, standing, observer)
        wakeups = Wakeups(client, standing, observer)
        sweeps = Sweeps(client, queues, standing, observer)
        self.discovery = discovery = Discovery(client, queues, standing, promotions, inboxes, observer)
        self.tracking = Tracking(
            client,
            queues,
            standing,
            promotions=promotions,
            inboxes=inboxes,
            schedules=schedules,
            wakeups=wakeups,
            discovery=discovery,
        )
        self._loops = [actor.loop for actor in (promotions, sweeps, discovery, inboxes, schedules, wakeups)]
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Work until ``stop`` is called or this is cancelled."""
        log.info("mover.started", extra={"mover": self.standing.name, "namespace": self._client.settings.namespace})
        self._tasks = [own_task(part) for part in (*(loop.run() for loop in self._loops), self.tracking.run())]
        try:
            await asyncio.gather(*self._tasks)
        except asyncio.CancelledError:
            pass
        finally:
            self.stop()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._own_client:
                await self._client.close()

    def stop(self) -> None:
        """End the loops; ``run`` returns once they have ended."""
        for task in self._tasks:
            task.cancel()
