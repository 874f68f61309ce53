"""What JSON says that a decoder lets pass: names given twice, numbers that no double holds, bottomless nesting.

msgspec keeps the last of two equal names and writes NaN as null; both would change what somebody meant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec

MAX_DEPTH = 64  # of objects and arrays in one another


def check_text(text: bytes) -> None:
    """Refuse JSON that could be read in more than one way. ``text`` must be JSON.

    Raises:
        ValueError: a name is twice in one object, a number is none, or it is nested too deeply.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if _brackets(text) > MAX_DEPTH:
        _check_levels(found)


def check_depth(text: bytes) -> None:
    """Raises ValueError where ``text`` is nested more than 64 deep."""
    if _brackets(text) > MAX_DEPTH:
        try:
            _check_levels(msgspec.json.decode(text))
        except RecursionError:
            raise ValueError(_TOO_DEEP) from None


def _brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _check_levels(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for group in level
            for item in (group.values() if type(group) is dict else group)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"is nested more than {MAX_DEPTH} deep"


def check_finite(value: Any, text: bytes, enc_hook: Callable[[Any], Any]) -> None:
    """Refuse a value with a number that is ``null`` in its JSON ``text``. ``enc_hook``: that of the encoder.

    Raises:
        ValueError: it holds NaN or an infinity.
    """

    def plain(one: Any) -> Any:
        return None if isinstance(one, msgspec.Raw) else enc_hook(one)  # what is JSON already has no such number

    if b"null" in text and _not_finite(msgspec.to_builtins(value, enc_hook=plain)):
        raise ValueError("holds a number that is not finite; JSON has none")


def _not_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_not_finite, value.values()))
    return isinstance(value, list | tuple | set | frozenset) and any(map(_not_finite, value))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name[:100]!r} is twice in one object")
            seen.add(name)
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")
