"""Servers of each pytest process, a store for each test, and a last word on what was not there to test with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest
import redis

from redsched.embedded import EmbeddedServer
from tests.support import combinations, servers
from tests.support.servers import FIXTURES, RedisServer, Store

# A test must never reach the Redis that the environment of whoever runs it names.
for _name in [name for name in os.environ if name.startswith("REDSCHED_") or name == "REDIS_URL"]:
    if not _name.startswith("REDSCHED_TEST_"):
        del os.environ[_name]

STORES = (*FIXTURES, "fakeredis")


def pytest_configure(config: pytest.Config) -> None:
    """With REDSCHED_TEST_REQUIRE_ALL a machine that lacks a server or a tool runs nothing."""
    if _is_controller(config) and servers.REQUIRE_ALL:
        lacking = [f"{name} ({why[1:].strip()})" for name, why in servers.tools().items() if why.startswith("-")]
        if lacking:
            raise pytest.UsageError(f"REDSCHED_TEST_REQUIRE_ALL is set and these are missing: {', '.join(lacking)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases of the tests of the Lua, and run a failed test on fakeredis once more, on a fresh one.

    fakeredis is a smoke target, never the oracle. It takes ten times as long for a script as a server does, and about
    once in a thousand its Lua raises an error without a text. Tests on real servers get no second chance.
    """
    for item in items:
        if "fakeredis" in item.nodeid:
            item.add_marker(pytest.mark.flaky(reruns=1))
    if left_out := set(combinations.left_out(items)):
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers and tools the tests had, and which were left out."""
    if not _is_controller(config):
        return
    terminalreporter.write_sep("-", "servers and tools")
    for name, version in servers.tools().items():
        if version.startswith("-"):
            terminalreporter.write_line(f"left out  {name}: {version[1:].strip()}", yellow=True)
        else:
            terminalreporter.write_line(f"found     {name} {version}")


def _is_controller(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server of this pytest process."""
    with servers.start_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def redis7_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Debian's redis-server of this pytest process."""
    server = servers.start_redis7(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis8_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Redis 8 of this pytest process."""
    server = servers.start_redis8(tmp_path_factory.mktemp("redis8"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def scripts_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server without functions, of this pytest process."""
    server = servers.start_without_functions(tmp_path_factory.mktemp("scripts"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def fake_server() -> fakeredis.FakeServer:
    """The fake server of this pytest process."""
    return fakeredis.FakeServer(version=(7,))


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A namespace of its own on each kind of server; emptied afterwards."""
    yield from _store(request, request.param)


@pytest.fixture(params=FIXTURES)
def real_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The same on real servers only."""
    yield from _store(request, request.param)


@pytest.fixture
def valkey_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The same on the embedded server only, for what does not depend on the server."""
    yield from _store(request, "valkey")


def _store(request: pytest.FixtureRequest, kind: str) -> Iterator[Store]:
    if kind == "fakeredis":
        fake: fakeredis.FakeServer = request.getfixturevalue("fake_server")
        made = Store(kind, fakeredis.FakeRedis(server=fake, decode_responses=True, protocol=2), fake=fake)
    else:
        server = request.getfixturevalue(FIXTURES[kind])
        made = Store(kind, servers.connect(server.url), url=server.url)
    yield made
    with contextlib.suppress(redis.ConnectionError):  # the test stopped its server
        made.clear()
    made.redis.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A directory for a server of the test's own."""
    return tmp_path / "data"
