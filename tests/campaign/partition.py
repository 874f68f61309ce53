"""Partitions of one side: the workers, the movers, or the producers alone are cut off from Redis for seconds, or only
one direction is (requests arrive and replies do not, or the other way round), while all others go on.

Each role has a way to Redis of its own. Only the workers' being cut off explains an execution too many.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from redsched.torture.history import Event
from redsched.torture.nemesis import FAULTS, Fault
from redsched.torture.stage import Stage
from tests.campaign.proxy import Proxy
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server

SIDES = {"workers": ("worker",), "movers": ("mover",), "producers": ("producer", "api")}
TIMEOUT_S = 2.0  # redis_timeout of the stage: so long a caller may go on waiting for what was swallowed
LONGEST_S = 5.0  # two leases and a half


def refused(way: Proxy) -> None:
    """Connections end, new ones are reset."""
    way.refuse = True
    way.cut()


def both(way: Proxy) -> None:
    """Nothing passes, and nobody is told."""
    way.swallow_requests = way.swallow_replies = True


def requests(way: Proxy) -> None:
    """What is sent never arrives."""
    way.swallow_requests = True


def replies(way: Proxy) -> None:
    """What is sent is carried out, and nobody hears of it."""
    way.swallow_replies = True


HOW: tuple[Callable[[Proxy], None], ...] = (refused, both, requests, replies)


def part(side: str, way: Proxy, how: Callable[[Proxy], None], made: Counter[str]) -> Fault:
    """One side is cut off so, for up to 5 s."""

    def strike(stage: Stage, chance: random.Random) -> None:
        began = time.monotonic()
        how(way)
        end = began + chance.uniform(0.5, LONGEST_S)
        while time.monotonic() < end:
            stage.tend()
            time.sleep(0.01)
        way.heal()
        made[how.__name__] += 1
        target = "worker" if side == "workers" else side
        until = time.monotonic() + TIMEOUT_S
        stage.journal.write_all((Event(began, "fault", word=f"{side} cut off", id=target, until=until),))

    return Fault(f"{side} {how.__name__}", 1, strike)


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(result.variant, folder / "data"))
        ways = {side: stack.enter_context(Proxy(server.port)) for side in SIDES}
        made: Counter[str] = Counter()
        faults = (
            *(part(side, way, how, made) for side, way in ways.items() for how in HOW),
            *(fault for fault in FAULTS if fault.name in ("kill worker", "kill mover")),
        )
        urls = {role: ways[side].url for side, roles in SIDES.items() for role in roles}
        play(result, stack, server.url, folder, seconds, faults=faults, pace=(0.3, 2.0), urls=urls, tell=tell)
        result.figures = dict(made)
        result.require(sum(made.values()) > 0, "VACUOUS: nothing was cut off")
