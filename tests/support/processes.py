"""redsched as a user starts it: a process of its own, its lines as they come, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0  # on a machine that is busy with other things a process may need a minute to start
Found = TypeVar("Found")


def environment(**changes: str) -> dict[str, str]:
    """Ours without any setting of redsched, so that a test never reaches a Redis of whoever runs it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REDSCHED_", "REDIS_URL"))}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | changes


class Redsched:
    """One ``redsched ...`` with its standard output read line by line; ended with the test."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "redsched", *arguments],
            env=environment(**(env or {})),
            cwd=cwd,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._take), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._take_error), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, text: str, seconds: float = PATIENCE_S) -> str:
        """The first line of output, read or still to come, that contains ``text``."""
        for line in self.lines:
            if text in line:
                return line
        deadline = time.monotonic() + seconds
        while True:
            line_or_end = self._coming.get(timeout=max(0.1, deadline - time.monotonic()))
            if line_or_end is None:
                raise AssertionError(f"ended before it said {text!r}:\n{self.said()}")
            if text in line_or_end:
                return line_or_end

    def wait_for_error(self, text: str) -> str:
        """The first line on standard error that contains ``text``."""
        return until(lambda: next((line for line in list(self.errors) if text in line), None), self.said)

    def wait(self, seconds: float = PATIENCE_S) -> int:
        """Its exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {seconds} s:\n{self.said()}") from None
        for reader in self._readers:
            reader.join(10)
        return code

    def said(self) -> str:
        """All its output, for messages."""
        return "\n".join((*self.lines, "--- standard error", *self.errors))

    def family(self) -> set[int]:
        """Its process and all that descend from it."""
        return {self.process.pid} | descendants(self.process.pid)

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def _read(self, stream: Iterable[str], take: Callable[[str], None]) -> None:
        for line in stream:
            take(line.rstrip("\n"))
        if take == self._take:
            self._coming.put(None)

    def _take(self, line: str) -> None:
        self.lines.append(line)
        self._coming.put(line)

    def _take_error(self, line: str) -> None:
        self.errors.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        family = self.family() if self.process.poll() is None else set()
        self.process.kill()
        self.process.wait()
        for pid in family - {self.process.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> set[int]:
    """The processes below ``pid``."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(after_name[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def alive(pids: Iterable[int]) -> set[int]:
    """Those that still run; a zombie does not."""
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def until(look: Callable[[], Found | None], describe: Callable[[], str] = str, seconds: float = PATIENCE_S) -> Found:
    """What ``look`` finds, looked for again and again."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not found within {seconds} s:\n{describe()}")
        time.sleep(0.02)
