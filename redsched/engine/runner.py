"""Runs one claimed task and says how it ended. No Redis here: what a run came to is a ``Settlement``, or None where the
task is not this worker's any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from redsched.engine.app import PayloadMismatch, TaskType
from redsched.engine.asked import Asked
from redsched.engine.context import Context
from redsched.engine.held import Held, NotBegun, Why, returned
from redsched.model import trace
from redsched.model.duration import duration_ms, duration_text
from redsched.model.outcome import Cancelled, Completed, Dead, Outcome, OutcomeChosen, Retry, Snooze
from redsched.wire.codec import LONGEST_MS
from redsched.wire.protocol import Settlement, Started

log = logging.getLogger("redsched.worker")
MAX_RESULT_BYTES = 65_536
MAX_TRACEBACK = 8_000


class Runner:
    """Runs handlers: coroutines on the loop, plain functions in threads."""

    def __init__(self, threads: int, asked: Asked, freed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked = asked
        self._freed = freed  # told when a straggler has ended
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="redsched-handler")
        self.stragglers: set[Future[Any]] = set()  # threads that went on after their time limit

    def close(self) -> None:
        """Let go of the threads; those that still run are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, held: Held, task_type: TaskType) -> tuple[str, Settlement | None]:
        """Run the handler to its end or its time limit. Answers the outcome's name and how to settle the claim."""
        started = held.started
        held.context = context = Context(started, self._asked, self._loop)
        try:
            arguments = task_type.handler.arguments(started.payload)
        except PayloadMismatch as mismatch:
            return "dead", _settlement(started, Dead("payload", str(mismatch)))
        if task_type.handler.context_name is not None:
            arguments[task_type.handler.context_name] = context
        limit = task_type.timeout_ms if started.timeout_ms is None else started.timeout_ms
        timer = self._loop.call_later(limit / 1_000, held.stop, Why.TIMEOUT)
        span = trace.enter(started.traceparent) if started.traceparent else contextlib.nullcontext()
        try:
            with span:
                result = await self._call(held, task_type, arguments)
            outcome: Outcome = result if isinstance(result, Outcome) else Completed(result)
        except NotBegun:
            return _stopped(held, limit)
        except asyncio.CancelledError as error:
            if held.why is not None:
                return _stopped(held, limit)
            if _cancelled_from_outside():
                raise  # the worker itself is torn down
            outcome = _failure(error)  # leaked by the handler: something that it waited for was cancelled
        except OutcomeChosen as chosen:
            outcome = chosen.outcome
        except (Exception, SystemExit) as error:
            if held.why is Why.SHUTDOWN:
                return _stopped(held, limit)
            outcome = _failure(error)
        finally:
            held.task = None
            timer.cancel()
            if held.why is not None:
                _forget_cancelling()
        if context.lease_lost:
            return "lost", None
        try:
            return _named(outcome), _settlement(started, outcome)
        except Exception as error:  # an outcome that cannot be written, such as a negative delay
            return "failed", _settlement(started, _failure(error))

    async def _call(self, held: Held, task_type: TaskType, arguments: dict[str, Any]) -> Any:
        held.task = asyncio.current_task()
        if task_type.handler.is_async:
            held.begin()
            return await task_type.handler.function(**arguments)
        call = partial(_plain, held, task_type.handler.function, arguments)
        future = self._pool.submit(contextvars.copy_context().run, call)
        wrapped = asyncio.wrap_future(future)
        try:
            result = await asyncio.shield(wrapped)
        except asyncio.CancelledError:
            if not future.cancel() and not future.done():
                self.stragglers.add(future)
                future.add_done_callback(self._straggler_ended)
                wrapped.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, and of no use
            raise
        return await result if inspect.isawaitable(result) else result  # a decorator hid a coroutine function

    def _straggler_ended(self, future: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the slot any more
            self._loop.call_soon_threadsafe(self._let_go, future)

    def _let_go(self, future: Future[Any]) -> None:
        self.stragglers.discard(future)
        self._freed()


def _plain(held: Held, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    held.begin()
    try:
        return function(**arguments)
    except StopIteration as error:  # a future cannot carry it
        raise RuntimeError("the handler raised StopIteration") from error


def _cancelled_from_outside() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _forget_cancelling() -> None:
    """A slot goes on after it has stopped a run: what cancelled the run must not look like cancelling the slot."""
    current = asyncio.current_task()
    while current is not None and current.cancelling():
        current.uncancel()


def _stopped(held: Held, limit: int) -> tuple[str, Settlement | None]:
    if held.begun_at is None and held.why is not Why.LOST:
        return "returned", returned(held.started)  # Redis knows whether it was cancelled, or is past its start-by
    match held.why:
        case Why.TIMEOUT:
            text = f"TimeLimit: ran longer than its time limit of {duration_text(limit)}"
            return "timeout", _settlement(held.started, Retry(error=text))
        case Why.CANCEL:
            return "cancelled", _settlement(held.started, Cancelled(""))
        case Why.SHUTDOWN:
            return "returned", returned(held.started)
    return "lost", None


def _named(outcome: Outcome) -> str:
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


def _settlement(started: Started, outcome: Outcome) -> Settlement:
    queue, task_id, token = started.queue, started.id, started.token
    match outcome:
        case Completed(result=None):
            return Settlement(queue, task_id, token, "complete")
        case Completed(result=result):
            try:
                text = msgspec.json.encode(result)
            except (TypeError, ValueError, RecursionError) as error:
                log.warning("task.result_dropped", extra={"queue": queue, "task_id": task_id, "error": str(error)})
                text = b""
            if len(text) > MAX_RESULT_BYTES:
                log.warning("task.result_dropped", extra={"queue": queue, "task_id": task_id, "bytes": len(text)})
                text = b""
            return Settlement(queue, task_id, token, "complete", text)
        case Retry(error=error, delay=delay, traceback=text):
            first = "" if delay is None else _delay(delay)
            return Settlement(queue, task_id, token, "retry", first, _writable(error), _writable(text))
        case Snooze(delay=delay):
            return Settlement(queue, task_id, token, "snooze", _delay(delay))
        case Dead(reason=reason, error=error, traceback=text):
            return Settlement(queue, task_id, token, "dead", _writable(reason), _writable(error), _writable(text))
        case Cancelled(reason=reason):
            return Settlement(queue, task_id, token, "cancelled", _writable(reason))


def _delay(value: Any) -> int:
    milliseconds = duration_ms(value)
    if milliseconds > LONGEST_MS:
        raise ValueError(f"a delay of {duration_text(milliseconds)} is longer than a year")
    return milliseconds


def _writable(text: Any) -> str:
    return str(text).encode("utf-8", "backslashreplace").decode()


def _failure(error: BaseException) -> Retry:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # its own __str__ fails
        text = type(error).__name__
    return Retry(error=text, traceback="".join(traceback.format_exception(error))[-MAX_TRACEBACK:])


def error_kind(error: str) -> str:
    """What a log may hold of an error: the class of an exception without its text, which may quote the payload. The
    whole is with the task."""
    kind, colon, _ = error.partition(": ")
    return kind if colon and kind.isidentifier() else error[:500]
