"""Runs one claimed task and says how it ended. No Redis here: what a run came to is a ``Settlement``, or None where the
task is not this worker's any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from redsched.engine.app import PayloadMismatch, TaskType
from redsched.engine.context import Context
from redsched.model import trace
from redsched.model.duration import duration_ms, duration_text
from redsched.model.outcome import Cancelled, Completed, Dead, Outcome, OutcomeChosen, Retry, Snooze
from redsched.wire.protocol import Settlement, Started

log = logging.getLogger("redsched.worker")
MAX_RESULT_BYTES = 65_536
MAX_TRACEBACK = 8_000


class Why(enum.Enum):
    """Why a run was stopped from outside."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    LOST = "lost"
    SHUTDOWN = "shutdown"


class Held:
    """A claim that this worker holds: waiting in its buffer, or running."""

    __slots__ = ("began", "context", "lease_until", "renewed_at", "started", "task", "why")

    def __init__(self, started: Started, now: float, lease: float) -> None:
        self.started = started
        self.renewed_at = now  # monotonic seconds, as the others
        self.lease_until = now + lease
        self.began = 0.0
        self.context: Context | None = None
        self.task: asyncio.Task[None] | None = None  # the slot that runs it, while it may be cancelled
        self.why: Why | None = None

    def stop(self, why: Why) -> None:
        """Stop the run from outside; the first reason counts. A plain function goes on in its thread."""
        if self.context is not None:
            self.context.lease_lost |= why is Why.LOST
            self.context.cancel_requested |= why is Why.CANCEL
        if self.why is None and (why is not Why.CANCEL or self.task is not None):
            self.why = why
            if self.task is not None:
                self.task.cancel()


class Runner:
    """Runs handlers: coroutines on the loop, plain functions in threads."""

    def __init__(self, threads: int, progress: Callable[[Started, Any], Awaitable[str]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._progress = progress
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="redsched-handler")
        self.stragglers: set[Future[Any]] = set()  # threads that went on after their time limit

    def close(self) -> None:
        """Let go of the threads; those that still run are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, held: Held, task_type: TaskType) -> tuple[str, Settlement | None]:
        """Run the handler to its end or its time limit. Answers the outcome's name and how to settle the claim."""
        started = held.started
        held.began = time.monotonic()
        held.context = context = Context(started, self._progress, self._loop)
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
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if held.why is None or current is None:
                raise
            current.uncancel()
            return _stopped(held, limit)
        except OutcomeChosen as chosen:
            outcome = chosen.outcome
        except Exception as error:
            outcome = Retry(error=f"{type(error).__name__}: {error}", traceback=_trace(error))
        finally:
            held.task = None
            timer.cancel()
        if context.lease_lost:
            return "lost", None
        return _named(outcome), _settlement(started, outcome)

    async def _call(self, held: Held, task_type: TaskType, arguments: dict[str, Any]) -> Any:
        held.task = asyncio.current_task()
        if task_type.handler.is_async:
            return await task_type.handler.function(**arguments)
        future = self._pool.submit(contextvars.copy_context().run, partial(task_type.handler.function, **arguments))
        wrapped = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(wrapped)
        except asyncio.CancelledError:
            if not future.done():
                self.stragglers.add(future)
                future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self.stragglers.discard, done))
                wrapped.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, and of no use
            raise


def _stopped(held: Held, limit: int) -> tuple[str, Settlement | None]:
    match held.why:
        case Why.TIMEOUT:
            text = f"TimeLimit: ran longer than its time limit of {duration_text(limit)}"
            return "timeout", _settlement(held.started, Retry(error=text))
        case Why.CANCEL:
            return "cancelled", _settlement(held.started, Cancelled(""))
        case Why.SHUTDOWN:
            return "returned", returned(held.started)
    return "lost", None


def returned(started: Started, why: str = "") -> Settlement:
    """Give a claim back: ready again at once, or after a while when ``why`` is ``unhandled``."""
    return Settlement(started.queue, started.id, started.token, "return", why)


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
            first = "" if delay is None else duration_ms(delay)
            return Settlement(queue, task_id, token, "retry", first, _writable(error), _writable(text))
        case Snooze(delay=delay):
            return Settlement(queue, task_id, token, "snooze", duration_ms(delay))
        case Dead(reason=reason, error=error, traceback=text):
            return Settlement(queue, task_id, token, "dead", _writable(reason), _writable(error), _writable(text))
        case Cancelled(reason=reason):
            return Settlement(queue, task_id, token, "cancelled", _writable(reason))


def _writable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-MAX_TRACEBACK:]
