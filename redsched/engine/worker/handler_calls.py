"""Calls of handlers: with what each is called, its first step, and its end as a value. What a child that a handler
forked does afterwards ends here, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from redsched.engine import forks
from redsched.engine.context import Context
from redsched.engine.handler import Handler
from redsched.engine.middleware import Middleware, around
from redsched.engine.worker.held import Held
from redsched.model import current_run, trace
from redsched.wire.claims import Started


def prepare(handler: Handler, started: Started, context: Context | None) -> dict[str, Any]:
    """What the handler is called with; its types may run code of their own."""
    current_run.begin(started)
    arguments = handler.arguments(started.payload, started.content_type)
    if handler.context_name is not None:
        arguments[handler.context_name] = context
    if started.traceparent:
        trace.begin(started.traceparent)
    return arguments


def begin(held: Held, handler: Handler) -> tuple[Coroutine[Any, Any, Any], bool, Any]:
    """Call a coroutine function and take its first step: the coroutine, and what that step came to."""
    arguments = prepare(handler, held.started, held.context)
    held.begin()
    coroutine = handler.function(**arguments)
    return coroutine, *first_step(coroutine)


def begin_within(
    middleware: Sequence[Middleware], call: Callable[[dict[str, Any]], Awaitable[Any]], held: Held, handler: Handler
) -> tuple[Coroutine[Any, Any, Any], bool, Any]:
    """The same for any handler, which ``call`` calls with its arguments within the middleware."""
    assert held.context is not None
    arguments = prepare(handler, held.started, held.context)
    held.begin()
    coroutine = around(middleware, held.context, partial(call, arguments))
    return coroutine, *first_step(coroutine)


def first_step(coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
    """Whether the coroutine has ended, and its result or what it waits for."""
    error: BaseException | None = None
    try:
        return False, coroutine.send(None)
    except StopIteration as end:
        return True, end.value
    except BaseException as problem:
        error = problem
        raise
    finally:
        if forks.here.in_child:
            forks.end_child(error)
        del error


def call_plain(begin: Callable[[], None], call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """The result or the exception, as a value: a future cannot carry every exception as its own."""
    result, problem = None, None
    try:
        begin()
        result = call()
    except BaseException as error:
        problem = error
    if forks.here.in_child:
        forks.end_child(problem)
    return result, problem


async def awaited(result: Awaitable[Any]) -> Any:
    """A coroutine of anything that can be awaited."""
    return await result
