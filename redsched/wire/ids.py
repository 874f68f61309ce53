"""Ids that redsched makes: ``<cell in base 36>-<UUIDv7 in hex>``, so that they sort by creation and name their cell."""

from __future__ import annotations

import os
import time
from functools import cache

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def uuid7_hex(milliseconds: int, random80: int) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) as 32 hex digits, from a Unix time in ms and 80 random bits."""
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= _VERSION_7 | (random80 >> 68 & 0xFFF) << 64 | _VARIANT | random80 & 0x3FFF_FFFF_FFFF_FFFF
    return f"{value:032x}"


def new_ids(count: int, cell: int = 0) -> list[str]:
    """Fresh ids, all of one millisecond by this machine's clock: a name's sort order, never a decision about time."""
    milliseconds = time.time_ns() // 1_000_000
    prefix = _base36(cell) + "-"
    if count == 1:
        return [prefix + uuid7_hex(milliseconds, int.from_bytes(os.urandom(10), "big"))]
    noise = os.urandom(10 * count)
    return [
        prefix + uuid7_hex(milliseconds, int.from_bytes(noise[at : at + 10], "big")) for at in range(0, 10 * count, 10)
    ]


def nonce() -> str:
    """64 random bits as 16 hex digits."""
    return os.urandom(8).hex()


@cache
def _base36(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if number == 0:
            return text
