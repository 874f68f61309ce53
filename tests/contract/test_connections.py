"""How a client comes to its server: by a socket file, after a fork, and where the server takes no name of a client."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from redsched import App, Client
from redsched.embedded import find_server_binary
from redsched.engine.worker import Worker
from redsched.settings import Settings
from tests.support.clients import Connect, Face
from tests.support.servers import RedisServer, Store

app = App()


@app.task("double")
def double(*, n: int) -> int:
    """A number twice."""
    return 2 * n


def works(client: Face) -> None:
    """Writes a task and runs it."""
    made = client.enqueue("double", {"n": 1})
    (started,) = client.start()
    assert client.settle(started, "complete", b"2") == "completed"
    assert client.task(made.id).result == 2


@pytest.fixture
def socket_file() -> Iterator[str]:
    """Of a server; its path is short, for a socket's may have 100 characters."""
    with tempfile.TemporaryDirectory(prefix="rs") as folder:
        path = f"{folder}/redis.sock"
        server = RedisServer(find_server_binary()[0], Path(folder), "--unixsocket", path)
        yield path
        server.stop()


def test_a_url_may_name_a_socket_file(socket_file: str, connect: Connect) -> None:
    works(connect(f"unix://{socket_file}"))
    works(connect(f"unix://{socket_file}?db=3"))


def test_a_worker_and_its_mover_work_over_a_socket_file(socket_file: str) -> None:
    settings = Settings(redis_url=f"unix://{socket_file}?db=1")
    with Client(settings=settings) as client:
        made = client.enqueue("double", {"n": 21})

        assert asyncio.run(asyncio.wait_for(Worker(app, settings, burst=True).run(), 60)) == 0

        assert client.task(made.id).result == 42


@pytest.mark.parametrize(
    "arguments",
    [("--rename-command", "CLIENT", ""), ("--user", "default", "on", "nopass", "~*", "&*", "+@all", "-client")],
)
def test_a_server_that_takes_no_name_of_a_client_is_worked_with(
    arguments: tuple[str, ...], tmp_path: Path, connect: Connect
) -> None:
    server = RedisServer(find_server_binary()[0], tmp_path, *arguments)
    try:
        works(connect(server.url))
    finally:
        server.stop()


def test_a_client_used_before_a_fork_works_in_the_child_and_goes_on_in_the_parent(real_store: Store) -> None:
    with real_store.client() as client:
        client.enqueue("double", {"n": 1}, id="before")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            said = b"?"
            try:
                client.enqueue("double", {"n": 2}, id="child")
                client.close()
                said = b"made"
            except BaseException as error:
                said = repr(error).encode()
            finally:
                os.write(writer, said)
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as pipe:
            said = pipe.read()
        os.waitpid(child, 0)

        assert said == b"made"
        assert client.enqueue("double", {"n": 3}, id="parent").status == "created"
        assert all(client.show(["before", "child", "parent"]).values())
