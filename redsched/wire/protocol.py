"""A pure function for each verb: what is sent, and how the answer is read. No I/O; the order of KEYS and ARGV is
laid out here and nowhere else in Python.

``Call.repeatable``: whether a call whose answer was lost may be sent again without doing twice what it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from redsched.model.duration import instant
from redsched.model.errors import InvalidTask
from redsched.model.task import MAX_BATCH, Changes, Enqueued, Page, QueueStats, Task, TaskView
from redsched.wire.cells import Cell
from redsched.wire.codec import (
    Word,
    cap_of,
    check_id,
    check_name,
    check_together,
    count_of,
    due_word,
    enqueued_of,
    json_bytes,
    option_words,
    pairs,
    reason_word,
    task_view,
    text_of,
)
from redsched.wire.ids import new_ids, nonce
from redsched.wire.keys import QueueKeys, queue_keys
from redsched.wire.pages import set_cursor, stream_cursor

T = TypeVar("T")


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One call of a verb's script."""

    verb: str
    keys: Sequence[str]
    args: Sequence[Word]
    read: Callable[[Any], T]
    repeatable: bool = True
    chain: tuple[tuple[Any, ...], ...] = ()  # commands sent after it on the same connection; ``read`` gets all replies


class Moved(msgspec.Struct, frozen=True):
    """One queue after promote or reap: ids moved, next due time and next end of a lease in ms (None: none)."""

    queue: str
    moved: int
    next_due: int | None
    next_lease: int | None


class Promoted(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms; ``acting``: whether this mover is the one that follows every wake-up."""

    now: int
    acting: bool
    queues: list[Moved]

    @property
    def moved(self) -> int:
        """Ids that left the due sets."""
        return sum(queue.moved for queue in self.queues)


class Reaped(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms."""

    now: int
    queues: list[Moved]


class Started(msgspec.Struct, frozen=True):
    """A task that this consumer now runs. Times in ms since the epoch."""

    queue: str
    id: str
    attempt: int
    due_at: int
    type: str
    payload: bytes
    timeout_ms: int | None
    headers: bytes | None
    traceparent: str | None
    content_type: str | None
    max_attempts: int
    expires_at: int | None
    token: str


class Claimed(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms; ``more``: whether there may be more to claim at once."""

    now: int
    more: bool
    tasks: list[Started]


class Bell(msgspec.Struct, frozen=True):
    """An entry that a blocking read delivered and that the next claim starts."""

    queue: str
    entry: str  # priority/stream id
    task_id: str


class Settlement(msgspec.Struct, frozen=True):
    """How one claim ends: the outcome and its three words, as lua/settle.lua takes them. ``kind`` is not sent: it is
    what a log may say of the error, which may quote the payload."""

    queue: str
    task_id: str
    token: str
    outcome: str
    first: Word = ""
    error: str = ""
    traceback: str = ""
    kind: str = ""


class Swept(msgspec.Struct, frozen=True):
    """Tasks removed; whether there may be more to remove."""

    removed: int
    more: bool


def enqueue(cell: Cell, tasks: Sequence[Task], *, max_payload: int) -> Call[list[Enqueued]]:
    """Create 1..1000 tasks of one cell. An id is made where a task has none; a request token where it has an id but no
    token, so that a call repeated after a lost reply is answered as the first one was.

    Raises:
        InvalidTask: names the field, and the task's place in the batch.
    """
    if not 1 <= len(tasks) <= MAX_BATCH:
        raise InvalidTask("tasks", f"{len(tasks)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    numbers, together = dict[str, int](), 0
    made = iter(new_ids(sum([task.id is None for task in tasks]), cell.index))
    words: list[Word] = [0]
    names: list[tuple[str, str, bool]] = []
    for at, task in enumerate(tasks):
        index = None if len(tasks) == 1 else at
        number = numbers.get(task.queue)
        if number is None:
            number = numbers[check_name("queue", task.queue, index)] = len(numbers) + 1
        check_name("type", task.type, index)
        task_id = next(made) if task.id is None else check_id(task.id, index)
        options = option_words(task, index)
        if task.id is not None and task.request is None:
            options += ("request", nonce())
        payload = json_bytes("payload", task.payload, max_payload, index)
        together = check_together(together + len(payload), index)
        words += (number, task_id, due_word(task.due, task.delay, index), 2 + len(options) // 2)
        words += ("type", task.type, "payload", payload)
        words += options
        names.append((task_id, task.queue, task.id is None))

    def read(reply: list[bytes]) -> list[Enqueued]:
        # an id that was made for this call can only be there because the call came twice
        return [
            enqueued_of(task_id, queue, status.decode(), fresh)
            for (task_id, queue, fresh), status in zip(names, reply, strict=True)
        ]

    return Call("enqueue", [queue_keys(cell, queue).due for queue in numbers], words, read)


def promote(queues: Sequence[QueueKeys], *, mover: str, limit: int = 100) -> Call[Promoted]:
    """Make up to ``limit`` due tasks of 1..16 queues ready."""

    def read(reply: list[int]) -> Promoted:
        moved = [
            Moved(keys.queue, reply[at], _time(reply[at + 1]), _time(reply[at + 2]))
            for keys, at in zip(queues, range(2, len(reply), 3), strict=True)
        ]
        return Promoted(reply[0], reply[1] == 1, moved)

    return Call("promote", [keys.due for keys in queues], (0, limit, mover), read)


def reap(queues: Sequence[QueueKeys], *, limit: int = 100) -> Call[Reaped]:
    """Take back up to ``limit`` tasks of 1..16 queues whose leases ended."""

    def read(reply: list[int]) -> Reaped:
        moved = [
            Moved(keys.queue, reply[at], None, _time(reply[at + 1]))
            for keys, at in zip(queues, range(1, len(reply), 2), strict=True)
        ]
        return Reaped(reply[0], moved)

    return Call("reap", [keys.due for keys in queues], (0, limit), read)


def claim(
    queues: Sequence[QueueKeys], *, consumer: str, count: int, lease_ms: int, bells: Sequence[Bell] = ()
) -> Call[Claimed]:
    """Start up to ``count`` ready tasks of 1..16 queues."""
    fresh = nonce()
    words: list[Word] = [0, consumer, fresh, count, lease_ms]
    numbers = {keys.queue: number for number, keys in enumerate(queues, 1)}
    for bell in bells:
        words += (numbers[bell.queue], bell.entry, bell.task_id)

    def read(reply: list[Any]) -> Claimed:
        return Claimed(reply[0], reply[1] == 1, [_started(queues, fresh, *words) for words in reply[2:]])

    return Call("claim", [keys.due for keys in queues], words, read)


def _started(
    queues: Sequence[QueueKeys], fresh: str, number: int, task_id: bytes, attempt: int, due_at: int, type_: bytes,
    payload: bytes, timeout: bytes | None = None, headers: bytes | None = None, trace: bytes | None = None,
    content: bytes | None = None, most: bytes | None = None, expires: bytes | None = None,
) -> Started:  # fmt: skip
    return Started(
        queues[number - 1].queue, text_of(task_id), attempt, due_at, text_of(type_), payload,
        None if timeout is None else count_of(timeout), headers, None if trace is None else text_of(trace),
        None if content is None else text_of(content), 5 if most is None else count_of(most),
        None if expires is None else count_of(expires), f"{attempt}.{fresh}",
    )  # fmt: skip


def settle(cell: Cell, ends: Sequence[Settlement]) -> Call[list[str]]:
    """End 1..1000 claims; answers what each task is now, or ``already`` or ``lost``."""
    numbers: dict[str, int] = {}
    words: list[Word] = [0]
    for end in ends:
        number = numbers.setdefault(end.queue, len(numbers) + 1)
        words += (number, end.task_id, end.token, end.outcome, end.first, end.error, end.traceback)
    return Call("settle", [queue_keys(cell, queue).due for queue in numbers], words, _words)


def renew(cell: Cell, claims: Sequence[Started], *, lease_ms: int, begun: Sequence[Started] = ()) -> Call[list[str]]:
    """Extend the leases of 1..1000 claims, ``begun`` being those whose handlers have, which is told; answers
    ``renewed``, ``cancel`` or ``lost`` for each of ``claims`` and then of ``begun``."""
    numbers, words = dict[str, int](), list[Word]((0, lease_ms))
    for mark, some in (("", claims), ("begun/", begun)):
        for started in some:
            words += (numbers.setdefault(started.queue, len(numbers) + 1), started.id, mark + started.token)
    return Call("renew", [queue_keys(cell, queue).due for queue in numbers], words, _words)


def cancel(keys: QueueKeys, ids: Sequence[str], *, reason: str = "") -> Call[dict[str, str]]:
    """Stop 1..1000 tasks that have not finished."""
    return Call("cancel", (keys.due,), (0, reason_word(reason), *_ids(ids)), _by_id(ids))


def reschedule(keys: QueueKeys, ids: Sequence[str], *, due: Any = None, delay: Any = None) -> Call[dict[str, str]]:
    """Give 1..1000 waiting tasks another due time."""
    if due is None and delay is None:
        raise InvalidTask("due", "give due or delay")
    return Call("reschedule", (keys.due,), (0, due_word(due, delay), *_ids(ids)), _by_id(ids))


def revive(keys: QueueKeys, ids: Sequence[str], *, due: Any = None, delay: Any = None) -> Call[dict[str, str]]:
    """Run 1..1000 dead tasks again."""
    return Call("revive", (keys.due,), (0, due_word(due, delay), *_ids(ids)), _by_id(ids), repeatable=False)


UPDATABLE = frozenset(
    ("payload", "priority", "max_attempts", "retry", "timeout", "expires_at", "expires_in", "key", "tags", "headers",
     "retention", "keep", "conditions"))  # fmt: skip
_CLEARED = {"timeout": "timeout_ms", "retention": "retention_ms", "expires_in": "expires_at"}


def update(keys: QueueKeys, ids: Sequence[str], fields: Changes, *, max_payload: int) -> Call[dict[str, str]]:
    """Change fields of 1..1000 tasks that wait or are dead; None takes a field back to its default."""
    words: list[Word] = []
    for name, value in fields.items():
        if name not in UPDATABLE:
            raise InvalidTask(name, "cannot be changed", code="unknown_field")
        if name == "payload":
            words += ("payload", json_bytes("payload", value, max_payload))
        elif value is None or (name == "keep" and not value) or (name == "priority" and value == "normal"):
            words += (_CLEARED.get(name, name), "")
        else:
            words += option_words(msgspec.structs.replace(Task(type="-"), **{name: value}), None)
    if not words:
        raise InvalidTask("fields", "give at least one field to change")
    return Call("update", (keys.due,), (0, len(words) // 2, *words, *_ids(ids)), _by_id(ids))


def progress(keys: QueueKeys, task_id: str, token: str, value: Any) -> Call[str]:
    """Store what a running task tells of itself; answers ``stored``, ``cancel`` or ``lost``."""
    return Call("progress", (keys.due,), (task_id, token, json_bytes("progress", value, 65_536)), text_of)


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

    return Call("show", (keys.due,), _ids(ids), read)


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


def stats(queues: Sequence[QueueKeys]) -> Call[list[QueueStats]]:
    """Depths, ages and totals of 1..100 queues."""

    def read(reply: list[list[Any]]) -> list[QueueStats]:
        return [_queue_stats(keys.queue, words) for keys, words in zip(queues, reply, strict=True)]

    return Call("stats", [keys.due for keys in queues], (0,), read)


def _queue_stats(queue: str, words: list[Any]) -> QueueStats:
    totals = pairs(words[9])
    late = {name.removeprefix("late_"): count_of(value) for name, value in pairs(words[10]).items()}
    return QueueStats(
        queue=queue, scheduled=words[0], held=words[1], ready=words[2], running=words[3], finished=words[4],
        dead=words[5], quarantined=words[6], oldest_due_age_ms=None if words[7] < 0 else words[7],
        next_due=None if not 0 <= words[8] <= 4_000_000_000_000 else instant(words[8]),
        totals={name: count_of(value) for name, value in totals.items() if not name.startswith("late_")},
        lateness=late, lateness_totals={bucket: count_of(totals.get(f"late_{bucket}", 0)) for bucket in late},
        most_finished=cap_of(words[11:12]), most_dead=cap_of(words[12:13]),
    )  # fmt: skip


def sweep(queues: Sequence[QueueKeys], *, limit: int = 500) -> Call[Swept]:
    """Remove what is past its retention or beyond the caps, of 1..16 queues."""
    return Call("sweep", [keys.due for keys in queues], (0, limit), lambda reply: Swept(reply[0], reply[1] == 1))


def leave(queues: Sequence[QueueKeys], consumer: str) -> Call[int]:
    """Forget a consumer that stops, in 1..16 queues."""
    return Call("leave", [keys.due for keys in queues], (consumer,), int)


def _time(milliseconds: int) -> int | None:
    return None if milliseconds < 0 else milliseconds


def _words(reply: list[bytes]) -> list[str]:
    return [word.decode() for word in reply]


def _ids(ids: Sequence[str]) -> tuple[str, ...]:
    if not 1 <= len(ids) <= MAX_BATCH:
        raise InvalidTask("ids", f"{len(ids)} in one call; 1..{MAX_BATCH} are taken", code="batch_too_large")
    return tuple(check_id(task_id) for task_id in ids)


def _by_id(ids: Sequence[str]) -> Callable[[list[bytes]], dict[str, str]]:
    return lambda reply: {task_id: text_of(word) for task_id, word in zip(ids, reply, strict=True)}
