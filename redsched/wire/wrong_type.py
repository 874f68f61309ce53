"""Which keys of a call have another Redis type than the contract says: asked for after Redis refused it for that.

Redis does not name the key. The kinds of keys and their types are those of ``lua/lib/repair/key_rules.lua``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redsched.wire.codec import text_of

OF_QUEUE = {
    "due": "zset", "held": "zset", "running": "zset", "finished": "zset", "dead": "zset", "quarantine": "zset",
    "ready": "stream", "inbox": "stream", "stats": "hash", "config": "hash", "paused": "hash",
}  # fmt: skip
OF_CELL = {
    "events": "stream", "meta": "hash", "queues": "set", "schedules": "zset", "calendars": "hash", "agenda": "zset",
    "cursors": "hash", "rules": "hash", "sweeps": "zset",
}  # fmt: skip
_TYPES = {"zset": "sorted set"}


def looked_at(keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The keys that a call with these ``KEYS`` may need: each with a name for people, and its type."""
    found: dict[str, tuple[str, str]] = {}
    for key in keys:
        prefix, _, name = key.partition("}:")
        kind, _, queue = name.partition(":")
        prefix += "}:"
        found |= {prefix + one: (f"the key {one!r}", wanted) for one, wanted in OF_CELL.items()}
        if kind in OF_QUEUE:
            for one, wanted in OF_QUEUE.items():
                for suffix in ("", ":high", ":low") if one == "ready" else ("",):
                    found[f"{prefix}{one}:{queue}{suffix}"] = (f"the key {one + suffix!r} of queue {queue!r}", wanted)
    return found


def told(looked_at: dict[str, tuple[str, str]], replies: Sequence[Any]) -> str:
    """The first whose ``TYPE`` is another; without one, a sentence that names none."""
    for (name, wanted), reply in zip(looked_at.values(), replies, strict=True):
        if isinstance(reply, Exception):
            continue  # these credentials may not ask
        if (found := text_of(reply)) not in (wanted, "none"):
            return f"{name} is a {_TYPES.get(found, found)} where a {_TYPES.get(wanted, wanted)} belongs"
    return "a key has another type than the contract says"
