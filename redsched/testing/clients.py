"""redsched's own clients on a test's store: every call is made at the time of the test's clock.

They differ from ``Client`` and ``AsyncClient`` in nothing else, so what a test shows of them holds in production.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redsched.client import AsyncClient, Client
from redsched.client.aio.schedules import AsyncSchedules
from redsched.client.aio.transport import AsyncTransport
from redsched.client.sync.schedules import Schedules
from redsched.client.sync.transport import Transport
from redsched.settings import Settings
from redsched.steps.exchange import Command
from redsched.testing.clock import VirtualClock, at_time
from redsched.testing.store import Store
from redsched.wire.call import Call
from redsched.wire.redis_errors import only_reads

T = TypeVar("T")
TIME: Command = ("TIME",)


class ClockedAsyncTransport(AsyncTransport):
    """``wrote`` is awaited after each call that may have changed something."""

    def __init__(self, settings: Settings, given: Any, clock: VirtualClock, wrote: Callable[[], Awaitable[None]]):
        super().__init__(settings, "testing", given)
        self._clock = clock
        self._wrote = wrote

    async def send(self, call: Call[T], *, retry_for: float | None = None) -> T:
        """As the transport of ``AsyncClient``, at the clock's time."""
        answer = await super().send(at_time(call, self._clock.now_ms), retry_for=retry_for)
        if not only_reads(call.verb):
            await self._wrote()
        return answer

    async def _trips(self, commands: Sequence[Command], timeout: float | None = None) -> list[Any]:
        return [_time(self._clock)] if tuple(commands) == (TIME,) else await super()._trips(commands, timeout)


class ClockedTransport(Transport):
    """The same for threads."""

    def __init__(self, settings: Settings, given: Any, clock: VirtualClock, wrote: Callable[[], None]):
        super().__init__(settings, "testing", given)
        self._clock = clock
        self._wrote = wrote

    def send(self, call: Call[T], *, retry_for: float | None = None) -> T:
        """As the transport of ``Client``, at the clock's time."""
        answer = super().send(at_time(call, self._clock.now_ms), retry_for=retry_for)
        if not only_reads(call.verb):
            self._wrote()
        return answer

    def _trips(self, commands: Sequence[Command], timeout: float | None = None) -> list[Any]:
        return [_time(self._clock)] if tuple(commands) == (TIME,) else super()._trips(commands, timeout)


def _time(clock: VirtualClock) -> list[bytes]:
    """What Redis would answer to TIME."""
    return [b"%d" % (clock.now_ms // 1_000), b"%d" % (clock.now_ms % 1_000 * 1_000)]


async def nothing_async() -> None:
    """What is done after a write where tasks run only when the clock moves."""


def nothing() -> None:
    """The same for threads."""


_NO_WAIT = (
    "wait: in a test tasks run one at a time, where the test lets time pass; so only the test itself can wait for one, "
    "with its TestClient or AsyncTestClient, and no handler can"
)


def no_wait() -> RuntimeError:
    """The error of a wait that nothing could end."""
    return RuntimeError(_NO_WAIT)


class ClockedAsyncClient(AsyncClient):
    """An ``AsyncClient`` on a test's store and clock."""

    def __init__(self, store: Store, clock: VirtualClock, wrote: Callable[[], Awaitable[None]] = nothing_async) -> None:
        given = store.async_connection()
        super().__init__(settings=store.settings, redis=given)
        self.transport: AsyncTransport = ClockedAsyncTransport(self.settings, given, clock, wrote)
        self.schedules = AsyncSchedules(self, self.transport)
        self.clock = clock

    def _clock_ms(self) -> int:
        return self.clock.now_ms

    async def _pause(self, seconds: float, left: int) -> None:
        raise no_wait()


class ClockedClient(Client):
    """A ``Client`` on a test's store and clock."""

    def __init__(self, store: Store, clock: VirtualClock, wrote: Callable[[], None] = nothing) -> None:
        given = store.connection()
        super().__init__(settings=store.settings, redis=given)
        self.transport: Transport = ClockedTransport(self.settings, given, clock, wrote)
        self.schedules = Schedules(self, self.transport)
        self.clock = clock

    def _clock_ms(self) -> int:
        return self.clock.now_ms

    def _pause(self, seconds: float, left: int) -> None:
        raise no_wait()
