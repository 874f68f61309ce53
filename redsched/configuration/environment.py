"""Settings from environment variables, and secrets from the files that variables name.

An empty variable counts as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from redsched.configuration.given import Given, from_text
from redsched.configuration.table import CONFIG, PREFIX, Row, suggestion
from redsched.model.errors import InvalidSetting

_OF_TESTS = "REDSCHED_TEST_"  # what the tests of redsched itself read


def from_environment(row: Row, environ: Mapping[str, str]) -> Given | None:
    """What the environment gives for one setting; None where it gives nothing.

    Raises:
        InvalidSetting: names the variable; or both where two of them give the setting.
    """
    given = [name for name in (*row.variables, row.secret_file) if environ.get(name)]
    if len(given) > 1:
        raise InvalidSetting(" and ".join(given), "are both given; give one of them")
    if not given and environ.get(row.about.also):
        given = [row.about.also]
    if not given:
        return None
    [name] = given
    if name == row.secret_file:
        return Given(from_text(row, _secret(name, environ[name]), name), name, f"file {environ[name]} ({name})")
    return Given(from_text(row, environ[name], name), name, f"environment variable {name}")


def unknown_variables(rows: Iterable[Row], environ: Mapping[str, str]) -> list[str]:
    """A warning for each ``REDSCHED_...`` that is no setting, with the name that was probably meant."""
    known = sorted({CONFIG}.union(*((*row.variables, row.secret_file) for row in rows)) - {""})
    prefixed = [name for name in environ if name.startswith(PREFIX) and not name.startswith(_OF_TESTS)]
    return [
        f"{_printable(name)} is not a setting and has no effect{suggestion(name, known, PREFIX)}"
        for name in sorted(set(prefixed) - set(known))
    ]


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _secret(variable: str, path: str) -> str:
    """The content of the file, without one line break at its end."""
    try:
        with open(path, encoding="utf-8") as file:
            found = file.read().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(variable, f"cannot be read: {error}") from None
    if not found:
        raise InvalidSetting(variable, f"{path} is empty")
    return found
