"""Everything that a network does, between whole systems and Redis: lost replies, holes, cuts, latency, single bytes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from redsched.torture.history import Event
from redsched.torture.nemesis import Fault
from redsched.torture.stage import Stage
from tests.campaign.proxy import Proxy
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server

# A fault of one connection explains no execution too many; one that keeps renewals away for long may.
A_CONNECTION = "a connection"
TIMEOUT_S = 2.0  # redis_timeout of the stage: so long a caller may wait for an answer that was swallowed


def lose(proxy: Proxy, stage: Stage, chance: random.Random) -> None:
    """The reply of one of the next commands is lost, whosever it is."""
    proxy.how, proxy.lost = chance.choice(("close", "reset", "half", "hole")), None
    began = time.monotonic()
    proxy.lose = len(proxy.commands) + chance.randint(0, 30)
    while proxy.lost is None and time.monotonic() < began + 0.5:
        proxy.lose = max(proxy.lose, len(proxy.commands))
        time.sleep(0.002)
    proxy.lose = None
    if proxy.how == "hole":  # the others may be held up behind the one who waits
        time.sleep(0.05)
        stage.journal.write_all((Event(began, "fault", word="reply never comes", until=time.monotonic() + TIMEOUT_S),))
    else:
        stage.journal.write_all((Event(began, "fault", word="lost reply", id=A_CONNECTION),))


def cut(proxy: Proxy, stage: Stage, chance: random.Random) -> None:
    """Every connection ends at once."""
    proxy.cut(reset=chance.random() < 0.5)
    stage.journal.write_all((Event(time.monotonic(), "fault", word="cut", id=A_CONNECTION),))


def spell(proxy: Proxy, word: str, begin: Callable[[Proxy], None], longest: float) -> Callable[..., None]:
    """A fault that lasts."""

    def strike(stage: Stage, chance: random.Random) -> None:
        began = time.monotonic()
        begin(proxy)
        time.sleep(chance.uniform(0.05, longest))
        proxy.heal()
        until = time.monotonic() + (TIMEOUT_S if word in ("black hole", "half-open") else 0.5)
        stage.journal.write_all((Event(began, "fault", word=word, until=until),))

    return strike


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment: processes live, the network does not."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(result.variant, folder / "data"))
        proxy = stack.enter_context(Proxy(server.port))
        faults = (
            Fault("lost reply", 8, lambda stage, chance: lose(proxy, stage, chance)),
            Fault("cut", 2, lambda stage, chance: cut(proxy, stage, chance)),
            Fault("black hole", 1, spell(proxy, "black hole", lambda p: setattr(p, "swallow_replies", True), 1.0)),
            Fault("half-open", 1, spell(proxy, "half-open", lambda p: setattr(p, "swallow_requests", True), 1.0)),
            Fault("latency", 1, spell(proxy, "latency", lambda p: setattr(p, "latency_s", 0.2), 1.5)),
            Fault("single bytes", 1, spell(proxy, "single bytes", lambda p: setattr(p, "bytewise", True), 1.0)),
            Fault("refused", 1, spell(proxy, "refused", _refuse, 1.0)),
        )
        play(
            result, stack, proxy.url, folder, seconds, faults=faults, control_url=server.url, pace=(0.1, 0.8), tell=tell
        )


def _refuse(proxy: Proxy) -> None:
    proxy.refuse = True
    proxy.cut()
