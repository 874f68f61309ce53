"""What was given for a setting: its value, and where it stands. A text becomes a value here and nowhere else."""

from __future__ import annotations

from typing import Any

import msgspec

from redsched.configuration.table import Row
from redsched.model.duration import duration_ms
from redsched.model.errors import InvalidSetting

_KINDS = {int: "a whole number", bool: "true or false", str: "a text"}


class Given(msgspec.Struct, frozen=True):
    """One value. ``place`` names it in errors; ``source`` says to people where it stands."""

    value: Any
    place: str
    source: str


def from_text(row: Row, text: str, place: str) -> Any:
    """The value that a text stands for: of an environment variable or of a file.

    Raises:
        InvalidSetting: names the place, the range and the unit.
    """
    if row.is_duration:
        return _within(row, _duration(row, text, place), place)
    if isinstance(row.default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        value = msgspec.convert(text, row.type, strict=False)
    except msgspec.ValidationError:
        raise InvalidSetting(place, _no_kind(row, text)) from None
    return _within(row, value, place)


def from_value(row: Row, value: Any, place: str) -> Any:
    """The same for a value that has a type: of redsched.toml, or of a call.

    Raises:
        InvalidSetting: names the place, the range and the unit.
    """
    if row.is_duration:
        return _within(row, _duration(row, value, place), place)
    if isinstance(row.default, tuple):
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise InvalidSetting(place, 'must be a list of texts, such as ["one", "two"]')
        return tuple(value)
    if type(value) is not row.type:
        raise InvalidSetting(place, _no_kind(row, value))
    return _within(row, value, place)


def _duration(row: Row, value: Any, place: str) -> int:
    try:
        return duration_ms(value)
    except ValueError as error:
        raise InvalidSetting(place, f"{error}; it must be {row.bounds}") from None


def _within(row: Row, value: Any, place: str) -> Any:
    if problem := row.problem_of(value):
        raise InvalidSetting(place, problem)
    return value


def _no_kind(row: Row, value: Any) -> str:
    quoted = "the value" if row.is_secret else repr(value)
    return f"{quoted} is not {_KINDS[row.type]}" + (f" of {row.bounds}" if row.about.low is not None else "")
