"""Faults of the campaign of conditions: of its processes, its connections and its server. A primary with a replica."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import redis

from redsched.torture import nemesis
from redsched.torture.history import Event
from redsched.torture.nemesis import Fault
from redsched.torture.stage import Stage
from tests.campaign.proxy import Proxy
from tests.campaign.server import Server

QUICK = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "10")


class Deployment:
    """One server, or a primary and its replica behind a forwarder that is turned at a failover."""

    def __init__(self, stack: ExitStack, kind: str, folder: Path, *, scripts: bool, pair: bool) -> None:
        hidden = ("--rename-command", "FCALL", "", "--rename-command", "FUNCTION", "") if scripts else ()
        fsync, self.scripts = "everysec" if pair else "always", scripts
        options: dict[str, Any] = {"appendfsync": fsync, "arguments": (*hidden, *QUICK)}
        self.primary = stack.enter_context(Server(kind, folder / "one", **options))
        self.replica: Server | None = None
        self._way: Proxy | None = None
        if pair:
            self.replica = stack.enter_context(Server(kind, folder / "two", **options))
            self._way = stack.enter_context(Proxy(self.primary.port))
            self._follow(self.replica, lambda: None)
        self.url = self.primary.url if self._way is None else self._way.url

    def connect(self, **options: Any) -> redis.Redis:
        """To whoever is the primary now."""
        return self.primary.connect(**options)

    def fail_over(self, stage: Stage, chance: random.Random) -> None:
        """The primary is killed, its replica takes over, and what was the primary follows that one."""
        assert self.replica is not None and self._way is not None
        began = time.monotonic()
        self.primary.kill()
        until = began + chance.uniform(0, 0.4)
        while time.monotonic() < until:
            stage.tend()
            time.sleep(0.01)
        with self.replica.connect() as connection:
            connection.replicaof("NO", "ONE")
        self.primary, self.replica = self.replica, self.primary
        self._way.target = self.primary.port
        self._way.cut()
        turned = time.monotonic()
        stage.journal.write_all((Event(began, "fault", word="failover", phase="loss", until=turned),))
        self.replica.start()
        self._follow(self.replica, stage.tend)

    def _follow(self, replica: Server, tend: Callable[[], Any]) -> None:
        with self.primary.connect() as above, replica.connect() as below:
            below.replicaof("127.0.0.1", str(self.primary.port))
            deadline = time.monotonic() + 30
            while below.info("replication").get("master_link_status") != "up" or not above.wait(1, 100):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the replica did not follow:\n{replica.said()}")
                tend()
                time.sleep(0.02)

    def restart(self, stage: Stage, chance: random.Random) -> None:
        """SIGKILL, and start it again over what it had synced."""
        began = time.monotonic()
        self.primary.kill()
        time.sleep(chance.uniform(0, 0.3))
        self.primary.start()
        stage.journal.write_all((Event(began, "fault", word="kill redis", until=time.monotonic() + 0.5),))

    def by_hand(self, word: str, *commands: tuple[Any, ...], target: str = "") -> Fault:
        """A fault that is commands of an administrator."""

        def strike(stage: Stage, chance: random.Random) -> None:
            began = time.monotonic()
            with suppress(redis.RedisError), self.connect(socket_timeout=6.0) as connection:
                connection.execute_command(*chance.choice(commands))
            stage.journal.write_all((Event(began, "fault", word=word, id=target, until=time.monotonic() + 0.3),))

        return Fault(word, 1.0, strike)

    def asleep(self, stage: Stage, chance: random.Random) -> None:
        """The server answers nobody for a while."""
        began = time.monotonic()
        with suppress(redis.RedisError), self.connect(socket_timeout=6.0) as connection:
            connection.execute_command("DEBUG", "SLEEP", f"{chance.uniform(0.3, 1.5):.2f}")
        stage.journal.write_all((Event(began, "fault", word="DEBUG SLEEP", until=time.monotonic() + 0.3),))

    def full(self, stage: Stage, chance: random.Random) -> None:
        """maxmemory falls below what is used, and rises again: producers are refused, everything else drains."""
        began = time.monotonic()
        with suppress(redis.RedisError), self.connect() as connection:
            connection.config_set("maxmemory", "1mb")
            until = time.monotonic() + chance.uniform(0.2, 1.0)
            while time.monotonic() < until:
                stage.tend()
                time.sleep(0.01)
            connection.config_set("maxmemory", "0")
        stage.journal.write_all((Event(began, "fault", word="out of memory", id="the memory", until=time.monotonic()),))

    def faults(self) -> list[tuple[Fault, float]]:
        """All that may strike here, and how often."""
        kill = ("CLIENT", "KILL", "TYPE")
        hands = [
            (self.by_hand("CLIENT KILL", (*kill, "normal"), (*kill, "pubsub")), 1.5),
            (self.by_hand("SCRIPT FLUSH", ("SCRIPT", "FLUSH"), target="the code"), 0.7),
            (Fault("DEBUG SLEEP", 1, self.asleep), 0.5),
            (Fault("out of memory", 1, self.full), 0.5),
        ]
        if not self.scripts:
            hands.append((self.by_hand("FUNCTION FLUSH", ("FUNCTION", "FLUSH"), target="the code"), 1.0))
        if self.replica is None:
            hands.append((Fault("kill redis", 1, self.restart), 0.5))
        else:
            hands.append((Fault("failover", 1, self.fail_over), 1.0))
        return [*((fault, fault.weight) for fault in PROCESSES), *hands]


def pause_beyond(stage: Stage, chance: random.Random) -> None:
    """SIGSTOP a worker for longer than its lease, then SIGCONT."""
    if child := stage.pick(chance, nemesis.WORKERS):
        nemesis.halt(child, chance.uniform(1.05, 2.0) * stage.plan.settings.lease_ms / 1_000)


PROCESSES = (
    Fault("kill worker", 4, lambda stage, chance: nemesis.kill(stage, chance, nemesis.WORKERS)),
    Fault("pause worker", 1.5, lambda stage, chance: nemesis.pause(stage, chance, nemesis.WORKERS)),
    Fault("pause worker beyond its lease", 2.5, pause_beyond),
    Fault("kill mover", 1.5, lambda stage, chance: nemesis.kill(stage, chance, nemesis.MOVERS)),
    Fault("pause mover", 1, lambda stage, chance: nemesis.pause(stage, chance, nemesis.MOVERS)),
    Fault("kill producer", 0.7, lambda stage, chance: nemesis.kill(stage, chance, ("producer",))),
    Fault("stop worker", 0.7, lambda stage, chance: nemesis.stop(stage, chance, nemesis.WORKERS)),
    Fault("disconnect", 1.5, nemesis.disconnect),
)
