"""A server that stays up, and on it one child at a time: nothing of one mutant reaches the next."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redsched.embedded import EmbeddedServer
from tests.support.lua_builds import Line, Refused

BUSY_MS = 1_000  # a script that takes longer is watched
ENDLESS_S = 4  # processor time of a script without an end
WAITS_S = 150  # a look that waits so long, waits for ever
BROKEN = "broken"  # said in place of a verdict when the work itself fails
TICKS = os.sysconf("SC_CLK_TCK")
Say = Callable[[Any], None]
Work = Callable[[EmbeddedServer, Say], None]


class Room:
    """One server, one child at a time. What the child says are lines of JSON."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: EmbeddedServer | None = None
        self._child = self._from = -1
        self._half = b""
        self._said_at = self._said_used = self._busy_used = 0.0
        self.limit_s = 10.0  # processor time of the look that the child is at

    def begin(self, work: Work) -> None:
        """Run the work in a child, on an empty server."""
        server = self._ready()
        self._from, there = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            self._in_child(server, work, there)
        os.close(there)
        self._half, self._said_at, self._said_used, self._busy_used = b"", time.monotonic(), 0.0, -1.0

    @staticmethod
    def _in_child(server: EmbeddedServer, work: Work, there: int) -> None:
        try:
            work(server, lambda said: _write(there, json.dumps(said).encode() + b"\n"))
        except BaseException as error:  # the parent must hear of it
            _write(there, json.dumps([BROKEN, f"{type(error).__name__}: {error}"[:300]]).encode() + b"\n")
        finally:
            os._exit(0)

    def fileno(self) -> int:
        """Where the child's words come from, for ``select``."""
        return self._from

    def said(self) -> Iterator[Any]:
        """What the child has said meanwhile; None at its end."""
        if not select.select([self._from], [], [], 0)[0]:
            return
        chunk = os.read(self._from, 262_144)
        self._said_at, self._said_used, self._busy_used = time.monotonic(), _used(self._child), -1.0
        *lines, self._half = (self._half + chunk).split(b"\n")
        yield from map(json.loads, lines)
        if not chunk:
            self._end()
            yield None

    def stuck(self) -> str:
        """Why the child will not come to an end, or nothing."""
        if time.monotonic() - self._said_at < 1:
            return ""
        if _used(self._child) - self._said_used > self.limit_s:
            return f"no end within {self.limit_s:.0f} s"
        if time.monotonic() - self._said_at > WAITS_S:
            return f"no end within {WAITS_S} s"
        assert self._server is not None
        if not self._busy():
            self._busy_used = -1.0
        elif self._busy_used < 0:
            self._busy_used = _used(self._server.pid)
        elif _used(self._server.pid) - self._busy_used > ENDLESS_S:
            return "a script has no end"
        return ""

    def stop(self) -> None:
        """End the child, and the server that may not have one."""
        if self._child > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            self._end()
        if self._server is not None:
            self._server.kill()
            self._server.stop()
            self._server = None

    def _end(self) -> None:
        os.waitpid(self._child, 0)
        os.close(self._from)
        self._child = self._from = -1

    def _ready(self) -> EmbeddedServer:
        if self._server is None or not self._emptied(self._server):
            self.stop()
            self._server = EmbeddedServer.start(Path(tempfile.mkdtemp(dir=self._folder)), appendfsync="no")
            with contextlib.closing(Line(self._server.port)) as line:
                line("CONFIG", "SET", "appendonly", "no", "busy-reply-threshold", BUSY_MS)
        return self._server

    @staticmethod
    def _emptied(server: EmbeddedServer) -> bool:
        try:
            with contextlib.closing(Line(server.port)) as line:
                line("CONFIG", "SET", "maxmemory", 0)
                for words in (("FLUSHALL",), ("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH")):
                    line(*words)
        except (Refused, OSError):
            return False
        return True

    def _busy(self) -> bool:
        assert self._server is not None
        try:
            with contextlib.closing(Line(self._server.port)) as line:
                line("PING")
        except Refused as refused:
            return str(refused).startswith("BUSY")
        except OSError:
            return True  # it is not there any more
        return False


def _write(there: int, words: bytes) -> None:
    while words:
        words = words[os.write(there, words) :]


def _used(pid: int) -> float:
    """The processor time of a process, in seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS
