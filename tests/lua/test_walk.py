"""A random walk over all verbs: whatever is done in whatever order, each task stays in exactly one place."""

from __future__ import annotations

import random

import pytest

from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, Settlement, Started
from tests.support.lua_queue import DAY, LEASE, Queue

STEPS = 120
IDS = [f"id{number}" for number in range(12)]


class Walk:
    """One walk: a seed decides every step."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self.queue = queue
        self.random = random.Random(seed)
        self.claims: list[Started] = []  # all that were ever made: stale ones are settled too
        self.calls: list[Call[Claimed]] = []

    def some(self) -> list[str]:
        """A few ids, known or not."""
        return self.random.sample(IDS, self.random.randint(1, 4))

    def enqueue(self) -> None:
        """Create, repeat or clash."""
        fields = {
            "priority": self.random.choice(("high", "normal", "low")),
            "max_attempts": self.random.choice((1, 2, 5)),
            "retention_ms": self.random.choice((0, 5_000, DAY)),
            "payload": self.random.choice(("1", "2")),
            "retry": self.random.choice(("fixed 0", "fixed 9000", "list 1 2", "exponential 1 2 9 0.5")),
        }
        if self.random.random() < 0.2:
            fields["expires_at"] = f"+{self.random.choice((1, 9_000, 60_001))}"
        due = self.random.choice((0, "+0", "+5000", "+60000"))
        if due in ("+5000", "+60000") and int(fields.get("expires_at", "+60001")) <= int(due):
            del fields["expires_at"]
        self.queue.enqueue(*((task_id, due, fields) for task_id in self.some()))

    def promote(self) -> None:
        """Move what is due."""
        self.queue.promote(limit=self.random.choice((1, 3, 100)))

    def claim(self) -> None:
        """Start tasks, or repeat an earlier call."""
        if self.calls and self.random.random() < 0.2:
            call = self.random.choice(self.calls)
        else:
            consumer = self.random.choice(("one", "two"))
            count = self.random.choice((1, 5))
            call = protocol.claim([self.queue.keys], consumer=consumer, count=count, lease_ms=LEASE)
            self.calls.append(call)
        self.claims += self.queue.send(call).tasks

    def settle(self) -> None:
        """End claims, stale ones and some twice."""
        outcomes = [
            ("complete", ""),
            ("complete", "1"),
            ("retry", ""),
            ("retry", 5_000),
            ("snooze", 1_000),
            ("return", ""),
            ("return", "unhandled"),
            ("dead", "x"),
            ("cancelled", ""),
        ]
        ends = []
        for started in self.random.choices(self.claims, k=3) if self.claims else []:
            outcome, first = self.random.choice(outcomes)
            ends.append(Settlement(started.queue, started.id, started.token, outcome, first, "it broke"))
        if ends:
            self.queue.send(protocol.settle(self.queue.cell, ends))

    def renew(self) -> None:
        """Renew claims, stale ones too."""
        if self.claims:
            self.queue.send(protocol.renew(self.queue.cell, self.random.choices(self.claims, k=3), lease_ms=LEASE))

    def cancel(self) -> None:
        """Cancel a few."""
        self.queue.send(protocol.cancel(self.queue.keys, self.some()))

    def reschedule(self) -> None:
        """Another due time."""
        self.queue.send(protocol.reschedule(self.queue.keys, self.some(), delay=self.random.choice(("0s", "7s"))))

    def update(self) -> None:
        """Another priority."""
        priority = self.random.choice(("high", "normal", "low"))
        self.queue.send(protocol.update(self.queue.keys, self.some(), {"priority": priority}, max_payload=99))

    def revive(self) -> None:
        """Run dead ones again."""
        self.queue.send(protocol.revive(self.queue.keys, self.some(), delay=self.random.choice(("0s", "7s"))))

    def progress(self) -> None:
        """Tell of a claim."""
        if self.claims:
            started = self.random.choice(self.claims)
            self.queue.send(protocol.progress(self.queue.keys, started.id, started.token, 1))

    def pass_time(self) -> None:
        """Let leases end, or retention."""
        self.queue.now += self.random.choice((1, 1_000, LEASE, DAY))

    def reap(self) -> None:
        """Take back."""
        self.queue.reap(limit=self.random.choice((1, 100)))

    def sweep(self) -> None:
        """Remove."""
        self.queue.send(protocol.sweep([self.queue.keys], limit=3))

    def leave(self) -> None:
        """One consumer stops."""
        self.queue.send(protocol.leave([self.queue.keys], self.random.choice(("one", "two"))))


@pytest.mark.parametrize("seed", range(2))
def test_every_task_stays_in_exactly_one_place(queue: Queue, seed: int) -> None:
    walk = Walk(queue, seed)
    steps = [walk.enqueue, walk.promote, walk.claim, walk.settle] * 3 + [
        walk.renew,
        walk.cancel,
        walk.reschedule,
        walk.update,
        walk.revive,
        walk.progress,
        walk.pass_time,
        walk.pass_time,
        walk.reap,
        walk.sweep,
        walk.leave,
    ]

    for _ in range(STEPS):
        walk.random.choice(steps)()  # each checks the namespace when it is done

    running = queue.places().get("running", {})
    assert {queue.task(task_id)["state"] for task_id in running} <= {"running"}
