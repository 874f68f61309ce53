"""Verbs on tasks by their ids, and what is known of them. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from redsched.model.answers import CancelAnswer, RescheduleAnswer, UpdateAnswer
from redsched.model.enqueued import Enqueued
from redsched.model.errors import InvalidTask
from redsched.model.explain import Told
from redsched.model.fields import FIELDS
from redsched.model.refused import kind_and_length
from redsched.model.task import Changes, Task, TaskView
from redsched.model.views import Page
from redsched.model.vocabulary import DEFAULT_QUEUE, MAX_BATCH
from redsched.wire.call import Call, by_id, checked_ids
from redsched.wire.cells import Cell
from redsched.wire.codec import Word, check_id, check_name, json_bytes, pairs, reason_word, text_of
from redsched.wire.field_words import check_start_by, due_word
from redsched.wire.ids import new_ids, nonce
from redsched.wire.keys import QueueKeys, queue_keys
from redsched.wire.pages import set_cursor, stream_cursor
from redsched.wire.task_view import task_view
from redsched.wire.task_words import option_words

NO_QUEUES: Mapping[str, str] = MappingProxyType({})
MAX_TOGETHER = 2_097_152  # bytes of the payloads of one enqueue


def enqueue(
    cell: Cell, tasks: Sequence[Task], *, queues: Mapping[str, str] = NO_QUEUES, max_payload: int
) -> Call[list[Enqueued]]:
    """Create 1..1000 tasks of one cell. ``queues``: of types, for tasks that name none. An id is made where a task has
    none; a request token where it has an id but no token, so that a call repeated after a lost reply is answered as the
    first one was.

    Raises:
        InvalidTask: names the field, and the task's place in the batch.
    """
    if not 1 <= len(tasks) <= MAX_BATCH:
        raise InvalidTask("tasks", f"{len(tasks)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    numbers, together = dict[str, int](), 0
    try:
        made = iter(new_ids(sum([task.id is None for task in tasks]), cell.index))
    except AttributeError:
        raise no_task(tasks) from None
    words: list[Word] = [0]
    names: list[tuple[str, str, bool]] = []
    for at, task in enumerate(tasks):
        index = None if len(tasks) == 1 else at
        queue = queues.get(task.type, DEFAULT_QUEUE) if task.queue is None else task.queue
        number = numbers.get(queue)
        if number is None:
            number = numbers[check_name("queue", queue, index)] = len(numbers) + 1
        check_name("type", task.type, index)
        task_id = next(made) if task.id is None else check_id(task.id, index)
        options = option_words(task, index)
        if task.id is not None and task.request is None:
            options += ("request", nonce())
        payload = json_bytes("payload", task.payload, max_payload, index)
        together = _check_together(together + len(payload), index)
        due = due_word(task.due, task.delay, index)
        if (task.expires_at is not None or task.expires_in is not None) and not has_digest(task):
            check_start_by(due, options[options.index("expires_at") + 1], index)
        words += (number, task_id, due, 2 + len(options) // 2)
        words += ("type", task.type, "payload", payload)
        words += options
        names.append((task_id, queue, task.id is None))

    def read(reply: list[bytes]) -> list[Enqueued]:
        # an id that was made for this call can only be there because the call came twice
        return [
            _enqueued(task_id, queue, status.decode(), fresh)
            for (task_id, queue, fresh), status in zip(names, reply, strict=True)
        ]

    return Call("enqueue", [queue_keys(cell, queue).due for queue in numbers], words, read)


def has_digest(task: Task) -> bool:
    """Whether it is part of a digest, which has a time of its own."""
    asked = task.conditions
    return bool(asked.get("digest") if isinstance(asked, Mapping) else getattr(asked, "digest", None))


def no_task(given: Sequence[Any], first: int = 0) -> InvalidTask:
    """The error for a list in which something is no Task; ``first``: the number of its first member."""
    at, value = next((at, one) for at, one in enumerate(given, first) if not isinstance(one, Task))
    problem = f"{kind_and_length(value)} is no Task; give Task(type=..., payload=...), or what function.task(...) makes"
    return InvalidTask("", problem, index=at)


def _check_together(size: int, index: int | None) -> int:
    """The bytes of the payloads of one enqueue so far: all of its tasks are made in one call, or none.

    Raises:
        InvalidTask: that of task ``index`` makes them too many.
    """
    if size > MAX_TOGETHER and index:
        problem = f"comes to more than {MAX_TOGETHER >> 20} MiB with the others of the call"
        raise InvalidTask("payload", problem, index=index, code="batch_too_large")
    return size


def _enqueued(task_id: str, queue: str, told: str, fresh: bool) -> Enqueued:
    """The answer of enqueue for one task; ``fresh``: its id was made for this call."""
    status, _, other = told.partition(" ")
    if other:
        return Enqueued(task_id, queue, status, other=other)  # type: ignore[arg-type]
    return Enqueued(task_id, queue, "created" if fresh else status)  # type: ignore[arg-type]


def cancel(keys: QueueKeys, ids: Sequence[str], *, reason: str = "") -> Call[dict[str, CancelAnswer]]:
    """Stop 1..1000 tasks that have not finished."""
    return Call("cancel", (keys.due,), (0, reason_word(reason), *checked_ids(ids)), by_id(ids))


def reschedule(
    keys: QueueKeys, ids: Sequence[str], *, due: Any = None, delay: Any = None
) -> Call[dict[str, RescheduleAnswer]]:
    """Give 1..1000 waiting tasks another due time."""
    if due is None and delay is None:
        raise InvalidTask("due", "give due or delay")
    return Call("reschedule", (keys.due,), (0, due_word(due, delay), *checked_ids(ids)), by_id(ids))


_UPDATABLE = {field.name: field for field in FIELDS if field.updatable}
UPDATABLE = frozenset(_UPDATABLE)


def update(keys: QueueKeys, ids: Sequence[str], fields: Changes, *, max_payload: int) -> Call[dict[str, UpdateAnswer]]:
    """Change fields of 1..1000 tasks that wait or are dead; None takes a field back to its default."""
    words: list[Word] = []
    for name, value in fields.items():
        field = _UPDATABLE.get(name)
        if field is None:
            raise InvalidTask(name, "cannot be changed", code="unknown_field")
        if name == "payload":
            words += ("payload", json_bytes("payload", value, max_payload))
        elif value is None or (field.kind == "flag" and not value) or (field.kind == "choice" and value == "normal"):
            words += (field.word, "")
        else:
            words += option_words(msgspec.structs.replace(Task(type="-"), **{name: value}), None)
    if not words:
        raise InvalidTask("fields", "give at least one field to change")
    return Call("update", (keys.due,), (0, len(words) // 2, *words, *checked_ids(ids)), by_id(ids))


def show(keys: QueueKeys, ids: Sequence[str], *, stored: bool = False) -> Call[dict[str, TaskView | None]]:
    """Everything that is known of 1..100 tasks; ``stored``: their JSON as it is stored, as ``msgspec.Raw``."""
    if len(ids) > 100:
        raise InvalidTask("ids", f"{len(ids)} in one call; 1..100 are taken", code="batch_too_large")

    def read(reply: list[Any]) -> dict[str, TaskView | None]:
        return {
            task_id: task_view(task_id, keys.queue, pairs(found[0]), pairs(found[3]), found[1], found[2], stored)
            if found
            else None
            for task_id, found in zip(ids, reply, strict=True)
        }

    return Call("show", (keys.due,), checked_ids(ids), read)


_PLACES = {
    "scheduled": "due", "held": "held", "ready": "ready", "running": "running", "finished": "finished",
    "completed": "finished", "skipped": "finished", "expired": "finished", "cancelled": "finished", "dead": "dead",
    "quarantined": "quarantine",
}  # fmt: skip
_LISTED = ("state", "type", "priority", "attempt", "due_at", "created_at", "started_at", "finished_at", "expires_at",
           "key", "tags", "worker", "reason")  # fmt: skip


def list_tasks(
    keys: QueueKeys, *, state: str, type_: str | None = None, limit: int = 50, cursor: str | None = None
) -> Call[Page]:
    """One page of the tasks of a queue that are in a state; at most ``limit`` are looked at, fewer may match."""
    if state not in _PLACES:
        raise InvalidTask("state", f"is not one of {', '.join(_PLACES)}")
    if not 1 <= limit <= 1_000:
        raise InvalidTask("limit", f"{limit} is outside 1..1000")
    place = _PLACES[state]
    after = stream_cursor(cursor) if place == "ready" else set_cursor(cursor)
    only = state if place == "finished" and state != "finished" else ""

    def read(reply: list[Any]) -> Page:
        items = [_listed(keys.queue, place, words) for words in reply[1:]]
        return Page(items, text_of(reply[0]).replace(" ", "~") or None)

    args = (place, after, limit, check_name("type", type_) if type_ else "", only)
    return Call("list", (keys.due,), args, read)


def _listed(queue: str, place: str, words: list[Any]) -> TaskView:
    if place == "quarantine":
        reason, _, task_id = text_of(words[0]).partition(":")
        found = {"state": "quarantined", "reason": reason, "finished_at": words[1]}
        return task_view(task_id, queue, found, {})
    fields = {name: value for name, value in zip(_LISTED, words[2:], strict=False) if value is not None}
    score = words[1] if place in ("due", "running") else b""
    return task_view(
        text_of(words[0]), queue, fields, {}, score if place == "due" else b"", score if place == "running" else b""
    )


def explain(keys: QueueKeys, task_id: str) -> Call[Told]:
    """All that bears on a task."""

    def read(reply: list[Any]) -> Told:
        lists: dict[str, list[list[Any]]] = {}
        for words in reply[2:]:
            found = [word if isinstance(word, int) else text_of(word) for word in words]
            lists.setdefault(str(found[0]), []).append(found[1:])
        fields = {name: text_of(value) for name, value in pairs(reply[1]).items()}
        return Told(queue=keys.queue, id=task_id, now=reply[0], fields=fields, lists=lists)

    return Call("explain", (keys.due,), (0, check_id(task_id)), read)
