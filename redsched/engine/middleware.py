"""Middleware: an application's own code around each run, such as a tenant's context, an error reporter, a metric."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from redsched.engine.context import Context
from redsched.engine.handler import code_of

CallNext = Callable[[], Awaitable[Any]]
Middleware = Callable[[Context, CallNext], Awaitable[Any]]


def check_middleware(function: Any) -> None:
    """See that it can be awaited around a run.

    Raises:
        TypeError: it cannot.
    """
    name = getattr(function, "__qualname__", repr(function))
    if not inspect.iscoroutinefunction(code_of(function)):
        raise TypeError(f"{name}: middleware is an `async def` with two parameters, (ctx, call_next)")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise TypeError(f"{name}: middleware is called with two arguments, (ctx, call_next)") from None


def around(
    middleware: Sequence[Middleware], context: Context, handler: Callable[[], Awaitable[Any]]
) -> Coroutine[Any, Any, Any]:
    """A run within all middleware, the first of which is the outermost; answers what that one returns."""
    following: CallNext = handler
    for one in reversed(middleware[1:]):
        following = _once(one, context, following)
    return _awaited(middleware[0](context, _only_once(middleware[0], following)))


def _once(one: Middleware, context: Context, following: CallNext) -> CallNext:
    return lambda: one(context, _only_once(one, following))


def _only_once(one: Middleware, following: CallNext) -> CallNext:
    called = False

    async def call_next() -> Any:
        nonlocal called
        if called:
            name = getattr(one, "__qualname__", repr(one))
            raise RuntimeError(f"{name} called call_next twice; one run calls its handler once")
        called = True
        return await following()

    return call_next


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
