"""The ends of claims that tests of settle ask for."""

from __future__ import annotations

from typing import Any

from redsched.wire.claims import Settlement, Started
from tests.support.lua_queue import NOW

LATER = NOW + 1_000  # when a claim is settled, unless said otherwise
RAN = {
    "type": "t", "payload": "{}", "entry": "normal/gone", "due_at": str(NOW), "attempt": "1", "token": "1.*",
    "started_at": str(NOW), "worker": "w",
}  # fmt: skip


def end(started: Started, outcome: str, first: Any = "", error: str = "", traceback: str = "") -> Settlement:
    """How one claim ends."""
    return Settlement(started.queue, started.id, started.token, outcome, first, error, traceback)
