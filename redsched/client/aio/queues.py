"""The verbs of a client about whole queues: which there are, their figures, limits and pauses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Unpack

from redsched.client.aio.transport import AsyncTransport
from redsched.client.requests import Verbs, id_list
from redsched.model.task_types import GivenDefaults, QueueDefaults
from redsched.model.views import Paused, QueueStats
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.steps import queues as queue_steps
from redsched.wire import protocol
from redsched.wire.queues import ALL, Limits, stop_word


class AsyncQueues(Verbs):
    """A part of ``AsyncClient``."""

    transport: AsyncTransport

    async def queues(self) -> list[str]:
        """The names of all queues seen, sorted."""
        return await self.transport.steps("queues", queue_steps.queues(self._cell_keys))

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        """Depths, ages and totals of queues."""
        return [stats for call in self._stats(queues) for stats in await self.transport.send(call)]

    async def limit(self, queue: str = "default", **caps: int | str | None) -> Limits:
        """Set how many finished and dead tasks a queue keeps, by ``most_finished`` and ``most_dead``: a number,
        ``"none"``, or None for the default. Answers what holds now; without any it changes nothing."""
        return await self.transport.send(protocol.limit(self._keys(queue), caps))

    async def defaults(self, queue: str = "default", **fields: Unpack[GivenDefaults]) -> QueueDefaults:
        """Set what a queue gives to tasks that do not say it themselves, where their type does not either; None takes a
        default back. Answers what holds now; without any field it changes nothing. Tasks that are there stay as they
        are."""
        return await self.transport.send(protocol.defaults(self._keys(queue), fields))

    async def pause(
        self,
        queue: str = "default",
        *,
        type: str | None = None,
        key: str | None = None,
        reason: str = "",
        until: datetime | int | str | None = None,
        force: bool = False,
    ) -> None:
        """Start no more tasks of a queue, or of a type or a key of it, until it is resumed or until then. What runs
        goes on; start-by and quarantine too. ``force``: also a queue that nobody has seen, whose name may be misspelt.

        Raises:
            QueueNotFound: nobody has seen the queue; nothing changed.
        """
        what = stop_word(type_=type, key=key)
        call = protocol.pause(self._keys(queue), what, reason=reason, until=until, only_known=not force)
        await self.transport.send(call)

    async def pause_all(self, *, reason: str, until: datetime | int | str | None = None) -> None:
        """Start no more tasks of any queue, also of one that is not known yet, until ``resume_all`` or until then. What
        runs goes on; start-by and quarantine too. Schedules go on to make tasks, which wait.

        Raises:
            InvalidTask: the reason is empty; nothing changed.
        """
        await self.transport.send(protocol.pause(self._keys(DEFAULT_QUEUE), ALL, reason=reason, until=until))

    async def resume_all(self) -> bool:
        """Go on after ``pause_all``; False where not everything was paused. What was paused by itself stays paused."""
        return await self.transport.send(protocol.resume(self._keys(DEFAULT_QUEUE), ALL))

    async def resume(self, queue: str = "default", *, type: str | None = None, key: str | None = None) -> bool:
        """Go on with what was paused; False where it was not."""
        return await self.transport.send(protocol.resume(self._keys(queue), stop_word(type_=type, key=key)))

    async def paused(self, queues: str | Sequence[str] = "default") -> list[Paused]:
        """What is paused in 1..100 queues; where everything is, each of them says so (``all``)."""
        return await self.transport.converse(queue_steps.all_paused([self._keys(queue) for queue in id_list(queues)]))
