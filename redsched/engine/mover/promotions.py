"""Promotions: makes due tasks ready when their times come, and has leases that ended taken back.

The acting mover follows the writes that it is told of. One that stands by looks a little after each due time, so that
nothing waits for an acting mover that died. Both also look at every queue in turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Set

from redsched.client import AsyncClient
from redsched.engine.isolation import isolated_queues
from redsched.engine.loop import Loop
from redsched.engine.mover.known_queues import KnownQueues, Round
from redsched.engine.mover.reaps import Reaps
from redsched.engine.mover.standing import Standing
from redsched.engine.mover.timers import Timers
from redsched.engine.observer import Observer
from redsched.wire import protocol
from redsched.wire.keys import QueueKeys
from redsched.wire.mover import Moved, Promoted

log = logging.getLogger("redsched.mover")
QUEUES_A_CALL = 16
AT_HOME_A_CALL = QUEUES_A_CALL * 3 // 4  # most of its worker's queues among those of a round
BATCH = 250  # ids one promote moves at most
CAP = 1.0  # seconds between looks of a round
CAP_BLIND = 0.1  # without tracking
LONGEST_TIMER = 60.0  # seconds
DEBOUNCE = 0.003  # seconds between calls that follow writes


class Promotions:
    """The loop ``promote``."""

    def __init__(self, client: AsyncClient, queues: KnownQueues, standing: Standing, observer: Observer) -> None:
        self._queues = queues
        self._standing = standing
        self._observer = observer
        self._promotes = isolated_queues("promote", client.transport, observer)
        self._reaps = Reaps(client, standing, observer)
        self.timers = Timers()
        self._written: set[str] = set()  # queues whose due set somebody wrote, since the acting mover looked
        self._home_round = Round(queues.at_home)
        self._round = Round(queues)
        self._next_round = 0.0
        self._last_call = 0.0
        self.calls = 0  # for whoever measures
        self.loop = Loop("promote", self.step, observer=observer, log=log)

    def written(self, queues: Iterable[str]) -> None:
        """Somebody wrote the due sets of these. One that stands by looks at them when it takes over."""
        self._written.update(queues)
        if self._standing.acting:
            self.loop.nudge()

    def look_now(self) -> None:
        """Begin the next round at once."""
        self._next_round = 0.0
        self.loop.nudge()

    @property
    def busy(self) -> Set[str]:
        """Queues that are not to be forgotten: they have a timer, or are looked at next."""
        return self.timers.queues | (self._written if self._standing.acting else set())

    async def step(self) -> float:
        """Look at the queues whose time has come; answers the seconds until the next one's."""
        now = time.monotonic()
        if self._standing.acting and self._written and now - self._last_call < DEBOUNCE and self.timers.next > now:
            return min(self._last_call + DEBOUNCE, self.timers.next) - now
        if wanted := self._wanted(now):
            await self._promote(wanted)
            return 0.0
        return max(0.0, min(self._next_round, self.timers.next) - time.monotonic())

    def _wanted(self, now: float) -> list[QueueKeys]:
        """Up to 16 queues: those written first, then by their times, then in turn so that each is seen now and then."""
        found: dict[str, None] = {}
        while self._standing.acting and self._written and len(found) < QUEUES_A_CALL:
            found[self._written.pop()] = None
        found.update(dict.fromkeys(self.timers.take(now, QUEUES_A_CALL - len(found))))
        if now >= self._next_round:
            self._next_round = now + (CAP if self._standing.armed else CAP_BLIND)
            for turn, most in ((self._home_round, AT_HOME_A_CALL), (self._round, QUEUES_A_CALL)):
                refused = self._promotes.refusals.until  # those have their timers
                found.update(dict.fromkeys(turn.take(most - len(found), but=found.keys() | refused.keys())))
        return [keys for queue in found if (keys := self._queues.keys_of(queue)) is not None]

    async def _promote(self, queues: list[QueueKeys]) -> None:
        self._last_call = asked = time.monotonic()
        self.calls += 1
        try:
            answers = await self._promotes.send(
                queues, lambda some: protocol.promote(some, mover=self._standing.name, limit=BATCH)
            )
        except BaseException:
            for keys in queues:
                self.timers.set(keys.queue, asked)  # not looked at: look again
            raise
        refused = self._promotes.refusals.until
        for queue in (keys.queue for keys in queues if keys.queue in refused):
            self.timers.set(queue, refused[queue])
        for some, promoted in answers:
            await self._promoted(some, promoted, asked)

    async def _promoted(self, queues: Iterable[QueueKeys], promoted: Promoted, asked: float) -> None:
        if self._standing.hear_clock(promoted.now, asked):
            self._reaps.hold_off()
        self._standing.hear_acting(promoted.acting)
        now = time.monotonic()
        overdue: list[QueueKeys] = []
        for keys, moved in zip(queues, promoted.queues, strict=True):
            if moved.moved:
                self._observer.promoted(moved.queue, moved.moved)
            self._set_timer(moved, now)
            if moved.next_lease is not None and self._reaps.is_overdue(moved.queue, moved.next_lease):
                overdue.append(keys)
        if overdue:
            await self._reap(overdue)

    def _set_timer(self, moved: Moved, now: float) -> None:
        times: list[float] = []
        if moved.next_due is not None:
            times.append(self._standing.to_local(moved.next_due) + self._standing.patience)
        if moved.next_lease is not None:
            times.append(self._reaps.time_of(moved.queue, moved.next_lease))
        if moved.moved >= BATCH:
            times = [now]
        if times:  # an empty queue costs nothing until somebody writes it
            self.timers.set(moved.queue, min(*times, now + LONGEST_TIMER))

    async def _reap(self, queues: list[QueueKeys]) -> None:
        for moved in await self._reaps.take_back(queues):
            if moved.moved:
                self._written.add(moved.queue)  # its tasks are due again: learn when
            elif moved.next_lease is not None:
                self.timers.bring_forward(moved.queue, self._reaps.time_of(moved.queue, moved.next_lease))
