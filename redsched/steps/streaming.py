"""A list of tasks without an end in sight, in parts: which task is the next, when it is due, what its id is. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from redsched.model.duration import EARLIEST_MS
from redsched.model.enqueued import Enqueued
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.model.streamed import Streamed
from redsched.model.task import Task
from redsched.wire import runs, tasks
from redsched.wire.call import Call
from redsched.wire.codec import LONGEST_MS, check_name
from redsched.wire.field_words import check_start_by, start_by_word

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 by the golden ratio: its multiples lie evenly, however many there are
MOST_AT_ONCE = 1_000


def check_list(tasks: Any) -> None:
    """Raises InvalidTask where what stands for a list of tasks is none, which nothing but its members would tell."""
    is_one = isinstance(tasks, str | bytes | Mapping | Task)
    if is_one or not isinstance(tasks, Iterable | AsyncIterable):
        problem = f"{kind_and_length(tasks)} is no list of Tasks; give an iterable of Task(type=..., payload=...)"
        raise InvalidTask("tasks", problem)


class Stream:
    """One run of a list."""

    def __init__(self, run: str, spread_ms: int, batch: int) -> None:
        if not 1 <= batch <= MOST_AT_ONCE:
            raise InvalidTask("batch", f"must be 1..{MOST_AT_ONCE}")
        if spread_ms > LONGEST_MS:
            raise InvalidTask("spread", "is longer than a year")
        self.run, self._spread, self._batch = check_name("run", run), spread_ms, batch
        self._next = 0  # number of the task that comes next from the list
        self._at = self._resumed = self._began = 0
        self._answers: Counter[str] = Counter()
        self._pending: list[Task] = []
        self._first = ""  # digest of the first task of this list
        self._known = runs.Place(0, 0)  # how far the list had come before, with its digests

    def begin(self, place: runs.Place) -> None:
        """Where an earlier call stopped, which may be the beginning."""
        self._at = self._resumed = place.at
        self._began = max(place.began, EARLIEST_MS)
        self._known = place

    def add(self, task: Task) -> bool:
        """Take the next task of the list; answers whether there are enough for a call.

        Raises:
            InvalidTask: it is no Task, or an earlier call of this run had another list.
        """
        number, self._next = self._next, self._next + 1
        try:
            if not isinstance(task, Task):
                raise tasks.no_task([task], number)
            if number == 0:
                self._first = self._same(task, number, self._known.first, "its first task is another")
            if number == self._resumed - 1:
                self._same(task, number, self._known.last, f"its task {number} is another, counted from 0")
            if number >= self._at:
                self._pending.append(self._of_run(task, number))
        except InvalidTask as error:
            raise self._told(error, error.index) from None
        return len(self._pending) >= self._batch

    def end(self) -> None:
        """The list has no more tasks.

        Raises:
            InvalidTask: an earlier call of this run had more.
        """
        if self._next < self._resumed:
            raise self._another(f"this list has {self._next} tasks, and an earlier call created {self._resumed}")

    def _same(self, task: Task, number: int, known: str, problem: str) -> str:
        found = runs.digest_of(task, runs.made_id(self.run, number))
        if known and found and found != known:
            raise self._another(problem)
        return found

    @staticmethod
    def _another(problem: str) -> InvalidTask:
        return InvalidTask("run", f"is that of another list: {problem}; give each list its own name")

    def _told(self, error: InvalidTask, index: int | None) -> InvalidTask:
        """The error of a task of the list, with what was written before. Of another list nothing is this run's."""
        written = 0 if error.field == "run" else self._at
        return InvalidTask(error.field, error.problem, index=index, code=error.code, written=written)

    def _of_run(self, task: Task, number: int) -> Task:
        changes: dict[str, object] = {"request": task.request or f"{self.run}:{number}"}
        if task.id is None:
            changes["id"] = runs.made_id(self.run, number)
        if self._spread:
            if task.due is not None or task.delay is not None:
                raise InvalidTask("spread", "takes the place of due and delay", index=number)
            self._check_start_by(task, number)
            changes["due"] = self._began + ((number * GOLDEN % 2**64) * self._spread >> 64)
        return msgspec.structs.replace(task, **changes)

    def _check_start_by(self, task: Task, number: int) -> None:
        """All tasks of a run are judged alike: by the last due time of the spread."""
        if task.expires_at is not None or task.expires_in is not None:
            start_by = start_by_word(task.expires_at, task.expires_in, number)
            check_start_by(
                f"+{self._spread}" if isinstance(start_by, str) else self._began + self._spread, start_by, number
            )

    @property
    def pending(self) -> Sequence[Task]:
        """What was taken and is not answered for."""
        return self._pending

    def call(self, enqueue: Callable[[Sequence[Task]], Call[list[Enqueued]]]) -> Call[runs.Place]:
        """The call for the next of them: as many as go together.

        Raises:
            InvalidTask: as ``enqueue`` does; ``refused`` makes of it the error for the list.
        """
        some: Sequence[Task] = self._pending[: self._batch]
        while True:
            try:
                last = runs.digest_of(some[-1], runs.made_id(self.run, self._at + len(some) - 1))
                return runs.part(self.run, self._at, len(some), self._began, enqueue(some), self._first, last)
            except InvalidTask as error:
                if error.code != "batch_too_large" or not error.index:
                    raise
                some = some[: error.index]

    def refused(self, error: InvalidTask) -> InvalidTask:
        """The error for a task of a part, by its number in the list."""
        return self._told(error, None if error.field == "run" else self._at + (error.index or 0))

    def answered(self, place: runs.Place) -> Streamed:
        """What became of a call: done now or before, by this process or by another with the same run.

        Raises:
            InvalidTask: Redis has forgotten the run.
        """
        if place.at < self._at:
            raise InvalidTask("run", f"was at {self._at}, and Redis knows of {place.at}: it was forgotten, or restored")
        if place.answers is not None:
            self._answers.update(answer.status for answer in place.answers)
        del self._pending[: place.at - self._at]
        self._at = place.at
        return self.told()

    def told(self) -> Streamed:
        """How far it has come."""
        return Streamed(run=self.run, at=self._at, resumed_at=self._resumed, answers=dict(self._answers))
