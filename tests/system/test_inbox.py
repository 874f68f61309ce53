"""Inboxes with a running mover: plain XADDs become tasks at once, whoever writes them, and garbage holds up nobody."""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import redsched
from redsched import AsyncClient, Settings
from redsched.engine.mover import Mover, inbox
from tests.support.servers import Store


def run(store: Store, act: Callable[[Mover, AsyncClient], Awaitable[None]], *, started: bool = True) -> None:
    """``act`` beside a mover that knows no queue."""

    async def main() -> None:
        assert store.url is not None
        settings = Settings(redis_url=store.url, namespace=store.namespace)
        mover = Mover(settings)
        async with AsyncClient(settings=settings) as client:
            moving = asyncio.create_task(mover.run())
            try:
                if started:
                    await until(lambda: mover.standing.armed and mover.discovery.loop.healthy)
                await act(mover, client)
            finally:
                mover.stop()
                await moving

    asyncio.run(main())


async def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Until it is so."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.002)


def append(store: Store, queue: str, **fields: str) -> None:
    """As any program would."""
    store.redis.xadd(store.key(f"inbox:{queue}"), {"type": "t", "payload": "{}", **fields})


def test_an_append_to_a_queue_that_nobody_knows_is_taken_at_once(real_store: Store) -> None:
    async def act(mover: Mover, client: AsyncClient) -> None:
        began = time.monotonic()
        append(real_store, "new", id="a")
        await until(lambda: real_store.redis.exists(real_store.key("task:new:a")))
        assert time.monotonic() - began < inbox.IDLE / 2, "it was found by a timer, not by a push"
        assert real_store.redis.xlen(real_store.key("inbox:new")) == 0
        append(real_store, "new", id="later", due="+60000")
        await until(lambda: real_store.redis.zscore(real_store.key("due:new"), "later"))
        assert (await client.stats(["new"]))[0].totals["enqueued"] == 2

    run(real_store, act)


def test_what_came_while_no_mover_ran_is_found_at_its_start(real_store: Store) -> None:
    append(real_store, "new", id="a")

    async def act(mover: Mover, client: AsyncClient) -> None:
        await until(lambda: real_store.redis.exists(real_store.key("task:new:a")))

    run(real_store, act, started=False)


def test_garbage_among_the_entries_is_set_aside_and_the_rest_is_made(valkey_store: Store) -> None:
    for number in range(300):
        if number % 3:
            append(valkey_store, "q", id=f"good{number}", due="+3600000")
        else:
            append(valkey_store, "q", id=f"bad {number}")

    async def act(mover: Mover, client: AsyncClient) -> None:
        await until(lambda: valkey_store.redis.xlen(valkey_store.key("inbox:q")) == 0)
        found = (await client.stats(["q"]))[0]
        assert (found.scheduled, found.quarantined, found.totals["enqueued"]) == (200, 100, 200)
        assert {item.reason for item in (await client.quarantined("q")).items} == {"inbox id"}

    run(valkey_store, act)


def test_without_tracking_the_inboxes_of_known_queues_are_looked_at(
    valkey_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("redsched.engine.mover.tracking.watch", never)
    monkeypatch.setattr("redsched.engine.mover.inbox.BLIND", 0.05)

    async def act(mover: Mover, client: AsyncClient) -> None:
        await client.enqueue("t", queue="q", id="first", delay="1h")
        await until(lambda: "q" in mover.queues)
        append(valkey_store, "q", id="a")
        await until(lambda: valkey_store.redis.exists(valkey_store.key("task:q:a")))

    valkey_store.redis.sadd(valkey_store.key("queues"), "q")
    run(valkey_store, act, started=False)
    assert valkey_store.redis.xlen(valkey_store.key("inbox:q")) == 0


def test_the_recipe_of_the_contract_makes_a_task(valkey_store: Store) -> None:
    text = (Path(redsched.__file__).parents[1] / "lua" / "README.md").read_text()
    command = re.findall(r"redis-cli (XADD .*)", text)[0].replace("{rs}:", valkey_store.key(""))
    valkey_store.redis.execute_command(*shlex.split(command))

    async def act(mover: Mover, client: AsyncClient) -> None:
        await until(lambda: valkey_store.redis.exists(valkey_store.key("task:default:order-42:survey")))
        view = await client.task("order-42:survey")
        assert (view.state, view.type, view.payload) == ("scheduled", "log", {"text": "a minute later"})

    run(valkey_store, act)


def test_two_movers_make_each_task_once(valkey_store: Store) -> None:
    async def act(mover: Mover, client: AsyncClient) -> None:
        other = Mover(client.settings)
        moving = asyncio.create_task(other.run())
        try:
            for number in range(200):
                append(valkey_store, "q", id=f"t{number}", due="+3600000")
            await until(lambda: valkey_store.redis.xlen(valkey_store.key("inbox:q")) == 0)
            assert (await client.stats(["q"]))[0].totals["enqueued"] == 200
        finally:
            other.stop()
            await moving

    run(valkey_store, act)
