"""Two queues of one namespace, each with a Redis user of its own: neither stops the other."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from redsched import App, Settings
from redsched.engine.worker import Worker
from redsched.wire import acl
from tests.support import servers
from tests.support.servers import FIXTURES, Store

QUEUES = ("a", "b")
app = App()


@app.task("note")
async def note() -> None:
    """Does nothing."""


@dataclass
class Tenants:
    """A namespace in which each queue has the users of ``redsched acl print``."""

    store: Store

    def users(self) -> dict[tuple[str, str], str]:
        """The name of each user, by queue and role."""
        roles = ("worker", "planner", "producer-raw")
        return {(queue, role): acl.user_of(role, self.store.namespace, [queue]) for queue in QUEUES for role in roles}

    def make(self) -> None:
        for (queue, role), name in self.users().items():
            line = acl.role(role, self.store.namespace, [queue]).line(name)
            self.store.redis.execute_command(*line.replace(f">{acl.SECRET}", ">pw").split())

    def url(self, queue: str, role: str) -> str:
        assert self.store.url is not None
        return f"redis://{self.users()[queue, role]}:pw@127.0.0.1:{urlsplit(self.store.url).port}/0"

    def worker(self, queue: str, *more: str) -> Worker:
        settings = Settings(
            redis_url=self.url(queue, "worker"), namespace=self.store.namespace, queues=(queue, *more), lease_ms=6_000
        )
        return Worker(app, settings)

    def raw(self, queue: str, task_id: str, in_ms: int, **fields: str) -> None:
        """A task as a producer of the queue writes it, with two plain commands."""
        with servers.connect(self.url(queue, "producer-raw")) as connection:
            key = self.store.key
            connection.hset(key(f"task:{queue}:{task_id}"), mapping={"type": "note", "payload": "{}", **fields})
            connection.zadd(key(f"due:{queue}"), {task_id: self.store.now_ms() + in_ms})

    def listen(self, queue: str, task_id: str, event: str) -> None:
        """A task that waits for an event, as the planner of the queue enqueues it."""
        conditions = json.dumps({"wait_for": {"all": [event]}})
        words = (task_id, 0, 3, "type", "note", "payload", "{}", "conditions", conditions)
        with servers.connect(self.url(queue, "planner")) as connection:
            connection.execute_command("FCALL", "rs1_enqueue", 1, self.store.key(f"due:{queue}"), 0, 1, *words)

    def emit(self, queue: str, event: str, event_id: str) -> None:
        """An event that the planner of a queue tells of."""
        with servers.connect(self.url(queue, "planner")) as connection:
            fact = self.store.key(f"fact:{event}")
            connection.execute_command("FCALL", "rs1_emit", 1, fact, 0, "1", 1_000, event_id)

    def state(self, queue: str, task_id: str) -> str | None:
        return self.store.redis.hget(self.store.key(f"task:{queue}:{task_id}"), "state")


@pytest.fixture(params=["redis", "redis8", "valkey"])
def tenants(request: pytest.FixtureRequest) -> Iterator[Tenants]:
    """On Redis 7.0 and 8.2 and Valkey 9.1."""
    server = request.getfixturevalue(FIXTURES[request.param])
    store = Store(request.param, servers.connect(server.url), url=server.url)
    with store.client() as client:
        client.install()
    made = Tenants(store)
    made.make()
    yield made
    store.redis.acl_deluser(*made.users().values())
    store.clear()
    store.redis.close()


async def completed(tenants: Tenants, tasks: list[tuple[str, str]], seconds: float = 30) -> None:
    """Wait until these tasks, each a queue and an id, have run."""
    async with asyncio.timeout(seconds):
        while any(tenants.state(*task) != "completed" for task in tasks):
            await asyncio.sleep(0.02)


def test_each_worker_promotes_its_own_queue_though_it_learns_of_the_other(tenants: Tenants) -> None:
    async def scenario() -> None:
        workers = [tenants.worker(queue) for queue in QUEUES]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        await asyncio.sleep(0.5)
        for turn in range(4):
            tasks = [(queue, f"t{turn}") for queue in QUEUES]
            for queue, task_id in tasks:
                tenants.raw(queue, task_id, 300)
            await completed(tenants, tasks)
        for worker in workers:
            worker.stop()
        assert await asyncio.gather(*running) == [0, 0]

    asyncio.run(scenario())


def test_a_promote_that_leaves_a_denied_task_says_that_there_is_more_behind_it(tenants: Tenants) -> None:
    due = tenants.store.key("due:a")
    tenants.raw("b", "parent", 60_000)
    tenants.raw("a", "denied", -9_000, conditions=json.dumps({"after": {"ids": ["b/parent"]}}))
    for at in range(12):
        tenants.raw("a", f"t{at}", -8_000)

    with servers.connect(tenants.url("a", "worker")) as connection:
        replies = [connection.execute_command("FCALL", "rs1_promote", 1, due, 0, 10, "m") for _ in range(6)]

    assert sum(reply[2] for reply in replies) == 12
    assert replies[0][2] > 0 and replies[0][3] == replies[0][0]  # moved some; more is due now
    assert replies[-1][3] == -1  # what is denied does not count


def test_what_a_task_waits_for_in_a_queue_of_another_user_holds_up_nobody(tenants: Tenants) -> None:
    """The parent, the listener and the item of the agenda are left for whoever may touch them."""

    async def scenario() -> None:
        tenants.raw("b", "parent", 3_600_000)
        tenants.raw("a", "stuck", 0, conditions='{"after":{"ids":["b/parent"]}}')
        tenants.store.redis.zadd(tenants.store.key("agenda"), {"hold/b": 1, "resume/b/queue": 1, "ended/gone/b/x": 1})
        worker = tenants.worker("a")
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0.5)
        calls = int(tenants.store.redis.info("commandstats").get("cmdstat_fcall", {}).get("calls", 0))
        began = time.monotonic()
        for turn in range(3):
            tenants.raw("a", f"t{turn}", 200)
            await completed(tenants, [("a", f"t{turn}")])
        await asyncio.sleep(1)
        made = int(tenants.store.redis.info("commandstats")["cmdstat_fcall"]["calls"]) - calls
        passed = time.monotonic() - began
        assert made < 75 * max(passed, 2.0), f"{made} calls in {passed:.1f} seconds"
        worker.stop()
        assert await running == 0

    asyncio.run(scenario())
    assert tenants.store.redis.zcard(tenants.store.key("agenda")) >= 1
    assert tenants.state("a", "stuck") in (None, "scheduled")


def test_a_worker_of_two_queues_serves_the_one_that_it_may(tenants: Tenants) -> None:
    async def scenario() -> None:
        worker = tenants.worker("a", "b")
        running = asyncio.create_task(worker.run())
        for turn in range(3):
            tenants.raw("a", f"t{turn}", 100)
            await completed(tenants, [("a", f"t{turn}")])
        worker.stop()
        assert await running == 0

    asyncio.run(scenario())


def test_an_event_reaches_the_listeners_of_both_queues_whoever_tells_of_it(tenants: Tenants) -> None:
    async def scenario() -> None:
        workers = [tenants.worker(queue) for queue in QUEUES]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        await asyncio.sleep(0.5)
        rule = {"queue": "b", "fields": {"type": "note", "payload": "{}"}}
        tenants.store.redis.hset(tenants.store.key("rules:e1"), "rule", json.dumps(rule))
        for turn, (emitter, count) in enumerate((("a", 2), ("b", 2), ("a", 40), ("b", 40))):
            tasks = [(queue, f"t{turn}-{number}") for queue in QUEUES for number in range(count)]
            for queue, task_id in tasks:
                tenants.listen(queue, task_id, f"e{turn}:x")
            tenants.emit(emitter, f"e{turn}:x", f"id{turn}")
            await completed(tenants, tasks)
        tenants.emit("a", "e1:y", "id5")
        await completed(tenants, [("b", "rule:id1"), ("b", "rule:id5")])
        for worker in workers:
            worker.stop()
        assert await asyncio.gather(*running) == [0, 0]

    asyncio.run(scenario())
    assert not tenants.store.redis.exists(tenants.store.key("agenda"), tenants.store.key("cursors"))
