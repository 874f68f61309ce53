"""What is told of tasks that come before and after others."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from redsched.model.vocabulary import State

FamilyState = State | Literal["gone"]  # gone: nothing is left of it


class Kin(msgspec.Struct, frozen=True, kw_only=True):
    """A parent or a child; ``result``: what a parent that completed left (8 KiB of JSON at most)."""

    queue: str
    id: str
    state: FamilyState
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
    state: FamilyState
    type: str
    children: list[Branch] = []
    more: bool = False  # it has more children than are shown
    shown_above: bool = False


class WorkflowCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks of a workflow are ``cancelled``, how many run and were ``requested`` to stop, and how many had
    ``ended``."""

    cancelled: int
    requested: int
    ended: int
