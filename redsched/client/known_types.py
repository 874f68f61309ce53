"""What a client knows of the types of tasks: the queue of each, and in a strict client the schema of its payloads.

It asks Redis anew every few seconds, so that a type that a worker puts is used soon, and a known one costs no call.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from redsched.client.payload_schema import PayloadSchema
from redsched.model.condition import Conditions
from redsched.model.errors import InvalidTask
from redsched.model.task import Task
from redsched.model.task_types import TypeView
from redsched.model.template import TaskTemplate
from redsched.schedule.quoted import quoted_if_plain
from redsched.steps.conversation import Conversation
from redsched.wire.codec import TASK_ID, is_name
from redsched.wire.keys import CellKeys
from redsched.wire.task_types import MOST_SCHEMAS, type_places, types

FRESH_S = 5.0
MOST_KNOWN = 10_000


class KnownTypes:
    """The types that one client has asked for.

    ``strict``: a task whose type no worker has put, or whose payload does not fit, is refused.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.queues: dict[str, str] = {}  # of the types that are known
        self._moved: set[str] = set()  # those of them that had another queue before
        self._until: dict[str, float] = {}  # when each is asked for again, known or not
        self._with_schema: dict[str, float] = {}  # the same, where its schema is needed
        self._schemas: dict[str, PayloadSchema] = {}

    def to_ask(self, tasks: Sequence[Task], now: float, *, schemas: bool) -> list[str]:
        """The types of which something is needed that is not known, or was asked for too long ago. What is no name is
        left to ``enqueue``, which says so."""
        until = self._with_schema if schemas else self._until
        if len(tasks) == 1:
            task = tasks[0]
            if (task.queue is not None and not schemas) or until.get(task.type, 0.0) > now:
                return []
            return [task.type] if is_name(task.type) else []
        names = {task.type for task in tasks if schemas or task.queue is None}
        return sorted(name for name in names if until.get(name, 0.0) <= now and is_name(name))

    def learn(self, names: Sequence[str], found: Sequence[TypeView], now: float, *, schemas: bool) -> None:
        """What Redis answered for these types.

        Raises:
            InvalidSetting: jsonschema is not installed, and a schema is needed; nothing was learned.
        """
        made = {one.name: PayloadSchema(one.payload) for one in found if one.payload is not None}
        if len(self._until) > MOST_KNOWN:
            for kept in (self._until, self._with_schema, self.queues, self._moved, self._schemas):
                kept.clear()
        for name in names:
            self._until[name] = now + FRESH_S
            if schemas:
                self._with_schema[name] = now + FRESH_S
            self.queues.pop(name, None)
            self._moved.discard(name)
            self._schemas.pop(name, None)
        self.queues |= {one.name: one.queue for one in found}
        self._moved |= {one.name for one in found if one.former_queues}
        self._schemas |= made

    def ask(self, keys: CellKeys, names: Sequence[str], *, schemas: bool) -> Conversation[None]:
        """Ask Redis for these types."""
        now, a_call = time.monotonic(), MOST_SCHEMAS if schemas else 500
        for at in range(0, len(names), a_call):
            some = names[at : at + a_call]
            page = yield types(keys, some, schemas=schemas)
            self.learn(some, page.items, now, schemas=schemas)

    def ask_and_check(self, keys: CellKeys, tasks: Sequence[Task], later: Collection[str] = ()) -> Conversation[None]:
        """What a strict client does before it writes tasks; raises as ``check``."""
        yield from self.ask(keys, self.to_ask(tasks, time.monotonic(), schemas=True), schemas=True)
        meant = (yield types(keys, limit=200)).items if self.lacks(tasks) else ()
        self.check(tasks, [one.name for one in meant], later)

    def ask_and_check_template(
        self, keys: CellKeys, template: TaskTemplate, later: Collection[str] = ()
    ) -> Conversation[None]:
        """The same for the tasks that a schedule or a rule makes; the fields are named ``task.type`` and
        ``task.payload``. ``later``: members that the payload gets only then."""
        sample = Task(type=template.type, payload=template.payload)
        try:
            yield from self.ask_and_check(keys, [sample], {*later, *_filled_in_later(template.conditions)})
        except InvalidTask as error:
            raise InvalidTask(f"task.{error.field}", error.problem, code=error.code) from None

    def placed(self, tasks: Sequence[Task]) -> list[Task]:
        """The same tasks, those of known types with their queues."""
        return [
            msgspec.structs.replace(task, queue=self.queues[task.type])
            if task.queue is None and task.type in self.queues
            else task
            for task in tasks
        ]

    def find_former(self, keys: CellKeys, tasks: Sequence[Task]) -> Conversation[Sequence[Task]]:
        """The same tasks. One whose type had another queue before, and whose id a task of that type has already, names
        the queue of that. It costs one call for all of them, and none where no type has changed its queue."""
        at = [n for n, task in enumerate(tasks) if task.type in self._moved and task.queue is None and _has_id(task)]
        if not at:
            return tasks
        found = yield type_places(keys, [(tasks[n].type, tasks[n].id or "") for n in at])
        made = list(tasks)
        for n, queue in zip(at, found, strict=True):
            if queue is not None:
                made[n] = msgspec.structs.replace(made[n], queue=queue)
        return made

    def check(self, tasks: Sequence[Task], known: Sequence[str] = (), later: Collection[str] = ()) -> None:
        """Raises InvalidTask where a task has a type that no worker has put, or a payload that does not fit it.
        ``known``: names of types that may have been meant. ``later``: members that the payloads get only when the tasks
        are made; those that conditions fill in when a task is due (``late``) count as such."""
        for at, task in enumerate(tasks):
            index = None if len(tasks) == 1 else at
            if task.type not in self.queues:
                near = difflib.get_close_matches(task.type, known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                problem = f"{quoted_if_plain(task.type)} is a type that no worker has put{meant}"
                raise InvalidTask("type", problem, index=index, code="unknown_type")
            schema = self._schemas.get(task.type)
            if schema is None:
                continue
            if problem := schema.problem(task.payload, {*later, *_filled_in_later(task.conditions)}):
                raise InvalidTask("payload", problem, index=index, code="payload_mismatch")

    def lacks(self, tasks: Sequence[Task]) -> bool:
        """Whether one of them has a type that no worker has put."""
        return any(task.type not in self.queues for task in tasks)


def _has_id(task: Task) -> bool:
    """Whether it has an id of its own that can be one."""
    return isinstance(task.id, str) and TASK_ID.fullmatch(task.id) is not None


def _filled_in_later(conditions: Any) -> Collection[str]:
    """The members of a payload that conditions fill in when the task is due."""
    if isinstance(conditions, Conditions):
        late: Any = conditions.late
    else:
        late = conditions.get("late") if isinstance(conditions, Mapping) else None
    return set(late) if isinstance(late, Mapping) else ()
