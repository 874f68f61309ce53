"""The client for one event loop: the same verbs as ``Client``, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from redsched.client.async_transport import AsyncTransport
from redsched.client.client import found_in
from redsched.client.events import AsyncEventVerbs
from redsched.client.requests import id_list, single
from redsched.client.schedules import AsyncSchedules
from redsched.model.enqueued import Enqueued
from redsched.model.task import Changes, Options, Task, TaskView
from redsched.model.views import Page, QueueStats
from redsched.settings import Settings
from redsched.steps import batches
from redsched.steps import install as installing
from redsched.steps import queues as queue_steps
from redsched.steps.bulk import MAX_BULK, Bulk, Filter, bulk, clock
from redsched.steps.install import Installed, ServerInfo
from redsched.wire import dead_letters, doctor, protocol
from redsched.wire.dead_letters import QuarantinePage
from redsched.wire.queues import Limits


class AsyncClient(AsyncEventVerbs):
    """Client for asyncio; the same methods as coroutines. One event loop; close it, or use it in an ``async with``
    block."""

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        namespace: str | None = None,
        settings: Settings | None = None,
        name: str = "client",
        redis: Any = None,
    ) -> None:
        super().__init__(redis_url, namespace, settings)
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

    async def enqueue(
        self, type: str, payload: Any = None, *, durability: str | None = None, **options: Unpack[Options]
    ) -> Enqueued:
        """As ``Client.enqueue``."""
        return single(await self.enqueue_many([self._task(type, payload, options)], durability=durability))

    async def enqueue_many(self, tasks: Sequence[Task], *, durability: str | None = None) -> builtins.list[Enqueued]:
        """As ``Client.enqueue_many``."""
        return await self.transport.send(self._enqueue(tasks, durability))

    async def cancel(self, ids: str | Sequence[str], *, queue: str = "default", reason: str = "") -> dict[str, str]:
        """As ``Client.cancel``."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: protocol.cancel(keys, some, reason=reason))
        return await self.transport.converse(steps)

    async def reschedule(
        self, ids: str | Sequence[str], *, queue: str = "default", due: Any = None, delay: Any = None
    ) -> dict[str, str]:
        """As ``Client.reschedule``."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: protocol.reschedule(keys, some, due=due, delay=delay))
        return await self.transport.converse(steps)

    async def update(
        self, ids: str | Sequence[str], *, queue: str = "default", **fields: Unpack[Changes]
    ) -> dict[str, str]:
        """As ``Client.update``."""
        steps = batches.in_parts(id_list(ids), lambda some: self._update(queue, some, fields))
        return await self.transport.converse(steps)

    async def revive(
        self, ids: str | Sequence[str], *, queue: str = "default", due: Any = None, delay: Any = None
    ) -> dict[str, str]:
        """As ``Client.revive``."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: protocol.revive(keys, some, due=due, delay=delay))
        return await self.transport.converse(steps)

    async def drop(self, ids: str | Sequence[str], *, queue: str = "default") -> dict[str, str]:
        """As ``Client.drop``."""
        keys = self._keys(queue)
        return await self.transport.converse(batches.in_parts(id_list(ids), lambda some: dead_letters.drop(keys, some)))

    async def bulk(
        self,
        action: str,
        *,
        queue: str = "default",
        where: Filter | None = None,
        dry_run: bool = False,
        most: int = MAX_BULK,
    ) -> Bulk:
        """As ``Client.bulk``."""
        now_ms = await self.transport.steps("bulk", clock())
        steps = bulk(self._keys(queue), action, where or Filter(), now_ms=now_ms, dry_run=dry_run, most=most)
        return await self.transport.converse(steps)

    async def quarantined(
        self, queue: str = "default", *, limit: int = 50, cursor: str | None = None
    ) -> QuarantinePage:
        """As ``Client.quarantined``."""
        return await self.transport.send(dead_letters.quarantined(self._keys(queue), limit=limit, cursor=cursor))

    async def requeue(
        self, ids: str | Sequence[str], *, queue: str = "default", due: Any = None, delay: Any = None
    ) -> dict[str, str]:
        """As ``Client.requeue``."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: dead_letters.requeue(keys, some, due=due, delay=delay))
        return await self.transport.converse(steps)

    async def drop_quarantined(self, members: Sequence[bytes], *, queue: str = "default") -> int:
        """As ``Client.drop_quarantined``."""
        return await self.transport.send(dead_letters.drop_quarantined(self._keys(queue), members))

    async def limit(self, queue: str = "default", **caps: int | str | None) -> Limits:
        """As ``Client.limit``."""
        return await self.transport.send(protocol.limit(self._keys(queue), caps))

    async def show(
        self, ids: str | Sequence[str], *, queue: str = "default", stored: bool = False
    ) -> dict[str, TaskView | None]:
        """As ``Client.show``."""
        return await self.transport.converse(batches.show(self._keys(queue), id_list(ids), stored=stored))

    async def task(self, id: str, *, queue: str = "default", stored: bool = False) -> TaskView:
        """As ``Client.task``."""
        return found_in(await self.show(id, queue=queue, stored=stored), id, queue)

    async def list(
        self,
        queue: str = "default",
        *,
        state: str = "scheduled",
        type: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """As ``Client.list``."""
        return await self.transport.send(
            protocol.list_tasks(self._keys(queue), state=state, type_=type, limit=limit, cursor=cursor)
        )

    async def queues(self) -> builtins.list[str]:
        """As ``Client.queues``."""
        return await self.transport.steps("queues", queue_steps.queues(self._cell_keys))

    async def stats(self, queues: Sequence[str]) -> builtins.list[QueueStats]:
        """As ``Client.stats``."""
        return [stats for call in self._stats(queues) for stats in await self.transport.send(call)]

    async def inspect(
        self, queue: str, what: str, *, cursor: bytes = b"", names: Sequence[bytes] = ()
    ) -> doctor.Inspected:
        """As ``Client.inspect``."""
        return await self.transport.send(doctor.inspect(self._keys(queue), what, cursor=cursor, names=names))

    async def repair(self, queue: str, faults: Sequence[tuple[str, bytes]]) -> builtins.list[str]:
        """As ``Client.repair``."""
        return await self.transport.send(doctor.repair(self._keys(queue), faults))

    async def ping(self) -> ServerInfo:
        """As ``Client.ping``."""
        return await self.transport.steps("ping", installing.ping(self.transport.mode))

    async def install(self) -> Installed:
        """As ``Client.install``."""
        return await self.transport.steps("install", installing.install(self.transport.mode, self._cell_keys))
