"""Firing: looks at schedules whose time has come, has it decided about their slots, and has ``fire`` carry that out.

Any mover may: a decision names the slot that it is about, and only the first one for a slot is carried out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

from redsched.client import AsyncClient
from redsched.engine.isolation import Isolation, Refusals
from redsched.engine.loop import Loop
from redsched.engine.mover.decisions import Decisions
from redsched.engine.mover.standing import Standing, halfway
from redsched.engine.observer import Observer
from redsched.model.duration import is_digits
from redsched.schedule.zones import TZDATA_VERSION
from redsched.wire import schedules
from redsched.wire.schedules import Firing
from redsched.wire.stored_schedule import Stored

log = logging.getLogger("redsched.mover")
A_CALL = 100  # schedules of one look
MOST_LOOKED_AT = 500  # those included that Redis refuses
BLIND = 1.0  # seconds between looks where nobody tells of changes
LONG = 60.0  # seconds at most between looks
PAUSE = 0.05  # seconds
SLOTS_A_CALL = 100  # after which a call that fires ends


class Schedules:
    """The loop ``fire``; nudge it when somebody changed a schedule or a calendar."""

    def __init__(self, client: AsyncClient, standing: Standing, observer: Observer) -> None:
        self._client = client
        self._standing = standing
        self._observer = observer
        self._decisions = Decisions()
        self._calendars = 0  # the change of the calendars that the decisions go by
        self._replanned = -1  # the change of the calendars after which all were looked at
        self._refusals = Refusals("fire", observer, log, "schedule")
        self._fires = Isolation[Firing](client.transport, self._refusals, lambda one: one.stored.id)
        self.loop = Loop("fire", self.step, observer=observer, log=log)

    async def step(self) -> float:
        """Look, fire; answers the seconds until the next look."""
        asked = time.monotonic()
        limit = min(A_CALL + len(self._refusals.until), MOST_LOOKED_AT)
        looked = await self._client.transport.send(schedules.due_schedules(self._client.cell_keys, limit))
        at = halfway(asked)
        if looked.calendars != self._calendars:
            await self._read_calendars(looked.calendars)
        self._refusals.keep([stored.id for stored in looked.schedules])  # the others are gone, or not due
        begins = looked.schedules or self._standing.acting  # before it fires any
        if begins and self._replanned != looked.calendars and await self._replan(looked.calendars):
            return 0.0
        todo = [stored for stored in looked.schedules if not self._refusals.waits(stored.id)]
        if todo:
            await self._fire(todo, looked.now)
            await asyncio.sleep(0)
            return 0.0 if len(looked.schedules) >= limit else 0.001
        wait = LONG if self._standing.armed else BLIND
        if looked.schedules:  # all of them refused
            wait = min(wait, self._refusals.soonest)
        if looked.next_look is not None:
            wait = min(wait, self._standing.seconds_until(looked.next_look, now=looked.now, at=at))
        return wait

    async def _read_calendars(self, change: int) -> None:
        found = await self._client.transport.send(schedules.calendars(self._client.cell_keys))
        self._decisions.use_calendars({name: frozenset(dates) for name, dates in found.items()})
        self._calendars = change

    async def _replan(self, changes: int) -> int:
        """Have those looked at whose next slot may be another one now, and answer how many.

        A mover that ends meanwhile leaves the others to the next.
        """
        cursor, found = "", 0
        while cursor or self._replanned != changes:
            call = schedules.replan_schedules(
                self._client.cell_keys, changes=changes, release=TZDATA_VERSION, cursor=cursor
            )
            cursor, n = await self._client.transport.send(call)
            found, self._replanned = found + n, -1 if cursor else changes
        return found

    async def _fire(self, todo: Sequence[Stored], now: int) -> None:
        # a thread of its own: after an outage each may have thousands of slots, and the event loop has other work
        firings = await asyncio.to_thread(lambda: [self._decisions.about(stored, now) for stored in todo])
        fired = 0
        for some in parts(firings):
            for sent, words in await self._fires.send(some, lambda these: schedules.fire(self._client.cell, these)):
                fired += sum(self._fired(one, word) for one, word in zip(sent, words, strict=True))
        if not fired:
            await asyncio.sleep(PAUSE)  # all were another's, or Redis refuses them: not at full speed

    def _fired(self, one: Firing, word: str) -> bool:
        """Tell of a decision that was carried out; whether it was."""
        if not is_digits(word):
            return False
        self._observer.fired(one.stored.id, int(word), one.decision.missed)
        if one.decision.missed:
            told = {"schedule": one.stored.id, "n": one.decision.missed, "reason": one.decision.why}
            log.warning("schedule.missed", extra=told)
        return True


def parts(firings: Sequence[Firing]) -> Iterator[list[Firing]]:
    """The same in calls of some slots: a decision to fire nothing counts as one."""
    part: list[Firing] = []
    weight = 0
    for one in firings:
        part.append(one)
        weight += max(1, len(one.decision.slots))
        if weight >= SLOTS_A_CALL:
            yield part
            part, weight = [], 0
    if part:
        yield part
