"""A server of its own for one library and one step, and that library's processes against it.

The server has core 0, the adapter core 1. Whatever an adapter starts is in its session, ends with it, and has a time
limit: a library that hangs costs its own row and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.app import RECORD, RECORD_FILE
from bench.common import CLIENT_CORE, ROOT, SERVER_CORE, Options, pinned, server_binary
from bench.noise import Probe, Watch, cpu_seconds, on_core, wait_for_quiet
from bench.peers.catalog import OURS, Peer
from bench.peers.install import interpreter
from bench.wire import Wire
from redsched.embedded import free_port

POLL = 0.05


class PeerFailed(Exception):
    """A library could not do a step; the text says why."""


class Bed:
    """A context manager: the server is up inside it; every process has ended after it."""

    def __init__(self, peer: Peer, options: Options) -> None:
        self.peer = peer
        self.options = options
        self._closing = contextlib.ExitStack()
        self._sessions: list[int] = []

    def __enter__(self) -> Bed:
        with self._closing as closing:
            closing.enter_context(on_core(CLIENT_CORE))
            self.folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="redsched-peers-")))
            self.port = free_port()
            self._server = closing.enter_context(self._serve())
            self.wire = closing.enter_context(contextlib.closing(Wire.when_up(self.port)))
            wait_for_quiet(self.options.patience)
            self.probe = Probe.take(self.wire, 0.1)
            self._watch, self._ended = Watch(), _children()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def others(self) -> float:
        """Cores used since the bed was made by processes that are not this measurement's."""
        watch = self._watch.stop()
        ours = cpu_seconds(self._server.pid) + _children() - self._ended
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = status.read_text().rpartition(")")[2].split()
                if int(fields[3]) in self._sessions:
                    ours += cpu_seconds(int(status.parent.name))
        return max(0.0, watch.others - ours / watch.seconds)

    def produce(self, *arguments: object, limit: float) -> dict[str, float]:
        """Run the producer to its end; the line of JSON that it prints.

        Raises:
            PeerFailed: it failed, or was not done within ``limit`` seconds.
        """
        with self._adapter("produce", *arguments) as process:
            self.until(lambda: process.poll() is not None, limit, f"produce {arguments[0]}")
            lines = (self.folder / "produce.out").read_text(errors="replace").strip().splitlines()
            if process.returncode or not lines:
                raise PeerFailed(f"produce {arguments[0]}: status {process.returncode}: {self._tail('produce')}")
        answer: dict[str, float] = json.loads(lines[-1])
        return answer

    @contextlib.contextmanager
    def worker(self, *, due: bool) -> Iterator[None]:
        """One worker process, and its scheduler process where the library has one and tasks are ``due`` later."""
        with self._adapter("work", "due" if due else "now") as process:
            self._worker = process
            yield

    def until_started(self, count: int, limit: float) -> bool:
        """Wait until that many tasks have started; False after ``limit`` seconds.

        Raises:
            PeerFailed: the worker ended.
        """
        deadline = time.monotonic() + limit
        while self.started() < count:
            if self._worker.poll() is not None:
                raise PeerFailed(f"worker: status {self._worker.returncode}: {self._tail('work')}")
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    def started(self) -> int:
        """How many tasks have started."""
        path = self.folder / RECORD_FILE
        return path.stat().st_size // RECORD.size if path.exists() else 0

    def records(self) -> list[tuple[int, int, int]]:
        """(number, due ms, start ns) of every start so far."""
        data = (self.folder / RECORD_FILE).read_bytes()
        return [*RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size])]

    def forget(self) -> None:
        """Begin the file of records again."""
        (self.folder / RECORD_FILE).write_bytes(b"")

    @staticmethod
    def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Look every 20 ms until it holds.

        Raises:
            PeerFailed: it did not within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise PeerFailed(f"{what}: not done within {seconds:.0f} s")
            time.sleep(0.02)

    def _tail(self, role: str) -> str:
        lines = (self.folder / f"{role}.err").read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-4:])[-600:]

    @contextlib.contextmanager
    def _adapter(self, role: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
        words = [str(interpreter(self.peer)), str(self.peer.adapter), role, *(str(word) for word in arguments)]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NODE_PATH")}
        environment |= {
            "PEER_PORT": str(self.port),
            "PEER_FILE": str(self.folder / RECORD_FILE),
            "PEER_HOME": str(self.peer.home),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"PYTHONPATH": str(ROOT)} if self.peer.name == OURS else {}),
        }
        with (
            open(self.folder / f"{role}.out", "wb") as output,
            open(self.folder / f"{role}.err", "wb") as errors,
            subprocess.Popen(
                pinned(CLIENT_CORE, words),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            ) as process,
        ):
            self._sessions.append(process.pid)
            try:
                yield process
            finally:
                _end(process)

    @contextlib.contextmanager
    def _serve(self) -> Iterator[subprocess.Popen[bytes]]:
        binary, name = server_binary(self.options.server)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.options.aof else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }
        flags = [word for setting, value in settings.items() for word in (f"--{setting}", value)]
        self.server = f"{name}, {'AOF everysec' if self.options.aof else 'no persistence'}"
        with subprocess.Popen(pinned(SERVER_CORE, [binary, *flags]), stdout=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started in its session: politely, then not."""
    for number, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _children() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
