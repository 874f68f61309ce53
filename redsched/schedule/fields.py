"""Reads the fields of a schedule's definition: lists, instants and durations. Each error names the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from redsched.model.duration import duration_ms, instant_ms, latest_ms
from redsched.model.errors import InvalidSchedule
from redsched.schedule.calendar import InvalidRule

MAX_RULES = 100  # of one kind


def items(field: str, given: Any, most: int = MAX_RULES) -> Iterator[tuple[str, Any]]:
    """Each item with its name: the field alone where one is given without a list."""
    if not isinstance(given, list | tuple):
        if given not in ([], ""):
            yield field, given
        return
    if len(given) > most:
        raise InvalidSchedule(field, f"{len(given)} items; at most {most} are taken")
    for at, item in enumerate(given):
        yield f"{field}[{at}]", item


def read(field: str, make: Callable[..., Any], *given: Any, code: str = "invalid_schedule") -> Any:
    try:
        return make(*given)
    except InvalidRule as error:
        if error.field == "never":
            raise InvalidSchedule(field, f"never runs: {error.problem}", code="never_fires") from None
        raise InvalidSchedule(field, str(error), code=code) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidSchedule(field, str(error), code=code) from None


def instant(field: str, given: Any, reader: Callable[[Any], int] = instant_ms) -> int:
    ms = int(read(field, reader, given))
    if ms == 0:
        raise InvalidSchedule(field, "0 is no time")
    return ms


def bounds(start: Any, end: Any) -> tuple[int | None, int | None]:
    """The first and the last ms that a slot may have; None: there is no such limit. A start of 0, the epoch, is none.

    Raises:
        InvalidSchedule: one of them cannot be read, or the end lies before the start.
    """
    first = None if start is None else int(read("start", instant_ms, start)) or None
    last = None if end is None else instant("end", end, latest_ms)
    if first is not None and last is not None and first > last:
        raise InvalidSchedule("end", "is before start")
    return first, last


def ranged(field: str, given: Any, low: int, high: int) -> int:
    ms = int(read(field, duration_ms, given))
    if not low <= ms <= high:
        raise InvalidSchedule(field, f"{ms} ms is outside {low}..{high} ms")
    return ms
