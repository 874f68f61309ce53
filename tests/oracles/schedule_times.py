"""Times of cron expressions around every change of every zone's clocks, against a scan of the clock on the wall.

The scan knows nothing of the code that it judges: it goes through the minutes of UTC, notes what the clock on the
wall shows, and so finds the times that come twice or never; it matches expressions that it wrote itself. Far from any
change croniter is the second opinion. ``python -m tests.oracles.schedule_times --cases 100000``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from croniter import croniter

from redsched.schedule import cron, zones

FIRST, LAST = datetime(2020, 1, 1), datetime(2041, 1, 1)
CASES_AT_ONE = 8  # consecutive cases share a change, and the scan of it
GAPS: tuple[zones.Gap, ...] = ("run_after", "skip", "run_at_shifted")
FOLDS: tuple[zones.Fold, ...] = ("first", "last", "both")
_EPOCH = datetime(1970, 1, 1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Wrong(AssertionError):
    """A case in which the two disagree."""


@dataclass(frozen=True)
class Change:
    """One change of a zone's clocks, at an instant of UTC."""

    zone: str
    at: datetime


@dataclass(frozen=True)
class Scan:
    """What the clock on the wall shows, minute by minute of UTC, about a change."""

    seen: dict[datetime, list[datetime]]  # local minute -> the instants that show it: none, one or two
    begin: datetime
    end: datetime
    change: datetime
    before: timedelta  # the offset before the change


@dataclass(frozen=True)
class Expression:
    """An expression that was written here, and what it must match."""

    text: str
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    day: Callable[[date], bool]

    @property
    def frequent(self) -> bool:
        minute, hour = self.text.split()[-5:-3]
        return minute[0] == "*" or hour[0] == "*"

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.day(wall.date())


def ms(utc: datetime) -> int:
    """Milliseconds since the epoch of a naive UTC datetime."""
    return (utc - _EPOCH) // timedelta(milliseconds=1)


def shown(utc: datetime, zone: ZoneInfo) -> datetime:
    """What the clock on the wall shows."""
    return zone.fromutc(utc.replace(tzinfo=zone)).replace(tzinfo=None, fold=0)


@cache
def changes_of(name: str) -> tuple[datetime, ...]:
    """The instants (UTC) at which a zone's offset changes, found by looking every week and halving."""
    zone, found = zones.zone(name), []
    at, offset = FIRST, shown(FIRST, zone) - FIRST
    while at < LAST:
        low, high = at, at + 7 * _DAY
        at, offset_before, offset = high, offset, shown(high, zone) - high
        if offset == offset_before:
            continue
        while high - low > timedelta(seconds=1):
            middle = (low + (high - low) // 2).replace(microsecond=0)
            low, high = (middle, high) if shown(middle, zone) - middle == offset_before else (low, middle)
        found.append(high)
    return tuple(found)


@cache
def changes() -> tuple[Change, ...]:
    """Every change of every zone: first one of each zone, then another of each, and so on."""
    ranked = []
    for name in sorted(zones.names()):
        found = list(changes_of(name))
        random.Random(name).shuffle(found)
        ranked += [(rank, Change(name, at)) for rank, at in enumerate(found)]
    return tuple(change for _, change in sorted(ranked, key=lambda one: one[0]))


@lru_cache(maxsize=4)
def scan(change: Change) -> Scan:
    zone = zones.zone(change.zone)
    before = shown(change.at - _MINUTE, zone) - (change.at - _MINUTE)
    moved = abs(shown(change.at, zone) - change.at - before)
    begin, end = change.at - moved - 150 * _MINUTE, change.at + moved + 150 * _MINUTE
    assert change.at.second == 0 and before % _MINUTE == timedelta(0) == moved % _MINUTE
    seen: dict[datetime, list[datetime]] = {}
    wall, last = shown(begin, zone), shown(end, zone)
    while wall <= last:
        seen[wall] = []
        wall += _MINUTE
    utc = begin
    while utc <= end:
        seen[shown(utc, zone)].append(utc)
        utc += _MINUTE
    return Scan(seen, begin, end, change.at, before)


def expected(expression: Expression, about: Scan, gap: zones.Gap, fold: zones.Fold) -> dict[datetime, bool]:
    """The instants that the policies declare, each with whether its local time comes twice."""
    found: dict[datetime, bool] = {}
    for wall, instants in about.seen.items():
        if not expression.matches(wall):
            continue
        chosen, twice = instants, len(instants) == 2
        if not instants and not expression.frequent:
            if gap == "run_after":
                found.setdefault(about.change, False)
            elif gap == "run_at_shifted":
                chosen = [wall - about.before]  # read with the offset before the gap
        elif twice and not expression.frequent and fold != "both":
            chosen = [instants[0] if fold == "first" else instants[1]]
        for instant in chosen:
            for second in expression.seconds:
                at = instant + timedelta(seconds=second)
                found[at] = found.get(at, False) or twice
    return found


def _numbers(chance: random.Random, low: int, high: int, near: list[int]) -> tuple[str, frozenset[int]]:
    """A field and its values, often near those given."""
    every = range(low, high + 1)
    kind = chance.randrange(8)
    if kind == 0:
        return "*", frozenset(every)
    if kind == 1:
        step = chance.choice((2, 3, 5, 7, 10, 15, 20))
        return f"*/{step}", frozenset(every[::step])
    one, other = (chance.choice(near) if chance.random() < 0.8 else chance.choice(every) for _ in range(2))
    if kind == 2:
        step = chance.randrange(1, 8)
        return f"{one}/{step}", frozenset(range(one, high + 1, step))
    if kind == 3 and one != other:  # croniter takes 9-9 for every hour
        one, other = min(one, other), max(one, other)
        return f"{one}-{other}", frozenset(range(one, other + 1))
    if kind == 4:
        return f"{one},{other}", frozenset((one, other))
    return str(one), frozenset((one,))


def _month_days(chance: random.Random, day: date) -> tuple[str, Callable[[date], bool]]:
    one = chance.choice((day.day, day.day, chance.randrange(1, 32)))
    before = chance.randrange(0, 12)
    return chance.choice(
        [
            (str(one), lambda at: at.day == one),
            (f"{one}-31", lambda at: at.day >= one),
            (f"1,{one}", lambda at: at.day in (1, one)),
            ("L", lambda at: (at + _DAY).month != at.month),
            (f"L-{before + 1}", lambda at: (at + (before + 2) * _DAY).day == 1),
            (f"{one}W", lambda at: at == _working_day(at, one)),
            ("LW", lambda at: at.weekday() < 5 and all(_over(at, n) for n in range(1, 4))),
        ]
    )


def _over(at: date, days: int) -> bool:
    """Whether that many days later is in another month, or on a weekend."""
    later = at + days * _DAY
    return later.month != at.month or later.weekday() >= 5


def _working_day(month: date, day: int) -> date | None:
    """The nearest day from Monday to Friday, looked for in both directions within the month."""
    try:
        asked = month.replace(day=day)
    except ValueError:
        return None
    for distance in (0, -1, 1, -2, 2):
        near = asked + distance * _DAY
        if near.month == asked.month and near.weekday() < 5:
            return near
    raise AssertionError("no such month")


def _week_days(chance: random.Random, day: date) -> tuple[str, Callable[[date], bool]]:
    one = chance.choice((day.isoweekday() % 7, chance.randrange(7)))
    which = chance.randrange(1, 6)
    return chance.choice(
        [
            (str(one or 7), lambda at: at.isoweekday() % 7 == one),
            (_WEEKDAYS[one].lower(), lambda at: at.isoweekday() % 7 == one),
            (f"{_WEEKDAYS[one]}-{_WEEKDAYS[(one + 2) % 7]}", lambda at: (at.isoweekday() - one) % 7 <= 2),
            (f"{one}L", lambda at: at.isoweekday() % 7 == one and (at + 7 * _DAY).month != at.month),
            (f"{one}#{which}", lambda at: at.isoweekday() % 7 == one and (at.day + 6) // 7 == which),
        ]
    )


def write(chance: random.Random, walls: list[datetime]) -> Expression:
    """An expression that often matches about the given local times."""
    minute, minutes = _numbers(chance, 0, 59, [wall.minute for wall in walls] + [0, 15, 30, 59])
    hour, hours = _numbers(chance, 0, 23, [wall.hour for wall in walls])
    second, seconds = ("", frozenset({0}))
    if chance.random() < 0.2 and len(minutes) < 20:
        second, seconds = _numbers(chance, 0, 59, [0, 1, 30, 59])
    local_day = chance.choice(walls).date()
    by_month, in_month = _month_days(chance, local_day)
    by_week, in_week = _week_days(chance, local_day)
    kind = chance.randrange(10)
    if kind == 0:
        days, day = f"{by_month} * *", in_month
    elif kind == 1:
        days, day = f"* * {by_week}", in_week
    elif kind == 2:
        days, day = f"{by_month} * {by_week}", lambda at: in_month(at) or in_week(at)
    elif kind == 3:
        step = chance.randrange(2, 8)
        days, day = f"*/{step} * {by_week}", lambda at: at.day % step == 1 % step and in_week(at)
    elif kind == 4:
        days, day = f"* {local_day.month} *", lambda at: at.month == local_day.month
    else:
        days, day = "* * *", lambda at: True
    return Expression(f"{second} {minute} {hour} {days}".strip(), seconds, minutes, hours, day)


def check(number: int) -> None:
    """One case about a change, and for every tenth one far from any.

    Raises:
        Wrong: the two disagree; the text tells all of the case.
    """
    chance = random.Random(number)
    change = changes()[number // CASES_AT_ONE % len(changes())]
    about, zone = scan(change), zones.zone(change.zone)
    middle = shown(about.change, zone)
    around = [wall for wall in about.seen if abs(wall - middle) <= 90 * _MINUTE]
    expression = write(chance, [around[0], around[len(around) // 2], chance.choice(around), around[-1]])
    gap, fold = chance.choice(GAPS), chance.choice(FOLDS)
    everything = expected(expression, about, gap, fold)
    first, last = ms(about.begin), ms(about.end)
    after = chance.choice(
        [
            first,
            ms(about.change) + chance.choice((-1, 0, 1)),
            ms(about.change) + chance.randrange(-4_000_000, 4_000_000),
            chance.choice([ms(at) for at in everything] or [first]),
            chance.randrange(first, last),
        ]
    )
    case = f"case {number}: {expression.text!r} in {change.zone} about {change.at}, {gap}, {fold}, after {after}"
    wanted = {ms(at): twice for at, twice in everything.items() if after < ms(at) <= last}
    try:
        rule = cron.parse(expression.text).rule
    except cron.InvalidCron as problem:
        raise Wrong(f"{case}: {problem}") from None
    assert rule is not None
    got = list(takewhile(lambda found: found[0] <= last, zones.noted(rule, zone, after, gap, fold)))
    if [at for at, _ in got] != sorted(wanted):
        raise Wrong(f"{case}\n  got    {[at for at, _ in got]}\n  wanted {sorted(wanted)}")
    for at, note in got:
        if (note == "dst_fold") != wanted[at]:
            raise Wrong(f"{case}: the note of {at} is {note!r}")
    if number % 10 == 0:
        second_opinion(chance, change.zone)


def second_opinion(chance: random.Random, name: str) -> None:
    """Compare with croniter from a random moment, as far as the next change of the clocks."""
    zone = zones.zone(name)
    start = FIRST + timedelta(seconds=chance.randrange(int((LAST - FIRST).total_seconds())))
    following = min((at for at in changes_of(name) if at > start - _DAY), default=LAST)
    if following < start + _DAY:
        return  # croniter has its own view of such nights
    minute, _ = _numbers(chance, 0, 59, [0, 15, 30, 59])
    hour, _ = _numbers(chance, 0, 23, [0, 9, 12, 23])
    days = chance.choice(
        ("* * *", "1 * *", "L * *", "* 1-6 *", "* * 1-5", "* * 0,6", "13 * 5", "10-20/3 * MON", "* * 5#2")
    )
    text = f"{minute} {hour} {days}"
    rule = cron.parse(text).rule
    assert rule is not None
    theirs = croniter(text, zone.fromutc(start.replace(tzinfo=zone)))
    ours = zones.instants(rule, zone, ms(start))
    for _ in range(3):
        at, utc = next(ours), theirs.get_next(float)
        if utc * 1_000 > ms(following - _DAY):
            return
        if at != round(utc * 1_000):
            raise Wrong(f"{text!r} in {name} after {start}: {at}, croniter {round(utc * 1_000)}")


def run(numbers: range) -> Iterator[Wrong | None]:
    """Each case in turn: None, or what is wrong."""
    for number in numbers:
        try:
            check(number)
        except Wrong as wrong:
            yield wrong
        else:
            yield None


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracles.schedule_times", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case: one case is --cases 1")
    asked = parser.parse_args(argv)
    named = len({change.zone for change in changes()})
    print(f"tzdata {zones.TZDATA_VERSION}: {len(changes())} changes in {named} of {len(zones.names())} zones")
    began, failed = time.monotonic(), 0
    for done, wrong in enumerate(run(range(asked.first, asked.first + asked.cases)), 1):
        if wrong:
            failed += 1
            print(str(wrong)[:2_000])
        if done % 2_000 == 0 or done == asked.cases:
            rate = done / (time.monotonic() - began)
            print(f"{done} of {asked.cases} cases, {rate:.0f}/s, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
