"""What a schedule leaves out: dates, yearly dates, stored calendars, and the minutes that cron expressions match.

It answers with the end of what is left out, so that a plan may step over a whole day or night at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from redsched.model.errors import InvalidSchedule
from redsched.schedule import cron
from redsched.schedule.cron_rule import CronRule
from redsched.schedule.definition import Exclude
from redsched.schedule.quoted import quoted_if_plain
from redsched.schedule.zones import local, zone

MAX_ITEMS = 1_000
MAX_CRONS = 20
MAX_BLOCK = 1_000  # minutes or seconds in a row that are looked over at once
MOST_DAYS = 1_000  # and days

_DATE = re.compile(r"(?:[0-9]{4}|\*)-[0-9]{2}-[0-9]{2}", re.ASCII)
_EPOCH = datetime(1970, 1, 1)
_DAY, _MINUTE, _SECOND, _MILLISECOND = (
    timedelta(days=1),
    timedelta(minutes=1),
    timedelta(seconds=1),
    timedelta(milliseconds=1),
)


class Exclusion:
    """``Exclude`` made ready."""

    def __init__(
        self,
        given: Exclude,
        zone: ZoneInfo,
        holidays: Mapping[str, frozenset[str]],
        seed: str,
        dialect: cron.Dialect,
        rules: Sequence[CronRule] | None = None,
    ) -> None:
        """``rules``: those that name all slots, where there are no others.

        Raises:
            InvalidSchedule: an item cannot be used.
        """
        self._zone = zone
        for field, items, most in (
            ("dates", given.dates, MAX_ITEMS),
            ("crons", given.crons, MAX_CRONS),
            ("calendars", given.calendars, MAX_CRONS),
        ):
            if len(items) > most:
                raise InvalidSchedule(f"exclude.{field}", f"{len(items)} items; at most {most} are taken")
        for at, text in enumerate(given.dates):
            if not is_date(text):
                told = f"{quoted_if_plain(text)} is no date such as 2027-12-25 or *-12-25"
                raise InvalidSchedule(f"exclude.dates[{at}]", told)
        self._dates = frozenset(given.dates)
        # not copied: many schedules share one calendar
        self._calendars = [holidays[name] for name in given.calendars if name in holidays]
        crons = [_cron(f"exclude.crons[{at}]", text, seed, dialect) for at, text in enumerate(given.crons)]
        self._crons = [_Excluded(rule, unit, zone, rules) for rule, unit, zone in crons]

    def leaves_out(self, ms: int) -> bool:
        """Whether the instant is left out."""
        return self.until(ms, most=1) is not None

    def until(self, ms: int, *, most: int = MAX_BLOCK) -> int | None:
        """The end (ms) of what leaves this instant out, or a part of the way to it; None where nothing does."""
        moment = local(ms, self._zone)
        if self._closed(moment.date()):
            return max(ms + 1, _ms(datetime.combine(moment.date() + _DAY, time()), self._zone))
        for one in self._crons:
            its_zone = one.zone or self._zone
            wall = moment if one.zone is None else local(ms, one.zone)
            begin = wall.replace(tzinfo=None, microsecond=0, second=wall.second if one.unit == _SECOND else 0)
            if not one.matches(begin):
                continue
            if most > 1 and (free := one.first_free_day(wall, its_zone)) is not None:
                return max(ms + 1, free)
            end = _block_end(one.rule.walls(begin - _SECOND), begin, one.unit, most)
            end_ms = _ms(end, its_zone)
            if local(end_ms, its_zone).utcoffset() != wall.utcoffset():
                end_ms = 0  # the clocks change before: go step by step
            return max(ms + 1, end_ms)
        return None

    def _closed(self, day: date) -> bool:
        text = day.isoformat()
        yearly = f"*{text[4:]}"
        return any(text in dates or yearly in dates for dates in (self._dates, *self._calendars))


class _Excluded:
    """One cron expression of what is left out."""

    def __init__(
        self, rule: CronRule, unit: timedelta, zone: ZoneInfo | None, rules: Sequence[CronRule] | None
    ) -> None:
        """``unit``: how long each of its times lasts. ``zone``: of its own prefix."""
        self.rule, self.unit, self.zone = rule, unit, zone
        self._to_the_minute = unit == _MINUTE
        slots = (None,) if rules is None or zone is not None else rules
        # whether a day that it names has no slot left
        self._whole_days = all(rule.has_all_times_of(one, to_the_minute=self._to_the_minute) for one in slots)
        self._month: tuple[int, int] | None = None
        self._days: frozenset[int] = frozenset()

    def matches(self, wall: datetime) -> bool:
        """Whether it names this local time, without its fractions."""
        return self.rule.names_time(wall, to_the_minute=self._to_the_minute) and self._names(wall)

    def first_free_day(self, wall: datetime, zone: ZoneInfo) -> int | None:
        """The first instant (ms) of the first day after ``wall`` that it does not name, or of a day on the way.

        None where it does not leave out whole days, and before a day on which the clocks change.
        """
        if not self._whole_days:
            return None
        day = datetime(wall.year, wall.month, wall.day)
        offset = wall.utcoffset()
        for _ in range(MOST_DAYS):
            following = day + _DAY
            if following.replace(tzinfo=zone).utcoffset() != offset:
                break
            day = following
            if not self._names(day):
                break
        return _ms(day, zone) if day > wall.replace(tzinfo=None) else None

    def _names(self, day: datetime) -> bool:
        if self._month != (day.year, day.month):
            self._month, self._days = (day.year, day.month), self.rule.days_of(day.year, day.month)
        return day.day in self._days


def is_date(text: str) -> bool:
    """Whether it is ``2027-12-25`` or ``*-12-25``, a day that there is."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text.replace("*", "2000"))
    except ValueError:
        return False
    return True


def _cron(field: str, text: str, seed: str, dialect: cron.Dialect) -> tuple[CronRule, timedelta, ZoneInfo | None]:
    """The rule, how long each of its times lasts, and the zone of its own prefix."""
    try:
        found = cron.parse(text, seed=seed, dialect=dialect)
    except cron.InvalidCron as error:
        raise InvalidSchedule(field, str(error), code="invalid_cron") from None
    if found.rule is None:
        raise InvalidSchedule(field, "@every cannot be left out; write a cron expression", code="invalid_cron")
    unit = _MINUTE if found.rule.seconds == (0,) else _SECOND
    return found.rule, unit, None if found.zone is None else zone(found.zone)


def _block_end(walls: Iterator[datetime], begin: datetime, unit: timedelta, most: int) -> datetime:
    """The end of the run of times without a break that starts with ``begin``: itself where it does not match."""
    end = begin
    for wall in islice(walls, most):
        if wall != end:
            break
        end += unit
    return end


def _ms(wall: datetime, zone: ZoneInfo) -> int:
    """The first instant of a local time."""
    offset = wall.replace(tzinfo=zone).utcoffset()
    assert offset is not None
    return (wall - offset - _EPOCH) // _MILLISECOND
