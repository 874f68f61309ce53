"""Power cuts: SIGKILL, then the append-only file is cut back to what was synced, or somewhere behind that.

With ``always`` nothing that was acknowledged may be missing; with ``everysec`` the window of loss is measured.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

from redsched import Client, Settings, Task
from redsched.client.sync.transport import Transport
from redsched.model.errors import RedschedError
from redsched.wire import protocol
from redsched.wire.cells import Cell
from redsched.wire.claims import Settlement
from redsched.wire.keys import queue_keys
from tests.campaign.scenario import Result, Tell
from tests.campaign.server import Server
from tests.campaign.shims import build
from tests.support.consistency import assert_consistent

WINDOW_S = 2.0  # Redis: everysec may put a sync off once, so at worst two seconds
CUTS_A_LIFE = 20
LOAD_S = {"always": (0.1, 0.5), "everysec": (1.1, 2.4)}


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """Cut after cut; the variant is ``<server>-<appendfsync>``."""
    kind, _, fsync = result.variant.partition("-")
    shim = build("fsync", folder)
    chance, end, window = random.Random(result.seed), time.monotonic() + seconds, 0.0
    cuts, lost, settled, with_loss = 0, 0, 0, 0
    while time.monotonic() < end:
        data = folder / f"data-{cuts}"
        synced = data / "synced.log"
        environment = {"LD_PRELOAD": str(shim), "FSYNC_SHIM_LOG": str(synced)}
        arguments = ("--auto-aof-rewrite-percentage", "0")
        with Server(kind, data, appendfsync=fsync, arguments=arguments, environment=environment) as server:
            for _ in range(CUTS_A_LIFE):
                load = Load(server.url)
                time.sleep(chance.uniform(*LOAD_S[fsync]))
                server.kill()
                cut = time.monotonic()
                load.end()
                cut_back(data, synced, chance)
                server.start()
                found = load.missing(server)
                cuts += 1
                result.submitted += len(load.acknowledged)
                settled += len(load.completed)
                if found:
                    with_loss += 1
                    lost += len(found)
                    window = max(window, cut - min(found))
                try:
                    assert_consistent(server.connect(), load.namespace)
                except AssertionError as torn:
                    result.problems.append(f"TORN after cut {cuts}: {torn}")
                server.connect().flushall()
                if time.monotonic() > end:
                    break
        tell(f"{cuts} cuts, {result.submitted} acknowledged, {lost} lost")
    result.faults["power cut"] = cuts
    result.lost_to_loss = lost
    result.figures = {
        "appendfsync": fsync,
        "cuts": cuts,
        "cuts with loss": with_loss,
        "acknowledged": result.submitted,
        "settled": settled,
        "lost": lost,
        "window s": round(window, 3),
    }
    result.require(result.submitted > cuts, "VACUOUS: hardly anything was acknowledged")
    result.require(fsync != "always" or lost == 0, f"LOST: {lost} of {result.submitted} with always")
    result.require(window <= WINDOW_S, f"WINDOW: {window:.3f} s lost, documented are {WINDOW_S}")


class Load:
    """Threads that submit and settle as fast as they can, until the server is gone."""

    def __init__(self, url: str) -> None:
        self.namespace = f"cut-{random.getrandbits(40):x}"
        self.settings = Settings(redis_url=url, namespace=self.namespace, retry_for_ms=0, redis_timeout_ms=2_000)
        self.acknowledged: dict[str, float] = {}
        self.completed: dict[str, float] = {}
        self._stop = False
        self._threads = [threading.Thread(target=target) for target in (self._submit, self._work)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait for the threads."""
        self._stop = True
        for thread in self._threads:
            thread.join()

    def _submit(self) -> None:
        number = 0
        with Client(settings=self.settings) as client:
            while not self._stop:
                tasks = [
                    Task(type="t", id=f"t{number + i}", payload=number, delay="0s" if i % 2 else "1m")
                    for i in range(random.randint(1, 5))
                ]
                number += len(tasks)
                try:
                    client.enqueue_many(tasks)
                except RedschedError:
                    return
                now = time.monotonic()
                self.acknowledged.update((task.id or "", now) for task in tasks)

    def _work(self) -> None:
        keys = queue_keys(Cell(self.namespace), "default")
        transport = Transport(self.settings, "cut")
        try:
            while not self._stop:
                claimed = transport.send(protocol.claim([keys], consumer="c", count=20, lease_ms=30_000))
                ends = [Settlement(s.queue, s.id, s.token, "complete") for s in claimed.tasks]
                if ends:
                    transport.send(protocol.settle(keys.cell, ends))
                    now = time.monotonic()
                    self.completed.update((end.task_id, now) for end in ends)
                else:
                    time.sleep(0.001)
        except RedschedError:
            return
        finally:
            transport.close()

    def missing(self, server: Server) -> list[float]:
        """When each effect was acknowledged that is not there any more."""
        prefix = f"{{{self.namespace}}}:task:default:"
        with server.connect() as connection:
            pipeline: Any = connection.pipeline(transaction=False)
            for task_id in self.acknowledged:
                pipeline.hmget(prefix + task_id, "type", "state")
            states = dict(zip(self.acknowledged, pipeline.execute(), strict=True))
        gone = [at for task_id, at in self.acknowledged.items() if states[task_id][0] is None]
        return gone + [
            at for task_id, at in self.completed.items() if task_id in states and states[task_id][1] != "completed"
        ]


def cut_back(data: Path, synced: Path, chance: random.Random) -> None:
    """What a power cut may leave of each file: all that was synced, and perhaps some of the rest."""
    sizes: dict[str, int] = {}
    for line in synced.read_text().splitlines() if synced.exists() else ():
        size, _, path = line.partition(" ")
        sizes[path] = int(size)
    for path in data.rglob("*.incr.aof"):
        written, safe = path.stat().st_size, sizes.get(str(path), 0)
        if written > safe:
            with open(path, "rb+") as file:
                file.truncate(safe if chance.random() < 0.5 else chance.randint(safe, written))
