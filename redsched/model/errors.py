"""Every error redsched raises, in one tree. Each carries data and says what was not done.

RedschedError
├── InvalidTask          a field of a new or changed task cannot be used; nothing was written
├── InvalidSchedule      a field of a schedule cannot be used; nothing was written
│   └── SearchSpent         the search for its next slot took longer than one search may
├── PlanningSpent        finding the next runs takes more work than a request may; nothing was done
├── InvalidSetting       a setting cannot be used; nothing was started
├── TaskNotFound         no such task; nothing changed
│   └── TaskRemoved         the task that was waited for has ended and was removed
├── TaskInSeveralQueues  several queues have a task of this id; nothing changed
├── ScheduleNotFound     no such schedule; nothing changed
├── QueueNotFound        nobody has seen such a queue; nothing changed
├── TaskConflict         the id belongs to a task with another type or payload; nothing was written
├── WorkflowIncomplete   tasks of a workflow were not made; those that were made stay
├── InvalidState         the task's state does not allow the verb; nothing changed
├── TaskNotCompleted     the task that was waited for ended in another way
├── TaskNotEnded         the task that was waited for has not ended in time; it goes on
├── LeaseLost            another worker holds a newer attempt; nothing was written
├── NotDurable           the task is stored, but not as durably as asked
├── OutcomeUnknown       no answer came: the call may or may not have been carried out
└── StoreError           Redis refused; nothing was written
    ├── StoreUnavailable    unreachable, loading, failing over or busy for longer than we retry
    ├── StoreReadOnly       a replica, or a primary that must not write
    ├── StoreFull           at maxmemory, or its disk is full
    ├── StoreDenied         the credentials or their rights do not suffice
    └── StoreRefused        this call alone: others may well be carried out
        └── StoreBroken         a key has another type than the contract says; repeating does not help
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from redsched.model.enqueued import Enqueued


class RedschedError(Exception):
    """Base of every error that redsched raises by itself."""


class InvalidTask(RedschedError):
    """A field of a task cannot be used; nothing was written, but for what ``enqueue_stream`` wrote in earlier calls."""

    def __init__(
        self, field: str, problem: str, *, index: int | None = None, code: str = "invalid", written: int = 0
    ) -> None:
        where = field if index is None else f"tasks[{index}].{field}" if field else f"tasks[{index}]"
        first = f"the first {written} tasks of the list were written before, and none after them"
        undone = f"{first}; mend it and repeat the same call, which goes on there" if written else "nothing was written"
        super().__init__(f"{where}: {problem}; {undone}")
        self.field = field
        self.problem = problem
        self.index = index  # position in a batch; None for a single task
        self.code = code
        self.written = written  # how many tasks of a long list earlier calls had written


class InvalidSchedule(RedschedError):
    """A field of a schedule cannot be used; nothing was written."""

    def __init__(self, field: str, problem: str, *, index: int | None = None, code: str = "invalid_schedule") -> None:
        where = field if index is None else f"schedules[{index}].{field}"
        super().__init__(f"{where}: {problem}; nothing was written")
        self.field = field
        self.problem = problem
        self.index = index  # position among several; None for a single schedule
        self.code = code  # invalid_schedule, invalid_cron, unknown_time_zone, never_fires or too_many_runs


class SearchSpent(InvalidSchedule):
    """No slot was found in the time that one search may take; up to ``reached`` (ms since the epoch) there is none."""

    def __init__(self, reached: int) -> None:
        until = (datetime(1970, 1, 1) + timedelta(milliseconds=reached)).isoformat(timespec="seconds") + "Z"
        problem = f"leaves out every slot up to {until}, as far as one search goes"
        super().__init__("exclude", problem, code="search_spent")
        self.reached = reached


class PlanningSpent(RedschedError):
    """Finding the next runs takes more work than a request may; nothing was done."""

    problem = "the next runs take too long to compute"

    def __init__(self) -> None:
        super().__init__(f"{self.problem}; nothing was done")


class InvalidSetting(RedschedError):
    """A setting cannot be used; nothing was started."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}; nothing was started")
        self.setting = setting
        self.problem = problem


class TaskNotFound(RedschedError):
    """No such task; nothing changed. ``queue``: None where all were looked through; ``removed``: by queue, when a task
    of this id that had ended was removed there, up to a day ago; ``waits``: it was looked for to wait for it."""

    def __init__(
        self,
        task_id: str,
        queue: str | None,
        *,
        reads: bool = False,
        removed: Mapping[str, datetime] | None = None,
        waits: bool = False,
    ) -> None:
        where = "any queue" if queue is None else f"queue {queue!r}"
        told = f"no task {task_id!r} in {where}"
        if waits:
            told += "; a task that has ended is not found either, once its retention is over"
        if removed:
            when = ", ".join(f"queue {name!r} at {at.isoformat(timespec='seconds')}" for name, at in removed.items())
            told = f"task {task_id!r} had ended, and was removed: {when}"
        super().__init__(told if reads else f"{told}; nothing changed")
        self.task_id = task_id
        self.queue = queue
        self.removed = dict(removed or {})


class TaskRemoved(TaskNotFound):
    """The task that was waited for was there, has ended and was removed. What it returned is not known."""

    def __init__(self, task_id: str, queue: str, *, has_retention: bool = True) -> None:
        super().__init__(task_id, queue, reads=True)
        why = "its retention is over, or somebody dropped it" if has_retention else "its retention is 0"
        self.args = (
            f"task {task_id!r} in queue {queue!r} has ended and was removed: {why}; how it ended is not known, and it "
            "may well have completed",
        )


class TaskInSeveralQueues(RedschedError):
    """Several queues have a task of this id, and none was named; nothing changed."""

    def __init__(self, task_id: str, queues: Sequence[str]) -> None:
        names = ", ".join(queues)
        super().__init__(f"several queues have a task {task_id!r}: {names}; name one of them, nothing changed")
        self.task_id = task_id
        self.queues = list(queues)


class ScheduleNotFound(RedschedError):
    """No such schedule; nothing changed."""

    def __init__(self, schedule_id: str, *, reads: bool = False) -> None:
        super().__init__(f"no schedule {schedule_id!r}{'' if reads else '; nothing changed'}")
        self.schedule_id = schedule_id


class QueueNotFound(RedschedError):
    """Nobody has seen such a queue; nothing changed."""

    def __init__(self, queue: str, *, reads: bool = False) -> None:
        super().__init__(f"no queue {queue!r}{'' if reads else '; nothing changed'}")
        self.queue = queue


class TaskConflict(RedschedError):
    """The id belongs to a task with another type or payload; nothing was written."""

    def __init__(self, task_id: str, queue: str) -> None:
        super().__init__(
            f"task {task_id!r} in queue {queue!r} exists with another type or payload; nothing was written"
        )
        self.task_id = task_id
        self.queue = queue


class WorkflowIncomplete(RedschedError):
    """Tasks of a workflow were not made. Those that were made stay: those that come after a missing one end, or run, as
    their ``otherwise`` says; ``then`` of a group that took several calls is cancelled.

    ``missing`` has an answer for each task that was not made, ``made`` for each of the others, in order.
    """

    def __init__(self, missing: Sequence[Enqueued], made: Sequence[Enqueued]) -> None:
        names = ", ".join(f"{one.id!r} ({one.status})" for one in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        super().__init__(f"of the workflow these were not made: {names}{more}; the other {len(made)} are stored")
        self.missing = missing
        self.made = made


class InvalidState(RedschedError):
    """The task's state does not allow the verb; nothing changed."""

    def __init__(self, task_id: str, queue: str, state: str, verb: str) -> None:
        what = "was moved to another queue" if state == "moved" else f"is {state}"
        super().__init__(f"cannot {verb} task {task_id!r} in queue {queue!r}: it {what}; nothing changed")
        self.task_id = task_id
        self.queue = queue
        self.state = state
        self.verb = verb


class TaskNotCompleted(RedschedError):
    """The task that was waited for ended in another way: it is dead, expired, cancelled or skipped."""

    def __init__(self, task_id: str, queue: str, state: str, reason: str | None, error: str | None) -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(f"task {task_id!r} in queue {queue!r} has no result: it is {state}{why}")
        self.task_id = task_id
        self.queue = queue
        self.state = state
        self.reason = reason
        self.error = error  # of its last run; may quote the payload


class TaskNotEnded(RedschedError, TimeoutError):
    """The task that was waited for has not ended in time; it goes on."""

    def __init__(self, task_id: str, queue: str, state: str) -> None:
        super().__init__(f"task {task_id!r} in queue {queue!r} has not ended in time: it is {state}, and goes on")
        self.task_id = task_id
        self.queue = queue
        self.state = state


class LeaseLost(RedschedError):
    """Another worker holds a newer attempt of this task; nothing was written."""

    def __init__(self, task_id: str, attempt: int) -> None:
        super().__init__(f"lost the lease on task {task_id!r}, attempt {attempt}; nothing was written")
        self.task_id = task_id
        self.attempt = attempt


class NotDurable(RedschedError):
    """The task *is* stored and will run; what was asked of its durability was not reached."""

    def __init__(self, ids: Sequence[str], asked: str, reached: str, problem: str) -> None:
        what = f"task {ids[0]!r} is stored" if len(ids) == 1 else f"{len(ids)} tasks are stored"
        super().__init__(f"{what}, but only with durability {reached!r}, not {asked!r}: {problem}")
        self.ids = ids
        self.asked = asked
        self.reached = reached
        self.problem = problem


class OutcomeUnknown(RedschedError):
    """No answer came before the deadline: the call may or may not have been carried out."""

    def __init__(self, verb: str, problem: str) -> None:
        super().__init__(f"{verb}: no answer from Redis ({problem}); it may or may not have been carried out")
        self.verb = verb
        self.problem = problem


class StoreError(RedschedError):
    """Redis refused; nothing was written. ``problem`` is Redis's own reason, ``reads`` whether the verb only reads."""

    def __init__(self, verb: str, problem: str, *, reads: bool = False) -> None:
        super().__init__(f"{verb}: {problem}{_unwritten(reads)}")
        self.verb = verb
        self.problem = problem
        self.reads = reads


def _unwritten(reads: bool) -> str:
    return "" if reads else "; nothing was written"


class StoreUnavailable(StoreError):
    """Redis is unreachable, loading, failing over or busy. ``url``: where no connection could be made, without its
    password; empty where there was one, or somebody else made it."""

    def __init__(self, verb: str, problem: str, *, reads: bool = False, url: str = "") -> None:
        super().__init__(verb, problem, reads=reads)
        self.url = url
        if url:
            told = f"{verb}: cannot reach Redis at {url} ({problem.rstrip('.')}){_unwritten(reads)}"
            self.args = (f"{told}. Set REDSCHED_REDIS_URL, or redis_url, if it is another Redis",)


class StoreReadOnly(StoreError):
    """Redis is a replica, or a primary that must not write now."""


class StoreFull(StoreError):
    """Redis is at its maxmemory, or its disk is full."""


class StoreDenied(StoreError):
    """Redis refuses these credentials, or their rights do not suffice."""


class StoreRefused(StoreError):
    """Redis refused this call, or answered what cannot be read: something is wrong with what the call says or with a
    key that it names. Redis itself is well, so calls for other keys need not wait."""


class StoreBroken(StoreRefused):
    """A key has another Redis type than the contract says: somebody overwrote it. Repeating does not help; the doctor
    says which key it is and mends it. ``broken`` says what is known, ``problem`` is Redis's own reason."""

    def __init__(
        self,
        verb: str,
        problem: str,
        *,
        reads: bool = False,
        broken: str = "a key has another type than the contract says",
    ) -> None:
        super().__init__(verb, problem, reads=reads)
        told = f"{verb}: {broken}{_unwritten(reads)}"
        self.args = (f"{told}; `redsched doctor` tells more, and mends it with --repair",)
        self.broken = broken
