"""How one call reaches a definite answer: the commands to send, the pauses to make, and what a reply means. No I/O.

``exchange`` is a conversation: it yields commands and pauses, and gets replies or troubles back. The sync and the async
client drive the same one. Whether a call is repeated is decided here and nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import msgspec

from redsched.model.duration import is_digits
from redsched.model.errors import (
    OutcomeUnknown,
    RedschedError,
    StoreBroken,
    StoreError,
    StoreReadOnly,
    StoreRefused,
    StoreUnavailable,
)
from redsched.steps.outage import Outage
from redsched.wire import scripts, wrong_type
from redsched.wire.call import Call
from redsched.wire.codec import Word, text_of
from redsched.wire.redis_errors import Kind, Refused, Unanswered, Unreached, only_reads, refusal, sort_error

T = TypeVar("T")
Command = Sequence[Word]

OLDEST_REDIS = 7
FIRST_PAUSE = 0.02  # seconds; doubles up to LONGEST_PAUSE
LONGEST_PAUSE = 1.0


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
    Who may not load works with an older library that is there, unless ``replace`` asks for its own.

    Yields commands; a driver sends the reply back or throws Refused.
    """
    if mode.functions:
        try:
            build = yield from _load_library(replace or not scripts.is_released(), older_will_do=not replace)
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
    if is_digits(major) and int(major) < OLDEST_REDIS:
        raise Refused(f"this server is Redis {version[:20]}; redsched needs Redis 7.0, or Valkey 7.2, or later")


def _load_library(replace: bool, older_will_do: bool) -> Generator[Command, Any, int]:
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
        if sort_error(str(refused)) is not Kind.DENIED or build < (1 if older_will_do else scripts.BUILD):
            raise
        return int(build)  # inside a major it does what it did, and refuses what it does not know
    return scripts.BUILD


def exchange(
    call: Call[T], mode: Mode, outage: Outage, *, retry_for: float, clock: Callable[[], float]
) -> Generator[Command | Chain | Load | float, Any, T]:
    """Send one call until it has a definite answer, or ``retry_for`` seconds have passed by ``clock()``. ``outage``
    hears whether Redis answers.

    Raises:
        RedschedError: what the answer means, or that none came.
    """
    asked = clock()
    deadline = asked + retry_for
    pause, loads, unanswered, checked = FIRST_PAUSE, 0, "", False
    error: type[StoreError]
    url = ""
    while True:
        try:
            if not mode.loaded:
                yield Load()
            if call.chain:
                all_of_it = (call, *call.chain)
                reply = yield Chain(tuple(mode.command(one) if isinstance(one, Call) else one for one in all_of_it))
                for one, answer in zip(all_of_it, reply, strict=True):
                    if isinstance(one, Call) and isinstance(answer, Refused):
                        raise answer
            else:
                reply = yield mode.command(call)
            if outage.is_on:
                outage.answered(clock())
            return read_answer(call, reply)
        except Unreached as trouble:
            problem, error, url = str(trouble), StoreUnavailable, trouble.url
        except Unanswered as trouble:
            problem, error, url = str(trouble), StoreUnavailable, ""
            unanswered = "" if only_reads(call.verb) else str(trouble)  # who only reads has changed nothing
            if not call.repeatable:
                outage.failed(problem, asked=asked, now=clock())
                raise OutcomeUnknown(call.verb, problem) from None
        except Refused as trouble:
            problem = str(trouble)
            kind = sort_error(problem)
            if outage.is_on and kind not in (Kind.REPEAT, Kind.READ_ONLY):
                outage.answered(clock())
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
                if kind is Kind.WRONG_TYPE:
                    broken = yield from _broken(call)
                    raise StoreBroken(call.verb, problem, reads=only_reads(call.verb), broken=broken) from None
                raise refusal(call.verb, problem, call.args) from None
            error, url = StoreReadOnly if kind is Kind.READ_ONLY else StoreUnavailable, ""
        now = clock()
        outage.failed(problem, asked=asked, now=now)
        left = deadline - now
        if left <= 0:
            if unanswered:
                raise OutcomeUnknown(call.verb, unanswered)
            if url:
                raise StoreUnavailable(call.verb, problem, reads=only_reads(call.verb), url=url)
            raise error(call.verb, problem, reads=only_reads(call.verb))
        yield min(pause * (0.5 + random.random()), left)
        pause = min(pause * 2, LONGEST_PAUSE)
        asked = clock()


def _broken(call: Call[Any]) -> Generator[Chain, Any, str]:
    """Which of the keys that a call needs has another type."""
    keys = wrong_type.looked_at([text_of(key) if isinstance(key, bytes) else str(key) for key in call.keys])
    try:
        replies = yield Chain(tuple(("TYPE", key) for key in keys))
    except (Unreached, Unanswered, Refused) as trouble:
        replies = [trouble] * len(keys)
    return wrong_type.told(keys, replies)


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
        if only_reads(call.verb):
            raise StoreRefused(call.verb, problem, reads=True) from error
        raise OutcomeUnknown(call.verb, problem) from error
