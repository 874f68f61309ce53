"""redsched runs tasks at the right time on Redis.

The public names; each is loaded when it is first used, so that importing one does not pay for the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redsched.client import AsyncClient, Client
    from redsched.engine.app import App, TaskType
    from redsched.engine.context import Context
    from redsched.engine.mover import Mover
    from redsched.engine.worker import Worker
    from redsched.model.condition import (
        After,
        Again,
        Conditions,
        Digest,
        Fact,
        Hold,
        Unique,
        WaitFor,
        all_of,
        any_of,
        fact,
    )
    from redsched.model.enqueued import Enqueued
    from redsched.model.errors import (
        InvalidSchedule,
        InvalidSetting,
        InvalidState,
        InvalidTask,
        LeaseLost,
        NotDurable,
        OutcomeUnknown,
        RedschedError,
        ScheduleNotFound,
        StoreBroken,
        StoreDenied,
        StoreError,
        StoreFull,
        StoreReadOnly,
        StoreRefused,
        StoreUnavailable,
        TaskConflict,
        TaskNotCompleted,
        TaskNotEnded,
        TaskNotFound,
        WorkflowIncomplete,
    )
    from redsched.model.events import Rule
    from redsched.model.outcome import (
        Cancelled,
        Completed,
        Dead,
        Reject,
        Retry,
        RetryLater,
        Snooze,
        SnoozeFor,
        Stop,
    )
    from redsched.model.retry import Explicit, Exponential, Fixed
    from redsched.model.schedule import Schedule
    from redsched.model.task import Task, TaskView
    from redsched.model.template import TaskTemplate
    from redsched.model.views import Page, QueueStats
    from redsched.schedule.calendar import CalendarRule
    from redsched.schedule.definition import Every, Exclude
    from redsched.settings import Settings

__version__ = "0.1.0"

_HOME = {
    "redsched.client": ("AsyncClient", "Client"),
    "redsched.engine.app": ("App", "TaskType"),
    "redsched.engine.context": ("Context",),
    "redsched.engine.mover": ("Mover",),
    "redsched.engine.worker": ("Worker",),
    "redsched.schedule.calendar": ("CalendarRule",),
    "redsched.model.condition": (
        "After", "Again", "Conditions", "Digest", "Fact", "Hold", "Unique", "WaitFor", "all_of", "any_of", "fact",
    ),
    "redsched.model.schedule": ("Schedule",),
    "redsched.model.template": ("TaskTemplate",),
    "redsched.schedule.definition": ("Every", "Exclude"),
    "redsched.model.errors": (
        "InvalidSchedule", "InvalidSetting", "InvalidState", "InvalidTask", "LeaseLost", "NotDurable",
        "OutcomeUnknown", "RedschedError", "ScheduleNotFound", "StoreBroken", "StoreDenied", "StoreError", "StoreFull",
        "StoreReadOnly", "StoreRefused", "StoreUnavailable", "TaskConflict", "TaskNotCompleted", "TaskNotEnded",
        "TaskNotFound", "WorkflowIncomplete",
    ),
    "redsched.model.outcome": (
        "Cancelled", "Completed", "Dead", "Reject", "Retry", "RetryLater", "Snooze", "SnoozeFor", "Stop",
    ),
    "redsched.model.retry": ("Explicit", "Exponential", "Fixed"),
    "redsched.model.events": ("Rule",),
    "redsched.model.enqueued": ("Enqueued",),
    "redsched.model.task": ("Task", "TaskView"),
    "redsched.model.views": ("Page", "QueueStats"),
    "redsched.settings": ("Settings",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "After", "Again", "App", "AsyncClient", "CalendarRule", "Cancelled", "Client", "Completed", "Conditions",
    "Context", "Dead", "Digest", "Enqueued", "Every", "Exclude", "Explicit", "Exponential", "Fact", "Fixed", "Hold",
    "InvalidSchedule", "InvalidSetting", "InvalidState", "InvalidTask", "LeaseLost", "Mover", "NotDurable",
    "OutcomeUnknown", "Page", "QueueStats", "RedschedError", "Reject", "Retry", "RetryLater", "Rule", "Schedule",
    "ScheduleNotFound", "Settings", "Snooze", "SnoozeFor", "Stop", "StoreBroken", "StoreDenied", "StoreError",
    "StoreFull", "StoreReadOnly", "StoreRefused", "StoreUnavailable", "Task", "TaskConflict", "TaskNotCompleted",
    "TaskNotEnded", "TaskNotFound", "TaskTemplate", "TaskType", "TaskView",
    "Unique", "WaitFor", "Worker", "WorkflowIncomplete", "all_of", "any_of", "fact",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'redsched' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
