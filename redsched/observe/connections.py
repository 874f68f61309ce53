"""Limits of connections, which uvicorn has not: how long the head of a request may take and how large it may be, how
many connections one peer and all peers may have, and descriptors that are kept free for everything else.

A connection that waits for its head holds up nobody: where there are too many, the one that has waited longest makes
room for a new one. So ``/livez`` is answered though thousands are silent.
"""

from __future__ import annotations

import asyncio
import importlib.util
import resource
from typing import Any

import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

SPARE = 128  # descriptors for Redis, files and logs
LEAST = 16  # connections, however few descriptors there are
MOST_HEAD = 65_536  # bytes of a request's head
SWEEP_S = 1.0
BACKLOG = 256  # connections that the kernel keeps until they are accepted
REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
PROBLEMS = {
    400: ("malformed_request", "The request is not HTTP", "the request cannot be read; nothing was done"),
    408: ("request_timeout", "The request did not arrive in time", "its head did not come in time; nothing was done"),
    431: (
        "headers_too_large",
        "The head of the request is too large",
        f"target and headers may have {MOST_HEAD} bytes; nothing was done",
    ),
    503: ("too_many_connections", "Too many connections", "all connections are in use; nothing was done"),
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """``connections``: of all peers; fewer where the process may not open so many files."""

    connections: int = 1_000
    a_peer: int = 250
    head_s: float = 10.0  # for the head of a request, from the connection or its first byte on


USUAL = Limits()


def problem(status: int) -> bytes:
    """A whole answer that closes the connection."""
    code, title, detail = PROBLEMS[status]
    body = msgspec.json.encode(
        {"type": f"urn:redsched:problem:{code}", "title": title, "status": status, "code": code, "detail": detail}
    )
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/problem+json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


class Gate:
    """The connections of one server. Used from its event loop."""

    def __init__(self, limits: Limits) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        room = limits.connections if files == resource.RLIM_INFINITY else max(LEAST, files - SPARE)
        self.limits = msgspec.structs.replace(limits, connections=min(limits.connections, room))
        self._open: dict[Any, str] = {}  # connection -> its peer, the oldest first
        self._peers: dict[str, dict[Any, None]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def enter(self, connection: Any, peer: str) -> bool:
        """Whether there is room for a new one; the one that has waited longest may have to make it."""
        here = self._peers.setdefault(peer, {})
        full_peer = len(here) >= self.limits.a_peer
        full = full_peer or len(self._open) >= self.limits.connections
        if full and not self._make_room(here if full_peer else self._open):
            self._forget(peer)
            return False
        self._open[connection] = peer
        self._peers.setdefault(peer, {})[connection] = None
        if self._sweep is None:
            self._sweep = connection.loop.call_later(SWEEP_S, self._look, connection.loop)
        return True

    def leave(self, connection: Any) -> None:
        """It has ended."""
        peer = self._open.pop(connection, None)
        if peer is not None:
            self._peers[peer].pop(connection, None)
            self._forget(peer)

    def _forget(self, peer: str) -> None:
        if not self._peers.get(peer):
            self._peers.pop(peer, None)

    def _make_room(self, among: dict[Any, Any]) -> bool:
        victim = next((one for one in among if one.is_waiting), None)
        if victim is None:
            victim = next((one for one in among if one.is_sending), None)
        if victim is None:
            return False
        self.leave(victim)
        victim.transport.abort()
        return True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End those whose head has not come in time."""
        now = loop.time()
        for connection in list(self._open):
            if not connection.is_waiting:
                connection.since = now
            elif now - connection.since > self.limits.head_s:
                connection.end_late()
        self._sweep = loop.call_later(SWEEP_S, self._look, loop) if self._open else None


def protocol(gate: Gate) -> type[asyncio.Protocol]:
    """uvicorn's protocol, guarded: httptools' where it is installed, else h11's."""
    if importlib.util.find_spec("httptools") is None:
        return type("GuardedH11", (_H11,), {"gate": gate})
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    return type("GuardedHttpTools", (_HttpTools, HttpToolsProtocol), {"gate": gate})


class _Guarded:
    """What both have in common; the attributes are uvicorn's."""

    gate: Gate
    since = 0.0  # when the wait for a head began
    _head = 0  # bytes of a head that is not whole
    _let_in = False
    loop: Any
    cycle: Any
    transport: Any

    @property
    def is_waiting(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or bool(self.cycle.response_complete)

    @property
    def is_sending(self) -> bool:
        """Whether the body of its request has not come yet."""
        return self._reads_body()

    def _reads_body(self) -> bool:
        raise NotImplementedError

    def connection_made(self, transport: Any) -> None:
        """As uvicorn's, where there is room."""
        super().connection_made(transport)  # type: ignore[misc]
        self.since = self.loop.time()
        peer = transport.get_extra_info("peername")
        self._let_in = self.gate.enter(self, str(peer[0]) if isinstance(peer, tuple) and peer else "")
        if not self._let_in:
            transport.write(problem(503))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self.gate.leave(self)
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, as long as a head is not too large."""
        if not self._let_in or self.transport.is_closing():
            return
        if self.is_waiting and not self._reads_body():
            if self._head == 0:
                self.since = self.loop.time()
            self._head += len(data)
        super().data_received(data)  # type: ignore[misc]
        if not self.is_waiting or self._reads_body():
            self._head = 0
        elif self._head > MOST_HEAD and not self.transport.is_closing():
            self._refuse(431)

    def end_late(self) -> None:
        """Its head has not come in time; one that sent a part of it is told so."""
        if self.transport.is_closing():
            self.transport.abort()
        elif self._head:
            self._refuse(408)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """In place of uvicorn's text."""
        self._refuse(400)

    def _refuse(self, status: int) -> None:
        self.transport.write(problem(status))
        self.transport.close()


class _HttpTools(_Guarded):
    _in_body = False

    def _reads_body(self) -> bool:
        return self._in_body

    def on_headers_complete(self) -> None:
        """As uvicorn's."""
        self._in_body = True
        super().on_headers_complete()  # type: ignore[misc]

    def on_message_complete(self) -> None:
        """As uvicorn's."""
        self._in_body = False
        super().on_message_complete()  # type: ignore[misc]


class _H11(_Guarded, H11Protocol):
    def _reads_body(self) -> bool:
        import h11

        return self.conn.their_state is h11.SEND_BODY
