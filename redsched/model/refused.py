"""What may be told of a value that was refused: its kind and its length. The value may be a secret in a wrong place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_QUOTED = re.compile(r"([Ii]nvalid(?: enum)?) value .*", re.DOTALL)


def kind_and_length(value: Any) -> str:
    """``a text of 12 characters``, ``a list of 3``, ``a number``; never the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return f"a text of {len(value)} character{'' if len(value) == 1 else 's'}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return f"an object of {len(value)}"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"


def without_value(problem: str) -> str:
    """What msgspec says is wrong, without the value that it quotes in some of its texts."""
    return _QUOTED.sub(r"\1 value", problem)
