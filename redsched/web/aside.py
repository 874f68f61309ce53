"""Work that may take long is done beside the event loop, so that nobody else waits for it.

Large bodies are decoded by one thread, in pieces. The next runs of schedules are computed by one thread more, within a
budget of work a request. Of each only one, for threads that compute take the interpreter from the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from redsched.client import AsyncClient
from redsched.client.aio.schedules import AsyncSchedules, fits
from redsched.schedule.budget import Budget
from redsched.steps.conversation import next_call
from redsched.steps.schedules import ScheduleSteps
from redsched.web import bodies
from redsched.web.problems import Problem
from redsched.wire.call import Call

HEAVY = 65_536  # bytes of a body that is decoded on the loop
TURN_S = 10.0  # how long a request may wait for the thread that computes next runs

T = TypeVar("T")


class Aside:
    """The threads of one API process. Used from its event loop."""

    def __init__(self) -> None:
        self._reader = ThreadPoolExecutor(1, "decode")
        self._planner = ThreadPoolExecutor(1, "plan")
        self._turns = asyncio.Semaphore(1)

    def close(self) -> None:
        """Wait for nothing."""
        for thread in (self._reader, self._planner):
            thread.shutdown(wait=False, cancel_futures=True)

    async def run(self, size: int, work: Callable[..., T], *given: Any) -> T:
        """What ``work`` returns; done here where ``size``, the bytes that it is about, is small."""
        if size <= HEAVY:
            return work(*given)
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, *given)

    async def decode(self, decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
        """As ``bodies.decode``."""
        return await self.run(len(raw), bodies.decode, decoder, raw)

    async def talk(self, size: int, client: AsyncClient, steps: Generator[Call[Any], Any, T]) -> T:
        """Drive a conversation; what it does between its calls is done aside where ``size`` is not small."""
        reply: Any = None
        while True:
            call, found = await self.run(size, next_call, steps, reply)
            if call is None:
                return found  # type: ignore[no-any-return]
            reply = await client.transport.send(call)

    async def planned(self, work: Callable[..., T], *given: Any) -> T:
        """What ``work`` returns; it must end by itself. Others wait for it, so it is short, or has a budget.

        Raises:
            Problem: busy.
        """
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise Problem("busy", "others' next runs are being computed", headers={"retry-after": "1"}) from None
        done = asyncio.get_running_loop().run_in_executor(self._planner, work, *given)
        done.add_done_callback(self._end_turn)
        return await asyncio.shield(done)  # which goes on though nobody waits any more

    def _end_turn(self, done: asyncio.Future[Any]) -> None:
        self._turns.release()
        if not done.cancelled():
            done.exception()  # somebody may have waited for it, or not


class PlannedSchedules(AsyncSchedules):
    """``client.schedules`` for one request of the API: what it computes is computed aside, within a budget.

    A schedule of a list whose next runs take too long is shown without them, and says so.
    """

    def __init__(self, client: AsyncClient, aside: Aside, seconds: float, strict: bool = False) -> None:
        super().__init__(client, client.transport)
        self._budget = Budget(seconds)
        self._steps = ScheduleSteps(client, self._budget, fits(client) if strict else None)
        self._aside = aside

    async def _next_call(self, steps: Generator[Call[Any], Any, T], reply: Any) -> tuple[Call[Any] | None, Any]:
        return await self._aside.planned(self._budget.spend, next_call, steps, reply)
