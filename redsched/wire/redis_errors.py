"""What can go wrong between a client and Redis: one table of its error replies, and the error of ours for each."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from redsched.model.errors import (
    InvalidSchedule,
    InvalidTask,
    RedschedError,
    StoreBroken,
    StoreDenied,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from redsched.wire import scripts

_OF_SCHEDULES = ("pause_schedule", "trigger")  # their refusals name a field of the schedule's verb
_FIRST_TASK = {"enqueue": 1, "enqueue_run": 7}  # where the words of their tasks begin
# conversations of plain commands that only read
_PLAIN_READS = frozenset(("queues", "ping", "scan", "metrics", "doctor", "dead", "operation", "facts"))


class Kind(enum.Enum):
    """What an error reply of Redis asks for."""

    LOAD = "the script is not there: load it and repeat"
    REPEAT = "Redis is not ready: repeat after a pause"
    READ_ONLY = "not a primary: reconnect and repeat"
    FULL = "no memory or disk: back-pressure"
    DENIED = "credentials or rights"
    WRONG_TYPE = "a key of another type: repeating does not help"
    UNREADABLE = "Redis cannot read these bytes and closes the connection: never repeat them"
    INVALID = "the call itself"
    NO_FUNCTIONS = "a server without functions: use scripts"


_KINDS: tuple[tuple[str, Kind], ...] = (
    ("NOSCRIPT", Kind.LOAD),
    ("ERR Function not found", Kind.LOAD),
    ("LOADING", Kind.REPEAT),
    ("BUSY ", Kind.REPEAT),
    ("MASTERDOWN", Kind.REPEAT),
    ("CLUSTERDOWN", Kind.REPEAT),
    ("TRYAGAIN", Kind.REPEAT),
    ("NOREPLICAS", Kind.REPEAT),
    ("UNBLOCKED", Kind.REPEAT),
    ("READONLY", Kind.READ_ONLY),
    ("OOM", Kind.FULL),
    ("MISCONF", Kind.FULL),
    ("NOAUTH", Kind.DENIED),
    ("WRONGPASS", Kind.DENIED),
    ("NOPERM", Kind.DENIED),
    ("WRONGTYPE", Kind.WRONG_TYPE),
    ("ERR max number of clients", Kind.REPEAT),
    ("ERR Protocol error", Kind.UNREADABLE),
    ("ERR unknown command 'FCALL'", Kind.NO_FUNCTIONS),
    ("ERR unknown command `FCALL`", Kind.NO_FUNCTIONS),
    ("ERR unknown command 'FUNCTION'", Kind.NO_FUNCTIONS),
    ("ERR unknown command `FUNCTION`", Kind.NO_FUNCTIONS),
)


def sort_error(problem: str) -> Kind:
    """The kind of an error reply, by how it begins. redis-py strips some first words; both forms are known."""
    for start, kind in _KINDS:
        if problem.startswith(start) or problem.startswith(start.removeprefix("ERR ")):
            return kind
    if "ACL failure in script" in problem or "user executing the script can't" in problem:
        return Kind.DENIED
    lower = problem.lower()
    if "unknown command" in lower and "fcall" in lower:
        return Kind.NO_FUNCTIONS
    return Kind.INVALID


class Unreached(Exception):
    """No connection: nothing was sent. ``url``: of what could not be reached, without its password."""

    def __init__(self, problem: str, url: str = "") -> None:
        super().__init__(problem)
        self.url = url


class Unanswered(Exception):
    """Sent, but no answer came."""


class Refused(Exception):
    """Redis answered with an error, whose text this carries."""


def refusal(verb: str, problem: str, args: Sequence[Any] = ()) -> RedschedError:
    """The error of the tree for an error reply that is final; ``args``: what the verb was called with."""
    kind, reads = sort_error(problem), only_reads(verb)
    if kind is Kind.REPEAT:
        return StoreUnavailable(verb, problem, reads=reads)
    if kind is Kind.FULL:
        return StoreFull(verb, problem, reads=reads)
    if kind is Kind.DENIED:
        return StoreDenied(verb, problem, reads=reads)
    if kind is Kind.WRONG_TYPE:
        return StoreBroken(verb, problem, reads=reads)
    if problem.startswith("RS_INVALID "):
        _, index, field, why = problem.split(" script: ", maxsplit=1)[0].split(" ", 3)
        if verb in _OF_SCHEDULES:
            return InvalidSchedule(field, why)
        code = "batch_too_large" if why.endswith("with the others of the call") else "invalid"
        at = int(index) - 1 if verb in _FIRST_TASK else None
        words = args[_FIRST_TASK.get(verb, 0) :]
        if field == "expires_at" and at is not None and _counts_from_now(words, at):
            field = "expires_in"
        if verb == "enqueue" and len(words) > 3 and len(words) == 4 + 2 * int(words[3]):
            at = None  # it is the only task
        return InvalidTask(field, why, index=at, code=code)
    return StoreRefused(verb, problem, reads=reads)


def _counts_from_now(words: Sequence[Any], at: int) -> bool:
    """Whether the start-by of a task was given as a duration; ``words``: of the tasks of an enqueue."""
    while at and words:
        at, words = at - 1, words[4 + 2 * int(words[3]) :]
    fields = words[4 : 4 + 2 * int(words[3])] if words else ()
    return str(dict(zip(fields[::2], fields[1::2], strict=True)).get("expires_at", "")).startswith("+")


def unavailable(verb: str, trouble: Exception) -> StoreUnavailable:
    """The error for a plain command that was not sent or had no answer, and is not repeated."""
    return StoreUnavailable(verb, str(trouble), reads=only_reads(verb), url=getattr(trouble, "url", ""))


def only_reads(verb: str) -> bool:
    """Whether a verb, or a conversation of plain commands, can have written nothing because it never does."""
    return verb in _PLAIN_READS or (verb in scripts.verbs() and "no-writes" in scripts.header(verb).flags)
