"""Which event loop a process uses (uvloop's where it is installed, else asyncio's own), and its tasks that no handler
may reach.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What ``asyncio.Runner`` takes; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def loop_name() -> str:
    """``uvloop`` or ``asyncio``."""
    return "asyncio" if loop_factory() is None else "uvloop"


def own_task(
    coroutine: Coroutine[Any, Any, T],
    loop: asyncio.AbstractEventLoop | None = None,
    context: contextvars.Context | None = None,
) -> asyncio.Task[T]:
    """Run it as an asyncio task that ``asyncio.all_tasks`` does not tell of, so that no handler cancels it or waits for
    it; whoever makes it ends it. ``context``: None is a copy of the current one."""
    task = (loop or asyncio.get_running_loop()).create_task(coroutine, context=context)
    asyncio._unregister_task(task)  # documented, for implementations of tasks (Extending asyncio)
    return task
