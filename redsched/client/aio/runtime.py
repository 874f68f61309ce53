"""How an event loop connects, waits and computes: what differs from threads by more than ``await``.

``redsched/client/sync/runtime.py`` has the same names for threads. Only the two of them and what they share
(``client/pools.py``, ``client/connections.py``) know redis-py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio

from redsched.client import pools
from redsched.client.connections import packed, refused_by
from redsched.settings import Settings
from redsched.steps.exchange import Command

T = TypeVar("T")

Lock = contextlib.nullcontext  # nothing else runs between two awaits
sleep = asyncio.sleep


def own_pool(settings: Settings, name: str) -> Any:
    """A pool whose connections bear a name; raises InvalidSetting where the URL's options cannot be used."""

    async def greet(connection: Any) -> None:
        await connection.on_connect()
        with contextlib.suppress(redis.ResponseError):  # the name is only for people: without it, it has none
            await connection.send_command("CLIENT", "SETNAME", f"redsched-{name}", check_health=False)
            await connection.read_response()

    options = {**pools.options(settings), "redis_connect_func": greet, "socket_timeout": None}
    return pools.checked(redis.asyncio.BlockingConnectionPool.from_url(settings.redis_url, **options))


def given_pool(client: Any) -> Any:
    """The pool of a client that was made elsewhere; raises InvalidSetting where it cannot be used."""
    return pools.pool_of(client, wrong=redis.ConnectionPool, right="redis.asyncio.Redis")


async def connection_of(pool: Any, timeout: float) -> Any:
    """A connection of a pool; raises what redis-py raises, or TimeoutError."""
    async with asyncio.timeout(timeout):
        return await pool.get_connection()


async def is_quiet(connection: Any, used: float) -> bool:
    """Whether it is open and nothing has come that nobody asked for: the event loop knows, whenever it was ``used``."""
    try:
        return connection.is_connected and not await connection.can_read()
    except (redis.RedisError, OSError):
        return False


async def close(connection: Any) -> None:
    """Close a connection, whatever is on its way; its pool opens it again when it is needed."""
    await connection.disconnect(nowait=True)


async def replies(
    connection: Any, commands: Sequence[Command], found: list[Any], usual: float, timeout: float | None
) -> None:
    """Send commands and add each reply, or a Refused, to ``found``; all within ``timeout`` seconds, or the ``usual``.

    Raises:
        TimeoutError, or what redis-py raises: ``found`` has the replies that came.
    """
    within = usual if timeout is None else timeout
    try:
        async with asyncio.timeout(within):
            await connection.send_packed_command(packed(commands), check_health=False)
            for _ in commands:
                try:
                    found.append(await connection.read_response())
                except redis.ResponseError as error:
                    found.append(refused_by(error))
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no answer within {within:g} s") from None


async def compute(work: Callable[..., T], *given: Any) -> T:
    """What ``work`` returns. It may take long: a thread does it, and the event loop goes on."""
    return await asyncio.to_thread(work, *given)


async def each(items: Any) -> Any:
    """The items, one after another, wherever they come from."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
