"""What a client knows of a task that it waits for: its queue, and what was seen of it last. No I/O."""

from __future__ import annotations

from typing import Any

from redsched.model.errors import TaskNotCompleted, TaskNotEnded, TaskRemoved
from redsched.model.task import TaskView
from redsched.model.vocabulary import FINISHED, moved_to
from redsched.steps.places import Place
from redsched.wire.codec import is_name

MOST_MOVES = 20  # from queue to queue within one look: notes that somebody wrote may lead in a circle


class Wanted:
    """A task, in the queue where it is looked for now."""

    def __init__(self, id: str, place: Place) -> None:
        self.id = id
        self._place = place
        self._seen: TaskView | None = None

    @property
    def queue(self) -> str:
        """Where it is to be looked for."""
        return self._place.queue

    def is_elsewhere(self, view: TaskView | None) -> bool:
        """Take what was seen; whether that is the note of a task that was moved, so that ``queue`` is another now.

        Raises:
            TaskRemoved: it is gone, and was seen before.
            TaskNotFound: it is not there, and was not seen before.
        """
        if view is None:
            if self._seen is None:
                raise self._place.not_found(self.id, waits=True)
            raise TaskRemoved(self.id, self.queue, has_retention=self._seen.retention_ms != 0)
        self._seen = view
        other = moved_to(view.state, view.reason)
        if other is None or not is_name(other):
            return False
        self._place = Place(other, is_named=True)
        return True

    def result(self) -> Any:
        """What it returned, as it was seen last.

        Raises:
            TaskNotCompleted: it ended in another way.
            TaskNotEnded: it has not ended.
        """
        view = self._seen
        assert view is not None
        if view.state == "completed":
            return view.result
        if view.state in FINISHED or view.state in ("dead", "quarantined"):
            raise TaskNotCompleted(view.id, view.queue, view.state, view.reason, view.error)
        raise TaskNotEnded(view.id, view.queue, view.state)
