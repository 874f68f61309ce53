"""What the doctor's verbs find in a queue, key by key, and what becomes of it."""

from __future__ import annotations

from typing import Any

from redsched.wire import doctor
from redsched.wire.doctor import Inspected
from tests.support.lua_queue import NOW, Queue


def lasting(queue: Queue) -> dict[str, Any]:
    """Every key that does not go by itself within seconds."""
    return {key: value for key, value in queue.dump().items() if not key.endswith(":mover") and ":claimed:" not in key}


def look(queue: Queue, what: str, *names: str, cursor: bytes = b"", limit: int = 100, now: int = NOW) -> Inspected:
    """One page; nothing is written by it."""
    before = lasting(queue)
    call = doctor.inspect(queue.keys, what, cursor=cursor, limit=limit, names=[name.encode() for name in names])
    page = call.read(queue.run("inspect", call.keys, [now, *call.args[1:]]))
    assert lasting(queue) == before
    return page


def rules(queue: Queue, task_id: str, *, now: int = NOW) -> set[str]:
    """The rules that a task breaks."""
    return {fault.rule for fault in look(queue, "tasks", task_id, now=now).faults}


def mend(queue: Queue, *faults: tuple[str, str], now: int = NOW) -> list[str]:
    """What has become of each; the namespace is checked afterwards."""
    return queue.send(doctor.repair(queue.keys, [(kind, name.encode()) for kind, name in faults]), now=now)


def faults(queue: Queue) -> set[tuple[str, str, str]]:
    """Everything that is wrong, of all keys: kind, name and rule."""
    found = set()
    for key in queue.dump():
        name = key.removeprefix(queue.key(""))
        kind, _, rest = name.partition(":")
        if kind == "task":
            found |= {("task", rest.partition(":")[2], rule) for rule in rules(queue, rest.partition(":")[2])}
        elif kind != "meta":
            found |= {("key", fault.name.decode(), fault.rule) for fault in look(queue, "keys", name).faults}
    return found


def mends(queue: Queue, kind: str, name: str, *broken: str) -> str:
    """The word for what has become of the only thing that is broken, by these rules; nothing is broken afterwards."""
    assert faults(queue) == {(kind, name, rule) for rule in broken}
    (word,) = mend(queue, (kind, name))
    assert faults(queue) == set()
    return word


def delete(queue: Queue, name: str) -> None:
    """DEL."""
    assert queue.redis.delete(queue.key(name)) == 1, name
