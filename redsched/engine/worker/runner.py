"""Runs one claimed task and says how it ended. No Redis here: what a run came to is a ``Settlement``, or None where the
task is not this worker's any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import decimal
import inspect
import sys
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from redsched.engine import forks
from redsched.engine.app import TaskType
from redsched.engine.context import Context
from redsched.engine.ending import failure, kind_of, name_of, not_run, settlement
from redsched.engine.handler import Handler
from redsched.engine.middleware import Middleware
from redsched.engine.payload_types import PayloadMismatch
from redsched.engine.shared import Shared
from redsched.engine.worker.batches import Batches
from redsched.engine.worker.handler_calls import awaited, begin, begin_within, call_plain, first_step, prepare
from redsched.engine.worker.held import Held, NotBegun, Why, returned
from redsched.engine.worker.processes import Processes
from redsched.engine.worker.teardown import is_of_a_person, is_torn_down
from redsched.model.duration import duration_text
from redsched.model.outcome import Cancelled, Completed, Dead, Outcome, OutcomeChosen, Retry
from redsched.wire.claims import Settlement

_DONE = Completed()
_PLAIN = frozenset((bool, int, float, str, bytes, list, dict, tuple))


class Runner:
    """Runs handlers: coroutines on the loop, plain functions in threads. Batches and processes are actors of theirs."""

    def __init__(
        self, threads: int, shared: Shared, freed: Callable[[], None], middleware: Sequence[Middleware] = ()
    ) -> None:
        self._loop = shared.loop
        self._shared = shared
        self._middleware = tuple(middleware)
        self._freed = freed  # told when a straggler has ended
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="redsched-handler")
        self._base = contextvars.copy_context()  # every run has a copy of its own: what one sets, no other sees
        self._decimals = next((value for value in self._base.values() if isinstance(value, decimal.Context)), None)
        self.batches = shared.batches = Batches(self._pool, self._fresh, self._straggle, freed)
        self.processes = shared.processes = Processes()
        self.closed = False
        self.stragglers: set[Future[Any]] = set()  # threads that went on after their time limit
        forks.watch()

    def close(self) -> None:
        """Let go of the threads; those that still run are not waited for. End the processes. No run begins after
        this."""
        self.closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.processes.close()

    def _fresh(self) -> contextvars.Context:
        """The context of one run."""
        own = self._base.copy()
        if self._decimals is not None:  # set by the program itself, and what a copy holds is the same object
            own.run(decimal.setcontext, self._decimals.copy())
        return own

    def _straggle(self, future: Future[Any]) -> None:
        self.stragglers.add(future)
        future.add_done_callback(self._straggler_ended)

    async def run(
        self, held: Held, task_type: TaskType, slot: asyncio.Task[Any] | None
    ) -> tuple[str, Settlement | None]:
        """Run the handler to its end or its time limit. Answers the outcome's name and how to settle the claim.
        ``slot`` is the asyncio task that this is called in: to look it up for each run is slow.

        Whatever the handler does is the outcome of this one run. ``held.suspended`` tells afterwards whether the
        handler has seen the current asyncio task at more than one moment, or may hold it still: then no other run may
        have that task.
        """
        started, handler = held.started, task_type.handler
        held.context = context = Context(started, self._shared)
        limit = task_type.timeout_ms if started.timeout_ms is None else started.timeout_ms
        own = self._base.copy()
        if self._decimals is not None:  # as in _fresh, without its call: each run pays for this
            own.run(decimal.setcontext, self._decimals.copy())
        outcome: Outcome | OutcomeChosen
        kind = ""  # what a log may say of it
        try:
            deadline = self._loop.time() + limit / 1_000
            if handler.is_async or self._middleware:
                start = begin
                if self._middleware:
                    start = partial(begin_within, self._middleware, partial(self._call, held, handler, deadline))
                coroutine, ended, result = _begun(held, handler, own, slot, start)
                if not ended:
                    result = await self._ended(held, coroutine, own, result, deadline)
                if getattr(slot, "_must_cancel", False):  # it would hit what the slot does next
                    held.suspended = True
                    raise asyncio.CancelledError("the handler cancelled its own task")
            else:
                arguments = own.run(prepare, handler, started, context)
                call = partial(call_plain, held.begin, partial(handler.function, **arguments))
                result = await self._thread(held, call, own, deadline)
            if result is None and not context.lease_lost:  # the short way of most runs
                return "completed", Settlement(started.queue, started.id, started.token, "complete")
            outcome = own.run(_outcome, result)
        except PayloadMismatch as mismatch:
            outcome, kind = Dead("payload", str(mismatch)), mismatch.kind
        except NotBegun:
            return _stopped(held, limit)
        except asyncio.CancelledError as error:
            if held.why is not None:
                return _stopped(held, limit)
            if self.closed:
                raise  # the worker itself is torn down
            outcome, kind = failure(error), kind_of(error)  # of its own making, or of something that it waited for
        except OutcomeChosen as chosen:
            outcome, kind = chosen, kind_of(chosen)
        except BaseException as error:
            its_class = type(error)  # isinstance would read an attribute of it
            if issubclass(its_class, GeneratorExit) and is_torn_down():
                raise
            if issubclass(its_class, KeyboardInterrupt) and handler.is_async and is_of_a_person(error):
                raise
            if held.why is Why.SHUTDOWN:
                return _stopped(held, limit)
            outcome, kind = failure(error), kind_of(error)
        finally:
            held.task = None
        if context.lease_lost:
            return "lost", None
        try:
            if isinstance(outcome, OutcomeChosen):
                outcome = _chosen(outcome.outcome)
            return name_of(outcome), own.run(settlement, started, outcome, kind)
        except BaseException as error:  # an outcome that cannot be written, such as a negative delay
            return "failed", settlement(started, failure(error), kind_of(error))

    def _call(self, held: Held, handler: Handler, deadline: float, arguments: dict[str, Any]) -> Awaitable[Any]:
        """Call the handler of a run that has begun, within its middleware. A thread gets a copy of what that has set:
        two threads cannot be in one context."""
        call = partial(handler.function, **arguments)
        if handler.is_async:
            found: Awaitable[Any] = call()
            return found
        return self._thread(held, partial(call_plain, _nothing, call), contextvars.copy_context(), deadline)

    async def _ended(
        self,
        held: Held,
        coroutine: Coroutine[Any, Any, Any],
        own: contextvars.Context,
        waits_for: Any,
        deadline: float,
    ) -> Any:
        """Go on with a coroutine that waits, to its end or its time limit."""
        timer = self._stoppable(held, deadline)
        held.suspended = True
        try:
            return await self._rest(coroutine, own, waits_for)
        finally:
            timer.cancel()

    @types.coroutine
    def _rest(
        self, coroutine: Coroutine[Any, Any, Any], own: contextvars.Context, waits_for: Any
    ) -> Generator[Any, Any, Any]:
        """The further steps of a coroutine, each in its run's own context, on the asyncio task that awaits this."""
        step: Callable[[Any], Any]
        while True:
            if forks.here.in_child:
                forks.end_child(RuntimeError("a handler forked, and its child went on as if it were the worker"))
            try:
                given = yield waits_for
                step = coroutine.send
            except GeneratorExit:
                own.run(coroutine.close)
                raise
            except BaseException as error:
                step, given = coroutine.throw, error
            try:
                waits_for = own.run(step, given)
            except StopIteration as end:
                return end.value
            finally:
                given = None

    async def _thread(
        self,
        held: Held,
        call: Callable[[], tuple[Any, BaseException | None]],
        own: contextvars.Context,
        deadline: float,
    ) -> Any:
        timer = self._stoppable(held, deadline)
        try:
            future = self._pool.submit(own.run, call)
            wrapped = asyncio.wrap_future(future)
            try:
                result, problem = await asyncio.shield(wrapped)
            except asyncio.CancelledError:
                held.suspended = True
                if not future.cancel() and not future.done():
                    self._straggle(future)
                raise
            if problem is not None:
                raise RuntimeError("the handler raised StopIteration") if type(problem) is StopIteration else problem
            if inspect.isawaitable(result):  # a decorator hid a coroutine function
                coroutine, held.suspended = awaited(result), True
                ended, found = own.run(first_step, coroutine)
                return found if ended else await self._rest(coroutine, own, found)
            return result
        finally:
            timer.cancel()

    def _stoppable(self, held: Held, deadline: float) -> asyncio.TimerHandle:
        """The run may be stopped from now on, and is at its time limit."""
        held.task = asyncio.current_task()
        return self._loop.call_at(deadline, held.stop, Why.TIMEOUT)

    def cut_off(self, held: Held, error: GeneratorExit) -> tuple[str, Settlement | None]:
        """What came of a run that waited for something that raised GeneratorExit: with it asyncio closes all coroutines
        of its task.

        Raises:
            GeneratorExit: Python itself closed them, because the loop has ended.
        """
        if is_torn_down():
            raise error
        return "failed", settlement(held.started, failure(error), kind_of(error))

    def _straggler_ended(self, future: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the slot any more
            self._loop.call_soon_threadsafe(self._let_go, future)

    def _let_go(self, future: Future[Any]) -> None:
        self.stragglers.discard(future)
        self._freed()


def _begun(
    held: Held,
    handler: Handler,
    own: contextvars.Context,
    slot: asyncio.Task[Any] | None,
    start: Callable[[Held, Handler], tuple[Coroutine[Any, Any, Any], bool, Any]],
) -> tuple[Coroutine[Any, Any, Any], bool, Any]:
    """Take the first step of a coroutine. It costs no timer, for nothing can stop it from outside."""
    references = sys.getrefcount(slot)
    try:
        return own.run(start, held, handler)
    finally:
        # more: the handler took hold of the slot's task, perhaps to cancel it later
        held.suspended = sys.getrefcount(slot) > references


def _nothing() -> None:
    """What is done before a call in a run that has begun."""


def _outcome(result: Any) -> Outcome:
    if result is None:
        return _DONE
    if type(result) in _PLAIN:
        return Completed(result)
    if isinstance(result, Outcome):
        return result
    if why := not_run(result):
        raise TypeError(f"the handler returned {why}")
    return Completed(result)


def _chosen(outcome: Any) -> Outcome:
    if isinstance(outcome, Outcome):
        return outcome
    raise TypeError("the outcome of an OutcomeChosen is none of Completed, Retry, Snooze, Dead and Cancelled")


def _stopped(held: Held, limit: int) -> tuple[str, Settlement | None]:
    if held.begun_at is None and held.why is not Why.LOST:
        return "returned", returned(held.started)  # Redis knows whether it was cancelled, or is past its start-by
    match held.why:
        case Why.TIMEOUT:
            text = f"TimeLimit: ran longer than its time limit of {duration_text(limit)}"
            return "timeout", settlement(held.started, Retry(error=text), "TimeLimit")
        case Why.CANCEL:
            return "cancelled", settlement(held.started, Cancelled(""))
        case Why.SHUTDOWN:
            return "returned", returned(held.started)
    return "lost", None
