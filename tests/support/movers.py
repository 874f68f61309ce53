"""Movers inside the test's own process, and what they are seen by: tasks of plain commands, connections that wake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redsched import Mover, Settings
from tests.support.servers import Store


async def eventually(look: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until ``look`` finds something, while the loop goes on."""
    async with asyncio.timeout(seconds):
        while not look():
            await asyncio.sleep(0.005)


async def quiet(mover: Mover) -> None:
    """Wait until it has looked at what there was."""
    seen = -1
    while seen != mover.promotions.calls:
        seen = mover.promotions.calls
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(settings: Settings, armed: bool = True, **options: Any) -> AsyncIterator[Mover]:
    """A mover in this process that has settled down."""
    mover = Mover(settings, **options)
    task = asyncio.create_task(mover.run())
    try:
        await eventually(lambda: mover.standing.armed or not armed or task.done())
        if armed:
            await quiet(mover)
        yield mover
        assert not task.done(), task.exception()
    finally:
        mover.stop()
        await task


def write_raw(store: Store, task_id: str, due: int = 0, queue: str = "default") -> None:
    """The two commands of a producer that has never heard of redsched."""
    pipeline = store.redis.pipeline()
    pipeline.hset(store.key(f"task:{queue}:{task_id}"), mapping={"type": "note", "payload": "{}"})
    pipeline.zadd(store.key(f"due:{queue}"), {task_id: due}, nx=True)
    pipeline.execute()


def is_ready(store: Store, task_id: str, queue: str = "default") -> bool:
    return bool(store.redis.hget(store.key(f"task:{queue}:{task_id}"), "state") == "ready")


def tracking_clients(store: Store) -> list[str]:
    """The ids of the connections that wake a mover."""
    return [client["id"] for client in store.redis.client_list() if "t" in client["flags"]]
