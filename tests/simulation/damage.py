"""A namespace full of tasks of every kind, and damage to its keys, drawn from a seed; what is whole still ends."""

from __future__ import annotations

import json
import random
import secrets
from typing import Any

from tests.oracles.contract_links import TIES
from tests.oracles.raw_keys import PLACES
from tests.support.lua_queue import HOUR, Queue

FAR = 3_990_000_000_000  # when everything is due
LAST = 12  # hours of it
FIELDS = ("state", "type", "payload", "priority", "attempt", "max_attempts", "timeout_ms", "expires_at", "entry",
          "token", "finished_at", "reason", "due_at", "created_at", "retry", "retention_ms", "worker", "blocked",
          "bound", "conditions", "delay_ms", "into", "begun", "crashes", "tags", "key")  # fmt: skip
VALUES = {
    "state": ("scheduled", "ready", "running", "completed", "cancelled", "dead", "held", "nonsense", ""),
    "entry": ("normal/1-1", "high/99999999999999999999-1", "nonsense", ""),
    "token": ("7.abc", "1.0123456789abcdef", "nonsense", "."),
    "priority": ("high", "low", "urgent"),
    "attempt": ("0", "3", "99", "-1", "x"),
    "max_attempts": ("1", "9", "many"),
    "expires_at": ("tomorrow", "1700000000"),
    "type": ("t2", "two words", ""),
    "blocked": ("confirm", "facts", "parents", "line", "pause:type:p", "nobody", ""),
    "bound": ("p", "c", "pc", "-"),
    "conditions": ("{}", "nonsense", '{"cancel_on":["f9"]}', '{"wait_for":{"any":["f1"]}}'),
}
FAMILY = ("parent", "child", "grandchild")  # where one of them is spoilt, nothing is promised of the others
PLANS: dict[str, dict[str, Any]] = {
    "confirm": {"hold": {"token": "t", "within": HOUR, "then": "run"}},
    "facts": {"wait_for": {"any": ["f1"]}, "cancel_on": ["f9"]},
    "within": {"wait_for": {"all": ["f1", "f2"], "within": HOUR, "then": "run"}},
    "first": {"fifo": True}, "second": {"fifo": True}, "third": {"fifo": True},
    "open": {"digest": {"key": "d"}}, "merged": {"digest": {"key": "d"}},
    "locked": {"unique": {"key": "u"}},
    "parent": {}, "child": {"after": {"ids": ["parent"]}, "cancel_on": ["f9"]},
    "grandchild": {"after": {"ids": ["child"]}},
}  # fmt: skip
KEPT = ("line", "listeners", "children", "parents", "items", "unique", "digest", "paused", "stopped", "agenda",
        "cursors", "about", "keyed", "tagged")  # fmt: skip


class Damage:
    """A populated namespace and what a seed does to it."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self.queue = queue
        self.redis = queue.redis
        self.random = random.Random(seed)
        self.queues = [queue, queue.other("r")]
        self.live: set[tuple[str, str]] = set()  # that must complete: nothing was done to their hashes or scores
        self.log: list[str] = []

    # --- before

    def populate(self) -> None:
        """Tasks in every state, in two queues."""
        for queue in self.queues:
            now = queue.now
            for number, place in enumerate(("completed", "kept", "dead", "gone", "run1", "run2", "back")):
                extra = {"keep": "1"} if place == "kept" else {"max_attempts": "3"} if number % 2 else {}
                self._add(queue, place, now, priority="normal", **extra)
            started = {task.id: task for task in queue.claim(20).tasks}
            queue.settle(started["completed"], "complete", '{"ok":1}')
            queue.settle(started["kept"], "complete")
            queue.settle(started["dead"], "dead", "rejected", "no such phone")
            queue.settle(started["gone"], "cancelled", "by itself")
            queue.settle(started["back"], "retry", HOUR, "later")
            for number in range(3):
                self._add(queue, f"later{number}", now + HOUR + number, priority=("high", "normal", "low")[number])
            for number, priority in enumerate(("high", "normal", "normal", "low")):
                self._add(queue, f"ready{number}", now, priority=priority)
            queue.seed("raw", due=now + HOUR)
            self._add(queue, "order-1:a", now + HOUR, tags='["red","blue"]', key="k2")
            self._add(queue, "order-1:b", now, tags='["red"]')
            self.live |= {
                (queue.name, task_id)
                for task_id in (
                    "run1",
                    "run2",
                    "back",
                    "later0",
                    "later1",
                    "later2",
                    "ready0",
                    "ready1",
                    "ready2",
                    "ready3",
                    "raw",
                    "order-1:a",
                    "order-1:b",
                )
            }
            self._populate_ties(queue)

    def _populate_ties(self, queue: Queue) -> None:
        """Tasks that wait for everything that a task can wait for."""
        later = queue.now + HOUR
        for task_id, plan in PLANS.items():
            due = later if task_id in ("first", "locked", "parent") else 0
            self._add(queue, task_id, due, conditions=json.dumps(plan), key="k")
        queue.run("pause", [queue.keys.due], [queue.now, "type:p", "", later])
        self._add(queue, "aside", queue.now + 1, type="p")
        queue.run("promote", [queue.keys.due], [queue.now + 1, 100, "m"])
        assert queue.task("aside")["blocked"] == "pause:type:p"
        self.live |= {(queue.name, task_id) for task_id in ("aside", *(PLANS.keys() - {"merged"}))}

    def _add(self, queue: Queue, task_id: str, due: int, **fields: str) -> None:
        fields = {"type": "t", "payload": "{}"} | fields
        words: list[Any] = [queue.now if fields["type"] == "p" else 0, 1, task_id, due, len(fields)]
        for pair in fields.items():
            words += pair
        queue.run("enqueue", [queue.keys.due], words)

    # --- damage

    def strike(self) -> None:
        """One to three acts."""
        acts = [
            self.delete,
            self.rename,
            self.retype,
            self.drop_field,
            self.drop_field,
            self.change_field,
            self.change_field,
            self.shift,
            self.shift,
            self.add_member,
            self.add_entry,
            self.remove_member,
            self.remove_entry,
            self.expire,
            self.persist,
            self.groups,
            self.delete_tie,
            self.untie,
            self.untie,
            self.tie,
        ]
        for _ in range(self.random.randint(1, 3)):
            self.random.choice(acts)()

    def _note(self, *words: object) -> None:
        self.log.append(" ".join(map(str, words)))

    def _names(self, *kinds: str) -> list[str]:
        start = self.queue.key("")
        names = (key.removeprefix(start) for key in self.redis.scan_iter(match=start + "*", count=1_000))
        return sorted(name for name in names if not kinds or name.split(":")[0] in kinds)

    def _any_key(self) -> str:
        """As likely a task as an index, a stream or another key."""
        others = ("queues", "meta", "events", "stats", "outcome")
        kinds = self.random.choice((("task",), ("task",), PLACES, ("ready",), others, KEPT))
        names = [name for name in self._names(*kinds) if name.count(":") < 3 or kinds in (("task",), KEPT)]
        return self.random.choice(names) if names else "meta"

    def _any_task(self) -> tuple[str, str, str]:
        """Key, queue and id."""
        name = self.random.choice(self._names("task"))
        _, queue, task_id = name.split(":", 2)
        return self.queue.key(name), queue, task_id

    def _touch(self, name: str) -> None:
        if name.startswith("task:"):
            _, queue, task_id = name.split(":", 2)
            self._spoil(queue, task_id)

    def _spoil(self, queue: str, task_id: str) -> None:
        self.live -= {(queue, one) for one in (FAMILY if task_id in FAMILY else (task_id,))}

    def delete(self) -> None:
        """DEL."""
        name = self._any_key()
        self._note("DEL", name)
        self._touch(name)
        self.redis.delete(self.queue.key(name))

    def rename(self) -> None:
        """RENAME, to another id, another queue or nowhere."""
        name = self._any_key()
        kind, *rest = name.split(":")
        to = self.random.choice((f"lost:{name}", ":".join((kind, *rest[:-1], "ghost")) if rest else f"lost:{name}"))
        if self.redis.exists(self.queue.key(name)):
            self._note("RENAME", name, to)
            self._touch(name)
            self.redis.rename(self.queue.key(name), self.queue.key(to))

    def retype(self) -> None:
        """Another type under the same name."""
        name = self._any_key()
        self._note("another type", name)
        self._touch(name)
        self.redis.delete(self.queue.key(name))
        self.redis.lpush(self.queue.key(name), "mine")

    def drop_field(self) -> None:
        """HDEL."""
        key, queue, task_id = self._any_task()
        if self.redis.type(key) == "hash":
            fields = sorted(set(self.redis.hkeys(key)) & set(FIELDS))
            if fields:
                field = self.random.choice(fields)
                self._note("HDEL", key, field)
                self._spoil(queue, task_id)
                self.redis.hdel(key, field)

    def change_field(self) -> None:
        """HSET."""
        key, queue, task_id = self._any_task()
        if self.redis.type(key) == "hash":
            field = self.random.choice(sorted(VALUES))
            value = self.random.choice(VALUES[field])
            self._note("HSET", key, field, value)
            self._spoil(queue, task_id)
            self.redis.hset(key, field, value)

    def _any_set(self) -> str | None:
        names = [name for name in self._names(*PLACES) if self.redis.type(self.queue.key(name)) == "zset"]
        return self.random.choice(names) if names else None

    def shift(self) -> None:
        """Another score."""
        name = self._any_set()
        if name is None:
            return
        member = self.random.choice(self.redis.zrange(self.queue.key(name), 0, -1))
        now = self.queue.now
        score = self.random.choice(
            (now // 1_000, now * 1_000, -5, 0, now + 1_000, now + 2 * HOUR, FAR - 7 * HOUR, "inf", "-inf", now + 0.5)
        )
        self._note("score", name, member, score)
        self._spoil(name.split(":")[1], member)
        self.redis.zadd(self.queue.key(name), {member: score})

    def add_member(self) -> None:
        """An id more: unknown, known, or none at all."""
        name = self._any_set()
        if name is None:
            return
        member = self.random.choice(("nobody", "two words", "", self._any_task()[2], self._any_task()[2]))
        score = self.random.choice((self.queue.now, self.queue.now + HOUR))
        self._note("ZADD", name, score, repr(member))
        if self.redis.zscore(self.queue.key(name), member) is not None:
            self._spoil(name.split(":")[1], member)
        self.redis.zadd(self.queue.key(name), {member: score})

    def _any_tie(self) -> str | None:
        names = [name for name in self._names(*KEPT) if self.redis.type(self.queue.key(name)) in ("zset", "hash")]
        return self.random.choice(names) if names else None

    def delete_tie(self) -> None:
        """DEL of a key that ties tasks."""
        name = self._any_tie()
        if name is not None:
            self._note("DEL", name)
            self.redis.delete(self.queue.key(name))

    def untie(self) -> None:
        """ZREM or HDEL of one of those that a key names."""
        name = self._any_tie()
        if name is None:
            return
        key, kind = self.queue.key(name), self.redis.type(self.queue.key(name))
        members = self.redis.zrange(key, 0, -1) if kind == "zset" else sorted(self.redis.hkeys(key))
        member = self.random.choice(members)
        self._note("ZREM or HDEL", name, member)
        if kind == "zset":
            self.redis.zrem(key, member)
        else:
            self.redis.hdel(key, member)

    def tie(self) -> None:
        """A member more, or the name of somebody who is not there."""
        kind = self.random.choice(("line", "agenda", "cursors", "digest", "unique", "children", "parents", "stopped"))
        name = {
            "agenda": "agenda",
            "cursors": "cursors",
            "line": "line:q:k",
            "digest": "digest:q:d",
            "unique": "unique:q:u",
            "stopped": "stopped:q:type:p",
        }.get(kind, f"{kind}:q:nobody")
        wanted = TIES[kind]
        if self.redis.type(self.queue.key(name)) not in (wanted, "none"):
            return
        self._note("names more", name)
        if wanted == "zset":
            member = {"agenda": "what/ever", "children": "q/child"}.get(kind, "nobody")
            self.redis.zadd(self.queue.key(name), {member: self.queue.now + HOUR if kind == "agenda" else 0})
        elif wanted == "hash":
            self.redis.hset(self.queue.key(name), "heard/f7" if kind == "cursors" else "q/parent", "")
        else:
            self.redis.set(self.queue.key(name), "nobody" if kind == "digest" else f"nobody {self.queue.now}")

    def _any_stream(self) -> str | None:
        names = [name for name in self._names("ready") if self.redis.type(self.queue.key(name)) == "stream"]
        return self.random.choice(names) if names else None

    def add_entry(self) -> None:
        """An entry more."""
        name = self._any_stream()
        if name is not None:
            fields = self.random.choice(({"id": "nobody"}, {"x": "two words"}, {"id": self._any_task()[2]}, {"id": ""}))
            self._note("XADD", name, fields)
            self.redis.xadd(self.queue.key(name), fields)

    def remove_member(self) -> None:
        """ZREM."""
        name = self._any_set()
        if name is not None:
            member = self.random.choice(self.redis.zrange(self.queue.key(name), 0, -1))
            self._note("ZREM", name, member)
            self.redis.zrem(self.queue.key(name), member)

    def remove_entry(self) -> None:
        """XDEL, of a pending one too; or XTRIM."""
        name = self._any_stream()
        if name is None:
            return
        entries = self.redis.xrange(self.queue.key(name))
        if entries:
            at = self.random.choice(entries)[0]
            pending = self.random.random() < 0.5 and self._deliver(name)
            self._note("XDEL", name, at, "pending" if pending else "")
            self.redis.xdel(self.queue.key(name), at)

    def _deliver(self, name: str) -> bool:
        groups = [group["name"] for group in self.redis.xinfo_groups(self.queue.key(name))]
        if "workers" in groups:
            self.redis.xreadgroup("workers", "gone", {self.queue.key(name): ">"}, count=2)
        return "workers" in groups

    def expire(self) -> None:
        """A TTL."""
        name = self._any_key()
        self._note("EXPIRE", name)
        self.redis.expire(self.queue.key(name), 3_000)

    def persist(self) -> None:
        """The counts of a minute lose their TTL."""
        names = [name for name in self._names("stats") if name.count(":") > 1]
        if names:
            name = self.random.choice(names)
            self._note("PERSIST", name)
            self.redis.persist(self.queue.key(name))

    def groups(self) -> None:
        """Its group gone, another one, or moved over entries that nobody was given."""
        name = self._any_stream()
        if name is None:
            return
        key = self.queue.key(name)
        kind = self.random.choice(("destroy", "foreign", "setid", "acked", "delconsumer"))
        self._note("group", name, kind)
        if kind == "destroy":
            self.redis.xgroup_destroy(key, "workers")
        elif kind == "foreign":
            self.redis.xgroup_create(key, f"other{self.random.random()}", "0")
        elif self._deliver(name):
            if kind == "setid":
                self.redis.xgroup_setid(key, "workers", "$")
            elif kind == "delconsumer":
                self.redis.xgroup_delconsumer(key, "workers", "gone")
            elif entries := self.redis.xrange(key, count=1):
                self.redis.xack(key, "workers", entries[0][0])

    # --- after

    def drain(self) -> None:
        """Everything is due, and what a dead reader holds has been idle for long: run it all."""
        due = [queue.keys.due for queue in self.queues]
        for queue in self.queues:
            for priority in ("high", "normal", "low"):
                key = queue.keys.stream(priority)
                if self.redis.exists(key) and (held := self.redis.xpending_range(key, "workers", "-", "+", 100)):
                    self.redis.xclaim(key, "workers", "gone", 0, [entry["message_id"] for entry in held], idle=5_000)
        for number in range(LAST):
            now = FAR + number * HOUR
            for name in ("f1", "f2"):
                self.queue.run("emit", [self.queue.key(f"fact:{name}")], [now, "null", HOUR, f"e{number}"])
            for _ in range(4):
                self.queue.run("attend", [self.queue.key("agenda")], [now, 500])
            self.queue.run("reap", due, [now, 500])
            self.queue.run("promote", due, [now, 500, "m"])
            for queue in self.queues:
                reply = self.queue.run("claim", [queue.keys.due], [now, "w", secrets.token_hex(8), 500, 1_000])
                for _, task_id, *_ in reply[2:]:
                    token = self.redis.hget(queue.keys.task(task_id.decode()), "token")
                    words = [now, 1, task_id, token, "complete", "", "", ""]
                    assert queue.run("settle", [queue.keys.due], words) == [b"completed"]
