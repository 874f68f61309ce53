"""What administrators do by hand: scripts and functions flushed, clients killed, groups, consumers and streams removed,
a server that is busy or asleep. None of it may lose a task; FLUSHALL is told apart, because it may.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import redis

from redsched.observe.doctor import examine
from redsched.torture.history import Event
from redsched.torture.nemesis import Fault
from redsched.torture.run import QUEUES
from redsched.torture.stage import Stage
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server

Connection = redis.Redis
BUSY = "local t = redis.call('TIME')[1] * 1 repeat until redis.call('TIME')[1] * 1 - t >= 2 return 1"


def note(
    stage: Stage, word: str, began: float, *, after: float = 0.0, target: str = "the data", phase: str = ""
) -> None:
    """Write the fault down; only one of everything explains an execution too many."""
    until = time.monotonic() + after
    stage.journal.write_all((Event(began, "fault", word=word, id=target, until=until, phase=phase),))


def by_hand(
    connection: Connection,
    word: str,
    act: Callable[[Stage, random.Random], Any],
    *,
    weight: float = 1.0,
    target: str = "the data",
    after: float = 0.0,
) -> Fault:
    """A fault that is one command of an administrator."""

    def strike(stage: Stage, chance: random.Random) -> None:
        began = time.monotonic()
        with suppress(redis.RedisError):
            act(stage, chance)
        note(stage, word, began, target=target, after=after)

    return Fault(word, weight, strike)


def faults_on(server: Server, connection: Connection) -> tuple[Fault, ...]:
    """Everything that may not lose a task."""

    def stream(stage: Stage, chance: random.Random) -> str:
        name = f"{stage.client.cell_keys.prefix}ready:{chance.choice(QUEUES)}"
        return name + chance.choice(("", "", ":high", ":low"))

    def forget_consumer(stage: Stage, chance: random.Random) -> None:
        name = stream(stage, chance)
        for consumer in connection.xinfo_consumers(name, "workers"):
            connection.xgroup_delconsumer(name, "workers", consumer["name"])

    def busy(stage: Stage, chance: random.Random) -> None:
        with server.connect(socket_timeout=6.0) as own:
            own.config_set("busy-reply-threshold", 100)
            own.eval(BUSY, 0)

    def asleep(stage: Stage, chance: random.Random) -> None:
        with server.connect(socket_timeout=6.0) as own:
            own.execute_command("DEBUG", "SLEEP", str(chance.uniform(0.2, 1.5)))

    def execute(*words: Any) -> Callable[[Stage, random.Random], Any]:
        return lambda stage, chance: connection.execute_command(*words)

    return (
        by_hand(connection, "FUNCTION FLUSH", execute("FUNCTION", "FLUSH")),
        by_hand(connection, "SCRIPT FLUSH", execute("SCRIPT", "FLUSH")),
        by_hand(connection, "CLIENT KILL TYPE normal", execute("CLIENT", "KILL", "TYPE", "normal")),
        by_hand(connection, "CLIENT KILL TYPE pubsub", execute("CLIENT", "KILL", "TYPE", "pubsub")),
        by_hand(connection, "XGROUP DELCONSUMER", forget_consumer),
        by_hand(
            connection,
            "XGROUP DESTROY",
            lambda stage, chance: connection.xgroup_destroy(stream(stage, chance), "workers"),
        ),
        by_hand(connection, "XTRIM", lambda stage, chance: connection.xtrim(stream(stage, chance), 0)),
        by_hand(connection, "DEL of a stream", lambda stage, chance: connection.delete(stream(stage, chance))),
        by_hand(connection, "BUSY", busy, weight=0.5, target="", after=1.0),
        by_hand(connection, "DEBUG SLEEP", asleep, weight=0.5, target="", after=1.0),
    )


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(result.variant.removesuffix("-flush"), folder / "data"))
        connection = stack.enter_context(server.connect())
        faults = faults_on(server, connection)
        if result.variant.endswith("-flush"):
            faults = (by_hand_flush(connection), *faults[:4])

        def mend(stage: Stage) -> None:
            """What was taken away by hand nothing can know of but the doctor: in doubt it runs a task again."""
            time.sleep(2.5)
            mended = examine(stage.client, pause=2.0, repair=True).mended
            result.figures["mended by the doctor"] = len(mended)
            tell(f"the doctor mended {len(mended)}")

        play(result, stack, server.url, folder, seconds, faults=faults, pace=(0.2, 1.5), tell=tell, before_drain=mend)


def by_hand_flush(connection: Connection) -> Fault:
    """FLUSHALL: whatever waits is gone, and everything must go on."""

    def strike(stage: Stage, chance: random.Random) -> None:
        began = time.monotonic()
        connection.flushall()
        note(stage, "FLUSHALL", began, target="", phase="loss", after=0.2)

    return Fault("FLUSHALL", 2, strike)
