"""Verbs of workers: claim, settle, both in one, renew, progress, once, leave. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.wire.call import Call, words_of
from redsched.wire.cells import Cell
from redsched.wire.codec import (
    TASK_ID,
    Word,
    count_of,
    json_bytes,
    text_of,
)
from redsched.wire.ids import nonce
from redsched.wire.keys import QueueKeys, queue_keys

CLAIM_ARGS = 5  # words of a claim before its bells
MAX_PROGRESS_BYTES = 65_536
MAX_STEPS = 100  # of one task
MAX_STEP_BYTES = 65_536  # of all steps of one task, with their names


class Started(msgspec.Struct, frozen=True, gc=False):
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


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """``now``: the server's clock, ms; ``more``: whether there may be more to claim at once."""

    now: int
    more: bool
    tasks: list[Started]


class Bell(msgspec.Struct, frozen=True, gc=False):
    """An entry that a blocking read delivered and that the next claim starts."""

    queue: str
    entry: str  # priority/stream id
    task_id: str


class Settlement(msgspec.Struct, frozen=True, gc=False):
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


def claim_key(queue: str, task_id: str, token: str) -> str:
    """Names a claim among all of a worker's. All tasks of one call may have the same token, and two of them the same
    id: in two queues."""
    return f"{queue}/{task_id}/{token}"


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


class SettleAndClaim(Call[tuple[list[str], Claimed]], frozen=True):
    """A call that carries out two: it ends the claims ``ends``, then it sends ``claim``."""

    ends: Sequence[Settlement] = ()
    claim: Call[Claimed] | None = None


def settle_and_claim(cell: Cell, ends: Sequence[Settlement], claim: Call[Claimed]) -> SettleAndClaim:
    """End 1..1000 claims, and start what ``claim`` would; answers what both would."""
    keys = list(claim.keys)
    bells = claim.args[CLAIM_ARGS:]
    words: list[Word] = [*claim.args[:CLAIM_ARGS], len(keys), len(bells) // 3, *bells]
    numbers = {key: number for number, key in enumerate(keys, 1)}
    for end in ends:
        due = queue_keys(cell, end.queue).due
        if due not in numbers:
            keys.append(due)
            numbers[due] = len(keys)
        words += (numbers[due], end.task_id, end.token, end.outcome, end.first, end.error, end.traceback)

    def read(reply: list[Any]) -> tuple[list[str], Claimed]:
        return words_of(reply[0]), claim.read(reply[1])

    return SettleAndClaim("settle_and_claim", keys, words, read, ends=ends, claim=claim)


def _started(
    queues: Sequence[QueueKeys],
    fresh: str,
    number: int,
    task_id: bytes,
    attempt: int,
    due_at: int,
    type_: bytes,
    payload: bytes,
    timeout: bytes | None = None,
    headers: bytes | None = None,
    trace: bytes | None = None,
    content: bytes | None = None,
    most: bytes | None = None,
    expires: bytes | None = None,
) -> Started:
    return Started(
        queues[number - 1].queue,
        text_of(task_id),
        attempt,
        due_at,
        text_of(type_),
        payload,
        None if timeout is None else count_of(timeout),
        headers,
        None if trace is None else text_of(trace),
        None if content is None else text_of(content),
        5 if most is None else count_of(most),
        None if expires is None else count_of(expires),
        f"{attempt}.{fresh}",
    )


def settle(cell: Cell, ends: Sequence[Settlement]) -> Call[list[str]]:
    """End 1..1000 claims; answers what each task is now, or ``already`` or ``lost``."""
    numbers: dict[str, int] = {}
    words: list[Word] = [0]
    for end in ends:
        number = numbers.setdefault(end.queue, len(numbers) + 1)
        words += (number, end.task_id, end.token, end.outcome, end.first, end.error, end.traceback)
    return Call("settle", [queue_keys(cell, queue).due for queue in numbers], words, words_of)


def renew(cell: Cell, claims: Sequence[Started], *, lease_ms: int, begun: Sequence[Started] = ()) -> Call[list[str]]:
    """Extend the leases of 1..1000 claims, ``begun`` being those whose handlers have, which is told; answers
    ``renewed``, ``cancel`` or ``lost`` for each of ``claims`` and then of ``begun``."""
    numbers, words = dict[str, int](), list[Word]((0, lease_ms))
    for mark, some in (("", claims), ("begun/", begun)):
        for started in some:
            words += (numbers.setdefault(started.queue, len(numbers) + 1), started.id, mark + started.token)
    return Call("renew", [queue_keys(cell, queue).due for queue in numbers], words, words_of)


def progress(keys: QueueKeys, task_id: str, token: str, value: Any) -> Call[str]:
    """Store what a running task tells of itself; answers ``stored``, ``cancel`` or ``lost``."""
    return Call("progress", (keys.due,), (task_id, token, json_bytes("progress", value, MAX_PROGRESS_BYTES)), text_of)


def check_step(value: Any) -> str:
    """The name of a step; raises InvalidTask."""
    if not isinstance(value, str) or TASK_ID.fullmatch(value) is None:
        what = kind_and_length(value)
        raise InvalidTask("step", f"{what} is no name: 1 to 128 of [A-Za-z0-9._@+:-], the first a letter or digit")
    return value


class Step(msgspec.Struct, frozen=True):
    """What Redis says of one step of a running task: ``open``, ``kept``, ``full`` or ``lost``. ``asked``: whether the
    task was asked to stop; ``value``: the JSON that is kept."""

    word: str
    asked: bool
    value: bytes


def once(keys: QueueKeys, task_id: str, token: str, step: str, value: bytes = b"") -> Call[Step]:
    """Keep what a step of a running task returned, as JSON; without a value only look it up."""

    def read(reply: list[Any]) -> Step:
        word, asked, kept = reply
        return Step(text_of(word), asked == 1, kept)

    return Call("once", (keys.due,), (task_id, token, check_step(step), value, 0), read)


def leave(queues: Sequence[QueueKeys], consumer: str) -> Call[int]:
    """Forget a consumer that stops, in 1..16 queues."""
    return Call("leave", [keys.due for keys in queues], (consumer,), int)
