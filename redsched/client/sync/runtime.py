"""How a thread connects, waits and computes: what differs from an event loop by more than ``await``.

``redsched/client/aio/runtime.py`` has the same names for an event loop.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import redis
import redis.asyncio

from redsched.client import pools
from redsched.client.connections import packed, refused_by
from redsched.settings import Settings
from redsched.steps.exchange import Command

T = TypeVar("T")

JUST_USED = 0.1  # seconds within which a connection is not asked whether it is still open: that costs a system call

Lock = threading.Lock
sleep = time.sleep


def own_pool(settings: Settings, name: str) -> Any:
    """A pool whose connections bear a name; raises InvalidSetting where the URL's options cannot be used."""

    def greet(connection: Any) -> None:
        connection.on_connect()
        with contextlib.suppress(redis.ResponseError):  # the name is only for people: without it, it has none
            connection.send_command("CLIENT", "SETNAME", f"redsched-{name}", check_health=False)
            connection.read_response()

    seconds = settings.redis_timeout_ms / 1_000
    options = {**pools.options(settings), "redis_connect_func": greet, "socket_timeout": seconds}
    return pools.checked(redis.BlockingConnectionPool.from_url(settings.redis_url, **options))


def given_pool(client: Any) -> Any:
    """The pool of a client that was made elsewhere; raises InvalidSetting where it cannot be used."""
    return pools.pool_of(client, wrong=redis.asyncio.ConnectionPool, right="redis.Redis")


def connection_of(pool: Any, timeout: float) -> Any:
    """A connection of a pool; raises what redis-py raises. The pool and its sockets keep to a ``timeout`` of their
    own."""
    return pool.get_connection()


def is_quiet(connection: Any, used: float) -> bool:
    """Whether it is open and nothing has come that nobody asked for. ``used``: when, by ``time.monotonic()``."""
    try:
        return connection.is_connected and (time.monotonic() - used < JUST_USED or not connection.can_read())
    except (redis.RedisError, OSError):
        return False


def close(connection: Any) -> None:
    """Close a connection, whatever is on its way; its pool opens it again when it is needed."""
    connection.disconnect()


def replies(
    connection: Any, commands: Sequence[Command], found: list[Any], usual: float, timeout: float | None
) -> None:
    """Send commands and add each reply, or a Refused, to ``found``; ``timeout`` is for each reply, and without one the
    connection keeps to the ``usual`` by itself.

    Raises:
        What redis-py raises: ``found`` has the replies that came.
    """
    read = connection.read_response if timeout is None else partial(connection.read_response, timeout=timeout)
    connection.send_packed_command(packed(commands), check_health=False)
    for _ in commands:
        try:
            found.append(read())
        except redis.ResponseError as error:
            found.append(refused_by(error))


def compute(work: Callable[..., T], *given: Any) -> T:
    """What ``work`` returns."""
    return work(*given)


def each(items: Any) -> Any:
    """The items, one after another."""
    return iter(items)
