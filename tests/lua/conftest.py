"""A queue for each test: on each server, under each build of the Lua (see ``combinations``), with a virtual clock."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.combinations import BUILDS, SERVERS
from tests.support.lua_connections import connections
from tests.support.lua_queue import Queue
from tests.support.timetable import Timetable


def _queue(request: pytest.FixtureRequest, server: str, build: str) -> Iterator[Queue]:
    raw, text = connections(request, server)
    queue = Queue(server, build, raw, text, namespace=f"t{secrets.token_hex(6)}")
    text.hset(queue.key("meta"), "virtual_clock", 1)
    yield queue
    if keys := list(text.scan_iter(match=queue.key("*"), count=1_000)):
        text.unlink(*keys)


@pytest.fixture(params=[(server, build) for server in (*SERVERS, "fakeredis") for build in BUILDS], ids="-".join)
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    """A queue on each server, under each build."""
    yield from _queue(request, *request.param)


@pytest.fixture(params=[(server, build) for server in SERVERS for build in BUILDS], ids="-".join)
def real_queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    """The same on real servers only."""
    yield from _queue(request, *request.param)


@pytest.fixture
def times(queue: Queue) -> Timetable:
    """The schedules of a queue."""
    return Timetable(queue)
