"""Peers who send nothing, too slowly, too much or what is no HTTP: none of them closes the API for others."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from redsched.observe import connections
from redsched.observe.connections import Gate, Limits
from redsched.settings import Settings
from redsched.web import bodies
from tests.support.api_server import JSON, ApiServer, call
from tests.support.processes import until
from tests.support.servers import Store

SILENT = 1_100
TASK = b'{"type":"a","delay":"1h"}'
HEAD = (
    b"POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(TASK)
)


@pytest.fixture(params=["httptools", "h11"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of uvicorn's protocols."""
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    if request.param == "h11":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    limits = {"api_max_connections": 20, "api_max_connections_a_peer": 10, "api_head_timeout_ms": 30_000}
    with ApiServer(valkey_store.url, valkey_store.namespace, **limits) as server:
        yield server


@pytest.fixture
def hasty(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace, api_head_timeout_ms=200) as server:
        yield server


def connect(url: str, *sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    """A connection that has sent this."""
    parts = urlsplit(url)
    made = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20, source_address=(source, 0))
    for part in sent:
        made.sendall(part)
    return made


def answer(made: socket.socket) -> tuple[int, dict[str, Any]]:
    """What is answered on it: status and JSON; 0 where it was closed without an answer."""
    try:
        response = http.client.HTTPResponse(made)
        response.begin()
        return response.status, json.loads(response.read().replace(b"ok\n", b"{}"))
    except (http.client.HTTPException, OSError):
        return 0, {}


def is_closed(made: socket.socket) -> bool:
    """Whether the server has closed it by now."""
    made.setblocking(False)
    try:
        return made.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_silent_connections_make_room_for_those_that_ask(api: ApiServer) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(api.url)) for _ in range(60)]
        assert api.get("/livez").status == 200
        assert api.post("/v1/tasks", {"type": "a", "delay": "1h"}).status == 201
        left = [not is_closed(one) for one in silent]
    assert sum(left) <= 10, "as many as one peer may have"
    assert left == sorted(left), "the oldest ones were closed"


def test_the_connections_of_all_peers_are_bounded_and_one_peer_does_not_crowd_out_another(api: ApiServer) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(api.url, source="127.0.0.9"))
        for _ in range(40):
            stack.enter_context(connect(api.url, source="127.0.0.2"))
        assert api.get("/livez").status == 200
        assert not is_closed(first)
        for peer in range(3, 8):
            for _ in range(10):
                stack.enter_context(connect(api.url, source=f"127.0.0.{peer}"))
        assert api.get("/livez").status == 200
        assert is_closed(first)


def test_one_that_sends_its_body_outlives_the_silent_ones(api: ApiServer) -> None:
    with connect(api.url, HEAD.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")) as busy:
        assert busy.recv(4_096).startswith(b"HTTP/1.1 100")
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                stack.enter_context(connect(api.url))
            assert api.get("/livez").status == 200
            busy.sendall(TASK)
            assert answer(busy)[0] == 201


def test_where_all_connections_are_in_use_there_is_no_room_until_one_ends() -> None:
    class Busy:
        loop = asyncio.new_event_loop()
        is_waiting = is_sending = False

    gate, first = Gate(Limits(connections=3, a_peer=2)), Busy()
    assert [gate.enter(one, peer) for one, peer in ((first, "a"), (Busy(), "a"), (Busy(), "a"), (Busy(), "b"))] == [
        True,
        True,
        False,
        True,
    ]
    assert not gate.enter(Busy(), "c")
    gate.leave(first)
    assert gate.enter(Busy(), "c")
    assert not gate.enter(Busy(), "a")
    Busy.loop.close()
    told = json.loads(connections.problem(503).partition(b"\r\n\r\n")[2])
    assert (told["status"], told["code"]) == (503, "too_many_connections")


@pytest.mark.parametrize(
    ("files", "asked", "most"),
    [(1_024, 1_000, 896), (9_999, 1_000, 1_000), (64, 1_000, 16), (resource.RLIM_INFINITY, 500, 500), (1_024, 5, 5)],
)
def test_descriptors_are_kept_free(monkeypatch: pytest.MonkeyPatch, files: int, asked: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert Gate(Limits(connections=asked)).limits.connections == most


def test_a_head_has_ten_seconds(hasty: ApiServer) -> None:
    with connect(hasty.url) as silent, connect(hasty.url, b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ") as slow:
        assert silent.recv(1) == b""
        status, told = answer(slow)
    assert (status, told["code"]) == (408, "request_timeout")

    def is_given_another_200_ms() -> bool:
        with connect(hasty.url, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n") as second:
            if answer(second)[0] != 200:  # this machine took longer than that
                return False
            second.sendall(b"GET /li")
            return answer(second)[0] == 408

    until(is_given_another_200_ms)
    assert Settings().api_head_timeout_ms == 10_000


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: %b\r\n\r\n" % (b"y" * 300_000),
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 300_000,
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 60_000,
        b"GET /" + b"a" * 300_000,
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 101 + b"\r\n",
    ],
)
def test_a_head_that_is_too_large_is_refused(api: ApiServer, head: bytes) -> None:
    with connect(api.url) as made:
        with contextlib.suppress(OSError):
            for at in range(0, len(head), 16_384):
                made.sendall(head[at : at + 16_384])
        status, told = answer(made)
    assert (status, told.get("code")) in ((431, "headers_too_large"), (400, "malformed_request"), (0, None))
    assert api.get("/livez").status == 200


def test_a_hundred_headers_are_taken_and_one_more_is_431(api: ApiServer) -> None:
    for count, status in ((98, 200), (99, 431)):
        head = b"GET /v1/queues HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n" + b"x: y\r\n" * count + b"\r\n"
        with connect(api.url, head) as made:
            assert answer(made)[0] == status


@pytest.mark.parametrize(
    "sent",
    [
        b"get /v1/queues HTTP/1.1\r\nhost: x\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_told_so_by_a_problem(api: ApiServer, sent: bytes) -> None:
    with connect(api.url, sent) as made:
        made.settimeout(2)
        raw = b""
        with contextlib.suppress(OSError):
            while part := made.recv(65_536):
                raw += part
    assert b"text/plain" not in raw
    if raw:
        assert b"application/problem+json" in raw
    assert api.get("/livez").status == 200


def test_a_client_that_is_refused_before_its_body_is_read_gets_the_answer(valkey_store: Store) -> None:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace, api_token="s3cret-token") as api:
        for _ in range(3):
            assert api.call("POST", "/v1/tasks:batch", b"x" * 3_000_000, JSON).code == "401 missing_key"


def test_bodies_of_all_requests_together_fill_no_more_memory_than_there_is_for_them(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_HELD", 0)  # but for one whole body
    limit = api.settings.max_body_bytes
    text = b'[{"type":"a","delay":"1h"}]' + b" " * (limit - 27)
    head = HEAD.replace(b"/v1/tasks", b"/v1/tasks:batch").replace(b": %d" % len(TASK), b": %d" % limit)
    with connect(api.url, head, text[:-1]) as first:
        until(lambda: bodies.held.total >= limit - 1, lambda: str(bodies.held.total))
        with connect(api.url, head, text[:1_000_000]) as second:
            assert answer(second)[1]["code"] == "busy"
        first.sendall(text[-1:])
        assert answer(first)[0] == 200
    until(lambda: bodies.held.total == 0, lambda: str(bodies.held.total))
    assert api.call("POST", "/v1/tasks:batch", text, JSON).status == 200


def test_silent_connections_by_the_thousand_leave_descriptors_for_others(valkey_store: Store) -> None:
    assert valkey_store.url is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3 * SILENT:
        pytest.skip("this process may not open so many files")
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3 * SILENT), hard))
    environ = {name: text for name, text in os.environ.items() if not name.startswith("REDSCHED_")}
    environ |= {
        "REDSCHED_REDIS_URL": valkey_store.url,
        "REDSCHED_NAMESPACE": valkey_store.namespace,
        "REDSCHED_LOG_FORMAT": "json",
        "REDSCHED_API_TOKEN": "s3cret-token",
    }
    command = ["sh", "-c", f"ulimit -n 1024; exec {sys.executable} -m redsched api --port 0"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    with process, contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stderr is not None
        url = next(json.loads(line)["url"] for line in process.stderr if "api.listening" in line)
        for at in range(SILENT):
            stack.enter_context(connect(url, source=f"127.0.0.{2 + at % 8}"))
        keyed = {"authorization": "Bearer s3cret-token"}
        for _ in range(20):
            assert call(url, "GET", "/livez").status == 200
        assert call(url, "GET", "/readyz").status == 200
        assert call(url, "POST", "/v1/tasks", TASK, {**JSON, **keyed}).status == 201
        assert process.poll() is None
