"""A schedule in one line of English, for people who look over a list. It explains; it decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from redsched.model.duration import duration_ms, is_digits
from redsched.schedule.calendar import CalendarRule
from redsched.schedule.definition import Definition, Every

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_MONTHS = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))
_ALIASES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip


def describe(schedule: Definition) -> str:
    """Such as ``at 09:00 on weekdays (Asia/Kolkata), except 2 dates``. The schedule must be a valid one."""
    rules = list(_rules(schedule))
    text = "; ".join(rules[:4]) + (f" and {len(rules) - 4} more" if len(rules) > 4 else "")
    if schedule.time_zone != "UTC" or schedule.cron or schedule.calendar or schedule.rrule:
        text += f" ({schedule.time_zone})"
    excluded = schedule.exclude
    if excluded is not None:
        left_out = [_count(excluded.dates, "date"), _count(excluded.crons, "cron expression")]
        left_out += [f"calendar {name}" for name in excluded.calendars]
        if any(left_out):
            text += f", except {_and(word for word in left_out if word)}"
    if duration_ms(schedule.jitter):
        text += f", up to {_pause(schedule.jitter)} later"
    if schedule.start is not None:
        text += f", from {_moment(schedule.start)}"
    if schedule.end is not None:
        text += f", until {_moment(schedule.end)}"
    if schedule.max_runs is not None:
        text += f", at most {_count(range(schedule.max_runs), 'time')}"
    return text


def _rules(schedule: Definition) -> Iterator[str]:
    for text in [schedule.cron] if isinstance(schedule.cron, str) else schedule.cron:
        if text:
            yield _cron(text)
    if schedule.every not in ([], ""):
        for given in schedule.every if isinstance(schedule.every, list | tuple) else [schedule.every]:
            yield _every(given)
    if schedule.after_completion is not None:
        yield f"{_pause(schedule.after_completion)} after each run ends"
    if schedule.random is not None:
        yield f"at random, {_pause(schedule.random.least)} to {_pause(schedule.random.most)} apart"
    for rule in schedule.calendar:
        yield _calendar(rule)
    for text in [schedule.rrule] if isinstance(schedule.rrule, str) else schedule.rrule:
        if text:
            yield f"rrule {' '.join(text.split())[:120]}"
    if schedule.at:
        yield f"once at {_moment(schedule.at[0])}" if len(schedule.at) == 1 else f"at {len(schedule.at)} given times"


def _every(given: Any) -> str:
    if isinstance(given, str) and "/" in given:
        every, _, phase = given.partition("/")
        given = Every(every, phase)
    if not isinstance(given, Every):
        given = Every(given)
    late = f", {_pause(given.phase)} past" if duration_ms(given.phase) else ""
    return f"every {_pause(given.every, one='')}{late}"


def _cron(text: str) -> str:
    """The common shapes in words, any other as it is written."""
    bare = text.partition(" #")[0].strip()
    fields = _ALIASES.get(bare.lower(), bare).split()
    if len(fields) == 2 and fields[0].lower() == "@every":
        return f"every {_pause(fields[1], one='')}"
    if len(fields) != 5 or fields[3] != "*":
        return f"cron {bare}"
    minute, hour, day, _, weekday = fields
    days = _cron_days(day, weekday)
    if days is None:
        return f"cron {bare}"
    if is_digits(minute) and all(is_digits(part) for part in hour.split(",")):
        return f"at {_and(f'{int(part):02d}:{int(minute):02d}' for part in hour.split(','))} {days}"
    if days != "every day":
        return f"cron {bare}"
    if minute == hour == "*":
        return "every minute"
    if minute.startswith("*/") and hour == "*" and is_digits(minute[2:]) and 60 % max(1, int(minute[2:])) == 0:
        return f"every {_pause(timedelta(minutes=int(minute[2:])), one='')}"
    return f"every hour at :{int(minute):02d}" if is_digits(minute) and hour == "*" else f"cron {bare}"


def _cron_days(day: str, weekday: str) -> str | None:
    if day in "*?" and weekday in "*?":
        return "every day"
    if weekday in "*?":
        if day == "L":
            return "on the last day of the month"
        return f"on day {day} of the month" if is_digits(day) else None
    if day not in "*?":
        return None
    first, dash, last = weekday.lower().partition("-")
    names = [_SHORT.get(word, int(word) if is_digits(word) else 99) for word in (first, last or first)]
    if max(names) > 7:
        many = [_SHORT.get(word, int(word) if is_digits(word) else 99) for word in weekday.lower().split(",")]
        return f"on {_and(_DAYS[name] for name in many)}" if max(many) <= 7 else None
    if names == [1, 5]:
        return "on weekdays"
    return f"from {_DAYS[names[0]]} to {_DAYS[names[1]]}" if dash else f"on {_DAYS[names[0]]}"


def _calendar(rule: CalendarRule) -> str:
    when = f"at {_and(rule.at or ['00:00'])}"
    often = f"every {rule.unit}" if rule.every == 1 else f"every {rule.every} {rule.unit}s"
    if rule.working_day is not None:
        return f"{when} on the {_nth(rule.working_day)} working day, {often}"
    days: list[str] = []
    if rule.days:
        days.append("on the " + _and(f"{_nth(day)} day" if day < 0 else _nth(day) for day in rule.days))
    if rule.weekdays:
        names = _and(_DAYS[day] if isinstance(day, int) else _DAYS[_SHORT[day[:3].lower()]] for day in rule.weekdays)
        days.append(f"on the {_and(_nth(n) for n in rule.nth)} {names}" if rule.nth else f"on {names}")
    months = [f"in {_and(_MONTHS[month] for month in rule.months)}"] if rule.months else []
    return " ".join([when, *days, *months]) + f", {often}"


def _nth(n: int) -> str:
    if n < 0:
        return "last" if n == -1 else f"{_nth(-n)} last"
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"


def _pause(value: timedelta | int | str, one: str = "1 ") -> str:
    ms = duration_ms(value)
    for unit_ms, name in _UNITS:
        if ms >= unit_ms and ms % unit_ms == 0:
            return f"{one}{name}" if ms == unit_ms else f"{ms // unit_ms} {name}s"
    return f"{ms / 1_000:g} seconds"


def _moment(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _count(items: Any, name: str) -> str:
    return f"{len(items)} {name}{'s' if len(items) != 1 else ''}" if len(items) else ""


def _and(words: Iterable[str]) -> str:
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
