"""Cron expressions: from text to a rule.

``standard`` is Debian's cron with the extensions that people know from elsewhere (seconds, a year, ``L W # H ?``);
``robfig`` is what github.com/robfig/cron v3 reads. Every error names the field, the column and the reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NoReturn

import msgspec

from redsched.model.duration import duration_ms, is_digits
from redsched.schedule import zones
from redsched.schedule.cron_rule import CronRule

Dialect = Literal["standard", "robfig"]

DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MAX_LENGTH = 1_000
LEAST_EVERY_MS = 1_000
MOST_EVERY_MS = 36_500 * 86_400_000

_WORD = re.compile(r"\S+")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*", re.DOTALL)
_LOST_NTH = re.compile(r"(?<=\s)#[0-9]")
_ZONE = re.compile(r"\s*(?:CRON_TZ|TZ)=(\S*)")
_VALUE = r"[0-9]+|[A-Z]+"
_RANGE = re.compile(
    rf"(?:(?P<star>[*?])|(?P<hash>H)(?:\((?P<from>{_VALUE})-(?P<to>{_VALUE})\))?"
    rf"|(?P<low>{_VALUE})(?:-(?P<high>{_VALUE}))?)(?:/(?P<step>[0-9]+))?"
)
_BEFORE_LAST = re.compile(r"L(?:-([0-9]+))?")
_NEAREST = re.compile(r"(?:L(?:-([0-9]+))?|([0-9]+))W")
_NTH = re.compile(rf"({_VALUE})(?:#([0-9]+)|L)")


class InvalidCron(ValueError):
    """A cron expression cannot be read; ``column`` counts from 1 in the text that was given."""

    def __init__(self, field: str, column: int, reason: str) -> None:
        super().__init__(f"{field}, column {column}: {reason}")
        self.field = field
        self.column = column
        self.reason = reason


class Cron(msgspec.Struct, frozen=True):
    """A cron expression that was read: a rule, or for ``@every`` an interval; and the zone of its prefix."""

    rule: CronRule | None = None
    every_ms: int | None = None
    zone: str | None = None


class _Field(msgspec.Struct, frozen=True):
    """What may stand in one field."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # the first one has the value `low`

    @property
    def written(self) -> str:
        names = f" or {self.names[0].lower()}-{self.names[-1].lower()}" if self.names else ""
        return f"{self.low}-{self.high}{names}"


_SECOND = _Field("second", 0, 59)
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day of week", 0, 6, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
_YEAR = _Field("year", 1970, 2199)
_FIVE = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
_LAYOUTS = {5: _FIVE, 6: (_SECOND, *_FIVE), 7: (_SECOND, *_FIVE, _YEAR)}


def parse(text: str, *, seed: str = "", dialect: Dialect = "standard") -> Cron:
    """Read a cron expression of 5 fields, 6 (seconds first) or 7 (seconds first, year last), or a descriptor.

    ``H`` stands for a value that depends on ``seed`` and the field only.

    Raises:
        InvalidCron: it cannot be read, or it never matches.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidCron("expression", MAX_LENGTH + 1, f"is longer than {MAX_LENGTH} characters")
    bare = _COMMENT.sub("", text).rstrip()
    if lost := _LOST_NTH.search(text):
        raise InvalidCron("expression", lost.start() + 1, "a blank before # makes a comment of it; write MON#1")
    zone, begin = _zone(bare)
    words = [(match[0], match.start() + 1) for match in _WORD.finditer(bare, begin)]
    if not words:
        raise InvalidCron("expression", len(bare) + 1, "is empty")
    if words[0][0].startswith("@"):
        return _descriptor(words, zone, dialect)
    return Cron(rule=_rule(words, seed, dialect), zone=zone)


def _zone(text: str) -> tuple[str | None, int]:
    """The zone of the prefix, and where the expression begins."""
    match = _ZONE.match(text)
    if match is None:
        return None, 0
    name, column = match[1], match.start(1) + 1
    if match.end() == len(text):
        raise InvalidCron("time zone", len(text) + 1, "a space and an expression must follow it")
    try:
        zones.zone(name)
    except ValueError as unknown:
        raise InvalidCron("time zone", column, str(unknown)) from None
    return name, match.end()


def _descriptor(words: list[tuple[str, int]], zone: str | None, dialect: Dialect) -> Cron:
    (word, column), rest = words[0], words[1:]
    name = word.lower()
    if name == "@every":
        if len(rest) != 1:
            where = rest[1][1] if rest else column + len(word)
            raise InvalidCron("@every", where, "takes one duration such as 90s or 1h30m")
        return Cron(every_ms=_every(*rest[0], dialect), zone=zone)
    if name not in DESCRIPTORS:
        known = ", ".join(DESCRIPTORS)
        raise InvalidCron("expression", column, f"{word!r} is not known; there are {known} and @every <duration>")
    if rest:
        raise InvalidCron("expression", rest[0][1], f"nothing may follow {word}")
    columns = [(value, column) for value in DESCRIPTORS[name].split()]
    return Cron(rule=_rule(columns, "", dialect), zone=zone)


def _every(text: str, column: int, dialect: Dialect) -> int:
    try:
        if is_digits(text):
            raise ValueError(f"{text!r} has no unit; write 250ms, 90s, 1h30m or 2d")
        every_ms = duration_ms(text)
    except ValueError as problem:
        raise InvalidCron("@every", column, str(problem)) from None
    if dialect == "robfig":
        every_ms -= every_ms % 1_000
    if not LEAST_EVERY_MS <= every_ms <= MOST_EVERY_MS:
        raise InvalidCron("@every", column, f"{text} is not between 1s and {MOST_EVERY_MS // 86_400_000}d")
    return every_ms


def _rule(words: list[tuple[str, int]], seed: str, dialect: Dialect) -> CronRule:
    layout = _LAYOUTS.get(len(words))
    if layout is None or (dialect == "robfig" and len(words) == 7):
        counts = "5 fields, or 6 with seconds" + (", or 7 with seconds and a year" if dialect == "standard" else "")
        excess = 6 if dialect == "robfig" else 7
        end = words[-1][1] + len(words[-1][0])
        column = words[excess][1] if len(words) > excess else end
        raise InvalidCron("expression", column, f"has {len(words)} fields; write {counts}")
    read = {
        field.name: _Values(field, word, column, seed, dialect)
        for field, (word, column) in zip(layout, words, strict=True)
    }
    minute, hour, day, month, weekday = (read[field.name] for field in _FIVE)
    second, year = read.get("second"), read.get("year")
    rule = CronRule(
        seconds=second.sorted if second else (0,),
        minutes=minute.sorted,
        hours=hour.sorted,
        months=month.sorted,
        years=year.sorted if year else (),
        days=frozenset(day.values),
        before_last=frozenset(day.before_last),
        nearest=frozenset(day.nearest),
        weekdays=frozenset(weekday.values),
        nth=frozenset(weekday.nth),
        either=not (day.star or weekday.star),
        frequent=minute.begins_with_star or hour.begins_with_star,
    )
    if next(rule.walls(datetime(1969, 12, 31, 23, 59, 59)), None) is None:
        raise InvalidCron(day.field.name, day.column, f"never matches: no such day from 1970 to {zones.LAST_YEAR}")
    return rule


class _Values:
    """The values of one field, filled while its text is read."""

    def __init__(self, field: _Field, text: str, column: int, seed: str, dialect: Dialect) -> None:
        self.field = field
        self.column = column
        self.values: set[int] = set()
        self.before_last: set[int] = set()
        self.nearest: set[int] = set()
        self.nth: set[tuple[int, int]] = set()
        self.begins_with_star = text[0] in "*?"
        self.star = dialect == "standard" and self.begins_with_star  # it leaves the day to the other field of days
        self._seed = seed
        self._dialect = dialect
        for item, self._item_column in _items(text, column):
            if item:
                self._read(item)
            elif dialect == "standard" or not text.strip(","):
                self._refuse("an item of the list is empty")

    @property
    def sorted(self) -> tuple[int, ...]:
        """The values, ascending."""
        return tuple(sorted(self.values))

    def _read(self, item: str) -> None:
        upper = item.upper() if item.isascii() else item
        if self._dialect == "standard" and self._read_day(upper):
            return
        match = _RANGE.fullmatch(upper)
        if match is None or (match["hash"] and (self._dialect == "robfig" or self.field is _YEAR)):
            self._refuse(f"{item!r} cannot be read; write {self.field.written}, a range, a list or a step such as */5")
        step = self._step(match["step"])
        if match["star"]:
            self.values.update(range(self.field.low, self.field.high + 1, step))
            self.star = self.star or (self._dialect == "robfig" and step == 1)
        elif match["hash"]:
            self._spread(match["from"], match["to"], step if match["step"] else None)
        else:
            self._range(match["low"], match["high"], step if match["step"] else None)

    def _read_day(self, item: str) -> bool:
        """The forms that only the fields of days know."""
        if self.field is _DAY and (match := _BEFORE_LAST.fullmatch(item)):
            self.before_last.add(self._within(int(match[1] or 0), 0, 30))
        elif self.field is _DAY and (match := _NEAREST.fullmatch(item)):
            self.nearest.add(self._value(match[2]) if match[2] else -self._within(int(match[1] or 0), 0, 30))
        elif self.field is _WEEKDAY and item == "L":
            self._refuse("L needs a weekday here, such as 5L for the last Friday")
        elif self.field is _WEEKDAY and (match := _NTH.fullmatch(item)):
            self.nth.add((self._value(match[1]) % 7, self._within(int(match[2]), 1, 5) if match[2] else -1))
        else:
            return False
        return True

    def _step(self, text: str | None) -> int:
        step = int(text or 1)
        size = self.field.high - self.field.low + 1
        if step == 0:
            self._refuse("a step of 0 goes nowhere")
        if step > size and self._dialect == "standard":
            self._refuse(f"a step of {step} is longer than the field ({self.field.written}); @every takes any interval")
        return step

    def _range(self, first: str, last: str | None, step: int | None) -> None:
        low = self._value(first)
        if last is None:
            low = low % 7 if step and self.field is _WEEKDAY else low
            high = self.field.high if step else low
        else:
            high = self._value(last)
        if low <= high:
            chosen = range(low, high + 1, step or 1)
        elif last and self._dialect == "standard" and first.isalpha() and last.isalpha():
            chosen = range(low, high + len(self.field.names) + 1, step or 1)  # Friday to Monday, over the end
        else:
            self._refuse(f"{first}-{last} runs backwards; write two ranges")
        names = len(self.field.names)
        self.values.update((value - self.field.low) % names + self.field.low if names else value for value in chosen)

    def _spread(self, first: str | None, last: str | None, step: int | None) -> None:
        """``H``: a value, or with a step a start, that the seed and the field decide."""
        low, high = self.field.low, 28 if self.field is _DAY else self.field.high  # every month has 28 days
        if first and last:
            low, high = self._value(first), self._value(last)
            if low > high:
                self._refuse(f"H({first}-{last}) runs backwards")
        digest = hashlib.sha256(f"{self._seed}\0{self.field.name}".encode()).digest()
        number = int.from_bytes(digest[:8])
        start = low + number % min(step or high - low + 1, high - low + 1)
        chosen = range(start, high + 1, step) if step else [start]
        self.values.update(value % 7 if self.field is _WEEKDAY else value for value in chosen)

    def _value(self, text: str) -> int:
        if is_digits(text):
            sunday_too = self.field is _WEEKDAY and self._dialect == "standard"
            return self._within(int(text), self.field.low, 7 if sunday_too else self.field.high)
        if text not in self.field.names:
            self._refuse(f"{text!r} is no {self.field.name}; write {self.field.written}")
        return self.field.names.index(text) + self.field.low

    def _within(self, value: int, low: int, high: int) -> int:
        if not low <= value <= high:
            self._refuse(f"{value} is outside {low}-{high}")
        return value

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidCron(self.field.name, self._item_column, reason)


def _items(text: str, column: int) -> Iterator[tuple[str, int]]:
    """The items of a list, each with its column."""
    for item in text.split(","):
        yield item, column
        column += len(item) + 1
