"""Durations and instants at the Python edge, milliseconds on the wire; converted only here.

A duration is written ``250ms``, ``90s``, ``1h30m`` or ``2d``, a bare integer means milliseconds.
An instant is an aware ``datetime``, RFC 3339 text with an offset, or integer ms since the epoch.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from redsched.model.shape import shape

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_WHOLE = re.compile(r"[0-9]{1,18}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

EARLIEST_MS = 100_000_000_000  # 1973; anything lower is seconds by mistake
LATEST_MS = 4_000_000_000_000  # 2096; anything higher is microseconds by mistake
LAST_MS = 253_402_300_799_000  # the end of the year 9999, the last that a datetime can hold


def duration_ms(value: timedelta | int | str) -> int:
    """Milliseconds of a duration.

    Raises:
        ValueError: negative, or text that is no duration.
    """
    if isinstance(value, timedelta):
        milliseconds = value // _MILLISECOND
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


def _parse(text: str) -> int:
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    total, end = 0.0, 0
    for part in _PART.finditer(stripped):
        if part.start() != end:
            break
        total += float(part[1]) * UNITS_MS[part[2]]
        end = part.end()
    if not stripped or end != len(stripped):
        raise ValueError(f"{shape(text)} is no duration; write 250ms, 90s, 1h30m or 2d")
    return round(total)


def instant_ms(value: datetime | int | str) -> int:
    """Milliseconds since the epoch of an instant.

    Raises:
        ValueError: a datetime or text without an offset, text that is no RFC 3339 instant, an instant before
            1974 or after 2095, or an integer outside 1e11..4e12 that is not 0 (0 means now).
    """
    if isinstance(value, bool):
        raise ValueError("must be an instant, not a boolean")
    if isinstance(value, str):
        stripped = value.strip()
        if _WHOLE.fullmatch(stripped):
            value = int(stripped)
        else:
            try:
                value = datetime.fromisoformat(stripped)
            except ValueError:
                raise ValueError(f"{shape(value)} is no RFC 3339 instant such as 2027-01-31T09:00:00+01:00") from None
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise ValueError("has no time zone; give an aware datetime (for text: an offset such as +01:00 or Z)")
        milliseconds = (value - _EPOCH) // _MILLISECOND
        if not EARLIEST_MS <= milliseconds <= LATEST_MS:
            raise ValueError(f"{value.isoformat()} is outside the years 1974..2095")
        return milliseconds
    if not isinstance(value, int):
        raise ValueError(f"must be an instant, not a {type(value).__name__}")
    if value != 0 and not EARLIEST_MS <= value <= LATEST_MS:
        raise ValueError(f"{value} is no time in ms since the epoch (1e11..4e12); were seconds or microseconds meant?")
    return value


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
