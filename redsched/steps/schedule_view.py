"""What a view of a schedule says: its next runs as things are, its last ones, what runs, why it does not. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from redsched.model.duration import instant
from redsched.model.schedule import Schedule
from redsched.model.schedule_views import RecentRun, ScheduleView
from redsched.schedule.catch_up import replanned
from redsched.schedule.definition import Run
from redsched.schedule.slots import Plan
from redsched.schedule.zones import TZDATA_VERSION
from redsched.wire.codec import count_of
from redsched.wire.schedules import Shown
from redsched.wire.stored_schedule import Former, Stored, definition_of
from redsched.wire.task_types import NO_VERSION

COUNTERS = ("fired", "missed", "skipped", "dropped", "triggered", "backfilled")
MOST_RUNS = 2_000  # of one schedule that a timeline counts
NEXT = 10  # runs that a view shows
A_VIEW_S = 0.02  # of work to find them, where one at least is known by then
_OVER = frozenset(("completed", "skipped", "expired", "cancelled", "dead", "gone"))


def view_of(shown: Shown, schedule: Schedule, runs: list[Run], problem: str | None) -> ScheduleView:
    """All that is known of a schedule, with its definition, its next runs and what is wrong with it."""
    stored = shown.stored
    until = stored.number("paused_until")
    state = "ended" if stored.text("ended") else "paused" if stored.text("paused") else "active"
    return ScheduleView(
        schedule=schedule,
        rev=stored.number("rev") or 0,
        state=state,  # type: ignore[arg-type]
        paused_reason=stored.text("paused") or None,
        paused_until=None if until is None else instant(until),
        next_runs=runs,
        recent_runs=[_recent(stored, run) for run in shown.runs],
        counters={name: stored.number(name) or 0 for name in COUNTERS},
        running=[f"{stored.id}@{suffix}" for suffix in _still_open(stored, shown)],
        buffered=len(stored.words("buffer")),
        owner=stored.text("owner") or None,
        owner_version=stored.text("owner_version").strip(NO_VERSION) or None,
        problem=problem,
    )


def next_runs(plan: Plan, schedule: Schedule, stored: Stored, now: int) -> list[Run]:
    """The runs that are to come as things are: none of a pause without an end, and no more than ``max_runs`` leaves."""
    slot, since = stored.number("slot"), stored.number("changed_at") or now
    left = NEXT if schedule.max_runs is None else min(NEXT, schedule.max_runs - (stored.number("fired") or 0))
    paused_until = stored.number("paused_until") if stored.text("paused") else 0
    if paused_until is None or left <= 0:
        return []
    begin = paused_until or stored.number("resumed") or 0  # slots up to then are missed, as a mover has it
    if formers := stored.former():  # slots of theirs that have come are made first
        plans = [(Plan(definition_of(stored.as_it_was(one)), plan.holidays, plan.budget), one) for one in formers]
        runs = [run for earlier, one in plans for run in _of_former(earlier, one, slot) if run.slot_ms > begin]
        return [*runs, *plan.preview(_last_before(plan, since, begin), left, budget_s=A_VIEW_S)][:left]
    if slot is not None:
        slot = replanned(
            plan, slot, since=since, now=now, last=stored.text("last"), release=TZDATA_VERSION, chained=plan.chained
        )
    if schedule.after_completion is not None:
        return [] if slot is None else [plan.run(max(slot, paused_until))]
    if slot is None:
        return plan.preview(_last_before(plan, since, max(now, begin)), left, budget_s=A_VIEW_S)
    if slot <= begin or not plan.holds(slot):  # a pause has it, or it is only where the search for the next one goes on
        slot = next(plan.after(_last_before(plan, slot, begin)), None)
    return [] if slot is None else [plan.run(slot), *plan.preview(slot, left - 1, budget_s=A_VIEW_S)][:left]


def runs_until(plan: Plan, schedule: Schedule, stored: Stored, now: int, until: int) -> tuple[list[int], bool]:
    """When the runs up to a moment are due, ms, and whether these are all."""
    if stored.text("ended"):
        return [], True
    runs = next_runs(plan, schedule, stored, now)
    due = [run.due_ms for run in runs]
    if len(runs) == NEXT and schedule.after_completion is None:
        left = MOST_RUNS if schedule.max_runs is None else schedule.max_runs - (stored.number("fired") or 0)
        due += (plan.due(slot) for slot in islice(plan.between(runs[-1].slot_ms, until), min(left, MOST_RUNS) - NEXT))
    found = [one for one in due if now < one <= until]
    return found, len(due) < MOST_RUNS


def _last_before(plan: Plan, since: int, moment: int) -> int:
    """Where to begin for the slots after a moment; a chain, each of whose slots follows from the last, at ``since``."""
    if not plan.chained:
        return max(since, moment)
    return max(plan.between(since, moment), default=since)


def _of_former(plan: Plan, former: Former, slot: int | None) -> Iterator[Run]:
    """The runs of an earlier definition that are still to be made; ``slot``: the next one of the first."""
    begin = former.since if slot is None or not former.since < slot <= former.until else slot - 1
    return (plan.run(one) for one in islice(plan.between(begin, former.until), NEXT))


def _still_open(stored: Stored, shown: Shown) -> list[str]:
    """The runs that had not ended at the last look, without those that have ended since."""
    over = {line.partition("/")[0] for line, state, _, _ in shown.runs if state in _OVER}
    return [suffix for suffix in stored.words("open") if suffix not in over]


def _recent(stored: Stored, run: tuple[str, str, str, str]) -> RecentRun:
    line, state, started, due = run
    suffix, _, fired = line.partition("/")
    slot = suffix.partition(".")[0]
    lateness = count_of(started) - count_of(due) if count_of(started) and count_of(due) else None
    return RecentRun(
        id=f"{stored.id}@{suffix}",
        slot=instant(count_of(slot)) if count_of(slot) else None,
        fired_at=instant(count_of(fired)),
        state=state,  # type: ignore[arg-type]
        lateness_ms=lateness,
    )
