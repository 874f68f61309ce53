"""Durability per submit: the answer is never better than the truth; what was not reached is told, the task stored."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from redsched import Client, InvalidTask, NotDurable, Settings
from redsched.embedded import EmbeddedServer, find_server_binary, free_port

SETTINGS = Settings(durability_wait_ms=2_500)


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(tmp_path / "primary", appendfsync="always") as server:
        yield server


@pytest.fixture
def replica(primary: EmbeddedServer, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    redis.Redis(port=primary.port).config_set("repl-diskless-sync-delay", 0)
    (tmp_path / "replica").mkdir()
    process = subprocess.Popen(
        [
            find_server_binary()[0],
            "--port",
            str(free_port()),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(tmp_path / "replica"),
            "--replicaof",
            f"127.0.0.1 {primary.port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    primary_redis = redis.Redis(port=primary.port)
    deadline = time.monotonic() + 60
    while primary_redis.set("warm", 1) and primary_redis.execute_command("WAIT", 1, 500) < 1:
        assert time.monotonic() < deadline, primary_redis.info("replication")
    yield process
    process.kill()
    process.wait()


def client(server: EmbeddedServer) -> Client:
    return Client(server.url, settings=SETTINGS)


def test_fsync_is_reached_where_the_server_fsyncs_always(primary: EmbeddedServer) -> None:
    with client(primary) as c:
        assert c.enqueue("a", durability="fsync").durability == "fsync"


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [("appendfsync", "everysec", "fsyncs everysec, not always"), ("appendonly", "no", "no append-only file")],
)
def test_fsync_that_the_server_does_not_do_is_told_and_the_task_is_stored(
    primary: EmbeddedServer, setting: str, value: str, told: str
) -> None:
    redis.Redis(port=primary.port).config_set(setting, value)
    with client(primary) as c:
        with pytest.raises(NotDurable, match=told) as error:
            c.enqueue("a", id="order-1", delay="1h", durability="fsync")

        assert (error.value.reached, list(error.value.ids)) == ("memory", ["order-1"])
        assert c.task("order-1").state == "scheduled"


def test_replicas_are_counted_and_one_that_stands_still_is_not(
    primary: EmbeddedServer, replica: subprocess.Popen[bytes]
) -> None:
    with client(primary) as c:
        assert c.enqueue("a", delay="1h", durability="replicas:1").durability == "replicas:1"
        with pytest.raises(NotDurable, match="1 of 2 replicas"):
            c.enqueue("a", delay="1h", durability="replicas:2")
        replica.send_signal(19)  # SIGSTOP
        with pytest.raises(NotDurable, match="0 of 1 replicas") as error:
            c.enqueue("a", id="late", delay="1h", durability="replicas:1")
        assert c.task("late").state == "scheduled" and error.value.reached == "memory"
        replica.send_signal(18)
        # the same request again, on a connection that wrote nothing before: still counted truly
        with client(primary) as other:
            assert other.enqueue("a", id="late", delay="1h", durability="replicas:1").durability == "replicas:1"


def test_a_durability_that_is_none_writes_nothing(primary: EmbeddedServer) -> None:
    with client(primary) as c:
        with pytest.raises(InvalidTask, match="durability"):
            c.enqueue("a", id="x", durability="raid")
        assert c.show("x") == {"x": None}
