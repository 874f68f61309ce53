"""Between Python values and the words of the wire: names, ids and JSON, which verbs of every family send and read.

The fields of a task are in ``field_words`` and ``field_values``. A value that cannot be written is an ``InvalidTask``
that names the field; nothing has been sent then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from redsched.model.duration import is_digits
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.wire.json_checks import check_depth, check_finite

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", re.ASCII)
TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}", re.ASCII)
TOKEN = re.compile(r"[\x21-\x7e]{1,128}")
LONGEST_MS = 31_536_000_000  # a year: delays, retention
MAX_REASON_BYTES = 200  # of a cancel or a pause: what Redis keeps

Word = str | bytes | int


def _of_model(value: Any) -> Any:
    """What JSON holds of a pydantic model; pydantic itself is not imported here."""
    if (serializer := getattr(type(value), "__pydantic_serializer__", None)) is not None:
        return serializer.to_python(value, mode="json", by_alias=True)
    raise NotImplementedError(f"Encoding objects of type {type(value).__qualname__} is unsupported")


json_encoder = msgspec.json.Encoder(enc_hook=_of_model)
NO_JSON = (
    TypeError,
    ValueError,
    NotImplementedError,
    RecursionError,
    OverflowError,
)  # what a value that is none raises


def is_name(value: str) -> bool:
    """Whether a queue, a type or a schedule may be called so."""
    return len(value) <= 100 and _is_name(value)  # what is kept is short


@lru_cache(maxsize=4_096)
def _is_name(value: str) -> bool:
    return NAME.fullmatch(value) is not None


def check_name(field: str, value: Any, index: int | None = None) -> str:
    """The name; raises InvalidTask."""
    if not isinstance(value, str) or not is_name(value):
        raise InvalidTask(
            field,
            f"{kind_and_length(value)} is no name: 1 to 100 of [A-Za-z0-9._@+-], the first a letter or digit",
            index=index,
        )
    return value


def check_id(value: Any, index: int | None = None) -> str:
    """The task id; raises InvalidTask."""
    if not isinstance(value, str) or TASK_ID.fullmatch(value) is None:
        raise InvalidTask(
            "id",
            f"{kind_and_length(value)} is no id: 1 to 128 of [A-Za-z0-9._@+:-], the first a letter or digit",
            index=index,
        )
    return value


def answer_bytes(value: Any) -> bytes:
    """What code of the application returned, as JSON; raises one of NO_JSON where that cannot hold it."""
    text = json_encoder.encode(value)
    check_finite(value, text, _of_model)
    return text


def json_bytes(field: str, value: Any, most: int, index: int | None = None) -> bytes:
    """The value as JSON; raises InvalidTask where JSON cannot hold it or it is longer than ``most`` bytes."""
    try:
        text = json_encoder.encode(value)
        if len(text) <= most:
            check_depth(text)
            check_finite(value, text, _of_model)
    except NO_JSON as error:
        raise InvalidTask(field, f"cannot be written as JSON: {error}", index=index) from None
    if len(text) > most:
        raise InvalidTask(
            field, f"{len(text)} bytes of JSON; at most {most} are taken", index=index, code="payload_too_large"
        )
    return text


def check_id_like(field: str, value: Any, index: int | None) -> str:
    """1 to 128 printable ASCII characters without spaces; raises InvalidTask."""
    if not isinstance(value, str) or TOKEN.fullmatch(value) is None:
        raise InvalidTask(
            field, f"{kind_and_length(value)} must be 1 to 128 printable ASCII characters without spaces", index=index
        )
    return value


def cut(value: Any, most_bytes: int) -> str:
    """The value as text that UTF-8 can hold, without the characters beyond ``most_bytes``."""
    text = str(value)[:most_bytes]
    raw = text.encode("utf-8", "backslashreplace")
    return raw[:most_bytes].decode("utf-8", "ignore")


def reason_word(reason: str) -> str:
    """Why someone cancels or pauses, as far as Redis keeps it."""
    return cut(reason, MAX_REASON_BYTES)


def text_of(value: Any) -> str:
    """A word of a reply as text; bytes that are no UTF-8 are shown, not refused."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def pairs(flat: Sequence[Any]) -> dict[str, bytes]:
    """A flat reply ``field, value, ...`` as a dict."""
    return {text_of(flat[at]): flat[at + 1] for at in range(0, len(flat) - 1, 2)}


def count_of(value: Any) -> int:
    """A counter that anybody may have written; 0 where it is no whole number of at most 15 digits."""
    text = text_of(value)
    return int(text) if is_digits(text) and len(text) < 16 else 0


def cap_of(word: Sequence[int]) -> int | None:
    """How many tasks of a kind a queue keeps; None: all, or an older library that does not say."""
    return word[0] if word and word[0] >= 0 else None


def stored_json(value: Any) -> Any:
    """What stored JSON says.

    Raises:
        ValueError: it is none, or nested more deeply than anything that a client may submit.
    """
    raw = value.encode() if isinstance(value, str) else bytes(value)
    check_depth(raw)
    return msgspec.json.decode(raw)


def json_or_text(value: bytes) -> Any:
    """What the JSON says; what is no JSON as text."""
    try:
        return stored_json(value)
    except ValueError:
        return text_of(value)


def raw_json(value: bytes) -> msgspec.Raw | None:
    """The bytes as JSON that is passed on as it was written; None where they are no JSON."""
    try:
        stored_json(value)
    except ValueError:
        return None
    return msgspec.Raw(value)


def stored_or_text(value: bytes) -> Any:
    """The value as it is stored; what is no JSON as text."""
    raw = raw_json(value)
    return text_of(value) if raw is None else raw
