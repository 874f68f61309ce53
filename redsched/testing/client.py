"""The clients that tests use. ``TestClient`` is a ``Client`` and ``AsyncTestClient`` an ``AsyncClient``, so each fits
where the code under test asks for the one or the other; both add the clock, and what ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from redsched.client import AsyncClient, Client
from redsched.engine.app import App
from redsched.engine.app_types import type_put
from redsched.model.task import TaskView
from redsched.settings import Settings
from redsched.testing import looks
from redsched.testing.clients import ClockedAsyncClient, ClockedClient, no_wait
from redsched.testing.clock import VirtualClock
from redsched.testing.runs import Run
from redsched.testing.stage import CONSUMER, Stage
from redsched.testing.store import ServerKind, Store
from redsched.wire.keys import queue_keys
from redsched.wire.task_types import MOST_PUT, put_types

T = TypeVar("T")
Duration = timedelta | str
MAX_RUNS = 10_000


class AsyncTestClient(ClockedAsyncClient):
    """An ``AsyncClient`` on a store of its own, whose clock stands still until ``advance`` moves it. Coroutines run on
    the test's event loop, plain functions in threads, as in a worker. Time limits of runs are of real time.

    ``wait`` lets time go on, as ``advance`` does, until the task has ended, or for its whole ``timeout``.

    ``server``: ``memory`` (needs the extra ``testing``) or ``embedded``, a real server.
    ``start``: what time it is; None is the time at which the test runs.
    ``schedules``: put the schedules that the app's types carry, as a worker does.
    ``inline``: each call that makes a task due runs it, too.
    ``raise_errors``: the call that runs a handler raises what that raises, or RunFailed where it could not run; without
    it errors are outcomes only, as in production.
    ``max_runs``: of one call; more raise TooManyRuns.
    ``settings``: None is redsched's defaults; the environment is not read.
    """

    __test__ = False  # pytest does not take it for a class of tests

    def __init__(
        self,
        app: App,
        *,
        server: ServerKind = "memory",
        start: datetime | int | str | None = None,
        schedules: bool = True,
        inline: bool = False,
        raise_errors: bool = False,
        max_runs: int = MAX_RUNS,
        settings: Settings | None = None,
    ) -> None:
        clock = VirtualClock(start)
        self._closed = False
        self._store = Store(server, settings)
        self._inline = inline
        super().__init__(self._store, clock, self._run_inline)
        self._sync = ClockedClient(self._store, clock)
        self._stage = Stage(app, self, self._sync, clock, raise_errors=raise_errors, max_runs=max_runs)
        _put_definitions(self._sync, app, schedules)

    @property
    def sync(self) -> Client:
        """A ``Client`` on the same store and clock, for handlers that are plain functions."""
        return self._sync

    @property
    def now(self) -> datetime:
        """What time it is, UTC."""
        return self.clock.now

    @property
    def runs(self) -> list[Run]:
        """Every run so far, the first one first."""
        return self._stage.runs

    async def advance(
        self,
        duration: Duration | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        run: bool = True,
    ) -> list[Run]:
        """Let time go on by a duration (``"1d"`` or a timedelta) or by ``hours=24`` and the like. On the way tasks
        become due, schedules fire and handlers run, each at its own time; answers what ran.

        ``run=False`` only moves the clock, as if no worker and no mover were there; ``run_due`` makes up for it.

        Raises:
            ValueError: no duration, or a negative one; the clock has not moved.
        """
        parts = {"weeks": weeks, "days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        return await self._stage.advance_to(self.clock.after(duration, parts), run=run)

    async def advance_to(self, moment: datetime | int | str, *, run: bool = True) -> list[Run]:
        """The same up to an instant.

        Raises:
            ValueError: it lies behind, or is no instant; the clock has not moved.
        """
        return await self._stage.advance_to(self.clock.moment(moment), run=run)

    async def run_due(self) -> list[Run]:
        """Run what is due now and what becomes due by that, and answer it. The clock does not move."""
        return await self._stage.run_due()

    async def due(self, within: Duration = timedelta(0)) -> list[TaskView]:
        """The tasks whose time has come and that have not run, or whose time comes ``within`` so long; the first one
        first. Held tasks are not among them: nobody can tell when they are due."""
        keys = [queue_keys(self.cell, queue) for queue in await self.queues()]
        return await self.transport.converse(looks.due(keys, self.clock.after(within, {})))

    async def facts(self) -> dict[str, Any]:
        """The facts that conditions read, by their names. JSON is decoded; a hash is a dict of texts."""
        return await self.converse("facts", looks.facts(self.cell_keys))

    async def close(self) -> None:
        """Leave the app's lifespan, close every connection, and forget all tasks; nothing happens the second time."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._stage.close()
        finally:
            await super().close()
            self._sync.close()
            self._store.close()

    async def _pause(self, seconds: float, left: int) -> None:
        await self._stage.go_on(self.clock.now_ms + left)

    async def _run_inline(self) -> None:
        if self._inline and not self._stage.busy:
            await self._stage.run_due()


class TestClient(ClockedClient):
    """``AsyncTestClient`` for tests that do not await: a ``Client`` with the same options. Coroutines run on an event
    loop that stands still between two calls."""

    __test__ = False  # pytest does not take it for a class of tests

    def __init__(
        self,
        app: App,
        *,
        server: ServerKind = "memory",
        start: datetime | int | str | None = None,
        schedules: bool = True,
        inline: bool = False,
        raise_errors: bool = False,
        max_runs: int = MAX_RUNS,
        settings: Settings | None = None,
    ) -> None:
        clock = VirtualClock(start)
        self._closed = False
        self._store = Store(server, settings)
        self._inline = False
        self._loop = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        super().__init__(self._store, clock, self._run_inline)
        self._aio = ClockedAsyncClient(self._store, clock)
        self._stage = Stage(app, self._aio, self, clock, raise_errors=raise_errors, max_runs=max_runs)
        _put_definitions(self, app, schedules)
        self._inline = inline

    @property
    def aio(self) -> AsyncClient:
        """An ``AsyncClient`` on the same store and clock, for handlers that await it."""
        return self._aio

    @property
    def now(self) -> datetime:
        """What time it is, UTC."""
        return self.clock.now

    @property
    def runs(self) -> list[Run]:
        """Every run so far, the first one first."""
        return self._stage.runs

    def advance(
        self,
        duration: Duration | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        run: bool = True,
    ) -> list[Run]:
        """As ``AsyncTestClient.advance``."""
        parts = {"weeks": weeks, "days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        return self._wait(self._stage.advance_to(self.clock.after(duration, parts), run=run))

    def advance_to(self, moment: datetime | int | str, *, run: bool = True) -> list[Run]:
        """As ``AsyncTestClient.advance_to``."""
        return self._wait(self._stage.advance_to(self.clock.moment(moment), run=run))

    def run_due(self) -> list[Run]:
        """As ``AsyncTestClient.run_due``."""
        return self._wait(self._stage.run_due())

    def due(self, within: Duration = timedelta(0)) -> list[TaskView]:
        """As ``AsyncTestClient.due``."""
        keys = [queue_keys(self.cell, queue) for queue in self.queues()]
        return self.transport.converse(looks.due(keys, self.clock.after(within, {})))

    def facts(self) -> dict[str, Any]:
        """As ``AsyncTestClient.facts``."""
        return self.converse("facts", looks.facts(self.cell_keys))

    def close(self) -> None:
        """As ``AsyncTestClient.close``."""
        if self._closed:
            return
        self._closed = True
        try:
            with self._loop:
                try:
                    self._wait(self._stage.close())
                finally:
                    self._wait(self._aio.close())
        finally:
            super().close()
            self._store.close()

    def _pause(self, seconds: float, left: int) -> None:
        if self._stage.busy:
            raise no_wait()
        self._wait(self._stage.go_on(self.clock.now_ms + left))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if _loop_runs():
            work.close()
            raise RuntimeError("TestClient would block the event loop that runs here: await an AsyncTestClient")
        return self._loop.run(work)

    def _run_inline(self) -> None:
        if self._inline and not self._stage.busy:
            self._wait(self._stage.run_due())


def _loop_runs() -> bool:
    """Whether this thread is in an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _put_definitions(client: Client, app: App, schedules: bool) -> None:
    """As a worker of the application puts them."""
    made = [type_put(one) for one in app.tasks.values()]
    for at in range(0, len(made), MOST_PUT):
        some = made[at : at + MOST_PUT]
        client.transport.send(put_types(client.cell_keys, app.name, app.version, CONSUMER, 1, some))
    for schedule in app.schedules if schedules else ():
        client.schedules.put(schedule)
