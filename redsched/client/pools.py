"""What redis-py's pools are made with. A pool that cannot work is refused before anything connects.

redis-py's own retries are off, and its time-outs are set here.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redsched.model.errors import InvalidSetting
from redsched.settings import Settings

MOST_CONNECTIONS = 32


def options(settings: Settings) -> dict[str, Any]:
    """The options that both kinds of pools are made with."""
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


def checked(pool: Any) -> Any:
    """The pool, if its options make a connection: redis-py finds out only when it connects.

    Raises:
        InvalidSetting: the URL's options cannot be used.
    """
    try:
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, redis.RedisError) as error:
        raise InvalidSetting("redis_url", f"its options cannot be used: {error}") from None
    return pool


def pool_of(client: Any, *, wrong: type[Any], right: str) -> Any:
    """The pool of a client of redis-py that was made elsewhere. ``wrong``: a kind of pool for the other kind of client;
    ``right``: the class that should have been given.

    Raises:
        InvalidSetting: it cannot be used.
    """
    pool = getattr(client, "connection_pool", None)
    if pool is None or isinstance(pool, wrong):
        raise InvalidSetting("redis", f"give a {right}, not a {type(client).__module__}.{type(client).__qualname__}")
    if pool.connection_kwargs.get("decode_responses"):
        raise InvalidSetting("redis", "its decode_responses is True, but redsched reads bytes; make one without it")
    return pool
