"""One queue on one server under one build of the Lua, with a clock of its own and its whole state as plain values.

A test seeds, acts once and compares: nothing sleeps, because each act says what time it is. After each act every
task of the namespace must be in the one place that its state names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis

from redsched.model.events import Emitted
from redsched.testing.clock import at_time
from redsched.wire import events, mover, protocol, scripts
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Claimed, Settlement, Started
from redsched.wire.keys import CellKeys, QueueKeys, queue_keys
from redsched.wire.mover import Moved, Promoted
from tests.oracles import contract_index
from tests.support.consistency import PLACES, assert_consistent, everything, streams_of

T = TypeVar("T")
NOW = 1_800_000_000_000  # what time it is unless a test says otherwise: in January 2027
HOUR, DAY = 3_600_000, 86_400_000
KEEP_FINISHED, KEEP_DEAD = HOUR, 30 * DAY
LEASE = 30_000


def raised(queue: Queue, text: str) -> str:
    """The text of an error that Lua raises as ``error({err = text})``; fakeredis loses it on the way."""
    return "" if queue.server == "fakeredis" else text


@dataclass
class Queue:
    """A queue of a namespace that no other test uses."""

    server: str  # valkey | redis | redis8 | fakeredis
    build: str  # functions | scripts
    raw: redis.Redis  # replies as bytes, for calls
    redis: redis.Redis  # replies as text, for looking
    namespace: str
    name: str = "q"
    now: int = NOW
    broken: set[str] = field(default_factory=set)  # ids that the test spoilt: see assert_consistent

    @property
    def keys(self) -> QueueKeys:
        """The keys of this queue."""
        return queue_keys(self.cell, self.name)

    @property
    def cell(self) -> Cell:
        """The cell of this namespace."""
        return Cell(self.namespace)

    def key(self, name: str) -> str:
        """A key of the namespace."""
        return f"{{{self.namespace}}}:{name}"

    def other(self, name: str) -> Queue:
        """Another queue of the namespace."""
        return Queue(self.server, self.build, self.raw, self.redis, self.namespace, name, self.now, self.broken)

    # --- calls

    def run(self, verb: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The plain reply of a verb, called under this build."""
        if self.build == "functions":
            return self.raw.execute_command("FCALL", scripts.PREFIX + verb, len(keys), *keys, *args)
        return self.raw.execute_command("EVALSHA", scripts.sha1(verb), len(keys), *keys, *args)

    def send(self, call: Call[T], *, now: int | None = None) -> T:
        """Send a call of the protocol at the queue's time, or another, and check the namespace afterwards."""
        reply = call.read(self.run(call.verb, call.keys, at_time(call, self.now if now is None else now).args))
        self.check()
        return reply

    def refused(self, verb: str, *args: Any) -> str:
        """The text of the error that the server answers, which must leave every key as it was."""
        before = self.dump()
        try:
            reply = self.run(verb, [self.keys.due], args)
        except redis.ResponseError as error:
            assert self.dump() == before, "something was written"
            code = getattr(error, "status_code", None)
            return (f"{code} {error}" if code else str(error)).split(" script: ")[0]
        raise AssertionError(f"{verb} answered {reply!r}")

    def check(self) -> None:
        """Each task is in exactly one place."""
        assert_consistent(self.redis, self.namespace, self.broken)

    def enqueue(self, *tasks: tuple[Any, ...], now: int | None = None) -> list[str]:
        """Create tasks, each ``(id, due, {field: value})`` or with the number of a queue as fourth; the statuses."""
        words: list[Any] = [0]
        for task_id, due, fields, *number in tasks:
            named = {"type": "t", "payload": "{}"} | fields
            words += (
                number[0] if number else 1,
                task_id,
                due,
                len(named),
                *(x for pair in named.items() for x in pair),
            )
        keys = [self.keys.due, self.other("r").keys.due]
        call = Call("enqueue", keys, words, lambda reply: [word.decode() for word in reply])
        return self.send(call, now=now)

    def promote(self, *, now: int | None = None, limit: int = 100, mover: str = "m") -> Promoted:
        """Move what is due."""
        return self.send(protocol.promote([self.keys], mover=mover, limit=limit), now=now)

    def claim(self, count: int = 10, *, consumer: str = "w", now: int | None = None, **options: Any) -> Claimed:
        """Start ready tasks."""
        options = {"lease_ms": LEASE} | options
        return self.send(protocol.claim([self.keys], consumer=consumer, count=count, **options), now=now)

    def settle(
        self,
        started: Started,
        outcome: str,
        first: Any = "",
        error: str = "",
        traceback: str = "",
        *,
        now: int | None = None,
    ) -> str:
        """End one claim; the word it is answered with."""
        end = Settlement(started.queue, started.id, started.token, outcome, first, error, traceback)
        return self.send(protocol.settle(self.cell, [end]), now=now)[0]

    def begin(self, started: Started, *, now: int | None = None) -> str:
        """Tell that the handler of a claim has begun; the word it is answered with."""
        call = protocol.renew(self.cell, [], begun=[started], lease_ms=LEASE)
        return self.send(call, now=NOW if now is None else now)[0]

    def reap(self, *, now: int | None = None, limit: int = 100) -> Moved:
        """Take back what is past its lease."""
        return self.send(protocol.reap([self.keys], limit=limit), now=now).queues[0]

    def emit(self, event: str, subject: str = "", data: Any = None, *, now: int | None = None, **more: Any) -> Emitted:
        """Record an event."""
        options = {"ttl": None, "event_id": "e1"} | more
        return self.send(events.emit(CellKeys(self.cell), event, subject, data=data, **options), now=now)

    def attend(self, *, now: int | None = None, limit: int = 64) -> mover.Attended:
        """Work off a part of the agenda."""
        return self.send(protocol.attend(CellKeys(self.cell), limit), now=now)

    def plan(
        self, task_id: str, conditions: dict[str, Any], *, due: Any = 0, now: int | None = None, **fields: Any
    ) -> str:
        """Create a task with conditions, as they are on the wire; what enqueue answers."""
        return self.enqueue((task_id, due, {"conditions": json.dumps(conditions), **fields}), now=now)[0]

    # --- seeds

    def write(self, task_id: str, *, due: float | str | None = None, **fields: Any) -> None:
        """A task as another program writes it: the hash, then its id in the due set; nothing is checked."""
        self.redis.hset(self.keys.task(task_id), mapping=fields)
        if due is not None:
            self.redis.zadd(self.keys.due, {task_id: due})

    def seed(self, task_id: str, *, due: int = NOW, **fields: Any) -> None:
        """A good raw task; where it has ``created_at``, as a script would have made it."""
        self.write(task_id, due=due, **({"type": "t", "payload": "{}"} | fields))
        if "created_at" in fields:
            self.enter(task_id)

    def enter(self, *ids: str) -> None:
        """Put tasks that a test wrote where their tags, keys and subjects say."""
        for task_id in ids:
            for name in contract_index.names(task_id, self.task(task_id)):
                self.redis.zadd(self.key(name), {f"{self.name}/{task_id}": 0})

    def ready(self, task_id: str, **fields: Any) -> None:
        """A task that is ready."""
        self.seed(task_id, **fields)
        self.promote()

    def running(self, task_id: str, **fields: Any) -> Started:
        """A task that runs."""
        self.ready(task_id, **fields)
        (started,) = self.claim().tasks
        return started

    def spoilt(self, task_id: str, **fields: Any) -> Started:
        """A task that runs, and whose hash somebody changed since it was judged."""
        started = self.running(task_id)
        self.redis.hset(self.keys.task(task_id), mapping=fields)
        return started

    # --- the state

    def places(self) -> dict[str, Any]:
        """Where ids are: place -> {id: score}, ``ready`` -> {priority: [id in order]}; empty places are left out."""
        found: dict[str, Any] = {}
        for place in (*PLACES, "quarantine"):
            scores = self.redis.zrange(self.keys.index(place), 0, -1, withscores=True)
            if scores:
                found[place] = {member: score for member, score in scores}
        streams = streams_of(self.redis, self.key(""), self.name)
        ready = {priority: [fields.get("id") for _, fields in entries] for priority, entries in streams.items()}
        if any(ready.values()):
            found["ready"] = {priority: ids for priority, ids in ready.items() if ids}
        return found

    def task(self, task_id: str) -> dict[str, str]:
        """The hash without ``submitted``; ``entry`` as ``<priority>/<place in its stream>``, ``token`` as
        ``<attempt>.*``."""
        found: dict[str, str] = self.redis.hgetall(self.keys.task(task_id))
        found.pop("submitted", None)  # tests/lua/test_submitted.py
        if "entry" in found:
            priority, _, at = found["entry"].partition("/")
            entries = streams_of(self.redis, self.key(""), self.name).get(priority, [])
            numbers = [number for number, (entry, _) in enumerate(entries, 1) if entry == at]
            found["entry"] = f"{priority}/{numbers[0] if numbers else 'gone'}"
        if "token" in found:
            found["token"] = found["token"].partition(".")[0] + ".*"
        return found

    def outcome(self, task_id: str) -> dict[str, str]:
        """What the runs of a task left behind."""
        return self.redis.hgetall(self.keys.outcome(task_id))

    def events(self) -> list[str]:
        """The events, oldest first: ``<event> <id>`` and then details as ``name=value``."""
        found = []
        for _, fields in self.redis.xrange(self.key("events")):
            assert fields.pop("queue") or fields["event"] == "emitted"
            name, task_id = fields.pop("event"), fields.pop("id")
            found.append(" ".join([name, task_id, *(f"{field}={value}" for field, value in fields.items())]))
        return found

    def totals(self) -> dict[str, int]:
        """The queue's totals, without those by lateness."""
        found = self.redis.hgetall(self.key(f"stats:{self.name}"))
        return {name: int(value) for name, value in found.items() if not name.startswith("late_")}

    def pending(self, priority: str = "normal") -> int:
        """Entries that were delivered and not acknowledged."""
        return self.redis.xpending(self.keys.stream(priority), "workers")["pending"]

    def dump(self) -> dict[str, Any]:
        """Every key of the namespace and what it holds, but for who moves: that ends after a second of real time."""
        found = everything(self.redis, self.key("*"))
        return {key: content for key, (_, content) in found.items() if key != self.key("mover")}
