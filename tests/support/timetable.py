"""Schedules of one queue, called word by word, and their whole state as plain values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redsched.wire.call import Call
from redsched.wire.scripts import header
from tests.oracles import contract_index
from tests.support.lua_queue import NOW, Queue

NEVER = 9e15
MINUTE = 60_000
HOURLY: dict[str, Any] = {"cron": "0 * * * *"}  # the scripts do not read when it fires
FIELDS = {"type": "t", "payload": "{}"}


def plain(reply: Any) -> Any:
    """A reply as text."""
    if isinstance(reply, list):
        return [plain(word) for word in reply]
    return reply.decode("utf-8", "backslashreplace") if isinstance(reply, bytes) else reply


def decision(
    queue: Queue,
    schedule_id: str = "s",
    following: Any = "=",
    *,
    due: Any = "",
    missed: Any = 0,
    why: str = "",
    slots: Sequence[Any] = (),
    number: Any = 1,
    rev: str | None = None,
    slot: str | None = None,
) -> list[Any]:
    """The words of one decision about a schedule as it is now; a slot is due at its time, or (slot, due)."""
    read = queue.redis.hmget(queue.key(f"schedule:{schedule_id}"), "rev", "slot") if rev is None or slot is None else []
    pairs = [word for one in slots for word in (one if isinstance(one, tuple) else (one, one))]
    rev = read[0] or "" if rev is None else rev
    slot = read[1] or "" if slot is None else slot
    return [number, schedule_id, rev, slot, following, due, missed, why, len(slots), *pairs]


class Timetable:
    """What a test does with schedules; the namespace is checked after each call."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.redis = queue.redis

    def call(self, verb: str, *args: Any, now: int | None = None) -> Any:
        """The reply of a verb, as text."""
        on_due = header(verb).keys[0].startswith("due")
        words = [0, *args] if header(verb).args[:1] == ("now",) else list(args)
        keys = [self.queue.keys.due if on_due else self.queue.key("schedules")]
        if header(verb).keys == ("due...",):
            keys.append(self.queue.other("r").keys.due)
        return self.queue.send(Call(verb, keys, words, plain), now=now)

    def put(
        self, schedule_id: str = "s", spec: Any = None, mode: str = "", *, now: int | None = None, **fields: Any
    ) -> Any:
        """Put a schedule: the word and the revision."""
        text = spec if isinstance(spec, str) else json.dumps(HOURLY if spec is None else HOURLY | spec)
        named = {name: value for name, value in (FIELDS | fields).items() if value is not None}
        flat = [word for pair in named.items() for word in pair]
        return self.call("put_schedule", schedule_id, mode, text, *flat, now=now)[:2]

    def planned(self, slot: int = NOW, spec: Any = None, schedule_id: str = "s", **fields: Any) -> None:
        """A schedule whose next slot is known."""
        self.put(schedule_id, spec, **fields)
        assert self.fire(slot, schedule_id) == ["0"]

    def fire(self, following: Any = "=", schedule_id: str = "s", *, now: int | None = None, **words: Any) -> Any:
        """Carry one decision out."""
        return self.call("fire", *decision(self.queue, schedule_id, following, **words), now=now)

    def run(self, slot: int, following: Any = None, **words: Any) -> Any:
        """Fire one slot at its time; the next one is an hour later unless said."""
        return self.fire(slot + 60 * MINUTE if following is None else following, slots=[slot], now=slot, **words)

    def started(self, now: int | None = None) -> Any:
        """The one task that starts."""
        (started,) = self.queue.claim(now=now).tasks
        return started

    def end(self, outcome: str = "complete", *, now: int | None = None) -> None:
        """Start the one task that is ready and end it."""
        reason = "failed" if outcome == "dead" else ""
        self.queue.settle(self.started(now), outcome, reason, now=now)

    def remove(self, *ids: str) -> None:
        """Take tasks away, whatever they are doing."""
        for task_id in ids:
            for name in contract_index.names(task_id, self.queue.task(task_id)):
                self.redis.zrem(self.queue.key(name), f"{self.queue.name}/{task_id}")
            self.redis.delete(self.queue.keys.task(task_id))
        for place in ("running", "finished", "dead"):
            self.redis.zrem(self.queue.keys.index(place), *ids)
        self.redis.delete(self.queue.keys.ready)

    def hash(self, schedule_id: str = "s", *without: str) -> dict[str, str]:
        """The schedule, without what never changes."""
        found: dict[str, str] = self.redis.hgetall(self.queue.key(f"schedule:{schedule_id}"))
        constant = ("spec", "queue", "created_at", "changed_at", "task:type", "task:payload", *without)
        return {name: value for name, value in found.items() if name not in constant}

    def looks(self) -> dict[str, float]:
        """When each schedule is looked at next."""
        return dict(self.redis.zrange(self.queue.key("schedules"), 0, -1, withscores=True))

    def tasks(self) -> dict[str, str]:
        """Id -> state of the tasks that there are."""
        prefix = self.queue.keys.task("")
        found = {key.removeprefix(prefix): self.redis.hget(key, "state") for key in self.redis.scan_iter(f"{prefix}*")}
        return {task_id: state or "scheduled" for task_id, state in sorted(found.items())}

    def events(self) -> list[str]:
        """Those of schedules."""
        return [line for line in self.queue.events() if line.startswith(("schedule_", "slot_"))]
