"""What became of a task that was submitted."""

from __future__ import annotations

from typing import Literal

import msgspec

STORED: frozenset[str] = frozenset(("created", "existing", "merged"))  # of an answer of enqueue: the task is there


class Enqueued(msgspec.Struct, frozen=True):
    """The answer for one task: ``created``, ``existing`` (same id, type, payload), ``conflict`` (nothing written),
    ``merged`` (it is part of a digest), ``rejected`` (another has the key that must be unique; nothing written) or
    ``refused`` (a task of the same call that it comes after, or that comes after it, is in conflict; nothing
    written)."""

    id: str
    queue: str
    status: Literal["created", "existing", "conflict", "merged", "rejected", "refused"]
    durability: str = "memory"  # what was reached: memory, fsync or replicas:<how many>
    other: str | None = None  # the id of its digest, of the task that has its key, or of the one in conflict


class Held(Enqueued, frozen=True):
    """What became of a task that waits to be confirmed with ``token``."""

    token: str = ""
