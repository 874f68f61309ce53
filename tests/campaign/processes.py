"""SIGKILL and SIGSTOP of everything that runs, Redis with ``appendfsync always`` included."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path

from redsched.torture.history import Event
from redsched.torture.nemesis import FAULTS, Fault
from redsched.torture.stage import Stage
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server


def kill_server(server: Server, stage: Stage, chance: random.Random) -> None:
    """SIGKILL Redis, start it again within half a second."""
    began = time.monotonic()
    server.kill()
    time.sleep(chance.uniform(0, 0.5))
    server.start()
    stage.journal.write_all((Event(began, "fault", word="kill redis", until=time.monotonic()),))


def pause_server(server: Server, stage: Stage, chance: random.Random) -> None:
    """SIGSTOP Redis for up to a second."""
    began = time.monotonic()
    server.pause()
    time.sleep(chance.uniform(0.05, 1.0))
    server.resume()
    stage.journal.write_all((Event(began, "fault", word="pause redis", until=time.monotonic()),))


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(result.variant, folder / "data"))
        faults = (
            *FAULTS,
            Fault("kill redis", 0.8, lambda stage, chance: kill_server(server, stage, chance)),
            Fault("pause redis", 0.5, lambda stage, chance: pause_server(server, stage, chance)),
        )
        play(result, stack, server.url, folder, seconds, faults=faults, rate=100.0, tell=tell)
