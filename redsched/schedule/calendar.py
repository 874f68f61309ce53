"""Calendar rules: days and times of day, every so many days, weeks, months or years, in local time.

What a rule asks of a day must all hold, and counting is from ``anchor`` alone, so that every node names the same days.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Literal, get_args

import msgspec

from redsched.schedule.quoted import quoted_if_plain
from redsched.schedule.zones import LAST_YEAR

Unit = Literal["day", "week", "month", "year"]
UNITS: tuple[Unit, ...] = get_args(Unit)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_EVERY = 10_000
MAX_TIMES = 1_440

_TIME = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)
_EPOCH = date(1970, 1, 1)
_MONDAY = date(1970, 1, 5)
_DAY = timedelta(days=1)


class InvalidRule(ValueError):
    """A field of a calendar rule or a part of a recurrence cannot be used."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class CalendarRule(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Days by the calendar and times of day, such as the last working day of each month at 09:00.

    ``at``: ``09:00`` or ``09:00:30``; none means midnight. ``days``: 1..31, or -1 (the last) .. -31; a month that
    lacks the day is left out, with ``clamp`` its nearest day is taken. ``weekdays``: ``mon`` .. ``sun`` or 1 (Monday)
    .. 7; with ``nth`` only the first (1) .. fifth or the last (-1) .. fifth last of a month. ``working_day``: the
    nth Monday-to-Friday day of the month that is in none of the stored calendars named in ``holidays``; -1 is the last.
    ``every`` n units is counted from ``anchor`` (1970-01-01; weeks begin on Monday), before it too. Where nothing
    names the day it is the anchor's: its weekday, its day of the month, its month.
    """

    every: int = 1
    unit: Unit = "day"
    at: list[str] = []
    days: list[int] = []
    clamp: bool = False
    weekdays: list[str | int] = []
    nth: list[int] = []
    working_day: int | None = None
    holidays: list[str] = []
    months: list[int] = []
    anchor: date | None = None

    @property
    def frequent(self) -> bool:
        """Never: its times are fixed ones."""
        return False

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The local times strictly after ``after``, without holidays; raises InvalidRule."""
        return Calendar(self).walls(after)


def _no_holiday(_: date) -> bool:
    return False


class Calendar:
    """A calendar rule made ready; ``closed`` says of a day whether it is a holiday."""

    frequent = False

    def __init__(self, rule: CalendarRule, closed: Callable[[date], bool] = _no_holiday) -> None:
        """Raises InvalidRule; a rule that names no day ever is one too (field ``never``)."""
        self._closed = closed
        self._unit = rule.unit
        if rule.unit not in UNITS:
            raise InvalidRule("unit", f"{quoted_if_plain(rule.unit)} is not day, week, month or year")
        self._every = _within("every", rule.every, 1, MAX_EVERY)
        if len(rule.at) > MAX_TIMES:
            raise InvalidRule("at", f"{len(rule.at)} times; at most {MAX_TIMES} are taken")
        self._times = sorted({time_of(text) for text in rule.at}) or [time()]
        self._anchor = rule.anchor or (_MONDAY if rule.unit == "week" else _EPOCH)
        self._months = frozenset(_within("months", month, 1, 12) for month in rule.months)
        self._days = frozenset(_signed("days", day, 31) for day in rule.days)
        self._clamp = rule.clamp
        self._weekdays = frozenset(_weekday(day) for day in rule.weekdays)
        self._nth = frozenset(_signed("nth", n, 5) for n in rule.nth)
        self._working_day = None if rule.working_day is None else _signed("working_day", rule.working_day, 23)
        self._check(rule)
        self._fill_in()
        if next(self._dates(_EPOCH), None) is None:
            raise InvalidRule("never", "no day fits all of it")

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The naive local times strictly after ``after``, ascending, up to ``LAST_YEAR``."""
        for day in self._dates(after.date()):
            for at in self._times:
                wall = datetime.combine(day, at)
                if wall > after:
                    yield wall

    def _check(self, rule: CalendarRule) -> None:
        monthly = self._unit in ("month", "year")
        for field, given in (("days", rule.days), ("nth", rule.nth), ("working_day", rule.working_day)):
            if given and not monthly:
                raise InvalidRule(field, f"goes with unit month or year, not {self._unit}")
        if self._nth and not self._weekdays:
            raise InvalidRule("nth", "goes with weekdays")
        if self._working_day is not None and (self._days or self._weekdays):
            raise InvalidRule("working_day", "stands alone, without days and weekdays")
        if rule.holidays and self._working_day is None:
            raise InvalidRule("holidays", "goes with working_day; to leave days out, name the calendar in exclude")
        if self._clamp and not self._days:
            raise InvalidRule("clamp", "goes with days")

    def _fill_in(self) -> None:
        """The anchor's day, where nothing names one."""
        named = self._days or self._weekdays or self._working_day is not None
        if self._unit == "week" and not named:
            self._weekdays = frozenset((self._anchor.weekday(),))
        if self._unit in ("month", "year") and not named:
            self._days = frozenset((self._anchor.day,))
        if self._unit == "year" and not self._months:
            self._months = frozenset((self._anchor.month,))

    def _dates(self, first: date) -> Iterator[date]:
        if self._unit == "day":
            return self._by_day(first)
        return self._by_week(first) if self._unit == "week" else self._by_month(first)

    def _by_day(self, first: date) -> Iterator[date]:
        step = timedelta(days=self._every)
        day = first + timedelta(days=(self._anchor - first).days % self._every)
        while day.year <= LAST_YEAR:
            if self._holds(day):
                yield day
            day += step

    def _by_week(self, first: date) -> Iterator[date]:
        monday, counted = _monday(first), _monday(self._anchor)
        monday += 7 * _DAY * ((counted - monday).days // 7 % self._every)
        while monday.year <= LAST_YEAR:
            for weekday in sorted(self._weekdays):
                day = monday + timedelta(days=weekday)
                if day >= first and self._holds(day):
                    yield day
            monday += timedelta(days=7 * self._every)

    def _by_month(self, first: date) -> Iterator[date]:
        for month in range(first.year * 12 + first.month - 1, (LAST_YEAR + 1) * 12):
            if self._counts(month):
                yield from (day for day in self._of_month(month // 12, month % 12 + 1) if day >= first)

    def _counts(self, month: int) -> bool:
        if self._months and month % 12 + 1 not in self._months:
            return False
        if self._unit == "year":
            return (month // 12 - self._anchor.year) % self._every == 0
        return (month - self._anchor.year * 12 - self._anchor.month + 1) % self._every == 0

    def _of_month(self, year: int, month: int) -> Sequence[date]:
        first_weekday, length = monthrange(year, month)
        if self._working_day is not None:
            return self._nth_working_day(year, month, length)
        found = set(range(1, length + 1))
        if self._days:
            days = {day if day > 0 else length + 1 + day for day in self._days}
            if self._clamp:
                days = {min(max(day, 1), length) for day in days}
            found &= days
        if self._weekdays:
            found = {day for day in found if (first_weekday + day - 1) % 7 in self._weekdays}
        if self._nth:
            found = {d for d in found if (d + 6) // 7 in self._nth or -((length - d) // 7 + 1) in self._nth}
        return [date(year, month, day) for day in sorted(found)]

    def _nth_working_day(self, year: int, month: int, length: int) -> Sequence[date]:
        assert self._working_day is not None
        days = (date(year, month, day) for day in range(1, length + 1))
        working = [day for day in days if day.weekday() < 5 and not self._closed(day)]
        at = self._working_day - 1 if self._working_day > 0 else len(working) + self._working_day
        return working[at : at + 1] if at >= 0 else ()

    def _holds(self, day: date) -> bool:
        return (
            day.year <= LAST_YEAR
            and (not self._months or day.month in self._months)
            and (not self._weekdays or day.weekday() in self._weekdays)
        )


def time_of(text: str) -> time:
    """The time of day of ``09:00`` or ``09:00:30``; raises InvalidRule."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None or int(found[1]) > 23 or int(found[2]) > 59 or int(found[3] or 0) > 59:
        raise InvalidRule("at", f"{quoted_if_plain(text)} is no time of day such as 09:00 or 09:00:30")
    return time(int(found[1]), int(found[2]), int(found[3] or 0))


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _weekday(given: str | int) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= 7:
        return given - 1
    if isinstance(given, str) and given.lower() in _NAMES:
        return _NAMES[given.lower()]
    told = f"{quoted_if_plain(given)} is no weekday: mon, tue, wed, thu, fri, sat, sun or 1 (Monday) to 7"
    raise InvalidRule("weekdays", told)


_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMES = {name: at for names in (WEEKDAYS, _LONG) for at, name in enumerate(names)}


def _within(field: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRule(field, f"{value!r} is outside {low}..{high}")
    return value


def _signed(field: str, value: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= abs(value) <= most:
        raise InvalidRule(field, f"{value!r} is outside 1..{most} and -1..-{most}")
    return value
