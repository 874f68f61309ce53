"""The verbs of a client about tasks that come after others."""

from __future__ import annotations

from collections.abc import Sequence

from redsched.client.aio.places import AsyncPlaces
from redsched.client.aio.task_types import AsyncTypes
from redsched.client.aio.transport import AsyncTransport
from redsched.model.condition import Ended, Otherwise
from redsched.model.enqueued import Enqueued
from redsched.model.errors import TaskNotFound
from redsched.model.task import Task
from redsched.model.workflows import Branch, Kin, WorkflowCancelled
from redsched.steps import family, workflows


class AsyncWorkflows(AsyncTypes, AsyncPlaces):
    """A part of ``AsyncClient``."""

    transport: AsyncTransport

    async def chain(self, tasks: Sequence[Task], *, otherwise: Otherwise = "cancel") -> list[Enqueued]:
        """Create tasks each of which runs when the one before it has completed; up to 1000 in one atomic call.

        ``otherwise``: what becomes of the rest when one fails, or is not made because another task has its unique key:
        ``cancel``, ``skip``, ``run`` or ``wait``.

        Raises:
            WorkflowIncomplete: some of them were not made.
            As ``enqueue``.
        """
        placed = await self.placed(tasks)
        return await self.transport.converse(workflows.chain(self.cell, self.enqueuing, placed, otherwise))

    async def group(
        self, tasks: Sequence[Task], then: Task, *, on: Ended = "success", otherwise: Otherwise = "cancel"
    ) -> list[Enqueued]:
        """Create tasks that run side by side and one, ``then``, that runs when all of them have ended; its answer is
        the last. More than 500 take several calls: ``then`` is held meanwhile. It expires where they break off, and is
        cancelled where one of them is not made.

        Raises:
            WorkflowIncomplete: some of them were not made.
            As ``enqueue``.
        """
        *placed, last = await self.placed([*tasks, then])
        steps = workflows.group(self.cell, self.enqueuing, placed, last, on, otherwise)
        return await self.transport.converse(steps)

    async def cancel_workflow(self, id: str, *, queue: str | None = None, reason: str = "") -> WorkflowCancelled:
        """Cancel a whole workflow, named by any of its tasks: all that come before and after it, and so on.

        Those that come after others are cancelled first, so that none of them starts. A task that runs is asked to
        stop. A task that joins the workflow meanwhile may be left: repeat the call then. ``queue``: of the task that is
        named, as in ``cancel``.

        Raises:
            TaskNotFound: nothing is known of the task; nothing changed.
        """
        place = await self._place(id, queue, "cancel")
        try:
            return await self.transport.converse(family.cancel(self.cell, place.queue, id, reason))
        except TaskNotFound:
            raise place.not_found(id, reads=False) from None

    async def parents(self, id: str, *, queue: str | None = None, stored: bool = False) -> list[Kin]:
        """The tasks that one comes after, with their results; ``stored``: as they are stored, ``msgspec.Raw``.
        ``queue``: as in ``cancel``."""
        place = await self._place(id, queue, "kin")
        return await self.transport.converse(workflows.kin(self.cell, place.queue, id, "parents", stored=stored))

    async def tree(self, id: str, *, queue: str | None = None, limit: int = 200) -> Branch:
        """A task and those that come after it, at most 1..1000; raises TaskNotFound. ``queue``: as in ``cancel``."""
        place = await self._place(id, queue, "kin")
        try:
            return await self.transport.converse(workflows.tree(self.cell, place.queue, id, limit))
        except TaskNotFound:
            raise place.not_found(id) from None
