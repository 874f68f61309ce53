"""Verbs on whole queues: their figures, pauses and caps. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from redsched.model.condition import KEY
from redsched.model.duration import instant
from redsched.model.errors import InvalidTask, QueueNotFound
from redsched.model.views import Paused, QueueStats
from redsched.wire.call import Call
from redsched.wire.codec import cap_of, check_name, count_of, pairs, reason_word, text_of
from redsched.wire.field_words import due_word
from redsched.wire.keys import QueueKeys


def stats(queues: Sequence[QueueKeys]) -> Call[list[QueueStats]]:
    """Depths, ages and totals of 1..100 queues."""

    def read(reply: list[list[Any]]) -> list[QueueStats]:
        return [_queue_stats(keys.queue, words) for keys, words in zip(queues, reply, strict=True)]

    return Call("stats", [keys.due for keys in queues], (0,), read)


def _queue_stats(queue: str, words: list[Any]) -> QueueStats:
    totals = pairs(words[9])
    late = {name.removeprefix("late_"): count_of(value) for name, value in pairs(words[10]).items()}
    return QueueStats(
        queue=queue,
        scheduled=words[0],
        held=words[1],
        ready=words[2],
        running=words[3],
        finished=words[4],
        dead=words[5],
        quarantined=words[6],
        oldest_due_age_ms=None if words[7] < 0 else words[7],
        next_due=None if not 0 <= words[8] <= 4_000_000_000_000 else instant(words[8]),
        totals={name: count_of(value) for name, value in totals.items() if not name.startswith("late_")},
        lateness=late,
        lateness_totals={bucket: count_of(totals.get(f"late_{bucket}", 0)) for bucket in late},
        most_finished=cap_of(words[11:12]),
        most_dead=cap_of(words[12:13]),
    )


A_PAGE = 500  # of what is paused


ALL = "all"  # what a pause of every queue is about


def stop_word(*, type_: str | None = None, key: str | None = None) -> str:
    """What a pause is about: the queue, a type or a key of it."""
    if type_ is not None and key is not None:
        raise InvalidTask("key", "give type or key, not both")
    if type_ is not None:
        return f"type:{check_name('type', type_)}"
    if key is None:
        return "queue"
    if KEY.fullmatch(key) is None:
        raise InvalidTask("key", "must be 1 to 128 printable ASCII characters without spaces")
    return f"key:{key}"


def pause(keys: QueueKeys, what: str, *, reason: str, until: Any, only_known: bool = False) -> Call[None]:
    """Start no more of them, until that time or, with None, until they are resumed.

    Raises:
        InvalidTask: everything is to be paused, and no reason was given.
        QueueNotFound: nobody has seen the queue, and ``only_known`` was asked for; from reading the answer.
    """
    why = reason_word(reason)
    if what == ALL and not why.strip():
        raise InvalidTask("reason", "must say why everything is paused, for others to read")
    known = "known" if only_known else ""
    words = (0, what, why, due_word(until, None, field="until") if until is not None else 0, known)

    def read(reply: Any) -> None:
        if text_of(reply) == "unknown":
            raise QueueNotFound(keys.queue)

    return Call("pause", (keys.due,), words, read)


def resume(keys: QueueKeys, what: str) -> Call[bool]:
    """Go on; False where it was not paused."""
    return Call("resume", (keys.due,), (0, what), lambda reply: text_of(reply) == "resumed")


def paused(queues: Sequence[QueueKeys], *, cursor: str = "", limit: int = A_PAGE) -> Call[tuple[list[Paused], str]]:
    """A page of what is paused in 1..100 queues, and the cursor of the next; '' on the last."""

    def read(reply: list[list[Any]]) -> tuple[list[Paused], str]:
        *stops, (_, following) = reply
        return [_paused(queues[words[0] - 1].queue, words[1:]) for words in stops], text_of(following)

    return Call("paused", [keys.due for keys in queues], (0, cursor, limit), read)


def _paused(queue: str, words: Sequence[Any]) -> Paused:
    what, until, since = text_of(words[0]), int(words[1]), int(words[2])
    kind, _, name = what.partition(":")
    return Paused(
        queue=queue,
        type=name if kind == "type" else None,
        key=name if kind == "key" else None,
        all=kind == ALL,
        reason=text_of(words[3]),
        since=instant(since),
        until=instant(until) if until else None,
        waiting=int(words[4]) if len(words) > 4 else 0,
    )


MOST = 1_000_000_000_000  # of a cap


class Limits(msgspec.Struct, frozen=True):
    """How many finished and dead tasks a queue keeps; None: each until its retention ends."""

    most_finished: int | None
    most_dead: int | None


def limit(keys: QueueKeys, caps: Mapping[str, int | str | None]) -> Call[Limits]:
    """Set how many finished and dead tasks a queue keeps, by ``most_finished`` and ``most_dead``: a number, ``none``,
    or None for the default. Answers what holds now; without any it writes nothing."""
    words: list[Any] = [0]
    for field, most in caps.items():
        is_number = isinstance(most, int) and not isinstance(most, bool) and 0 <= most <= MOST
        if not (is_number or most in (None, "none")):
            raise InvalidTask(field, f"{most!r} is no number of 0..{MOST}, nor none or default")
        words += (field, "" if most is None else most)
    return Call("limit", (keys.due,), tuple(words), lambda reply: Limits(cap_of(reply[:1]), cap_of(reply[1:2])))
