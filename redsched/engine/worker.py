"""Worker: claims, runs, settles, renews. While it is busy, one round trip does it all; while it is idle, one blocking
read is its bell. It loses nothing: what it cannot finish it hands back, what it cannot hand back its lease gives away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from redsched.client import AsyncClient
from redsched.engine.app import App
from redsched.engine.app_schedules import put_schedules
from redsched.engine.claims import Claims
from redsched.engine.doorbell import Doorbell, join
from redsched.engine.elapsed import elapsed
from redsched.engine.held import Why, about, returned
from redsched.engine.isolation import Refusals, is_its_own
from redsched.engine.leases import Leases
from redsched.engine.loop import Loop, cancelled
from redsched.engine.mover import Mover
from redsched.engine.observer import Observer, Silent
from redsched.engine.run_metrics import RunMetrics
from redsched.engine.runner import Runner
from redsched.engine.settlements import Settlements, tell_some
from redsched.engine.slots import Slots
from redsched.engine.spool import Spool
from redsched.engine.watchdog import Watchdog
from redsched.eventloop import own_task
from redsched.model.errors import RedschedError, StoreError
from redsched.settings import Settings
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Bell, Claimed, Settlement
from redsched.wire.ids import nonce
from redsched.wire.keys import QueueKeys, queue_keys

log = logging.getLogger("redsched.worker")
QUEUES_A_CALL = 16
AHEAD, MOST_CLAIMED = 0.05, 250  # seconds of work that a busy worker holds beside what runs; tasks that one call claims
LAST_WORDS = 2.0  # seconds in which what was stopped at the end of the grace is handed back


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
        keys = [queue_keys(self._client.cell, queue) for queue in settings.queues]
        self._keys = keys
        self._chunks = [keys[at : at + QUEUES_A_CALL] for at in range(0, len(keys), QUEUES_A_CALL)]
        self._claims = Claims(settings.lease_ms / 1_000, self._end)
        self._leases = Leases(self._client, self._claims, settings.lease_ms, observer=self._observer)
        self._ends = Settlements(self._client)
        self._names: dict[str, str] = {}
        self._claim: Call[Claimed] | None = None  # a claim without an answer is repeated as it was
        self._claim_made = 0.0
        self._refusals = Refusals("claim", self._observer, log)  # queues that Redis refuses
        self._asked: list[QueueKeys] = []  # of the claim that is out
        self._alone: list[QueueKeys] = []  # asked one by one, since a claim of several was refused
        self._bells: list[Bell] = []
        self._looking = 0  # the chunk that is claimed from next
        self._short = 0  # chunks in a row that had nothing more
        self._ahead = 0  # how many tasks to hold beside those that run; follows the rate
        self._window = 0.0
        self._stopping = asyncio.Event()
        self._trips = Loop("claim", self._step, observer=self._observer, log=log)
        self._at_once = False
        self._run_metrics = RunMetrics(self._observer)
        self._spool = Spool(settings)

    def stop(self) -> None:
        """Finish or hand back what runs, then end; a second call does not wait for what runs."""
        self._at_once = self._stopping.is_set()
        self._stopping.set()
        self._trips.nudge()

    async def run(self) -> int:
        """Work until ``stop``; answers 0, or 1 where something broke that never should (it is logged)."""
        self._runner = Runner(self.settings.concurrency, self._client, self._trips.nudge)
        self._slots = Slots(
            self.app.tasks,
            self._claims,
            self._leases,
            self._runner,
            self._run_metrics,
            most=self.settings.concurrency,
            end=self._end,
            nudge=self._trips.nudge,
        )
        self._bell = Doorbell(self._client, self._keys, self.consumer, self._rung, self._refusals)
        mover = Mover(self.settings, client=self._client, observer=self._observer, at_home=self.settings.queues)
        await self._join()
        await self._tell_late()
        told = {"consumer": self.consumer, "queues": ",".join(self.settings.queues), "types": len(self.app.tasks)}
        log.info("worker.started", extra=told | {"concurrency": self.settings.concurrency})
        background = [own_task(loop.run()) for loop in self._leases.loops]
        if self._with_mover:
            background.append(own_task(mover.run()))
        trips = own_task(self._trips.run())
        try:
            with Watchdog(max(5.0, self.settings.lease_ms / 3_000)):
                await self._first_of(trips, background)
                await self._shut_down(trips)
        except Exception:
            log.critical("worker.failed", extra={"consumer": self.consumer}, exc_info=True)
            return 1
        finally:
            mover.stop()
            await self._bell.close()
            await self._leases.close()
            self._runner.close()
            self.stragglers = await cancelled((*background, trips, *self._slots.tasks)) + len(self._runner.stragglers)
            if self._own_client:
                await self._client.close()
        log.info("worker.stopped", extra={"consumer": self.consumer})
        return 0

    async def _first_of(self, trips: asyncio.Task[None], background: Sequence[asyncio.Task[None]]) -> None:
        """Until the worker is told to stop, or its own loop ends (burst), or one of its loops breaks."""
        stopping = own_task(self._stopping.wait())
        parts: list[asyncio.Future[Any]] = [self._slots.broken, trips, *background]
        try:
            await asyncio.wait((stopping, *parts), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        for part in parts:
            if part.done():
                part.result()

    async def _join(self) -> None:
        """Make the groups, however long Redis stays away."""
        await Loop("join", self._join_once, observer=self._observer, log=log).run()

    async def _tell_late(self) -> None:
        """What this machine's last worker could not tell before it ended."""
        late = Settlements(self._client)
        late.extend(self._spool.take())
        await Loop("late", partial(tell_some, late, self._stopping), observer=self._observer, log=log).run()
        self._spool.keep(late.left())
        self._spool.told()

    async def _join_once(self) -> None:
        if not self._stopping.is_set():
            await join(self._client, self._keys, self._refusals)
            await put_schedules(self._client, self._schedules)
            await self._spool.identify(self._client)

    # one round trip: settle what ended, claim what fits

    async def _step(self) -> float | None:
        """A round trip; where Redis refuses the claim, its queues are asked one by one, and who is refused so later."""
        try:
            return await self._trip()
        except StoreError as error:
            if self._claim is None or error.verb != "claim" or not is_its_own(error):
                raise
            self._claim = None
            if len(self._asked) == 1:
                self._refusals.refuse(self._asked[0].queue, error)
            else:
                self._alone += self._asked
            return 0.0

    async def _trip(self) -> float | None:
        self._measure()
        self._slots.open()
        if self._ends.batch():
            words, claimed = await self._ends.tell(self._next_claim)
            if words:
                self._settled(words)
            if claimed is not None:
                self._claimed(claimed)
        elif (claim := self._next_claim()) is not None:
            self._claimed(await self._client.transport.send(claim))
        elif not self._claims.held and (self._stopping.is_set() or (self._burst and await self._nothing_due())):
            return None
        ended = self._stopping.is_set() and not self._claims.held
        if self._ends or ended or self._next_claim() is not None:
            await asyncio.sleep(0)
            return 0.0
        if self._room() > 0 and self._short >= len(self._chunks) and not self._stopping.is_set():
            self._bell.listen()
        return 0.1 if self._burst else 30.0

    def _room(self) -> int:
        return self.settings.concurrency + self._ahead - len(self._claims.held) - len(self._runner.stragglers)

    def _next_claim(self) -> Call[Claimed] | None:
        """The claim to send now: the one without an answer, or a new one where there is room and may be work.

        A worker that stops sends one only for what its bell was given, to hand it back.
        """
        if self._claim is not None:
            return self._claim
        room = self._room()
        full = self.settings.concurrency + self._ahead
        if self._stopping.is_set():
            room = 1
            if not self._bells:
                return None
        elif room <= 0 or (len(self._claims.waiting) - self._slots.unfilled > self._ahead and room < full):
            return None  # not worth a call yet: all that is to be held ahead is there
        if self._bells:
            names = {bell.queue for bell in self._bells}
            self._looking = next(
                (at for at, chunk in enumerate(self._chunks) if any(keys.queue in names for keys in chunk)), 0
            )
        elif self._short >= len(self._chunks):
            return None  # nothing there; the bell will tell
        chunk = self._queues_to_ask()
        if not chunk:
            return None
        own = {keys.queue for keys in chunk}
        bells = [bell for bell in self._bells if bell.queue in own]
        self._bells = [bell for bell in self._bells if bell.queue not in own]
        self._claim_made = elapsed()
        self._claim = protocol.claim(
            chunk, consumer=self.consumer, count=min(room, MOST_CLAIMED), lease_ms=self.settings.lease_ms, bells=bells
        )
        return self._claim

    def _queues_to_ask(self) -> list[QueueKeys]:
        """Those of the chunk whose turn it is, or one by itself that Redis refused with others or a while ago; none:
        it refuses them all."""
        chunk, refused = self._chunks[self._looking], self._refusals.until
        if refused:
            if not self._alone:
                self._alone = [keys for keys in chunk if keys.queue in refused and not self._refusals.waits(keys.queue)]
            chunk = [keys for keys in chunk if keys.queue not in refused]
        self._asked = [self._alone.pop()] if self._alone else chunk
        if not self._asked:
            self._next_turn()
        return self._asked

    def _next_turn(self) -> None:
        self._short += 1
        self._looking = (self._looking + 1) % len(self._chunks)

    def _claimed(self, claimed: Claimed) -> None:
        self._claim = None
        if len(self._asked) == 1:
            self._refusals.accept(self._asked[0].queue)
        self._slots.clock_offset = claimed.now - elapsed() * 1_000
        if self._alone or claimed.more or len(claimed.tasks) >= self.settings.concurrency:
            self._short = 0  # so busy that more has come meanwhile, or not all were asked
        else:
            self._next_turn()
        for started in claimed.tasks:
            if self._stopping.is_set():
                self._ends.append(returned(started))
            elif started.type in self.app.tasks:
                # from its first sending: a claim that had to be repeated may have begun its lease long ago
                self._claims.take(started, sent=self._claim_made, server_ms=claimed.now)
            else:
                self._ends.append(returned(started, "unhandled"))
                log.warning("task.unhandled", extra=about(started))
        self._slots.open()

    def _end(self, end: Settlement, name: str) -> None:
        """Tell Redis of an end with the next round trip."""
        self._ends.append(end)
        if name != "completed":
            self._names[end.token + end.task_id] = name
        self._trips.nudge()

    def _rung(self, bells: list[Bell]) -> None:
        """The blocking read ended: with entries, or because its time was up."""
        self._bells += bells
        self._short = 0
        self._trips.nudge()

    def _settled(self, words: Sequence[str]) -> None:
        for end, word in zip(self._ends.answered(), words, strict=True):
            name = self._names.pop(end.token + end.task_id, end.outcome)
            if word == "completed":
                continue
            told = {"queue": end.queue, "task_id": end.task_id, "token": end.token, "state": word}
            if word == "lost":
                log.warning("task.lost", extra=told)
            elif word == "dead":
                log.error("task.dead", extra=told | {"outcome": name, "error": end.kind})
            elif end.outcome == "retry":
                log.warning("task.retried", extra=told | {"outcome": name, "error": end.kind})
            else:
                log.info(f"task.{name}", extra=told)

    async def _nothing_due(self) -> bool:
        found = await self._client.stats(list(self.settings.queues))
        return all(queue.ready == 0 and queue.running == 0 and queue.oldest_due_age_ms is None for queue in found)

    def _measure(self) -> None:
        """Adapt how much is held ahead to the rate, and tell the observer in batches."""
        now = time.monotonic()
        passed = now - self._window
        if passed > 0.02:
            rate = self._slots.ended / passed
            self._ahead = min(int(rate * AHEAD), self.settings.prefetch) if rate * AHEAD > 1 else 0
            self._slots.ended, self._window = 0, now
        self._run_metrics.tell()
        self._observer.slots(self.settings.concurrency, len(self._slots.tasks))

    # the end

    async def _shut_down(self, trips: asyncio.Task[None]) -> None:
        """Hand back what has not begun, let the rest finish within the grace, then hand that back, too."""
        await self._bell.close()
        if not trips.done():  # a burst has nothing left
            await self._drain()
            self._trips.nudge()
            await asyncio.wait((trips,), timeout=LAST_WORDS)
        if trips.done():
            trips.result()
        self._spool.keep([end for end in self._ends.left() if end.outcome != "return"])
        with contextlib.suppress(TimeoutError, RedschedError):
            async with asyncio.timeout(1.0):
                for chunk in self._chunks:
                    await self._client.transport.send(protocol.leave(chunk, self.consumer))

    async def _drain(self) -> None:
        log.info("worker.draining", extra={"running": len(self._slots.tasks), "buffered": len(self._claims.waiting)})
        self._claims.give_back_all()
        self._trips.nudge()
        grace = time.monotonic() + self.settings.shutdown_grace_ms / 1_000
        while self._claims.held and not self._at_once and time.monotonic() < grace:
            slots = self._slots.tasks
            await asyncio.wait(slots, timeout=0.05) if slots else await asyncio.sleep(0.01)
        for held in list(self._claims.held.values()):
            held.stop(Why.SHUTDOWN)
