"""A Redis that is too old for the scripts is refused with a sentence, by whoever meets it first."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import hiredis
import pytest

from redsched.model.errors import StoreError
from tests.support.clients import Connect
from tests.support.processes import Redsched

SENTENCE = "this server is Redis 6.2.14; redsched needs Redis 7.0, or Valkey 7.2, or later"
ANSWERS = {b"PING": b"+PONG\r\n", b"CLIENT": b"+OK\r\n", b"SELECT": b"+OK\r\n"}


def answer(command: list[bytes], version: bytes) -> bytes:
    """What a server of before functions says."""
    word = command[0].upper()
    if word == b"INFO":
        text = b"# Server\r\nredis_version:" + version + b"\r\nredis_mode:standalone\r\n"
        return b"$%d\r\n%s\r\n" % (len(text), text)
    return ANSWERS.get(word, b"-ERR unknown command `%s`, with args beginning with: \r\n" % command[0])


@pytest.fixture
def old_url() -> Iterator[str]:
    """The URL of a server that says that it is Redis 6.2.14."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        requests = hiredis.Reader()
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                requests.feed(data)
                while (command := requests.gets()) is not False:
                    connection.sendall(answer(command, b"6.2.14"))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_client_says_that_the_server_is_too_old(old_url: str, connect: Connect) -> None:
    client = connect(old_url)
    for call in (partial(client.enqueue, "t"), partial(client.show, "a"), client.install):
        with pytest.raises(StoreError) as raised:
            call()
        assert SENTENCE in str(raised.value)


@pytest.mark.parametrize("command", [("worker", "redsched.builtin:app"), ("mover",), ("install",), ("task", "ls")])
def test_a_process_says_so_and_ends(old_url: str, command: tuple[str, ...]) -> None:
    with Redsched(*command, "-r", old_url) as process:
        assert process.wait() == 1, process.said()
    assert SENTENCE in process.said() and "Traceback" not in process.said()
