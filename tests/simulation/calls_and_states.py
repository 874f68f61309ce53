"""What a call asked for, what it changed, and what the hash of a task says, as plain values for who judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redsched.wire.call import Call
from tests.support.lua_builds import Snapshot, TaskKey, text


class Violation(AssertionError):
    """A promise that was broken."""


def require(holds: Any, what: str) -> None:
    """Raise Violation unless that holds."""
    if not holds:
        raise Violation(what)


FINAL = ("completed", "skipped", "expired", "cancelled")
LIVE = ("scheduled", "held", "ready", "running")
HOME = {state: "finished" for state in FINAL} | {
    "scheduled": "due", "held": "held", "ready": "ready", "running": "running", "dead": "dead",
}  # fmt: skip
# verb -> the changes of state it may make; None: no hash
MOVES: dict[str, set[tuple[str | None, str | None]]] = {
    "enqueue": {(None, "scheduled"), (None, "ready"), (None, "expired")},
    "promote": {("scheduled", "ready"), ("scheduled", "expired"), ("scheduled", "dead"), ("scheduled", None)},
    "claim": {
        ("ready", "running"),
        ("ready", "expired"),
        ("ready", "dead"),
        ("ready", None),
        ("running", "expired"),
        ("running", None),
    },  # a repeated claim, of tasks that nobody has seen yet
    "settle": {("running", after) for after in ("scheduled", "ready", "dead", *FINAL, None) if after != "skipped"},
    "reap": {("running", after) for after in ("scheduled", "dead", "expired", "cancelled", None)},
    "cancel": {(before, after) for before in ("scheduled", "held", "ready") for after in ("cancelled", None)},
    "reschedule": {("held", "scheduled"), ("ready", "scheduled")},
    "revive": {("dead", "scheduled")},
    "drop": {(before, None) for before in (*FINAL, "dead")},
    "sweep": {(before, None) for before in (*FINAL, "dead")},
}


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


def start_by_of(fields: dict[str, str]) -> float:
    """Until when a task may start; never ends where that is no time."""
    found = number_of(fields, "expires_at", 9e15)
    return found if 1e11 <= found <= 4e12 else 9e15


def start_by_given(call: Call[Any], now: int) -> float:
    """Until when tasks may start from now on, as an update says; never ends where it does not."""
    n = int(call.args[1])
    word = dict(zip(call.args[2 : 2 + 2 * n : 2], call.args[3 : 3 + 2 * n : 2], strict=True)).get("expires_at")
    return due_time(text(word), now) if word else 9e15


def has_begun(task: dict[str, str]) -> bool:
    """Whether its worker told that the handler of this claim has begun; a stop half-way may have taken the token."""
    begun, token = task.get("begun", ""), task.get("token")
    return begun == token or (token is None and begun.partition(".")[0] == task.get("attempt"))


def crashes(task: dict[str, str]) -> tuple[int, int]:
    """Leases in a row that ended without an answer: of claims that had begun, and of others."""
    crashed, _, given_back = task.get("crashes", "0 0").partition(" ")
    return int(crashed), int(given_back)
