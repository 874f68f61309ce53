"""One table that sorts what can go wrong with a call, and the one place that decides what follows. No I/O.

``exchange`` is a conversation: it yields the commands to send and the pauses to make, and gets replies or troubles
back. The
sync and the async client drive the same one.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import msgspec

from redsched.model.errors import (
    InvalidSchedule,
    InvalidTask,
    OutcomeUnknown,
    RedschedError,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from redsched.wire import scripts
from redsched.wire.codec import Word, text_of
from redsched.wire.protocol import Call

T = TypeVar("T")
Command = Sequence[Word]

_OF_SCHEDULES = ("pause_schedule", "trigger")  # their refusals name a field of the schedule's verb
_PLAIN_READS = frozenset(("queues", "ping", "scan", "metrics", "doctor", "dead"))  # of plain commands

OLDEST_REDIS = 7
FIRST_PAUSE = 0.02  # seconds; doubles up to LONGEST_PAUSE
LONGEST_PAUSE = 1.0


class Kind(enum.Enum):
    """What an error reply of Redis asks for."""

    LOAD = "the script is not there: load it and repeat"
    REPEAT = "Redis is not ready: repeat after a pause"
    READ_ONLY = "not a primary: reconnect and repeat"
    FULL = "no memory or disk: back-pressure"
    DENIED = "credentials or rights"
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
    """No connection: nothing was sent."""


class Unanswered(Exception):
    """Sent, but no answer came."""


class Refused(Exception):
    """Redis answered with an error, whose text this carries."""


def cut_short(found: list[Any], count: int, problem: str) -> list[Any]:
    """The replies to ``count`` commands of which a lost connection left these: whole where the last one says that Redis
    could not read its command, for then it closes the connection and reads no other.

    Raises:
        Unanswered: otherwise.
    """
    if found and isinstance(found[-1], Refused) and sort_error(str(found[-1])) is Kind.UNREADABLE:
        return found + [found[-1]] * (count - len(found))
    raise Unanswered(problem) from None


class Load(msgspec.Struct, frozen=True):
    """An action: make sure that the build of this process, or a newer one, is loaded."""


class Chain(msgspec.Struct, frozen=True):
    """An action: commands in one round trip on one connection. The reply is a list, with Refused where one was."""

    commands: tuple[Command, ...]


class Mode:
    """How verbs are called on this server: as functions, until it turns out to have none."""

    def __init__(self) -> None:
        self.functions = True
        self.loaded = False
        self.reads_only = False  # these credentials may only read: FCALL asks for the right to write

    def check_library(self) -> None:
        """Before the next call, see to it that the library is no older than this process: another may have loaded it
        at the same moment, or a copy of the server came back with it."""
        self.loaded = self.loaded and not self.functions

    def command(self, call: Call[Any]) -> Command:
        """The words of a call."""
        only = "_RO" if self.reads_only and "no-writes" in scripts.header(call.verb).flags else ""
        if self.functions:
            return ("FCALL" + only, scripts.PREFIX + call.verb, len(call.keys), *call.keys, *call.args)
        return ("EVALSHA" + only, scripts.sha1(call.verb), len(call.keys), *call.keys, *call.args)


def load(mode: Mode, *, replace: bool = False) -> Generator[Command, Any, int]:
    """Load the library or, without functions, the scripts; never replaces a newer build. Answers the build that is
    there.

    ``replace``: another text of the same build is replaced too. By itself only a tree that somebody works on does that.

    Yields commands; a driver sends the reply back or throws Refused.
    """
    if mode.functions:
        try:
            build = yield from _load_library(replace or not scripts.is_released())
        except Refused as refused:
            if sort_error(str(refused)) is not Kind.NO_FUNCTIONS:
                raise
            yield from check_version()
            mode.functions = False
        else:
            mode.loaded = True
            return build
    for verb in scripts.verbs():
        yield ("SCRIPT", "LOAD", scripts.script(verb))
    mode.loaded = True
    return scripts.BUILD


def check_version() -> Generator[Command, Any, None]:
    """See that the server is not too old for the scripts. One without functions may only hide them.

    Raises:
        Refused: it is too old.
    """
    try:
        info = text_of((yield ("INFO", "server")))
    except Refused:
        return  # it does not say
    found = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    version = found.get("redis_version", "")  # Valkey says here with which Redis it is compatible
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < OLDEST_REDIS:
        raise Refused(f"this server is Redis {version[:20]}; redsched needs Redis 7.0, or Valkey 7.2, or later")


def _load_library(replace: bool) -> Generator[Command, Any, int]:
    try:
        build, found = yield ("FCALL", scripts.PREFIX + "version", 0)
    except Refused as refused:
        if sort_error(str(refused)) is not Kind.LOAD:
            raise
        try:
            yield ("FUNCTION", "LOAD", scripts.library())
        except Refused as second:
            if "already exists" not in str(second):
                raise
            build, found = -1, b""  # another process was faster, or a library without a version
        else:
            return scripts.BUILD
    if build > scripts.BUILD or (build == scripts.BUILD and (not replace or text_of(found) == scripts.digest())):
        return int(build)
    if build == -1:
        try:
            build, found = yield ("FCALL", scripts.PREFIX + "version", 0)
        except Refused:
            build = -1
        if build >= scripts.BUILD:
            return int(build)
    try:
        yield ("FUNCTION", "LOAD", "REPLACE", scripts.library())
    except Refused as refused:
        if build != scripts.BUILD or sort_error(str(refused)) is not Kind.DENIED:
            raise  # another text of the same build will do for those who may not replace it
    return scripts.BUILD


def exchange(
    call: Call[T], mode: Mode, *, retry_for: float, clock: Any
) -> Generator[Command | Chain | Load | float, Any, T]:
    """Send one call until it has a definite answer, or ``retry_for`` seconds have passed by ``clock()``.

    Raises:
        RedschedError: what the answer means, or that none came.
    """
    deadline = clock() + retry_for
    pause, loads, unanswered, checked = FIRST_PAUSE, 0, "", False
    error: type[StoreError]
    while True:
        try:
            if not mode.loaded:
                yield Load()
            if call.chain:
                reply = yield Chain((mode.command(call), *call.chain))
                if isinstance(reply[0], Refused):
                    raise reply[0]
            else:
                reply = yield mode.command(call)
            return read_answer(call, reply)
        except Unreached as trouble:
            problem, error = str(trouble), StoreUnavailable
        except Unanswered as trouble:
            problem, error, unanswered = str(trouble), StoreUnavailable, str(trouble)
            if not call.repeatable:
                raise OutcomeUnknown(call.verb, problem) from None
        except Refused as trouble:
            problem = str(trouble)
            kind = sort_error(problem)
            if kind is Kind.LOAD and loads < 3:
                loads, mode.loaded = loads + 1, False
                continue
            if problem.startswith("RS_INVALID ") and mode.functions and not checked:
                checked, mode.loaded = True, False  # an older library may have come back, which knows less
                continue
            if kind is Kind.NO_FUNCTIONS and mode.functions:
                mode.functions, mode.loaded = False, False
                continue
            if kind is Kind.DENIED and not mode.reads_only and "no-writes" in scripts.header(call.verb).flags:
                mode.reads_only = True
                continue
            if kind not in (Kind.REPEAT, Kind.READ_ONLY):
                if unanswered and not problem.startswith("RS_INVALID"):
                    raise OutcomeUnknown(call.verb, unanswered) from None  # this one was refused, the one before?
                raise refusal(call.verb, problem) from None
            error = StoreReadOnly if kind is Kind.READ_ONLY else StoreUnavailable
        left = deadline - clock()
        if left <= 0:
            if unanswered:
                raise OutcomeUnknown(call.verb, unanswered)
            raise error(call.verb, problem, reads=_only_reads(call.verb))
        yield min(pause * (0.5 + random.random()), left)
        pause = min(pause * 2, LONGEST_PAUSE)


def read_answer(call: Call[T], reply: Any) -> T:
    """What a reply says.

    Raises:
        RedschedError: nobody can tell, for somebody wrote what is read there.
    """
    try:
        return call.read(reply)
    except RedschedError:
        raise
    except Exception as error:
        problem = f"an answer that cannot be read ({type(error).__name__})"
        if _only_reads(call.verb):
            raise StoreError(call.verb, problem, reads=True) from error
        raise OutcomeUnknown(call.verb, problem) from error


def refusal(verb: str, problem: str) -> RedschedError:
    """The error of the tree for an error reply that is final."""
    kind, reads = sort_error(problem), _only_reads(verb)
    if kind is Kind.REPEAT:
        return StoreUnavailable(verb, problem, reads=reads)
    if kind is Kind.FULL:
        return StoreFull(verb, problem, reads=reads)
    if kind is Kind.DENIED:
        return StoreDenied(verb, problem, reads=reads)
    if problem.startswith("RS_INVALID "):
        _, index, field, why = problem.split(" script: ", maxsplit=1)[0].split(" ", 3)
        if verb in _OF_SCHEDULES:
            return InvalidSchedule(field, why)
        code = "batch_too_large" if why.endswith("with the others of the call") else "invalid"
        return InvalidTask(field, why, index=int(index) - 1 if verb == "enqueue" else None, code=code)
    return StoreError(verb, problem, reads=reads)


def unavailable(verb: str, problem: str) -> StoreUnavailable:
    """The error for a plain command that had no answer and is not repeated."""
    return StoreUnavailable(verb, problem, reads=_only_reads(verb))


def _only_reads(verb: str) -> bool:
    """Whether a verb, or a conversation of plain commands, can have written nothing because it never does."""
    return verb in _PLAIN_READS or (verb in scripts.verbs() and "no-writes" in scripts.header(verb).flags)
