"""Steps of the server's clock: one second, a minute, an hour, forward and back, while everything runs."""

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
from redsched.torture.run import Stage
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server
from tests.campaign.shims import build


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


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment; the variant is ``<server>-<step in s>``: there and back again, and again. It ends with the clock
    ahead, because what was planned by a clock that has gone back since is as late as its step."""
    kind, _, seconds_a_step = result.variant.partition("-")
    clock = Clock(folder / "clock")

    def strike(stage: Stage, chance: random.Random) -> None:
        target = 0 if clock.offset_ms else chance.choice((-1, 1)) * int(seconds_a_step) * 1_000
        began, step = time.monotonic(), target - clock.offset_ms
        clock.set(target)
        word = CLOCK_FORWARD if step > 0 else CLOCK_BACK
        stage.journal.write_all((Event(began, "fault", word=word, until=began + 0.2, server_ms=abs(step)),))

    with ExitStack() as stack:
        environment = {"LD_PRELOAD": str(build("clock", folder)), "CLOCK_SHIM_FILE": str(folder / "clock")}
        server = stack.enter_context(Server(kind, folder / "data", environment=environment))
        faults = (Fault("clock", 4, strike), *(fault for fault in FAULTS if fault.name == "kill worker"))
        play(result, stack, server.url, folder, seconds, faults=faults, pace=(1.5, 4.0), tell=tell,
             before_drain=lambda stage: clock.set(int(seconds_a_step) * 1_000))  # fmt: skip
        result.figures = {"steps": result.faults.get("clock forward", 0) + result.faults.get("clock back", 0)}
