"""How soon the tasks of a killed worker run again, on an otherwise quiet system: two workers, two movers, some hundred
tasks that run, one SIGKILL at a time. Each task that the worker held is followed from the kill, and from the last
renewal of its lease, to its next start.

Promised is a lease and 250 ms after the kill; the lease was renewed before, so it ends sooner than that.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from redsched import Settings, Task
from redsched.client.sync.transport import Transport
from redsched.observe.doctor import examine
from redsched.torture import history
from redsched.torture.checker import quantile
from redsched.torture.handlers import KIND
from redsched.torture.history import Event
from redsched.torture.producers import server_ms
from redsched.torture.run import QUEUES, plan_for, verdict
from redsched.torture.stage import Child, Stage
from tests.campaign.scenario import Result, Tell
from tests.campaign.server import Server

CAST = {"worker": 2, "mover": 2}
LEASE_MS, SLACK_MS = 2_000, 250
TASKS, RUNS_MS = 200, 1_500


class Held(NamedTuple):
    """A task that a worker held when it was killed. Times are monotonic seconds."""

    id: str
    token: str
    killed: float
    renewed: float


def held_by(stage: Stage, connection: Transport, pid: int, killed: float) -> list[Held]:
    """What the server says that the process holds, and since when: leases end one lease after their renewal."""
    prefix = stage.client.cell_keys.prefix
    offset_ms = server_ms(connection) - time.monotonic() * 1_000
    found: list[Held] = []
    for queue in QUEUES:
        leases = stage.command("ZRANGE", f"{prefix}running:{queue}", 0, -1, "WITHSCORES")
        for task_id, ends in zip(leases[::2], leases[1::2], strict=True):
            key = f"{prefix}task:{queue}:{task_id.decode()}"
            worker, token = stage.command("HMGET", key, "worker", "token")
            if worker is not None and token is not None and re.search(rf"-{pid}-[0-9a-f]+$", worker.decode()):
                renewed = (float(ends) - LEASE_MS - offset_ms) / 1_000
                found.append(Held(task_id.decode(), token.decode(), killed, renewed))
    return found


class Round:
    """One kill."""

    def __init__(self, stage: Stage, connection: Transport, number: int, chance: random.Random) -> None:
        self.stage, self.connection, self.number, self.chance = stage, connection, number, chance

    def submit(self) -> None:
        """Tasks that run for longer than it takes until the kill."""
        for at in range(0, TASKS, 10):
            tasks = []
            for number in range(at, at + 10):
                queue = QUEUES[number % len(QUEUES)]
                tasks.append(
                    Task(
                        type=KIND,
                        payload={"ms": RUNS_MS},
                        queue=queue,
                        retry=["0s"],
                        max_attempts=1_000,
                        retention="1d",
                        id=f"{queue}:{self.number}:{number}",
                    )
                )
            began = time.monotonic()
            self.stage.journal.write_all(Event(began, "submit", phase="invoke", id=task.id or "") for task in tasks)
            self.stage.client.enqueue_many(tasks)
            now = time.monotonic()
            self.stage.journal.write_all(
                Event(now, "submit", phase="ok", word="created", id=task.id or "", sent=began) for task in tasks
            )

    def kill(self) -> tuple[Child, list[Held]]:
        """SIGKILL a worker at a time that has nothing to do with its renewals."""
        time.sleep(self.chance.uniform(0.05, 0.7))
        child = self.chance.choice([child for child in self.stage.children if child.role == "worker"])
        killed = time.monotonic()
        self.stage.journal.write_all((Event(killed, "fault", word="kill", id=child.name),))
        child.doomed = True
        os.kill(child.pid, signal.SIGKILL)
        time.sleep(0.02)  # what it had sent before is carried out now
        return child, held_by(self.stage, self.connection, child.pid, killed)

    def until_running_again(self, held: list[Held]) -> None:
        """Wait until the server has started every one of them again, or has given up waiting."""
        deadline = time.monotonic() + LEASE_MS / 1_000 + 5
        waiting = {(one.id, one.token) for one in held}
        prefix = self.stage.client.cell_keys.prefix
        while waiting and time.monotonic() < deadline:
            for task_id, token in list(waiting):
                queue = task_id.partition(":")[0]
                now = self.stage.command("HGET", f"{prefix}task:{queue}:{task_id}", "token")
                if now is not None and now.decode() != token:
                    waiting.discard((task_id, token))
            self.stage.tend()
            time.sleep(0.1)


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment."""
    chance, all_held, rounds, empty = random.Random(result.seed), [], 0, 0
    with ExitStack() as stack:
        server = stack.enter_context(Server(result.variant, folder / "data"))
        path = folder / "history"
        path.mkdir(parents=True)
        plan = plan_for(Settings(redis_url=server.url), path, lease_ms=LEASE_MS)
        plan = msgspec.structs.replace(plan, settings=msgspec.structs.replace(plan.settings, concurrency=4 * TASKS))
        stage = stack.enter_context(Stage(plan, cast=CAST))
        stage.client.install()
        connection = Transport(plan.settings, "recovery")
        stack.callback(connection.close)
        stage.start()
        time.sleep(1.0)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            this = Round(stage, connection, rounds + empty, chance)
            this.submit()
            child, held = this.kill()
            this.until_running_again(held)
            stage.spawn("worker")
            while child in stage.children:
                stage.tend()
                time.sleep(0.01)
            time.sleep(0.5)
            all_held += held
            rounds, empty = (rounds + 1, empty) if held else (rounds, empty + 1)
            if rounds % 10 == 0:
                tell(f"{rounds} kills, {len(all_held)} tasks held")
        drained = stage.drain()
        stage.audit()
        result.judge(verdict(stage, drained))
        ill = examine(stage.client, pause=0.5).findings
        result.problems += [f"DOCTOR {found.rule} {found.kind} {found.name} of {found.queue}" for found in ill[:20]]
        measure(result, path, all_held, rounds)


def measure(result: Result, path: Path, all_held: list[Held], rounds: int) -> None:
    """Each held task's next start in a handler, and what that proves."""
    starts: dict[str, list[Event]] = {}
    for event in history.read(path):
        if event.op == "start":
            starts.setdefault(event.id, []).append(event)
    after_kill, after_renewal = [], []
    for held in all_held:
        following = [
            start.at for start in starts.get(held.id, ()) if start.token != held.token and start.at > held.killed
        ]
        result.require(bool(following), f"STUCK {held.id}: never started again")
        if following:
            after_kill.append((min(following) - held.killed) * 1_000)
            after_renewal.append((min(following) - held.renewed) * 1_000)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    result.figures = {
        "kills": rounds,
        "held": len(all_held),
        "lease ms": LEASE_MS,
        "start after kill ms": {name: round(quantile(after_kill, share)) for name, share in shares.items()},
        "start after renewal ms": {name: round(quantile(after_renewal, share)) for name, share in shares.items()},
    }
    worst = max(after_kill, default=0.0)
    late = sum(took > LEASE_MS + SLACK_MS for took in after_kill)
    result.require(bool(all_held), "VACUOUS: nothing was held")
    result.require(not late, f"RECOVERY: {late} started later than {LEASE_MS + SLACK_MS} ms, worst {worst:.0f} ms")
