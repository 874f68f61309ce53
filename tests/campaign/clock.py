"""Steps of the server's clock: one second, a minute, an hour, forward and back, while everything runs; and a strobe,
which steps many times a second for some seconds.
"""

from __future__ import annotations

import mmap
import random
import struct
import time
from contextlib import ExitStack
from pathlib import Path

from redsched.torture.checker import CLOCK_BACK, CLOCK_FORWARD
from redsched.torture.history import Event
from redsched.torture.nemesis import FAULTS, Fault
from redsched.torture.stage import Stage
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server
from tests.campaign.shims import build

STROBE_MS = (200, 5_000)  # how far a strobe goes to either side
STROBE_S = (0.01, 0.08)  # between its steps


class Clock:
    """The offset of a server's wall clock, in a file that the shim has mapped."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with open(path, "rb+") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self.offset_ms = 0

    def set(self, offset_ms: int) -> None:
        """Move it."""
        self.offset_ms = offset_ms
        self._map[:] = struct.pack("<q", offset_ms)

    def step(self, stage: Stage, offset_ms: int) -> None:
        """Move it, and write that down."""
        began, step = time.monotonic(), offset_ms - self.offset_ms
        self.set(offset_ms)
        word = CLOCK_FORWARD if step > 0 else CLOCK_BACK
        stage.journal.write_all((Event(began, "fault", word=word, until=began + 0.2, server_ms=abs(step)),))


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment; the variant is ``<server>-<step in s>``, there and back again, and again, or ``<server>-strobe``. It
    ends with the clock ahead, because what was planned by a clock that has gone back since is as late as its step."""
    kind, _, how = result.variant.partition("-")
    clock = Clock(folder / "clock")
    furthest = STROBE_MS[1] if how == "strobe" else int(how) * 1_000

    def there_or_back(stage: Stage, chance: random.Random) -> None:
        clock.step(stage, 0 if clock.offset_ms else chance.choice((-1, 1)) * furthest)

    def strobe(stage: Stage, chance: random.Random) -> None:
        end = time.monotonic() + chance.uniform(1.0, 4.0)
        while time.monotonic() < end:
            clock.step(stage, chance.choice((-1, 1)) * chance.randint(*STROBE_MS))
            time.sleep(chance.uniform(*STROBE_S))
            stage.tend()
        clock.step(stage, 0)

    strike = strobe if how == "strobe" else there_or_back

    with ExitStack() as stack:
        environment = {"LD_PRELOAD": str(build("clock", folder)), "CLOCK_SHIM_FILE": str(folder / "clock")}
        server = stack.enter_context(Server(kind, folder / "data", environment=environment))
        faults = (Fault("clock", 4, strike), *(fault for fault in FAULTS if fault.name == "kill worker"))
        play(
            result,
            stack,
            server.url,
            folder,
            seconds,
            faults=faults,
            pace=(1.5, 4.0),
            tell=tell,
            before_drain=lambda stage: clock.step(stage, furthest),
        )
        result.figures = {"steps": result.faults.get("clock forward", 0) + result.faults.get("clock back", 0)}
