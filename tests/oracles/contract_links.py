"""What the wire contract says of tasks with conditions and of the keys that tie them, as plain Python.

Written apart from the Lua and the doctor. Conditions are as the damage test writes them, or of no use.
"""

from __future__ import annotations

import json
import math
from typing import Any

from tests.oracles.raw_keys import Broken, Raw

TIES = {
    "listeners": "zset", "line": "zset", "children": "zset", "stopped": "zset", "agenda": "zset", "parents": "hash",
    "paused": "hash", "cursors": "hash", "rules": "hash", "items": "hash", "members": "zset",
    "unique": "string", "digest": "string",
}  # fmt: skip
LIVE = ("scheduled", "held", "ready", "running")
NO_END = 4 * 10**12
KINDS = ("hold", "heard", "ended", "removed", "resume", "digest")


class Ties:
    """The keys of a namespace, asked for what ties tasks."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.agenda: dict[str, float] = self.value("agenda", "zset") or {}

    def value(self, name: str, kind: str) -> Any:
        """What a key of this type holds; None where there is none."""
        return self.raw.values.get(name) if self.raw.types.get(name) == kind else None

    def task(self, queue: str, task_id: str) -> dict[str, str]:
        """The hash of a task; empty where there is none."""
        return self.value(f"task:{queue}:{task_id}", "hash") or {}

    def live(self, queue: str, task_id: str) -> bool:
        """Whether it may still run."""
        task = self.task(queue, task_id)
        return bool(task) and task.get("state", "scheduled") in LIVE

    def plan(self, queue: str, task_id: str) -> dict[str, Any] | None:
        """The conditions of a live task."""
        try:
            found = json.loads(self.task(queue, task_id).get("conditions", ""))
        except ValueError:
            return None
        return found if isinstance(found, dict) and self.live(queue, task_id) else None

    def lines(self, queue: str, task_id: str, *, may: bool = False) -> list[str]:
        """The lines in which it has to stand; ``may``: in which it may."""
        plan = self.plan(queue, task_id) or {}
        found = [self.task(queue, task_id).get("key", "")] if plan.get("fifo") else []
        unique = plan.get("unique", {})
        return found + (["~" + unique["key"]] if unique and (may or unique.get("mode") == "keep_last") else [])

    def asks(self, member: str, fact: str) -> bool:
        """Whether a live task asks for a fact."""
        plan = self.plan(*member.split("/", 1)) or {}
        wait = plan.get("wait_for", {})
        return fact in [*plan.get("cancel_on", []), *wait.get("all", wait.get("any", []))]

    def waits_in(self, queue: str, task_id: str, digest: str) -> bool:
        """Whether it waits in that digest."""
        task = self.task(queue, task_id)
        return task.get("into") == digest and task.get("state", "scheduled") in ("scheduled", "held", "ready")

    def is_child(self, queue: str, task_id: str, parent: str) -> bool:
        """Whether a parent names it."""
        home, _, name = parent.partition("/")
        return f"{queue}/{task_id}" in (self.value(f"children:{home}:{name}", "zset") or {})

    def waits_for(self, queue: str, task_id: str) -> list[tuple[str, str]]:
        """The tasks that must have ended before it runs: its parents, and who stands before it."""
        task = self.task(queue, task_id)
        try:
            plan = json.loads(task.get("conditions", ""))
        except ValueError:
            return []
        if not isinstance(plan, dict) or not (self.live(queue, task_id) or task.get("state") == "dead"):
            return []
        told = self.value(f"parents:{queue}:{task_id}", "hash") or {}
        names = plan.get("after", {}).get("ids", [])
        if "p" in task.get("bound", "") and names:
            names = [name for name, value in told.items() if value == "" and self.is_child(queue, task_id, name)]
        names = [name for name in names if not told.get(name if "/" in name else f"{queue}/{name}")]
        found = [tuple(name.split("/", 1)) if "/" in name else (queue, name) for name in names]
        for line in self.lines(queue, task_id):
            members = sorted((self.value(f"line:{queue}:{line}", "zset") or {}).items(), key=lambda one: one[::-1])
            order = [member for member, _ in members]
            if task_id in order[1:]:
                found.append((queue, order[order.index(task_id) - 1]))
        return found  # type: ignore[return-value]

    def is_in_circle(self, queue: str, task_id: str) -> bool:
        """Whether it waits for itself."""
        seen: set[tuple[str, str]] = set()
        pending = self.waits_for(queue, task_id)
        while pending:
            one = pending.pop()
            if one == (queue, task_id):
                return True
            if one not in seen:
                seen.add(one)
                pending += self.waits_for(*one)
        return False


def of_task(raw: Raw, queue: str, task_id: str, score: float | None) -> set[str]:
    """The rules that a task breaks; ``score``: of its hold."""
    ties = Ties(raw)
    task, plan, found = ties.task(queue, task_id), ties.plan(queue, task_id), set()
    state, blocked = task.get("state", "scheduled"), task.get("blocked", "")
    if state == "held" and score is not None and math.isfinite(score):
        whole = math.floor(score)
        if whole == 0 or 10**11 <= whole <= NO_END:
            found |= _hold(ties, queue, task_id, score)
    if plan is None:
        return found
    if "p" not in task.get("bound", ""):
        judged = state in ("ready", "running") or (state == "held" and not blocked.startswith("pause:"))
        return found | ({"unbound"} if judged else set())
    wait = plan.get("wait_for", {})
    for name in [*plan.get("cancel_on", []), *wait.get("all", wait.get("any", []))]:
        if f"{queue}/{task_id}" not in (ties.value(f"listeners:{name}", "zset") or {}):
            found.add("deaf")
    if any(task_id not in (ties.value(f"line:{queue}:{line}", "zset") or {}) for line in ties.lines(queue, task_id)):
        found.add("out_of_line")
    return found


def _hold(ties: Ties, queue: str, task_id: str, score: float) -> set[str]:
    task, plan, found = ties.task(queue, task_id), ties.plan(queue, task_id) or {}, set()
    why = task.get("blocked", "")
    member = {"confirm": "hold", "facts": "wait_for", "parents": "after", "digest": "digest"}.get(why)
    paused = why.startswith("pause:") and len(why) > 6
    known = paused or (member in plan if member else why == "line" and ties.lines(queue, task_id))
    if not known:
        return {"unblocked"}
    if score < NO_END and ties.agenda.get(f"hold/{queue}", math.inf) > score:
        found.add("no_reminder")
    if why == "digest":
        name = task.get("into", "")
        among = task_id in (ties.value(f"members:{queue}:{name}", "zset") or {})
        found |= set() if among and f"digest/{queue}/{name}" in ties.agenda else {"undigested"}
    if why == "parents":
        left = (ties.value(f"parents:{queue}:{task_id}", "hash") or {}).get(":left", "0")
        if int(left) < 1:
            found.add("parents")
    if paused:
        what = why[6:]
        if task_id not in (ties.value(f"stopped:{queue}:{what}", "zset") or {}):
            found.add("unstopped")
        line = (ties.value(f"paused:{queue}", "hash") or {}).get(what)
        till = int(line.split()[0]) if line else None
        latest = max(till or 0, ties.raw.now)
        if till != 0 and ties.agenda.get(f"resume/{queue}/{what}", math.inf) > latest:
            found.add("never_resumed")
    return found


def of_keys(raw: Raw) -> Broken:
    """The keys that name what is not so."""
    ties = Ties(raw)
    found: Broken = set()
    for name, kind in raw.types.items():
        first, *rest = name.split(":", 2)
        if (first, kind) == ("outcome", "hash") and f"task:{':'.join(rest)}" not in raw.types:
            found.add(("key", name, "orphan"))
        if TIES.get(first) != kind:
            continue
        if first == "agenda" and any(item.partition("/")[0] not in KINDS for item in ties.agenda):
            found.add(("key", name, "stray_item"))
        if first == "listeners" and any(not ties.asks(member, name.partition(":")[2]) for member in raw.values[name]):
            found.add(("key", name, "stale_listener"))
        if first == "cursors" and raw.values[name].keys() - ties.agenda.keys():
            found.add(("key", name, "stale_cursor"))
        if len(rest) == 2 and first != "listeners":
            rule = _of_key(ties, first, name, *rest)
            found |= {("key", name, rule)} if rule else set()
    return found


def _of_key(ties: Ties, kind: str, name: str, queue: str, rest: str) -> str | None:
    value, there = ties.raw.values[name], f"task:{queue}:{rest}" in ties.raw.types
    if kind == "line":
        first = min(value, key=lambda member: (value[member], member))
        return None if rest in ties.lines(queue, first, may=True) else "stale_line"
    if kind == "digest":
        members = ties.value(f"members:{queue}:{value}", "zset") or {"": 0}
        first = min(members, key=lambda member: (members[member], member))
        task = ties.task(queue, first)
        opened = (ties.plan(queue, first) or {}).get("digest", {}).get("key") == rest
        waits = task.get("state", "scheduled") in ("scheduled", "held") and "frozen" not in task
        return None if opened and waits else "stale_digest"
    if kind == "unique":
        has = (ties.plan(queue, value.split()[0]) or {}).get("unique", {}).get("key") == rest
        return None if has or name in ties.raw.expiring else "stale_unique"
    if kind == "children" and "/" in rest:
        parent, _, word = rest.partition("/")
        return None if f"removed/{word}/{queue}/{parent}" in ties.agenda else "orphan"
    if kind == "children" and not there:
        return None if f"ended/gone/{queue}/{rest}" in ties.agenda else "orphan"
    if kind in ("items", "members"):
        if f"digest/{queue}/{rest}" not in ties.agenda:
            return "orphan"
        items = ties.value(f"items:{queue}:{rest}", "hash") or {}
        waits = [one for one in value if ties.waits_in(queue, one, rest)] if kind == "members" else []
        return "no_item" if ":started" not in items and set(waits) - items.keys() else None
    if kind == "parents" and not there:
        return "orphan"
    return _of_parents(ties, queue, rest, value) if kind == "parents" else None


def _of_parents(ties: Ties, queue: str, child: str, told: dict[str, str]) -> str | None:
    plan = ties.plan(queue, child)
    if plan is None or "after" not in plan:
        return None
    parents = {name: value for name, value in told.items() if not name.startswith(":")}
    left = [name for name, value in parents.items() if not value]
    failed = [name for name, value in parents.items() if value and not value.startswith("completed ")]
    if told.get(":left", "0") != str(len(left)) or told.get(":failed", "0") != str(len(failed)):
        return "parents"
    broken = None
    for name in told:  # the first in the order of the hash
        if name in left:
            broken = broken or _of_parent(ties, queue, child, name)
    task = ties.task(queue, child)
    waits = left and task.get("state", "scheduled") in ("scheduled", "held") and "c" in task.get("bound", "")
    return broken or ("circle" if waits and ties.is_in_circle(queue, child) else None)


def _of_parent(ties: Ties, queue: str, child: str, name: str) -> str | None:
    home, parent = name.split("/", 1)
    task = ties.task(home, parent)
    if f"{queue}/{child}" not in (ties.value(f"children:{home}:{parent}", "zset") or {}):
        for word in ("gone", "completed"):
            if f"{queue}/{child}" in (ties.value(f"children:{home}:{parent}/{word}", "zset") or {}):
                return None if f"removed/{word}/{name}" in ties.agenda else "untold"
        return "parents"
    if task and "c" not in task.get("bound", ""):
        return "parents"
    ends = {f"ended/{task.get('state', 'scheduled') if task else 'gone'}/{name}", f"ended/gone/{name}"}
    return None if ties.live(home, parent) or ends & ties.agenda.keys() else "untold"
