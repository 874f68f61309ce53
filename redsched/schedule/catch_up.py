"""What to do about a schedule at a moment: which slots are made, which are missed, and when it is looked at next.

Pure arithmetic on the server's clock; ``lua/fire.lua`` carries a decision out if nobody did since.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Protocol

import msgspec

from redsched.model.errors import SearchSpent

ON_TIME_MS = 5_000  # so late a slot is still on time for every policy and window: a change of movers takes as long
MOST_LOOKED_AT = 2_000  # slots of one decision
A_DECISION_S = 0.01  # of work; what is left follows at the next look
MOST_FIRED = 100
SAME, NONE, MALFORMED = "=", "none", "malformed"  # what comes next, beside a slot
AGAIN = ""  # it is planned at the next look


class Times(Protocol):
    """The part of ``schedule.slots.Plan`` that is needed here."""

    @property
    def interval(self) -> tuple[int, int] | None:
        """(every, phase) in ms of a schedule that is nothing but one interval."""

    def after(self, ms: int) -> Iterator[int]:
        """The slots after a moment, ascending."""

    def due(self, slot: int) -> int:
        """When a slot is due: itself and its jitter."""

    def holds(self, slot: int) -> bool:
        """Whether it is a slot, by the calendars and the zones of now."""

    def wall(self, slot: int) -> str:
        """Its local time such as ``2027-03-14T09:00:00``; empty where no clock on a wall names the slots."""

    def after_wall(self, wall: str) -> Iterator[int]:
        """The slots after a local time, without another one of its day where a day has one."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a schedule that decides about slots of the past.

    A slot that is on time is not caught up, so a window of 0 only leaves out what is later than ``ON_TIME_MS``.
    """

    catch_up: str = "latest"
    window_ms: int = 60_000
    after_completion: bool = False
    start_ms: int | None = None
    end_ms: int | None = None

    @property
    def most_late_ms(self) -> int:
        """How late a slot may be to be made."""
        return max(self.window_ms, ON_TIME_MS)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """``following``: a slot, ``=`` (unchanged), ``none``, ``malformed``, or nothing where the end of a run decides.

    ``due``: when that is due; None: at its slot. ``slots``: those to make, with their due times. All in ms.
    """

    following: str
    due: int | None = None
    missed: int = 0
    why: str = ""
    handled: int | None = None  # the last slot that is made or missed
    slots: tuple[tuple[int, int], ...] = ()


def decide(
    plan: Times,
    policy: Policy,
    *,
    slot: int | None,
    since: int,
    now: int,
    resumed: int | None = None,
    until: int | None = None,
) -> Decision:
    """What to do at ``now`` about a schedule whose next slot is ``slot`` (None: not planned since ``since``).

    Slots up to ``resumed`` lie in a pause and are missed. ``until``: the plan was replaced then, and has no slots after
    that; what follows those is ``AGAIN``. A search for the next slot that takes too long goes on at the time up to
    which it came: that is what follows then, though it is no slot.

    Raises:
        SearchSpent: nothing is to be made or counted, and the first slot is not known yet.
    """
    if policy.after_completion:
        return _after_completion(policy, slot, now)
    if slot is None:
        return _next(plan, next(plan.after(since), None))
    if plan.due(slot) > now:
        return Decision(following=SAME, due=plan.due(slot))
    if not plan.holds(slot):  # a calendar leaves it out now, or another release of tzdata moved it
        slot = next(plan.after(slot), None)
        if slot is None or (until is not None and slot > until):
            return Decision(following=NONE if until is None else AGAIN)
        if plan.due(slot) > now:
            return _next(plan, slot)
    first, late, paused = _skipped_ahead(plan, policy, slot, now if until is None else min(now, until), now, resumed)
    candidates: list[tuple[int, int]] = []
    following: int | None = None
    handled: int | None = None
    more, due = False, 0
    deadline = time.thread_time() + A_DECISION_S
    try:
        for n, at in enumerate(chain((first,), islice(plan.after(first), MOST_LOOKED_AT))):
            due = max(due, plan.due(at))  # in order: one that jitter moves far keeps those behind it waiting
            if until is not None and at > until:
                break
            if due > now or n >= MOST_LOOKED_AT or (handled is not None and time.thread_time() > deadline):
                following, more = at, due <= now
                break
            handled = at
            if resumed is not None and at <= resumed:
                paused += 1
            elif now - due > policy.most_late_ms:
                late += 1
            else:
                candidates.append((at, due))
    except SearchSpent as spent:
        following = spent.reached if until is None or spent.reached <= until else None
    fired, passed = _chosen(policy, candidates, now, more, late)
    if len(fired) > MOST_FIRED:
        following, fired = fired[MOST_FIRED][0], fired[:MOST_FIRED]
        handled = fired[-1][0]
    told = {"paused": paused, "catch_up_window": late, f"catch_up {policy.catch_up}": passed}
    why = ", ".join(f"{reason} {n}" for reason, n in told.items() if n)
    found = Decision(following=AGAIN) if until is not None and following is None else _next(plan, following)
    return msgspec.structs.replace(found, missed=paused + late + passed, why=why, slots=tuple(fired), handled=handled)


def replanned(
    plan: Times, slot: int | None, *, since: int, now: int, last: str = "", release: str = "", chained: bool = False
) -> int | None:
    """The slot to wait for in place of ``slot``, which was planned earlier.

    Since then a calendar may have changed, or ``release``, the release of tzdata. ``last``: ``<release>/<local time>``
    of the last slot that was made or missed. Local times are compared, so that a new release gives no local day a
    second slot. ``chained``: each slot follows from the one before it, so that only a slot that is left out moves.
    """
    if slot is None:
        return None
    planned_by, _, wall = last.partition("/")
    if chained:
        return slot if plan.holds(slot) else next(plan.after(slot), None)
    if planned_by and planned_by != release and plan.wall(slot):
        found = plan.after_wall(wall) if wall else plan.after(since)
        return next((one for one in found if one > since), None)
    if slot <= now:
        return slot  # it is due, or waits for its jitter
    return next(plan.after(now), None)


def _after_completion(policy: Policy, slot: int | None, now: int) -> Decision:
    if slot is None:
        return Decision(following="")
    if policy.end_ms is not None and slot > policy.end_ms:
        return Decision(following=NONE)
    if policy.start_ms is not None and slot < policy.start_ms and now < policy.start_ms:
        return Decision(following=str(policy.start_ms), due=policy.start_ms)
    if slot > now:
        return Decision(following=SAME, due=slot)
    return Decision(following="", slots=((slot, slot),))


def _skipped_ahead(
    plan: Times, policy: Policy, slot: int, last: int, now: int, resumed: int | None
) -> tuple[int, int, int]:
    """For a plain interval, the first slot that may still be fired, and how many before it are too late or in a
    pause; none after ``last`` counts."""
    if plan.interval is None:
        return slot, 0, 0
    every = plan.interval[0]
    paused = 0 if resumed is None else max(0, (min(resumed, last) - slot) // every + 1)
    slot += paused * every
    late = max(0, min(-(-(now - policy.most_late_ms - slot) // every), (last - slot) // every + 1))
    return slot + late * every, late, paused


def _chosen(
    policy: Policy, candidates: list[tuple[int, int]], now: int, more: bool, late: int
) -> tuple[list[tuple[int, int]], int]:
    """Those to fire, and how many are passed over; ``more``: later ones are due, too. ``late``: were too late."""
    fired = candidates
    if policy.catch_up == "none":
        fired = [found for found in candidates if now - found[1] <= ON_TIME_MS]
    elif policy.catch_up == "latest" and more:
        fired = []
    elif policy.catch_up == "latest" and (late or (candidates and now - candidates[0][1] > ON_TIME_MS)):
        fired = candidates[-1:]
    return fired, len(candidates) - len(fired)


def _next(plan: Times, slot: int | None) -> Decision:
    return Decision(following=NONE) if slot is None else Decision(following=str(slot), due=plan.due(slot))
