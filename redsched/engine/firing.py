"""Firing: looks at schedules whose time has come, decides about their slots, and has ``fire`` carry that out.

Any mover may: a decision names the slot that it is about, and only the first one for a slot is carried out. Compiled
plans are kept for a bounded number of definitions; everything else is read from Redis at each look, so that a change
made anywhere holds from the next one on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from redsched.client import AsyncClient
from redsched.engine.observer import Observer
from redsched.model.errors import InvalidSchedule, StoreDenied, StoreError
from redsched.model.firing import MALFORMED, Decision, Policy, decide
from redsched.model.schedule import Plan
from redsched.wire import schedules
from redsched.wire.schedules import Firing, Looked, Stored

log = logging.getLogger("redsched.mover")
A_CALL = 100  # schedules of one look
BLIND = 1.0  # seconds between looks where nobody tells of changes
LONG = 60.0  # seconds at most between looks
STANDBY = 0.15  # seconds after a due time at which a mover that does not act looks
PAUSE = 0.05  # seconds
REFUSED = 5.0  # seconds until a schedule is tried again that Redis refused
A_TURN = 0.005  # seconds of deciding, then others of the event loop have theirs
PLANS = 20_000  # compiled definitions kept

_OF_ITS_OWN = (StoreError, StoreDenied)  # which may be about one schedule's keys


class Compiled(msgspec.Struct, frozen=True):
    """What a definition means; ``problem``: why nothing."""

    plan: Plan | None
    policy: Policy
    problem: str = ""


class Schedules:
    """The step of a loop; ``nudge`` is called when somebody changed a schedule."""

    def __init__(self, client: AsyncClient, observer: Observer, acting: Callable[[], bool]) -> None:
        self._client = client
        self._observer = observer
        self._acting = acting
        self._plans: OrderedDict[tuple[str, bytes], Compiled] = OrderedDict()
        self._holidays: dict[str, frozenset[str]] = {}  # by the name of a calendar; all plans share them
        self._calendars_rev = 0
        self._refused: dict[str, float] = {}  # from when (monotonic) each schedule is tried again that Redis refused
        self.armed = False
        self.nudge: Callable[[], None] = lambda: None

    async def step(self) -> float:
        """Look, fire; answers the seconds until the next look."""
        asked = time.monotonic()
        self._refused = {id: at for id, at in self._refused.items() if at > asked - REFUSED}  # some are gone by now
        limit = min(A_CALL + len(self._refused), 500)
        looked = await self._client.transport.send(schedules.due_schedules(self._client.cell_keys, limit))
        offset = looked.now / 1_000 - (asked + time.monotonic()) / 2
        if looked.calendars != self._calendars_rev:
            found = await self._client.transport.send(schedules.calendars(self._client.cell_keys))
            self._holidays = {name: frozenset(dates) for name, dates in found.items()}
            self._calendars_rev = looked.calendars
            self._plans.clear()
        if looked.schedules:
            await self._fire(looked)
            await asyncio.sleep(0)
            return 0.0 if len(looked.schedules) >= limit else 0.001
        wait = LONG if self.armed else BLIND
        if looked.next_look is not None:
            late = 0.0 if self._acting() else STANDBY
            wait = min(wait, max(0.0, looked.next_look / 1_000 - offset - time.monotonic() + late))
        return wait

    async def _fire(self, looked: Looked) -> None:
        firings: list[Firing] = []
        begun = time.monotonic()
        for stored in looked.schedules:
            if self._refused.get(stored.id, 0.0) > begun:
                continue
            firings.append(self._decided(stored, looked.now))
            if time.monotonic() - begun > A_TURN:  # after an outage each may have thousands of slots
                await asyncio.sleep(0)
                begun = time.monotonic()
        if not firings:
            await asyncio.sleep(PAUSE)
            return
        try:
            words = await self._client.transport.send(schedules.fire(self._client.cell, firings))
        except StoreError as error:
            if type(error) not in _OF_ITS_OWN:
                raise
            words = [await self._fire_apart(one) for one in firings]
        for one, word in zip(firings, words, strict=True):
            if word.isdecimal():
                self._observer.fired(one.stored.id, int(word), one.decision.missed)
            if word.isdecimal() and one.decision.missed:
                told = {"schedule": one.stored.id, "n": one.decision.missed, "reason": one.decision.why}
                log.warning("schedule.missed", extra=told)
        if not any(word.isdecimal() for word in words):
            await asyncio.sleep(PAUSE)  # all were another's, or Redis refuses them: not at full speed

    async def _fire_apart(self, one: Firing) -> str:
        """One schedule whose keys are of a wrong type, say, must not hold up those that share its call."""
        try:
            (word,) = await self._client.transport.send(schedules.fire(self._client.cell, [one]))
        except StoreError as error:
            if type(error) not in _OF_ITS_OWN:
                raise
            told = one.stored.id in self._refused
            self._refused[one.stored.id] = time.monotonic() + REFUSED
            if not told:
                log.error("fire.refused", extra={"schedule": one.stored.id, "error": str(error)})
            self._observer.redis_error("store")
            return "refused"
        self._refused.pop(one.stored.id, None)
        return word

    def _decided(self, stored: Stored, now: int) -> Firing:
        found = self._compiled(stored)
        if found.plan is None:
            return Firing(stored, Decision(following=MALFORMED, why=found.problem[:200]))
        since = stored.number("changed_at") or now
        try:
            decision = decide(
                found.plan, found.policy, slot=stored.number("slot"), since=since, now=now,
                resumed=stored.number("paused_until") or stored.number("resumed"),
            )  # fmt: skip
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # one of them must not stop all others
            log.exception("schedule.malformed", extra={"schedule": stored.id})
            decision = Decision(following=MALFORMED, why=f"{type(error).__name__}: {error}"[:200])
        return Firing(stored, decision)

    def _compiled(self, stored: Stored) -> Compiled:
        key = (stored.id, bytes(stored.fields.get("spec", b"")))
        found = self._plans.get(key)
        if found is not None:
            self._plans.move_to_end(key)
            return found
        try:
            schedule = schedules.definition_of(stored)
            found = Compiled(Plan(schedule, self._holidays), schedules.policy_of(schedule))
        except InvalidSchedule as error:  # somebody wrote it by hand
            log.error("schedule.malformed", extra={"schedule": stored.id, "error": str(error)})
            found = Compiled(None, Policy(), str(error))
        self._plans[key] = found
        if len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return found
