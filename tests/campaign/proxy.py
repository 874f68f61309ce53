"""A TCP proxy before Redis that does what networks do: loses replies, swallows, delays, resets, cuts into bytes.

It runs in a thread with an event loop of its own. A *command* is one request as RESP counts it, so "the reply of the
k-th command" is exact even where commands share a packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Self

from redsched.embedded import free_port

CHUNK = 65_536
_LIBC = ctypes.CDLL(None)


class Requests:
    """Counts the complete commands in one direction of a RESP stream, and knows the name of each."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The name of each command that is complete now, the verb of FCALL and the like added."""
        self._buffer += data
        found: list[bytes] = []
        while (end := self._one()) is not None:
            found.append(end)
        return found

    def _one(self) -> bytes | None:
        buffer, line = self._buffer, self._buffer.find(b"\r\n")
        if line < 0:
            return None
        if buffer[:1] != b"*":  # inline
            name = bytes(buffer[:line])
            del buffer[: line + 2]
            return name
        at, words = line + 2, []
        for _ in range(int(buffer[1:line])):
            line = buffer.find(b"\r\n", at)
            if line < 0:
                return None
            size = int(buffer[at + 1 : line])
            at = line + 2 + size + 2
            if len(buffer) < at:
                return None
            if len(words) < 2:
                words.append(bytes(buffer[line + 2 : line + 2 + size]))
        del buffer[:at]
        return b" ".join(words)


class Proxy:
    """Between the clients and one server. Its attributes may be changed at any time; new data obeys them."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.commands: list[bytes] = []  # all that were seen, in order
        self.lose: int | None = None  # number of the command, from 0, whose reply never comes
        self.lost: bytes | None = None  # the name of the command whose reply was lost
        self.how = "close"  # what follows the lost reply: close, reset, or hole (nothing at all)
        self.swallow_requests = False  # a half-open connection: what clients send vanishes
        self.swallow_replies = False  # a black hole
        self.latency_s = 0.0  # of each request
        self.reply_latency_s = 0.0  # of each reply, or of what a primary tells its replica
        self.bytewise = False
        self.refuse = False  # new connections are reset
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._listen())
        return self

    def __exit__(self, *problem: object) -> None:
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self, reset: bool = True) -> None:
        """End every connection, with RST or in order."""
        self._wait(self._cut(reset))

    def heal(self) -> None:
        """From now on do nothing wrong; connections that are half dead end."""
        ill = self.swallow_requests or self.swallow_replies
        self.swallow_requests = self.swallow_replies = self.bytewise = self.refuse = False
        self.latency_s, self.reply_latency_s, self.lose = 0.0, 0.0, None
        if ill:
            self.cut()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        await self._cut(True)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _cut(self, reset: bool) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _end(writer, reset)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            return _end(writer, True)
        target = self.target
        try:
            to_server = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            return _end(writer, True)
        if target != self.target:  # turned meanwhile: whoever cuts after that has not seen this one
            _end(to_server[1], True)
            return _end(writer, True)
        pair = (writer, to_server[1])
        self._pairs.add(pair)
        state = _Connection()
        try:
            ways = (self._requests(reader, to_server[1], state), self._replies(to_server[0], writer, state))
            parts = [asyncio.ensure_future(way) for way in ways]
            _, left = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in left:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self._pairs.discard(pair)
            for side in pair:
                _end(side, state.reset)

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, state: _Connection) -> None:
        requests = Requests()
        while data := await _read(reader):
            for name in requests.feed(data):
                if self.lose == len(self.commands) and not state.doomed:
                    state.doomed, self.lost = True, name
                self.commands.append(name)
            if self.swallow_requests:
                continue
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            server.write(data)
            await server.drain()

    async def _replies(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, state: _Connection) -> None:
        while data := await _read(reader):
            if state.doomed:  # the server has done what it was asked; nobody hears of it
                if self.how == "hole":
                    continue
                state.reset = self.how != "close"
                if self.how == "half":
                    client.write(data[: len(data) // 2])
                    await client.drain()
                return
            if self.swallow_replies:
                continue
            if self.reply_latency_s:  # late, but as much of it as comes
                asyncio.get_running_loop().call_later(self.reply_latency_s, _write, client, data)
                continue
            for part in (data[at : at + 1] for at in range(len(data))) if self.bytewise else (data,):
                client.write(part)
                await client.drain()
                if self.bytewise:
                    await asyncio.sleep(0)


class _Connection:
    """What is known of one connection."""

    doomed = False  # its next reply is lost
    reset = False


async def _read(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(OSError):
        return await reader.read(CHUNK)
    return b""


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.write(data)


def _end(writer: asyncio.StreamWriter, reset: bool) -> None:
    """To close is not enough: processes that were forked meanwhile have the socket open as well."""
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, RuntimeError):
        if not reset:
            if not writer.is_closing():
                writer.write_eof()
            return writer.close()
        if found is not None and found.fileno() >= 0:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _LIBC.connect(found.fileno(), bytes(16), 16)  # to no address: Linux sends the RST at once
        writer.transport.abort()
