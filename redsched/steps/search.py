"""A search in bounded calls: through the smallest key that names what is looked for or, where none does, through the
places of each queue.

A conversation of calls without I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from redsched.model.search import Found, Search, Subject
from redsched.model.task import TaskView
from redsched.steps import batches
from redsched.steps.conversation import Conversation
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.search import MOST_LOOKED, about, cursor_of, cursor_text, find, places_of

MOST_EMPTY = 40  # places of queues that one page finds empty


def search(
    cell: CellKeys, where: Search, names: Sequence[str], *, limit: int = 50, cursor: str | None = None
) -> Conversation[Found]:
    """One page: at least one call, and others until it has ``limit`` items or has looked at 500.

    ``names``: the queues to go through, place by place; without any a key must name what is looked for.

    Raises:
        InvalidTask: a value of the search, or the cursor, cannot be used.
    """
    find(cell, where)  # whatever is wrong with it, nothing is sent
    source, place = cursor_of(cursor) if cursor else ("", "")
    sources = _places(where, names, source) if names else [source or (f"id:{where.id}" if where.id else "")]
    items: list[TaskView] = []
    forgotten: dict[str, datetime] = {}
    looked, spent = 0, 0.0  # spent: of a page, 1 in all
    for first in sources:
        source = first
        while True:
            if len(items) >= limit or spent >= 1:
                return Found(items, cursor_text(source, place), looked, forgotten)
            cut = yield find(cell, where, source=source, cursor=place, most=min(MOST_LOOKED, limit - len(items)))
            items += cut.found.items
            looked, forgotten = looked + cut.found.looked, forgotten | cut.found.forgotten
            spent += max(cut.found.looked / MOST_LOOKED, 1 / MOST_EMPTY)
            source, place = cut.source, cut.cursor
            if not place:
                break
    return Found(items, None, looked, forgotten)


MOST_TASKS = 200  # of a subject's page


def subject(cell: CellKeys, name: str) -> Conversation[Subject]:
    """All about a subject: its tasks, those whose key it is and those that bear its name, and what goes with them.

    Raises:
        InvalidTask: no subject can have this name.
    """
    tasks: dict[tuple[str, str], TaskView] = {}
    forgotten: dict[str, datetime] = {}
    more = False
    for where in (Search(subject=name), Search(id=name), Search(key=name)):
        page = yield from search(cell, where, (), limit=MOST_TASKS)
        more = more or page.next_cursor is not None
        tasks |= {(task.queue, task.id): task for task in page.items}
        forgotten |= page.forgotten
    named: list[tuple[str, str]] = [("schedule", name)]
    by_queue: dict[str, list[str]] = {}
    for queue, task_id in tasks:
        named += (("id", task_id), ("line", f"{queue}:{name}"), ("lock", f"{queue}:{name}"))
        by_queue.setdefault(queue, []).append(task_id)
    for queue, ids in by_queue.items():
        for at in range(0, len(ids), 100):
            shown = yield from batches.show(queue_keys(cell.cell, queue), ids[at : at + 100])
            for view in shown.values():
                if view is not None:
                    tasks[queue, view.id] = view
                    named += _named_by(view)
    told = yield about(cell, name, list(dict.fromkeys(named)))
    return Subject(
        subject=name,
        tasks=list(tasks.values()),
        facts=told.facts,
        lines=told.lines,
        locks=told.locks,
        schedules=told.schedules,
        events=told.events,
        forgotten=forgotten,
        more=more,
    )


def _named_by(view: TaskView) -> Iterator[tuple[str, str]]:
    """What a task names: its schedule, and the facts, lines and locks of its conditions."""
    if view.schedule:
        yield "schedule", view.schedule
    plan = view.conditions if isinstance(view.conditions, dict) else {}
    if plan.get("fifo") and view.key:
        yield "line", f"{view.queue}:{view.key}"
    unique = plan.get("unique")
    if isinstance(unique, dict) and isinstance(unique.get("key"), str):
        yield "lock", f"{view.queue}:{unique['key']}"
        yield "line", f"{view.queue}:~{unique['key']}"
    pending: list[Any] = [plan.get(name) for name in ("cancel_on", "wait_for", "unless", "only_if", "late")]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += one.values() if "fact" not in one else [[one["fact"]]]
        elif isinstance(one, list):
            for each in one:
                if isinstance(each, str):
                    yield "fact", each
                else:
                    pending.append(each)


def _places(where: Search, names: Sequence[str], source: str) -> list[str]:
    """The places of each queue that are left, the one that a page ended in first."""
    order = {place: at for at, place in enumerate(places_of(where))}
    kind, _, name = source.partition(":")
    first = (name, order.get(kind, 0))
    return [f"{place}:{one}" for one in sorted(names) for place, at in order.items() if (one, at) >= first]
