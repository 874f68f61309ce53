"""Many tasks in one request: each judged by itself, all that are good written by one client call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from redsched.client import AsyncClient
from redsched.client.known_types import KnownTypes
from redsched.model.enqueued import Enqueued
from redsched.model.errors import InvalidTask, StoreError, TaskConflict
from redsched.model.task import Task
from redsched.settings import Settings
from redsched.web.aside import Aside
from redsched.web.problems import MAX_ERRORS, Body, FieldError, Problem, of_error
from redsched.web.strict import learn
from redsched.web.task_body import TaskBody
from redsched.wire import protocol
from redsched.wire.cells import Cell
from redsched.wire.field_words import TOO_EARLY, due_word, start_by_word
from redsched.wire.idempotency import identified
from redsched.wire.tasks import has_digest


class Result(msgspec.Struct, omit_defaults=True):
    """What became of the task at ``index``: created, existing, merged, rejected or refused (``other`` says by which),
    conflict, invalid or failed (Redis did not take it, though it took others of the request)."""

    index: int
    status: str
    id: str | None = None
    problem: Body | None = None
    other: str | None = None


class Answer(msgspec.Struct):
    """A result for each task, in order, and how many of each kind; ``failed`` is those that are not there:
    conflict, refused, invalid and failed."""

    results: list[Result]
    created: int
    existing: int
    failed: int


class Batch:
    """The tasks of one request."""

    def __init__(
        self, items: Sequence[TaskBody | Problem], traceparent: str | None, settings: Settings, key: str | None = None
    ) -> None:
        self.created: Counter[tuple[str, str]] = Counter()  # by queue and type
        self._cell, self._max_payload = Cell(settings.namespace), settings.max_payload_bytes
        self._problems: dict[int, Problem] = {}
        self._tasks: dict[int, Task] = {}
        for index, item in enumerate(items):
            if isinstance(item, Problem):
                self._problems[index] = item
            else:
                task = item.task(traceparent)
                self._tasks[index] = task if key is None else identified(task, key, index)

    async def learn(self, client: AsyncClient, aside: Aside, size: int, strict: bool) -> None:
        """Get to know the types; ``strict``: a task that does not fit its own is one that is invalid."""
        meant = await learn(client, list(self._tasks.values()), strict)
        if strict:
            await aside.run(size, self._judge_types, client.known_types, meant)
        tasks = list(self._tasks.values())
        self._tasks = dict(zip(self._tasks, await client.with_former_queues(tasks), strict=True))

    def _judge_types(self, known: KnownTypes, meant: Sequence[str]) -> None:
        for index, task in list(self._tasks.items()):
            try:
                known.check([task], meant)
            except InvalidTask as error:
                self._refuse(index, error)

    async def enqueue(
        self, client: AsyncClient, aside: Aside, size: int, *, atomic: bool, durability: str | None = None
    ) -> Answer:
        """Write the good ones; ``size``: bytes of the body.

        Raises:
            Problem: ``atomic`` and one of them is invalid; nothing was written.
        """
        results: dict[int, Result] = {}
        if not (atomic and self._problems):
            results = await self._write(client, aside, size, atomic, durability)
        if atomic and self._problems:
            raise self._refused()
        for index, problem in self._problems.items():
            results[index] = Result(index, "invalid", problem=problem.body())
        counts = Counter(result.status for result in results.values())
        failed = counts["conflict"] + counts["refused"] + counts["invalid"] + counts["failed"]
        ordered = [results[index] for index in range(len(results))]
        return Answer(ordered, counts["created"], counts["existing"], failed)

    async def _write(
        self, client: AsyncClient, aside: Aside, size: int, atomic: bool, durability: str | None
    ) -> dict[int, Result]:
        """One call for all, or, where they are too heavy for one, several; where a call names a bad one, each is judged
        and the rest is written."""
        results: dict[int, Result] = {}
        todo = part = list(self._tasks.items())
        while todo:
            try:
                call = await aside.run(size, client.enqueuing, [task for _, task in part], durability)
                answers = await client.transport.send(call)
            except InvalidTask as error:
                if error.code == "batch_too_large" and error.index and not atomic:
                    part = part[: error.index]
                    continue
                await aside.run(size, self._judge, error, part[error.index or 0][0])
                if atomic:
                    return {}
                todo = part = [(index, task) for index, task in todo if index in self._tasks]
                continue
            except StoreError as error:
                if not results:
                    raise
                failed = of_error(error).body()  # of the calls before it something is written
                results |= {index: Result(index, "failed", task.id, failed) for index, task in todo}
                break
            for (index, task), answer in zip(part, answers, strict=True):
                results[index] = self._result(index, task, answer)
            todo = part = todo[len(part) :]
        return results

    def _result(self, index: int, task: Task, answer: Enqueued) -> Result:
        problem = None
        if answer.status == "created":
            self.created[answer.queue, task.type] += 1
        elif answer.status == "conflict":
            problem = of_error(TaskConflict(answer.id, answer.queue)).body()
        return Result(index, answer.status, answer.id, problem, answer.other)

    def _judge(self, found: InvalidTask, named: int) -> None:
        """Move every task that cannot be written to the problems; at least the one that was ``found``."""
        for index, task in list(self._tasks.items()):
            try:
                protocol.enqueue(self._cell, [task], max_payload=self._max_payload)
            except InvalidTask as error:
                self._refuse(index, error)
        if named in self._tasks:  # only Redis could tell
            earliest = _refused_until(self._tasks[named]) if found.problem == TOO_EARLY else None
            self._refuse(named, found)
            for index, task in list(self._tasks.items()):  # it need not be asked of those that are in the same case
                until = _refused_until(task)
                if earliest is not None and until is not None and until >= earliest:
                    self._refuse(index, found)

    def _refuse(self, index: int, error: InvalidTask) -> None:
        del self._tasks[index]
        self._problems[index] = of_error(InvalidTask(error.field, error.problem, index=index, code=error.code))

    def _refused(self) -> Problem:
        errors: list[FieldError] = []
        for index in sorted(self._problems)[:MAX_ERRORS]:
            problem = self._problems[index]
            errors.extend(problem.errors or [FieldError(problem.code, problem.detail, pointer=f"/{index}")])
        count = len(self._problems)
        return Problem("validation_failed", f"{count} of the tasks cannot be used; nothing was written", errors=errors)


def _refused_until(task: Task) -> int | None:
    """Of a task with a due time and a start-by that counts from now: until when its start-by lies before it is due."""
    if task.due is None or task.expires_in is None or has_digest(task):
        return None
    return int(due_word(task.due, None)) - int(start_by_word(None, task.expires_in, None))
