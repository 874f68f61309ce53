"""The actors of a mover, each by itself: its steps on a real store, without the loops of the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redsched import AsyncClient, Settings
from redsched.embedded import free_port
from redsched.engine.isolation import isolated_queues
from redsched.engine.mover.discovery import Discovery
from redsched.engine.mover.epoch import Epoch
from redsched.engine.mover.firing import Schedules
from redsched.engine.mover.inbox import Inboxes
from redsched.engine.mover.known_queues import KnownQueues
from redsched.engine.mover.orphans import Orphans
from redsched.engine.mover.promotions import Promotions
from redsched.engine.mover.reaps import Reaps
from redsched.engine.mover.standing import STANDBY, Standing
from redsched.engine.mover.tracking import Tracking
from redsched.engine.mover.wakeups import Wakeups
from redsched.engine.observer import Silent
from redsched.model.errors import StoreUnavailable
from redsched.wire import protocol
from redsched.wire.keys import queue_keys
from tests.support.movers import eventually, is_ready, tracking_clients, write_raw
from tests.support.servers import Store


class Parts:
    """One of each, wired as a mover wires them; no loop runs."""

    def __init__(self, client: AsyncClient, *, acting: bool = True, at_home: tuple[str, ...] = ()) -> None:
        self.client = client
        self.standing = Standing(acting=acting, armed=True)
        self.queues = KnownQueues(client.cell, at_home)
        shared = self.standing, Silent()
        self.promotions = Promotions(client, self.queues, *shared)
        self.inboxes = Inboxes(client, self.queues, *shared)
        self.wakeups = Wakeups(client, *shared)
        self.schedules = Schedules(client, *shared)
        self.discovery = Discovery(client, self.queues, self.standing, self.promotions, self.inboxes, Silent())
        self.tracking = Tracking(
            client,
            self.queues,
            self.standing,
            promotions=self.promotions,
            inboxes=self.inboxes,
            schedules=self.schedules,
            wakeups=self.wakeups,
            discovery=self.discovery,
        )


def on(store: Store, act: Callable[[AsyncClient], Coroutine[Any, Any, None]]) -> None:
    """``act`` with a client of the store."""

    async def main() -> None:
        async with store.async_client() as client, asyncio.timeout(60):
            await act(client)

    asyncio.run(main())


async def settled(step: Callable[[], Awaitable[float]]) -> float:
    """Take steps until one says to wait; how long."""
    while True:
        if (wait := await step()) > 0.01:
            return wait


def another_acts(store: Store) -> None:
    """As a mover says it that does."""
    store.redis.set(store.key("mover"), "another 999999", px=60_000)


# promotions


def test_the_acting_one_looks_at_what_was_written_and_at_nothing_else(valkey_store: Store) -> None:
    async def act(client: AsyncClient) -> None:
        parts = Parts(client)
        for queue in ("written", "other"):
            write_raw(valkey_store, "raw", queue=queue)
        parts.promotions.written(["written"])

        await settled(parts.promotions.step)

        assert is_ready(valkey_store, "raw", "written") and not is_ready(valkey_store, "raw", "other")
        assert parts.promotions.busy == set()

    on(valkey_store, act)


def test_one_that_stands_by_looks_at_what_was_written_when_it_takes_over(valkey_store: Store) -> None:
    async def act(client: AsyncClient) -> None:
        parts = Parts(client, acting=False)
        write_raw(valkey_store, "raw")
        parts.promotions.written(["default"])

        await settled(parts.promotions.step)
        assert not is_ready(valkey_store, "raw") and parts.promotions.calls == 0
        parts.standing.hear_acting(True)
        await settled(parts.promotions.step)

        assert is_ready(valkey_store, "raw")

    on(valkey_store, act)


@pytest.mark.parametrize("acts", [True, False])
def test_the_next_look_at_a_queue_is_at_its_next_due_time_or_a_little_later(valkey_store: Store, acts: bool) -> None:
    due = valkey_store.now_ms() + 20_000
    if not acts:
        another_acts(valkey_store)

    async def act(client: AsyncClient) -> None:
        parts = Parts(client)
        write_raw(valkey_store, "later", due)
        parts.promotions.written(["default"])
        await settled(parts.promotions.step)

        assert parts.standing.acting == acts
        late = parts.promotions.timers.next - parts.standing.to_local(due)
        assert late == pytest.approx(0.0 if acts else STANDBY, abs=1e-6)

    on(valkey_store, act)


def test_what_redis_did_not_answer_is_asked_again_by_an_acting_one_and_by_one_that_stands_by() -> None:
    async def main() -> None:
        settings = Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", retry_for_ms=1)
        async with AsyncClient(settings=settings) as client:
            for acting in (True, False):
                promotions = Parts(client, acting=acting, at_home=("default",)).promotions
                with pytest.raises(StoreUnavailable):
                    await promotions.step()

                assert promotions.timers.next <= time.monotonic()
                assert set(promotions.timers.queues) == {"default"}

    asyncio.run(main())


def test_a_queue_that_redis_refuses_is_left_until_its_timer_and_the_others_go_on(valkey_store: Store) -> None:
    valkey_store.redis.set(valkey_store.key("due:bad"), "somebody else's")

    async def act(client: AsyncClient) -> None:
        parts = Parts(client, at_home=("bad", "default"))
        write_raw(valkey_store, "raw")
        await settled(parts.promotions.step)

        assert is_ready(valkey_store, "raw")
        assert parts.promotions.busy == {"bad"}
        assert parts.promotions.timers.next > time.monotonic()

    on(valkey_store, act)


# reaps


def test_a_lease_that_ended_is_taken_back_unless_the_clock_has_just_jumped(valkey_store: Store) -> None:
    async def act(client: AsyncClient) -> None:
        standing = Standing()
        keys = queue_keys(client.cell, "default")
        reaps = Reaps(client, standing, Silent())
        task = await client.enqueue("note", retry=["1m"])
        await client.transport.send(protocol.claim([keys], consumer="gone", count=1, lease_ms=1))
        lease = int(valkey_store.redis.zscore(valkey_store.key("running:default"), task.id) or 0)
        standing.hear_clock(valkey_store.now_ms(), time.monotonic())
        await eventually(lambda: reaps.is_overdue("default", lease))

        reaps.hold_off()
        assert not reaps.is_overdue("default", lease)
        assert reaps.time_of("default", lease) > time.monotonic() + client.settings.lease_ms / 2_000

        async with asyncio.timeout(10):  # our idea of the server's clock may be a little early
            while not (found := await reaps.take_back([keys]))[0].moved:
                await asyncio.sleep(0.001)
        assert [(moved.queue, moved.moved, moved.next_lease) for moved in found] == [("default", 1, None)]

    on(valkey_store, act)


# discovery


def test_the_acting_one_finds_due_sets_and_inboxes_that_nobody_has_listed(real_store: Store) -> None:
    write_raw(real_store, "raw", queue="unlisted")
    real_store.redis.xadd(real_store.key("inbox:post"), {"type": "t", "payload": "{}", "id": "letter"})

    async def act(client: AsyncClient) -> None:
        parts = Parts(client)
        await parts.discovery.step()
        await settled(parts.promotions.step)
        await settled(parts.inboxes.step)

        assert is_ready(real_store, "raw", "unlisted")
        assert real_store.redis.exists(real_store.key("task:post:letter"))

    on(real_store, act)


def test_one_that_stands_by_reads_the_list_only_and_scans_when_it_takes_over(valkey_store: Store) -> None:
    write_raw(valkey_store, "raw", queue="unlisted")
    valkey_store.redis.sadd(valkey_store.key("queues"), "listed")

    async def act(client: AsyncClient) -> None:
        parts = Parts(client, acting=False)
        parts.standing.hear_acting(False)
        await parts.discovery.step()
        assert set(parts.queues) == {"listed"}

        parts.standing.hear_acting(True)
        await parts.discovery.step()

        assert set(parts.queues) == {"listed", "unlisted"}

    on(valkey_store, act)


@pytest.mark.parametrize("armed", [True, False])
def test_a_queue_that_is_listed_no_more_is_forgotten_only_if_writes_to_it_are_told(
    valkey_store: Store, armed: bool
) -> None:
    valkey_store.redis.sadd(valkey_store.key("queues"), "listed")

    async def act(client: AsyncClient) -> None:
        parts = Parts(client, acting=False, at_home=("home",))
        parts.standing.hear_acting(False)
        parts.standing.armed = armed
        parts.queues.learn(["gone", "waits"])
        parts.promotions.written(["gone"])  # it learns of it again when it takes over
        parts.promotions.timers.set("waits", time.monotonic() + 3_600)

        await parts.discovery.step()

        assert set(parts.queues) == {"home", "listed", "waits"} | (set() if armed else {"gone"})

    on(valkey_store, act)


def test_an_emptied_namespace_is_told_once(valkey_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "redsched.mover")

    async def act(client: AsyncClient) -> None:
        epoch = Epoch(client, Silent())
        await epoch.look()
        first = epoch.seen
        await epoch.look()
        assert first is not None and epoch.seen == first and not caplog.records

        valkey_store.clear()
        for _ in range(3):
            await epoch.look()

        assert epoch.seen != first
        assert [record.message for record in caplog.records] == ["store.emptied"]

    on(valkey_store, act)


def test_a_ready_task_without_an_entry_gets_one_in_the_second_round(valkey_store: Store) -> None:
    async def act(client: AsyncClient) -> None:
        await client.enqueue("note", id="a")
        valkey_store.redis.delete(valkey_store.key("ready:default"))
        orphans = Orphans(client)

        assert await orphans.step()
        assert not valkey_store.redis.exists(valkey_store.key("ready:default"))
        await orphans.step()

        assert [fields["id"] for _, fields in valkey_store.redis.xrange(valkey_store.key("ready:default"))] == ["a"]

    on(valkey_store, act)


# tracking


@asynccontextmanager
async def tracked(parts: Parts) -> AsyncIterator[None]:
    """While its tracking runs, and is armed."""
    parts.standing.armed = False
    task = asyncio.create_task(parts.tracking.run())
    try:
        await eventually(lambda: parts.standing.armed)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_each_actor_is_told_of_what_concerns_it(real_store: Store) -> None:
    async def act(client: AsyncClient) -> None:
        parts = Parts(client)
        async with tracked(parts):
            write_raw(real_store, "raw", queue="written")
            await eventually(lambda: parts.promotions.busy == {"written"})

            real_store.redis.xadd(real_store.key("inbox:post"), {"type": "t", "payload": "{}", "id": "letter"})
            async with asyncio.timeout(10):
                while not real_store.redis.exists(real_store.key("task:post:letter")):
                    await parts.inboxes.step()
                    await asyncio.sleep(0.005)

    on(real_store, act)


def test_a_lost_connection_is_made_again_and_everything_is_looked_at(valkey_store: Store) -> None:
    async def act(client: AsyncClient) -> None:
        parts = Parts(client, at_home=("default",))
        async with tracked(parts):
            await settled(parts.promotions.step)
            assert parts.promotions.busy == set()
            (old,) = tracking_clients(valkey_store)
            valkey_store.redis.execute_command("CLIENT", "KILL", "ID", old)

            await eventually(lambda: parts.standing.armed and parts.promotions.busy == {"default"})

            assert old not in tracking_clients(valkey_store)

    on(valkey_store, act)


# wakeups, inboxes


def test_a_hold_ends_at_its_time_and_the_next_look_is_then(real_store: Store) -> None:
    async def act(client: AsyncClient) -> None:
        wakeups = Parts(client).wakeups
        await client.enqueue("note", id="a", conditions={"hold": {"token": "c", "within": "300ms"}})
        wait = await wakeups.step()
        assert 0 < wait <= 0.3 and real_store.redis.hget(real_store.key("task:default:a"), "state") == "held"

        async with asyncio.timeout(10):
            while real_store.redis.hget(real_store.key("task:default:a"), "state") == "held":
                await asyncio.sleep(min(0.05, await wakeups.step()))

        assert await settled(wakeups.step) > 1

    on(real_store, act)


def test_an_inbox_that_redis_refuses_is_tried_again_and_holds_up_no_other(valkey_store: Store) -> None:
    valkey_store.redis.set(valkey_store.key("due:bad"), "somebody else's")
    for queue in ("bad", "good"):
        letter = {"type": "t", "payload": "{}", "id": "letter", "due": "+60000"}
        valkey_store.redis.xadd(valkey_store.key(f"inbox:{queue}"), letter)

    async def act(client: AsyncClient) -> None:
        inboxes = Parts(client).inboxes
        inboxes.written(["bad", "good", "no name"])
        wait = await inboxes.step()

        assert valkey_store.redis.exists(valkey_store.key("task:good:letter"))
        assert 0 < wait <= 5  # then the bad one is tried again

    on(valkey_store, act)


def test_an_inbox_whose_key_is_no_stream_is_told_once_and_again_when_it_is_one(
    valkey_store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redsched.engine.mover.inbox.LOOK_S", 0.0)
    valkey_store.redis.set(valkey_store.key("inbox:bad"), "somebody else's")
    letter = {"type": "t", "payload": "{}", "id": "letter"}
    valkey_store.redis.xadd(valkey_store.key("inbox:good"), letter)

    async def act(client: AsyncClient) -> None:
        inboxes = Parts(client).inboxes
        for _ in range(3):
            inboxes.written(["bad", "good", "none"])
            await inboxes.step()
        (told,) = [vars(record) for record in caplog.records if record.levelno >= logging.WARNING]
        assert (told["msg"], told["queue"]) == ("ingest.refused", "bad")
        assert "the key 'inbox' of queue 'bad' is a string where a stream belongs" in told["error"]

        valkey_store.redis.delete(valkey_store.key("inbox:bad"))
        valkey_store.redis.xadd(valkey_store.key("inbox:bad"), letter)
        inboxes.written(["bad"])
        await inboxes.step()
        assert valkey_store.redis.exists(valkey_store.key("task:bad:letter"))
        assert [record.message for record in caplog.records if "ingest" in record.message][1:] == ["ingest.accepted"]

    on(valkey_store, act)


def test_the_type_of_an_inbox_in_which_nothing_is_found_is_asked_for_once_a_minute(
    valkey_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(client: AsyncClient) -> None:
        inboxes, asked = Parts(client).inboxes, list[str]()
        steps = client.transport.steps

        async def note(verb: str, conversation: Any) -> Any:
            asked.append(verb)
            return await steps(verb, conversation)

        monkeypatch.setattr(client.transport, "steps", note)
        for _ in range(5):
            inboxes.written(["empty", "other"])
            await inboxes.step()

        assert asked == ["ingest"]

    on(valkey_store, act)


# isolation


def test_each_answer_comes_with_the_queues_that_it_is_about(valkey_store: Store) -> None:
    valkey_store.redis.set(valkey_store.key("due:bad"), "somebody else's")

    async def act(client: AsyncClient) -> None:
        promotes = isolated_queues("promote", client.transport, Silent())
        queues = [queue_keys(client.cell, name) for name in ("a", "bad", "b")]

        async def asked() -> list[list[str]]:
            answers = await promotes.send(queues, lambda some: protocol.promote(some, mover="m"))
            assert all([one.queue for one in found.queues] == [keys.queue for keys in some] for some, found in answers)
            return [[keys.queue for keys in some] for some, _ in answers]

        assert await asked() == [["a"], ["b"]]  # refused together, each was asked by itself
        assert await asked() == [["a", "b"]]  # the bad one is left out until its pause is over
        assert promotes.refusals.over == [] and 0 < promotes.refusals.soonest <= 5

        valkey_store.redis.delete(valkey_store.key("due:bad"))
        promotes.refusals.until["bad"] = 0.0
        assert promotes.refusals.over == ["bad"] and promotes.refusals.soonest == 0.0
        assert await asked() == [["a", "b"], ["bad"]]
        assert await asked() == [["a", "bad", "b"]]
        assert promotes.refusals.soonest == float("inf")

    on(valkey_store, act)
