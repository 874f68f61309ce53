"""What the wire contract says of tasks, places and keys, as plain Python: which rules are broken, and by what.

Written apart from the Lua and the doctor, from the tables of the contract only: it shares no code with either.
"""

from __future__ import annotations

import math
import re

from tests.oracles import contract_index, contract_links
from tests.oracles.contract_links import TIES
from tests.oracles.raw_keys import FOR_EVER, PLACES, Broken, Raw

FINAL = {"completed": "finished", "skipped": "finished", "expired": "finished", "cancelled": "finished", "dead": "dead"}
PLACE_OF = FINAL | {"scheduled": "due", "held": "held", "running": "running", "ready": "ready"}
HOUR, YEAR = 3_600_000, 31_536_000_000
TYPES = {
    "task": "hash", "due": "zset", "held": "zset", "running": "zset", "finished": "zset", "dead": "zset",
    "quarantine": "zset", "ready": "stream", "events": "stream", "outcome": "hash", "stats": "hash", "meta": "hash",
    "queues": "set", "mover": "string", "claimed": "string", "sweeps": "zset", "config": "hash",
} | TIES | dict.fromkeys(("about", "keyed", "tagged"), "zset")  # fmt: skip
OF_TYPES = {"types": "hash", "defaults": "hash", "schemas": "hash", "owned": "set"}
TYPES |= {"emitted": "set", "forgotten": "zset", "operation": "hash", "indexed": "string"} | OF_TYPES
TYPES |= {"operations": "zset", "apps": "zset", "live": "zset"}
LASTING = (*FOR_EVER, "sweeps", "config", "about", "keyed", "tagged", "indexed", *OF_TYPES, *(TIES.keys() - {"unique"}))
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


def broken(raw: Raw) -> Broken:
    """Everything that breaks a rule."""
    found = _keys(raw) | contract_links.of_keys(raw) | contract_index.of_keys(raw)
    for queue in raw.queues:
        members = {place: raw.zset(place, queue) for place in PLACES}
        entries = raw.entries(queue)
        ids = {task_id for scores in members.values() for task_id in scores}
        ids |= {name.split(":", 2)[2] for name in raw.types if name.startswith(f"task:{queue}:")}
        for task_id in ids:
            scores = {place: members[place][task_id] for place in PLACES if task_id in members[place]}
            rules = _task(raw, queue, task_id, scores, entries)
            found |= {("task", f"{queue}/{task_id}", rule) for rule in rules}
        found |= _streams(raw, queue, entries)
        listed = raw.values.get("queues", set()) if raw.types.get("queues") in (None, "set") else None
        if listed is not None and queue not in listed and (entries or any(members.values())):
            found.add(("queue", queue, "unlisted"))
    return found


def _keys(raw: Raw) -> Broken:
    found: Broken = set()
    if "epoch" not in (raw.values.get("meta") or {}) and raw.types.get("meta") in (None, "hash"):
        found.add(("key", "meta", "epoch"))
    for name, kind in raw.types.items():
        first = name.split(":")[0]
        if first == "task":
            continue
        if first in TYPES and kind != TYPES[first]:
            found.add(("key", name, "key_type"))
            continue
        if first in LASTING and name in raw.expiring:
            found.add(("key", name, "key_ttl"))
        if first == "stats" and name.count(":") > 1 and name not in raw.expiring:
            found.add(("key", name, "no_ttl"))
        if first == "ready":
            if "workers" not in raw.groups[name]:
                found.add(("key", name, "no_group"))
            if raw.groups[name].keys() - {"workers"}:
                found.add(("key", name, "foreign_group"))
    return found


def _streams(raw: Raw, queue: str, entries: dict[str, str]) -> Broken:
    found: Broken = set()
    for priority, stream in raw.streams(queue).items():
        pending = raw.pending.get(stream, set())
        there = {at for at, _ in raw.values[stream]}
        found |= {("pending", f"{priority}/{at}", "dangling_pending") for at in pending - there}
        for at in there:
            name = f"{priority}/{at}"
            task = raw.values.get(f"task:{queue}:{entries[name]}") if ID.fullmatch(entries[name]) else None
            is_task = raw.types.get(f"task:{queue}:{entries[name]}") == "hash"
            if not (task and is_task and task.get("state") == "ready" and task.get("entry") == name):
                found.add(("entry", name, "stray_entry"))
    return found


def _task(raw: Raw, queue: str, task_id: str, scores: dict[str, float], entries: dict[str, str]) -> set[str]:
    key = f"task:{queue}:{task_id}"
    kind = raw.types.get(key) if ID.fullmatch(task_id) else None
    aside = any(
        f"{why}:{task_id}" in raw.zset("quarantine", queue) for why in ("missing", "wrong type", "bad id", "bad time")
    )
    if not ID.fullmatch(task_id):
        return {"bad_id"} if scores else set()
    if kind is None:
        return {"missing"} if scores else set()
    if kind != "hash":
        return set() if aside and not scores else {"wrong_type"}
    task = raw.values[key]
    state = task.get("state", "scheduled")
    rules: set[str] = set()
    if state not in PLACE_OF:
        rules.add("unknown_state")
    else:
        home = PLACE_OF[state]
        at_home = entries.get(task.get("entry", "")) == task_id if home == "ready" else home in scores
        if not at_home and not (state == "scheduled" and aside and not scores):
            rules.add("unindexed")
        if set(scores) - {home}:
            rules.add("misplaced")
    if key in raw.expiring:
        rules.add("expiring")
    attempt, most = _whole(task.get("attempt", "0"), 0, 10**6), _whole(task.get("max_attempts", "5"), 1, 1_000)
    if state == "running":
        token = re.fullmatch(r"(\d{1,4})\.[A-Za-z0-9]+", task.get("token", ""))
        if attempt is None or not 1 <= attempt <= (most or 1_000):
            rules.add("attempts")
        if not token or int(token[1]) != attempt:
            rules.add("token")
        if scores.get("running", 0) > raw.now + HOUR:
            rules.add("lease")
    elif state in ("scheduled", "ready", "held"):
        usable = (
            NAME.fullmatch(task.get("type", ""))
            and "payload" in task
            and attempt is not None
            and most is not None
            and _whole(task.get("timeout_ms", "1"), 1, 86_400_000)
            and _whole(task.get("expires_at", "100000000000"), 10**11, 4 * 10**12)
            and (state == "ready" or task.get("priority", "normal") in ("high", "normal", "low"))
        )
        if not usable:
            rules.add("malformed")
        elif attempt is not None and most is not None and attempt > most:
            rules.add("attempts")
        score = scores.get(PLACE_OF[state])
        if score is not None and not (math.isfinite(score) and is_time(math.floor(score))):
            rules.add("bad_time")
    elif state in FINAL and scores.get(FINAL[state], 0) > raw.now + YEAR:
        rules.add("retention")
    return (
        rules
        | contract_index.of_task(raw, queue, task_id)
        | contract_links.of_task(raw, queue, task_id, scores.get("held"))
    )


def is_time(score: int) -> bool:
    """0, or ms between 1973 and 2096."""
    return score == 0 or 10**11 <= score <= 4 * 10**12


def _whole(text: str, low: int, high: int) -> int | None:
    if re.fullmatch(r"[0-9]{1,15}", text) is None or not low <= int(text) <= high:
        return None
    return int(text)
