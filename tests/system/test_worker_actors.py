"""The actors of a worker, each by itself: its steps on a real store, without the loops of the others."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from redsched import App, AsyncClient, Task
from redsched.engine.app_types import Definitions
from redsched.engine.elapsed import elapsed
from redsched.engine.isolation import Refusals
from redsched.engine.observer import Silent
from redsched.engine.shared import Shared
from redsched.engine.worker.claim_order import ClaimOrder
from redsched.engine.worker.claims import Claims
from redsched.engine.worker.doorbell import Doorbell
from redsched.engine.worker.ends import Ends
from redsched.engine.worker.groups import join
from redsched.engine.worker.held import Held
from redsched.engine.worker.joining import Joining
from redsched.engine.worker.leases import Leases
from redsched.engine.worker.run_metrics import RunMetrics
from redsched.engine.worker.runner import Runner
from redsched.engine.worker.shutdown import Shutdown, Stopping
from redsched.engine.worker.slots import Slots
from redsched.engine.worker.spool import Spool
from redsched.engine.worker.trips import Trips
from redsched.settings import Settings
from redsched.wire import protocol
from redsched.wire.claims import Settlement
from redsched.wire.keys import queue_keys
from tests.support.movers import eventually
from tests.support.servers import Store

CONSUMER = "tested"
ANSWERS = logging.getLogger("redsched.worker")


class Parts:
    """One of each, wired as a worker wires them, for two slots; no loop runs."""

    def __init__(self, client: AsyncClient, folder: Path, queues: tuple[str, ...] = ("default",)) -> None:
        self.client = client
        self.gate = asyncio.Event()
        self.app = self._app()
        self.nudged = nudged = asyncio.Event()
        self.settings = settings = Settings(
            redis_url=client.settings.redis_url,
            namespace=client.settings.namespace,
            queues=queues,
            concurrency=2,
            data_dir=str(folder),
        )
        keys = [queue_keys(client.cell, queue) for queue in queues]
        observer = Silent()
        self.stopping = Stopping()
        self.refusals = Refusals("claim", observer, ANSWERS)
        self.ends = ends = Ends(client, nudged.set)
        self.claims = claims = Claims(settings.lease_ms / 1_000, ends.add)
        self.leases = Leases(client, claims, settings.lease_ms, observer=observer)
        self.runner = Runner(2, Shared(client), nudged.set)
        self.slots = slots = Slots(
            self.app.tasks,
            claims,
            self.leases,
            self.runner,
            RunMetrics(observer),
            most=2,
            end=ends.add,
            nudge=nudged.set,
        )
        self.order = order = ClaimOrder(keys, self.refusals, nudged.set)
        self.bell = Doorbell(client, keys, CONSUMER, order.rung, self.refusals)
        self.spool = Spool(settings)
        definitions = Definitions(client, self.app, CONSUMER, with_schedules=False, observer=observer)
        self.joining = Joining(client, keys, self.refusals, definitions, self.spool, self.stopping, observer)
        self.trips = Trips(
            client,
            settings,
            CONSUMER,
            self.app.tasks,
            self.stopping,
            order=order,
            claims=claims,
            slots=slots,
            ends=ends,
            bell=self.bell,
            burst=False,
            nudged=nudged,
            observer=observer,
        )
        self.shutdown = Shutdown(
            client,
            CONSUMER,
            self.stopping,
            order=order,
            claims=claims,
            slots=slots,
            ends=ends,
            spool=self.spool,
            nudge=nudged.set,
        )

    def _app(self) -> App:
        app = App("actors")

        @app.task("gated")
        async def gated() -> None:
            await self.gate.wait()

        @app.task("fail")
        async def fail() -> None:
            raise ValueError("no")

        return app

    async def state(self, task_id: str) -> str:
        return str((await self.client.task(task_id)).state)

    async def close(self) -> None:
        """End what the steps have begun."""
        await self.bell.close()
        await self.leases.close()
        for slot in list(self.slots.tasks):
            slot.cancel()
        await asyncio.gather(*self.slots.tasks, return_exceptions=True)
        self.runner.close()


def on(store: Store, folder: Path, act: Callable[[Parts], Coroutine[Any, Any, None]], *queues: str) -> None:
    """``act`` with the parts of a worker on the store; its groups are there."""

    async def main() -> None:
        async with store.async_client() as client, asyncio.timeout(60):
            parts = Parts(client, folder, queues or ("default",))
            await parts.joining.join()
            try:
                await act(parts)
            finally:
                await parts.close()

    asyncio.run(main())


def gated(count: int, queue: str = "default") -> list[Task]:
    return [Task(type="gated", queue=queue, id=f"g{n}") for n in range(count)]


# trips


def test_a_trip_claims_what_fits_and_the_next_one_waits_until_something_ends(real_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        await parts.client.enqueue_many(gated(3))

        assert await parts.trips.step() == 30.0
        assert len(parts.slots.tasks) == 2 and len(parts.claims.held) == 2
        assert await parts.trips.step() == 30.0
        assert sorted([await parts.state(f"g{n}") for n in range(3)]) == ["ready", "running", "running"]

        parts.nudged.clear()
        parts.gate.set()
        await eventually(parts.nudged.is_set)
        await eventually(lambda: len(parts.ends) == 2)
        await parts.trips.step()  # settles both and claims the third

        assert sorted([await parts.state(f"g{n}") for n in range(3)]) == ["completed", "completed", "running"]

    on(real_store, tmp_path, act)


def test_one_id_in_two_queues_is_two_claims_though_both_have_one_token(real_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        await parts.client.enqueue_many(gated(1, "a") + gated(1, "b"))

        await parts.trips.step()

        held = [found.started for found in parts.claims.held.values()]
        assert [(found.queue, found.id) for found in held] == [("a", "g0"), ("b", "g0")]
        assert held[0].token == held[1].token

    on(real_store, tmp_path, act, "a", "b")


def test_nothing_is_kept_of_a_run_that_has_ended(valkey_store: Store, tmp_path: Path) -> None:
    """A busy worker ends thousands of runs in the 50 ms after which it looks for those that last."""

    async def act(parts: Parts) -> None:
        parts.gate.set()  # the handlers never wait
        await parts.client.enqueue_many(gated(200))
        while parts.slots.ended < 150:
            await parts.trips.step()
            await asyncio.sleep(0)

        kept = sum(type(found) is Held for found in gc.get_objects())
        assert kept <= len(parts.claims.held) + len(parts.slots.tasks)  # each slot's last one

    gc.collect()  # what other tests have left
    on(valkey_store, tmp_path, act)


def test_a_worker_that_finds_nothing_listens_and_what_comes_begins_a_trip(real_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        assert await parts.trips.step() == 30.0
        parts.nudged.clear()

        await parts.client.enqueue_many(gated(1))
        await eventually(parts.nudged.is_set)
        assert [bell.queue for bell in parts.order.bells] == ["default"]
        await parts.trips.step()

        assert await parts.state("g0") == "running" and parts.order.bells == []

    on(real_store, tmp_path, act)


def test_a_type_without_a_handler_is_given_back_and_told(
    valkey_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(parts: Parts) -> None:
        made = await parts.client.enqueue("unknown")
        await parts.trips.step()
        await parts.trips.step()

        view = await parts.client.task(made.id)
        assert (view.state, view.attempt) == ("scheduled", 0)
        assert "task.unhandled" in [record.message for record in caplog.records]

    on(valkey_store, tmp_path, act)


def test_a_queue_that_redis_refuses_is_left_out_and_the_others_are_claimed(valkey_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        await parts.client.enqueue_many(gated(1, "good"))
        for key in ("ready:bad", "running:bad"):
            valkey_store.redis.delete(valkey_store.key(key))
            valkey_store.redis.set(valkey_store.key(key), "somebody else's")

        for _ in range(8):
            await parts.trips.step()

        assert valkey_store.redis.hget(valkey_store.key("task:good:g0"), "state") == "running"

    on(valkey_store, tmp_path, act, "bad", "good")


def test_a_claim_that_redis_refuses_is_made_again_queue_by_queue(valkey_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        await parts.client.enqueue_many(gated(1, "good"))
        valkey_store.redis.execute_command(
            "ACL", "SETUSER", "default", "resetkeys", "~{*}:*:good*", "~{*}:claimed:*", "~{*}:meta", "~{*}:*s"
        )
        try:
            for _ in range(8):
                await parts.trips.step()
        finally:
            valkey_store.redis.execute_command("ACL", "SETUSER", "default", "allkeys")

        assert list(parts.refusals.until) == ["bad"]
        assert valkey_store.redis.hget(valkey_store.key("task:good:g0"), "state") == "running"

    on(valkey_store, tmp_path, act, "bad", "good")


# ends


def test_the_log_is_told_what_became_of_each_end_but_for_those_that_completed(
    valkey_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(parts: Parts) -> None:
        parts.gate.set()
        await parts.client.enqueue_many(
            [
                Task(type="gated", id="good"),
                Task(type="fail", id="again", max_attempts=2),
                Task(type="fail", id="last", max_attempts=1),
            ]
        )
        caplog.clear()
        for _ in range(6):
            await parts.trips.step()
            await asyncio.sleep(0.01)
        await eventually(lambda: not parts.claims.held)
        parts.ends.append(Settlement("default", "good", "9.ff", "complete"))
        while parts.ends.has_batch():
            await parts.ends.tell(lambda: None)

        told = [(record.message, vars(record)["task_id"]) for record in caplog.records if "task_id" in vars(record)]
        assert sorted(told) == [("task.dead", "last"), ("task.lost", "good"), ("task.retried", "again")]
        assert {vars(record).get("outcome") for record in caplog.records if record.message != "task.lost"} == {"failed"}

    on(valkey_store, tmp_path, act)


def test_the_log_is_told_that_a_task_is_dead_though_the_answer_of_its_settle_was_lost(
    valkey_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(parts: Parts) -> None:
        attempts = {"rejected": 5, "last": 1, "again": 5, "good": 5}
        await parts.client.enqueue_many([Task(type="t", id=one, max_attempts=n) for one, n in attempts.items()])
        keys = [queue_keys(parts.client.cell, "default")]
        call = protocol.claim(keys, consumer=CONSUMER, count=9, lease_ms=30_000)
        outcomes = {"rejected": "dead", "last": "retry", "again": "retry", "good": "complete"}
        for run in (await parts.client.transport.send(call)).tasks:
            outcome = outcomes[run.id]
            end = Settlement("default", run.id, run.token, outcome)
            parts.ends.add(end, {"retry": "failed", "complete": "completed"}.get(outcome, outcome))
        assert parts.ends.has_batch()
        await parts.client.transport.send(protocol.settle(parts.client.cell, parts.ends.left()))
        caplog.clear()

        await parts.ends.tell(lambda: None)

        told = [(record.message, vars(record)["task_id"], vars(record)["state"]) for record in caplog.records]
        assert sorted(told) == [
            ("task.dead", "last", "dead"),
            ("task.dead", "rejected", "dead"),
            ("task.retried", "again", "scheduled"),
        ]
        errors = [vars(record)["task_id"] for record in caplog.records if record.levelno == logging.ERROR]
        assert sorted(errors) == ["last", "rejected"]

    on(valkey_store, tmp_path, act)


# joining


def test_what_the_last_worker_could_not_tell_is_told_before_the_first_claim(real_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        await parts.client.enqueue_many(gated(1))
        await parts.trips.step()
        (held,) = parts.claims.held.values()
        parts.spool.keep([Settlement("default", "g0", held.started.token, "complete")])

        await parts.joining.run()

        assert await parts.state("g0") == "completed"
        assert not parts.spool.path.exists()

    on(real_store, tmp_path, act)


def test_a_worker_that_is_to_stop_tells_nothing_and_keeps_it_for_the_next(valkey_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        end = Settlement("default", "g0", "1.ff", "complete")
        parts.spool.keep([end])
        parts.stopping.ask()

        await parts.joining.run()

        assert parts.spool.take() == [end]

    on(valkey_store, tmp_path, act)


def test_a_queue_whose_stream_is_somebody_elses_is_left_out_until_it_is_mended(
    valkey_store: Store, tmp_path: Path
) -> None:
    ready = valkey_store.key("ready:bad")
    valkey_store.redis.set(ready, "somebody else's")

    async def act(parts: Parts) -> None:
        assert list(parts.refusals.until) == ["bad"]

        valkey_store.redis.delete(ready)
        await join(parts.client, [queue_keys(parts.client.cell, "bad")], parts.refusals)

        assert parts.refusals.until == {} and valkey_store.redis.type(ready) == "stream"

    on(valkey_store, tmp_path, act, "bad", "default")


# shutdown


async def held(parts: Parts, count: int) -> asyncio.Task[None]:
    """Hold so many claims, of which two run, and begin the round trips."""
    await parts.client.enqueue_many(gated(count))
    sent = elapsed()
    call = protocol.claim([queue_keys(parts.client.cell, "default")], consumer=CONSUMER, count=count, lease_ms=30_000)
    claimed = await parts.client.transport.send(call)
    for started in claimed.tasks:
        parts.claims.take(started, sent=sent, server_ms=claimed.now)
    parts.slots.open()
    await eventually(lambda: len(parts.claims.waiting) == count - 2)
    return asyncio.create_task(parts.trips.loop.run())


def states(store: Store, count: int) -> list[str]:
    return sorted(store.redis.hget(store.key(f"task:default:g{n}"), "state") for n in range(count))


def test_the_end_gives_back_what_has_not_begun_and_lets_the_rest_finish(real_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        trips = await held(parts, 3)
        parts.stopping.ask()
        ending = asyncio.create_task(parts.shutdown.run(trips))
        await eventually(lambda: states(real_store, 3) == ["ready", "running", "running"])

        parts.gate.set()
        await ending

        assert states(real_store, 3) == ["completed", "completed", "ready"]
        assert trips.done() and parts.spool.take() == []
        ready = real_store.key("ready:default")
        assert CONSUMER not in [found["name"] for found in real_store.redis.xinfo_consumers(ready, "workers")]

    on(real_store, tmp_path, act)


def test_an_end_at_once_gives_back_what_runs_too(valkey_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        trips = await held(parts, 3)
        parts.stopping.ask()
        parts.stopping.ask()

        await parts.shutdown.run(trips)

        assert states(valkey_store, 3) == ["ready", "ready", "ready"] and not parts.gate.is_set()

    on(valkey_store, tmp_path, act)


def test_an_end_that_redis_was_not_told_of_is_kept_for_the_next_worker(valkey_store: Store, tmp_path: Path) -> None:
    async def act(parts: Parts) -> None:
        end = Settlement("default", "g0", "1.ff", "complete")
        parts.ends.append(end)
        parts.ends.append(Settlement("default", "g1", "1.ff", "return"))
        trips = asyncio.create_task(asyncio.sleep(0))  # round trips that told nothing
        await trips
        await parts.shutdown.run(trips)

        assert parts.spool.take() == [end]

    on(valkey_store, tmp_path, act)
