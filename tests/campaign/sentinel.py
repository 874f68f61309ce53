"""Failover by Sentinel under a whole running system: the primary is killed, paused, or cut off from all but its
clients; three sentinels choose a replica. The variant is ``<server>-<replicas>``.

redsched takes one address and knows no Sentinel, so the address is a TCP forwarder that follows what the sentinels
say, as operators do it with HAProxy. A primary that has lost its replicas refuses writes after
``min-replicas-max-lag``, as an operator must set it.

What was acknowledged with ``memory`` may be lost within ``WINDOW_S`` before a fault and until the forwarder is turned;
what was acknowledged by every replica may never be. (With two replicas Sentinel may choose the one that ``replicas:1``
did not wait for: what that takes is counted beside, in the same window.)
"""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import redis

from redsched.embedded import die_with_parent, free_port
from redsched.torture import history
from redsched.torture.checker import quantile
from redsched.torture.history import Event
from redsched.torture.nemesis import FAULTS, Fault
from redsched.torture.stage import Stage
from tests.campaign.proxy import Proxy
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server, program

MAX_LAG_S = 2  # after which a primary without replicas refuses writes
WINDOW_S = 1.0  # most that a replica on a busy machine may lag behind
DOWN_AFTER_MS, FAILOVER_TIMEOUT_MS = 1_000, 2_000  # a busy machine keeps a node from answering for half a second
PATIENCE_S = 45.0  # for a failover, and for a primary to take writes again
NAME = "primary"
# A stale primary is turned into a replica after four of these periods, and one at a time takes long at the defaults.
QUICKER = ("publish-period", "500", "info-period", "500", "tilt-period", "2000")


class Doors:
    """The way of peers and sentinels to each server. A process of its own: it must answer while ours is busy."""

    def __init__(self, targets: list[int]) -> None:
        self._pipe, pipe = multiprocessing.Pipe()
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=serve, args=(targets, pipe, die_with_parent()), daemon=True)
        self._process.start()
        self.ports: list[int] = self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._process.kill()
        self._process.join()

    def tell(self, number: int, how: str) -> None:
        """shut (new connections are reset), hole (nothing passes) or heal."""
        self._pipe.send((number, how))
        self._pipe.recv()


def serve(targets: list[int], pipe: Connection, ask_to_die: Callable[[], None] | None) -> None:
    """What the process of the doors does."""
    if ask_to_die is not None:
        ask_to_die()
    with ExitStack() as stack:
        doors = [stack.enter_context(Proxy(target)) for target in targets]
        pipe.send([door.port for door in doors])
        while True:
            number, how = pipe.recv()
            door = doors[number]
            if how == "heal":
                door.heal()
            elif how == "shut":
                door.refuse = True
                door.cut()
            else:
                door.swallow_requests = door.swallow_replies = True
            pipe.send(how)


class Node:
    """A data server. Its peers and the sentinels reach it through a door, clients do not."""

    def __init__(self, server: Server, doors: Doors, number: int) -> None:
        self.server, self.doors, self.number = server, doors, number
        self.port = doors.ports[number]
        announced = ("replica-announce-ip", "127.0.0.1", "replica-announce-port", str(self.port))
        server.more += [f"--{word}" if at % 2 == 0 else word for at, word in enumerate(announced)]
        with server.connect() as connection:
            for at in range(0, len(announced), 2):
                connection.config_set(announced[at], announced[at + 1])

    def role(self) -> tuple[str, str, int]:
        """What it says it is, whether the link to its primary is up, and how many replicas follow it."""
        with suppress(redis.RedisError), self.server.connect(socket_timeout=1.0) as connection:
            found = connection.info("replication")
            return found["role"], found.get("master_link_status", ""), int(found.get("min_slaves_good_slaves", 0))
        return "", "", 0


class Sentinel:
    """One sentinel."""

    def __init__(self, kind: str, folder: Path, primary: Node) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nprotected-mode no\n"
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} 2\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} {FAILOVER_TIMEOUT_MS}\n"
            f"sentinel parallel-syncs {NAME} 2\n"
        )
        path = program(kind)
        assert path is not None
        with open(folder / "sentinel.log", "ab") as output:
            self.process = subprocess.Popen(
                [path, str(file), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509
            )
        self.connection = redis.Redis(port=self.port, decode_responses=True, protocol=2, socket_timeout=1.0)
        self.until(lambda: bool(self.connection.ping()), "the sentinel did not start")
        self.connection.execute_command("SENTINEL", "DEBUG", *QUICKER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def address(self) -> int:
        """The port of the primary, as this sentinel sees it; 0 without an answer."""
        with suppress(redis.RedisError):
            return int(self.connection.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return 0

    def sees(self, replicas: int) -> bool:
        """Whether it knows two other sentinels and so many sound replicas of a sound primary."""
        primary = self.connection.execute_command("SENTINEL", "MASTER", NAME)
        known = dict(zip(primary[::2], primary[1::2], strict=True))
        found = [
            dict(zip(one[::2], one[1::2], strict=True))
            for one in self.connection.execute_command("SENTINEL", "REPLICAS", NAME)
        ]
        sound = [one for one in found if one["flags"] == "slave" and one.get("master-link-status") == "ok"]
        return known["flags"] == "master" and known["num-other-sentinels"] == "2" and len(sound) == replicas

    @staticmethod
    def until(
        kept: Callable[[], bool], problem: str, seconds: float = PATIENCE_S, tend: Callable[[], object] = lambda: None
    ) -> None:
        """Wait for it; ``tend`` is done meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(redis.RedisError):
                if kept():
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(problem)
            tend()
            time.sleep(0.02)


class Group:
    """Nodes, their sentinels, and the forwarder that a watcher turns to whom two sentinels call the primary."""

    def __init__(self, stack: ExitStack, kind: str, folder: Path, replicas: int) -> None:
        arguments = (
            "--min-replicas-to-write",
            "1",
            "--min-replicas-max-lag",
            str(MAX_LAG_S),
            "--repl-timeout",
            "5",
            "--repl-diskless-sync-delay",
            "0",
            "--repl-ping-replica-period",
            "1",
        )
        servers = [
            stack.enter_context(Server(kind, folder / f"node-{number}", appendfsync="everysec", arguments=arguments))
            for number in range(replicas + 1)
        ]
        doors = stack.enter_context(Doors([server.port for server in servers]))
        self.nodes = [Node(server, doors, number) for number, server in enumerate(servers)]
        self.primary, self.turned_at, self.turns = self.nodes[0], 0.0, 0
        for node in self.nodes[1:]:
            with node.server.connect() as connection:
                connection.replicaof("127.0.0.1", str(self.primary.port))
        self.sentinels = [
            stack.enter_context(Sentinel(kind, folder / f"sentinel-{number}", self.primary)) for number in range(3)
        ]
        self.way = stack.enter_context(Proxy(self.primary.server.port))
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        stack.callback(self._stop)
        Sentinel.until(self.whole, "the group did not form")

    def _stop(self) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        """Turn the forwarder, as a script at ``+switch-master`` would."""
        by_port = {node.port: node for node in self.nodes}
        while not self._over.wait(0.05):
            port, votes = Counter(sentinel.address() for sentinel in self.sentinels).most_common(1)[0]
            node = by_port.get(port)
            if votes >= 2 and node is not None and node is not self.primary:
                self.way.target = node.server.port
                self.way.cut()
                self.turned_at, self.primary, self.turns = time.monotonic(), node, self.turns + 1

    def whole(self) -> bool:
        """Whether every node has its place and every sentinel knows it."""
        role, _, good = self.primary.role()
        others = [node.role()[:2] for node in self.nodes if node is not self.primary]
        return (
            role == "master"
            and good == len(others)
            and all(other == ("slave", "up") for other in others)
            and all(sentinel.sees(len(others)) for sentinel in self.sentinels)
        )

    def writes(self) -> bool:
        """Whether a write through the forwarder is accepted."""
        with redis.Redis(port=self.way.port, protocol=2, socket_timeout=0.3) as connection:
            return bool(connection.set("written", "1"))


class Failovers:
    """Makes them, one at a time, and measures."""

    def __init__(self, group: Group, tell: Tell) -> None:
        self.group, self.tell = group, tell
        self.turned_s: list[float] = []  # fault until the forwarder is turned
        self.refused_s: list[float] = []  # fault until the first write is accepted

    def fault(self, word: str, hit: Callable[[Node, random.Random], None], mend: Callable[[Node], None]) -> Fault:
        """The primary is hit; some time after another took over, what was hit comes back as a stale primary."""

        def strike(stage: Stage, chance: random.Random) -> None:
            group = self.group
            try:
                if not group.whole():
                    return
            except redis.RedisError:
                return
            old, began = group.primary, time.monotonic()
            hit(old, chance)
            Sentinel.until(lambda: group.primary is not old, f"no failover after {word}", tend=stage.tend)
            turned = group.turned_at
            stage.journal.write_all((Event(began, "fault", word=word, phase="loss", until=turned),))
            back = turned + chance.uniform(0.0, 2.0)
            Sentinel.until(lambda: time.monotonic() >= back, "", tend=stage.tend)
            mend(old)
            Sentinel.until(group.writes, f"no writes after {word}", tend=stage.tend)
            accepted = time.monotonic()
            stage.journal.write_all((Event(began, "fault", word="no primary", until=accepted + 0.5),))
            self.turned_s.append(turned - began)
            self.refused_s.append(accepted - began)
            self.tell(f"{word}: another took over after {turned - began:.1f} s, {accepted - began:.1f} s until a write")

        return Fault(word, 2, strike)


def acknowledged(folder: Path) -> dict[str, int]:
    """Submits by the durability that was asked for."""
    found = Counter(
        event.asked or "memory" for event in history.read(folder) if event.op == "submit" and event.phase == "ok"
    )
    return dict(sorted(found.items()))


def isolate(node: Node, chance: random.Random) -> None:
    """Replicas and sentinels hear nothing more of it; clients go on writing to it until the forwarder is turned."""
    node.doors.tell(node.number, chance.choice(("shut", "hole")))


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment."""
    kind, _, replicas = result.variant.partition("-")
    lasting = f"replicas:{replicas}"
    with ExitStack() as stack:
        group = Group(stack, kind, folder, int(replicas))
        makes = Failovers(group, tell)
        faults = (
            makes.fault("primary killed", lambda node, chance: node.server.kill(), lambda node: node.server.start()),
            makes.fault("primary paused", lambda node, chance: node.server.pause(), lambda node: node.server.resume()),
            makes.fault("primary cut off", isolate, lambda node: node.doors.tell(node.number, "heal")),
            *(Fault(fault.name, fault.weight / 4, fault.strike) for fault in FAULTS),
        )
        play(
            result,
            stack,
            group.way.url,
            folder,
            seconds,
            faults=faults,
            pace=(0.1, 0.6),
            tell=tell,
            before_drain=lambda stage: Sentinel.until(group.whole, "the group did not heal"),
            durability=tuple(sorted({"memory", "replicas:1", lasting})),
            known={"loss_window_s": WINDOW_S, "lasting": lasting},
        )
        result.faults.pop("no primary", None)  # the second half of each of them
        again = {"p50": 0.5, "max": 1.0}
        result.figures = {
            "failovers": len(makes.turned_s),
            "turned after s": {name: round(quantile(makes.turned_s, share), 2) for name, share in again.items()},
            "writes after s": {name: round(quantile(makes.refused_s, share), 2) for name, share in again.items()},
            "acknowledged": acknowledged(folder / "history"),
            "lost": result.lost_by_durability,
            "window s": result.loss_window_s,
        }
        result.require(len(makes.turned_s) > 0, "VACUOUS: no failover")
        unmeant = group.turns - len(makes.turned_s)
        result.require(
            unmeant == 0, f"BUSY: {unmeant} failovers that nobody made; this machine is too busy to judge by"
        )
