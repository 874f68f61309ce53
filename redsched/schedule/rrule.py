"""Recurrences in iCalendar's words (RFC 5545): DTSTART, RRULE, RDATE and EXDATE lines, in local time.

Expanded here on naive local times, from the period that is asked for and never from DTSTART on, so that an old rule
costs what a new one does; a rule that nothing fits is refused, it is never searched for without an end.
"""

from __future__ import annotations

import math
from calendar import isleap, monthrange
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from redsched.schedule.calendar import InvalidRule
from redsched.schedule.icalendar import WEEKDAYS, read_lines, read_moment, read_numbers, read_parts, read_weekdays
from redsched.schedule.zones import LAST_YEAR

MAX_COUNT = 10_000
MAX_DATES = 1_000
MAX_TIMES = 1_440  # of a day
MAX_COUNTED = 24  # of a day, where BYSETPOS counts them

_SECONDS = {"HOURLY": 3_600, "MINUTELY": 60, "SECONDLY": 1}
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", *_SECONDS)
_EPOCH, _MONDAY = datetime(1970, 1, 1), datetime(1970, 1, 5)
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


class Recurrence:
    """The local times of an RFC 5545 text: at most one RRULE, any RDATE and EXDATE.

    Without DTSTART counting begins on 1970-01-01 (WEEKLY: Monday 1970-01-05) at midnight. DTSTART is where counting
    begins, no time of its own. Times are local ones of the schedule's zone; only UNTIL may be given in UTC, and an
    UNTIL that is a date includes that day, and an EXDATE that is one leaves its whole day out. A missing day (31 in
    April) is left out.
    """

    def __init__(self, text: str, zone: ZoneInfo | None = None) -> None:
        """Raises InvalidRule, which names the part; a rule that never comes is one too (field ``never``)."""
        self._zone = zone
        self._dates: list[datetime] = []
        self._left_out: frozenset[datetime] = frozenset()
        self._days_left_out: frozenset[date] = frozenset()
        self._rule: _Rule | None = None
        start: datetime | None = None
        rule: str | None = None
        for name, value, parameters in read_lines(text):
            if name == "RRULE":
                if rule is not None:
                    raise InvalidRule("RRULE", "is given twice; make them two items of the list")
                rule = value
            elif name in ("DTSTART", "RDATE", "EXDATE"):
                told = [self._moment(name, word, parameters) for word in value.split(",")]
                moments = [moment for moment, is_day in told if not (is_day and name == "EXDATE")]
                days = [moment.date() for moment, is_day in told if is_day and name == "EXDATE"]
                if len(told) > MAX_DATES:
                    raise InvalidRule(name, f"{len(told)} dates; at most {MAX_DATES} are taken")
                if name == "DTSTART":
                    start = moments[0]
                elif name == "RDATE":
                    self._dates += moments
                else:
                    self._left_out |= frozenset(moments)
                    self._days_left_out |= frozenset(days)
            else:
                raise InvalidRule(name, "is not DTSTART, RRULE, RDATE or EXDATE")
        if rule is None and not self._dates:
            raise InvalidRule("RRULE", "is missing")
        self._dates.sort()
        if rule is not None:
            self._rule = _Rule(read_parts(rule), start, zone)
        if next(self.walls(datetime.min), None) is None:
            raise InvalidRule("never", "no time fits all of it")

    @property
    def frequent(self) -> bool:
        """Whether it follows the clock on the wall: hourly or finer, without BYHOUR."""
        return self._rule is not None and self._rule.frequent

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The naive local times strictly after ``after``, ascending, up to ``LAST_YEAR``."""
        dates = iter([moment for moment in self._dates if moment > after])
        waiting = next(dates, None)
        last = after
        for wall in self._rule.walls(after) if self._rule is not None else ():
            while waiting is not None and waiting < wall:
                if waiting > last and not self._is_left_out(waiting):
                    last = waiting
                    yield waiting
                waiting = next(dates, None)
            if wall > last and not self._is_left_out(wall):
                last = wall
                yield wall
        while waiting is not None:
            if waiting > last and not self._is_left_out(waiting):
                last = waiting
                yield waiting
            waiting = next(dates, None)

    def _is_left_out(self, wall: datetime) -> bool:
        return wall in self._left_out or wall.date() in self._days_left_out

    def _moment(self, name: str, word: str, parameters: Sequence[str]) -> tuple[datetime, bool]:
        """The local time, and whether a date alone was given."""
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "TZID" and self._zone is not None and value.lower() == str(self._zone).lower():
                continue
            if key == "TZID":
                raise InvalidRule(name, f"TZID {value} is not the schedule's time_zone")
            if parameter not in ("VALUE=DATE", "VALUE=DATE-TIME"):
                raise InvalidRule(name, f"{parameter!r} is not known")
        at, utc, is_day = read_moment(name, word)
        if utc and str(self._zone) not in ("UTC", "Etc/UTC", "None"):
            raise InvalidRule(name, f"{word} is in UTC; write the local time of the schedule's time_zone, without Z")
        return at, is_day


class _Rule:
    """One RRULE."""

    def __init__(self, parts: dict[str, str], start: datetime | None, zone: ZoneInfo | None) -> None:
        self._freq = parts.pop("FREQ", "")
        if self._freq not in _FREQUENCIES:
            raise InvalidRule("FREQ", f"{self._freq!r} is not one of {', '.join(_FREQUENCIES)}")
        self._fine = _SECONDS.get(self._freq, 0)
        self._every = read_numbers("INTERVAL", parts.pop("INTERVAL", "1"), 1, 1_000_000_000)[0]
        count, until = parts.pop("COUNT", None), parts.pop("UNTIL", None)
        if count is not None and (until is not None or start is None):
            raise InvalidRule("COUNT", "goes without UNTIL" if until is not None else "needs a DTSTART to count from")
        self._start = start or (_MONDAY if self._freq == "WEEKLY" else _EPOCH)
        self._floor = start or _EPOCH
        self._until = None if until is None else _until(until, zone)
        wkst = parts.pop("WKST", "MO")
        if wkst not in WEEKDAYS:
            raise InvalidRule("WKST", f"{wkst!r} is not one of {', '.join(WEEKDAYS)}")
        self._wkst = WEEKDAYS[wkst]
        self._positions = read_numbers("BYSETPOS", parts.pop("BYSETPOS", ""), 1, 366, signed=True)
        self._read_days(parts)
        self._read_times(parts)
        if parts:
            raise InvalidRule(next(iter(parts)), "is not a part of RRULE that is supported")
        if self._fine:
            self._check_reachable()
        if count is not None:
            most = read_numbers("COUNT", count, 1, MAX_COUNT)[0]
            self._until = max(islice(self.walls(datetime.min), most), default=None)

    def _read_days(self, parts: dict[str, str]) -> None:
        freq = self._freq
        self._months = frozenset(read_numbers("BYMONTH", parts.pop("BYMONTH", ""), 1, 12))
        self._weeks = frozenset(read_numbers("BYWEEKNO", parts.pop("BYWEEKNO", ""), 1, 53, signed=True))
        self._year_days = frozenset(read_numbers("BYYEARDAY", parts.pop("BYYEARDAY", ""), 1, 366, signed=True))
        self._month_days = frozenset(read_numbers("BYMONTHDAY", parts.pop("BYMONTHDAY", ""), 1, 31, signed=True))
        self._weekdays, self._nth = read_weekdays(parts.pop("BYDAY", ""))
        if self._weeks and freq != "YEARLY":
            raise InvalidRule("BYWEEKNO", "goes with FREQ=YEARLY")
        if self._year_days and freq in ("DAILY", "WEEKLY", "MONTHLY"):
            raise InvalidRule("BYYEARDAY", f"does not go with FREQ={freq}")
        if self._month_days and freq == "WEEKLY":
            raise InvalidRule("BYMONTHDAY", "does not go with FREQ=WEEKLY")
        if self._nth and (freq not in ("YEARLY", "MONTHLY") or self._weeks):
            raise InvalidRule("BYDAY", "a number before the day goes with FREQ=MONTHLY or YEARLY, without BYWEEKNO")
        if not (self._weeks or self._year_days or self._month_days or self._weekdays or self._nth):
            if freq == "YEARLY" and not self._months:
                self._months = frozenset((self._start.month,))
            if freq in ("YEARLY", "MONTHLY"):
                self._month_days = frozenset((self._start.day,))
            if freq == "WEEKLY":
                self._weekdays = frozenset((self._start.weekday(),))

    def _read_times(self, parts: dict[str, str]) -> None:
        given = [read_numbers(name, parts.pop(name, ""), 0, most) for name, most in _CLOCK]
        self.frequent = bool(self._fine) and not given[0]
        self._hours, self._minutes, self._seconds = (
            _ahead(numbers, most + 1) for numbers, (_, most) in zip(given, _CLOCK, strict=True)
        )
        hours, minutes, seconds = (sorted(set(numbers)) for numbers in given)
        hours = hours or [self._start.hour]
        minutes, seconds = minutes or [self._start.minute], seconds or [self._start.second]
        # of a day, or of a period of an hour, a minute or a second
        if self._freq == "HOURLY":
            hours = [0]
        elif self._freq == "MINUTELY":
            hours, minutes = [0], [0]
        elif self._freq == "SECONDLY":
            hours, minutes, seconds = [0], [0], [0]
        self._times = [time(hour, minute, second) for hour in hours for minute in minutes for second in seconds]
        most = MAX_TIMES if self._fine or not self._positions else MAX_COUNTED
        if len(self._times) > most:
            raise InvalidRule("BYMINUTE", f"{len(self._times)} times a day; at most {most} are taken")

    def _check_reachable(self) -> None:
        """Hours, minutes and seconds that steps of INTERVAL never come upon would be searched for in vain."""
        if self._positions and all(abs(position) > len(self._times) for position in self._positions):
            raise InvalidRule("BYSETPOS", f"a period has {len(self._times)} times")
        step = math.gcd(self._every * self._fine, 86_400)
        first = self._period_start()
        seconds = range((first.hour * 3_600 + first.minute * 60 + first.second) % step, 86_400, step)
        if not any(self._clock_miss(second // 3_600, second // 60 % 60, second % 60) == 0 for second in seconds):
            raise InvalidRule("INTERVAL", "never comes upon BYHOUR, BYMINUTE and BYSECOND")

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The naive local times strictly after ``after``, ascending."""
        after = max(after, self._floor - _SECOND, _EPOCH - _SECOND)
        periods = self._fine_periods(after) if self._fine else self._coarse_periods(after.date())
        for period in periods:
            if self._until is not None and period and period[0] > self._until:
                return
            if self._positions:
                size = len(period)
                at = {place - 1 if place > 0 else size + place for place in self._positions}
                chosen = [period[index] for index in sorted(at) if 0 <= index < size]
            else:
                chosen = period
            for wall in chosen:
                if self._until is not None and wall > self._until:
                    return
                if wall > after and wall.year <= LAST_YEAR:
                    yield wall

    def _coarse_periods(self, first: date) -> Iterator[list[datetime]]:
        """The times from the year, month, week or day on that ``first`` lies in."""
        start = self._start.date()
        if self._freq in ("DAILY", "WEEKLY"):
            length = 7 if self._freq == "WEEKLY" else 1
            if length == 7:
                start -= timedelta(days=(start.weekday() - self._wkst) % 7)
            step = length * self._every
            at = start.toordinal() + (first.toordinal() - start.toordinal()) // step * step
            while at <= date(LAST_YEAR, 12, 31).toordinal():
                yield from self._of_days((date.fromordinal(day) for day in range(max(at, 1), at + length)), first)
                at += step
        else:
            length = 12 if self._freq == "YEARLY" else 1
            origin = start.year * 12 + (start.month - 1 if length == 1 else 0)
            step = length * self._every
            at = origin + (first.year * 12 + first.month - 1 - origin) // step * step
            while at < (LAST_YEAR + 1) * 12:
                yield from self._of_days(self._month_range(at, length), first)
                at += step

    def _month_range(self, at: int, length: int) -> Iterator[date]:
        for month in range(max(at, 12), at + length):
            if not self._months or month % 12 + 1 in self._months:
                year, number = month // 12, month % 12 + 1
                for day in range(1, monthrange(year, number)[1] + 1):
                    yield date(year, number, day)

    def _of_days(self, days: Iterator[date], first: date) -> Iterator[list[datetime]]:
        """The times of a period: all of them together where positions are counted, else day by day."""
        if self._positions:
            yield [datetime.combine(day, at) for day in days if self._fits(day) for at in self._times]
            return
        for day in days:
            if day >= first and self._fits(day):
                yield [datetime.combine(day, at) for at in self._times]

    def _period_start(self) -> datetime:
        """DTSTART's own hour, minute or second, at its beginning."""
        start = self._start.time()
        minute = 0 if self._freq == "HOURLY" else start.minute
        return datetime.combine(self._start, time(start.hour, minute, start.second if self._freq == "SECONDLY" else 0))

    def _fine_periods(self, after: datetime) -> Iterator[list[datetime]]:
        """The times of each hour, minute or second; days and hours that do not fit are stepped over at once."""
        origin, step = self._period_start(), self._every * self._fine
        at = max(0, int((after - origin).total_seconds()) // step * step)
        most = int((datetime(LAST_YEAR, 12, 31, 23, 59, 59) - origin).total_seconds())
        fits_on, fits = date.min, False
        while at <= most:
            moment = origin + timedelta(seconds=at)
            if moment.date() != fits_on:
                fits_on, fits = moment.date(), self._fits(moment.date())
            past = moment.hour * 3_600 + moment.minute * 60 + moment.second
            skip = self._clock_miss(moment.hour, moment.minute, moment.second) if fits else 86_400 - past
            if skip == 0:
                yield [moment + timedelta(hours=t.hour, minutes=t.minute, seconds=t.second) for t in self._times]
            at += max(1, -(-skip // step)) * step

    def _clock_miss(self, hour: int, minute: int, second: int) -> int:
        """Seconds to the next hour, minute or second that may fit; 0 where this one fits."""
        if ahead := self._hours[hour]:
            return ahead * 3_600 - minute * 60 - second
        if self._fine <= 60 and (ahead := self._minutes[minute]):
            return ahead * 60 - second
        return self._seconds[second] if self._fine == 1 else 0

    def _fits(self, day: date) -> bool:
        if self._months and day.month not in self._months:
            return False
        if self._month_days:
            left = day.day - monthrange(day.year, day.month)[1] - 1
            if day.day not in self._month_days and left not in self._month_days:
                return False
        if (self._weekdays or self._nth) and day.weekday() not in self._weekdays and not self._is_nth(day):
            return False
        if self._year_days:
            number = day.timetuple().tm_yday
            if number not in self._year_days and number - 366 - isleap(day.year) not in self._year_days:
                return False
        return not self._weeks or self._in_weeks(day)

    def _is_nth(self, day: date) -> bool:
        if not self._nth:
            return False
        if self._freq == "MONTHLY" or self._months:
            before, behind = day.day - 1, monthrange(day.year, day.month)[1] - day.day
        else:
            before = day.timetuple().tm_yday - 1
            behind = 364 + isleap(day.year) - before
        return (before // 7 + 1, day.weekday()) in self._nth or (-(behind // 7) - 1, day.weekday()) in self._nth

    def _in_weeks(self, day: date) -> bool:
        """Whether its week of this year is named; the last days of December may lie in week 1 of the next."""
        first = self._first_week(day.year)
        weeks = (self._first_week(day.year + 1) - first).days // 7
        number = (day - first).days // 7 + 1
        if number < 1:
            before = self._first_week(day.year - 1)
            weeks = (first - before).days // 7
            number = (day - before).days // 7 + 1
        elif number > weeks:
            number, weeks = 1, 52
        return number in self._weeks or number - weeks - 1 in self._weeks

    def _first_week(self, year: int) -> date:
        """The day on which week 1 begins: the first with at least four days in the year."""
        first = date(year, 1, 1)
        into = (first.weekday() - self._wkst) % 7
        return first - timedelta(days=into) + (_DAY * 7 if into > 3 else timedelta())


_CLOCK = (("BYHOUR", 23), ("BYMINUTE", 59), ("BYSECOND", 59))


def _ahead(allowed: Sequence[int], size: int) -> list[int]:
    """How far it is from each value to the next allowed one, or to the end; none given: all are allowed."""
    return [min(value for value in (*allowed, size) if value >= at) - at if allowed else 0 for at in range(size)]


def _until(word: str, zone: ZoneInfo | None) -> datetime:
    at, utc, whole_day = read_moment("UNTIL", word)
    if utc and zone is not None:
        return at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    return at + _DAY - _SECOND if whole_day else at
