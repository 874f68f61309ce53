"""What is told of tasks that come before and after others."""

from __future__ import annotations

from typing import Any

import msgspec


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
