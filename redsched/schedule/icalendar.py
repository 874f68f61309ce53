"""The words of iCalendar (RFC 5545) that recurrences are written in: lines, parts, lists, weekdays and times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from redsched.schedule.calendar import InvalidRule

WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}

_BYDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_INSTANT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?", re.ASCII)


def read_lines(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Name, value and parameters of each line; folded ones are joined, a line without a name is an RRULE."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidRule("RRULE", "is empty")
    for line in re.sub(r"\r?\n[ \t]", "", text.strip()).upper().split():
        head, found, value = line.partition(":")
        if not found:
            head, value = "RRULE", line
        name, *parameters = head.split(";")
        yield name, value, parameters


def read_parts(text: str) -> dict[str, str]:
    """The parts of an RRULE by name."""
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, found, value = part.partition("=")
        if not name and not found:
            continue
        if not found or not value:
            raise InvalidRule(name or "RRULE", "has no value")
        if name in parts:
            raise InvalidRule(name, "is given twice")
        parts[name] = value
    return parts


def read_numbers(name: str, text: str, low: int, high: int, *, signed: bool = False) -> list[int]:
    """The numbers of a list; ``signed`` takes their negatives too."""
    found = []
    for word in text.split(",") if text else ():
        if not re.fullmatch(r"[+-]?[0-9]{1,10}", word, re.ASCII):
            raise InvalidRule(name, f"{word!r} is no number")
        number = int(word)
        if not low <= (abs(number) if signed else number) <= high:
            raise InvalidRule(name, f"{number} is outside {low}..{high}{f' and -{low}..-{high}' if signed else ''}")
        found.append(number)
    return found


def read_weekdays(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    """Weekdays, and numbered ones (n, weekday)."""
    plain, numbered = set(), set()
    for word in text.split(",") if text else ():
        found = _BYDAY.fullmatch(word)
        if found is None or (found[1] and not 1 <= abs(int(found[1])) <= 53):
            raise InvalidRule("BYDAY", f"{word!r} is no weekday such as MO, 2TU or -1FR")
        if found[1]:
            numbered.add((int(found[1]), WEEKDAYS[found[2]]))
        else:
            plain.add(WEEKDAYS[found[2]])
    return frozenset(plain), frozenset(numbered)


def read_moment(name: str, word: str) -> tuple[datetime, bool, bool]:
    """A local time, whether it was written as UTC, and whether it is a date only."""
    found = _INSTANT.fullmatch(word)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second)
        if not 1900 <= year <= 2200:
            raise ValueError
    except ValueError:
        raise InvalidRule(name, f"{word!r} is no time such as 20270131T090000 (years 1900..2200)") from None
    return moment, found[7] == "Z", found[4] is None
