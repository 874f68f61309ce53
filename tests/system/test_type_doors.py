"""A type's defaults count through every door: whatever a task says itself comes first, then its type, then what is
built in.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from redsched import App, Client, Rule, Schedule, Task, TaskTemplate
from redsched.cli.main import main
from redsched.wire import protocol
from redsched.wire.keys import queue_keys
from tests.support.api_server import ApiServer
from tests.support.app_types import put_types
from tests.support.servers import Store

TYPE = {"queue": "of-type", "max_attempts": 2, "retry": "7s", "timeout": "8s", "expires_in": "1h", "retention": "9s"}
SAID = {"queue": "said", "max_attempts": 3, "retry": "4s", "timeout": "5s", "expires_in": "2h", "retention": "6s"}
# how each field is in a task's hash; the start-by as how long after the task was made
STORED = {"max_attempts": "max_attempts", "retry": "retry", "timeout": "timeout_ms", "retention": "retention_ms"}
WORDS = {
    "max_attempts": str,
    "retry": lambda value: f"fixed {value[:-1]}000",
    "timeout": lambda value: f"{value[:-1]}000",
    "retention": lambda value: f"{value[:-1]}000",
    "expires_in": lambda value: f"+{int(value[:-1]) * 3_600_000}",
}  # fmt: skip
HOUR = 3_600_000

app = App("doors")


@app.task("known", **TYPE)  # type: ignore[arg-type]
def known(n: int = 0) -> None: ...


class Doors:
    """Each method makes one task of a type with fields that it says itself; it answers its queue and id."""

    def __init__(self, store: Store, client: Client, api: ApiServer) -> None:
        self.store, self.client, self.api = store, client, api
        self.numbers = itertools.count()

    def name(self) -> str:
        """An id that was not given before."""
        return f"n{next(self.numbers)}"

    def enqueue(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        made = self.client.enqueue(type_, {}, **said)
        return made.queue, made.id

    def enqueue_many(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        (_, made) = self.client.enqueue_many([Task(type="other"), Task(type=type_, payload={}, **said)])
        return made.queue, made.id

    def function(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        if type_ != "known":
            return self.enqueue(type_, said)
        made = self.client.enqueue(known.options(**said))  # type: ignore[arg-type]
        return made.queue, made.id

    def hold(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        made = self.client.hold(type_, {}, **said)
        return made.queue, made.id

    def expect(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        made = self.client.expect("paid", self.name(), "1ms", type_, {}, **said)
        return made.queue, made.id

    def chain(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        made = self.client.chain([Task(type=type_, payload={}, **said), Task(type="other")])
        return made[0].queue, made[0].id

    def group(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        made = self.client.group([Task(type="other"), Task(type="other")], Task(type=type_, payload={}, **said))
        return made[-1].queue, made[-1].id

    def http(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        made = self.api.post("/v1/tasks", {"type": type_, "payload": {}, **in_json(said)}).json
        return made["queue"], made["id"]

    def http_batch(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        task_id = self.name()
        body = [{"type": type_, "payload": {}, "id": task_id, **in_json(said)}]
        assert self.api.post("/v1/tasks:batch", body).json["created"] == 1
        return self.place(task_id), task_id

    def http_workflow(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        body = {"chain": [{"type": type_, "payload": {}, **in_json(said)}, {"type": "other"}]}
        made = self.api.post("/v1/workflows", body).json[0]
        return made["queue"], made["id"]

    def command_line(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        said = said | ({"retry": f"fixed:{said['retry']}"} if "retry" in said else {})
        options = [f"--{name.replace('_', '-')}={value}" for name, value in said.items()]
        environment = {"REDSCHED_REDIS_URL": self.store.url or "", "REDSCHED_NAMESPACE": self.store.namespace}
        arguments = ["task", "add", type_, "-p", "{}", "-o", "json", *options]
        result = CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        made = json.loads(result.stdout)
        return made["queue"], made["id"]

    def schedule(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        template = TaskTemplate(type=type_, payload={}, **said)
        self.client.schedules.put(Schedule(id=self.name(), every="1h", task=template))
        made = self.client.schedules.trigger(f"n{next(self.numbers) - 1}")
        assert made is not None
        return self.place(made), made

    def rule(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        name = self.name()
        self.client.put_rule(Rule(id=name, on=name, task=TaskTemplate(type=type_, payload={}, **said)))
        (made,) = self.client.emit(name).made
        queue, _, task_id = made.partition("/")
        return queue, task_id

    def function_call(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        """As another language does: it asks for the queue of the type."""
        line = self.store.redis.hget(self.store.key("types"), type_) or ""
        queue = said.get("queue") or line.partition(" ")[0] or "default"
        words = ["type", type_, "payload", "{}", *raw(said)]
        task_id = self.name()
        keys = queue_keys(self.client.cell, queue)
        self.store.redis.fcall("rs1_enqueue", 1, keys.due, 0, 1, task_id, 0, len(words) // 2, *words)
        return queue, task_id

    def plain_commands(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        """The queue is what the producer says; a mover adds the rest."""
        queue, task_id = said.get("queue", "default"), self.name()
        keys, words = queue_keys(self.client.cell, queue), ["type", type_, "payload", "{}", *raw(said)]
        now = int(self.store.redis.time()[0]) * 1_000
        found = dict(zip(words[::2], words[1::2], strict=True))
        if "expires_at" in found:
            found["expires_at"] = str(now + int(found["expires_at"][1:]))
        self.store.redis.hset(keys.task(task_id), mapping=found)
        self.store.redis.zadd(keys.due, {task_id: now})
        while self.client.transport.send(protocol.promote([keys], mover="m")).queues[0].moved:
            pass  # what other doors made is due as well
        return queue, task_id

    def inbox(self, type_: str, said: dict[str, Any]) -> tuple[str, str]:
        queue, task_id = said.get("queue", "default"), self.name()
        keys, words = queue_keys(self.client.cell, queue), ["type", type_, "payload", "{}", *raw(said)]
        fields = dict(zip(words[::2], words[1::2], strict=True))
        self.store.redis.xadd(keys.index("inbox"), {"id": task_id, **fields})
        self.client.transport.send(protocol.ingest([keys]))
        return queue, task_id

    def place(self, task_id: str) -> str:
        """The queue that a task is in."""
        (key,) = self.store.redis.keys(self.store.key(f"task:*:{task_id}"))
        return str(key.removeprefix(self.store.key("task:")).partition(":")[0])


NAMES_ITS_QUEUE = ("plain_commands", "inbox")  # the type's queue cannot count there
HOLDS = ("hold", "group")  # a task that conditions may hold gets no start-by of its type
DOORS = [name for name, made in vars(Doors).items() if callable(made) and name not in ("__init__", "name", "place")]


def in_json(said: dict[str, Any]) -> dict[str, Any]:
    """The fields as a request has them."""
    return said | ({"retry": {"kind": "fixed", "delay": said["retry"]}} if "retry" in said else {})


def raw(said: dict[str, Any]) -> list[str]:
    """The fields as words of the wire."""
    names = STORED | {"expires_in": "expires_at"}
    return [word for name, value in said.items() if name != "queue" for word in (names[name], WORDS[name](value))]


@pytest.fixture(scope="module")
def doors(valkey_server: Any) -> Iterator[Doors]:
    """All doors to one namespace, in which the type ``known`` has been put."""
    from tests.support import servers

    store = Store("valkey", servers.connect(valkey_server.url), url=valkey_server.url)
    with store.client() as client, ApiServer(valkey_server.url, store.namespace) as api:
        client.install()
        put_types(client, app)
        yield Doors(store, client, api)
    store.clear()


def found(doors: Doors, queue: str, task_id: str) -> dict[str, Any]:
    """The fields that a task has, the start-by in hours after it was made, rounded."""
    fields = doors.store.redis.hgetall(doors.store.key(f"task:{queue}:{task_id}"))
    assert fields["type"] in ("known", "unknown")
    shown = {name: fields[word] for name, word in STORED.items() if word in fields}
    if "expires_at" in fields:
        made = fields.get("created_at") or fields["due_at"]
        shown["expires_in"] = round((int(fields["expires_at"]) - int(made)) / HOUR)
    return shown | {"queue": queue}


def expected(door: str, type_: str, said: dict[str, Any]) -> dict[str, Any]:
    """What it must have."""
    given = {name: value for name, value in TYPE.items() if name != "queue" or door not in NAMES_ITS_QUEUE}
    if door in HOLDS:
        given.pop("expires_in")
    fields = {"queue": "default"} | (given if type_ == "known" else {}) | said
    shown = {name: WORDS[name](value) for name, value in fields.items() if name in STORED}
    if "expires_in" in fields:
        shown["expires_in"] = int(fields["expires_in"][:-1])
    return shown | {"queue": fields["queue"]}


SUBSETS = [set(some) for n in range(len(SAID) + 1) for some in itertools.combinations(SAID, n)]


@pytest.mark.parametrize("type_", ["known", "unknown"])
@pytest.mark.parametrize("door", DOORS)
def test_what_is_said_comes_first_then_the_type_then_what_is_built_in(doors: Doors, door: str, type_: str) -> None:
    enter: Callable[[str, dict[str, Any]], tuple[str, str]] = getattr(doors, door)
    for subset in SUBSETS if door != "command_line" else SUBSETS[::3]:
        said = {name: value for name, value in SAID.items() if name in subset}

        assert found(doors, *enter(type_, said)) == expected(door, type_, said), said


def test_every_field_that_a_type_may_give_is_tried_here() -> None:
    assert TYPE.keys() == SAID.keys() == {*STORED, "queue", "expires_in"}
    assert {field.name for field in msgspec.structs.fields(TaskTemplate)} >= TYPE.keys()
