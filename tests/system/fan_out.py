"""One event with very many listeners: how long it takes, how long a call holds Redis, whether others are late for it.

    python -m tests.system.fan_out --listeners 100000

The process that emits is killed as soon as its call is answered: the mover does the rest.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple

from redsched import Client, Task
from redsched.demo.ledger import percentile
from redsched.model.condition import Conditions
from tests.system.workers import Site, own_site

OTHER, RATE = "other", 100  # tasks a second beside it
EMIT = """import os, sys
from redsched import Client
Client(sys.argv[1], namespace=sys.argv[2]).emit("x")
os.kill(os.getpid(), 9)"""
KINDS = {"cancel_on": Conditions(cancel_on="x"), "wait_for": Conditions(wait_for="x")}


class Told(NamedTuple):
    """Seconds until all were told; ms of the longest call; p99 lateness of the other queue, ms, before and during."""

    seconds: float
    longest_ms: float
    before_ms: float
    during_ms: float


class Beside(threading.Thread):
    """Submits a steady stream to the other queue, each task due 100 ms later."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self.ids: list[str] = []
        self._client = client
        self._over = threading.Event()

    def run(self) -> None:
        """Until it is stopped."""
        began = time.monotonic()
        while not self._over.wait(max(0.0, began + len(self.ids) / RATE - time.monotonic())):
            self.ids.append(self._client.enqueue("note", {}, queue=OTHER, delay=100).id)

    def stop(self) -> None:
        """Wait for its end."""
        self._over.set()
        self.join()


def fan_out(site: Site, listeners: int, kind: str, seconds: float) -> Told:
    """Submit the listeners, emit, wait; a worker of both queues must run already."""
    conditions = KINDS[kind]
    for at in range(0, listeners, 200):
        some = min(200, listeners - at)
        delay = "1d" if kind == "cancel_on" else None
        site.client.enqueue_many([Task(type="note", payload={}, delay=delay, conditions=conditions)] * some)
    before = _beside(site, lambda: time.sleep(3))
    site.store.redis.config_set("slowlog-log-slower-than", 1_000)
    site.store.redis.slowlog_reset()
    began = time.monotonic()
    told = 0.0

    def emit() -> None:
        nonlocal told
        command = [sys.executable, "-c", EMIT, site.url, site.store.namespace]
        done = subprocess.run(command, env=dict(os.environ), check=False)
        assert done.returncode == -signal.SIGKILL
        while site.store.redis.zcard(site.store.key("agenda")):
            assert time.monotonic() - began < seconds, "the listeners are not told"
            time.sleep(0.05)
        told = time.monotonic() - began
        site.until_depths(seconds, finished=listeners)

    during = _beside(site, emit)
    slow: list[Any] = site.store.redis.slowlog_get(1_000)
    calls = [entry for entry in slow if b"rs1_" in entry["command"] or b"EVALSHA" in entry["command"]]
    longest = max((entry["duration"] for entry in calls), default=0) / 1_000
    return Told(told, longest, before, during)


def _beside(site: Site, act: Any) -> float:
    with site.store.client() as client:
        beside = Beside(client)
        beside.start()
        try:
            act()
        finally:
            beside.stop()
    site.until(lambda: True if not site.depths(OTHER).keys() - {"finished"} else None)
    return percentile([(view.started_at - view.due_at).total_seconds() * 1_000 for view in site.views(beside.ids, OTHER)
                       if view.started_at and view.due_at], 99)  # fmt: skip


def main() -> None:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=100_000)
    given = parser.parse_args()
    for kind in KINDS:
        with own_site() as site:
            site.worker("-q", f"default,{OTHER}", "-c", "32")
            found = fan_out(site, given.listeners, kind, 120)
            print(f"{given.listeners:,} listeners, {kind}: all told in {found.seconds:.1f} s; longest call "
                  f"{found.longest_ms:.1f} ms; p99 of another queue {found.before_ms:.1f} ms before, "
                  f"{found.during_ms:.1f} ms meanwhile")  # fmt: skip


if __name__ == "__main__":
    main()
