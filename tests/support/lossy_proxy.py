"""A proxy between a client and Redis that loses chosen requests or replies, as a network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import urlsplit

import hiredis

Fate = Literal["pass", "lose request", "lose reply", "hang"]


class Proxy:
    """Forwards commands to a server; ``fate`` says what becomes of each.

    ``commands`` has every command that came, also those that were lost.
    """

    def __init__(self, url: str, fate: Callable[[list[bytes]], Fate]) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._fate = fate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.commands: list[list[bytes]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def named(self, verb: str) -> list[list[bytes]]:
        """The calls of a verb that came, in either form."""
        return [command for command in self.commands if calls(command, verb)]

    def close(self) -> None:
        """End every connection."""
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        requests = hiredis.Reader()
        with client, server, contextlib.suppress(OSError):
            while data := client.recv(65_536):
                requests.feed(data)
                while (command := requests.gets()) is not False:
                    self.commands.append(command)
                    fate = self._fate(command)
                    if fate == "lose request":
                        return
                    reply = _ask(server, command)
                    if fate == "lose reply":
                        return
                    if fate == "hang":
                        client.recv(1)  # until the client gives up
                        return
                    client.sendall(reply)


def _ask(server: socket.socket, command: list[bytes]) -> bytes:
    server.sendall(b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command))
    replies, raw = hiredis.Reader(), b""
    while True:
        data = server.recv(65_536)
        if not data:
            raise ConnectionError
        raw += data
        replies.feed(data)
        if replies.gets() is not False:
            return raw


def calls(command: list[bytes], verb: str) -> bool:
    """Whether a command calls this verb, in either form."""
    from redsched.wire import scripts

    names = {scripts.PREFIX + verb, scripts.sha1(verb)}
    return command[0] in (b"FCALL", b"EVALSHA") and command[1].decode() in names


def the_first(verb: str, fate: Fate, times: int = 1) -> Callable[[list[bytes]], Fate]:
    """That fate for the first calls of a verb, none for all else."""
    left: Iterator[Fate] = iter([fate] * times)
    return lambda command: next(left, "pass") if calls(command, verb) else "pass"
