"""What the wire contract says of the keys by which tasks are found, as plain Python."""

from __future__ import annotations

import json

from tests.oracles.raw_keys import Broken, Raw

KINDS = ("about", "keyed", "tagged")


def names(task_id: str, task: dict[str, str]) -> set[str]:
    """The keys that have to name a task."""
    found = {f"about:{task_id.partition(':')[0]}"} if ":" in task_id else set()
    if task.get("key"):
        found.add(f"keyed:{task['key']}")
    try:
        tags = json.loads(task.get("tags") or "[]")
    except ValueError:
        tags = []
    usable = (
        [tag for tag in tags if isinstance(tag, str) and tag and len(tag.encode()) <= 512]
        if isinstance(tags, list)
        else []
    )
    return found | {f"tagged:{tag}" for tag in list(dict.fromkeys(usable))[:16]}


def of_task(raw: Raw, queue: str, task_id: str) -> set[str]:
    """``unfindable``, where a key does not name a task that it has to."""
    task = raw.values[f"task:{queue}:{task_id}"]
    if task.get("state", "scheduled") == "scheduled" and "created_at" not in task:
        return set()
    lacking = (name for name in names(task_id, task) if f"{queue}/{task_id}" not in _members(raw, name))
    return {"unfindable"} if any(lacking) else set()


def of_keys(raw: Raw) -> Broken:
    """Members that name no such task, or have a score."""
    found: Broken = set()
    for name in raw.types:
        if name.split(":")[0] not in KINDS:
            continue
        for member, score in _members(raw, name).items():
            queue, _, task_id = member.partition("/")
            key = f"task:{queue}:{task_id}"
            task = raw.values[key] if raw.types.get(key) == "hash" else None
            if score or task is None or name not in names(task_id, task):
                found.add(("key", f"stale:{member} {name}", "stale_index"))
    return found


def _members(raw: Raw, name: str) -> dict[str, float]:
    return raw.values[name] if raw.types.get(name) == "zset" else {}
