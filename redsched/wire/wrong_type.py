"""Which keys of a call have another Redis type than the contract says: asked for after Redis refused it for that.

Redis does not name the key. The type of each kind of key is read from ``lua/lib/repair/key_rules.lua``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from redsched.wire import scripts
from redsched.wire.codec import text_of

OF_QUEUE = ("due", "held", "running", "finished", "dead", "quarantine", "ready", "inbox", "stats", "config", "paused")
OF_CELL = ("events", "meta", "queues", "schedules", "calendars", "agenda", "cursors", "rules", "sweeps")
_FOR_PEOPLE = {"zset": "sorted set"}


@cache
def types() -> dict[str, str]:
    """The Redis type of each kind of key."""
    table = scripts.text("lib/repair/key_rules.lua").partition("local TYPES = {")[2].partition("}")[0]
    return dict(re.findall(r"(\w+) = '(\w+)'", table))


def looked_at(keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The keys that a call with these ``KEYS`` may need: each with a name for people, and its type."""
    found: dict[str, tuple[str, str]] = {}
    for key in keys:
        prefix, _, name = key.partition("}:")
        kind, _, queue = name.partition(":")
        prefix += "}:"
        found |= {prefix + one: (f"the key {one!r}", wanted) for one, wanted in _typed(OF_CELL)}
        if kind in OF_QUEUE:
            for one, wanted in _typed(OF_QUEUE):
                for suffix in ("", ":high", ":low") if one == "ready" else ("",):
                    found[f"{prefix}{one}:{queue}{suffix}"] = (f"the key {one + suffix!r} of queue {queue!r}", wanted)
    return found


def _typed(kinds: Sequence[str]) -> list[tuple[str, str]]:
    return [(kind, types()[kind]) for kind in kinds]


def told(looked_at: dict[str, tuple[str, str]], replies: Sequence[Any]) -> str:
    """The first whose ``TYPE`` is another; without one, a sentence that names none."""
    for (name, wanted), reply in zip(looked_at.values(), replies, strict=True):
        if isinstance(reply, Exception):
            continue  # these credentials may not ask
        if (found := text_of(reply)) not in (wanted, "none"):
            return f"{name} is a {_FOR_PEOPLE.get(found, found)} where a {_FOR_PEOPLE.get(wanted, wanted)} belongs"
    return "a key has another type than the contract says"
