"""What is being measured right now: one live line on a terminal, one line a step where the output goes elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.console import Console
from rich.status import Status


class Progress:
    """A context manager; call it with what has just been measured."""

    def __init__(self, console: Console, name: str) -> None:
        self._name = name
        self._began = time.monotonic()
        self._status = Status(name, console=console) if sys.stdout.isatty() else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, done: str) -> None:
        """Say that a step is done."""
        line = f"{self._name}: {done} ({time.monotonic() - self._began:.0f} s)"
        if self._status is not None:
            self._status.update(line)
        else:
            print(line, file=sys.stderr, flush=True)
