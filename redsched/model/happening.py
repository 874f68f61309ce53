"""What the verbs about events, pauses and kinship answer. Times are aware UTC datetimes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Emitted(msgspec.Struct, frozen=True):
    """``fact``: its name; ``heard``: tasks told at once; ``more``: the mover goes on telling others; ``made``:
    ``<queue>/<id>`` of the tasks that rules made."""

    fact: str
    id: str
    heard: int
    more: bool
    made: list[str]


class Kin(msgspec.Struct, frozen=True, kw_only=True):
    """A parent or a child; ``result``: what a parent that completed left (8 KiB of JSON at most)."""

    queue: str
    id: str
    state: str
    type: str
    result: Any = None


class KinPage(msgspec.Struct, frozen=True):
    """One page; ``next_cursor`` is None on the last one."""

    items: list[Kin]
    next_cursor: str | None = None


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a workflow and those that come after it; ``shown_above``: its own children are shown there."""

    queue: str
    id: str
    state: str
    type: str
    children: list[Branch] = []
    more: bool = False  # it has more children than are shown
    shown_above: bool = False


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """What is paused: a queue, a type or a key of it; ``waiting``: tasks that were due and are set aside."""

    queue: str
    type: str | None = None
    key: str | None = None
    reason: str = ""
    since: datetime
    until: datetime | None = None
    waiting: int = 0
