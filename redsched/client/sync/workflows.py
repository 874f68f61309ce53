# Made by tools/unasync.py from redsched/client/aio/workflows.py: change that, then `make sync-client`.
"""The verbs of a client about tasks that come after others."""

from __future__ import annotations

from collections.abc import Sequence

from redsched.client.sync.places import Places
from redsched.client.sync.task_types import Types
from redsched.client.sync.transport import Transport
from redsched.model.condition import Ended, Otherwise
from redsched.model.enqueued import Enqueued
from redsched.model.errors import TaskNotFound
from redsched.model.task import Task
from redsched.model.workflows import Branch, Kin, WorkflowCancelled
from redsched.steps import family, workflows


class Workflows(Types, Places):
    """A part of ``Client``."""

    transport: Transport

    def chain(self, tasks: Sequence[Task], *, otherwise: Otherwise = "cancel") -> list[Enqueued]:
        """Create tasks each of which runs when the one before it has completed; up to 1000 in one atomic call.

        ``otherwise``: what becomes of the rest when one fails, or is not made because another task has its unique key:
        ``cancel``, ``skip``, ``run`` or ``wait``.

        Raises:
            WorkflowIncomplete: some of them were not made.
            As ``enqueue``.
        """
        placed = self.placed(tasks)
        return self.transport.converse(workflows.chain(self.cell, self.enqueuing, placed, otherwise))

    def group(
        self, tasks: Sequence[Task], then: Task, *, on: Ended = "success", otherwise: Otherwise = "cancel"
    ) -> list[Enqueued]:
        """Create tasks that run side by side and one, ``then``, that runs when all of them have ended; its answer is
        the last. More than 500 take several calls: ``then`` is held meanwhile. It expires where they break off, and is
        cancelled where one of them is not made.

        Raises:
            WorkflowIncomplete: some of them were not made.
            As ``enqueue``.
        """
        *placed, last = self.placed([*tasks, then])
        steps = workflows.group(self.cell, self.enqueuing, placed, last, on, otherwise)
        return self.transport.converse(steps)

    def cancel_workflow(self, id: str, *, queue: str | None = None, reason: str = "") -> WorkflowCancelled:
        """Cancel a whole workflow, named by any of its tasks: all that come before and after it, and so on.

        Those that come after others are cancelled first, so that none of them starts. A task that runs is asked to
        stop. A task that joins the workflow meanwhile may be left: repeat the call then. ``queue``: of the task that is
        named, as in ``cancel``.

        Raises:
            TaskNotFound: nothing is known of the task; nothing changed.
        """
        place = self._place(id, queue, "cancel")
        try:
            return self.transport.converse(family.cancel(self.cell, place.queue, id, reason))
        except TaskNotFound:
            raise place.not_found(id, reads=False) from None

    def parents(self, id: str, *, queue: str | None = None, stored: bool = False) -> list[Kin]:
        """The tasks that one comes after, with their results; ``stored``: as they are stored, ``msgspec.Raw``.
        ``queue``: as in ``cancel``."""
        place = self._place(id, queue, "kin")
        return self.transport.converse(workflows.kin(self.cell, place.queue, id, "parents", stored=stored))

    def tree(self, id: str, *, queue: str | None = None, limit: int = 200) -> Branch:
        """A task and those that come after it, at most 1..1000; raises TaskNotFound. ``queue``: as in ``cancel``."""
        place = self._place(id, queue, "kin")
        try:
            return self.transport.converse(workflows.tree(self.cell, place.queue, id, limit))
        except TaskNotFound:
            raise place.not_found(id) from None
