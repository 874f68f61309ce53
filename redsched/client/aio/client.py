"""The client for one event loop: its connections, and the verbs of its parts in one place."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from redsched.client.aio.dead_letters import AsyncDeadLetters
from redsched.client.aio.events import AsyncEvents
from redsched.client.aio.holds import AsyncHolds
from redsched.client.aio.queues import AsyncQueues
from redsched.client.aio.schedules import AsyncSchedules
from redsched.client.aio.search import AsyncFinding
from redsched.client.aio.streaming import AsyncStreaming
from redsched.client.aio.tasks import AsyncTasks
from redsched.client.aio.transport import AsyncTransport
from redsched.client.aio.workflows import AsyncWorkflows
from redsched.client.requests import Duration, id_list, window_of
from redsched.model.errors import QueueNotFound
from redsched.model.timeline import Timeline
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.settings import Settings
from redsched.steps import install as installing
from redsched.steps import timeline as timelines
from redsched.steps.exchange import Mode
from redsched.steps.install import Installed, ServerInfo
from redsched.steps.queues import paused_of
from redsched.wire import doctor

T = TypeVar("T")


class AsyncClient(
    AsyncTasks, AsyncStreaming, AsyncFinding, AsyncDeadLetters, AsyncHolds, AsyncEvents, AsyncWorkflows, AsyncQueues
):
    """Submits and inspects tasks. For one event loop; close it, or let ``async with`` do it.

    ``redis_url`` and ``namespace`` override the settings; without settings the environment is read.
    ``redis`` takes a ``redis.asyncio.Redis`` made elsewhere (RESP2, no decoding) in place of a URL. ``strict``: a task,
    or a schedule or a rule with a task, whose type no worker has put or whose payload does not fit it is refused before
    anything is written; that needs ``redsched[strict]``.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        namespace: str | None = None,
        settings: Settings | None = None,
        name: str = "client",
        redis: Any = None,
        strict: bool = False,
    ) -> None:
        super().__init__(redis_url, namespace, settings, strict)
        self.transport = AsyncTransport(self.settings, name, redis)
        self.schedules = AsyncSchedules(self, self.transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.transport.close()

    async def converse(self, verb: str, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of plain commands, as those of ``steps.doctor``; its commands are sent once."""
        return await self.transport.steps(verb, steps)

    @property
    def mode(self) -> Mode:
        """How verbs are called on this server, as far as that is known."""
        return self.transport.mode

    async def ping(self) -> ServerInfo:
        """What the server is; raises StoreError at once where it cannot be reached."""
        return await self.transport.steps("ping", installing.ping(self.transport.mode))

    async def install(self) -> Installed:
        """Load the Lua, write the namespace's meta hash, and raise the listpack setting where that is allowed."""
        return await self.transport.steps("install", installing.install(self.transport.mode, self._cell_keys))

    async def timeline(
        self,
        queues: str | Sequence[str] | None = None,
        *,
        past: Duration = "1h",
        ahead: Duration = "1h",
        step: Duration = "5m",
        types: bool = False,
    ) -> Timeline:
        """What queues (None: all) did in the past, up to an hour, and what is due ``ahead``, in steps of whole minutes:
        tasks by their due times, and the runs that schedules will make. ``types``: with an estimate by type.

        Tasks that are held do not count, for nobody can tell when they run. ``paused`` names what is paused.

        Raises:
            InvalidTask: a duration cannot be used, or there are more than 1000 steps.
            QueueNotFound: nobody has seen a queue that is named, and no schedule makes tasks of it in that time.
        """
        window = window_of(past, ahead, step)
        names = await self.queues() if queues is None else id_list(queues)
        now, first, told = await self.transport.converse(timelines.told([self._keys(n) for n in names], window, types))
        upcoming = await self.schedules.upcoming(now + window.ahead)
        if queues is not None and (unseen := timelines.unseen(told, upcoming)):
            known = await self.queues()
            for name in unseen:
                if name not in known:
                    raise QueueNotFound(name, reads=True)
        # of default where there is no queue yet: it tells whether everything is paused
        stops = await self.transport.converse(paused_of([self._keys(n) for n in names or (DEFAULT_QUEUE,)]))
        return timelines.timeline_of(now, first, told, window, upcoming, types, stops, others=queues is None)

    async def inspect(
        self, queue: str, what: str, *, cursor: bytes = b"", names: Sequence[bytes] = ()
    ) -> doctor.Inspected:
        """Which of a page of tasks, entries or keys break a rule (lua/inspect.lua)."""
        return await self.transport.send(doctor.inspect(self._keys(queue), what, cursor=cursor, names=names))

    async def repair(self, queue: str, faults: Sequence[tuple[str, bytes]]) -> list[str]:
        """Mend up to 500 things that ``inspect`` found broken; each is judged again (lua/repair.lua)."""
        return await self.transport.send(doctor.repair(self._keys(queue), faults))
