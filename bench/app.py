"""The worker's application under measurement: handlers that only note when they started.

A record is 24 bytes (number, due time in ms, start in ns), appended to a file in the worker's working directory by
one system call, so that lateness and speed are computed afterwards from what ran and not from what was reported.
"""

from __future__ import annotations

import functools
import os
import struct
import time

from redsched import App

RECORD = struct.Struct("<qqq")
RECORD_FILE = "started.bin"

app = App(name="bench")


@functools.cache
def _file() -> int:
    return os.open(RECORD_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


@app.task("bench.noop", queue="bench")
async def noop(number: int, due_ms: int, text: str) -> None:
    """Append one record and end."""
    started_ns = time.time_ns()
    os.write(_file(), RECORD.pack(number, due_ms, started_ns))
