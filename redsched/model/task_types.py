"""What workers say of the types of tasks that they run, and what is known of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

import msgspec

from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.model.retry import RetryPolicy

VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,7}")


class TypeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A type of tasks, as a worker has put it: what its tasks get where they say nothing. Durations are ms."""

    name: str
    queue: str
    app: str
    version: str | None = None
    put_by: datetime | None = None  # when the worker started that put it
    live: bool = False  # whether a worker of this application and version lives
    former_queues: dict[str, datetime] | None = (
        None  # that it had in the last 35 days, the latest first: when each was left
    )
    max_attempts: int | None = None
    retry: str | None = None
    timeout_ms: int | None = None
    expires_in_ms: int | None = None  # start-by, from the due time on
    retention_ms: int | None = None
    key: str | None = None
    payload: Any = None  # JSON Schema of the payload, where it was asked for


class QueueDefaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a queue gives to tasks that do not say it, where their type does not either. Durations are ms."""

    max_attempts: int | None = None
    retry: str | None = None
    timeout_ms: int | None = None
    expires_in_ms: int | None = None  # start-by, from the due time on
    retention_ms: int | None = None
    key: str | None = None


class GivenDefaults(TypedDict, total=False):
    """The defaults of a queue as they may be given; None takes one back."""

    max_attempts: int | None
    retry: RetryPolicy | Sequence[timedelta | str] | timedelta | str | None
    timeout: timedelta | str | None
    expires_in: timedelta | str | None
    retention: timedelta | str | None
    key: str | None


class TypePage(msgspec.Struct, frozen=True):
    """One page of types by name; ``next_cursor`` is None on the last one."""

    items: list[TypeView]
    next_cursor: str | None = None


def checked_version(version: str | None) -> str | None:
    """A version as it may be given: 1 to 8 whole numbers with dots between them.

    Raises:
        InvalidTask: it is none.
    """
    if version is not None and (not isinstance(version, str) or VERSION.fullmatch(version) is None):
        problem = f"{kind_and_length(version)} is no version: 1 to 8 whole numbers with dots between them, as 2.10.1"
        raise InvalidTask("version", problem)
    return version
