"""Decisions: what is to be done about a schedule whose time has come, by its definition and the slots that are past.

No I/O. Compiled plans are kept for a bounded number of definitions; everything else comes with the schedule as it was
read, so that a change made anywhere holds from the next look on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

import msgspec

from redsched.model.duration import is_digits
from redsched.model.errors import InvalidSchedule, SearchSpent
from redsched.schedule.catch_up import AGAIN, MALFORMED, NONE, SAME, Decision, Policy, decide, replanned
from redsched.schedule.slots import Plan
from redsched.schedule.zones import TZDATA_VERSION
from redsched.wire.schedules import Firing
from redsched.wire.stored_schedule import Former, Stored, definition_of, policy_of

log = logging.getLogger("redsched.mover")
PLANS = 20_000  # compiled definitions kept


class Compiled(msgspec.Struct, frozen=True):
    """What a definition means; ``problem``: why nothing."""

    plan: Plan | None
    policy: Policy
    problem: str = ""


class Decisions:
    """Decides for one mover, with the plans that it has compiled."""

    def __init__(self) -> None:
        self._plans: OrderedDict[tuple[str, bytes], Compiled] = OrderedDict()
        self._holidays: dict[str, frozenset[str]] = {}  # by the name of a calendar; all plans share them

    def use_calendars(self, holidays: dict[str, frozenset[str]]) -> None:
        """The calendars are these from now on; all plans are compiled anew."""
        self._holidays = holidays
        self._plans.clear()

    def about(self, stored: Stored, now: int) -> Firing:
        """What is to be done about one schedule at ``now`` (ms); never raises, whatever somebody wrote into it."""
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
            schedule = definition_of(stored)
            found = Compiled(Plan(schedule, self._holidays), policy_of(schedule))
        except Exception as error:  # somebody wrote it by hand, and nobody knows what
            problem = str(error) if isinstance(error, InvalidSchedule) else f"{type(error).__name__}: {error}"
            log.error("schedule.malformed", extra={"schedule": stored.id, "error": problem[:200]})
            found = Compiled(None, Policy(), problem)
        self._plans[key] = found
        if len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return found


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
    if not handled and slot is None and is_digits(decision.following) and plan.wall(int(decision.following)):
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
