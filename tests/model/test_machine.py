"""A state machine that hypothesis drives through the client's verbs; the oracle of the simulation judges every call.

Short here; ``REDSCHED_TEST_MACHINE=2000x100`` makes it 2,000 examples of 100 steps.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from redsched import Client, Fixed, InvalidTask, Task
from redsched.embedded import EmbeddedServer
from redsched.testing.clock import at_time
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, Settlement, Started
from redsched.wire.keys import queue_keys
from tests.simulation.calls_and_states import FINAL
from tests.simulation.oracle import Oracle
from tests.support.lua_builds import Line, Snapshot, clear, snapshot

NOW = 1_800_000_000_000
QUEUES = ("a", "b")
IDS = tuple(f"t{number}" for number in range(5))
EXAMPLES, STEPS = (int(word) for word in os.environ.get("REDSCHED_TEST_MACHINE", "40x40").split("x"))

queues = st.sampled_from(QUEUES)
ids = st.sampled_from(IDS)
some_ids = st.lists(ids, min_size=1, max_size=3, unique=True)
delays = st.sampled_from(("0s", "1ms", "700ms", "5s"))
BEYOND = ("700ms", "5s")  # the shorter start-by


class Verbs(RuleBasedStateMachine):
    """Producer, operator, mover and worker as one program that uses one client."""

    server: EmbeddedServer

    @initialize()
    def connect(self) -> None:
        """A namespace of its own, with a virtual clock."""
        self.namespace = f"m{secrets.token_hex(6)}"
        self.line = Line(self.server.port)
        self.line("HSET", f"{{{self.namespace}}}:meta", "virtual_clock", 1)
        self.client = Client(self.server.url, namespace=self.namespace)
        self.now = NOW
        self.oracle = Oracle()
        self.running: list[Started] = []
        self.last: Call[Claimed] | None = None
        self.settled: list[Settlement] = []
        self.expected: dict[tuple[str, str], str] = {}  # what the client was last told of a task
        self._send = self.client.transport.send
        self.client.transport.send = self.send  # type: ignore[method-assign]

    def look(self) -> Snapshot:
        """The state now."""
        return snapshot(self.line, self.namespace)

    def send(self, call: Call[Any], *words: Any, **options: Any) -> Any:
        """In place of the transport's: the same call at this machine's time, judged."""
        before, replies = self.look(), []

        def read(reply: Any) -> Any:
            replies.append(reply)
            return call.read(reply)

        answer = self._send(msgspec.structs.replace(at_time(call, self.now), read=read), *words, **options)
        self.oracle.judge(call, self.now, replies[-1], before, self.look())
        return answer

    def keys(self, queue: str) -> Any:
        """Keys of a queue."""
        return queue_keys(self.client.cell, queue)

    @rule(milliseconds=st.sampled_from((1, 700, 6_000, 40_000)))
    def wait(self, milliseconds: int) -> None:
        """Time goes on."""
        self.now += milliseconds

    @rule(
        queue=queues,
        task_id=ids,
        delay=delays,
        most=st.integers(1, 3),
        payload=st.integers(0, 1),
        priority=st.sampled_from(("high", "normal", "low")),
        expires_in=st.sampled_from((None, "500ms", "1m")),
        retention=st.sampled_from((None, "0s")),
    )
    def enqueue(self, queue: str, task_id: str, payload: int, most: int, retention: Any, **options: Any) -> None:
        """One task, with an id that may be known."""
        task = Task(
            type="t",
            payload=payload,
            queue=queue,
            id=task_id,
            max_attempts=most,
            retention=retention,
            retry=Fixed("500ms"),
            **options,
        )
        if task.expires_in == "500ms" and task.delay in BEYOND:
            with pytest.raises(InvalidTask, match="expires_in: must reach beyond the due time"):
                self.client.enqueue_many([task])
            return
        (answer,) = self.client.enqueue_many([task])
        shown = self.client.show(task_id, queue=queue)[task_id]
        if answer.status == "conflict":
            assert shown is not None and shown.payload != payload
        if answer.status == "created" and retention is None:
            assert shown is not None and shown.payload == payload

    @rule(queue=queues, which=some_ids)
    def cancel(self, queue: str, which: list[str]) -> None:
        """What was cancelled is over."""
        for task_id, answer in self.client.cancel(which, queue=queue).items():
            view = self.client.show(task_id, queue=queue)[task_id]
            assert answer != "cancelled" or view is None or view.state == "cancelled"

    @rule(queue=queues, which=some_ids, delay=delays)
    def reschedule(self, queue: str, which: list[str], delay: str) -> None:
        """Another due time."""
        self.client.reschedule(which, queue=queue, delay=delay)

    @rule(queue=queues, which=some_ids, delay=delays)
    def revive(self, queue: str, which: list[str], delay: str) -> None:
        """Dead ones run again."""
        self.client.revive(which, queue=queue, delay=delay)

    @rule(
        queue=queues,
        which=some_ids,
        priority=st.sampled_from(("high", "low", None)),
        most=st.sampled_from((1, 4, None)),
    )
    def update(self, queue: str, which: list[str], priority: Any, most: Any) -> None:
        """Other fields."""
        self.client.update(which, queue=queue, priority=priority, max_attempts=most)

    @rule(limit=st.sampled_from((1, 100)))
    def promote(self, limit: int) -> None:
        """A mover's call."""
        self.client.transport.send(protocol.promote([self.keys(queue) for queue in QUEUES], mover="m", limit=limit))

    @rule(limit=st.sampled_from((1, 100)))
    def reap(self, limit: int) -> None:
        """A mover's call."""
        self.client.transport.send(protocol.reap([self.keys(queue) for queue in QUEUES], limit=limit))

    @rule()
    def sweep(self) -> None:
        """A mover's call."""
        self.client.transport.send(protocol.sweep([self.keys(queue) for queue in QUEUES]))

    @rule(count=st.integers(1, 4), lease=st.sampled_from((1_000, 30_000)))
    def claim(self, count: int, lease: int) -> None:
        """A worker's call."""
        self.last = protocol.claim([self.keys(queue) for queue in QUEUES], consumer="w", count=count, lease_ms=lease)
        self.running += self.client.transport.send(self.last).tasks

    @rule()
    def claim_again(self) -> None:
        """The last claim, whose answer was lost."""
        if self.last is not None:
            self.client.transport.send(self.last)

    @rule(
        outcome=st.sampled_from(("complete", "retry", "snooze", "return", "dead", "cancelled")),
        at=st.integers(0, 9),
        wait=st.booleans(),
    )
    def settle(self, outcome: str, at: int, wait: bool) -> None:
        """One run ends, perhaps one whose lease is over."""
        if self.running:
            started = self.running.pop(at % len(self.running))
            first = "900" if outcome == "snooze" or (outcome == "retry" and wait) else ""
            end = Settlement(started.queue, started.id, started.token, outcome, first)
            self.settled.append(end)
            self.client.transport.send(protocol.settle(self.client.cell, [end]))

    @rule(at=st.integers(0, 9))
    def settle_again(self, at: int) -> None:
        """An answer that comes twice, or late."""
        if self.settled:
            end = self.settled[at % len(self.settled)]
            answer = self.client.transport.send(protocol.settle(self.client.cell, [end]))
            assert answer[0] in ("already", "lost")

    @rule(lease=st.sampled_from((1_000, 30_000)), begun=st.integers(0, 9))
    def renew(self, lease: int, begun: int) -> None:
        """Leases go on; of some claims the handlers have begun."""
        if self.running:
            claims, told = self.running[begun:], self.running[:begun]
            self.client.transport.send(protocol.renew(self.client.cell, claims, begun=told, lease_ms=lease))

    @invariant()
    def depths_are_counted(self) -> None:
        """Stats and lists tell what is there."""
        if not hasattr(self, "client"):
            return
        state = self.look()
        for stats in self.client.stats(QUEUES):
            states = [
                task.get("state", "scheduled") for (queue, _), task in state.tasks.items() if queue == stats.queue
            ]
            for name in ("scheduled", "ready", "running", "dead"):
                assert getattr(stats, name) == states.count(name), f"{name} of {stats.queue}"
            assert stats.finished == sum(state in FINAL for state in states)

    def teardown(self) -> None:
        """Everything ends when a healthy mover and worker go on."""
        if not hasattr(self, "client"):
            return
        every = [self.keys(queue) for queue in QUEUES]
        for _ in range(8):
            self.now += 40_000
            self.client.transport.send(protocol.reap(every))
            self.client.transport.send(protocol.promote(every, mover="m"))
            claimed = self.client.transport.send(protocol.claim(every, consumer="d", count=50, lease_ms=1_000))
            ends = [Settlement(task.queue, task.id, task.token, "complete") for task in claimed.tasks]
            if ends:
                self.client.transport.send(protocol.settle(self.client.cell, ends))
        self.oracle.drained(self.look())
        clear(self.line, self.namespace)
        self.line.close()
        self.client.close()


@pytest.fixture
def machine(valkey_server: EmbeddedServer) -> Iterator[type[Verbs]]:
    """The machine over the server of this process."""
    yield type("Machine", (Verbs,), {"server": valkey_server})


@pytest.mark.timeout(3_600)
def test_every_sequence_of_verbs_keeps_the_promises(machine: type[Verbs]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=EXAMPLES == 40,
            suppress_health_check=list(HealthCheck),
        ),
    )
