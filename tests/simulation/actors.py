"""Virtual producers, operators, movers and workers: small state machines that make one call at a time.

Each decides by the seed what to call next; ``take`` tells it the answer. An actor that crashes forgets everything.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from redsched.model.task import Changes, Task
from redsched.wire import dead_letters, protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Bell, Claimed, Settlement, Started
from redsched.wire.keys import PRIORITIES, QueueKeys, queue_keys
from tests.support.lua_builds import text

QUEUES = ("a", "b")
IDS = 7  # a queue: few, so that calls meet
LEASES = (1_000, 5_000, 30_000)
DELAYS = (0, 1, 500, 1_000, 3_000, 20_000)  # ms

_CHANGES: tuple[Changes, ...] = (
    {"priority": "high"},
    {"priority": None, "max_attempts": 2},
    {"payload": {"n": 3}},
    {"expires_in": "2s"},
    {"expires_in": None},
)


class Listen(Call[None], frozen=True):
    """A blocking read as a worker makes it, cut to one entry that is there already: a plain command."""


class Actor:
    """What all have in common."""

    def __init__(self, name: str, cell: Cell, rng: random.Random) -> None:
        self.name, self.cell, self.rng = name, cell, rng
        self.lives = 0
        self.pending: Call[Any] | None = None  # sent and not answered: sent again, the same
        self.paused = 0  # turns that it misses
        self.forget()

    def forget(self) -> None:
        """Lose the memory."""
        self.lives += 1
        self.pending = None

    def decide(self) -> Call[Any]:
        """The next call."""
        raise NotImplementedError

    def take(self, call: Call[Any], answer: Any) -> None:
        """The answer to the call, as its ``read`` reads it."""

    def keys(self, queue: str) -> QueueKeys:
        """The keys of a queue."""
        return queue_keys(self.cell, queue)

    def some_ids(self) -> list[str]:
        """One to three known ids."""
        return [f"t{n}" for n in self.rng.sample(range(IDS), self.rng.choice((1, 1, 1, 2, 3)))]

    def all_keys(self) -> list[QueueKeys]:
        """Both queues, in either order, or one of them."""
        names = self.rng.choice((QUEUES, QUEUES[::-1], QUEUES[:1], QUEUES[1:]))
        return [self.keys(queue) for queue in names]


class Producer(Actor):
    """Enqueues, with ids that it and others used before."""

    def decide(self) -> Call[Any]:
        tasks = [self._task() for _ in range(self.rng.choice((1, 1, 2, 4)))]
        return protocol.enqueue(self.cell, tasks, max_payload=1_000)

    def _task(self) -> Task:
        rng = self.rng
        return Task(
            type="t",
            payload={"n": rng.randrange(2)},
            queue=rng.choice(QUEUES),
            id=f"t{rng.randrange(IDS)}",
            delay=ms(wait := rng.choice(DELAYS)),
            priority=rng.choice((PRIORITIES[1], *PRIORITIES)),  # type: ignore[arg-type]
            max_attempts=rng.choice((1, 2, 3)),
            retry=[ms(rng.choice(DELAYS)), ms(rng.choice(DELAYS))],  # no jitter: a seed must replay
            expires_in=rng.choice((None, None, *(ms(wait + more) for more in (1, 800, 5_000, 60_000)))),
            retention=rng.choice((None, None, None, "0s", "1s")),
            request=f"{rng.getrandbits(64):016x}",
        )


def ms(number: int) -> timedelta:
    """A duration as the client takes it."""
    return timedelta(milliseconds=number)


class Operator(Actor):
    """Cancels, reschedules, updates, revives, drops and requeues; in some runs it moves tasks, too."""

    moves = False

    def decide(self) -> Call[Any]:
        rng, keys = self.rng, self.keys(self.rng.choice(QUEUES))
        kind = rng.randrange(20 if self.moves else 8)
        if kind >= 8:
            return protocol.move(keys, self.some_ids(), to=QUEUES[keys.queue == QUEUES[0]])
        if kind == 6:
            return dead_letters.drop(keys, self.some_ids())
        if kind == 7:
            return dead_letters.requeue(keys, self.some_ids(), delay=ms(rng.choice(DELAYS)))
        if kind <= 1:
            return protocol.cancel(keys, self.some_ids())
        if kind == 2:
            return protocol.reschedule(keys, self.some_ids(), delay=ms(rng.choice(DELAYS)))
        if kind == 3:
            return protocol.revive(keys, self.some_ids(), delay=ms(rng.choice(DELAYS)))
        return protocol.update(
            keys,
            self.some_ids(),
            rng.choice(_CHANGES),
            max_payload=1_000,
        )


class Mover(Actor):
    """Promotes, takes back and sweeps."""

    def decide(self) -> Call[Any]:
        kind = self.rng.randrange(10)
        limit = self.rng.choice((1, 2, 100))
        if kind <= 5:
            return protocol.promote(self.all_keys(), mover=self.name, limit=limit)
        if kind <= 8:
            return protocol.reap(self.all_keys(), limit=limit)
        return protocol.sweep(self.all_keys(), limit=limit)


class Worker(Actor):
    """Claims, renews, tells of progress and settles; ends in every way that there is."""

    def forget(self) -> None:
        super().forget()
        self.consumer = f"{self.name}-{self.lives}"
        self.tasks: list[Started] = []
        self.bells: list[Bell] = []
        self.answered: Settlement | None = None  # may be sent again: a late answer

    def decide(self) -> Call[Any]:
        rng = self.rng
        kind = rng.randrange(20)
        if self.answered is not None and kind == 0:
            return protocol.settle(self.cell, [self.answered])
        if self.tasks and kind <= 9:
            return self._settle()
        if self.tasks and kind <= 12:
            begun = [task for task in self.tasks if rng.random() < 0.4]
            others = [task for task in self.tasks if task not in begun]
            return protocol.renew(self.cell, others, begun=begun, lease_ms=rng.choice(LEASES))
        if self.tasks and kind == 13:
            task = rng.choice(self.tasks)
            return protocol.progress(self.keys(task.queue), task.id, task.token, {"n": 1})
        if kind == 14 and not self.bells:
            keys = self.keys(rng.choice(QUEUES))
            stream = keys.stream(rng.choice(PRIORITIES))
            words = ("XREADGROUP", "GROUP", "workers", self.consumer, "COUNT", 1, "STREAMS", stream, ">")
            return Listen("listen", [keys.due], words, lambda reply: reply)
        if kind == 15:
            return protocol.leave([self.keys(queue) for queue in QUEUES], self.consumer)
        queues = self.all_keys()
        if self.bells:
            queues = [self.keys(queue) for queue in QUEUES]
        return protocol.claim(
            queues, consumer=self.consumer, count=rng.choice((1, 2, 5)), lease_ms=rng.choice(LEASES), bells=self.bells
        )

    def _settle(self) -> Call[Any]:
        rng, ends = self.rng, []
        for task in rng.sample(self.tasks, rng.randint(1, len(self.tasks))):
            outcome = rng.choice(("complete", "complete", "retry", "retry", "snooze", "return", "dead", "cancelled"))
            first = ""
            if outcome == "snooze" or (outcome == "retry" and rng.random() < 0.3):
                first = str(rng.choice(DELAYS))
            elif outcome == "return" and rng.random() < 0.5:
                first = "unhandled"
            ends.append(Settlement(task.queue, task.id, task.token, outcome, first, "failed" * (outcome == "retry")))
        if rng.random() < 0.1:
            ends.append(ends[0])  # the same claim twice in one call
        return protocol.settle(self.cell, ends)

    def take(self, call: Call[Any], answer: Any) -> None:
        if isinstance(call, Listen):
            for stream, entries in answer or ():
                queue, _, priority = text(stream).partition(":ready:")[2].partition(":")
                for at, fields in entries:
                    self.bells.append(
                        Bell(queue, f"{priority or 'normal'}/{text(at)}", text(fields[1]) if fields else "")
                    )
        elif isinstance(answer, Claimed):
            self.bells = []
            self.tasks += answer.tasks
        elif call.verb == "settle":
            gone = {(text(call.args[at + 1]), text(call.args[at + 2])) for at in range(1, len(call.args), 7)}
            for task in self.tasks:
                if (task.id, task.token) in gone:
                    self.answered = Settlement(task.queue, task.id, task.token, "complete")
            self.tasks = [task for task in self.tasks if (task.id, task.token) not in gone]
        elif call.verb == "renew":
            words = [text(word) for word in call.args[2:]]
            claims = zip(words[1::3], words[2::3], answer, strict=True)
            lost = {(task_id, token.removeprefix("begun/")) for task_id, token, word in claims if word == "lost"}
            self.tasks = [task for task in self.tasks if (task.id, task.token) not in lost or self.rng.random() < 0.2]
