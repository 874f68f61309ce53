"""The table of DESIGN.md section 2 as a check: each task of a namespace is in exactly one place, the one its state names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from typing import Any

import redis

PLACES = ("due", "held", "running", "finished", "dead")
PRIORITIES = ("high", "normal", "low")
FINISHED = ("completed", "skipped", "expired", "cancelled")
HOME = {"scheduled": "due", "held": "held", "running": "running", "dead": "dead", "ready": "ready"} | dict.fromkeys(
    FINISHED, "finished"
)
TYPES = {
    "task": "hash", "due": "zset", "ready": "stream", "held": "zset", "running": "zset", "finished": "zset",
    "dead": "zset", "quarantine": "zset", "outcome": "hash", "claimed": "string", "events": "stream", "stats": "hash",
    "queues": "set", "meta": "hash", "mover": "string",
}  # fmt: skip
TOKEN = re.compile(r"(\d+)\.[0-9a-f]+")


def streams_of(connection: redis.Redis, prefix: str, queue: str) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The entries of the ready streams of a queue, by priority."""
    found = {}
    for priority in PRIORITIES:
        key = f"{prefix}ready:{queue}" + ("" if priority == "normal" else f":{priority}")
        if connection.type(key) == "stream":
            found[priority] = connection.xrange(key)
    return found


def assert_consistent(connection: redis.Redis, namespace: str, broken: Collection[str] = ()) -> None:
    """Each task is in the one place that its state names, each index names only such tasks, and no key leaks.

    ``broken``: ids whose records the test itself spoilt, or duplicated by hand; nothing is promised of their keys.
    """
    prefix = f"{{{namespace}}}:"
    tasks: dict[tuple[str, str], dict[str, Any]] = {}
    outcomes: set[tuple[str, str]] = set()
    queues: set[str] = set()
    for key in connection.scan_iter(match=f"{prefix}*", count=1_000):
        kind, _, rest = key.removeprefix(prefix).partition(":")
        queue, _, task_id = rest.partition(":")
        if task_id in broken and kind in ("task", "outcome"):
            continue
        assert kind in TYPES, f"{key} is no key of the contract"
        assert connection.type(key) == TYPES[kind], f"{key} is a {connection.type(key)}"
        if kind == "task":
            tasks[queue, task_id] = connection.hgetall(key)
        elif kind == "outcome":
            outcomes.add((queue, task_id))
        elif kind == "claimed" or (kind == "stats" and task_id):
            assert 0 < connection.pttl(key) <= 3_600_000, f"{key} stays for ever"
        if kind in (*PLACES, "ready"):
            queues.add(queue)

    places: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for queue in queues:
        for place in PLACES:
            for task_id in connection.zrange(f"{prefix}{place}:{queue}", 0, -1):
                places[queue, task_id][place] += 1
        for priority, entries in streams_of(connection, prefix, queue).items():
            key = f"{prefix}ready:{queue}" + ("" if priority == "normal" else f":{priority}")
            assert [group["name"] for group in connection.xinfo_groups(key)] == ["workers"] or broken
            for at, fields in entries:
                task_id = fields.get("id", "")
                places[queue, task_id]["ready"] += 1
                if task_id not in broken:
                    task = tasks.get((queue, task_id), {})
                    assert task.get("entry") == f"{priority}/{at}", f"a stale entry of {task_id}: {task}"

    for (queue, task_id), task in tasks.items():
        _check_task(task_id, task, places.pop((queue, task_id), Counter()))
    lost = {task_id for _, task_id in places} - set(broken)
    assert not lost, f"ids without a task: {lost}"
    assert {task_id for _, task_id in outcomes - tasks.keys()} <= set(broken), "an outcome without a task"


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
        assert task["reason"]
