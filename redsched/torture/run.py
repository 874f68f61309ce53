"""One run: processes on a stage, faults for so long, then a drain, the final states, and the checker's verdict.

Everything happens in a namespace of its own, which is removed afterwards; the server itself is never touched.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from redsched.client import Client
from redsched.client.transport import Transport
from redsched.embedded import free_port
from redsched.model.errors import RedschedError
from redsched.settings import Settings
from redsched.torture import actors, checker, history, nemesis
from redsched.torture.actors import Plan
from redsched.torture.checker import Report, quantile
from redsched.torture.history import Event, Journal
from redsched.torture.nemesis import Fault
from redsched.wire.codec import text_of

ROLES: dict[str, Callable[[str, Plan], None]] = {
    "worker": actors.worker, "mover": actors.mover, "producer": actors.producer,
    "http-producer": actors.http_producer, "api": actors.api,
}  # fmt: skip
CAST = {"worker": 4, "mover": 2, "producer": 2, "http-producer": 1, "api": 1}
QUEUES = ("q0", "q1", "q2", "q3")
DRAIN_S = 90.0
PROGRESS_S = 5.0
Tell = Callable[[str], None]


class Child:
    """One process of the run."""

    def __init__(self, role: str, name: str, pid: int) -> None:
        self.role, self.name, self.pid = role, name, pid
        self.paused_at = 0.0
        self.resume_at = 0.0  # 0: it is not paused
        self.doomed = False  # its end is meant


class Stage:
    """The processes of a run, and what may be done to them."""

    def __init__(
        self, plan: Plan, control_url: str | None = None, cast: dict[str, int] | None = None,
        roles: Mapping[str, Callable[[str, Plan], None]] = ROLES,
    ) -> None:  # fmt: skip
        self.plan = plan
        self._roles = roles
        self.cast = CAST if cast is None else cast
        self.journal = Journal(plan.folder, "nemesis")
        self.children: list[Child] = []
        self.urls: dict[str, str] = {}  # by role: the way to Redis of those that have one of their own
        self.crashes: list[str] = []
        self._births: list[tuple[float, str]] = []
        self._numbers = 0
        control = msgspec.structs.replace(plan.settings, redis_url=control_url or plan.settings.redis_url,
                                          retry_for_ms=5_000, redis_timeout_ms=10_000)  # fmt: skip
        self.client = Client(settings=control, name="torture-control")
        self._transport = Transport(control, "torture-control")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)
        self.children.clear()
        self.client.close()
        self._transport.close()

    def command(self, *words: Any) -> Any:
        """One plain command of the nemesis."""

        def ask() -> Generator[Any, Any, Any]:
            return (yield words)

        return self._transport.steps("command", ask())

    def clients(self) -> list[str]:
        """The connections of the server, a line each."""
        return text_of(self.command("CLIENT", "LIST")).splitlines()

    def start(self) -> None:
        """All processes of the cast."""
        for role, count in self.cast.items():
            for _ in range(count):
                self.spawn(role)

    def spawn(self, role: str) -> None:
        """One more process."""
        self._numbers += 1
        name = f"{role}-{self._numbers}"
        plan = self.plan
        if role in self.urls:
            settings = msgspec.structs.replace(plan.settings, redis_url=self.urls[role])
            plan = msgspec.structs.replace(plan, settings=settings)
        self.children.append(Child(role, name, actors.fork(name, plan, self._roles[role])))

    def pick(self, chance: random.Random, roles: Sequence[str]) -> Child | None:
        """A process of these roles that runs; half of each role is always spared, so that somebody can recover."""
        role = chance.choice(roles)
        found = [child for child in self.children if child.role == role and not (child.doomed or child.resume_at)]
        return chance.choice(found) if len(found) > self.cast.get(role, 0) // 2 else None

    def replace(self, child: Child, after: float) -> None:
        """This one ends; another begins after so many seconds."""
        child.doomed = True
        self._births.append((time.monotonic() + after, child.role))

    def tend(self) -> None:
        """Resume, bury and replace those whose time has come."""
        now = time.monotonic()
        for child in list(self.children):
            if child.resume_at and now >= child.resume_at:
                self.resume(child)
            if os.waitpid(child.pid, os.WNOHANG)[0]:
                self.children.remove(child)
                if not child.doomed:
                    self.crashes.append(child.name)
                    self._births.append((now + 1.0, child.role))
        for birth in [birth for birth in self._births if birth[0] <= now]:
            self._births.remove(birth)
            self.spawn(birth[1])

    def resume(self, child: Child) -> None:
        """SIGCONT, and note the pause."""
        os.kill(child.pid, signal.SIGCONT)
        self.journal.write_all((Event(child.paused_at, "fault", word="pause", id=child.name, until=time.monotonic()),))
        child.resume_at = 0.0

    def heal(self) -> None:
        """No more faults: resume all, replace what is missing."""
        for child in self.children:
            if child.resume_at:
                self.resume(child)
        self._births = [(0.0, role) for _, role in self._births]
        self.tend()

    def end(self, roles: Sequence[str], seconds: float) -> None:
        """SIGTERM to these, and wait; those that stay are killed."""
        leaving = [child for child in self.children if child.role in roles]
        for child in leaving:
            child.doomed = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while leaving and time.monotonic() < deadline:
            self.tend()
            leaving = [child for child in leaving if child in self.children]
            time.sleep(0.02)
        for child in leaving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)

    def left(self) -> int | None:
        """Tasks that still have to run; None while the server does not answer."""
        try:
            return sum(q.scheduled + q.held + q.ready + q.running for q in self.client.stats(self.plan.settings.queues))
        except RedschedError:
            return None

    def drain(self) -> bool:
        """Producers end, everything else runs until nothing is left; whether that came in time."""
        self.heal()
        self.end(("producer", "http-producer"), 30.0)
        deadline = time.monotonic() + DRAIN_S
        quiet = 0
        while quiet < 3 and time.monotonic() < deadline:
            self.tend()
            quiet = quiet + 1 if self.left() == 0 else 0
            time.sleep(0.1)
        self.end(("worker", "mover", "api"), 10.0)
        return quiet >= 3

    def audit(self) -> None:
        """The state that each submitted task ended in."""
        wanted: dict[str, set[str]] = {}
        for event in history.read(self.plan.folder):
            if event.op == "submit" and event.phase == "invoke":
                wanted.setdefault(event.id.partition(":")[0], set()).add(event.id)
        for queue, ids in wanted.items():
            ordered = sorted(ids)
            for at in range(0, len(ordered), 100):
                views = self.client.show(ordered[at : at + 100], queue=queue)
                now = time.monotonic()
                self.journal.write_all(
                    Event(now, "final", id=task_id, word="missing" if view is None else view.state,
                          attempt=0 if view is None else view.attempt)
                    for task_id, view in views.items()
                )  # fmt: skip

    def clean(self) -> None:
        """Remove every key of the namespace."""
        cursor = b"0"
        while True:
            cursor, keys = self.command("SCAN", cursor, "MATCH", f"{self.client.cell_keys.prefix}*", "COUNT", 1_000)
            if keys:
                self.command("UNLINK", *keys)
            if cursor == b"0":
                return


def plan_for(settings: Settings, folder: Path, *, rate: float = 60.0, lease_ms: int = 2_000) -> Plan:
    """A plan in a namespace that nobody else uses."""
    settings = msgspec.structs.replace(
        settings, namespace=f"torture-{secrets.token_hex(4)}", queues=QUEUES, lease_ms=lease_ms, concurrency=32,
        prefetch=32, api_host="127.0.0.1", api_token="", shutdown_grace_ms=1_000, retry_for_ms=10_000,
        redis_timeout_ms=2_000, metrics_port=0,
    )  # fmt: skip
    return Plan(settings=settings, folder=folder, rate=rate, api_port=free_port())


def trouble(
    stage: Stage, seconds: float, chance: random.Random, *, faults: Sequence[Fault] = nemesis.FAULTS,
    pace: tuple[float, float] = (0.05, 0.4), tell: Tell = lambda line: None,
) -> int:  # fmt: skip
    """Faults for so long; how many there were."""
    began = time.monotonic()
    next_fault, next_word, count = began + 1.0, began + PROGRESS_S, 0
    while (now := time.monotonic()) < began + seconds:
        stage.tend()
        if now >= next_fault:
            nemesis.choose(faults, chance).strike(stage, chance)
            count += 1
            next_fault = time.monotonic() + chance.uniform(*pace)
        if now >= next_word:
            next_word = now + PROGRESS_S
            left = stage.left()
            waiting = "Redis does not answer" if left is None else f"{left} tasks to go"
            tell(f"{now - began:5.0f} s of {seconds:.0f}: {count} faults, {waiting}")
        time.sleep(0.01)
    return count


def verdict(stage: Stage, drained: bool, **known: Any) -> Report:
    """What the history of this stage proves; ``known`` of the faults that may lose, as ``checker.check`` takes it."""
    report = checker.check(history.read(stage.plan.folder), lease_ms=stage.plan.settings.lease_ms, **known)
    if not drained:
        report.violations.append(checker.Violation("STUCK", "", f"{stage.left()} tasks did not end within {DRAIN_S} s"))
    if not report.submitted:
        report.violations.append(checker.Violation("VACUOUS", "", "nothing was submitted, so nothing was proven"))
    for name in stage.crashes:
        report.violations.append(checker.Violation("CRASH", name, "ended although nobody ended it"))
    return report


def torture(settings: Settings, *, minutes: float, seed: int, tell: Tell, folder: Path | None = None) -> Report:
    """A whole run against the Redis of ``settings``. Keeps the history only where something was violated, or where a
    ``folder`` is given for it.

    Raises:
        StoreError: the server cannot be used.
    """
    kept = folder or Path(tempfile.mkdtemp(prefix="redsched-torture-"))
    kept.mkdir(parents=True, exist_ok=True)
    plan = plan_for(settings, kept)
    with Stage(plan) as stage:
        stage.client.ping()
        stage.client.install()
        try:
            stage.start()
            trouble(stage, minutes * 60, random.Random(seed), tell=tell)
            tell("draining")
            drained = stage.drain()
            stage.audit()
            report = verdict(stage, drained)
        finally:
            with contextlib.suppress(RedschedError):
                for child in list(stage.children):
                    os.kill(child.pid, signal.SIGKILL)
                stage.clean()
    if report.ok and folder is None:
        shutil.rmtree(kept, ignore_errors=True)
    elif not report.ok:
        tell(f"history kept in {kept}; run again with --seed {seed}")
    return report


def table(report: Report) -> list[tuple[str, str]]:
    """The report as lines of a name and a value."""
    rules = (
        "LOST",
        "GHOST",
        "EARLY",
        "DOUBLE-ACK",
        "UNEXPLAINED",
        "CANCEL",
        "EXPIRED",
        "DEAD",
        "STUCK",
        "CRASH",
        "VACUOUS",
    )
    return [
        ("submits acknowledged", f"{report.submitted:,}"),
        ("submits never answered", f"{report.unknown:,}"),
        ("executions", f"{report.executions:,}"),
        ("faults", f"{sum(report.faults.values()):,} ({', '.join(f'{k} {v}' for k, v in report.faults.items())})"),
        ("run again as their outcome asked", f"{report.again:,}"),
        ("run again after a fault", f"{report.extra:,}"),
        *((rule.lower(), str(report.count(rule))) for rule in rules),
        ("recovery after SIGKILL of a worker",
         f"p50 {quantile(report.recovery_ms, 0.5):,.0f} ms, p99 {quantile(report.recovery_ms, 0.99):,.0f} ms of "
         f"{len(report.recovery_ms):,}, {report.recoveries_left_out:,} left out (lease {report.lease_ms:,} ms)"),
        ("lateness of first starts",
         f"p50 {quantile(report.late_ms, 0.5):,.0f} ms, p99 {quantile(report.late_ms, 0.99):,.0f} ms"),
    ]  # fmt: skip
