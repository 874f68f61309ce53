# Made by `make fields` from redsched/model/fields.py; change that.
"""What a task's hash and its outcome tell of it; fields that cannot be read are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redsched.model.task import TaskView
from redsched.wire.codec import text_of
from redsched.wire.field_values import (
    dict_of_text,
    flag,
    history,
    json_value,
    list_of_text,
    moment,
    not_json,
    number,
    planned_time,
    steps,
    text,
)


def task_view(
    task_id: str,
    queue: str,
    found: Mapping[str, Any],
    outcome: Mapping[str, Any],
    due: Any = b"",
    lease: Any = b"",
    stored: bool = False,
) -> TaskView:
    """What is known of a task by its hash ``found``, its outcome, and its scores.

    ``stored``: payload, headers, tags, conditions, progress and result are ``msgspec.Raw``, byte for byte as they are
    stored.
    """
    if due not in (b"", None):
        found = {**found, "due_at": due}  # before promote the score is the due time
    return TaskView(
        id=task_id,
        queue=queue,
        type=text_of(found.get("type") or ""),
        payload=json_value(found, "payload", stored),
        state=text_of(found.get("state") or "scheduled"),  # type: ignore[arg-type]
        content_type=text(found, "content_type"),
        priority=text_of(found.get("priority") or "normal"),  # type: ignore[arg-type]
        attempt=number(found, "attempt") or 0,
        max_attempts=number(found, "max_attempts"),
        retry=text(found, "retry"),
        timeout_ms=number(found, "timeout_ms"),
        due_at=moment(found, "due_at"),
        created_at=moment(found, "created_at"),
        started_at=moment(found, "started_at"),
        finished_at=moment(found, "finished_at"),
        expires_at=moment(found, "expires_at"),
        lease_until=moment({"lease_until": lease}, "lease_until"),
        key=text(found, "key"),
        tags=list_of_text(found, "tags", stored),
        headers=dict_of_text(found, "headers", stored),
        traceparent=text(found, "traceparent"),
        retention_ms=number(found, "retention_ms"),
        keep=flag(found, "keep"),
        request=text(found, "request"),
        worker=text(found, "worker"),
        reason=text(found, "reason"),
        schedule=text(found, "schedule"),
        slot=planned_time(found, "slot"),
        conditions=json_value(found, "conditions", stored),
        blocked=text(found, "blocked"),
        cancel_requested="cancel_requested" in found,
        progress=json_value(outcome, "progress", stored),
        result=json_value(outcome, "result", stored),
        not_json=not_json((found, "payload"), (found, "conditions"), (outcome, "progress"), (outcome, "result")),
        error=text(outcome, "error") or None,
        traceback=text(outcome, "traceback") or None,
        history=history(outcome),
        steps=steps(found, outcome, stored),
    )
