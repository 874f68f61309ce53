"""Pools of redis-py: how a connection is made. With ``transport`` the only importer of redis-py.

redis-py's own retries are off, and its time-outs are set here. What cannot work is refused before anything connects.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from redsched.model.errors import InvalidSetting
from redsched.settings import Settings

MOST_CONNECTIONS = 32


def made(settings: Settings, name: str) -> Any:
    """A pool for threads; raises InvalidSetting where the URL's options cannot be used."""
    return _checked(
        redis.BlockingConnectionPool.from_url(
            settings.redis_url,
            socket_timeout=settings.redis_timeout_ms / 1_000,
            redis_connect_func=_greeting(name),
            **_options(settings),
        )
    )


def made_async(settings: Settings, name: str) -> Any:
    """A pool for asyncio; raises InvalidSetting where the URL's options cannot be used."""
    return _checked(
        redis.asyncio.BlockingConnectionPool.from_url(
            settings.redis_url,
            socket_timeout=None,
            redis_connect_func=_async_greeting(name),
            **_options(settings),
        )
    )


def given(client: Any) -> Any:
    """The pool of a ``redis.Redis`` made elsewhere; raises InvalidSetting where it cannot be used."""
    return _pool_of(client, redis.asyncio.ConnectionPool, "redis.Redis")


def given_async(client: Any) -> Any:
    """The pool of a ``redis.asyncio.Redis`` made elsewhere; raises InvalidSetting where it cannot be used."""
    return _pool_of(client, redis.ConnectionPool, "redis.asyncio.Redis")


def _options(settings: Settings) -> dict[str, Any]:
    seconds = settings.redis_timeout_ms / 1_000
    keepalive = {} if settings.redis_url.startswith("unix:") else {"socket_keepalive": True}
    return {
        "max_connections": MOST_CONNECTIONS,
        "timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "decode_responses": False,
        "driver_info": None,
        "socket_connect_timeout": seconds,
        "health_check_interval": 0,
        **keepalive,
        **_tls_options(settings),
    }


def _tls_options(settings: Settings) -> dict[str, Any]:
    """What a rediss:// connection is checked with; verification is redis-py's default."""
    files = {"ssl_ca_certs": settings.redis_ca, "ssl_certfile": settings.redis_cert, "ssl_keyfile": settings.redis_key}
    return {name: value for name, value in files.items() if value}


def _greeting(name: str) -> Callable[[Any], None]:
    """Begins a connection. Its name is only for people: where the server does not take it, it has none."""

    def greet(connection: Any) -> None:
        connection.on_connect()
        with contextlib.suppress(redis.ResponseError):
            connection.send_command("CLIENT", "SETNAME", f"redsched-{name}", check_health=False)
            connection.read_response()

    return greet


def _async_greeting(name: str) -> Callable[[Any], Awaitable[None]]:
    """As ``_greeting``."""

    async def greet(connection: Any) -> None:
        await connection.on_connect()
        with contextlib.suppress(redis.ResponseError):
            await connection.send_command("CLIENT", "SETNAME", f"redsched-{name}", check_health=False)
            await connection.read_response()

    return greet


def _checked(pool: Any) -> Any:
    """The pool, if its options make a connection: redis-py finds out only when it connects."""
    try:
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, redis.RedisError) as error:
        raise InvalidSetting("redis_url", f"its options cannot be used: {error}") from None
    return pool


def _pool_of(client: Any, wrong: type[Any], right: str) -> Any:
    pool = getattr(client, "connection_pool", None)
    if pool is None or isinstance(pool, wrong):
        raise InvalidSetting("redis", f"give a {right}, not a {type(client).__module__}.{type(client).__qualname__}")
    if pool.connection_kwargs.get("decode_responses"):
        raise InvalidSetting("redis", "its decode_responses is True, but redsched reads bytes; make one without it")
    return pool
