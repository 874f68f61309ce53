# Made by `make fields` from redsched/model/fields.py; change that.
"""The task that a schedule's run or a rule makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from redsched.model.condition import Conditions, of_json
from redsched.model.duration import span_of
from redsched.model.retry import RetryPolicy, policy_of
from redsched.model.task import Task
from redsched.model.vocabulary import Priority
from redsched.schedule.definition import Duration

if TYPE_CHECKING:
    Retry = RetryPolicy | Sequence[timedelta | str] | timedelta | str | Mapping[str, Any] | None
    Conditioned = Conditions | Mapping[str, Any] | None
else:  # as JSON writes them
    Retry = dict[str, Any] | list[int | str] | str | None
    Conditioned = dict[str, Any] | None


class TaskTemplate(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The task that each run makes; its fields are those of ``Task``."""

    type: str
    payload: Any = None
    queue: str | None = None
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
            id=id,
            due=due,
            type=self.type,
            payload=self.payload,
            queue=self.queue,
            priority=self.priority,
            max_attempts=self.max_attempts,
            retry=policy_of(self.retry),
            timeout=span_of(self.timeout),
            expires_in=span_of(self.expires_in),
            key=self.key,
            tags=self.tags,
            headers=self.headers,
            retention=span_of(self.retention),
            keep=self.keep,
            conditions=of_json(self.conditions),
        )
