"""A task from outside: redis-cli as the wire contract prints it, Node with ioredis, and RESP over a bare socket."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import redsched
from redsched.client import Client
from redsched.wire.claims import Started
from tests.support import servers
from tests.support.clients import Face
from tests.support.servers import NODE_DIR

CONTRACT = Path(redsched.__file__).parents[1] / "lua" / "README.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", CONTRACT.read_text(), re.DOTALL)
NOW = 1_800_000_000_000


@pytest.fixture
def client(own_url: str) -> Iterator[Face]:
    """A client of the namespace ``rs``, which the contract's examples use, with a clock of its own."""
    with Client(own_url) as client:
        face = Face(client)
        face.install()
        with servers.connect(own_url) as connection:
            connection.hset("{rs}:meta", "virtual_clock", 1)
        yield face


def run(client: Face, now: int) -> Started:
    """The one task that starts by then, and that can be completed."""
    (started,) = client.start(now=now)
    assert client.settle(started, "complete") == "completed"
    return started


@pytest.fixture
def shell(own_url: str, tmp_path: Path) -> Callable[[str], str]:
    """Runs a block as it is printed, where ``redis-cli`` means this server."""
    cli = tmp_path / "redis-cli"
    cli.write_text(f'#!/bin/sh\nexec {servers.require("redis-cli")} -p {urlsplit(own_url).port} "$@"\n')
    cli.chmod(0o755)

    def run_block(script: str) -> str:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", "-ec", script], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run_block


def test_the_contract_prints_a_raw_enqueue_and_one_call() -> None:
    assert len(BLOCKS) == 5
    assert "MULTI" in BLOCKS[0] and "FCALL rs1_enqueue" in BLOCKS[1] and "XADD" in BLOCKS[2]
    assert "FCALL rs1_emit" in BLOCKS[3] and "FCALL rs1_put_schedule" in BLOCKS[4]


def test_the_two_plain_commands_of_the_contract_make_a_task(shell: Callable[[str], str], client: Face) -> None:
    said = shell(BLOCKS[0])
    assert "ERR" not in said

    view = client.task("order-42:remind")
    assert (view.state, view.type, view.payload) == ("scheduled", "log", {"text": "hello from redis-cli"})
    started = run(client, NOW)
    assert (started.id, started.due_at, started.attempt) == ("order-42:remind", NOW, 1)
    assert json.loads(started.payload) == {"text": "hello from redis-cli"}


def test_the_two_commands_again_change_nothing(shell: Callable[[str], str], client: Face) -> None:
    for _ in range(2):
        shell(BLOCKS[0])
    run(client, NOW)
    shell(BLOCKS[0])

    assert client.start(now=NOW) == []
    assert client.task("order-42:remind").state == "completed"


def test_the_one_call_of_the_contract_makes_a_task(shell: Callable[[str], str], client: Face) -> None:
    assert shell(BLOCKS[1]) == "created\n"
    assert shell(BLOCKS[1]) == "created\n", "the request token makes the repeat safe"

    view = client.task("order-42:receipt")
    assert (view.state, view.type, view.max_attempts, view.request) == ("scheduled", "log", 3, "7f3a9c")
    assert round((view.due_at - view.created_at).total_seconds()) == 5
    assert client.start(now=round(view.due_at.timestamp() * 1_000) - 1) == []
    started = run(client, round(view.due_at.timestamp() * 1_000))
    assert json.loads(started.payload) == {"text": "five seconds later"}


def test_the_event_of_the_contract_makes_its_reminder_needless(shell: Callable[[str], str], client: Face) -> None:
    assert shell(BLOCKS[3]).split() == ["created", "0", "0"]

    due = client.task("order-42:nudge").due_at
    assert client.start(now=round(due.timestamp() * 1_000)) == []
    assert client.task("order-42:nudge").reason == "unless payment.captured:order-42"


def test_the_schedule_of_the_contract_makes_its_task(
    shell: Callable[[str], str], resp: Callable[..., Any], client: Face
) -> None:
    assert shell(BLOCKS[4]).split()[:2] == ["created", "1"]
    assert shell(BLOCKS[4]).split()[:2] == ["unchanged", "1"]

    schedules, due = "{rs}:schedules", "{rs}:due:default"
    now, following, calendars, told = resp("FCALL", "rs1_due_schedules", 1, schedules, NOW, 10)
    fields = dict(zip(told[1::2], told[2::2], strict=True))
    assert (now, following, calendars, told[0], fields[b"rev"]) == (NOW, -1, 0, b"tidy", b"1")
    assert json.loads(fields[b"spec"])["every"] == [{"every": 60_000}]
    assert resp("FCALL", "rs1_fire", 1, due, NOW, 1, "tidy", "1", "", NOW, "", 0, "", 0) == [b"0"]
    slot = (1, "tidy", "1", NOW, "every", "", 0, "", 1, NOW, NOW)
    assert resp("FCALL", "rs1_fire", 1, due, NOW, *slot) == [b"1"]
    assert resp("FCALL", "rs1_fire", 1, due, NOW, *slot) == [b"stale"]
    assert resp("ZSCORE", schedules, "tidy") == str(NOW + 60_000).encode()

    started = run(client, NOW)
    assert (started.id, json.loads(started.payload)) == (f"tidy@{NOW}", {"text": "from a schedule"})


def test_the_same_commands_from_node(own_url: str, client: Face) -> None:
    node = servers.require("node")

    done = subprocess.run(
        [node, "enqueue.mjs", own_url], cwd=NODE_DIR, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "raw": [3, 1],
        "call": ["created", "created"],
        "again": ["created"],
        "refused": True,
    }
    views = client.show(["node-raw", "node-call", "node-later"])
    assert {name: view.state for name, view in views.items()} == {
        "node-raw": "scheduled",
        "node-call": "ready",
        "node-later": "scheduled",
    }
    later = round(views["node-later"].due_at.timestamp() * 1_000)
    payloads = {one.id: json.loads(one.payload) for one in client.start(now=max(later, NOW))}
    assert payloads == {
        "node-raw": {"text": "raw from \u00fcber node"},
        "node-call": {"n": 1},
        "node-later": {"n": 2},
    }


class Resp:
    """Nothing but a socket and the few bytes that RESP asks for."""

    def __init__(self, url: str) -> None:
        self._socket = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=60)
        self._file = self._socket.makefile("rb")

    def __call__(self, *words: str | bytes | int) -> Any:
        """One command, one reply; an error is answered as an exception."""
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        sent = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(b"*%d\r\n" % len(parts) + sent)
        return self._reply()

    def _reply(self) -> Any:
        line = self._file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        return int(rest) if kind == b":" else RuntimeError(rest.decode()) if kind == b"-" else rest

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


@pytest.fixture
def resp(own_url: str) -> Iterator[Callable[..., Any]]:
    """A bare connection."""
    connection = Resp(own_url)
    yield connection
    connection.close()


def test_the_two_plain_commands_over_a_socket(resp: Callable[..., Any], client: Face) -> None:
    resp("MULTI")
    resp("HSET", "{rs}:task:default:bare", "type", "log", "payload", b'{"text":"\xc3\xa9"}', "priority", "high")
    resp("ZADD", "{rs}:due:default", "NX", NOW, "bare")
    assert resp("EXEC") == [3, 1]

    assert client.start(now=NOW - 1) == []
    started = run(client, NOW)
    assert (started.id, started.due_at, started.payload) == ("bare", NOW, b'{"text":"\xc3\xa9"}')


def test_the_commands_without_multi_in_either_order(resp: Callable[..., Any], client: Face) -> None:
    resp("ZADD", "{rs}:due:default", "NX", NOW, "early")
    assert client.start(now=NOW) == []
    resp("HSET", "{rs}:task:default:early", "type", "log", "payload", "{}")

    assert client.start(now=NOW + 999) == []
    assert run(client, NOW + 1_001).id == "early"


def test_a_whole_worker_over_a_socket(resp: Callable[..., Any], client: Face) -> None:
    """Enqueue, promote, claim, renew and settle with nothing but FCALL, as another language would."""
    due = "{rs}:due:default"
    words = (1, "bare", 0, 2, "type", "log", "payload", "[1]")
    assert resp("FCALL", "rs1_enqueue", 1, due, 0, *words) == [b"created"]
    assert str(resp("FCALL", "rs1_enqueue", 1, due, 0, 1, "bare")).startswith("RS_INVALID 1 due ")

    now, more, task = resp("FCALL", "rs1_claim", 1, due, 0, "worker-1", "00c0ffee", 10, 30_000)
    number, task_id, attempt, due_at, kind, payload, *_ = task
    assert (more, number, task_id, attempt, kind, payload) == (0, 1, b"bare", 1, b"log", b"[1]")
    assert 0 <= now - due_at < 5_000
    token = f"{attempt}.00c0ffee"
    assert resp("FCALL", "rs1_renew", 1, due, 0, 30_000, 1, "bare", token) == [b"renewed"]
    assert resp("FCALL", "rs1_progress", 1, due, "bare", token, "50") == b"stored"
    end = (1, "bare", token, "complete", '"done"', "", "")
    assert resp("FCALL", "rs1_settle", 1, due, 0, *end) == [b"completed"]
    assert resp("FCALL", "rs1_settle", 1, due, 0, *end) == [b"already"]

    assert client.task("bare").result == "done"


def test_a_hash_of_any_language_that_cannot_be_used_is_dead_with_its_reason(
    resp: Callable[..., Any], client: Face
) -> None:
    resp("HSET", "{rs}:task:default:bad", "type", "log", "payload", "{}", "max_attempts", "many")
    resp("ZADD", "{rs}:due:default", "NX", 0, "bad")

    assert client.start(now=NOW) == []

    view = client.task("bad")
    assert (view.state, view.reason) == ("dead", "malformed")
    assert client.update("bad", max_attempts=3) == {"bad": "updated"}
    assert client.revive("bad") == {"bad": "revived"}
    assert run(client, NOW).id == "bad"
