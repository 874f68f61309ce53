"""The states of a task and their places as a check: each task of a namespace is in the one place its state names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from typing import Any

import redis

from redsched.model.fields import FIELDS
from tests.oracles import contract_index

PLACES = ("due", "held", "running", "finished", "dead")
PRIORITIES = ("high", "normal", "low")
FINISHED = ("completed", "skipped", "expired", "cancelled")
HOME = {"scheduled": "due", "held": "held", "running": "running", "dead": "dead", "ready": "ready"} | dict.fromkeys(
    FINISHED, "finished"
)
TYPES = {
    "task": "hash", "due": "zset", "ready": "stream", "held": "zset", "running": "zset", "finished": "zset",
    "dead": "zset", "quarantine": "zset", "outcome": "hash", "claimed": "string", "events": "stream", "stats": "hash",
    "queues": "set", "meta": "hash", "mover": "string", "inbox": "stream", "answer": "hash", "durable": "string",
    "run": "hash",
    "schedules": "zset", "schedule": "hash", "calendars": "hash", "fact": None, "listeners": "zset", "line": "zset",
    "unique": "string", "digest": "string", "items": "hash", "members": "zset", "parents": "hash", "children": "zset",
    "paused": "hash", "stopped": "zset", "agenda": "zset", "cursors": "hash", "rules": "hash",
    "config": "hash", "sweeps": "zset", "emitted": "set", "forgotten": "zset", "operation": "hash",
    "operations": "zset",
    "about": "zset", "keyed": "zset", "tagged": "zset", "indexed": "string",
    "types": "hash", "defaults": "hash", "schemas": "hash", "apps": "zset", "live": "zset", "owned": "set",
}  # fmt: skip
FOUND_BY = ("about", "keyed", "tagged")
TIED = ("listeners", "line", "digest", "items", "members", "parents", "children", "stopped", "agenda", "cursors")
WORDS = {field.word for field in FIELDS if field.in_hash}
TOKEN = re.compile(r"(\d+)\.[0-9a-f]+")


def streams_of(connection: redis.Redis, prefix: str, queue: str) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The entries of the ready streams of a queue, by priority."""
    found = {}
    for priority in PRIORITIES:
        key = f"{prefix}ready:{queue}" + ("" if priority == "normal" else f":{priority}")
        if connection.type(key) == "stream":
            found[priority] = connection.xrange(key)
    return found


def everything(connection: redis.Redis, pattern: str) -> dict[str, tuple[str, Any]]:
    """Key -> type and content of all keys that match, in three round trips."""
    keys = sorted(set(connection.scan_iter(match=pattern, count=1_000)))
    with connection.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
        kinds = {key: kind for key, kind in zip(keys, pipe.execute(), strict=True) if kind != "none"}  # expired since
        read = {
            "hash": pipe.hgetall,
            "set": pipe.smembers,
            "string": pipe.get,
            "stream": pipe.xrange,
            "list": lambda key: pipe.lrange(key, 0, -1),
            "zset": lambda key: pipe.zrange(key, 0, -1, withscores=True),
        }
        for key, kind in kinds.items():
            read[kind](key)
        return {key: (kind, content) for (key, kind), content in zip(kinds.items(), pipe.execute(), strict=True)}


def assert_consistent(
    connection: redis.Redis, namespace: str, broken: Collection[str] = (), *, stopped: bool = False
) -> None:
    """Each task is in the one place that its state names, each index names only such tasks, and no key leaks.

    ``broken``: ids whose records the test itself spoilt, or duplicated by hand; nothing is promised of their keys.
    ``stopped``: a call stopped half-way, so that one that has ended may still say what it was held for.
    """
    prefix = f"{{{namespace}}}:"
    tasks: dict[tuple[str, str], dict[str, Any]] = {}
    outcomes: set[tuple[str, str]] = set()
    places: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    ties: dict[str, dict[str, Any]] = defaultdict(dict)
    found_by: set[tuple[str, ...]] = set()
    for key, (kind, content) in everything(connection, f"{prefix}*").items():
        name, _, rest = key.removeprefix(prefix).partition(":")
        queue, _, task_id = rest.partition(":")
        if task_id in broken and name in ("task", "outcome"):
            continue
        assert name in TYPES, f"{key} is no key of the contract"
        assert TYPES[name] in (kind, None), f"{key} is a {kind}"
        if name == "task":
            tasks[queue, task_id] = content
            unknown = content.keys() - WORDS
            assert not unknown, f"{key} has fields without a row in redsched/model/fields.py: {unknown}"
        elif name == "outcome":
            outcomes.add((queue, task_id))
        elif name in PLACES:
            for member, _ in content:
                places[queue, member][name] += 1
        elif name == "ready":
            assert broken or [group["name"] for group in connection.xinfo_groups(key)] == ["workers"]
            for at, fields in content:
                places[queue, fields.get("id", "")]["ready"] += 1
                named[queue, fields.get("id", "")].append(f"{task_id or 'normal'}/{at}")
        elif name in FOUND_BY:
            assert all(score == 0 for _, score in content), key
            found_by |= {(f"{name}:{rest}", *member.split("/", 1)) for member, _ in content}
        elif name in TIED:
            ties[name][rest] = content
        elif name == "claimed" or (name == "stats" and task_id):
            assert connection.pttl(key) != -1, f"{key} stays for ever"

    for (queue, task_id), task in tasks.items():
        _check_task(task_id, task, places.pop((queue, task_id), Counter()))
        entries = named.get((queue, task_id), [])
        assert entries in ([], [task.get("entry")]), f"stale entries of {task_id}: {entries}"
    lost = {task_id for _, task_id in places} - set(broken)
    assert not lost, f"ids without a task: {lost}"
    assert {task_id for _, task_id in outcomes - tasks.keys()} <= set(broken), "an outcome without a task"
    if not broken:
        held = {place: connection.zscore(f"{prefix}held:{place[0]}", place[1]) for place in tasks}
        allowed = ("held", "dead", *FINISHED) if stopped else ("held",)
        left = {place for place, task in tasks.items() if task.get("blocked") and task.get("state") not in allowed}
        assert not left, f"blocked and not held: {left}"
        _check_index(tasks, found_by, stopped)
        _check_ties(tasks, ties, {place: score for place, score in held.items() if score is not None})


def _check_index(
    tasks: dict[tuple[str, str], dict[str, Any]], found_by: Collection[tuple[str, ...]], stopped: bool
) -> None:
    """Each task is found by its tags, its key and its subject, and by nothing else."""
    wanted, may = set(), set()
    for (queue, task_id), task in tasks.items():
        names = contract_index.names(task_id, task)
        may |= {(name, queue, task_id) for name in names}
        if "created_at" in task or task.get("state", "scheduled") != "scheduled":
            wanted |= {(name, queue, task_id) for name in names}
    assert wanted <= set(found_by), f"not found: {wanted - set(found_by)}"
    assert stopped or set(found_by) <= may, f"found and no more: {set(found_by) - may}"


def _check_ties(
    tasks: dict[tuple[str, str], dict[str, Any]], ties: dict[str, dict[str, Any]], held: dict[tuple[str, str], float]
) -> None:
    """What tasks are entered in beside their places names only tasks that are so."""

    def live(queue: str, task_id: str) -> bool:
        task = tasks.get((queue, task_id))
        return task is not None and task.get("state", "scheduled") in ("scheduled", "held", "ready", "running")

    agenda = dict(ties["agenda"].get("", []))
    for name, members in ties["listeners"].items():
        for member, _ in members:
            assert live(*member.split("/", 1)), f"{member} listens to {name} and is no more"
    for rest, members in ties["line"].items():
        for member, _ in members:
            assert live(rest.partition(":")[0], member), f"{member} stands in line {rest} and is no more"
    _check_digests(tasks, ties, agenda, live)
    for rest in ties["parents"]:
        queue, _, task_id = rest.partition(":")
        assert (queue, task_id) in tasks, f"{rest} has parents and is no more"
    for rest in ties["children"]:
        queue, _, task_id = rest.partition(":")
        task_id, _, removed = task_id.partition("/")
        item = f"removed/{removed}/{queue}/{task_id}" if removed else f"ended/gone/{queue}/{task_id}"
        is_there = not removed and (queue, task_id) in tasks
        assert is_there or item in agenda, f"children of {rest}, which is gone"
    for rest, members in ties["stopped"].items():
        queue, _, what = rest.partition(":")
        for member, _ in members:
            assert tasks[queue, member].get("blocked") == f"pause:{what}", f"{member} is not set aside for {what}"
    for (queue, task_id), score in held.items():
        if score < 4e12 and "blocked" in tasks[queue, task_id]:
            assert agenda.get(f"hold/{queue}", 9e15) <= score, f"nobody ends the hold of {task_id}"
    assert {item for items in ties["cursors"].values() for item in items} <= agenda.keys()
    for (queue, task_id), task in tasks.items():
        assert (queue, task_id) in held or task.get("state") != "held"


def _check_digests(
    tasks: dict[tuple[str, str], dict[str, Any]],
    ties: dict[str, dict[str, Any]],
    agenda: Collection[str],
    live: Callable[[str, str], bool],
) -> None:
    """A digest that has not started has an item for each of its tasks; only the first of them is not held for it."""
    waiting = {place for place, task in tasks.items() if (task.get("state"), task.get("blocked")) == ("held", "digest")}
    for rest, name in ties["digest"].items():
        assert f"{rest.partition(':')[0]}:{name}" in ties["members"], f"nobody is in digest {rest}"
    assert ties["items"].keys() == ties["members"].keys()
    for rest, members in ties["members"].items():
        queue, _, name = rest.partition(":")
        ids = [task_id for task_id, _ in sorted(members, key=lambda member: member[1])]
        starter = ties["items"][rest].get(":started", "")
        assert f"digest/{queue}/{name}" in agenda, f"nobody looks at digest {rest}"
        has_begun = ":removed" in ties["items"][rest] or not live(queue, starter) or "frozen" in tasks[queue, starter]
        if not starter or not has_begun:
            assert set(ids) == {field for field in ties["items"][rest] if field[0] != ":"}
            for task_id in ids:
                assert tasks[queue, task_id]["into"] == name
                assert tasks[queue, task_id].get("state", "scheduled") in ("scheduled", "held", "ready")
            assert tasks[queue, ids[0]].get("blocked") != "digest", f"nobody closes digest {rest}"
        waiting -= {(queue, task_id) for task_id in ids}
    assert not waiting, f"held for a digest in which they are not: {waiting}"


def _check_task(task_id: str, task: dict[str, str], places: Counter[str]) -> None:
    state = task.get("state", "scheduled")
    assert state in HOME, f"{task_id} is {state}"
    assert dict(places) == {HOME[state]: 1}, f"{task_id} is {state} and in {dict(places)}"
    if state == "running":
        token = TOKEN.fullmatch(task["token"])
        assert token and token[1] == task["attempt"]
        assert task["worker"] and task["started_at"]
    if state == "ready":
        assert "due_at" in task
    if state in ("dead", *FINISHED):
        assert "finished_at" in task
    if state == "dead":
        assert "reason" in task
