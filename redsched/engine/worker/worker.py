"""Worker: the actors that run the tasks of some queues. It loses nothing: what it cannot finish it hands back, what it
cannot hand back its lease gives away.

| actor | does | loop |
|---|---|---|
| Joining | makes the groups; tells what the last worker could not | join, late |
| Trips | settles what has ended and claims what fits, one round trip a batch | claim |
| ClaimOrder | says which queues the next claim asks | - |
| Doorbell | waits for work with one blocking read while there is none | - |
| Claims | holds what was claimed, and lets go of what has not begun | - |
| Leases | renews what is held, and stops what is another worker's | renew, lease |
| Slots | run what is held, with the Runner | - |
| Ends | keep how runs ended until Redis has been told | - |
| Shutdown | hands back, waits and stops at the end | - |

They share a Stopping (whether the worker is to end) and the event that begins the next round trip.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

from redsched.client import AsyncClient
from redsched.engine.app import App
from redsched.engine.isolation import Refusals
from redsched.engine.loop import cancelled
from redsched.engine.mover import Mover
from redsched.engine.observer import Observer, Silent
from redsched.engine.watchdog import Watchdog
from redsched.engine.worker.claim_order import ClaimOrder
from redsched.engine.worker.claims import Claims
from redsched.engine.worker.doorbell import Doorbell
from redsched.engine.worker.ends import Ends
from redsched.engine.worker.joining import Joining
from redsched.engine.worker.leases import Leases
from redsched.engine.worker.run_metrics import RunMetrics
from redsched.engine.worker.runner import Runner
from redsched.engine.worker.shutdown import Shutdown, Stopping
from redsched.engine.worker.slots import Slots
from redsched.engine.worker.spool import Spool
from redsched.engine.worker.trips import Trips
from redsched.eventloop import own_task
from redsched.settings import Settings
from redsched.wire.ids import nonce
from redsched.wire.keys import queue_keys

log = logging.getLogger("redsched.worker")


class Worker:
    """Runs the tasks of ``settings.queues`` with the handlers of ``app``; contains a mover unless told otherwise.

    ``burst`` ends it as soon as nothing of its queues is due, ready or running.
    """

    def __init__(
        self,
        app: App,
        settings: Settings,
        *,
        burst: bool = False,
        mover: bool = True,
        schedules: bool = True,
        observer: Observer | None = None,
        client: AsyncClient | None = None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.consumer = f"{socket.gethostname()[:60]}-{os.getpid()}-{nonce()[:8]}"
        self.stragglers = 0  # threads that were still running when the worker ended
        self._burst = burst
        self._with_mover = mover
        self._schedules = app.schedules if schedules else ()
        self._observer: Observer = observer or Silent()
        self._own_client = client is None
        self._client = client or AsyncClient(settings=settings, name="worker")
        self._stopping = Stopping()
        self._nudged = asyncio.Event()  # begins the next round trip
        self._spool = Spool(settings)

    def stop(self) -> None:
        """Finish or hand back what runs, then end; a second call does not wait for what runs."""
        self._stopping.ask()
        self._nudged.set()

    async def run(self) -> int:
        """Work until ``stop``; answers 0, or 1 where something broke that never should (it is logged)."""
        client, settings, observer, nudge = self._client, self.settings, self._observer, self._nudged.set
        queues = [queue_keys(client.cell, queue) for queue in settings.queues]
        refusals = Refusals("claim", observer, log)
        ends = Ends(client, nudge)
        claims = Claims(settings.lease_ms / 1_000, ends.add)
        leases = Leases(client, claims, settings.lease_ms, observer=observer)
        runner = Runner(settings.concurrency, client, nudge)
        slots = Slots(
            self.app.tasks,
            claims,
            leases,
            runner,
            RunMetrics(observer),
            most=settings.concurrency,
            end=ends.add,
            nudge=nudge,
        )
        order = ClaimOrder(queues, refusals, nudge)
        bell = Doorbell(client, queues, self.consumer, order.rung, refusals)
        self._trips = Trips(
            client,
            settings,
            self.consumer,
            self.app.tasks,
            self._stopping,
            order=order,
            claims=claims,
            slots=slots,
            ends=ends,
            bell=bell,
            burst=self._burst,
            nudged=self._nudged,
            observer=observer,
        )
        shutdown = Shutdown(
            client,
            self.consumer,
            self._stopping,
            order=order,
            claims=claims,
            slots=slots,
            ends=ends,
            spool=self._spool,
            nudge=nudge,
        )
        mover = Mover(settings, client=client, observer=observer, at_home=settings.queues)
        await Joining(client, queues, refusals, self._schedules, self._spool, self._stopping, observer).run()
        told = {"consumer": self.consumer, "queues": ",".join(settings.queues), "types": len(self.app.tasks)}
        log.info("worker.started", extra=told | {"concurrency": settings.concurrency})
        background = [own_task(loop.run()) for loop in leases.loops]
        if self._with_mover:
            background.append(own_task(mover.run()))
        trips = own_task(self._trips.loop.run())
        try:
            with Watchdog(max(5.0, settings.lease_ms / 3_000)):
                await self._first_of((slots.broken, trips, *background))
                await bell.close()
                await shutdown.run(trips)
        except Exception:
            log.critical("worker.failed", extra={"consumer": self.consumer}, exc_info=True)
            return 1
        finally:
            mover.stop()
            await bell.close()
            await leases.close()
            runner.close()
            self.stragglers = await cancelled((*background, trips, *slots.tasks)) + len(runner.stragglers)
            if self._own_client:
                await client.close()
        log.info("worker.stopped", extra={"consumer": self.consumer})
        return 0

    async def _first_of(self, parts: Sequence[asyncio.Future[Any]]) -> None:
        """Until the worker is told to stop, or its own loop ends (burst), or one of its loops breaks."""
        stopping = own_task(self._stopping.wait())
        try:
            await asyncio.wait((stopping, *parts), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        for part in parts:
            if part.done():
                part.result()
