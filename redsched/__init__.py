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
    from redsched.engine.middleware import CallNext
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
    from redsched.model.enqueued import Enqueued, Held
    from redsched.model.errors import (
        InvalidSchedule,
        InvalidSetting,
        InvalidState,
        InvalidTask,
        LeaseLost,
        NotDurable,
        OutcomeUnknown,
        QueueNotFound,
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
        TaskInSeveralQueues,
        TaskNotCompleted,
        TaskNotEnded,
        TaskNotFound,
        TaskRemoved,
        WorkflowIncomplete,
    )
    from redsched.model.events import Emitted, Rule, RulePage
    from redsched.model.explain import Explanation
    from redsched.model.outcome import (
        Cancelled,
        Completed,
        Dead,
        OutcomeChosen,
        Reject,
        Retry,
        RetryLater,
        Snooze,
        SnoozeFor,
        Stop,
    )
    from redsched.model.retry import Explicit, Exponential, Fixed
    from redsched.model.schedule import Schedule
    from redsched.model.schedule_views import Applied, Backfill, SchedulePage, SchedulePut, ScheduleView, Upcoming
    from redsched.model.streamed import Streamed
    from redsched.model.task import Changes, Options, Task, TaskView
    from redsched.model.task_types import GivenDefaults, QueueDefaults, TypePage, TypeView
    from redsched.model.template import TaskTemplate
    from redsched.model.timeline import QueueTimeline, Step, Timeline
    from redsched.model.views import Page, Paused, QueueStats
    from redsched.model.workflows import Branch, Kin, WorkflowCancelled
    from redsched.schedule.calendar import CalendarRule
    from redsched.schedule.definition import Every, Exclude, Run
    from redsched.settings import Settings
    from redsched.steps.bulk import Bulk, Filter
    from redsched.steps.install import Installed, ServerInfo
    from redsched.wire.dead_letters import QuarantinePage
    from redsched.wire.queues import Limits

__version__ = "0.1.0"

_HOME = {
    "redsched.client": ("AsyncClient", "Client"),
    "redsched.engine.app": ("App", "TaskType"),
    "redsched.engine.context": ("Context",),
    "redsched.engine.middleware": ("CallNext",),
    "redsched.engine.mover": ("Mover",),
    "redsched.engine.worker": ("Worker",),
    "redsched.schedule.calendar": ("CalendarRule",),
    "redsched.model.condition": (
        "After", "Again", "Conditions", "Digest", "Fact", "Hold", "Unique", "WaitFor", "all_of", "any_of", "fact",
    ),
    "redsched.model.schedule": ("Schedule",),
    "redsched.model.template": ("TaskTemplate",),
    "redsched.schedule.definition": ("Every", "Exclude", "Run"),
    "redsched.model.errors": (
        "InvalidSchedule", "InvalidSetting", "InvalidState", "InvalidTask", "LeaseLost", "NotDurable", "OutcomeUnknown",
        "QueueNotFound", "RedschedError", "ScheduleNotFound", "StoreBroken", "StoreDenied", "StoreError", "StoreFull",
        "StoreReadOnly", "StoreRefused", "StoreUnavailable", "TaskConflict", "TaskInSeveralQueues", "TaskNotCompleted",
        "TaskNotEnded", "TaskNotFound", "TaskRemoved", "WorkflowIncomplete",
    ),
    "redsched.model.outcome": (
        "Cancelled", "Completed", "Dead", "OutcomeChosen", "Reject", "Retry", "RetryLater", "Snooze", "SnoozeFor",
        "Stop",
    ),
    "redsched.model.retry": ("Explicit", "Exponential", "Fixed"),
    "redsched.model.events": ("Emitted", "Rule", "RulePage"),
    "redsched.model.enqueued": ("Enqueued", "Held"),
    "redsched.model.task": ("Changes", "Options", "Task", "TaskView"),
    "redsched.model.search": (
        "Found", "KnownEvent", "KnownFact", "KnownLine", "KnownLock", "KnownSchedule", "Search", "Subject", "Within",
    ),
    "redsched.model.streamed": ("Streamed",),
    "redsched.model.timeline": ("QueueTimeline", "Step", "Timeline"),
    "redsched.model.views": ("Page", "Paused", "QueueStats"),
    "redsched.settings": ("Settings",),
    "redsched.model.task_types": ("GivenDefaults", "QueueDefaults", "TypePage", "TypeView"),
    "redsched.model.schedule_views": ("Applied", "Backfill", "SchedulePage", "SchedulePut", "ScheduleView", "Upcoming"),
    "redsched.model.workflows": ("Branch", "Kin", "WorkflowCancelled"),
    "redsched.steps.bulk": ("Bulk", "Filter"),
    "redsched.steps.operation_record": ("Operation",),
    "redsched.model.explain": ("Explanation",),
    "redsched.steps.install": ("Installed", "ServerInfo"),
    "redsched.wire.queues": ("Limits",),
    "redsched.wire.dead_letters": ("QuarantinePage",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "After", "Again", "App", "Applied", "AsyncClient", "Backfill", "Branch", "Bulk", "CalendarRule", "CallNext",
    "Cancelled", "Changes", "Client", "Completed", "Conditions", "Context", "Dead", "Digest", "Emitted", "Enqueued",
    "Every", "Exclude", "Explanation", "Explicit", "Exponential", "Fact", "Filter", "Fixed", "Found", "GivenDefaults",
    "Held", "Hold", "Installed", "InvalidSchedule", "InvalidSetting", "InvalidState", "InvalidTask", "Kin",
    "KnownEvent", "KnownFact", "KnownLine", "KnownLock", "KnownSchedule", "LeaseLost", "Limits", "Mover", "NotDurable",
    "Operation", "Options", "OutcomeChosen", "OutcomeUnknown", "Page", "Paused", "QuarantinePage", "QueueDefaults",
    "QueueNotFound", "QueueStats", "QueueTimeline", "RedschedError", "Reject", "Retry", "RetryLater", "Rule",
    "RulePage", "Run", "Schedule", "ScheduleNotFound", "SchedulePage", "SchedulePut", "ScheduleView", "Search",
    "ServerInfo", "Settings", "Snooze", "SnoozeFor", "Step", "Stop", "StoreBroken", "StoreDenied", "StoreError",
    "StoreFull", "StoreReadOnly", "StoreRefused", "StoreUnavailable", "Streamed", "Subject", "Task", "TaskConflict",
    "TaskInSeveralQueues", "TaskNotCompleted", "TaskNotEnded", "TaskNotFound", "TaskRemoved", "TaskTemplate",
    "TaskType", "TaskView", "Timeline", "TypePage", "TypeView", "Unique", "Upcoming", "WaitFor", "Within", "Worker",
    "WorkflowCancelled", "WorkflowIncomplete", "all_of", "any_of", "fact",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'redsched' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
