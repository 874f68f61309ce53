"""A task as one line of a file has it: JSON, where durations may be milliseconds."""

from __future__ import annotations

import msgspec

from redsched.model.task import Task
from redsched.model.template import TaskTemplate


class Line(TaskTemplate, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One task: the fields of a template, with an id and a due time where they are wanted."""

    payload: msgspec.Raw = None  # type: ignore[assignment]
    id: str | None = None
    due: int | str | None = None

    def to_task(self) -> Task:
        """The task; raises ValueError for a retry policy that is none."""
        return self.task(id=self.id, due=self.due)
