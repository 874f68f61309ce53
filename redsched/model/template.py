"""The task that a schedule's run or a rule makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from redsched.model.condition import Conditions
from redsched.model.retry import Explicit, Exponential, Fixed, RetryPolicy
from redsched.model.task import DEFAULT_QUEUE, Priority, Task
from redsched.schedule.definition import Duration

if TYPE_CHECKING:
    Retry = RetryPolicy | Sequence[timedelta | int | str] | timedelta | Mapping[str, Any] | None
    Conditioned = Conditions | Mapping[str, Any] | None
else:  # as JSON writes them
    Retry = dict[str, Any] | list[int | str] | None
    Conditioned = dict[str, Any] | None


class TaskTemplate(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The task that each run makes; its fields are those of ``Task``."""

    type: str
    payload: Any = None
    queue: str = DEFAULT_QUEUE
    priority: Priority = "normal"
    max_attempts: int | None = None
    retry: Retry = None
    timeout: Duration | None = None
    expires_in: Duration | None = None
    key: str | None = None
    tags: list[str] | None = None
    headers: dict[str, str] | None = None
    retention: Duration | None = None
    keep: bool = False
    conditions: Conditioned = None

    def task(self, *, id: str | None = None, due: datetime | int | str | None = None) -> Task:
        """The task to enqueue; raises ValueError for a retry policy that is none."""
        return Task(
            type=self.type,
            payload=self.payload,
            queue=self.queue,
            id=id,
            due=due,
            priority=self.priority,
            max_attempts=self.max_attempts,
            retry=retry_of(self.retry),
            timeout=self.timeout,
            expires_in=self.expires_in,
            key=self.key,
            tags=self.tags,
            headers=self.headers,
            retention=self.retention,
            keep=self.keep,
            conditions=self.conditions,
        )


def retry_of(value: Retry) -> RetryPolicy | Sequence[timedelta | int | str] | timedelta | None:
    """The policy of ``{"kind": "fixed" | "exponential" | "list", ...}``; any other value as it is.

    Raises:
        ValueError: another kind, or fields that it does not have.
    """
    if not isinstance(value, Mapping):
        return value
    fields = dict(value)
    kinds: dict[str, type[RetryPolicy]] = {"fixed": Fixed, "exponential": Exponential, "list": Explicit}
    kind = kinds.get(str(fields.pop("kind", "")))
    if kind is None:
        raise ValueError("kind must be fixed, exponential or list")
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(str(error)) from None


def retry_document(value: Retry) -> Any:
    if isinstance(value, Fixed | Exponential | Explicit):
        named = {name: getattr(value, name) for name in value.__struct_fields__}
        return {"kind": type(value).__struct_config__.tag, **named}
    return [value] if isinstance(value, timedelta) else value
