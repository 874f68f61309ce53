"""Redis without a library: a blocking socket and hiredis. What a floor is measured with, and how servers are asked."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from typing import Any, Self

import hiredis

Word = str | bytes | int | float


PATIENCE = 30.0  # seconds that a server may take to come up


def pack(*words: Word) -> bytes:
    """One command as it goes over the wire."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub knows tuples of one word only
    return packed


class Wire:
    """One connection. An error that Redis answers is raised."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    @classmethod
    def when_up(cls, port: int) -> Self:
        """Connect as soon as the server listens.

        Raises:
            ConnectionRefusedError: it does not within 30 s.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return cls(port)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def call(self, *words: Word) -> Any:
        """Send one command and wait for its answer."""
        return self.pipeline(pack(*words), 1)[0]

    def text(self, *words: Word) -> str:
        """One answer as text."""
        answer: bytes = self.call(*words)
        return answer.decode()

    def info(self, section: str) -> dict[str, str]:
        """One section of INFO."""
        lines = (line.partition(":") for line in self.text("INFO", section).splitlines())
        return {name: value for name, _, value in lines if value}

    def pipeline(self, commands: bytes | Iterable[bytes], count: int) -> list[Any]:
        """Send packed commands in one write and wait for ``count`` answers."""
        self.send(commands if isinstance(commands, bytes) else b"".join(commands))
        return self.answers(count)

    def send(self, commands: bytes) -> None:
        """Send packed commands and wait for nothing."""
        self._socket.sendall(commands)

    def answers(self, count: int) -> list[Any]:
        """Wait for ``count`` answers."""
        answers: list[Any] = []
        while len(answers) < count:
            answer = self._reader.gets()
            if answer is False:
                self._feed()
                continue
            if isinstance(answer, hiredis.ReplyError):
                raise answer
            answers.append(answer)
        return answers

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def lines(self, timeout: float) -> list[str]:
        """The status lines that have arrived, waiting up to ``timeout`` seconds for the first (MONITOR)."""
        self._socket.settimeout(timeout)
        try:
            self._feed()
        except TimeoutError:
            return []
        found = []
        while (answer := self._reader.gets()) is not False:
            found.append(answer.decode(errors="replace"))
        return found

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _feed(self) -> None:
        chunk = self._socket.recv(262_144)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self._reader.feed(chunk)
