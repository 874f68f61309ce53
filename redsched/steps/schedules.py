"""What the methods of ``client.schedules`` do, each a conversation of calls. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

import msgspec

from redsched.model.duration import instant, instant_ms, latest_ms
from redsched.model.errors import InvalidSchedule, InvalidTask, PlanningSpent, ScheduleNotFound, SearchSpent
from redsched.model.refused import kind_and_length
from redsched.model.schedule import Schedule, check, document, merged, merged_text, plain, schedule_of
from redsched.model.schedule_views import Applied, Backfill, SchedulePage, SchedulePut, ScheduleView, Upcoming
from redsched.model.template import TaskTemplate
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.schedule.budget import Budget
from redsched.schedule.definition import OVERLAPS, Run
from redsched.schedule.exclude import is_date
from redsched.schedule.quoted import quoted_if_plain
from redsched.schedule.slots import Plan
from redsched.settings import Settings
from redsched.steps.conversation import Conversation
from redsched.steps.schedule_view import next_runs, runs_until, view_of
from redsched.wire import schedules as wire
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.codec import is_name, json_bytes
from redsched.wire.keys import CellKeys
from redsched.wire.schedules import MAX_SLOTS, Kept, Shown
from redsched.wire.stored_schedule import Stored, definition_of, policy_of
from redsched.wire.task_types import types
from redsched.wire.templates import task_words, template_of

T = TypeVar("T")
Holidays = dict[str, frozenset[str]]
Fits = Callable[[TaskTemplate], Conversation[None]]  # raises InvalidTask, which names the field of a schedule
PATCHES = 10  # times that a change is made anew because somebody else made one meanwhile
MOST_PAGES, MOST_OF_ALL_S = 100, 1.0  # of a look at all schedules: pages, and work
MOST_OF_A_VIEW_S = 0.1  # of work, after which a view has none
NOT_GIVEN: Any = object()


class Caller(Protocol):
    """Who asks: the part of a client that is needed here."""

    cell: Cell
    settings: Settings

    @property
    def cell_keys(self) -> CellKeys:
        """The keys of its cell."""


class ScheduleSteps:
    """The conversations, by the method of ``client.schedules`` that each belongs to.

    Where there is a ``budget``, a conversation that asks for more raises PlanningSpent. ``fits``: what is asked of the
    task of each schedule before it is written, beside what always is.
    """

    def __init__(self, caller: Caller, budget: Budget | None = None, fits: Fits | None = None) -> None:
        self._caller = caller
        self._budget = budget
        self._fits = fits
        self._keys = caller.cell_keys

    def put(
        self, schedule: Schedule, mode: str, owner: str | None = None, version: str | None = None
    ) -> Conversation[SchedulePut]:
        """Create or replace a schedule. ``mode``, ``owner``: as ``wire.schedules.put_schedule`` has them."""
        schedule = yield from self._placed(plain(schedule))
        yield from self._check(schedule)
        found, _ = yield self._put(schedule, mode, owner, version)
        return found  # type: ignore[no-any-return]

    def keep(self, owner: str, version: str | None, ids: Sequence[str], *, drop: bool) -> Conversation[Kept]:
        """Pause or drop what else belongs to this owner, if no newer version of it rules."""
        return (yield from self._kept(owner, version, "drop" if drop else "pause", ids))

    def _kept(self, owner: str, version: str | None, mode: str, ids: Sequence[str]) -> Conversation[Kept]:
        left_out: list[str] = []
        while True:
            kept = yield wire.keep_schedules(self._keys, owner, version, mode, ids)
            left_out += kept.left_out
            if mode == "dry" or len(kept.left_out) < wire.MOST_LEFT_OUT:
                return Kept(kept.ruling, sorted(left_out))

    def _placed(self, schedule: Schedule) -> Conversation[Schedule]:
        """With the queue of its type, where it names none and that is known."""
        if schedule.task.queue is not None or not is_name(schedule.task.type):
            return schedule
        page = yield types(self._keys, [schedule.task.type])
        queue = page.items[0].queue if page.items else DEFAULT_QUEUE
        return msgspec.structs.replace(schedule, task=msgspec.structs.replace(schedule.task, queue=queue))

    def patch(self, schedule_id: str, patch: Mapping[str, Any]) -> Conversation[SchedulePut]:
        """Change some fields of a definition, again where somebody else changes it meanwhile."""
        for _ in range(PATCHES):
            stored = yield from self._stored(schedule_id)
            changes = _with_payload(stored, patch)
            changed = schedule_of({**merged(document(definition_of(stored)), changes), "id": schedule_id})
            yield from self._check(changed)
            found, _ = yield wire.patch_schedule(
                self._caller.cell, changed, stored, patch, max_payload=self._caller.settings.max_payload_bytes
            )
            if found.status != "changed":
                return found  # type: ignore[no-any-return]
        raise InvalidSchedule("rev", "others go on changing it meanwhile", code="precondition_failed")

    def _check(self, schedule: Schedule) -> Conversation[None]:
        """Raises InvalidSchedule where it cannot be used, or never fires after now."""
        if not is_name(schedule.id):
            raise InvalidSchedule("id", f"{kind_and_length(schedule.id)} is no name: 1 to 100 of [A-Za-z0-9._@+-]")
        task_words(schedule.task, self._caller.settings.max_payload_bytes)
        yield from self._check_fit(schedule.task)
        now, _, _ = yield wire.show_schedules(self._keys, limit=1)
        check(schedule, (yield from self._holidays(schedule)), after_ms=now, budget=self._budget)

    def _check_fit(self, template: TaskTemplate) -> Conversation[None]:
        if self._fits is None:
            return
        try:
            yield from self._fits(template)
        except InvalidTask as error:
            raise InvalidSchedule(error.field, error.problem, code=error.code) from None

    def _put(self, schedule: Schedule, mode: str, owner: str | None, version: str | None = None) -> Call[Any]:
        longest = self._caller.settings.max_payload_bytes
        return wire.put_schedule(
            self._caller.cell, schedule, mode=mode, owner=owner, version=version, max_payload=longest
        )

    def _plan(self, schedule: Schedule, known: Holidays | None = None) -> Conversation[Plan]:
        return Plan(schedule, (yield from self._holidays(schedule, known)), self._budget)

    def _holidays(self, schedule: Schedule, known: Holidays | None = None) -> Conversation[Holidays]:
        """The stored calendars, as far as any is needed; ``known`` keeps them for the next schedule."""
        found, unknown = yield from self._known_holidays(schedule, known)
        if unknown:
            raise InvalidSchedule("exclude.calendars", f"{quoted_if_plain(unknown)} is the name of no calendar")
        return found

    def _known_holidays(self, schedule: Schedule, known: Holidays | None) -> Conversation[tuple[Holidays, str | None]]:
        """The same, and the first that there is not."""
        wanted = calendars_of(schedule)
        known = {} if known is None else known
        if wanted and not known:
            known |= {name: frozenset(dates) for name, dates in (yield wire.calendars(self._keys)).items()}
        return known, min(wanted - known.keys(), default=None)

    def get(self, schedule_id: str, written: bool = False) -> Conversation[ScheduleView]:
        """All that is known of one. ``written``: its payload byte for byte as it is stored."""
        now, _, found = yield wire.show_schedules(self._keys, [schedule_id])
        if not found:
            raise ScheduleNotFound(schedule_id, reads=True)
        return (yield from self._view(found[0], now, written=written))

    def page(self, limit: int, cursor: str | None, written: bool = False) -> Conversation[SchedulePage]:
        """One page of 1..100; ``written``: as ``get``."""
        if not 1 <= limit <= 100:
            raise InvalidTask("limit", f"{limit} is outside 1..100")
        now, following, found = yield wire.show_schedules(self._keys, cursor=cursor or "", limit=limit)
        items, known = [], Holidays()
        for one in found:
            items.append((yield from self._view(one, now, known, written=written)))
        return SchedulePage(items, following or None)

    def _view(
        self, shown: Shown, now: int, known: Holidays | None = None, *, written: bool
    ) -> Conversation[ScheduleView]:
        stored, problem, runs = shown.stored, None, []
        schedule = Schedule(id=stored.id, task=template_of(stored.task_fields, stored.queue, written=written))
        try:
            schedule = definition_of(stored, written=written)
            holidays, unknown = yield from self._known_holidays(schedule, known)
            problem = unknown and f"{quoted_if_plain(unknown)} is the name of no calendar: it leaves out nothing"
            plan = Plan(schedule, holidays, Budget.share(MOST_OF_A_VIEW_S, self._budget))
            policy_of(schedule)
            runs = [] if stored.text("ended") else next_runs(plan, schedule, stored, now)
        except PlanningSpent as spent:
            problem = spent.problem
        except Exception as error:  # somebody wrote it by hand: it is shown with what is wrong, and the others with it
            problem = str(error) or type(error).__name__
        return view_of(shown, schedule, runs, problem)

    def upcoming(self, until_ms: int) -> Conversation[Upcoming]:
        """The runs that schedules will make up to then."""
        found, is_complete, cursor = dict[str, list[int]](), True, ""
        known, left = Holidays(), MOST_OF_ALL_S
        for _ in range(MOST_PAGES):
            now, cursor, page = yield wire.show_schedules(self._keys, cursor=cursor, limit=100)
            for one in page:
                if left <= 0:
                    return Upcoming(found, False)
                try:
                    schedule = definition_of(one.stored)
                    holidays, _ = yield from self._known_holidays(schedule, known)
                    began = time.thread_time()
                    plan = Plan(schedule, holidays, Budget.share(MOST_OF_A_VIEW_S, self._budget))
                    due, is_whole = runs_until(plan, schedule, one.stored, now, until_ms)
                    found.setdefault(one.stored.queue, []).extend(due)
                    is_complete = is_complete and is_whole
                    left -= time.thread_time() - began
                except (PlanningSpent, SearchSpent):
                    is_complete = False
                    left -= MOST_OF_A_VIEW_S
                except Exception:  # somebody wrote it by hand: it makes no runs
                    continue
            if not cursor:
                return Upcoming(found, is_complete)
        return Upcoming(found, False)

    def delete(self, schedule_id: str) -> Conversation[bool]:
        """Remove one; False where there is none."""
        (gone,) = yield wire.drop_schedule(self._keys, [schedule_id])
        return gone  # type: ignore[no-any-return]

    def pause(self, schedule_id: str, reason: str, until: Any) -> Conversation[None]:
        """Make no runs until it is resumed, or until then."""
        try:
            at = 0 if until is None else instant_ms(until)
        except ValueError as error:
            raise InvalidSchedule("until", str(error)) from None
        if not (yield wire.pause_schedule(self._keys, schedule_id, reason=reason, until=at)):
            raise ScheduleNotFound(schedule_id)

    def resume(self, schedule_id: str) -> Conversation[bool]:
        """Go on with the next slot; False where it was not paused."""
        word = yield wire.resume_schedule(self._keys, schedule_id)
        if word == "missing":
            raise ScheduleNotFound(schedule_id)
        return word == "resumed"  # type: ignore[no-any-return]

    def _stored(self, schedule_id: str) -> Conversation[Stored]:
        _, _, found = yield wire.show_schedules(self._keys, [schedule_id])
        if not found:
            raise ScheduleNotFound(schedule_id)
        return found[0].stored  # type: ignore[no-any-return]

    def trigger(self, schedule_id: str, payload: Any, overlap: str | None) -> Conversation[str | None]:
        """Run it now; the task's id, or None where its overlap policy left it out or keeps it."""
        text = b""
        if payload is not NOT_GIVEN:
            text = json_bytes("payload", payload, self._caller.settings.max_payload_bytes)
        stored = yield from self._stored(schedule_id)
        if payload is not NOT_GIVEN:
            template = template_of(stored.task_fields, stored.queue)
            yield from self._check_fit(msgspec.structs.replace(template, payload=payload))
        word, _, ids = yield wire.trigger(
            self._caller.cell, schedule_id, stored.queue, payload=text, overlap=_policy(overlap)
        )
        if word != "done":
            raise ScheduleNotFound(schedule_id)
        return ids[0] if ids else None

    def backfill(
        self, schedule_id: str, start: Any, end: Any, overlap: str | None, dry_run: bool
    ) -> Conversation[Backfill]:
        """Run it once more for each slot of the past in a range."""
        first, last = _instant("from", start), _instant("to", end, latest_ms)
        if last < first:
            raise InvalidSchedule("to", "lies before from")
        now, _, found = yield wire.show_schedules(self._keys, [schedule_id])
        if not found:
            raise ScheduleNotFound(schedule_id)
        if last > now:
            raise InvalidSchedule("to", f"lies after now, {instant(now).isoformat()}: those slots are still to come")
        stored = found[0].stored
        plan = yield from self._plan(definition_of(stored))
        slots = list(islice(plan.between(first - 1, last), MAX_SLOTS + 1))
        if len(slots) > MAX_SLOTS:
            raise InvalidSchedule("to", f"there are more than {MAX_SLOTS} slots in the range", code="too_many_runs")
        times = [instant(slot) for slot in slots]
        if dry_run or not slots:
            return Backfill(slots=times, ids=[], waiting=0, skipped=0)
        word, taken, ids = yield wire.trigger(
            self._caller.cell, schedule_id, stored.queue, overlap=_policy(overlap), slots=slots
        )
        if word != "done":
            raise ScheduleNotFound(schedule_id)
        return Backfill(slots=times, ids=ids, waiting=max(0, taken - len(ids)), skipped=len(slots) - taken)

    def preview(self, schedule: Schedule, start: Any, count: int) -> Conversation[list[Run]]:
        """The next runs of a definition; nothing is written."""
        if not 1 <= count <= 1_000:
            raise InvalidSchedule("count", f"{count} is outside 1..1000")
        schedule = plain(schedule)
        plan = yield from self._plan(schedule)
        if start is None:
            after, _, _ = yield wire.show_schedules(self._keys, limit=1)
        else:
            after = _instant("from", start) - 1
        return plan.preview(after, count)

    def apply(self, given: Sequence[Schedule], owner: str, prune: bool, dry_run: bool) -> Conversation[Applied]:
        """Put all of them for an owner, and with ``prune`` remove what else is its; all are checked before any is
        written."""
        ids = [schedule.id for schedule in given]
        if twice := {one for one in ids if ids.count(one) > 1}:
            at = len(ids) - 1 - ids[::-1].index(sorted(twice)[0])
            raise InvalidSchedule("id", f"{quoted_if_plain(ids[at])} is given twice", index=at)
        given = list(given)
        for at in range(len(given)):  # all are checked before any is written
            try:
                given[at] = yield from self._placed(plain(given[at]))
                yield from self._check(given[at])
            except InvalidSchedule as error:
                raise InvalidSchedule(error.field, error.problem, index=at, code=error.code) from None
        done: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": [], "other": []}
        for schedule in given:
            found, _ = yield self._put(schedule, "dry" if dry_run else "", owner)
            done[found.status].append(schedule.id)
        pruned: list[str] = []
        if prune:
            pruned = (yield from self._kept(owner, None, "dry" if dry_run else "drop", ids)).left_out
        return Applied(**done, pruned=pruned)

    def put_calendar(self, name: str, dates: Sequence[str] | None) -> Conversation[str]:
        """Keep a calendar, or with None remove it; what became of it, as ``wire.schedules.put_calendar`` has it."""
        for at, date in enumerate(dates or ()):
            if not is_date(date):
                told = f"{quoted_if_plain(date)} is no date such as 2027-12-25 or *-12-25"
                raise InvalidSchedule(f"dates[{at}]", told)
        return (yield wire.put_calendar(self._keys, name, dates))  # type: ignore[no-any-return]

    def calendars(self) -> Conversation[dict[str, list[str]]]:
        """The dates of every calendar."""
        return dict((yield wire.calendars(self._keys)))


def calendars_of(schedule: Schedule) -> set[str]:
    """The names of the calendars that it needs."""
    named = set(schedule.exclude.calendars if schedule.exclude is not None else ())
    return named.union(*(rule.holidays for rule in schedule.calendar))


def _policy(overlap: str | None) -> str:
    if overlap is not None and overlap not in OVERLAPS:
        raise InvalidSchedule("overlap", f"is not one of {', '.join(OVERLAPS)}")
    return overlap or ""


def _instant(field: str, value: Any, reader: Callable[[Any], int] = instant_ms) -> int:
    try:
        return reader(value)
    except ValueError as error:
        raise InvalidSchedule(field, str(error)) from None


def _with_payload(stored: Stored, patch: Mapping[str, Any]) -> Mapping[str, Any]:
    """The patch with the whole payload that it leads to, where it gives one as it was written."""
    task = patch.get("task")
    if not isinstance(task, Mapping) or not isinstance(task.get("payload"), msgspec.Raw):
        return patch
    payload = merged_text(bytes(stored.fields.get("task:payload", b"null")), task["payload"])
    return {**patch, "task": {**task, "payload": payload}}
