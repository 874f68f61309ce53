"""Every key of a namespace, read by plain commands."""

from __future__ import annotations

from typing import Any

import redis

PLACES = ("due", "held", "running", "finished", "dead")
FOR_EVER = (*PLACES, "ready", "queues", "meta")
Broken = set[tuple[str, str, str]]  # kind, name (of a task: queue/id), rule


class Raw:
    """Every key of a namespace, as the server holds it."""

    def __init__(self, connection: redis.Redis, namespace: str) -> None:
        prefix = f"{{{namespace}}}:"
        self.types: dict[str, str] = {}
        self.expiring: set[str] = set()
        self.values: dict[str, Any] = {}
        self.groups: dict[str, dict[str, str]] = {}  # stream -> group -> last delivered
        self.pending: dict[str, set[str]] = {}
        for key in connection.scan_iter(match=prefix + "*", count=1_000):
            name = key.removeprefix(prefix)
            kind = connection.type(key)
            if kind == "none":
                continue  # expired since
            self.types[name] = kind
            if connection.pttl(key) >= 0:
                self.expiring.add(name)
            if kind == "hash":
                self.values[name] = connection.hgetall(key)
            elif kind == "zset":
                self.values[name] = dict(connection.zrange(key, 0, -1, withscores=True))
            elif kind == "string":
                self.values[name] = connection.get(key)
            elif kind == "list":
                self.values[name] = connection.lrange(key, 0, -1)
            elif kind == "set":
                self.values[name] = connection.smembers(key)
            elif kind == "stream":
                self.values[name] = connection.xrange(key)
                found = connection.xinfo_groups(key)
                self.groups[name] = {group["name"]: group["last-delivered-id"] for group in found}
                if "workers" in self.groups[name]:
                    held = connection.xpending_range(key, "workers", "-", "+", 1_000)
                    self.pending[name] = {entry["message_id"] for entry in held}
        seconds, micros = connection.time()
        self.now = seconds * 1_000 + micros // 1_000
        self.queues = {
            name.split(":")[1]
            for name in self.types
            if name.split(":")[0] in (*FOR_EVER, "quarantine", "task") and name.count(":") >= 1
        }

    def zset(self, place: str, queue: str) -> dict[str, float]:
        """Members and scores; nothing where the key is missing or no zset."""
        name = f"{place}:{queue}"
        return self.values[name] if self.types.get(name) == "zset" else {}

    def streams(self, queue: str) -> dict[str, str]:
        """Priority -> name of a stream that is there."""
        names = {"high": f"ready:{queue}:high", "normal": f"ready:{queue}", "low": f"ready:{queue}:low"}
        return {priority: name for priority, name in names.items() if self.types.get(name) == "stream"}

    def entries(self, queue: str) -> dict[str, str]:
        """``priority/stream id`` -> task id, of a queue."""
        found = {}
        for priority, name in self.streams(queue).items():
            for at, fields in self.values[name]:
                found[f"{priority}/{at}"] = next(iter((fields or {}).values()), "")
        return found
