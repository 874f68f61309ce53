"""One act on many tasks, in several calls where one would hold Redis for long. Conversations of calls, without I/O.

Nobody can tell from an id how much its task is entered in, so the numbers are those of the worst: all facts that a task
may have, a line and a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from redsched.model.task import TaskView
from redsched.steps.conversation import Conversation
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.keys import QueueKeys

T = TypeVar("T")
A_CALL = {
    "update": 12,
    "cancel": 25,
    "confirm": 25,
    "drop": 40,
    "requeue": 150,
    "reschedule": 200,
    "revive": 200,
    "retag": 25,
    "move": 25,
    "shift": 200,
}
SHOWN_FIRST = 4  # tasks: each may have a payload and a result of 256 KiB
SHOWN_BYTES = 524_288  # of one call, as far as the calls before it tell


def in_parts(ids: Sequence[str], make: Callable[[Sequence[str]], Call[dict[str, T]]]) -> Conversation[dict[str, T]]:
    """The answers by id. Everything is checked before anything is sent."""
    whole = make(ids)
    most = A_CALL[whole.verb]
    if len(ids) <= most:
        return (yield whole)  # type: ignore[no-any-return]
    found: dict[str, T] = {}
    for at in range(0, len(ids), most):
        found |= yield make(ids[at : at + most])
    return found


def show(keys: QueueKeys, ids: Sequence[str], *, stored: bool = False) -> Conversation[dict[str, TaskView | None]]:
    """Everything known of 1..100 tasks: a few at first, then as many as their size allows."""
    whole = protocol.show(keys, ids, stored=stored)
    if len(ids) <= SHOWN_FIRST:
        return (yield whole)  # type: ignore[no-any-return]
    found: dict[str, TaskView | None] = {}
    at, most = 0, SHOWN_FIRST
    while at < len(ids):
        call = protocol.show(keys, ids[at : at + most], stored=stored)
        size = 0

        def read(reply: Any, call: Call[Any] = call) -> Any:
            nonlocal size
            size = _bytes_in(reply)
            return call.read(reply)

        found |= yield Call(call.verb, call.keys, call.args, read)
        at, each = at + most, max(1, size // most)
        most = max(1, min(SHOWN_BYTES // each, 4 * most))
    return found


def _bytes_in(reply: Any) -> int:
    if isinstance(reply, bytes):
        return len(reply)
    return sum(map(_bytes_in, reply)) if isinstance(reply, list) else 8
