"""A change of many tasks that a search names: first all are found, page by page, then they are changed in batches.

What is done so far is kept in a record for a day, which also says whether somebody wants it to stop. A conversation of
calls without I/O.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec

from redsched.model.duration import instant
from redsched.model.errors import InvalidTask
from redsched.model.search import WAITING, Search
from redsched.model.task import TaskView
from redsched.model.vocabulary import PRIORITIES
from redsched.steps import batches
from redsched.steps.conversation import Conversation
from redsched.steps.search import search
from redsched.wire import changes, protocol
from redsched.wire.call import Call
from redsched.wire.codec import check_name, pairs, text_of
from redsched.wire.keys import CellKeys, QueueKeys, queue_keys

MOST = 1_000_000  # tasks of one operation
SAMPLE = 20
_LIVE = (*WAITING, "running")
_ENDED = ("dead", "completed", "skipped", "expired", "cancelled")
# action -> the states of those that it is for, where the search names none; the answers that count as done
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cancel": (_LIVE, ("cancelled", "requested")),
    "revive": (("dead",), ("revived",)),
    "drop": (_ENDED, ("dropped",)),
    "run": (WAITING, ("rescheduled",)),
    "reschedule": (WAITING, ("rescheduled",)),
    "priority": (WAITING, ("updated",)),
    "retag": ((), ("retagged",)),
    "move": ((*WAITING, "dead"), ("moved",)),
}
_ARGUMENTS = {
    "cancel": ("reason",), "reschedule": ("due", "delay", "by"), "revive": ("due", "delay"), "priority": ("priority",),
    "retag": ("add", "remove"), "move": ("to",),
}  # fmt: skip


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A change of many tasks. ``total``: tasks that were found; ``done``: those that it has come to; ``changed``: those
    that it changed; ``answers``: how many had which answer; ``sample``: the first of them, ``<queue>/<id>``.

    ``state``: ``running``, ``completed``, ``aborted``, ``failed``, or ``planned`` in a dry run, which changes nothing.
    ``more``: there are more than one operation changes; repeat it.
    """

    id: str
    action: str
    search: str
    state: str
    total: int = 0
    done: int = 0
    changed: int = 0
    answers: dict[str, int] = {}
    sample: list[str] = []
    more: bool = False
    started_at: datetime | None = None
    updated_at: datetime | None = None


Tell = Callable[[Operation], bool | None]  # whether it is to stop
Target = tuple[str, str, int | None]  # queue, id, when it is due (ms)


def check(cell: CellKeys, action: str, arguments: Mapping[str, Any], max_payload: int) -> None:
    """Whether an action can be carried out with these arguments; raises InvalidTask."""
    if action not in ACTIONS:
        raise InvalidTask("action", f"must be one of {', '.join(ACTIONS)}")
    for name in arguments:
        if name not in _ARGUMENTS.get(action, ()):
            takes = ", ".join(_ARGUMENTS.get(action, ())) or "nothing"
            raise InvalidTask(name[:40], f"is not for {action}, which takes {takes}")
    given = [name for name in ("due", "delay", "by") if arguments.get(name) is not None]
    if action == "reschedule" and len(given) != 1:
        raise InvalidTask("due", "give one of due, delay and by")
    if action == "move":
        check_name("to", arguments.get("to"))
    if action == "priority" and arguments.get("priority") not in PRIORITIES:
        raise InvalidTask("priority", f"must be one of {', '.join(PRIORITIES)}")
    for name in ("add", "remove"):
        if isinstance(arguments.get(name), str):
            raise InvalidTask(name, "must be a list of texts")
    if action not in ("move", "drop"):
        _calls(queue_keys(cell.cell, "q"), action, [("q", "a", 0)], arguments, max_payload)  # which is not sent


def operate(
    cell: CellKeys,
    names: Sequence[str],
    where: Search,
    action: str,
    arguments: Mapping[str, Any],
    *,
    operation_id: str,
    dry_run: bool,
    most: int,
    max_payload: int,
    tell: Tell | None = None,
) -> Conversation[Operation]:
    """Find, then change; ``tell`` is called after each page and batch.

    Raises:
        InvalidTask: action, arguments or search cannot be used; nothing was done.
    """
    check(cell, action, arguments, max_payload)
    states, good = ACTIONS[action]
    if not where.states:
        where = msgspec.structs.replace(where, states=states)
    now = Operation(id=operation_id, action=action, search=text_of_search(where), state="planned")
    found: dict[tuple[str, str], int | None] = {}
    cursor: str | None = None
    while True:
        page = yield from search(cell, where, names, limit=500, cursor=cursor)
        for task in page.items:
            if action != "move" or task.queue != arguments["to"]:
                found.setdefault((task.queue, task.id), _ms(task))
        cursor = page.next_cursor
        sample = [f"{queue}/{task_id}" for queue, task_id in list(found)[:SAMPLE]]
        now = msgspec.structs.replace(now, total=min(len(found), most), sample=sample, more=len(found) > most)
        if tell is not None:
            tell(now)
        if cursor is None or len(found) > most:
            break
    if dry_run:
        return now
    targets: list[Target] = [(queue, task_id, due) for (queue, task_id), due in found.items()][:most]
    now = msgspec.structs.replace(now, state="running")
    answers: Counter[str] = Counter()
    word = yield _noted(cell, now)
    for queue, some in groupby(sorted(targets, key=lambda target: target[0]), key=lambda target: target[0]):
        for part in _parts(list(some), action):
            if word == "abort":
                break
            done = yield _calls(queue_keys(cell.cell, queue), action, part, arguments, max_payload)
            answers.update(done.values())
            changed = sum(answers[one] for one in good)
            now = msgspec.structs.replace(now, done=now.done + len(part), changed=changed, answers=dict(answers))
            word = yield _noted(cell, now)
            if tell is not None and tell(now):
                word = "abort"
    now = msgspec.structs.replace(now, state="aborted" if word == "abort" and now.done < now.total else "completed")
    yield _noted(cell, now)
    return now


def _noted(cell: CellKeys, now: Operation) -> Call[str]:
    fields = {
        name: getattr(now, name)
        for name in ("action", "search", "state", "total", "done", "changed", "answers", "sample")
    }
    return changes.operate(cell, now.id, "write", fields | {"more": int(now.more)})


def _ms(task: TaskView) -> int | None:
    return None if task.due_at is None else round(task.due_at.timestamp() * 1_000)


def _parts(targets: Sequence[Target], action: str) -> Iterator[Sequence[Target]]:
    verb = {"run": "reschedule", "priority": "update"}.get(action, action)
    most = batches.A_CALL[verb]
    for at in range(0, len(targets), most):
        yield targets[at : at + most]


def _calls(
    keys: QueueKeys, action: str, targets: Sequence[Target], given: Mapping[str, Any], max_payload: int
) -> Call[Any]:
    ids = [task_id for _, task_id, _ in targets]
    if action == "cancel":
        return protocol.cancel(keys, ids, reason=given.get("reason") or "")
    if action == "revive":
        return protocol.revive(keys, ids, due=given.get("due"), delay=given.get("delay"))
    if action == "drop":
        return protocol.drop(keys, ids)
    if action == "priority":
        return protocol.update(keys, ids, {"priority": given["priority"]}, max_payload=max_payload)
    if action == "retag":
        return changes.retag(keys, ids, add=given.get("add") or (), remove=given.get("remove") or ())
    if action == "move":
        return changes.move(keys, ids, to=given["to"])
    if action == "reschedule" and given.get("by") is not None:
        by_ms = changes.shift_ms(given["by"])
        return changes.shift(keys, [(task_id, due) for _, task_id, due in targets], by_ms=by_ms)
    due, delay = (0, None) if action == "run" else (given.get("due"), given.get("delay"))
    return protocol.reschedule(keys, ids, due=due, delay=delay)


def operation_of(operation_id: str, flat: Sequence[Any]) -> Operation | None:
    """What a record says; None where there is none."""
    found = {name: text_of(value) for name, value in pairs(list(flat)).items()}
    if not found.get("state"):
        return None
    return Operation(
        id=operation_id,
        action=found.get("action", ""),
        search=found.get("search", ""),
        state=found["state"],
        total=int(found.get("total") or 0),
        done=int(found.get("done") or 0),
        changed=int(found.get("changed") or 0),
        answers=msgspec.json.decode(found.get("answers") or "{}", type=dict[str, int]),
        sample=msgspec.json.decode(found.get("sample") or "[]", type=list[str]),
        more=found.get("more") == "1",
        started_at=instant(int(found.get("started_at") or 0)),
        updated_at=instant(int(found.get("updated_at") or 0)),
    )


def text_of_search(where: Search) -> str:
    """A search as its words; times as they are on the wire."""
    words = [
        f"{name}:{value}"
        for name in ("id", "subject", "key", "type", "queue", "reason")
        if (value := getattr(where, name)) is not None
    ]
    words += [f"tag:{tag}" for tag in where.tags]
    if where.states:
        words.append(f"state:{','.join(where.states)}")
    for name in ("due", "created", "ended"):
        span = getattr(where, name)
        if span is not None:
            words.append(f"{name}:{span.since or ''}..{span.until or ''}")
    return shlex.join(words)
