"""Worker: the actors that run the tasks of some queues. It loses nothing: what it cannot finish it hands back, what it
cannot hand back its lease gives away.

| actor | does | loop |
|---|---|---|
| Joining | makes the groups; tells what the last worker could not | join, late |
| Definitions | puts the types and schedules of the application, as long as no newer version rules | types |
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
from redsched.engine.app_types import Definitions
from redsched.engine.ending import kind_of
from redsched.engine.isolation import Refusals
from redsched.engine.lifespan import Lifespan
from redsched.engine.loop import cancelled
from redsched.engine.mover import Mover
from redsched.engine.observer import Observer, Silent
from redsched.engine.shared import Shared
from redsched.engine.watchdog import Watchdog
from redsched.engine.worker.claim_order import ClaimOrder
from redsched.engine.worker.claims import Claims
from redsched.engine.worker.doorbell import Doorbell
from redsched.engine.worker.ends import Ends
from redsched.engine.worker.joining import Joining
from redsched.engine.worker.leases import Leases
from redsched.engine.worker.run_metrics import RunMetrics
from redsched.engine.worker.runner import Runner
from redsched.engine.worker.served import tell_unserved
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
        self._schedules = schedules
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
        shared = Shared(client)
        runner = Runner(settings.concurrency, shared, nudge, self.app.middlewares)
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
        definitions = Definitions(client, self.app, self.consumer, with_schedules=self._schedules, observer=observer)
        await Joining(client, queues, refusals, definitions, self._spool, self._stopping, observer).run()
        tell_unserved(self.app, settings.queues)
        lifespan = Lifespan(self.app.opens_lifespan, client)
        running: list[asyncio.Task[None]] = []
        code = 0
        try:
            if await self._opened(lifespan, shared):
                told = {"consumer": self.consumer, "queues": ",".join(settings.queues), "types": len(self.app.tasks)}
                log.info("worker.started", extra=told | {"concurrency": settings.concurrency})
                trips = own_task(self._trips.loop.run())
                running += (trips, *(own_task(loop.run()) for loop in (*leases.loops, definitions.loop)))
                if self._with_mover:
                    running.append(own_task(mover.run()))
                parts = (slots.broken, *running, *lifespan.tasks)
                with Watchdog(max(5.0, settings.lease_ms / 3_000)):
                    await self._first_of(parts)
                    await bell.close()
                    await shutdown.run(trips)
            elif not self._stopping.is_asked:
                code = 1
        except Exception:
            log.critical("worker.failed", extra={"consumer": self.consumer}, exc_info=True)
            code = 1
        finally:
            mover.stop()
            await bell.close()
            await leases.close()
            runner.close()
            self.stragglers = await cancelled((*running, *slots.tasks, *runner.batches.tasks)) + len(runner.stragglers)
            if not await self._closed(lifespan):
                code = 1
            await definitions.leave()
            shared.close()
            if self._own_client:
                await client.close()
        if code == 0:
            log.info("worker.stopped", extra={"consumer": self.consumer})
        return code

    async def _opened(self, lifespan: Lifespan, shared: Shared) -> bool:
        """Enter the application's lifespan; False where it failed, or the worker was told to stop meanwhile."""
        entering, stopping = own_task(lifespan.enter()), own_task(self._stopping.wait())
        try:
            await asyncio.wait((entering, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not entering.done():
                return False
            shared.state = entering.result()
        except Exception as error:
            told = {"app": self.app.name, "error": kind_of(error)}
            log.critical("lifespan.failed", extra=told | {"problem": "it did not open, so nothing runs"}, exc_info=True)
            return False
        finally:
            stopping.cancel()
            await cancelled((entering,))
        return True

    async def _closed(self, lifespan: Lifespan) -> bool:
        """Leave the application's lifespan; whether that went well."""
        try:
            await lifespan.leave()
        except Exception as error:
            told = {"app": self.app.name, "error": kind_of(error)}
            log.error("lifespan.failed", extra=told | {"problem": "it did not close"}, exc_info=True)
            return False
        return True

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
