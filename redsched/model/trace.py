"""W3C trace context: read a ``traceparent``, make its child, know the one that this code runs under.

A task carries the ``traceparent`` of whoever submitted it; a bad one is ignored, never an error, as the
specification (https://www.w3.org/TR/trace-context/, section 3.2) demands.
"""

from __future__ import annotations

import random
import re
from contextvars import ContextVar, Token
from types import TracebackType

import msgspec

_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
MAX_LENGTH = 256

_current: ContextVar[str | None] = ContextVar("redsched_traceparent", default=None)
_random = random.SystemRandom()


class TraceContext(msgspec.Struct, frozen=True):
    """One position in a trace: 32 and 16 lower-case hex digits, and the flags (1: sampled)."""

    trace_id: str
    span_id: str
    flags: int = 0

    @property
    def traceparent(self) -> str:
        """The header's text, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def child(self) -> TraceContext:
        """The same trace and flags with a new span id."""
        return TraceContext(self.trace_id, _span_id(), self.flags)


def begin(traceparent: str | None) -> None:
    """From now on this context, which is one run's own, is under a task's ``traceparent``."""
    _current.set(traceparent)


class enter:
    """Run a block under a task's ``traceparent``; None or a bad one clears what was set outside.

    ``with enter(traceparent): ...``; the text is read only when someone asks for ``current()``.
    """

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str | None) -> None:
        self._traceparent = traceparent

    def __enter__(self) -> None:
        self._token: Token[str | None] = _current.set(self._traceparent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._token)


def parse(traceparent: str | None) -> TraceContext | None:
    """The context of a ``traceparent``; None where it is missing or invalid."""
    if not traceparent or len(traceparent) > MAX_LENGTH:
        return None
    match = _SHAPE.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or trace_id == _NO_TRACE or span_id == _NO_SPAN or (version == "00" and rest):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) if version == "00" else int(flags, 16) & 1)


def valid(traceparent: str | None) -> bool:
    """Whether ``parse`` can read it."""
    return parse(traceparent) is not None


def child(traceparent: str | None) -> str | None:
    """A ``traceparent`` in the same trace with a new span id; None where there is no valid one."""
    context = parse(traceparent)
    return None if context is None else context.child().traceparent


def current() -> TraceContext | None:
    """The context of the task that this code runs for; None outside of one."""
    return parse(_current.get())


def _span_id() -> str:
    return f"{_random.randrange(1, 1 << 64):016x}"
