"""Workflows: tasks that come one after another, or all before one. Conversations of calls, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from redsched.model.condition import MAX_PARENTS, After, Conditions, Hold
from redsched.model.enqueued import STORED, Enqueued
from redsched.model.errors import InvalidTask, TaskConflict, TaskNotFound, WorkflowIncomplete
from redsched.model.task import Task
from redsched.model.vocabulary import DEFAULT_QUEUE, MAX_BATCH
from redsched.model.workflows import Branch, Kin
from redsched.steps.conversation import Conversation
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.codec import check_name
from redsched.wire.ids import new_ids, nonce
from redsched.wire.keys import queue_keys

T = TypeVar("T")
Place = tuple[str, str]  # queue, id
Built = dict[Place, tuple[Branch, list[Place], bool]]  # a branch, its children, whether it has more
Enqueue = Callable[[Sequence[Task]], Call[list[Enqueued]]]
HELD_FOR = "1h"  # how long a large group may take to be submitted
A_CALL = 100  # tasks of a large group: nothing needs them to come all at once
MOST_TASKS = 10_000  # of one chain or group
MOST_SHOWN = 1_000  # tasks of one tree
DEEPEST = 200  # levels of one tree: JSON readers do not like more


def chain(cell: Cell, enqueue: Enqueue, tasks: Sequence[Task], otherwise: str) -> Conversation[list[Enqueued]]:
    """Each after the one before it; see ``AsyncClient.chain``."""
    named = _named(cell, _bounded("chain", tasks))
    for at in range(1, len(named)):
        before = named[at - 1]
        named[at] = _after(named[at], at, [f"{before.queue}/{before.id}"], otherwise)
    answers: list[Enqueued] = []
    for call, _ in _calls(enqueue, named, MAX_BATCH):
        answers += _checked((yield call), answers)
        if answers[-1].status not in STORED:  # nothing can come after it
            answers += [
                Enqueued(task.id or "", task.queue or "", "refused", other=answers[-1].id)
                for task in named[len(answers) :]
            ]
            break
    return _whole(answers)


def group(
    cell: Cell, enqueue: Enqueue, tasks: Sequence[Task], then: Task, on: str, otherwise: str
) -> Conversation[list[Enqueued]]:
    """``then`` after all of them; see ``AsyncClient.group``."""
    *named, last = _named(cell, [*_bounded("group", tasks), then])
    refs = [f"{task.queue}/{task.id}" for task in named]
    first, token, begin = min(len(named), MAX_PARENTS), nonce(), None
    while begin is None:
        join = _after(last, len(named), refs[:first], otherwise, on)
        if len(named) > first:  # it is held until all of them are there
            join.conditions = {**_members(join.conditions), "hold": Hold(token=token, within=HELD_FOR)}
        try:
            begin = enqueue([*named[:first], join])
        except InvalidTask as error:
            if error.code != "batch_too_large" or not error.index or first == 1:
                index = len(named) if error.index == first else error.index
                raise InvalidTask(error.field, error.problem, index=index, code=error.code) from None
            first = max(1, error.index - 1)
    rest = _calls(enqueue, named[first:], A_CALL, first)
    *answers, joined = _checked((yield begin), [])
    if len(named) == first:
        return _whole([*answers, joined])
    keys = queue_keys(cell, last.queue)
    for call, count in rest:
        if not all(answer.status in STORED for answer in [*answers, joined]):
            break
        at = len(answers)
        answers += yield call
        if all(answer.status in STORED for answer in answers):
            yield protocol.follow(keys, joined.id, refs[at : at + count])
    is_whole = all(answer.status in STORED for answer in [*answers, joined])
    yield protocol.confirm(keys, [joined.id], token, action="confirm" if is_whole else "abandon")
    answers += [Enqueued(task.id or "", task.queue or "", "refused", other=joined.id) for task in named[len(answers) :]]
    return _whole([*answers, joined])


def _calls(
    enqueue: Enqueue, tasks: Sequence[Task], most: int, first: int = 0
) -> list[tuple[Call[list[Enqueued]], int]]:
    """Calls for all of them, each for at most so many or as few as their payloads allow, with how many those are; all
    are checked before any is sent. ``first``: the place of the first in the workflow."""
    calls: list[tuple[Call[list[Enqueued]], int]] = []
    at = 0
    while at < len(tasks):
        some, call = tasks[at : at + most], None
        while call is None:
            try:
                call = enqueue(some)
            except InvalidTask as error:
                if error.code != "batch_too_large" or not error.index:
                    index = first + at + (error.index or 0)
                    raise InvalidTask(error.field, error.problem, index=index, code=error.code) from None
                some = some[: error.index]
        calls.append((call, len(some)))
        at += len(some)
    return calls


def _bounded(name: str, tasks: Sequence[Task]) -> Sequence[Task]:
    if len(tasks) > MOST_TASKS:
        raise InvalidTask(name, f"has {len(tasks)} tasks; at most {MOST_TASKS} are taken", code="batch_too_large")
    return tasks


def _named(cell: Cell, tasks: Sequence[Task]) -> list[Task]:
    if len(tasks) < 2:
        raise InvalidTask("tasks", "a workflow has two tasks at least")
    ids = [task.id or made for task, made in zip(tasks, new_ids(len(tasks), cell.index), strict=True)]
    return [
        msgspec.structs.replace(task, id=task_id, queue=check_name("queue", task.queue or DEFAULT_QUEUE, at))
        for at, (task, task_id) in enumerate(zip(tasks, ids, strict=True))
    ]


def _members(given: Conditions | Mapping[str, Any] | None) -> dict[str, Any]:
    return msgspec.structs.asdict(given) if isinstance(given, Conditions) else dict(given or {})


def _after(task: Task, index: int, refs: list[str], otherwise: str, on: str = "success") -> Task:
    members = _members(task.conditions)
    if members.get("after") is not None:
        raise InvalidTask("conditions.after", "is set by the workflow", index=index)
    after = After(ids=refs, on=on, otherwise=otherwise)  # type: ignore[arg-type]
    return msgspec.structs.replace(task, conditions={**members, "after": after})


def _checked(answers: list[Enqueued], before: list[Enqueued]) -> list[Enqueued]:
    """The answers of a call; raises TaskConflict where nothing of the workflow was written."""
    if any(answer.status in STORED for answer in [*before, *answers]):
        return answers
    for answer in answers:
        if answer.status == "conflict":
            raise TaskConflict(answer.id, answer.queue)
    return answers


def _whole(answers: list[Enqueued]) -> list[Enqueued]:
    missing = [answer for answer in answers if answer.status not in STORED]
    if missing:
        raise WorkflowIncomplete(missing, [answer for answer in answers if answer.status in STORED])
    return answers


def kin(cell: Cell, queue: str, task_id: str, which: str, *, stored: bool = False) -> Conversation[list[Kin]]:
    """All parents or children of a task."""
    found: dict[tuple[str, str], Kin] = {}
    cursor = None
    while True:
        page = yield protocol.kin(queue_keys(cell, queue), task_id, which, cursor=cursor, limit=1_000, stored=stored)
        found |= {(one.queue, one.id): one for one in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return list(found.values())


def tree(cell: Cell, queue: str, task_id: str, limit: int) -> Conversation[Branch]:
    """The task and those that come after it, at most ``limit``, the nearest first.

    Raises:
        TaskNotFound: there is no such task.
    """
    if not 1 <= limit <= MOST_SHOWN:
        raise InvalidTask("limit", f"{limit} is outside 1..{MOST_SHOWN}")
    shown = (yield protocol.show(queue_keys(cell, queue), [task_id]))[task_id]
    if shown is None:
        raise TaskNotFound(task_id, queue)
    root = Branch(queue=queue, id=task_id, state=shown.state, type=shown.type)
    seen, level, left = {(queue, task_id)}, [root], limit - 1
    built: Built = {(queue, task_id): (root, [], False)}
    for depth in range(DEEPEST):
        below: list[Branch] = []
        for branch in level:
            items = yield from _children(cell, branch, left + 1)
            deepest = depth == DEEPEST - 1
            children, more = [], deepest and bool(items)
            for one in [] if deepest else items:
                place = (one.queue, one.id)
                if place not in seen and left <= 0:
                    more = True
                    continue
                children.append(place)
                if place not in seen:
                    seen.add(place)
                    left -= 1
                    child = Branch(queue=one.queue, id=one.id, state=one.state, type=one.type)
                    built[place] = (child, [], False)
                    below.append(child)
            built[branch.queue, branch.id] = (branch, children, more)
        level = below
    return _grown(built, (queue, task_id))


def _children(cell: Cell, branch: Branch, wanted: int) -> Conversation[list[Kin]]:
    """Read ``wanted`` children, or all that there are; a page may be short."""
    found: list[Kin] = []
    cursor = None
    while len(found) < wanted:
        keys = queue_keys(cell, branch.queue)
        page = yield protocol.kin(keys, branch.id, "children", cursor=cursor, limit=wanted - len(found))
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def _grown(built: Built, root: Place) -> Branch:
    """The branches with their children in them: each once, where it is met first; built from the leaves, not called
    through them, for a chain is as deep as it is long."""
    order, owner = [root], {root: root}
    for place in order:
        for child in built[place][1]:
            if child not in owner:
                owner[child] = place
                order.append(child)
    made: dict[Place, Branch] = {}
    for place in reversed(order):
        branch, children, more = built[place]
        inside = []
        for child in children:
            if owner[child] == place and child in made:
                inside.append(made[child])
            else:
                inside.append(msgspec.structs.replace(built[child][0], shown_above=True))
        made[place] = msgspec.structs.replace(branch, children=inside, more=more)
    return made[root]
