"""Work that may take long is done beside the event loop, so that nobody else waits for it.

Large bodies are decoded by one thread, in pieces. The next runs of schedules are computed by one thread more,
within a time: one that takes longer is broken off. Of each only one, for threads that compute take the interpreter from
the event loop.
"""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from redsched.client import AsyncClient
from redsched.schedules import AsyncSchedules
from redsched.talking import step
from redsched.web import bodies
from redsched.web.problems import Problem
from redsched.wire.protocol import Call

HEAVY = 65_536  # bytes of a body that is decoded on the loop
PLANNERS = 1  # threads that compute next runs
TURN_S = 10.0  # how long a request may wait for one of them
PLAN_S = 1.0  # for the next runs that one request asks for
APPLY_S = 20.0  # and for those of all schedules that one request puts
EXTRA_S = 0.05  # after which the next one is broken off, once the time is over
SLOW = "the next runs take too long to compute"

T = TypeVar("T")


class TooSlow(Exception):
    """Raised in a planning thread whose time is over."""

    def __str__(self) -> str:
        return SLOW


class Aside:
    """The threads of one API process. Used from its event loop."""

    def __init__(self) -> None:
        self._reader = ThreadPoolExecutor(1, "decode")
        self._planners = asyncio.Semaphore(PLANNERS)

    def close(self) -> None:
        """Wait for nothing."""
        self._reader.shutdown(wait=False, cancel_futures=True)

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
            call, found = await self.run(size, step, steps, reply)
            if call is None:
                return found  # type: ignore[no-any-return]
            reply = await client.transport.send(call)

    async def planned(self, work: Callable[[], T], seconds: float) -> T:
        """What ``work`` returns; when the time is over TooSlow is raised in it, again and again until it ends.

        Raises:
            Problem: busy or too_slow.
        """
        try:
            async with asyncio.timeout(TURN_S):
                await self._planners.acquire()
        except TimeoutError:
            raise Problem("busy", "others' next runs are being computed", headers={"retry-after": "1"}) from None
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        thread = _Thread()
        # not threading.Thread, whose start would wait here until the interpreter is free
        thread.ident = _thread.start_new_thread(_carry_out, (work, done, thread))
        watch = asyncio.ensure_future(self._watch(thread, done, seconds))
        watch.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(watch)  # which goes on though nobody waits any more

    async def _watch(self, thread: _Thread, done: asyncio.Future[T], seconds: float) -> T:
        try:
            await asyncio.wait([done], timeout=max(seconds, EXTRA_S))
            while not (done.done() or thread.ended):
                _break_off(thread)
                await asyncio.wait([done], timeout=EXTRA_S)
            with suppress(TooSlow):
                if done.done():
                    return done.result()
        finally:
            self._planners.release()
        raise Problem("too_slow", f"{SLOW}; nothing was done")


class _Thread:
    ident = 0
    ended = False


def _carry_out(work: Callable[[], T], done: asyncio.Future[T], thread: _Thread) -> None:
    try:
        with suppress(TooSlow):
            _tell(work, done)
    finally:
        thread.ended = True


def _tell(work: Callable[[], T], done: asyncio.Future[T]) -> None:
    try:
        found, raised = [work()], None
    except BaseException as error:
        found, raised = [], error

    def tell() -> None:
        if raised is not None:
            done.set_exception(raised)
        else:
            done.set_result(found[0])

    with suppress(RuntimeError):  # the loop has ended
        done.get_loop().call_soon_threadsafe(tell)


def _break_off(thread: _Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TooSlow))


class PlannedSchedules(AsyncSchedules):
    """``client.schedules`` for the API: what it computes is computed aside, within a time.

    A schedule of a list whose next runs take too long is shown without them, and says so.
    """

    def __init__(self, client: AsyncClient, aside: Aside) -> None:
        super().__init__(client, client.transport)
        self._sender = client.transport
        self._aside = aside

    async def _run(self, steps: Generator[Call[Any], Any, T]) -> T:
        left = APPLY_S if getattr(steps, "__name__", "") == "apply" else PLAN_S
        reply: Any = None
        while True:
            given, began = reply, time.monotonic()
            call, found = await self._aside.planned(lambda given=given: step(steps, given), left)  # type: ignore[misc]
            left = max(0.0, left - (time.monotonic() - began))
            if call is None:
                return found  # type: ignore[no-any-return]
            reply = await self._sender.send(call)
