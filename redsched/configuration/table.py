"""The table of settings: what each one is called, means and may be. It is read off the structure that declares them.

Errors, ``redsched config show`` and every ``--help`` are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, get_args

import msgspec

PREFIX = "REDSCHED_"
CONFIG = "REDSCHED_CONFIG"  # names the file of settings; it is no setting itself
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))


class About(msgspec.Struct, frozen=True):
    """What a setting means, beside its type. It stands in the annotation of the setting."""

    help: str
    read_by: str  # words for who reads it; a command of the command line names its words
    unit: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    mask: Callable[[str], str] | None = None  # shows a value that is a secret, or holds one, without it
    also: str = ""  # an environment variable that counts where the setting's own is not given
    without: str = ""  # what holds where nothing is given, if the default does not say it


class Row(msgspec.Struct, frozen=True):
    """One setting."""

    name: str
    type: Any
    default: Any
    about: About

    @property
    def names(self) -> tuple[str, ...]:
        """Its names in a file: ``lease_ms`` may be written ``lease`` as well."""
        return (self.name, self.name.removesuffix("_ms")) if self.is_duration else (self.name,)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables of these names."""
        return tuple(PREFIX + name.upper() for name in self.names)

    @property
    def secret_file(self) -> str:
        """The environment variable that names a file with the value; empty unless the value is a secret."""
        return f"{self.variables[0]}_FILE" if self.is_secret else ""

    @property
    def is_secret(self) -> bool:
        """Whether the value is a secret or holds one."""
        return self.about.mask is not None

    @property
    def is_duration(self) -> bool:
        """Whether it may be written with a unit, such as ``30s``."""
        return self.name.endswith("_ms")

    @property
    def unit(self) -> str:
        """The unit of its number; empty where it has none."""
        return "ms" if self.is_duration else self.about.unit

    @property
    def bounds(self) -> str:
        """What a value must be, such as ``1..10000 tasks``; empty where there are no limits."""
        if self.about.choices:
            return f"one of {', '.join(self.about.choices)}"
        if self.about.low is None:
            return ""
        return f"{self.about.low}..{self.about.high} {self.unit}".rstrip()

    def problem_of(self, value: Any) -> str:
        """Why the value is outside the limits of the setting; empty where it is not."""
        if self.about.choices and value not in self.about.choices:
            return f"{value!r} is not {self.bounds}"
        if self.about.low is None or self.about.high is None or self.about.low <= value <= self.about.high:
            return ""
        return f"{value} is outside {self.bounds}"

    def text(self, value: Any) -> str:
        """The value as it is written in the environment."""
        if isinstance(value, bool):
            return str(value).lower()
        return ",".join(value) if isinstance(value, tuple) else str(value)

    def masked(self, value: Any) -> Any:
        """The value itself; of a secret what may be shown."""
        return value if self.about.mask is None else self.about.mask(value)

    def shown(self, value: Any) -> str:
        """The value for people, without its secrets."""
        return _duration(value) if self.is_duration else self.text(self.masked(value))

    @property
    def shown_default(self) -> str:
        """The default for people."""
        return self.about.without or self.shown(self.default) or "none"


def rows_of(structure: type[msgspec.Struct]) -> dict[str, Row]:
    """The settings that a structure declares, by name."""
    rows = {}
    for field in msgspec.structs.fields(structure):
        kind, about = get_args(field.type)
        rows[field.name] = Row(field.name, kind, field.default, about)
    return rows


def hidden(text: str) -> str:
    """The mask of a value that is nothing but a secret."""
    return "***" if text else ""


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """``; did you mean ...?`` with the nearest known name; empty where none is near.

    A ``prefix`` that all have in common is not compared: it would make every name near.
    """
    from difflib import get_close_matches

    found = get_close_matches(name.removeprefix(prefix), [one.removeprefix(prefix) for one in known], n=1, cutoff=0.6)
    return f"; did you mean {prefix}{found[0]}?" if found else ""


def _duration(milliseconds: int) -> str:
    """Such as ``30s``; nothing is rounded."""
    for unit, size in _UNITS:
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
