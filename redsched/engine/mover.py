"""Mover: makes due tasks ready, takes back ended leases, sweeps. Any number may run; the scripts are the only lock.

It sleeps on its own timer to the next due time and is woken by CLIENT TRACKING when anybody writes a due set. One
mover acts (a saving, no correctness rests on it); the others wake a little after each due time, so that nothing waits
for a dead one.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.firing import Schedules
from redsched.engine.inbox import Inboxes
from redsched.engine.isolation import Isolation, Refusals, is_its_own
from redsched.engine.loop import Loop
from redsched.engine.observer import Observer, Silent
from redsched.engine.orphans import Orphans
from redsched.engine.sweeps import Sweeps
from redsched.engine.wakeups import Wakeups
from redsched.eventloop import own_task
from redsched.model.errors import StoreError
from redsched.settings import Settings
from redsched.steps import install as installing
from redsched.steps import queues as queue_steps
from redsched.wire import protocol
from redsched.wire.codec import is_name, text_of
from redsched.wire.ids import nonce
from redsched.wire.keys import QueueKeys, queue_keys
from redsched.wire.mover import Moved, Promoted
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

log = logging.getLogger("redsched.mover")
QUEUES_A_CALL = 16
BATCH = 250  # ids one promote moves at most
CAP = 1.0  # seconds: no timer sleeps longer
CAP_BLIND = 0.1  # without tracking
DEBOUNCE = 0.003  # seconds between calls that follow wake-ups
STANDBY = 0.15  # seconds after a due time at which a mover that does not act looks
JUMP = 2.0  # seconds by which the server's clock may leave ours before leases are not trusted
SCAN_EVERY = 60.0
SCAN_SOON = 5.0  # where tasks were found that were ready and nowhere
SCAN_STEPS = 20  # SCAN calls a minute, once the first pass is done


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
        self._client = client or AsyncClient(settings=settings, name="mover")
        self._observer: Observer = observer or Silent()
        self._name = nonce()
        self._lease = settings.lease_ms / 1_000
        self._at_home = [queue_keys(self._client.cell, queue) for queue in at_home]
        self._known: dict[str, QueueKeys] = {keys.queue: keys for keys in self._at_home}
        self._wake: dict[str, float] = {}  # when each queue is looked at next, monotonic
        self._heap: list[tuple[float, str]] = []
        self._told: set[str] = set()  # queues whose due set somebody wrote
        self._missed: set[str] = set()  # the same, while another mover acts
        self._round: list[str] = []  # queues left of the round that looks at every one
        self._home_round: list[str] = []
        self.armed = False  # whether tracking wakes us
        self.polls = 0  # promote calls made, for whoever measures
        self._acting = True
        self._answered = asyncio.Event()  # Redis has told once which mover acts
        self._last_call = 0.0
        self._next_cap = 0.0
        self._offset: float | None = None  # server seconds less monotonic seconds
        self._reap_after = 0.0
        self._scan = "0"
        self._epoch: str | None = None
        self._restart = True  # whether the scan has to begin again
        self._whole = True  # whether it goes on until its end
        self._inboxes = Inboxes(self._client, self._known, self._observer)
        self._orphans = Orphans(self._client)
        self._schedules = Schedules(self._client, self._observer, lambda: self._acting)
        self._wakeups = Wakeups(self._client, lambda: self._acting)
        self._promotes = Isolation("promote", self._client.transport, self._observer)
        self._reaps = Isolation("reap", self._client.transport, self._observer)
        self._sweeps = Sweeps(
            self._client, self._known, self._observer, acting=lambda: self._acting, to_local=self._to_local
        )
        self._lists = Refusals("queues", self._observer, log, "key")
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Until ``stop`` or cancelled."""
        self._moves = Loop("promote", self._move, observer=self._observer, log=log)
        sweeps = Loop("sweep", self._sweeps.step, observer=self._observer, log=log)
        self._scans = Loop("scan", self._look_around, observer=self._observer, log=log)
        log.info("mover.started", extra={"mover": self._name, "namespace": self._client.settings.namespace})
        ingests = Loop("ingest", self._inboxes.step, observer=self._observer, log=log)
        self._inboxes.nudge = ingests.nudge
        fires = Loop("fire", self._schedules.step, observer=self._observer, log=log)
        self._schedules.nudge = fires.nudge
        attends = Loop("attend", self._wakeups.step, observer=self._observer, log=log)
        self._wakeups.nudge = attends.nudge
        loops = (self._moves, sweeps, self._scans, ingests, fires, attends)
        parts = (*(loop.run() for loop in loops), self._watch())
        self._tasks = [own_task(part) for part in parts]
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
            due = self._heap[0][0] if self._heap else now + CAP
            if due > now:
                return min(self._last_call + DEBOUNCE, due) - now
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
            self._missed |= self._told
            self._told.clear()
        while self._heap and self._heap[0][0] <= now and len(found) < QUEUES_A_CALL:
            at, queue = heapq.heappop(self._heap)
            if self._wake.get(queue) == at:
                del self._wake[queue]
                found[queue] = None
        if now >= self._next_cap:
            self._next_cap = now + (CAP if self.armed else CAP_BLIND)
            self._home_round = self._home_round or [keys.queue for keys in self._at_home]
            self._round = self._round or list(self._known)
            for turn, most in ((self._home_round, QUEUES_A_CALL * 3 // 4), (self._round, QUEUES_A_CALL)):
                while turn and len(found) < most:
                    if (queue := turn.pop()) not in self._promotes.refused:  # those have their timers
                        found[queue] = None
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
            answers = await self._promotes.send(
                queues, lambda some: protocol.promote(some, mover=self._name, limit=BATCH)
            )
        except BaseException:
            self._told.update(keys.queue for keys in queues)  # not looked at: look again
            raise
        for queue in (keys.queue for keys in queues if keys.queue in self._promotes.refused):
            self._wake_at(queue, self._promotes.refused[queue])
        for promoted in answers:
            await self._promoted(promoted, before)

    async def _promoted(self, promoted: Promoted, before: float) -> None:
        now = time.monotonic()
        if now - before < JUMP / 4 or self._offset is None:  # a slow call tells nothing of the clock
            self._watch_clock(promoted.now / 1_000, (before + now) / 2)
        self._answered.set()
        if self._acting != promoted.acting:
            self._acting = self._inboxes.acting = promoted.acting
            if self._acting:
                self._take_over()
            log.debug("mover.acting" if self._acting else "mover.standby", extra={"mover": self._name})
        overdue: list[QueueKeys] = []
        for moved in promoted.queues:
            if moved.moved:
                self._observer.promoted(moved.queue, moved.moved)
            self._set_timer(moved, now)
            lease, reaps_from = moved.next_lease, self._reaps_from(moved.queue)
            if lease is not None and self._to_local(lease) <= now >= reaps_from:
                overdue.append(self._known[moved.queue])
        if overdue:
            await self._reap(overdue)

    def _take_over(self) -> None:
        """What the other one was told of and may not have done, and what it may not have seen."""
        self._told |= self._missed
        self._missed.clear()
        self._restart = True
        self._scans.nudge()

    def _set_timer(self, moved: Moved, now: float) -> None:
        times: list[float] = []
        if moved.next_due is not None:
            times.append(self._to_local(moved.next_due) + (0.0 if self._acting else STANDBY))
        if moved.next_lease is not None:
            times.append(max(self._to_local(moved.next_lease) + 0.001, self._reaps_from(moved.queue)))
        if moved.moved >= BATCH:
            times = [now]
        if times:  # an empty queue costs nothing until somebody writes it
            self._wake_at(moved.queue, min(*times, CAP * 60 + now))

    def _wake_at(self, queue: str, at: float) -> None:
        self._wake[queue] = at
        heapq.heappush(self._heap, (at, queue))
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
        answers = await self._reaps.send(queues, lambda some: protocol.reap(some, limit=BATCH))
        now = time.monotonic()
        for moved in (moved for reaped in answers for moved in reaped.queues):
            if moved.moved:
                log.warning("tasks.reaped", extra={"queue": moved.queue, "n": moved.moved})
                self._told.add(moved.queue)  # they are due again: learn when
            elif moved.next_lease is not None:
                at = max(self._to_local(moved.next_lease) + 0.001, self._reap_after)
                if at < self._wake.get(moved.queue, now + CAP * 60):
                    self._wake_at(moved.queue, at)

    def _reaps_from(self, queue: str) -> float:
        """From when the leases of a queue are taken back; in the past, but after a jump of the clock or a refusal."""
        return max(self._reap_after, self._reaps.refused.get(queue, 0.0))

    # wake-ups

    async def _watch(self) -> None:
        """Keep the tracking connection armed; without it, the timer's cap is short."""
        pause, told = 0.1, False
        while True:
            try:
                keys = self._client.cell_keys
                prefixes = (keys.due_prefix, keys.inbox_prefix, keys.schedules, keys.calendars, keys.agenda)
                await self._client.transport.watch(prefixes, self._changed)
            except Refused as refused:
                if not told:
                    told = True
                    log.warning("mover.blind", extra={"error": str(refused)})
                pause = 60.0
            except (Unreached, Unanswered) as trouble:
                log.debug("tracking.ended", extra={"error": str(trouble)})
                pause = 0.1 if self.armed else min(pause * 2, 2.0)
            self._arm(False)
            self._inboxes.nudge()
            self._next_cap = 0.0
            self._moves.nudge()
            await asyncio.sleep(pause)

    def _arm(self, armed: bool) -> None:
        self.armed = self._inboxes.armed = self._schedules.armed = self._wakeups.armed = armed
        self._schedules.nudge()
        self._wakeups.nudge()

    def _changed(self, keys: list[bytes] | None) -> None:
        if keys is None:  # armed: look at everything once, something may have come before
            self._arm(True)
            self._told.update(self._known)
            self._inboxes.tell(self._known)
            self._restart = True  # something may have come before
            self._scans.nudge()
        else:
            for key in map(text_of, keys):
                if (queue := self._client.cell_keys.queue_of(key)) is not None:
                    self._told.add(queue)
                elif (queue := self._client.cell_keys.inbox_of(key)) is not None and is_name(queue):
                    self._inboxes.tell((queue,))
                elif key in (self._client.cell_keys.schedules, self._client.cell_keys.calendars):
                    self._schedules.nudge()
                elif key == self._client.cell_keys.agenda:
                    self._wakeups.told()
        if self._acting or keys is None:
            self._moves.nudge()

    # housekeeping

    async def _look_around(self) -> float:
        """Find the due sets that exist, if this mover acts: all of them at the start and whenever pushes may have been
        missed, then a few steps a minute."""
        self._client.transport.mode.check_library()
        await self._watch_epoch()
        listed = await self._listed()
        self._forget(listed)
        self._learn(listed)
        if self._known:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CAP):  # wait_for may swallow a cancel
                    await self._answered.wait()
        if not self._acting:
            return SCAN_EVERY
        while True:
            if self._restart:
                self._restart, self._whole, self._scan = False, True, "0"
            steps = queue_steps.scan_due(self._client.cell_keys, self._scan, SCAN_STEPS)
            self._scan, found, inboxes = await self._client.transport.steps("scan", steps)
            self._learn(found)
            self._inboxes.tell(inboxes)
            if self._scan == "0":
                self._whole = False
            if not self._whole and not self._restart:
                stranded = self._acting and await self._orphans.step()
                return SCAN_SOON if stranded else SCAN_EVERY

    async def _listed(self) -> set[str]:
        """The queues that are listed; none where the list cannot be read: a scan finds them as well."""
        key = self._client.cell_keys.queues
        try:
            found = set(await self._client.queues())
        except StoreError as error:
            if not is_its_own(error):
                raise
            self._lists.refuse(key, error)
            return set()
        self._lists.accept(key)
        return found

    async def _watch_epoch(self) -> None:
        """A namespace that was emptied (flushed, or its server restarted without its data) goes on, but never
        silently."""
        epoch = await self._client.transport.steps("epoch", installing.epoch(self._client.cell_keys))
        if epoch is None:
            return
        if self._epoch is not None and epoch != self._epoch:
            log.critical("store.emptied", extra={"namespace": self._client.settings.namespace, "epoch": epoch})
            self._observer.redis_error("emptied")
        self._epoch = epoch

    def _forget(self, listed: set[str]) -> None:
        """Queues that are listed no more and have nothing to wait for: whoever writes to one of them tells of it."""
        if listed and self.armed:
            at_home = {keys.queue for keys in self._at_home}
            busy = self._wake.keys() | self._told | self._promotes.refused.keys() | at_home
            for queue in self._known.keys() - listed - busy:
                del self._known[queue]

    def _learn(self, queues: set[str]) -> None:
        new = {queue for queue in queues - self._known.keys() if self._key(queue) is not None}
        if new:
            self._told.update(new)
            self._moves.nudge()
