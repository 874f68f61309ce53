"""How far a long list of tasks has come."""

from __future__ import annotations

import msgspec


class Streamed(msgspec.Struct, frozen=True, kw_only=True):
    """``at``: tasks of the list that are answered for; ``resumed_at``: how many of them an earlier call had submitted;
    ``answers``: how many of the others were created, existing, in conflict and so on, as ``enqueue_many`` says."""

    run: str
    at: int
    resumed_at: int
    answers: dict[str, int]
