"""A workflow as a whole: all tasks that one is tied to by ``after``, in both directions. Conversations without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from redsched.model.errors import InvalidTask, TaskNotFound
from redsched.model.workflows import WorkflowCancelled
from redsched.steps.batches import A_CALL
from redsched.steps.conversation import Conversation
from redsched.wire import protocol
from redsched.wire.cells import Cell
from redsched.wire.keys import queue_keys

Place = tuple[str, str]  # queue, id
MOST_TOGETHER = 100_000  # tasks of one workflow


def cancel(cell: Cell, queue: str, task_id: str, reason: str) -> Conversation[WorkflowCancelled]:
    """Cancel all of them, those that come after others first, so that the end of one starts none.

    Raises:
        TaskNotFound: there is no such task; nothing changed.
        InvalidTask: there are too many; nothing changed.
    """
    order = yield from _latest_first(cell, (queue, task_id))
    counts = dict.fromkeys(("cancelled", "requested", "ended"), 0)
    for some in _batches(order):
        keys = queue_keys(cell, some[0][0])
        answers = yield protocol.cancel(keys, [one for _, one in some], reason=reason)
        for word in answers.values():
            counts[word if word in counts else "ended"] += 1
    return WorkflowCancelled(**counts)


def _latest_first(cell: Cell, first: Place) -> Conversation[list[Place]]:
    """Every task of the workflow, each before those that it comes after."""
    queue, task_id = first
    if (yield protocol.show(queue_keys(cell, queue), [task_id]))[task_id] is None:
        raise TaskNotFound(task_id, queue)
    parents: dict[Place, list[Place]] = {first: []}
    left: dict[Place, int] = {first: 0}  # how many children of it are still to come
    pending = [first]
    for place in pending:  # which grows
        for which in ("parents", "children"):
            for other in (yield from _related(cell, place, which)):
                if other not in parents:
                    parents[other], left[other] = [], 0
                    pending.append(other)
                    if len(pending) > MOST_TOGETHER:
                        raise InvalidTask("id", f"is of a workflow of more than {MOST_TOGETHER} tasks")
                if which == "parents":
                    parents[place].append(other)
                    left[other] += 1
    order = [place for place in pending if not left[place]]
    for place in order:  # which grows
        for parent in parents[place]:
            left[parent] -= 1
            if not left[parent]:
                order.append(parent)
    return order + [place for place in pending if left[place] > 0]  # in a circle, which only raw writes can make


def _related(cell: Cell, place: Place, which: str) -> Conversation[list[Place]]:
    found: dict[Place, None] = {}
    cursor: str | None = None
    while True:
        page = yield protocol.kin(queue_keys(cell, place[0]), place[1], which, cursor=cursor, limit=1_000)
        found |= dict.fromkeys((one.queue, one.id) for one in page.items if one.state != "gone")
        cursor = page.next_cursor
        if cursor is None:
            return list(found)


def _batches(order: Sequence[Place]) -> list[list[Place]]:
    """The same in the same order, in parts that one call can take: of one queue, and not many."""
    found: list[list[Place]] = []
    for place in order:
        if not found or found[-1][-1][0] != place[0] or len(found[-1]) == A_CALL["cancel"]:
            found.append([])
        found[-1].append(place)
    return found
