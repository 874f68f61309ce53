"""How a run ended, as the settlement that tells Redis. Every text is cut here to what Redis keeps of it, so that no
handler can make a call that Redis refuses.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import logging
import traceback
import types
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

from redsched.model.duration import duration_text, span_ms
from redsched.model.outcome import Cancelled, Completed, Dead, Outcome, Retry, Snooze
from redsched.wire.claims import Settlement, Started
from redsched.wire.codec import LONGEST_MS, NO_JSON, answer_bytes, cut

log = logging.getLogger("redsched.worker")
MAX_RESULT_BYTES = 65_536
MAX_ERROR_BYTES = 4_000
MAX_TRACEBACK_BYTES = 8_000
MAX_PART_BYTES = 1_000  # of a traceback: one frame, or the text of one exception
HEAD_BYTES = 2_000  # of a traceback that is too long; the rest of what is kept is its end
MAX_REASON_BYTES = {Dead: 100, Cancelled: 200}
_GENERATES = "a generator is no handler, for its body would never run; write a function that does the work"
_LAZY = (
    Awaitable, concurrent.futures.Future, Iterator, AsyncIterator, contextlib.ContextDecorator,
    contextlib.AsyncContextDecorator, types.FunctionType, types.MethodType, types.BuiltinFunctionType,
    functools.partial,
)  # fmt: skip
_NOBODY_AWAITED = "it has not ended, for nobody awaited it; write `return await ...`"


def name_of(outcome: Outcome) -> str:
    """The outcome's name in logs and metrics."""
    match outcome:
        case Completed():
            return "completed"
        case Retry():
            return "failed"
        case Snooze():
            return "snoozed"
        case Dead():
            return "dead"
        case Cancelled():
            return "cancelled"


def settlement(started: Started, outcome: Outcome, kind: str = "") -> Settlement:
    """How to settle the claim; ``kind`` is what a log may say of the error. Raises whatever an outcome of a handler's
    own making raises."""
    queue, task_id, token = started.queue, started.id, started.token
    match outcome:
        case Completed(result=None):
            return Settlement(queue, task_id, token, "complete")
        case Completed(result=result):
            return Settlement(queue, task_id, token, "complete", _result(started, result))
        case Retry(error=error, delay=delay, traceback=text):
            first = "" if delay is None else _delay(delay)
            return Settlement(queue, task_id, token, "retry", first, *_texts(error, text), kind)
        case Snooze(delay=delay):
            return Settlement(queue, task_id, token, "snooze", _delay(delay))
        case Dead(reason=reason, error=error, traceback=text):
            reason = cut(reason, MAX_REASON_BYTES[Dead])
            return Settlement(queue, task_id, token, "dead", reason, *_texts(error, text), kind)
        case Cancelled(reason=reason):
            return Settlement(queue, task_id, token, "cancelled", cut(reason, MAX_REASON_BYTES[Cancelled]))


def _result(started: Started, result: Any) -> bytes:
    about: dict[str, Any] = {"queue": started.queue, "task_id": started.id}
    try:
        text = answer_bytes(result)
    except NO_JSON as error:
        log.warning("task.result_dropped", extra=about | {"error": kind_of(error)})
        return b""
    if len(text) > MAX_RESULT_BYTES:
        log.warning("task.result_dropped", extra=about | {"bytes": len(text)})
        return b""
    return text


def _texts(error: Any, trace: Any) -> tuple[str, str]:
    return cut(error, MAX_ERROR_BYTES), cut(trace, MAX_TRACEBACK_BYTES)


def _delay(value: Any) -> int:
    milliseconds = span_ms(value)
    if milliseconds > LONGEST_MS:
        raise ValueError(f"a delay of {duration_text(milliseconds)} is longer than a year")
    return milliseconds


def failure(error: BaseException) -> Retry:
    """A failed attempt, with the exception's text and its traceback as far as it lets itself be read."""
    kind = kind_of(error)
    try:
        text = f"{kind}: {error}"
    except BaseException:  # its own __str__ fails
        text = kind
    try:
        trace = _cut_middle(list(traceback.TracebackException.from_exception(error).format()))
    except BaseException:  # what it carries cannot be read, such as groups within groups without end
        trace = "".join(traceback.format_tb(frames_of(error))[-20:])
    return Retry(error=cut(text, MAX_ERROR_BYTES), traceback=cut(trace, MAX_TRACEBACK_BYTES))


def kind_of(error: BaseException) -> str:
    """The name of its class, even if the attributes of that cannot be read: what a log may say of an error."""
    found: str = type.__getattribute__(type(error), "__name__")
    return found


def frames_of(error: BaseException) -> types.TracebackType | None:
    """Where it was raised, even if the attributes of its class cannot be read."""
    found: types.TracebackType | None = vars(BaseException)["__traceback__"].__get__(error)
    return found


def _cut_middle(parts: list[str]) -> str:
    """A traceback of frames and texts in which no text is so long that it leaves no place for the frames, and of which
    the first and the last stay."""
    parts = [part if len(part) <= MAX_PART_BYTES // 4 else _cut_part(part) for part in parts]
    if sum(_bytes(part) for part in parts) <= MAX_TRACEBACK_BYTES:
        return "".join(parts)
    left = MAX_TRACEBACK_BYTES - 100  # for the line that tells of what is missing
    head: list[str] = []
    while parts and sum(map(_bytes, head)) + _bytes(parts[0]) <= HEAD_BYTES:
        head.append(parts.pop(0))
    left -= sum(map(_bytes, head))
    tail: list[str] = []
    while parts and _bytes(parts[-1]) <= left:
        tail.insert(0, parts.pop())
        left -= _bytes(tail[0])
    return "".join((*head, f"  ... {len(parts)} frames left out ...\n", *tail))


def _cut_part(part: str) -> str:
    short = cut(part, MAX_PART_BYTES)
    return short if len(short) >= len(part) else f"{short} ... {len(part)} characters in all\n"


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))


def not_run(result: Any) -> str:
    """Why what a handler returned means that its work was not done; empty where it does not."""
    kind: type = type(result)
    if not _may_be_lazy(kind):
        return ""
    if inspect.iscoroutine(result):
        result.close()
        return "a coroutine: nothing was run, for nobody awaited it; write `return await ...`"
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        return f"{_a(result)}: {_GENERATES}"
    if isinstance(result, asyncio.Future | concurrent.futures.Future):
        result.cancel()  # the attempt has failed, and the next one begins anew
        awaits = "" if isinstance(result, asyncio.Future) else "; `asyncio.wrap_future` makes it one to await"
        return f"{_a(result)}: {_NOBODY_AWAITED}{awaits}"
    if inspect.isawaitable(result):
        return f"{_a(result)}: {_NOBODY_AWAITED}"
    if isinstance(result, contextlib.ContextDecorator | contextlib.AsyncContextDecorator):
        return f"{_a(result)}: nothing was run: enter it with `with`"
    if isinstance(result, Iterator | AsyncIterator) and not _is_resource(result):
        return f"{_a(result)}: nothing was run: iterate over it, and return a list"
    if isinstance(result, Iterator | AsyncIterator):
        return ""
    return f"{_a(result)}: nothing was run, for nobody called it"


@functools.lru_cache(256)  # the look itself takes ten times as long
def _may_be_lazy(kind: type) -> bool:
    return issubclass(kind, _LAZY)


def _is_resource(iterator: object) -> bool:
    """Files and cursors of databases are iterators too, and what made them has done its work."""
    return hasattr(type(iterator), "close")


def _a(value: Any) -> str:
    name = "async generator" if inspect.isasyncgen(value) else type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
