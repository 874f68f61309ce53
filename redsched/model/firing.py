"""What to do about a schedule at a moment: which slots are made, which are missed, and when it is looked at next.

Pure arithmetic on the server's clock; ``lua/fire.lua`` carries a decision out if nobody did since.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Protocol

import msgspec

ON_TIME_MS = 5_000  # so late a slot is still on time for every policy: a change of movers takes as long
MOST_LOOKED_AT = 2_000  # slots of one decision
MOST_FIRED = 100
SAME, NONE, MALFORMED = "=", "none", "malformed"  # what comes next, beside a slot


class Times(Protocol):
    """The part of ``model.schedule.Plan`` that is needed here."""

    @property
    def interval(self) -> tuple[int, int] | None:
        """(every, phase) in ms of a schedule that is nothing but one interval."""

    def after(self, ms: int) -> Iterator[int]:
        """The slots after a moment, ascending."""

    def due(self, slot: int) -> int:
        """When a slot is due: itself and its jitter."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a schedule that decides about slots of the past."""

    catch_up: str = "latest"
    window_ms: int = 60_000
    after_completion: bool = False
    start_ms: int | None = None
    end_ms: int | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """``following``: a slot, ``=`` (unchanged), ``none``, ``malformed``, or nothing where the end of a run decides.

    ``due``: when that is due; None: at its slot. ``slots``: those to make, with their due times. All in ms.
    """

    following: str
    due: int | None = None
    missed: int = 0
    why: str = ""
    slots: tuple[tuple[int, int], ...] = ()


def decide(
    plan: Times, policy: Policy, *, slot: int | None, since: int, now: int, resumed: int | None = None
) -> Decision:
    """What to do at ``now`` about a schedule whose next slot is ``slot`` (None: not planned since ``since``).

    Slots up to ``resumed`` lie in a pause and are missed.
    """
    if policy.after_completion:
        return _after_completion(policy, slot, now)
    if slot is None:
        return _next(plan, next(plan.after(since), None))
    if plan.due(slot) > now:
        return Decision(following=SAME, due=plan.due(slot))
    first, late, paused = _skipped_ahead(plan, policy, slot, now, resumed)
    candidates: list[tuple[int, int]] = []
    following: int | None = None
    more, due = False, 0
    for n, at in enumerate(chain((first,), islice(plan.after(first), MOST_LOOKED_AT))):
        due = max(due, plan.due(at))  # in order: one that jitter moves far keeps those behind it waiting
        if due > now or n >= MOST_LOOKED_AT:
            following, more = at, due <= now
            break
        if resumed is not None and at <= resumed:
            paused += 1
        elif now - due > policy.window_ms:
            late += 1
        else:
            candidates.append((at, due))
    fired, passed = _chosen(policy, candidates, now, more, late)
    if len(fired) > MOST_FIRED:
        following, fired = fired[MOST_FIRED][0], fired[:MOST_FIRED]
    told = {"paused": paused, "catch_up_window": late, f"catch_up {policy.catch_up}": passed}
    why = ", ".join(f"{reason} {n}" for reason, n in told.items() if n)
    return msgspec.structs.replace(
        _next(plan, following), missed=paused + late + passed, why=why, slots=tuple(fired)
    )


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
    plan: Times, policy: Policy, slot: int, now: int, resumed: int | None
) -> tuple[int, int, int]:
    """For a plain interval, the first slot that may still be fired, and how many before it are too late or in a
    pause."""
    if plan.interval is None:
        return slot, 0, 0
    every = plan.interval[0]
    paused = 0 if resumed is None else max(0, (min(resumed, now) - slot) // every + 1)
    slot += paused * every
    late = max(0, -(-(now - policy.window_ms - slot) // every))
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
