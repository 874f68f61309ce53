"""Histories: what every process of a run saw, one JSON line an event, appended before the effect.

A line is one ``write`` to a file opened with O_APPEND, so it survives SIGKILL of its process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec


class Event(msgspec.Struct, omit_defaults=True):
    """One thing that one process did, learned or suffered. Times in ``_ms`` are the server's clock."""

    at: float  # monotonic seconds: one clock for all processes of a machine
    op: str  # submit cancel reschedule claim start settle stall fault final
    proc: str = ""
    phase: str = ""  # invoke, ok, fail (definite: nothing done), info (unknown); of a fault: loss where it may lose
    id: str = ""  # the task; of a fault: the process that it hits, or the role, or empty for all
    word: str = ""  # the answer, the state, or the kind of fault
    token: str = ""
    asked: str = ""  # the outcome that a settle asked for, the durability that a submit asked for
    attempt: int = 0
    sent: float = 0.0  # when the call left, monotonic
    until: float = 0.0  # when a fault was over, monotonic
    server_ms: int = 0  # server's clock at the event, 0 where it is not known
    due_ms: int = 0
    expires_ms: int = 0


_ENCODER = msgspec.json.Encoder()


class Journal:
    """The history file of one process."""

    def __init__(self, folder: Path, proc: str) -> None:
        self.proc = proc
        self._file = os.open(folder / f"{proc}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, op: str, **fields: object) -> None:
        """One event, now."""
        self.write_all((Event(time.monotonic(), op, **fields),))  # type: ignore[arg-type]

    def write_all(self, events: Iterable[Event]) -> None:
        """Several events in one write."""
        lines = bytearray()
        for event in events:
            event.proc = self.proc
            lines += _ENCODER.encode(event) + b"\n"
        if lines:
            os.write(self._file, lines)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read(folder: Path) -> Iterator[Event]:
    """Every event of a run, file by file; a last line that was cut short is left out."""
    decoder = msgspec.json.Decoder(Event)
    for path in sorted(folder.glob("*.jsonl")):
        with open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield decoder.decode(line)
