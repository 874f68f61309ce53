"""Garbage for every key and field of the contract, from a seed: other types, random bytes, huge and deep values.

The keys and fields come from the tables of ``lua/README.md``, so that none can be forgotten.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import redis

README = (Path(__file__).parents[2] / "lua" / "README.md").read_text(encoding="utf-8")
KINDS = ("string", "list", "set", "zset", "hash", "stream")
HURT, GOOD = "hurt", "good"  # the queue whose shared keys are replaced, and the one beside it

# what stands for the parts of a key; "<id>" of a task that is there
PARTS = {
    "<namespace>": "", "<queue>": "", "<id>": "t1", "<minute>": "28000000", "<digest>": "a" * 64, "<consumer>": "w-1",
    "<name>": "n1", "<fact>": "n1", "<event>": "n1", "<key>": "k1", "<what>": "queue",
}  # fmt: skip
# keys of a queue that all of its tasks share: where one of them has another type, that queue waits for its repair
SHARED = ("due", "ready", "running", "held", "finished", "dead", "quarantine")


def keys() -> list[str]:
    """Every key of the table, without ``{rs}:``, with what stands in angle brackets."""
    table = README.split("\n## Keys\n")[1].split("\n\nA task is in exactly one place")[0]
    found: list[str] = []
    for row in table.splitlines():
        if not row.startswith("| `{rs}"):
            continue
        first = ""
        for told in re.findall(r"`([^`]+)`", row.split("|")[1]):
            name = told.removeprefix("{rs}:")
            if name.startswith("..."):  # of the first of the row
                name = first + name[3:]
            elif name.endswith(":"):  # such as `{rs}:held:` `running:` `finished:<queue>`
                name += "<queue>"
            first = first or name
            found.append(name)
    return found


def fields(heading: str) -> list[str]:
    """The names in the first column of the table below a heading."""
    part = README.split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [row.split("|")[1] for row in part.splitlines() if row.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([a-z_:<>]+)`", row)]


class Garbage:
    """Writes it; the same seed writes the same."""

    def __init__(self, connection: redis.Redis, namespace: str, seed: int) -> None:
        self.redis = connection
        self.prefix = f"{{{namespace}}}:"
        self.rng = random.Random(seed)
        self.task_fields = fields("## The task's hash")
        self.schedule_fields = [*fields("### Its hash"), "task:payload", "task:type", "task:priority", "task:retry"]
        self.told: list[str] = []  # what was done, for whoever looks at a failure

    def value(self) -> bytes:
        """One value that nobody expects."""
        rng = self.rng
        return rng.choice(
            (
                lambda: rng.randbytes(rng.randrange(40)),
                lambda: b"",
                lambda: b"x" * 300_000,
                lambda: b"[" * 100_000,
                lambda: b"[" * 3_000 + b"]" * 3_000,
                lambda: b'{"a":' * 900 + b"1" + b"}" * 900,
                lambda: b'{"a":' * 70 + b"1" + b"}" * 70,
                lambda: b"9" * 400,
                lambda: b"999999999999999",
                lambda: b"-1",
                lambda: b"nan",
                lambda: b"1e309",
                lambda: b"soon",
                lambda: b"null",
                lambda: b"[]",
                lambda: b"{}",
                lambda: b'"\\ud800"',
                lambda: b"\xff\xfe",
                lambda: b"0",
                lambda: b"normal/1-1",
                lambda: b'{"catch_up_window":"soon","every":[{"every":60000}]}',
                lambda: b'{"catch_up_window":-5,"every":[{"every":60000}]}',
                lambda: b'{"every":[{"every":1e300}]}',
                lambda: b'{"cron":"* * * * *","max_runs":"x","jitter":-1}',
                lambda: b'{"after":{"ids":["a","p/x"]}}',
                lambda: b'{"digest":{"key":"d"}}',
                lambda: b'{"unless":{"fact":"n1","field":"a.b.c"}}',
                lambda: b'{"fields":{"type":[1]},"bind":3}',
                lambda: b'{"wait_for":{"all":["n1"]}}',
                lambda: b'{"unique":{"key":"k1","mode":"keep_last"}}',
            )
        )()

    def member(self) -> bytes:
        """A member of a set: an id that is none, or is, or the name of something."""
        names = (
            b"t1",
            b"t2",
            b"hurt/t1",
            b"good/t2",
            b"p/x",
            b"hold/good",
            b"heard/n1",
            b"ended/gone/good/t1",
            b"resume/good/queue",
            b"nothing",
            b"what/ever",
            b"missing:t1",
            b"",
        )
        return self.rng.choice(names) if self.rng.random() < 0.7 else self.value()[:2_000]

    def score(self) -> Any:
        return self.rng.choice((0, 1, -1, 5e8, 1.7e12, 1.7e12 + 0.5, 1.7e15, 9e15, "inf", "-inf", 1e300))

    def strike(self) -> None:
        """Damage one key."""
        template = self.rng.choice(keys())
        queue = self.rng.choice((HURT, GOOD))
        name = template
        for part, stands in PARTS.items():
            name = name.replace(part, queue if part == "<queue>" else stands)
        key = self.prefix + name
        kind = name.partition(":")[0]
        is_shared = kind in SHARED and queue == GOOD
        if self.rng.random() < 0.5 and not is_shared:
            self.replace(key)
        else:
            self.fill(key, kind)

    def replace(self, key: str) -> None:
        """A key of any type in its place."""
        kind = self.rng.choice(KINDS)
        self.redis.unlink(key)
        self.told.append(f"{key} becomes a {kind}")
        self._write(key, kind)

    def fill(self, key: str, kind: str) -> None:
        """Something else in a key of the type that it has, or of any where it is not there."""
        found = self.redis.type(key)
        if found == "none":
            found = {
                "task": "hash",
                "outcome": "hash",
                "schedule": "hash",
                "ready": "stream",
                "inbox": "stream",
                "events": "stream",
            }.get(kind, "zset" if kind in SHARED else self.rng.choice(KINDS))
        self.told.append(f"{key} gets something as a {found}")
        self._write(key, found, kind)

    def _write(self, key: str, found: str, kind: str = "") -> None:
        rng, connection = self.rng, self.redis
        if found == "string":
            connection.set(key, self.value())
        elif found == "list":
            connection.rpush(key, self.value())
        elif found == "set":
            connection.sadd(key, self.member())
        elif found == "zset":
            connection.zadd(key, {self.member(): self.score()})
        elif found == "stream":
            connection.xadd(key, {rng.choice(("id", "type", "due", "x")): self.member()})
        else:
            named = {"task": self.task_fields, "schedule": self.schedule_fields}.get(kind, ["n1", "t1", "r1", "queue"])
            connection.hset(key, rng.choice(named), self.value())
