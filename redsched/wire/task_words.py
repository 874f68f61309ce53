# Made by `make fields` from redsched/model/fields.py; change that.
"""The fields of a task as words of the wire, beside its type, payload, queue, id and due time."""

from __future__ import annotations

from redsched.model.task import Task
from redsched.wire.codec import Word, check_id_like
from redsched.wire.field_words import (
    conditions_word,
    duration_word,
    headers_word,
    priority_word,
    retry_word,
    start_by_word,
    texts_word,
    whole_word,
)


def option_words(task: Task, index: int | None) -> list[Word]:
    """Field, value, ... of what differs from its default; raises InvalidTask."""
    words: list[Word] = []
    if task.priority != "normal":
        words += ("priority", priority_word("priority", task.priority, index))
    if task.max_attempts is not None:
        words += ("max_attempts", whole_word("max_attempts", task.max_attempts, 1, 1_000, index))
    if task.retry is not None:
        words += ("retry", retry_word("retry", task.retry, index))
    if task.timeout is not None:
        words += ("timeout_ms", duration_word("timeout", task.timeout, 1, 86_400_000, index))
    if task.expires_at is not None or task.expires_in is not None:
        words += ("expires_at", start_by_word(task.expires_at, task.expires_in, index))
    if task.key is not None:
        words += ("key", check_id_like("key", task.key, index))
    if task.tags:
        words += ("tags", texts_word("tags", task.tags, index))
    if task.headers:
        words += ("headers", headers_word("headers", task.headers, index))
    if task.traceparent is not None:
        words += ("traceparent", check_id_like("traceparent", task.traceparent, index))
    if task.retention is not None:
        words += ("retention_ms", duration_word("retention", task.retention, 0, 31_536_000_000, index))
    if task.keep:
        words += ("keep", 1)
    if task.request is not None:
        words += ("request", check_id_like("request", task.request, index))
    if task.conditions is not None:
        words += ("conditions", conditions_word("conditions", task.conditions, index))
    return words
