"""Durations and instants at the Python edge, milliseconds on the wire; converted only here.

A duration is written ``250ms``, ``90s``, ``1h30m``, ``2d``, ``1w``, ``1 day`` or, by ISO 8601, ``P1DT2H``. In JSON, on
the wire and on a command line a bare integer means milliseconds; Python code may not give one. An instant is an
aware ``datetime``, RFC 3339 text with an offset, or integer ms since the epoch. A part of a millisecond counts as a
whole one, so that nothing is due before its time; of an end it does not count, so that nothing happens after it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any

from redsched.model.refused import kind_and_length

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_WORDS = {
    "ms": "ms|msecs?|milliseconds?", "s": "s|secs?|seconds?", "m": "m|mins?|minutes?", "h": "h|hrs?|hours?",
    "d": "d|days?", "w": "w|weeks?",
}  # fmt: skip
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_UNIT = "|".join(f"(?P<{unit}>{words})" for unit, words in _WORDS.items())
_PART = re.compile(rf"({_NUMBER})\s*(?:{_UNIT})(?![a-z])\s*")
_ISO_PART = {unit: f"(?:(?P<{unit}>{_NUMBER}){unit.upper()})?" for unit in "wdhms"}
_ISO = re.compile("P(?=.*[0-9]){w}{d}(?:T(?=[0-9]){h}{m}{s})?".format_map(_ISO_PART))
_WHOLE = re.compile(r"[0-9]{1,18}")
_RFC3339 = re.compile(r"(.*[Tt ]\d\d:\d\d:)(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NOTHING = timedelta(0)
_FARTHEST_MS = 10**16  # of a duration; more cannot be a timedelta
_HOW = "write 250ms, 90s, 1h30m, 2d, 1w, '1 day' or P1DT2H"

EARLIEST_MS = 100_000_000_000  # 1973; anything lower is seconds by mistake
CONFUSED_MS = 1_000_000_000_000  # 2001; a number below has twelve digits, as 202612010900 has
LATEST_MS = 4_000_000_000_000  # 2096; anything higher is microseconds by mistake
LAST_MS = 253_402_300_799_000  # the end of the year 9999, the last that a datetime can hold


def is_digits(text: str) -> bool:
    """Whether a text is one or more of 0-9; ``str.isdigit`` takes the digits of every script, and ``²``."""
    return text.isascii() and text.isdigit()


def duration_ms(value: timedelta | int | str) -> int:
    """Milliseconds of a duration that JSON, the wire or a command line holds.

    Raises:
        ValueError: negative, or text that is no duration.
    """
    if isinstance(value, timedelta):
        milliseconds = -(-value // _MILLISECOND) if value >= _NOTHING else -1
    elif isinstance(value, bool):
        raise ValueError("must be a duration such as 90s, not a boolean")
    elif isinstance(value, int):
        milliseconds = value
    elif isinstance(value, str):
        milliseconds = _parse(value)
    else:
        raise ValueError(f"must be a duration such as 90s or whole milliseconds, not a {type(value).__name__}")
    if milliseconds < 0:
        raise ValueError("must not be negative")
    return milliseconds


def span_ms(value: timedelta | str) -> int:
    """Milliseconds of a duration that Python code gives: a bare number has no unit, and is refused.

    Raises:
        ValueError: as ``duration_ms``.
    """
    check_unit(value)
    return duration_ms(value)


def check_unit(value: Any) -> None:
    """Whether Python code has given a duration with its unit, as text or timedelta; ValueError where it has not."""
    if isinstance(value, bool) or not isinstance(value, timedelta | str | int | float):
        kind = "boolean" if isinstance(value, bool) else type(value).__name__
        raise ValueError(f'must be a duration such as "5s" or timedelta(seconds=5), not a {kind}')
    if isinstance(value, int | float) or (isinstance(value, str) and _WHOLE.fullmatch(value.strip())):
        raise ValueError('is a bare number; write "5s" or timedelta(seconds=5)')


def span_of(value: Any) -> Any:
    """A duration of JSON, where a bare number means milliseconds, as Python code gives it; what is none stays."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if type(value) is not int:
        return value
    return timedelta(milliseconds=max(-_FARTHEST_MS, min(value, _FARTHEST_MS)))


def _parse(text: str) -> int:
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    sign = stripped[:1] if stripped[:1] in ("-", "+") else ""
    unsigned = stripped.removeprefix(sign).lstrip()
    found = _parts(unsigned)
    if found is None or sign == "+":
        iso = " of weeks, days, hours, minutes and seconds" if unsigned[:1] in ("P", "p") else ""
        raise ValueError(f"{kind_and_length(text)} is no duration{iso}; {_HOW}")
    if sign:
        raise ValueError("must not be negative")
    return found


def _parts(text: str) -> int | None:
    """Milliseconds of a duration without a sign; None where it is none."""
    total, end = Fraction(0), 0
    if text[:1] in ("P", "p"):
        if (iso := _ISO.fullmatch(text.upper())) is None:
            return None
        return ceil(sum(Fraction(number) * UNITS_MS[unit] for unit, number in iso.groupdict().items() if number))
    if _WHOLE.fullmatch(text):
        return int(text)
    while end < len(text):
        if (part := _PART.match(text, end)) is None:
            return None
        total += Fraction(part[1]) * UNITS_MS[part.lastgroup or ""]
        end = part.end()
    return ceil(total) if text else None


def instant_ms(value: datetime | int | str) -> int:
    """Milliseconds since the epoch of an instant.

    Raises:
        ValueError: a datetime or text without an offset, text that is no RFC 3339 instant, an instant before
            1974 or after 2095, text of twelve digits, or an integer outside 1e11..4e12 that is not 0 (0 means now).
    """
    moment = _moment(value)
    return moment if isinstance(moment, int) else _ranged(moment, -((_EPOCH - moment) // _MILLISECOND))


def latest_ms(value: datetime | int | str) -> int:
    """As ``instant_ms``, for an end: a part of a millisecond does not count, so that nothing happens after it."""
    moment = _moment(value, whole=False)
    return moment if isinstance(moment, int) else _ranged(moment, (moment - _EPOCH) // _MILLISECOND)


def _ranged(moment: datetime, milliseconds: int) -> int:
    if not EARLIEST_MS <= milliseconds <= LATEST_MS:
        raise ValueError(f"{moment.isoformat()} is outside the years 1974..2095")
    return milliseconds


def _moment(value: datetime | int | str, *, whole: bool = True) -> datetime | int:
    """``whole``: a part of a microsecond in a text counts as a whole one."""
    if isinstance(value, bool):
        raise ValueError("must be an instant, not a boolean")
    if isinstance(value, str):
        value = _of_text(value.strip(), whole)
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise ValueError("has no time zone; give an aware datetime (for text: an offset such as +01:00 or Z)")
        return value
    if not isinstance(value, int):
        raise ValueError(f"must be an instant, not a {type(value).__name__}")
    if value != 0 and not EARLIEST_MS <= value <= LATEST_MS:
        raise ValueError(f"{value} is no time in ms since the epoch (1e11..4e12); were seconds or microseconds meant?")
    return value


def _of_text(text: str, whole: bool) -> datetime | int:
    if _WHOLE.fullmatch(text):
        number = int(text)
        if EARLIEST_MS <= number < CONFUSED_MS:
            raise ValueError(confused(number))
        return number
    more = _NOTHING
    if written := _RFC3339.fullmatch(text):
        start, seconds, fraction, offset = written.groups("")
        # a leap second, and less than a microsecond: a datetime holds neither
        more = timedelta(seconds=seconds == "60", microseconds=whole and fraction[6:].strip("0") != "")
        seconds = "59" if seconds == "60" else seconds
        text = f"{start}{seconds}{'.' + fraction[:6] if fraction else ''}{offset.upper()}"
    try:
        return datetime.fromisoformat(text) + more
    except (ValueError, OverflowError):
        raise ValueError(f"{kind_and_length(text)} is no RFC 3339 instant such as 2027-01-31T09:00:00+01:00") from None


def confused(value: int) -> str:
    """Why a number below ``CONFUSED_MS`` is not taken where somebody may have written a date without its signs."""
    return f"as ms since the epoch this is the year {instant(value).year}; a date is written 2026-12-01T09:00:00Z"


def instant(milliseconds: int) -> datetime:
    """The aware UTC datetime of ms since the epoch; the nearest there is where no datetime can hold it, since anybody
    may have written it."""
    return _EPOCH + timedelta(milliseconds=max(0, min(milliseconds, LAST_MS)))


def duration_text(milliseconds: float) -> str:
    """A short form for people: ``250ms``, ``1.5s``, ``2m05s``, ``3h10m``, ``4d2h``."""
    value = round(milliseconds)
    if abs(value) < 1_000:
        return f"{value}ms"
    if abs(value) < 59_950:
        return f"{value / 1_000:.1f}s".replace(".0s", "s")
    sign, value = ("-" if value < 0 else ""), round(abs(value) / 1_000)
    if value < 3_600:
        return f"{sign}{value // 60}m{value % 60:02d}s"
    if value < 86_400:
        return f"{sign}{value // 3_600}h{value % 3_600 // 60:02d}m"
    return f"{sign}{value // 86_400}d{value % 86_400 // 3_600}h"
