"""The processes of a run, and what may be done to them."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Self

import msgspec

from redsched.client import Client
from redsched.client.sync.transport import Transport
from redsched.model.errors import RedschedError
from redsched.observe import logs
from redsched.torture import history, producers, services
from redsched.torture.history import Event, Journal
from redsched.torture.plan import Plan
from redsched.wire.codec import text_of

ROLES: dict[str, Callable[[str, Plan], None]] = {
    "worker": services.worker,
    "mover": services.mover,
    "producer": producers.producer,
    "http-producer": producers.http_producer,
    "api": services.api,
}
CAST = {"worker": 4, "mover": 2, "producer": 2, "http-producer": 1, "api": 1}
DRAIN_S = 90.0


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
        self,
        plan: Plan,
        control_url: str | None = None,
        cast: dict[str, int] | None = None,
        roles: Mapping[str, Callable[[str, Plan], None]] = ROLES,
    ) -> None:
        self.plan = plan
        self._roles = roles
        self.cast = CAST if cast is None else cast
        self.journal = Journal(plan.folder, "nemesis")
        self.children: list[Child] = []
        self.urls: dict[str, str] = {}  # by role: the way to Redis of those that have one of their own
        self.crashes: list[str] = []
        self._births: list[tuple[float, str]] = []
        self._numbers = 0
        control = msgspec.structs.replace(
            plan.settings, redis_url=control_url or plan.settings.redis_url, retry_for_ms=5_000, redis_timeout_ms=10_000
        )
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
        self.children.append(Child(role, name, fork(name, plan, self._roles[role])))

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
                    Event(
                        now,
                        "final",
                        id=task_id,
                        word="missing" if view is None else view.state,
                        attempt=0 if view is None else view.attempt,
                    )
                    for task_id, view in views.items()
                )

    def clean(self) -> None:
        """Remove every key of the namespace."""
        cursor = b"0"
        while True:
            cursor, keys = self.command("SCAN", cursor, "MATCH", f"{self.client.cell_keys.prefix}*", "COUNT", 1_000)
            if keys:
                self.command("UNLINK", *keys)
            if cursor == b"0":
                return


def fork(name: str, plan: Plan, role: Callable[[str, Plan], None]) -> int:
    """Start ``role`` in a process of its own, which ends with this one; answers its id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, which ends us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log = os.open(plan.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        logs.configure("warning", "text", sys.stderr)
        random.seed()
        role(name, plan)
        code = 0
    except BaseException:
        logging.exception("%s failed", name)
    finally:
        os._exit(code)
