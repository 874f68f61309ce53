"""A namespace with a virtual clock, for tests of schedules; a Redis user for each role; the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import servers
from tests.support.acl_users import Users
from tests.support.app_clients import Make, clients_on
from tests.support.command_line import Cli, cli_on
from tests.support.schedule_clock import Stage, stage_on
from tests.support.servers import FIXTURES, Store


@pytest.fixture(params=["valkey", "redis", "redis8"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A namespace with a virtual clock."""
    with stage_on(request, request.param) as found:
        yield found


@pytest.fixture
def one(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same on the embedded server only, for what does not depend on the server."""
    with stage_on(request, "valkey") as found:
        yield found


@pytest.fixture(params=["redis", "redis8", "valkey"])
def users(request: pytest.FixtureRequest) -> Iterator[Users]:
    """On Redis 7.0 and 8.2 and Valkey 9.1."""
    server = request.getfixturevalue(FIXTURES[request.param])
    store = Store(request.param, servers.connect(server.url), url=server.url)
    with store.client() as client:
        client.install()
    made = Users(store)
    made.make()
    yield made
    made.remove()
    store.clear()
    store.redis.close()


@pytest.fixture
def cli(valkey_store: Store) -> Cli:
    """``redsched ...`` on the embedded server."""
    return cli_on(valkey_store)


@pytest.fixture(params=["memory", "embedded"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes clients for tests of applications, which start at START."""
    with clients_on(request.param) as found:
        yield found
