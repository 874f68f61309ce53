"""Faults: what is done to the processes of a run, by chance but from one seed, and written down when it is over."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from redsched.model.errors import RedschedError
from redsched.torture.history import Event
from redsched.torture.stage import Child, Stage


class Fault(NamedTuple):
    """A kind of fault: how often it is chosen, and what it does. It notes itself in the journal of the stage."""

    name: str
    weight: float
    strike: Callable[[Stage, random.Random], None]


def kill(stage: Stage, chance: random.Random, roles: Sequence[str]) -> None:
    """SIGKILL one process; another takes its place within half a second."""
    if child := stage.pick(chance, roles):
        stage.journal.write("fault", word="kill", id=child.name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        stage.replace(child, after=chance.uniform(0.0, 0.5))


def pause(stage: Stage, chance: random.Random, roles: Sequence[str]) -> None:
    """SIGSTOP one process for up to 1.4 leases, then SIGCONT."""
    if child := stage.pick(chance, roles):
        halt(child, chance.uniform(0.05, 1.4) * stage.plan.settings.lease_ms / 1_000)


def halt(child: Child, seconds: float) -> None:
    """SIGSTOP one process; its stage resumes it after so many seconds."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGSTOP)
        child.paused_at = time.monotonic()
        child.resume_at = child.paused_at + seconds


def stop(stage: Stage, chance: random.Random, roles: Sequence[str]) -> None:
    """SIGTERM one process, as a deployment does; another takes its place."""
    if child := stage.pick(chance, roles):
        stage.journal.write("fault", word="stop", id=child.name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
        stage.replace(child, after=chance.uniform(0.0, 0.5))


def disconnect(stage: Stage, chance: random.Random) -> None:
    """CLIENT KILL of one connection of this run; it explains no execution too many, so it hits no process."""
    with contextlib.suppress(RedschedError):
        found = [
            fields["id"]
            for fields in (dict(word.partition("=")[::2] for word in line.split()) for line in stage.clients())
            if fields.get("name") == f"redsched-{stage.plan.client_name}"
        ]
        if found:
            stage.command("CLIENT", "KILL", "ID", chance.choice(found))
            stage.journal.write_all((Event(time.monotonic(), "fault", word="disconnect", id="a connection"),))


WORKERS, MOVERS, PRODUCERS, APIS = ("worker",), ("mover",), ("producer", "http-producer"), ("api",)

FAULTS: tuple[Fault, ...] = (
    Fault("kill worker", 4, lambda stage, chance: kill(stage, chance, WORKERS)),
    Fault("pause worker", 3, lambda stage, chance: pause(stage, chance, WORKERS)),
    Fault("kill mover", 1.5, lambda stage, chance: kill(stage, chance, MOVERS)),
    Fault("pause mover", 1, lambda stage, chance: pause(stage, chance, MOVERS)),
    Fault("kill producer", 1.5, lambda stage, chance: kill(stage, chance, PRODUCERS)),
    Fault("pause producer", 1, lambda stage, chance: pause(stage, chance, PRODUCERS)),
    Fault("kill api", 0.5, lambda stage, chance: kill(stage, chance, APIS)),
    Fault("pause api", 0.5, lambda stage, chance: pause(stage, chance, APIS)),
    Fault("stop worker", 0.5, lambda stage, chance: stop(stage, chance, WORKERS)),
    Fault("disconnect", 2, disconnect),
)


def choose(faults: Sequence[Fault], chance: random.Random) -> Fault:
    """One of them, by weight."""
    return chance.choices(faults, [fault.weight for fault in faults])[0]
