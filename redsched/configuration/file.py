"""Settings from ``redsched.toml``: one key a setting, named as in ``redsched config show``.

The file is read whole or not at all: a key that is no setting is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from redsched.configuration.given import Given, from_value
from redsched.configuration.table import Row, suggestion
from redsched.model.errors import InvalidSetting

USUAL = "redsched.toml"  # in the working directory


class SettingsFile:
    """What a file of settings says. A file without a name says nothing."""

    def __init__(self, path: str) -> None:
        """Read the file.

        Raises:
            InvalidSetting: it cannot be read, or is no TOML.
        """
        self.path = path
        self._text, self._values = _read(path) if path else ("", {})

    @classmethod
    def find(cls, named: str) -> SettingsFile:
        """The file of this name; without a name the usual one, where it is there."""
        return cls(named or (USUAL if os.path.exists(USUAL) else ""))

    def given(self, row: Row) -> Given | None:
        """What the file gives for one setting; None where it gives nothing.

        Raises:
            InvalidSetting: names file, line, key, range and unit.
        """
        names = [name for name in row.names if name in self._values]
        if len(names) > 1:
            raise InvalidSetting(f"{self._at(names[1])}: {' and '.join(names)}", "are both given; give one of them")
        if not names:
            return None
        [name] = names
        place = f"{self._at(name)}: {name}"
        return Given(from_value(row, self._values[name], place), place, self._at(name))

    def unknown(self, rows: Mapping[str, Row]) -> list[InvalidSetting]:
        """An error for each key that is no setting, with the name that was probably meant."""
        known = [name for row in rows.values() for name in row.names]
        return [
            InvalidSetting(f"{self._at(key)}: {key}", f"there is no such setting{suggestion(key.lower(), known)}")
            for key in self._values
            if key not in known
        ]

    def _at(self, key: str) -> str:
        """``file:line`` of a key; the file alone where the line is not found."""
        pattern = re.compile(rf"\s*\[{{0,2}}\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
        for number, line in enumerate(self._text.splitlines(), 1):
            if pattern.match(line):
                return f"{self.path}:{number}"
        return self.path


def _read(path: str) -> tuple[str, dict[str, Any]]:
    import tomllib

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InvalidSetting(path, f"the file of settings cannot be read: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSetting(path, f"the file is no TOML: {error}") from None
