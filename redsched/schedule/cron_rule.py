"""The rule of a cron expression that was read: which local times it names.

It knows nothing of text (that is ``cron.py``) nor of time zones (``zones.py``). It goes from a year to its months,
days and times by looking at the values that are in the expression only, so a rare rule is found as fast as another.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from redsched.schedule.zones import LAST_YEAR

ALL_WEEKDAYS = frozenset(range(7))  # 0 is Sunday
_SECOND = timedelta(seconds=1)


class CronRule(msgspec.Struct, frozen=True, kw_only=True):
    """The values of every field, sorted; a day must be in both kinds of days, or with ``either`` in one of them."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]  # empty: every year
    days: frozenset[int]
    before_last: frozenset[int]  # days before the last of the month; 0 is the last itself
    nearest: frozenset[int]  # the day from Monday to Friday next to this one; 0 or less: so many before the last
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]  # weekday, and which of the month: 1..5, or -1 for the last
    either: bool
    frequent: bool

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The local times strictly after ``after``, ascending, to the end of ``LAST_YEAR``."""
        start = after.replace(microsecond=0) + _SECOND
        for year, month in self._months(start):
            begun = (year, month) == (start.year, start.month)
            for day in self._days(year, month):
                if begun and day < start.day:
                    continue
                today = begun and day == start.day
                times = self._times_from(start.hour, start.minute, start.second) if today else self._times()
                for hour, minute, second in times:
                    yield datetime(year, month, day, hour, minute, second)

    def days_of(self, year: int, month: int) -> frozenset[int]:
        """The days of a month on which it has times."""
        if year > LAST_YEAR or month not in self.months or (self.years and year not in self.years):
            return frozenset()
        return frozenset(self._days(year, month))

    def names_time(self, wall: datetime, *, to_the_minute: bool) -> bool:
        """Whether it has a time of a day like that one's, whatever the day."""
        if wall.hour not in self.hours or wall.minute not in self.minutes:
            return False
        return to_the_minute or wall.second in self.seconds

    def has_all_times_of(self, other: CronRule | None, *, to_the_minute: bool) -> bool:
        """Whether each time of a day of another rule is one of this rule's; None: each time that there is."""
        wanted = (range(24), range(60), range(60)) if other is None else (other.hours, other.minutes, other.seconds)
        own = (self.hours, self.minutes) if to_the_minute else (self.hours, self.minutes, self.seconds)
        return all(set(some) <= set(named) for named, some in zip(own, wanted, strict=False))

    def _months(self, start: datetime) -> Iterator[tuple[int, int]]:
        years = self.years[bisect_left(self.years, start.year) :] if self.years else range(start.year, LAST_YEAR + 1)
        for year in years:
            if year > LAST_YEAR:
                return
            for month in self.months:
                if year > start.year or month >= start.month:
                    yield year, month

    def _days(self, year: int, month: int) -> Iterator[int]:
        first_weekday, length = monthrange(year, month)
        sunday_based = first_weekday + 1  # of the first of the month, 0 or 7 is Sunday
        plain = not self.before_last and not self.nearest and not self.nth
        if plain and not self.either and self.weekdays == ALL_WEEKDAYS:
            return (day for day in range(1, length + 1) if day in self.days)
        by_week = {day for day in range(1, length + 1) if (sunday_based + day - 1) % 7 in self.weekdays}
        by_month = {day for day in self.days if day <= length}
        by_month.update(length - days for days in self.before_last if days < length)
        by_day = {day if day > 0 else length + day for day in self.nearest}
        by_month.update(_nearest(day, sunday_based, length) for day in by_day if 1 <= day <= length)
        for weekday, which in self.nth:
            same = range((weekday - sunday_based) % 7 + 1, length + 1, 7)
            if which <= len(same):
                by_week.add(same[which - 1 if which > 0 else which])
        return iter(sorted(by_month | by_week if self.either else by_month & by_week))

    def _times(self) -> Iterator[tuple[int, int, int]]:
        return ((hour, minute, second) for hour in self.hours for minute in self.minutes for second in self.seconds)

    def _times_from(self, hour: int, minute: int, second: int) -> Iterator[tuple[int, int, int]]:
        for at in self.hours[bisect_left(self.hours, hour) :]:
            if at > hour:
                minute = second = 0
            for at_minute in self.minutes[bisect_left(self.minutes, minute) :]:
                if at > hour or at_minute > minute:
                    second = 0
                for at_second in self.seconds[bisect_left(self.seconds, second) :]:
                    yield at, at_minute, at_second


def _nearest(day: int, sunday_based: int, length: int) -> int:
    """The day from Monday to Friday closest to a day, within its month."""
    weekday = (sunday_based + day - 1) % 7
    if weekday == 6:  # a Saturday: the Friday before it
        return day - 1 if day > 1 else day + 2
    if weekday == 0:  # a Sunday: the Monday after it
        return day + 1 if day < length else day - 2
    return day
