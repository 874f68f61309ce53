"""Redis without a client library: what any language with a socket can do. The demo submits one task this way."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import BinaryIO, Self, cast
from urllib.parse import unquote, urlsplit

Reply = str | int | list["Reply"] | None


class Resp:
    """One connection that speaks RESP2."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(10)
            connection.connect(parts.path)
            database = ""
        else:
            host = parts.hostname or "127.0.0.1"
            connection = socket.create_connection((host, parts.port or 6379), timeout=10)
            if parts.scheme == "rediss":
                connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
            database = parts.path.strip("/")
        self._connection = connection
        self._replies = cast(BinaryIO, connection.makefile("rb"))
        if parts.password:
            user = [unquote(parts.username)] if parts.username else []
            self.call("AUTH", *user, unquote(parts.password))
        if database not in ("", "0"):
            self.call("SELECT", database)

    def call(self, *words: str) -> Reply:
        """One command, its reply.

        Raises:
            RuntimeError: Redis answered with an error.
        """
        encoded = [word.encode() for word in words]
        self._connection.sendall(
            b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        )
        return self._read()

    def _read(self) -> Reply:
        line = self._replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if int(rest) < 0 else self._replies.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._read() for _ in range(int(rest))]
        raise RuntimeError(rest.decode(errors="replace") or "Redis closed the connection")

    def remove(self, pattern: str) -> None:
        """Remove every key that matches."""
        cursor = "0"
        while True:
            cursor, found = cast(tuple[str, list[str]], self.call("SCAN", cursor, "MATCH", pattern, "COUNT", "1000"))
            if found:
                self.call("UNLINK", *found)
            if cursor == "0":
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._replies.close()
        self._connection.close()
