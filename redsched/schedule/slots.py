"""When a definition runs: ``Plan`` names its slots.

A plan is computed from the definition alone, without a clock and without state, so that all nodes name the same slots.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice, takewhile
from operator import itemgetter

from redsched.model.duration import EARLIEST_MS, LATEST_MS, instant_ms
from redsched.model.errors import InvalidSchedule, SearchSpent
from redsched.schedule import cron
from redsched.schedule.budget import Budget
from redsched.schedule.calendar import Calendar
from redsched.schedule.cron_rule import CronRule
from redsched.schedule.definition import Definition, Every, Random, Run
from redsched.schedule.describe import describe
from redsched.schedule.exclude import Exclusion
from redsched.schedule.fields import bounds, instant, items, ranged, read
from redsched.schedule.rrule import Recurrence
from redsched.schedule.zones import Note, Rule, local, noted, zone

MAX_INSTANTS = 1_000
MAX_JITTER_MS = 86_400_000
LEAST_MS = 1_000  # the shortest interval
LONGEST_MS = 100 * 366 * 86_400_000
_AROUND_MS = 3 * 3_600_000  # no clock is put back further
SEARCH_S = 0.01  # of work, searching for one slot behind what exclusions leave out
PREVIEW_S = 1.0  # of work for a preview

Slot = tuple[int, Note]
Source = Callable[[int], Iterator[Slot]]

_zone = lru_cache(maxsize=1_024)(zone)
_cron = lru_cache(maxsize=4_096)(cron.parse)


class Plan:
    """The slots of a schedule, computed when asked for; it keeps nothing that grows."""

    def __init__(
        self, schedule: Definition, holidays: Mapping[str, frozenset[str]] | None = None, budget: Budget | None = None
    ) -> None:
        """``holidays``: the dates of each stored calendar (``2027-12-25``); an unknown one has none. ``budget``: of
        work; what is asked of the plan afterwards raises PlanningSpent.

        Raises:
            InvalidSchedule: a rule cannot be read.
        """
        self.budget = budget
        self._check_budget: Callable[[], None] = (lambda: None) if budget is None else budget.check
        self.schedule = schedule
        self.holidays = holidays or {}
        self._seed = schedule.id
        self._zone = read("time_zone", _zone, schedule.time_zone, code="unknown_time_zone")
        self._start, end = bounds(schedule.start, schedule.end)
        self._end = LATEST_MS if end is None else end
        self._jitter = ranged("jitter", schedule.jitter, 0, MAX_JITTER_MS)
        self._intervals: list[tuple[int, int]] = []
        self._sources: list[Source] = []
        self._cron_rules: list[CronRule] = []  # of its own zone
        self._by_wall = False
        self._compile()
        excluded = schedule.exclude
        self._exclusion = None
        if excluded is not None and (excluded.dates or excluded.crons or excluded.calendars):
            rules = self._cron_rules if len(self._cron_rules) == len(self._sources) else None
            self._exclusion = Exclusion(excluded, self._zone, self.holidays, schedule.id, schedule.dialect, rules)

    @property
    def interval(self) -> tuple[int, int] | None:
        """(every, phase) in ms, where the plan is that and nothing else; else None."""
        plain = self._exclusion is None and not self._jitter and self._start is None and self._end == LATEST_MS
        return self._intervals[0] if plain and len(self._intervals) == len(self._sources) == 1 else None

    def after(self, after_ms: int) -> Iterator[int]:
        """The slots strictly after an instant, ascending; it ends where none follows.

        Raises:
            SearchSpent: none was found behind what exclusions leave out before the time for a search was over.
        """
        return (ms for ms, _ in self._slots(after_ms))

    def between(self, after_ms: int, last_ms: int) -> Iterator[int]:
        """The planned times after one moment, up to and with another."""
        return takewhile(lambda slot: slot <= last_ms, self.after(after_ms))

    def due(self, slot_ms: int) -> int:
        """When the run of a slot is due: up to ``jitter`` later, the same for the same slot, never past ``end``, and
        before the next slot."""
        if not self._jitter:
            return slot_ms
        moved = slot_ms + _draw(self._seed, slot_ms, "jitter") % (self._jitter + 1)
        try:
            following = next(self.after(slot_ms), moved + 1)
        except SearchSpent as spent:
            following = spent.reached
        return max(slot_ms, min(self._end, moved, following - 1))

    def holds(self, slot_ms: int) -> bool:
        """Whether it is one of the slots, by the calendars and the zones of now."""
        if self._exclusion is not None and self._exclusion.leaves_out(slot_ms):
            return False
        return self.chained or next(self._merged(slot_ms - 1), (None, ""))[0] == slot_ms

    @property
    def chained(self) -> bool:
        """Whether each slot follows from the one before it."""
        return self.schedule.random is not None or self.schedule.after_completion is not None

    def wall(self, slot_ms: int) -> str:
        """The local time of a slot such as ``2027-03-14T09:00:00``; empty where no clock on a wall names the slots."""
        if not self._by_wall:
            return ""
        return local(slot_ms, self._zone).replace(tzinfo=None, microsecond=0).isoformat()

    def after_wall(self, wall: str) -> Iterator[int]:
        """The slots after a local time such as ``2027-03-14T09:00:00``, without another one of its day where a day has
        one: its clocks may have gone otherwise when that one ran.

        Raises:
            ValueError: it is no local time.
        """
        moment = datetime.fromisoformat(wall)
        begin = instant_ms(moment.replace(tzinfo=self._zone)) - _AROUND_MS
        day = moment.date().isoformat()
        for slot in self.after(begin):
            at = self.wall(slot)
            if at > wall and (at[:10] != day or self._slots_of_day(slot) > 1):
                yield slot

    def _slots_of_day(self, slot_ms: int) -> int:
        """How many slots the local day of a slot has: 1, or 2 for more."""
        day = local(slot_ms, self._zone).date()
        begin = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        found = 0
        for slot in self.after(instant_ms(begin) - 1):
            if found == 2 or local(slot, self._zone).date() != day:
                break
            found += 1
        return found

    def preview(self, after_ms: int, count: int, *, budget_s: float = PREVIEW_S) -> list[Run]:
        """The next ``count`` runs after an instant; fewer where finding them takes more work than ``budget_s`` seconds.

        Raises:
            SearchSpent: of none of them is known when it comes.
        """
        found: list[Run] = []
        deadline = time.thread_time() + budget_s
        try:
            for ms, note in islice(self._slots(after_ms), count):
                found.append(self.run(ms, note))
                if time.thread_time() > deadline:
                    break
        except SearchSpent:
            if not found:
                raise
        return found

    def run(self, slot_ms: int, note: Note = "") -> Run:
        """A slot with its due time and its local time in RFC 3339."""
        return Run(slot_ms, self.due(slot_ms), _rfc3339(local(slot_ms, self._zone)), note)

    def excluded(self, after_ms: int, until_ms: int, *, most: int = 1_000) -> list[int]:
        """The slots after one instant, up to and with another, that exclusions leave out; at most ``most``."""
        if self._exclusion is None:
            return []
        found: list[int] = []
        deadline = time.thread_time() + SEARCH_S
        for ms, _ in self._merged(after_ms):
            if ms > until_ms or len(found) == most or time.thread_time() > deadline:
                break
            if self._exclusion.leaves_out(ms):
                found.append(ms)
        return found

    def describe(self) -> str:
        """The schedule in one line of English."""
        return describe(self.schedule)

    def _slots(self, after_ms: int) -> Iterator[Slot]:
        if self._exclusion is None:
            yield from self._merged(after_ms)
            return
        deadline: float | None = None  # of the search that goes on
        while True:
            for ms, note in self._merged(after_ms):
                free_ms = self._exclusion.until(ms)
                if free_ms is None:
                    yield ms, note
                    deadline = None
                    continue
                now = time.thread_time()
                if deadline is None:
                    deadline = now + SEARCH_S
                elif now > deadline:
                    raise SearchSpent(free_ms - 1)
                if free_ms - ms > LEAST_MS:
                    after_ms = free_ms - 1
                    break  # begin again behind what is left out
            else:
                return

    def _merged(self, after_ms: int) -> Iterator[Slot]:
        """The union of all rules, within start and end; what they share comes once."""
        after_ms = max(after_ms, EARLIEST_MS - 1 if self._start is None else self._start - 1)
        if self._start is not None and self.schedule.random is not None:
            after_ms = max(after_ms, self._start)  # the first pause begins at start
        last = after_ms
        slots = [source(after_ms) for source in self._sources]
        for ms, note in slots[0] if len(slots) == 1 else merge(*slots, key=itemgetter(0)):
            self._check_budget()
            if ms > self._end:
                return
            if ms > last:
                last = ms
                yield ms, note

    def _compile(self) -> None:
        self._check_budget()
        schedule = self.schedule
        alone = [name for name in ("after_completion", "random") if getattr(schedule, name) is not None]
        kinds = ("cron", "every", "calendar", "rrule", "at")
        together = [name for name in kinds if getattr(schedule, name) not in ([], (), "")]
        if not alone and not together:
            raise InvalidSchedule(
                "schedule", "has no rule; give cron, every, after_completion, random, calendar, rrule or at"
            )
        if alone and len(alone) + len(together) > 1:
            raise InvalidSchedule(alone[0], f"stands alone, without {', '.join([*alone[1:], *together])}")
        if schedule.after_completion is not None:
            pause = ranged("after_completion", schedule.after_completion, LEAST_MS, LONGEST_MS)
            self._sources.append(lambda after_ms: _pauses(after_ms, lambda _: pause))
        if schedule.random is not None:
            self._random(schedule.random)
        for field, text in items("cron", schedule.cron):
            self._check_budget()
            self._cron(field, text)
        for field, given in items("every", schedule.every):
            self._every(field, given)
        for field, rule in items("calendar", schedule.calendar):
            self._check_budget()
            dates = frozenset[str]().union(*(self.holidays.get(name, frozenset()) for name in rule.holidays))
            self._rule(read(field, Calendar, rule, _closed(dates)))
        for field, text in items("rrule", schedule.rrule):
            self._check_budget()
            self._rule(read(field, Recurrence, text, self._zone))
        moments = sorted({instant(field, moment) for field, moment in items("at", schedule.at, MAX_INSTANTS)})
        if moments:
            self._sources.append(lambda after_ms: ((ms, "") for ms in moments[bisect_right(moments, after_ms) :]))

    def _cron(self, field: str, text: str) -> None:
        seed = self.schedule.id if "H" in text.upper() else ""  # without H it does not matter
        try:
            found = _cron(text, seed=seed, dialect=self.schedule.dialect)
        except cron.InvalidCron as error:
            raise InvalidSchedule(field, str(error), code="invalid_cron") from None
        if found.every_ms is not None:
            self._interval(found.every_ms, 0)
        elif found.rule is not None:
            if found.zone is None:
                self._cron_rules.append(found.rule)
            self._rule(found.rule, found.zone)

    def _every(self, field: str, given: Every | timedelta | str) -> None:
        if isinstance(given, str):
            every, _, phase = given.partition("/")
            given = Every(every, phase or "0ms")
        elif not isinstance(given, Every):
            given = Every(given)
        every_ms = ranged(field, given.every, LEAST_MS, LONGEST_MS)
        self._interval(every_ms, ranged(f"{field}.phase", given.phase, 0, LONGEST_MS) % every_ms)

    def _interval(self, every_ms: int, phase_ms: int) -> None:
        self._intervals.append((every_ms, phase_ms))
        self._sources.append(lambda after_ms: _beats(after_ms, every_ms, phase_ms))

    def _rule(self, rule: Rule, zone_name: str | None = None) -> None:
        its_zone = self._zone if zone_name is None else _zone(zone_name)
        self._by_wall = True
        gap, fold = self.schedule.dst_gap, self.schedule.dst_fold
        self._sources.append(lambda after_ms: noted(rule, its_zone, after_ms, gap, fold))

    def _random(self, given: Random) -> None:
        least = ranged("random.least", given.least, LEAST_MS, LONGEST_MS)
        most = ranged("random.most", given.most, least, LONGEST_MS)
        seed = self._seed
        self._sources.append(
            lambda after_ms: _pauses(after_ms, lambda ms: least + _draw(seed, ms, "random") % (most - least + 1))
        )


def _beats(after_ms: int, every_ms: int, phase_ms: int) -> Iterator[Slot]:
    ms = after_ms + every_ms - (after_ms - phase_ms) % every_ms
    while ms <= LATEST_MS:
        yield ms, ""
        ms += every_ms


def _pauses(after_ms: int, pause: Callable[[int], int]) -> Iterator[Slot]:
    ms = after_ms + pause(after_ms)
    while ms <= LATEST_MS:
        yield ms, ""
        ms += pause(ms)


def _draw(seed: str, slot_ms: int, purpose: str) -> int:
    """A number that depends on these alone."""
    return int.from_bytes(hashlib.sha256(f"{purpose}\0{seed}\0{slot_ms}".encode()).digest()[:8])


def _closed(dates: frozenset[str]) -> Callable[[date], bool]:
    return lambda day: f"{day:%Y-%m-%d}" in dates or f"*-{day:%m-%d}" in dates


def _rfc3339(moment: datetime) -> str:
    if moment.tzinfo is UTC or str(moment.tzinfo) == "UTC":
        return moment.isoformat(timespec="auto").replace("+00:00", "Z")
    return moment.isoformat()
