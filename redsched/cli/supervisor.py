"""Child processes of ``up``, ``demo`` and ``worker --processes``: none outlives its parent, however that one ends.

Everything is done on the main thread: Linux ties a child's parent-death signal to the thread that started it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import IO, Any
from urllib.parse import urlsplit

from redsched.cli import render
from redsched.cli.invocation import Failure
from redsched.embedded import die_with_parent
from redsched.settings import Settings, child_environment

STEADY_S = 30.0  # a child that ran for this long has no failures behind it
LONGEST_PAUSE_S = 30.0
START_S = 60.0  # how long a child may take until it answers: a busy machine needs half a minute
SAYS = "--says-to"  # the option of a worker that names the pipe for what it says
LOOK_S = 1.0  # how often children are looked at besides when one ends
STOP_SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


class Signals:
    """Sleeps until a signal comes: a request to stop, or the end of a child. Their usual effect is off meanwhile."""

    def __init__(self) -> None:
        self.stopped = False

    def __enter__(self) -> Signals:
        self._reader, writer = socket.socketpair()
        self._writer = writer
        self._reader.setblocking(False)
        writer.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._before: dict[int, Any] = {
            number: signal.signal(number, lambda *_: None) for number in (*STOP_SIGNALS, signal.SIGCHLD)
        }
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float | None) -> bool:
        """Sleep up to ``seconds``, less when a signal comes; True when it asks to stop."""
        ready, _, _ = select.select([self._reader], [], [], seconds)
        numbers = self._reader.recv(4096) if ready else b""
        asked = any(number in STOP_SIGNALS for number in numbers)
        self.stopped = self.stopped or asked
        return asked


def start(
    arguments: Iterable[str], settings: Settings, *, output: IO[bytes] | None = None, inherited: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start ``redsched <arguments>`` with these settings; its output goes to ``output`` or to ours. It has the
    ``inherited`` file descriptors open.

    It is in its own process group, so that Ctrl-C reaches only us, and ends by SIGTERM when we die.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "redsched", *arguments],
        env=child_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
        pass_fds=inherited,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - it calls prctl and getppid, nothing else
    )


class Child:
    """A process that is started again when it ended: after 0.5 s, then 1, 2, 4 ... 30 s while it keeps ending.

    One that runs ``once`` is left alone when it has ended with exit code 0. A worker ``says`` by a pipe what it has
    come to, for its handlers can end it with any exit code.
    """

    def __init__(
        self, name: str, arguments: tuple[str, ...], settings: Settings, *, once: bool = False, says: bool = False
    ) -> None:
        self.name = name
        self.finished = False
        self._once = once
        self._says = says
        self._reader = -1
        self._said = b""
        self.process: subprocess.Popen[bytes] | None = None
        self._arguments = arguments
        self._settings = settings
        self._failures = 0
        self._started = 0.0
        self._start_at = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        """Start it now."""
        self._started = time.monotonic()
        if not self._says:
            self.process = start(self._arguments, self._settings)
            return self.process
        if self._reader >= 0:
            os.close(self._reader)
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._said = b""
        try:
            arguments = (*self._arguments, SAYS, str(writer))
            self.process = start(arguments, self._settings, inherited=(writer,))
        finally:
            os.close(writer)
        return self.process

    def has_said(self, word: str) -> bool:
        """Whether the process that was started last has said that it has ``begun`` or ``ended``."""
        with contextlib.suppress(OSError):  # nothing more is there, or nothing is ever said
            while more := os.read(self._reader, 4096):
                self._said += more
        return word.encode() in self._said.split()

    def look(self) -> int | None:
        """Start it again when its pause is over; the exit code, once, when it has just ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._start_at and not self.finished:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        if self._once and code == 0 and (not self._says or self.has_said("ended")):
            self.finished, self.process = True, None
            return code
        self._failures = 1 if now - self._started >= STEADY_S else self._failures + 1
        pause = min(0.5 * 2 ** (self._failures - 1), LONGEST_PAUSE_S)
        self._start_at = now + pause
        self.process = None
        render.say(f"{self.name} {ended(code)}; starting it again in {pause:g} s", err=True)
        return code

    def next_look(self) -> float:
        """Seconds until it wants to be looked at."""
        return LOOK_S if self.process is not None or self.finished else max(0.0, self._start_at - time.monotonic())


def ended(code: int) -> str:
    """How a process ended, for people."""
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def stop(processes: Iterable[subprocess.Popen[bytes]], signals: Signals, grace: float) -> None:
    """SIGTERM to all at once; again when the user asks again; SIGKILL after ``grace`` seconds."""
    living = [process for process in processes if process.poll() is None]
    _send(living, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while living and (left := deadline - time.monotonic()) > 0:
        if signals.wait(left):
            _send(living, signal.SIGTERM)
        living = [process for process in living if process.poll() is None]
    _send(living, signal.SIGKILL)
    for process in living:
        process.wait()


def stop_all(children: Iterable[Child], signals: Signals, settings: Settings) -> None:
    """Those that run, gracefully, with as long as their own grace needs."""
    living = [child.process for child in children if child.process is not None]
    stop(living, signals, settings.shutdown_grace_ms / 1_000 + 5)


def _send(processes: Iterable[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def require_port(host: str, port: int) -> None:
    """Refuse a port that another program holds.

    Raises:
        Failure: names the option to change.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Failure(
                f"Cannot listen on {host} port {port} ({(error.strerror or str(error)).lower()}).\n"
                "Choose another with --port."
            ) from None


def wait_until_live(url: str, process: subprocess.Popen[bytes], signals: Signals, seconds: float = START_S) -> bool:
    """Wait until ``url`` answers 200; False when the process ended, a stop was asked or the time is over."""
    parts, deadline = urlsplit(url), time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None and not signals.stopped:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=1.0)  # never by a proxy
        try:
            connection.request("GET", parts.path)
            if connection.getresponse().status == 200:
                return True
        except (http.client.HTTPException, OSError):
            pass  # not yet
        finally:
            connection.close()
        signals.wait(0.03)
    return False
