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
from collections.abc import Callable, Iterator, Sequence

import msgspec

from redsched.client import AsyncClient
from redsched.engine.isolation import Refusals, is_its_own
from redsched.engine.observer import Observer
from redsched.model.errors import InvalidSchedule, SearchSpent, StoreError
from redsched.schedule.catch_up import AGAIN, MALFORMED, NONE, SAME, Decision, Policy, decide, replanned
from redsched.schedule.slots import Plan
from redsched.schedule.zones import TZDATA_VERSION
from redsched.wire import schedules
from redsched.wire.schedules import Firing, Former, Stored

log = logging.getLogger("redsched.mover")
A_CALL = 100  # schedules of one look
MOST_LOOKED_AT = 500  # those included that Redis refuses
BLIND = 1.0  # seconds between looks where nobody tells of changes
LONG = 60.0  # seconds at most between looks
STANDBY = 0.15  # seconds after a due time at which a mover that does not act looks
PAUSE = 0.05  # seconds
SLOTS_A_CALL = 100  # after which a call that fires ends
PLANS = 20_000  # compiled definitions kept


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
        self._replanned = -1  # the change of the calendars after which all were looked at
        self._refusals = Refusals("fire", observer, log, "schedule")
        self.armed = False
        self.nudge: Callable[[], None] = lambda: None

    async def step(self) -> float:
        """Look, fire; answers the seconds until the next look."""
        asked = time.monotonic()
        limit = min(A_CALL + len(self._refusals.until), MOST_LOOKED_AT)
        looked = await self._client.transport.send(schedules.due_schedules(self._client.cell_keys, limit))
        offset = looked.now / 1_000 - (asked + time.monotonic()) / 2
        if looked.calendars != self._calendars_rev:
            found = await self._client.transport.send(schedules.calendars(self._client.cell_keys))
            self._holidays = {name: frozenset(dates) for name, dates in found.items()}
            self._calendars_rev = looked.calendars
            self._plans.clear()
        self._refusals.keep([stored.id for stored in looked.schedules])  # the others are gone, or not due
        begins = looked.schedules or self._acting()  # before it fires any
        if begins and self._replanned != looked.calendars and await self._replan(looked.calendars):
            return 0.0
        todo = [stored for stored in looked.schedules if not self._refusals.waits(stored.id)]
        if todo:
            await self._fire(todo, looked.now)
            await asyncio.sleep(0)
            return 0.0 if len(looked.schedules) >= limit else 0.001
        wait = LONG if self.armed else BLIND
        if looked.schedules:  # all of them refused
            wait = min(wait, max(0.0, min(self._refusals.until.values()) - time.monotonic()))
        if looked.next_look is not None:
            late = 0.0 if self._acting() else STANDBY
            wait = min(wait, max(0.0, looked.next_look / 1_000 - offset - time.monotonic() + late))
        return wait

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
        firings = await asyncio.to_thread(lambda: [self._decided(stored, now) for stored in todo])
        words: list[str] = []
        for some in parts(firings):
            try:
                answers = await self._client.transport.send(schedules.fire(self._client.cell, some))
            except StoreError as error:
                if not is_its_own(error):
                    raise
                answers = [await self._fire_alone(one) for one in some]
            words += answers
        for one, word in zip(firings, words, strict=True):
            if word.isdecimal():
                self._observer.fired(one.stored.id, int(word), one.decision.missed)
            if word.isdecimal() and one.decision.missed:
                told = {"schedule": one.stored.id, "n": one.decision.missed, "reason": one.decision.why}
                log.warning("schedule.missed", extra=told)
        if not any(word.isdecimal() for word in words):
            await asyncio.sleep(PAUSE)  # all were another's, or Redis refuses them: not at full speed

    async def _fire_alone(self, one: Firing) -> str:
        """One schedule whose keys are of a wrong type, say, must not hold up those that share its call."""
        try:
            (word,) = await self._client.transport.send(schedules.fire(self._client.cell, [one]))
        except StoreError as error:
            if not is_its_own(error):
                raise
            self._refusals.refuse(one.stored.id, error)
            return "refused"
        self._refusals.accept(one.stored.id)
        return word

    def _decided(self, stored: Stored, now: int) -> Firing:
        slot, resumed = stored.number("slot"), stored.number("paused_until") or stored.number("resumed")
        over: Former | None = None
        try:
            for former in stored.former():
                found = self._compiled(stored.as_it_was(former))
                decision = (
                    None
                    if found.plan is None
                    else _last_slots(found.plan, found.policy, former, slot=slot, now=now, resumed=resumed)
                )
                if decision is not None:
                    return Firing(stored, _after_former(decision, former, over))
                over, slot = former, slot if slot is not None and slot > former.until else None
            if over is not None:
                return Firing(stored, _after_former(Decision(following=AGAIN), over, over))
            found = self._compiled(stored)
            if found.plan is None:
                return Firing(stored, Decision(following=MALFORMED, why=found.problem[:200]))
            try:
                return _as_planned(stored, found.plan, found.policy, slot, now=now, resumed=resumed)
            except SearchSpent as spent:
                return Firing(stored, Decision(following=str(spent.reached), due=spent.reached))
        except Exception as error:  # whatever somebody wrote into one of them, it must not stop all others
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
        except Exception as error:  # somebody wrote it by hand, and nobody knows what
            problem = str(error) if isinstance(error, InvalidSchedule) else f"{type(error).__name__}: {error}"
            log.error("schedule.malformed", extra={"schedule": stored.id, "error": problem[:200]})
            found = Compiled(None, Policy(), problem)
        self._plans[key] = found
        if len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return found


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


def _as_planned(
    stored: Stored, plan: Plan, policy: Policy, slot: int | None, *, now: int, resumed: int | None
) -> Firing:
    """What to do about the slots of its definition."""
    last, since = stored.text("last"), stored.number("changed_at") or now
    waits_for = replanned(plan, slot, since=since, now=now, last=last, release=TZDATA_VERSION, chained=plan.chained)
    if slot is not None and waits_for is None:
        return Firing(stored, Decision(following=NONE))
    decision = decide(plan, policy, slot=waits_for, since=since, now=now, resumed=resumed)
    if decision.following == SAME and waits_for != slot:
        decision = msgspec.structs.replace(decision, following=str(waits_for))
    handled = "" if decision.handled is None else plan.wall(decision.handled)
    if not handled and slot is None and decision.following.isdecimal() and plan.wall(int(decision.following)):
        return Firing(stored, decision, f"{TZDATA_VERSION}/")
    return Firing(stored, decision, f"{TZDATA_VERSION}/{handled}" if handled else "")


def _last_slots(
    plan: Plan, policy: Policy, former: Former, *, slot: int | None, now: int, resumed: int | None
) -> Decision | None:
    """What to do about the slots of a definition that was replaced; None where it has none left."""
    try:
        if slot is None and not policy.after_completion:
            slot = next(plan.after(former.since), None)
        if slot is None or slot > former.until:
            return None
        found = decide(plan, policy, slot=slot, since=former.since, now=now, resumed=resumed, until=former.until)
        # it may not be the slot that is stored
        return msgspec.structs.replace(found, following=str(slot)) if found.following == SAME else found
    except SearchSpent as spent:
        return None if spent.reached > former.until else Decision(following=str(spent.reached), due=spent.reached)


def _after_former(decision: Decision, former: Former, over: Former | None) -> Decision:
    """The decision with the word that says up to when the slots of earlier definitions are done with."""
    done = former if decision.following == AGAIN else over
    if done is None:
        return decision
    return msgspec.structs.replace(decision, following=f"^{done.until}:{decision.following}")
