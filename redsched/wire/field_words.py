"""From the values of a task's fields to the words of the wire: one function for each kind of value.

``task_words`` says which field is of which kind. A value that cannot be written is an ``InvalidTask`` that names the
field; nothing has been sent then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from redsched.model.condition import Conditions
from redsched.model.duration import CONFUSED_MS, confused, instant_ms, latest_ms, span_ms
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.model.retry import retry_wire
from redsched.model.vocabulary import MAX_TAGS, PRIORITIES
from redsched.wire.codec import LONGEST_MS, Word, json_bytes
from redsched.wire.condition_words import wire_conditions

MAX_HEADERS_BYTES = 65_536
MAX_CONDITIONS_BYTES = 65_536
MAX_TEXTS_BYTES = 4_096
TOO_EARLY = "must reach beyond the due time: the task is due after it expires"  # as the scripts say it


def due_word(due: Any, delay: Any, index: int | None = None, *, field: str = "due") -> Word:
    """0 for now, ms since the epoch, or ``+ms`` that the server adds to its own clock; raises InvalidTask."""
    if delay is not None:
        if due is not None:
            raise InvalidTask("delay", "give due or delay, not both", index=index)
        return f"+{_checked('delay', _delay, delay, index)}"
    return 0 if due is None else int(_checked(field, _due, due, index))


def priority_word(field: str, value: Any, index: int | None) -> str:
    """The priority; raises InvalidTask."""
    if value not in PRIORITIES:
        raise InvalidTask(field, f"{kind_and_length(value)} is not high, normal or low", index=index)
    return value  # type: ignore[no-any-return]


def whole_word(field: str, value: Any, low: int, high: int, index: int | None) -> int:
    """A whole number in its range; raises InvalidTask."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTask(field, f"{kind_and_length(value)} is no integer", index=index)
    if not low <= value <= high:
        raise InvalidTask(field, f"is outside {low}..{high}", index=index)
    return value


def duration_word(field: str, value: Any, low: int, high: int, index: int | None) -> int:
    """A duration in its range, as ms; raises InvalidTask."""
    milliseconds = int(_checked(field, span_ms, value, index))
    if not low <= milliseconds <= high:
        raise InvalidTask(field, f"is outside {low}..{high} ms", index=index)
    return milliseconds


def retry_word(field: str, value: Any, index: int | None) -> str:
    """A retry policy as one line; raises InvalidTask."""
    return str(_checked(field, retry_wire, value, index))


def start_by_word(expires_at: Any, expires_in: Any, index: int | None) -> Word:
    """Until when a task may start, of which one is given: ms since the epoch, or ``+ms``; raises InvalidTask."""
    if expires_in is not None:
        if expires_at is not None:
            raise InvalidTask("expires_in", "give expires_at or expires_in, not both", index=index)
        within = int(_checked("expires_in", _delay, expires_in, index))
        if within == 0:
            raise InvalidTask("expires_in", TOO_EARLY, index=index)
        return f"+{within}"
    expires = int(_checked("expires_at", latest_ms, expires_at, index))
    if isinstance(expires_at, int) and 0 < expires < CONFUSED_MS:
        raise InvalidTask("expires_at", confused(expires), index=index)
    if expires == 0:
        raise InvalidTask("expires_at", "0 is no time", index=index)
    return expires


def check_start_by(due: Word, start_by: Word, index: int | None) -> None:
    """Whether a task can start before its start-by; raises InvalidTask.

    Where only one of the two counts from now, the server decides.
    """
    if due != 0 and isinstance(due, str) == isinstance(start_by, str) and int(start_by) <= int(due):
        raise InvalidTask("expires_in" if isinstance(start_by, str) else "expires_at", TOO_EARLY, index=index)


def texts_word(field: str, value: Any, index: int | None) -> bytes:
    """A list of short texts as JSON; raises InvalidTask."""
    if not isinstance(value, Collection) or isinstance(value, str) or len(value) > MAX_TAGS:
        raise InvalidTask(field, f"must be a list of at most {MAX_TAGS} texts", index=index)
    for tag in value:
        if not isinstance(tag, str) or not 1 <= len(tag) <= 128:
            raise InvalidTask(field, f"{kind_and_length(tag)} must be a text of 1 to 128 characters", index=index)
    return json_bytes(field, list(value), MAX_TEXTS_BYTES, index)


def headers_word(field: str, value: Any, index: int | None) -> bytes:
    """An object of texts as JSON; raises InvalidTask."""
    if not isinstance(value, Mapping):
        raise InvalidTask(field, "must be an object of texts", index=index)
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise InvalidTask(field, f"{kind_and_length(name)} must be a text with a text", index=index)
    return json_bytes(field, dict(value), MAX_HEADERS_BYTES, index)


def conditions_word(field: str, value: Any, index: int | None) -> bytes:
    """Conditions as the scripts read them; raises InvalidTask."""
    if not isinstance(value, Conditions | Mapping):
        raise InvalidTask(field, f"must be an object, not {kind_and_length(value)}", index=index)
    return json_bytes(field, wire_conditions(value, index), MAX_CONDITIONS_BYTES, index)


def _checked(field: str, convert: Callable[[Any], Any], value: Any, index: int | None) -> Any:
    try:
        return convert(value)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidTask(field, str(error), index=index) from None


def _delay(value: Any) -> int:
    milliseconds = span_ms(value)
    if milliseconds > LONGEST_MS:
        raise ValueError("is longer than a year; give due")
    return milliseconds


def _due(value: Any) -> int:
    milliseconds = instant_ms(value)
    if isinstance(value, int) and 0 < value < CONFUSED_MS:
        raise ValueError(confused(value))
    return milliseconds
