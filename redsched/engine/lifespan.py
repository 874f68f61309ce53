"""Lifespan: what an application opens before its first run and closes after its last, in an asyncio task of its own.

It is entered and left in one task, for task groups and cancel scopes ask for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from redsched.client import AsyncClient
from redsched.eventloop import own_task
from redsched.model import current_run

EXIT_S = 10.0  # seconds that leaving may take; a process that was told to stop may have less
Opens = Callable[[AsyncClient], AbstractAsyncContextManager[Any]]
LifespanFunction = (
    Callable[[], AsyncIterator[Any]]
    | Callable[[AsyncClient], AsyncIterator[Any]]
    | Callable[[], AbstractAsyncContextManager[Any]]
    | Callable[[AsyncClient], AbstractAsyncContextManager[Any]]
)


def opening(function: Callable[..., Any]) -> Opens:
    """How a registered function is entered: an async generator function that yields once, or anything that makes an
    async context manager. It takes the worker's client, or nothing.

    Raises:
        TypeError: it can never be entered.
    """
    name = getattr(function, "__qualname__", repr(function))
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{name}: a lifespan is an `async def` that yields once, between opening and closing")
    needed = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if len(needed) > 1 or any(one.kind is one.KEYWORD_ONLY for one in needed):
        raise TypeError(f"{name}: a lifespan takes the worker's client, or nothing")
    makes: Callable[..., Any] = function
    if inspect.isasyncgenfunction(function):
        makes = contextlib.asynccontextmanager(function)

    def opened(client: AsyncClient) -> AbstractAsyncContextManager[Any]:
        found = makes(client) if needed else makes()
        if not isinstance(found, AbstractAsyncContextManager):
            raise TypeError(f"{name} made {type(found).__name__!r}, which is no async context manager")
        return found

    return opened


class Lifespan:
    """One lifespan of one worker. Without ``opens`` nothing is entered and nothing is left."""

    def __init__(self, opens: Opens | None, client: AsyncClient) -> None:
        self._opens = opens
        self._client = client
        self._leaving = asyncio.Event()
        self.task: asyncio.Task[None] | None = None  # while it is open

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The asyncio task that lives in it, while it is open: it ends early only where something in it failed."""
        return () if self.task is None else (self.task,)

    async def enter(self) -> Any:
        """Open it; answers what it gave. Whoever is cancelled here has cancelled the opening, too.

        Raises:
            Exception: what it raised; it is not open.
        """
        if self._opens is None:
            return None
        entered = asyncio.get_running_loop().create_future()
        self.task = task = own_task(self._live(self._opens, entered))
        try:
            await asyncio.wait((entered, task), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait((task,), timeout=EXIT_S)
            raise
        if not task.done():
            return entered.result()
        self.task = None
        if task.cancelled():
            raise RuntimeError("the lifespan cancelled itself")
        task.result()
        return entered.result()  # it was left at once

    async def leave(self) -> None:
        """Close it, within EXIT_S seconds.

        Raises:
            TimeoutError: it took longer, and was cancelled.
            Exception: what it raised.
        """
        if self.task is None:
            return
        task, self.task = self.task, None
        self._leaving.set()
        await asyncio.wait((task,), timeout=EXIT_S)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=1.0)
            raise TimeoutError(f"the lifespan was not left within {EXIT_S:g} s")
        if not task.cancelled():
            task.result()

    async def _live(self, opens: Opens, entered: asyncio.Future[Any]) -> None:
        current_run.begin_application()
        try:
            async with opens(self._client) as state:
                entered.set_result(state)
                await self._leaving.wait()
        except (SystemExit, KeyboardInterrupt) as error:  # as an exception of a task they would stop the event loop
            raise RuntimeError(f"the lifespan raised {type(error).__name__}") from error
