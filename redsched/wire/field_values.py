"""From the words of a task's hash and of its outcome to values: one function for each kind of value.

``task_view`` says which field is of which kind. Anybody may have written a hash: what cannot be read is left out, and
nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redsched.model.duration import instant
from redsched.model.outcome import Attempt, KeptStep
from redsched.wire.codec import count_of, json_or_text, raw_json, stored_or_text, text_of

_LAST_MS = 253_402_300_799_000  # of the year 9999


def number(found: Mapping[str, Any], field: str) -> int | None:
    """A whole number."""
    value = found.get(field)
    if value in (None, b"", ""):
        return None
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None


def moment(found: Mapping[str, Any], field: str) -> Any:
    """A time, as an aware datetime."""
    milliseconds = number(found, field)
    return instant(milliseconds) if milliseconds is not None and 0 <= milliseconds <= _LAST_MS else None


def planned_time(found: Mapping[str, Any], field: str) -> Any:
    """The planned time in ``<slot>`` or, of a backfill, ``<slot>.b<n>``."""
    return moment({field: (text(found, field) or "").partition(".")[0]}, field)


def text(found: Mapping[str, Any], field: str) -> str | None:
    """A text."""
    value = found.get(field)
    return None if value is None else text_of(value)


def flag(found: Mapping[str, Any], field: str) -> bool:
    """Whether it is 1."""
    return found.get(field) in (b"1", "1")


def json_value(found: Mapping[str, Any], field: str, stored: bool) -> Any:
    """What stored JSON says, or with ``stored`` the JSON itself; what is no JSON as text."""
    value = found.get(field)
    if value is None:
        return None
    return stored_or_text(value) if stored else json_or_text(value)


def list_of_text(found: Mapping[str, Any], field: str, stored: bool) -> Any:
    """A JSON list of texts, or with ``stored`` the JSON itself."""
    return _stored_texts(found, field) if stored else _list_of_text(json_value(found, field, False))


def dict_of_text(found: Mapping[str, Any], field: str, stored: bool) -> Any:
    """A JSON object of texts, or with ``stored`` the JSON itself."""
    return _stored_texts(found, field) if stored else _dict_of_text(json_value(found, field, False))


def _stored_texts(found: Mapping[str, Any], field: str) -> Any:
    shape = json_value(found, field, False)
    if _list_of_text(shape) is None and _dict_of_text(shape) is None:
        return None
    return json_value(found, field, True)


def _list_of_text(value: Any) -> list[str] | None:
    return [str(item) for item in value] if isinstance(value, list) else None


def _dict_of_text(value: Any) -> dict[str, str] | None:
    return {str(name): str(item) for name, item in value.items()} if isinstance(value, dict) else None


def not_json(*named: tuple[Mapping[str, Any], str]) -> list[str] | None:
    """The names of those fields that should be JSON and are none."""
    names = [name for found, name in named if found.get(name) is not None and raw_json(found[name]) is None]
    return names or None


def history(outcome: Mapping[str, Any]) -> list[Attempt] | None:
    """How the runs ended, from the fields ``attempt:<n>`` of an outcome."""
    attempts = []
    for field, line in outcome.items():
        word, _, which = field.partition(":")
        parts = text_of(line).split(" ", 3)
        if word == "attempt" and count_of(which) and len(parts) >= 3 and count_of(parts[0]):
            attempts.append(
                Attempt(
                    attempt=int(which),
                    at=instant(int(parts[0])),
                    outcome=parts[1],
                    worker="" if parts[2] == "-" else parts[2],
                    error=parts[3] if len(parts) > 3 else "",
                )
            )
    return sorted(attempts, key=lambda attempt: attempt.attempt) or None


def steps(found: Mapping[str, Any], outcome: Mapping[str, Any], stored: bool) -> list[KeptStep] | None:
    """What ``once`` keeps of this task, oldest first, from the fields ``step:<created_at>:<name>`` of its outcome."""
    made = text(found, "created_at") or ""
    kept = []
    for field in outcome:
        word, _, rest = field.partition(":")
        of, _, name = rest.partition(":")
        if word == "step" and of == made and name:
            at = moment(outcome, f"kept:{made}:{name}")
            kept.append(KeptStep(name=name, at=at, value=json_value(outcome, field, stored)))
    return sorted(kept, key=lambda one: (one.at is not None and one.at.timestamp(), one.name)) or None
