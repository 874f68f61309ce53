"""Every verb's function under the verb's name: the table of contents of the modules that hold them, a family each.

A function says what is sent, and how the answer is read; no I/O. The order of KEYS and ARGV is laid out there and
nowhere else in Python.
"""

from __future__ import annotations

from redsched.wire.changes import move, operate, retag, shift
from redsched.wire.claims import claim, leave, once, progress, renew, settle, settle_and_claim
from redsched.wire.dead_letters import drop, drop_quarantined, quarantined, requeue, revive
from redsched.wire.doctor import inspect, repair
from redsched.wire.events import drop_rule, emit, put_rule, rules
from redsched.wire.holds import confirm
from redsched.wire.idempotency import answer, reserve
from redsched.wire.mover import attend, ingest, promote, reap, sweep
from redsched.wire.queues import limit, pause, paused, resume, stats
from redsched.wire.schedules import (
    calendars,
    drop_schedule,
    due_schedules,
    fire,
    keep_schedules,
    patch_schedule,
    pause_schedule,
    put_calendar,
    put_schedule,
    replan_schedules,
    resume_schedule,
    show_schedules,
    trigger,
)
from redsched.wire.search import about, find
from redsched.wire.task_types import defaults, put_types, types
from redsched.wire.tasks import cancel, enqueue, explain, list_tasks, reschedule, show, update
from redsched.wire.timeline import timeline
from redsched.wire.workflows import follow, kin

__all__ = [
    "about",
    "answer",
    "attend",
    "calendars",
    "cancel",
    "claim",
    "confirm",
    "defaults",
    "drop",
    "drop_quarantined",
    "drop_rule",
    "drop_schedule",
    "due_schedules",
    "emit",
    "enqueue",
    "explain",
    "find",
    "fire",
    "follow",
    "ingest",
    "inspect",
    "keep_schedules",
    "kin",
    "leave",
    "limit",
    "list_tasks",
    "move",
    "once",
    "operate",
    "patch_schedule",
    "pause",
    "pause_schedule",
    "paused",
    "progress",
    "promote",
    "put_calendar",
    "put_rule",
    "put_schedule",
    "put_types",
    "quarantined",
    "reap",
    "renew",
    "repair",
    "replan_schedules",
    "requeue",
    "reschedule",
    "reserve",
    "resume",
    "resume_schedule",
    "retag",
    "revive",
    "rules",
    "settle",
    "settle_and_claim",
    "shift",
    "show",
    "show_schedules",
    "stats",
    "sweep",
    "timeline",
    "trigger",
    "types",
    "update",
]
