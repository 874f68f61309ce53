"""A change of many tasks that a search names: first all are found, page by page, then they are changed in batches.

A record keeps what is done so far, for a day. It says which process carries the operation out, and whether somebody
wants it to stop. If that process is gone, another goes on where the record ends. A conversation of calls without I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, Literal

import msgspec

from redsched.model.duration import instant
from redsched.model.errors import InvalidTask
from redsched.model.search import WAITING, Search
from redsched.model.task import TaskView
from redsched.model.vocabulary import MOST_OPERATED, PRIORITIES
from redsched.steps import batches
from redsched.steps.conversation import Conversation
from redsched.steps.operation_record import (
    Operation,
    fields_of,
    kept_arguments,
    operation_of,
    resolved,
    text_of_search,
)
from redsched.steps.search import search
from redsched.wire import changes, protocol
from redsched.wire.call import Call
from redsched.wire.codec import check_name
from redsched.wire.keys import CellKeys, QueueKeys, queue_keys
from redsched.wire.search import find

SAMPLE = 20
_LIVE = (*WAITING, "running")
_ENDED = ("dead", "completed", "skipped", "expired", "cancelled")
# action -> the states of those that it is for; the answers that count as done
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
# action -> what is answered of a task that an earlier call of the same batch has changed -> what it answered then
_AGAIN: dict[str, dict[str, str]] = {
    "cancel": {"missing": "cancelled"},  # one that keeps no trace of its end
    "drop": {"missing": "dropped"},
    "revive": dict.fromkeys(_LIVE, "revived"),
    "run": dict.fromkeys(("running", "finished"), "rescheduled"),
    "retag": {"unchanged": "retagged"},
}

Tell = Callable[[Operation], bool | Literal["stopped"] | None]  # whether it is to end, and not to go on later
Place = tuple[str, str]  # queue, id
Target = tuple[str, str, int | None]  # queue, id, when it is due (ms)


def check(cell: CellKeys, action: str, arguments: Mapping[str, Any], max_payload: int) -> None:
    """Whether an action can be carried out with these arguments; raises InvalidTask."""
    if action not in ACTIONS:
        raise InvalidTask("action", f"must be one of {', '.join(ACTIONS)}")
    for name in arguments:
        if action == "move" and name == "queue":
            problem = "is not for move: to names the queue that they go to, and queue:NAME in the search where they are"
            raise InvalidTask(name, problem)
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
    kept = kept_arguments(arguments, most=MOST_OPERATED, scan=False)
    if action not in ("move", "drop"):
        _call(queue_keys(cell.cell, "q"), action, [("q", "a", 0)], kept, "", max_payload)  # which is not sent


class Carrying:
    """One process's part in an operation: begin it or take it up, find what is left to change, and change it.

    ``tell`` is called after each step. Targets are changed in the order of their places. The record names the last one
    that is done and the batch whose call comes next: whoever takes the operation up repeats that call, for nobody knows
    whether it was sent, and goes on after it.

    Raises:
        InvalidTask: action, arguments or search cannot be used; nothing was done.
    """

    def __init__(
        self,
        cell: CellKeys,
        where: Search,
        action: str,
        arguments: Mapping[str, Any],
        *,
        operation_id: str,
        most: int = MOST_OPERATED,
        scan: bool = False,
        max_payload: int,
        tell: Tell | None = None,
    ) -> None:
        check(cell, action, arguments, max_payload)
        find(cell, where)  # whatever is wrong with it, nothing is sent
        states, self._good = ACTIONS[action]
        self._for = states or (*_LIVE, *_ENDED)
        self._where = where if where.states else msgspec.structs.replace(where, states=states)
        self._given = kept_arguments(arguments, most=most, scan=scan)
        self._cell, self._most, self._max_payload, self._tell = cell, most, max_payload, tell
        self.names: Sequence[str] = ()  # the queues to go through, where the search names no key
        text = text_of_search(self._where)
        self.now = Operation(id=operation_id, action=action, search=text, state="planned", arguments=self._given)
        self.is_begun = False
        self._driver = changes.new_operation()
        self._after: Place | None = None  # the last that is done
        self._next: Sequence[Target] = ()  # the batch whose call comes next
        self._started_ms = 0
        self._ends: Literal["aborted", "stopped", "replaced"] | None = None  # why it does not go on

    def plan(self, now_ms: int) -> Conversation[Operation]:
        """What it would change, by the server's time."""
        self._start_at(now_ms)
        yield from self._find(dry=True)
        return self.now

    def steps(self) -> Conversation[Operation]:
        """Carry out what is not done yet; where it is over, or another process carries it out, only tell of it.

        Raises:
            InvalidTask: the id is that of another operation; nothing was done.
        """
        asked = {name: fields_of(self.now)[name] for name in ("action", "search", "arguments")}
        begun: changes.OperationStep = yield changes.operate(self._cell, self.now.id, "begin", self._driver, asked)
        if begun.word == "other":
            problem = "is that of another operation, whose action, search or arguments are not these; nothing was done"
            raise InvalidTask("id", problem, code="operation_exists")
        self.now = operation_of(self.now.id, begun.record, begun.now_ms) or self.now
        if begun.word != "begun":
            return self.now
        self.is_begun = True
        self._start_at(int(begun.record["started_at"]))
        self._after = msgspec.json.decode(begun.record.get("after") or "null", type=Place | None)
        self._next = msgspec.json.decode(begun.record.get("next") or "[]", type=list[Target])
        self._say()
        if self._next and self._ends is None:
            yield from self._change(self._next, (), again=True)
        is_sure = not self._next
        found = yield from self._find()
        if self._ends is None:
            yield from self._change_all(found or {})
        if is_sure:
            self._next = ()
        if self._ends != "replaced":
            is_done = found is not None and self.now.done >= self.now.total
            yield from self._note("completed" if is_done or self._ends is None else self._ends)
        return self.now

    def failed(self, error: Exception) -> Call[changes.OperationStep]:
        """What says that it broke off."""
        said = str(error)[:500] or type(error).__name__
        return changes.operate(self._cell, self.now.id, "write", self._driver, {"state": "failed", "error": said})

    def _start_at(self, started_ms: int) -> None:
        """Count what is relative to now from there."""
        self._started_ms = started_ms
        self._where = resolved(self._where, started_ms)
        if "delay_ms" in self._given:
            self._given = self._given | {"due_ms": started_ms + self._given["delay_ms"]}

    def _find(self, *, dry: bool = False) -> Conversation[dict[Place, int | None] | None]:
        """The targets that are left; None where it ends before all are found."""
        found: dict[Place, int | None] = {}
        left, counted = self._most - self.now.done, Counter[str]()
        left_out, answers = Counter[str](), Counter[str]()
        cursor: str | None = None
        while self._ends is None:
            page = yield from search(self._cell, self._where, self.names, limit=500, cursor=cursor)
            for task in page.items:
                place = (task.queue, task.id)
                if place in found or (self._after and place <= self._after) or task.queue == self._given.get("to"):
                    continue
                if task.state not in self._for:
                    left_out[task.state] += 1
                    continue
                found[place] = _ms(task)
                if dry and len(found) <= left:
                    counted[task.state] += 1
                    answers["expires"] += self._is_too_late(task)
            if self._after is None:
                sample = [f"{queue}/{task_id}" for queue, task_id in list(found)[:SAMPLE]]
                self.now = msgspec.structs.replace(self.now, sample=sample, left_out=dict(left_out))
            total = self.now.done + min(len(found), left)
            self.now = msgspec.structs.replace(self.now, total=total, more=len(found) > left)
            if dry:
                self.now = msgspec.structs.replace(self.now, states=dict(counted), answers=dict(+answers))
            else:
                yield from self._note("finding")
            self._say()
            cursor = page.next_cursor
            if cursor is None or len(found) > left:
                return dict(list(found.items())[:left])
        return None

    def _is_too_late(self, task: TaskView) -> bool:
        """Whether a task would be due only after its start-by, so that its due time will not be changed."""
        if task.expires_at is None or self.now.action not in ("run", "reschedule", "revive"):
            return False
        by_ms: int | None = self._given.get("by_ms")
        due_ms: int = self._given.get("due_ms", 0) if by_ms is None else (_ms(task) or 0) + by_ms
        return round(task.expires_at.timestamp() * 1_000) + (by_ms or 0) <= max(due_ms, self._started_ms)

    def _change_all(self, found: Mapping[Place, int | None]) -> Conversation[None]:
        targets: list[Target] = sorted((queue, task_id, due) for (queue, task_id), due in found.items())
        parts = list(_parts(targets, self.now.action))
        for at, part in enumerate(parts):
            if at == 0:
                self._next = part
                yield from self._note("running")
                self._say()
            if self._ends is None:
                yield from self._change(part, parts[at + 1] if at + 1 < len(parts) else ())

    def _change(
        self, part: Sequence[Target], following: Sequence[Target], *, again: bool = False
    ) -> Conversation[None]:
        """Change a batch; ``again``: its call may have been carried out before."""
        keys = queue_keys(self._cell.cell, part[0][0])
        told = yield _call(keys, self.now.action, part, self._given, self.now.id, self._max_payload)
        formerly = _AGAIN.get(self.now.action, {}) if again else {}
        answers = Counter(self.now.answers)
        answers.update(formerly.get(word, word) for word in told.values())
        done = self.now.done + len(part)
        self.now = msgspec.structs.replace(
            self.now,
            total=max(done, self.now.total),
            done=done,
            changed=sum(answers[word] for word in self._good),
            answers=dict(answers),
        )
        self._after, self._next = part[-1][:2], following
        yield from self._note("running")
        self._say()

    def _note(self, state: str) -> Conversation[None]:
        self.now = msgspec.structs.replace(self.now, state=state)
        fields = fields_of(self.now) | {"after": self._after, "next": self._next}
        step: changes.OperationStep = yield changes.operate(self._cell, self.now.id, "write", self._driver, fields)
        self.now = msgspec.structs.replace(self.now, updated_at=instant(step.now_ms))
        if step.word == "replaced":
            self.now, self._ends = operation_of(self.now.id, step.record, step.now_ms) or self.now, "replaced"
        elif step.word == "abort":
            self._ends = "aborted"

    def _say(self) -> None:
        said = self._tell(self.now) if self._tell is not None and self._ends != "replaced" else None
        if said and self._ends is None:
            self._ends = "stopped" if said == "stopped" else "aborted"


def _ms(task: TaskView) -> int | None:
    return None if task.due_at is None else round(task.due_at.timestamp() * 1_000)


def _parts(targets: Sequence[Target], action: str) -> Iterator[Sequence[Target]]:
    """Batches of one queue each."""
    most = batches.A_CALL[{"run": "reschedule", "priority": "update"}.get(action, action)]
    for _, group in groupby(targets, key=lambda target: target[0]):
        some = list(group)
        for at in range(0, len(some), most):
            yield some[at : at + most]


def _call(
    keys: QueueKeys, action: str, targets: Sequence[Target], given: Mapping[str, Any], operation: str, max_payload: int
) -> Call[Any]:
    ids = [task_id for _, task_id, _ in targets]
    if action == "cancel":
        return protocol.cancel(keys, ids, reason=given.get("reason") or "")
    if action == "drop":
        return protocol.drop(keys, ids)
    if action == "priority":
        return protocol.update(keys, ids, {"priority": given["priority"]}, max_payload=max_payload)
    if action == "retag":
        return changes.retag(keys, ids, add=given.get("add") or (), remove=given.get("remove") or ())
    if action == "move":
        return changes.move(keys, ids, to=given["to"])
    if action == "reschedule" and "by_ms" in given:
        pairs = [(task_id, due) for _, task_id, due in targets]
        return changes.shift(keys, pairs, by_ms=given["by_ms"], operation=operation)
    due, delay = given.get("due_ms"), None
    if due is None and "delay_ms" in given:
        delay = timedelta(milliseconds=given["delay_ms"])
    if action == "revive":
        return protocol.revive(keys, ids, due=due, delay=delay)
    return protocol.reschedule(keys, ids, due=0 if action == "run" else due, delay=delay)
