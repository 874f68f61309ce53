"""Workers and movers that are started before their Redis: they wait, say so, and stop when they are told to."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from redsched import Client
from redsched.embedded import EmbeddedServer
from tests.support.processes import Redsched, until
from tests.support.servers import RedisServer, connect, start_redis7

WORKER = ("worker", "redsched.builtin:app")
COMMANDS = pytest.mark.parametrize("command", [WORKER, (*WORKER, "-n", "2"), ("mover",)], ids=" ".join)


@contextmanager
def answering(reply: bytes | None) -> Iterator[str]:
    """The URL of a server that gives this answer to whatever it reads; with None, none at all."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(65_536):
                if reply is not None:
                    connection.sendall(reply)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@COMMANDS
def test_it_waits_for_a_redis_that_is_away_and_says_so(command: tuple[str, ...], tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path / "server") as server:
        server.kill()
        with Redsched(*command, "-r", server.url, env={"REDSCHED_LOG_FORMAT": "text"}) as process:
            line = process.wait_for_error("redis.waiting")
            assert server.url in line and "refused" in line

            server.restart()

            process.wait_for_error("redis.reached")
            with Client(server.url) as client:
                task = client.enqueue("log", {"text": "late"})
                wanted = "ready" if command == ("mover",) else "completed"
                until(lambda: client.task(task.id).state == wanted, process.said)
            process.send(signal.SIGTERM)
            assert process.wait() == 0, process.said()
            assert "Traceback" not in process.said()


@COMMANDS
@pytest.mark.parametrize(
    ("reply", "said"),
    [(b"-LOADING Redis is loading the dataset in memory\r\n", "loading"), (None, "time")],
    ids=["loading", "silent"],
)
def test_it_stops_when_it_is_told_to_while_redis_is_loading_or_silent(
    command: tuple[str, ...], reply: bytes | None, said: str
) -> None:
    environment = {"REDSCHED_LOG_FORMAT": "text", "REDSCHED_REDIS_TIMEOUT": "300ms"}
    with answering(reply) as url, Redsched(*command, "-r", url, env=environment) as process:
        assert said in process.wait_for_error("redis.waiting").lower()
        process.send(signal.SIGTERM)
        assert process.wait() == 0, process.said()
    assert "Traceback" not in process.said()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that asks for a password."""
    server = start_redis7(tmp_path)
    with connect(server.url) as connection:
        connection.config_set("requirepass", "secret")
    yield server
    server.stop()


@COMMANDS
def test_it_does_not_wait_for_a_redis_that_refuses_its_credentials(
    command: tuple[str, ...], locked: RedisServer
) -> None:
    url = locked.url.replace("redis://", "redis://:wrong-canary@")
    with Redsched(*command, "-r", url) as process:
        assert process.wait() == 1, process.said()
    assert "WRONGPASS" in process.said() or "NOAUTH" in process.said()
    assert "Traceback" not in process.said() and "wrong-canary" not in process.said()
