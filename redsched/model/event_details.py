"""The details of an entry of the events stream as people read them: the stream has times and durations in ms."""

from __future__ import annotations

from collections.abc import Sequence

from redsched.model.duration import LAST_MS, duration_text, instant, is_digits

_INSTANTS = ("due", "slot")


def detail_texts(flat: Sequence[object]) -> list[tuple[str, str]]:
    """Name and text of each of ``name, value, ...``: ``due`` as an instant, ``kept_ms`` as the duration ``kept``."""
    return [_detail(str(name), str(value)) for name, value in zip(flat[::2], flat[1::2], strict=False)]


def _detail(name: str, value: str) -> tuple[str, str]:
    sign = "+" if value.startswith("+") else ""
    number, dot, rest = value.removeprefix(sign).partition(".")  # a slot of a backfill ends in .b<n>
    if not is_digits(number) or int(number[:16]) > LAST_MS:
        return name, value
    if name.endswith("_ms") and not dot:
        return name.removesuffix("_ms"), duration_text(int(number))
    if name in _INSTANTS or name.endswith("_at"):
        text = duration_text(int(number)) if sign else "now" if number == "0" else _instant(int(number))
        return name, sign + text + dot + rest
    return name, value


def _instant(milliseconds: int) -> str:
    found = instant(milliseconds)
    part = f".{found.microsecond // 1_000:03d}" if found.microsecond else ""
    return f"{found:%Y-%m-%dT%H:%M:%S}{part}Z"
