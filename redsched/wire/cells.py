"""Cells: the parts into which a deployment is split. Each is one hash tag, so one slot of a cluster.

There is one cell for now; every signature already says which. The tags are spread evenly over the slots, and they
stay when the number of cells doubles.
"""

from __future__ import annotations

import re
import zlib
from functools import cache
from itertools import product

import msgspec

from redsched.model.subject import subject_of_id

SLOTS = 16_384
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MADE_HERE = re.compile(r"([0-9a-z]{1,3})-[0-9a-f]{32}")


class Cell(msgspec.Struct, frozen=True):
    """One cell of a namespace; ``index`` 0 is the whole deployment while there is one cell."""

    namespace: str
    index: int = 0

    @property
    def tag(self) -> str:
        """What stands between the braces of each of its keys."""
        return tag(self.namespace, self.index)


def _crc16(data: bytes) -> int:
    """CRC-16/XMODEM, which Redis Cluster computes a key's slot with (its specification, "Key distribution model")."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def slot(hash_tag: str) -> int:
    """The slot, 0..16383, of the keys with this hash tag."""
    return _crc16(hash_tag.encode()) % SLOTS


@cache
def tag(namespace: str, index: int) -> str:
    """Cell 0: the namespace. Others: the namespace and the shortest, then smallest, suffix whose slot is
    slot(namespace) XOR the 14 bits of ``index`` reversed.

    Raises:
        ValueError: ``index`` is outside 0..16383.
    """
    if not 0 <= index < SLOTS:
        raise ValueError(f"cell {index} is outside 0..{SLOTS - 1}")
    if index == 0:
        return namespace
    wanted = slot(namespace) ^ int(f"{index:014b}"[::-1], 2)
    for length in range(1, 5):
        for letters in product(_DIGITS, repeat=length):
            candidate = f"{namespace}.{''.join(letters)}"
            if slot(candidate) == wanted:
                return candidate
    raise ValueError(f"no tag for cell {index}")


def home(task_id: str, cells: int) -> int:
    """The cell of a task, by its subject: written in one that redsched made as an id, else its CRC-32."""
    subject = subject_of_id(task_id)
    made = _MADE_HERE.fullmatch(subject)
    if made:
        return int(made[1], 36) % cells
    return zlib.crc32(subject.encode()) % cells
