"""What several tests do to a queue: hold a task, append to its inbox, change tasks, run what is due."""

from __future__ import annotations

from typing import Any

from redsched.wire import protocol
from redsched.wire.mover import Ingest
from tests.support.lua_queue import HOUR, NOW, Queue

LATER = NOW + 5_000  # when a task is due that is not due yet
SEED = {"type": "t", "payload": "{}"}


def hold(queue: Queue, task_id: str, **fields: Any) -> None:
    """A task that is held, as the conditions will write it."""
    queue.write(task_id, **(SEED | {"state": "held"} | fields))
    queue.redis.zadd(queue.keys.index("held"), {task_id: NOW + HOUR})


def append(queue: Queue, **fields: Any) -> None:
    """One entry as a producer appends it."""
    queue.redis.xadd(queue.key(f"inbox:{queue.name}"), fields)


def ingest(queue: Queue, limit: int = 100) -> Ingest:
    """Take entries of the queue's inbox."""
    return queue.send(protocol.ingest([queue.keys], limit=limit))[0]


def update(queue: Queue, ids: list[str], **fields: Any) -> list[str]:
    """The words for these ids; fields as they stand on the wire."""
    words = [word for pair in fields.items() for word in pair]
    reply = queue.run("update", [queue.keys.due], [queue.now, len(fields), *words, *ids])
    queue.check()
    return [word.decode() for word in reply]


def run(queue: Queue, *, now: int = NOW) -> list[str]:
    """Promote, claim and complete what there is; the ids in the order of their starts."""
    queue.promote(now=now)
    started = queue.claim(now=now).tasks
    for task in started:
        assert queue.settle(task, "complete", now=now) == "completed"
    return [task.id for task in started]


def words(task_id: str = "a", due: Any = LATER, number: Any = 1, **fields: Any) -> list[Any]:
    """The words of one task."""
    named = {"type": "t", "payload": "{}"} | fields
    flat = [word for pair in named.items() if pair[1] is not None for word in pair]
    return [number, task_id, due, len(flat) // 2, *flat]
