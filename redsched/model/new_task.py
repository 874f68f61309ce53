"""A task from options that anybody may have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from redsched.model.errors import InvalidTask
from redsched.model.task import Task


def new_task(type: str, payload: Any, options: Mapping[str, Any]) -> Task:
    """The task; raises InvalidTask where an option is no field of ``Task``."""
    try:
        return Task(type=type, payload=payload, **options)
    except TypeError:
        known = {field.name for field in msgspec.structs.fields(Task)}
        unknown = ", ".join(sorted(options.keys() - known))
        raise InvalidTask(unknown or "task", "is no field of a task", code="unknown_field") from None
