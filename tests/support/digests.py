"""Digests of one queue: to join them, to close and work them, and what became of their tasks."""

from __future__ import annotations

import json
from typing import Any

from redsched.wire import protocol
from redsched.wire.claims import Started
from tests.support.lua_queue import NOW, Queue

CLOSED = NOW + 1000  # when a digest closes to which nothing was added since NOW


def join(queue: Queue, name: str, *, now: int = NOW, conditions: dict[str, Any] | None = None, **more: Any) -> str:
    """One task of a digest with a grace of a second; its item is its name."""
    size = {"size": more.pop("size")} if "size" in more else {}
    plan = {"digest": {"key": "k", "grace": 1000, **size}} | (conditions or {})
    return queue.plan(name, plan, now=now, **({"payload": json.dumps(name)} | more))


def three(queue: Queue, **first: Any) -> None:
    """A digest of a, b and c; options are those of a."""
    assert [join(queue, "a", **first), join(queue, "b"), join(queue, "c")] == ["created", "merged a", "merged a"]


def cancel(queue: Queue, *names: str, now: int = NOW) -> list[str]:
    """What cancel answers."""
    return list(queue.send(protocol.cancel(queue.keys, names), now=now).values())


def ready(queue: Queue, *, now: int = CLOSED) -> None:
    """Close what is due, however many looks that takes."""
    for _ in range(8):
        queue.promote(now=now)


def work(queue: Queue, *, now: int = CLOSED) -> list[Started]:
    """Close, start and complete what is due; what was started."""
    found: list[Started] = []
    for _ in range(8):
        queue.attend(now=now)
        queue.promote(now=now)
        for task in queue.claim(now=now).tasks:
            found.append(task)
            assert queue.settle(task, "complete", now=now) == "completed"
        queue.attend(now=now)
    return found


def runs(queue: Queue, *, now: int = CLOSED) -> dict[str, Any]:
    """The items of what was due, by the task that ran."""
    return {task.id: json.loads(task.payload)["items"] for task in work(queue, now=now)}


def ends(queue: Queue, *names: str) -> list[str]:
    """The state and the reason of each."""
    found = [queue.task(name) for name in names]
    return [f"{task.get('state', 'scheduled')} {task.get('reason', '')}".strip() for task in found]


def replace(queue: Queue) -> None:
    """Somebody puts a text where the task a was."""
    queue.redis.delete(queue.keys.task("a"))
    queue.redis.set(queue.keys.task("a"), "text")
    queue.broken.add("a")
