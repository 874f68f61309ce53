"""What a call asked for, what it changed, and what the hash of a task says, as plain values for who judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redsched.wire.call import Call
from tests.support.lua_builds import Snapshot, TaskKey, text


def changes(
    before: Snapshot, after: Snapshot
) -> Iterator[tuple[TaskKey, dict[str, str] | None, dict[str, str] | None]]:
    """The tasks whose hashes differ: what was there and what is there; None: no hash."""
    for task, fields in before.tasks.items():
        now = after.tasks.get(task)
        if now != fields:
            yield task, fields, now
    for task, fields in after.tasks.items():
        if task not in before.tasks:
            yield task, None, fields


def asked(call: Call[Any], now: int) -> Iterator[tuple[TaskKey, float, dict[str, str]]]:
    """The tasks that an enqueue asks for: due time and fields of each."""
    queues = [key.partition(":due:")[2] for key in call.keys]
    words = [text(word) for word in call.args]
    at = 1
    while at < len(words):
        n = int(words[at + 3])
        fields = words[at + 4 : at + 4 + 2 * n]
        yield (
            (queues[int(words[at]) - 1], words[at + 1]),
            due_time(words[at + 2], now),
            dict(zip(fields[::2], fields[1::2], strict=True)),
        )
        at += 4 + 2 * n


def due_time(word: str, now: int) -> float:
    """A due time as it is sent: ms, ``+ms`` from now, or 0 for now."""
    return now + int(word[1:]) if word.startswith("+") else float(word) or now


def number_of(fields: dict[str, str], name: str, default: float) -> float:
    """A field that holds a number; the default where it is missing or none."""
    try:
        return float(fields.get(name, default))
    except ValueError:
        return default


def has_begun(task: dict[str, str]) -> bool:
    """Whether its worker told that the handler of this claim has begun; a stop half-way may have taken the token."""
    begun, token = task.get("begun", ""), task.get("token")
    return begun == token or (token is None and begun.partition(".")[0] == task.get("attempt"))


def crashes(task: dict[str, str]) -> tuple[int, int]:
    """Leases in a row that ended without an answer: of claims that had begun, and of others."""
    crashed, _, given_back = task.get("crashes", "0 0").partition(" ")
    return int(crashed), int(given_back)
