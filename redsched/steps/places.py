"""In which queues tasks are, by their ids alone. A conversation of calls, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from redsched.model.errors import TaskInSeveralQueues, TaskNotFound
from redsched.model.search import Found
from redsched.model.vocabulary import DEFAULT_QUEUE, moved_to
from redsched.steps.conversation import Conversation
from redsched.wire.keys import CellKeys
from redsched.wire.search import find_ids

A_TRIP = 100  # ids of which one round trip asks


class Place(msgspec.Struct, frozen=True):
    """The queue of a task: the one that was named or in which it was found, or else ``default``. ``removed``: by queue,
    when a task of this id was removed there."""

    queue: str = DEFAULT_QUEUE
    is_named: bool = False
    is_found: bool = False
    removed: dict[str, datetime] = {}

    def not_found(self, task_id: str, *, reads: bool = True, waits: bool = False) -> TaskNotFound:
        """The error where it is not there; ``waits``: for somebody who waits for it."""
        queue = self.queue if self.is_named else None
        return TaskNotFound(task_id, queue, reads=reads, removed=self.removed, waits=waits)


def places(cell: CellKeys, ids: Sequence[str]) -> Conversation[dict[str, Place]]:
    """The place of each task.

    Raises:
        TaskInSeveralQueues: an id that more than one queue has. What a move left behind does not count.
    """
    found: dict[str, Place] = {}
    for at in range(0, len(ids), A_TRIP):
        pages: dict[str, list[Found]] = {}
        cursors = dict.fromkeys(ids[at : at + A_TRIP], "")
        while cursors:
            cuts = yield find_ids(cell, cursors)
            for task_id, cut in zip(cursors, cuts, strict=True):
                pages.setdefault(task_id, []).append(cut.found)
            cursors = {task_id: cut.cursor for task_id, cut in zip(cursors, cuts, strict=True) if cut.cursor}
        found |= {task_id: _place(task_id, some) for task_id, some in pages.items()}
    return found


def _place(task_id: str, pages: Sequence[Found]) -> Place:
    tasks = {task.queue: task for page in pages for task in page.items}
    real = (
        sorted(queue for queue, task in tasks.items() if moved_to(task.state, task.reason) is None) or sorted(tasks)[:1]
    )
    if len(real) > 1:
        raise TaskInSeveralQueues(task_id, real)
    if real:
        return Place(real[0], is_found=True)
    return Place(removed={queue: at for page in pages for queue, at in page.forgotten.items()})
