"""Both clients over every kind of server, and servers that a test may spoil."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched.client import AsyncClient, Client
from redsched.embedded import EmbeddedServer
from tests.support import servers
from tests.support.clients import Connect, Face
from tests.support.servers import RedisServer, Store

START: dict[str, Callable[[Path], EmbeddedServer | RedisServer]] = {
    "valkey": servers.start_valkey,
    "redis": servers.start_redis7,
    "redis8": servers.start_redis8,
}


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients of one kind, and closes them: ``connect(store)`` or ``connect(url, **options)``."""
    made: list[Face] = []

    def make(where: Store | str, **options: Any) -> Face:
        if isinstance(where, Store):
            client: Client | AsyncClient
            client = where.client(**options) if request.param == "sync" else where.async_client(**options)
        else:
            client = (Client if request.param == "sync" else AsyncClient)(where, **options)
        made.append(Face(client))
        return made[-1]

    yield make
    for face in made:
        face.close()


@pytest.fixture
def client(store: Store, connect: Connect) -> Face:
    """Either client on each kind of server."""
    return connect(store)


@pytest.fixture(scope="module", params=START)
def own_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of this file's own, whose functions and settings a test may change."""
    data_dir = tmp_path_factory.mktemp("own")
    server = START[request.param](data_dir)
    yield server
    server.stop()


@pytest.fixture
def own_url(own_server: Any) -> Iterator[str]:
    """Its address; it is empty and without functions, and its settings are put back afterwards."""
    with servers.connect(own_server.url) as redis:
        redis.flushall()
        redis.function_flush()
        redis.script_flush()
        yield own_server.url
        for setting, value in (("maxmemory", "0"), ("requirepass", ""), ("busy-reply-threshold", "5000")):
            redis.config_set(setting, value)
        for user in redis.acl_users():
            if user != "default":
                redis.acl_deluser(user)
