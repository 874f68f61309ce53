# Made by `make fields` from redsched/model/fields.py; change that.
"""The body of a request that creates a task."""

from __future__ import annotations

from typing import Any

import msgspec

from redsched.model import trace
from redsched.model.condition import of_json
from redsched.model.duration import span_of
from redsched.model.task import Task
from redsched.model.vocabulary import Priority
from redsched.web.body_parts import ExpectBody, RetryBody, policy_of


class TaskBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A task to create.

    Times are RFC 3339 with an offset or ms since the epoch, durations ms or text such as ``90s``.
    """

    type: str
    payload: msgspec.Raw = None  # type: ignore[assignment]
    queue: str | None = None
    id: str | None = None
    due: int | str | None = None
    delay: int | str | None = None
    priority: Priority = "normal"
    max_attempts: int | None = None
    retry: RetryBody | None = None
    timeout: int | str | None = None
    expires_at: int | str | None = None
    expires_in: int | str | None = None
    key: str | None = None
    tags: list[str] | None = None
    headers: dict[str, str] | None = None
    retention: int | str | None = None
    keep: bool = False
    request: str | None = None
    conditions: dict[str, Any] | None = None
    expect: ExpectBody | None = None

    def task(self, traceparent: str | None) -> Task:
        """The task it asks for; ``traceparent`` is the request's, which one among its own headers overrides."""
        if self.headers and trace.valid(own := self.headers.get("traceparent")):
            traceparent = own
        made = Task(
            traceparent=traceparent,
            type=self.type,
            payload=self.payload,
            queue=self.queue,
            id=self.id,
            due=self.due,
            delay=span_of(self.delay),
            priority=self.priority,
            max_attempts=self.max_attempts,
            retry=policy_of(self.retry),
            timeout=span_of(self.timeout),
            expires_at=self.expires_at,
            expires_in=span_of(self.expires_in),
            key=self.key,
            tags=self.tags,
            headers=self.headers,
            retention=span_of(self.retention),
            keep=self.keep,
            request=self.request,
            conditions=of_json(self.conditions),
        )
        return made if self.expect is None else self.expect.of(made)
