"""Mover: makes due tasks ready, takes back ended leases, sweeps. Any number may run; the scripts are the only lock.

It sleeps on its own timer to the next due time and is woken by CLIENT TRACKING when anybody writes a due set. One
mover acts
(a saving, no correctness rests on it); the others wake a little after each due time, so that nothing waits for a
dead one.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.loop import Loop
from redsched.engine.observer import Observer, Silent
from redsched.settings import Settings
from redsched.wire import install as installing
from redsched.wire import protocol
from redsched.wire.codec import is_name, text_of
from redsched.wire.ids import nonce
from redsched.wire.keys import QueueKeys, queue_keys
from redsched.wire.protocol import Moved
from redsched.wire.replies import Refused, Unanswered, Unreached

log = logging.getLogger("redsched.mover")
QUEUES_A_CALL = 16
BATCH = 250  # ids one promote moves at most
CAP = 1.0  # seconds: no timer sleeps longer
CAP_BLIND = 0.1  # without tracking
DEBOUNCE = 0.003  # seconds between calls that follow wake-ups
STANDBY = 0.15  # seconds after a due time at which a mover that does not act looks
JUMP = 2.0  # seconds by which the server's clock may leave ours before leases are not trusted
SWEEP_EVERY = 10.0
SCAN_EVERY = 60.0
SCAN_STEPS = 20  # SCAN calls a minute, once the first pass is done


class Mover:
    """Keeps time for the queues of a cell: those it is given, those it is told of, those it finds."""

    def __init__(
        self, settings: Settings, *, client: AsyncClient | None = None, observer: Observer | None = None,
        at_home: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._own_client = client is None
        self._client = client or AsyncClient(settings=settings, name="mover")
        self._observer: Observer = observer or Silent()
        self._name = nonce()
        self._lease = settings.lease_ms / 1_000
        self._at_home = [queue_keys(self._client.cell, queue) for queue in at_home]
        self._known: dict[str, QueueKeys] = {keys.queue: keys for keys in self._at_home}
        self._wake: dict[str, float] = {}  # when each queue is looked at next, monotonic
        self._heap: list[tuple[float, str]] = []
        self._told: set[str] = set()  # queues whose due set somebody wrote
        self._round: list[str] = []  # queues left of the round that looks at every one
        self.armed = False  # whether tracking wakes us
        self.polls = 0  # promote calls made, for whoever measures
        self._acting = True
        self._last_call = 0.0
        self._next_cap = 0.0
        self._offset: float | None = None  # server seconds less monotonic seconds
        self._reap_after = 0.0
        self._scan = "0"
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Until ``stop`` or cancelled."""
        self._moves = Loop("promote", self._move, observer=self._observer, log=log)
        sweeps = Loop("sweep", self._sweep, observer=self._observer, log=log)
        scans = Loop("scan", self._look_around, observer=self._observer, log=log)
        log.info("mover.started", extra={"mover": self._name, "namespace": self._client.settings.namespace})
        parts = (self._moves.run(), sweeps.run(), scans.run(), self._watch())
        self._tasks = [asyncio.create_task(part) for part in parts]
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
        """End."""
        for task in self._tasks:
            task.cancel()

    # due times

    async def _move(self) -> float:
        """Look at the queues whose time has come; answers the seconds until the next one's."""
        now = time.monotonic()
        if self._told and now - self._last_call < DEBOUNCE:
            return self._last_call + DEBOUNCE - now
        wanted = self._due_queues(now)
        if wanted:
            await self._promote(wanted)
            return 0.0
        wait = min(self._next_cap, self._heap[0][0] if self._heap else now + CAP) - time.monotonic()
        return max(wait, 0.0)

    def _due_queues(self, now: float) -> list[QueueKeys]:
        """Up to 16 queues: told of first, then by their times, then in turn so that each is seen now and then."""
        found: dict[str, None] = {}
        if self._acting:
            while self._told and len(found) < QUEUES_A_CALL:
                found[self._told.pop()] = None
        else:
            self._told.clear()
        while self._heap and self._heap[0][0] <= now and len(found) < QUEUES_A_CALL:
            at, queue = heapq.heappop(self._heap)
            if self._wake.get(queue) == at:
                del self._wake[queue]
                found[queue] = None
        if now >= self._next_cap:
            self._next_cap = now + (CAP if self.armed else CAP_BLIND)
            for home in self._at_home[:QUEUES_A_CALL]:
                found[home.queue] = None
            self._round = self._round or list(self._known)
            while self._round and len(found) < QUEUES_A_CALL:
                found[self._round.pop()] = None
        return [keys for queue in list(found)[:QUEUES_A_CALL] if (keys := self._key(queue)) is not None]

    def _key(self, queue: str) -> QueueKeys | None:
        keys = self._known.get(queue)
        if keys is None and is_name(queue):
            keys = self._known[queue] = queue_keys(self._client.cell, queue)
        return keys

    async def _promote(self, queues: list[QueueKeys]) -> None:
        self._last_call = before = time.monotonic()
        self.polls += 1
        try:
            promoted = await self._client.transport.send(protocol.promote(queues, mover=self._name, limit=BATCH))
        except BaseException:
            self._told.update(keys.queue for keys in queues)  # not looked at: look again
            raise
        now = time.monotonic()
        self._watch_clock(promoted.now / 1_000, (before + now) / 2)
        if self._acting != promoted.acting:
            self._acting = promoted.acting
            log.debug("mover.acting" if self._acting else "mover.standby", extra={"mover": self._name})
        overdue: list[QueueKeys] = []
        for moved in promoted.queues:
            if moved.moved:
                self._observer.promoted(moved.queue, moved.moved)
            self._set_timer(moved, now)
            if moved.next_lease is not None and self._to_local(moved.next_lease) <= now >= self._reap_after:
                overdue.append(self._known[moved.queue])
        if overdue:
            await self._reap(overdue)

    def _set_timer(self, moved: Moved, now: float) -> None:
        times = [CAP * 60 + now]
        if moved.next_due is not None:
            times.append(self._to_local(moved.next_due) + (0.0 if self._acting else STANDBY))
        if moved.next_lease is not None:
            times.append(max(self._to_local(moved.next_lease) + 0.001, self._reap_after))
        at = min(times)
        if moved.moved >= BATCH:
            at = now
        self._wake[moved.queue] = at
        heapq.heappush(self._heap, (at, moved.queue))
        if len(self._heap) > 64 + 4 * len(self._wake):
            self._heap = [(at, queue) for queue, at in self._wake.items()]
            heapq.heapify(self._heap)

    def _to_local(self, milliseconds: int) -> float:
        return milliseconds / 1_000 - (self._offset or 0.0)

    def _watch_clock(self, server: float, local: float) -> None:
        """After a jump of the server's clock no lease is taken back for one lease: all of them may seem to have
        ended."""
        offset = server - local
        if self._offset is not None and abs(offset - self._offset) > JUMP:
            self._reap_after = time.monotonic() + self._lease
            log.warning("clock.jumped", extra={"seconds": round(offset - self._offset, 3)})
        self._offset = offset

    async def _reap(self, queues: list[QueueKeys]) -> None:
        reaped = await self._client.transport.send(protocol.reap(queues, limit=BATCH))
        now = time.monotonic()
        for moved in reaped.queues:
            if moved.moved:
                log.warning("tasks.reaped", extra={"queue": moved.queue, "n": moved.moved})
                self._told.add(moved.queue)  # they are due again: learn when
            elif moved.next_lease is not None:
                at = max(self._to_local(moved.next_lease) + 0.001, self._reap_after)
                if at < self._wake.get(moved.queue, now + CAP * 60):
                    self._wake[moved.queue] = at
                    heapq.heappush(self._heap, (at, moved.queue))

    # wake-ups

    async def _watch(self) -> None:
        """Keep the tracking connection armed; without it, the timer's cap is short."""
        pause, told = 0.1, False
        while True:
            try:
                await self._client.transport.watch(self._client.cell_keys.due_prefix, self._changed)
            except Refused as refused:
                if not told:
                    told = True
                    log.warning("mover.blind", extra={"error": str(refused)})
                pause = 60.0
            except (Unreached, Unanswered) as trouble:
                log.debug("tracking.ended", extra={"error": str(trouble)})
                pause = 0.1 if self.armed else min(pause * 2, 2.0)
            self.armed = False
            self._next_cap = 0.0
            self._moves.nudge()
            await asyncio.sleep(pause)

    def _changed(self, keys: list[bytes] | None) -> None:
        if keys is None:  # armed: look at everything once, something may have come before
            self.armed = True
            self._told.update(self._known)
            self._scan = "0"
        else:
            for key in keys:
                queue = self._client.cell_keys.queue_of(text_of(key))
                if queue is not None:
                    self._told.add(queue)
        if self._acting or keys is None:
            self._moves.nudge()

    # housekeeping

    async def _look_around(self) -> float:
        """Find the due sets that exist: all of them at the start, then a few steps a minute."""
        first = not self._known or self._scan == "0"
        self._known.update({q: queue_keys(self._client.cell, q) for q in await self._client.queues() if is_name(q)})
        while True:
            self._scan, found = await self._client.transport.steps(
                "scan", installing.scan_due(self._client.cell_keys, self._scan, SCAN_STEPS)
            )
            new = found - self._known.keys()
            for queue in new:
                self._key(queue)
            if new or first:
                self._told.update(new if not first else self._known)
                self._moves.nudge()
            if not first or self._scan == "0":
                return SCAN_EVERY
            first = first and self._scan != "0"

    async def _sweep(self) -> float:
        """Remove what is past its retention, in small calls."""
        more = False
        known = list(self._known.values())
        for at in range(0, len(known), QUEUES_A_CALL):
            swept = await self._client.transport.send(protocol.sweep(known[at : at + QUEUES_A_CALL]))
            more = more or swept.more
            await asyncio.sleep(0)
        return 0.05 if more else SWEEP_EVERY
