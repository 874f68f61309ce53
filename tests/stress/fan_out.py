"""One event with very many listeners: how long it takes, how long a call holds Redis, whether others are late for it.

    python -m tests.stress.fan_out --listeners 100000

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
from tests.support.workers import Site, own_site

OTHER, RATE = "other", 100  # tasks a second beside it
EMIT = """import os, sys
from redsched import Client
Client(sys.argv[1], namespace=sys.argv[2]).emit("x")
os.kill(os.getpid(), 9)"""
KINDS = {  # -> delay, conditions, whether they run at once
    "cancel_on": ("1d", Conditions(cancel_on="x"), False),
    "wait_for, due a day later": ("1d", Conditions(wait_for="x"), False),
    "wait_for, run at once": (None, Conditions(wait_for="x"), True),
}


class Told(NamedTuple):
    """The ids of the listeners; seconds until all were told, and had run if they do at once; ms of the longest call;
    p99 lateness of the other queue, ms, before and during."""

    ids: list[str]

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
            self.ids.append(self._client.enqueue("note", {}, queue=OTHER, delay="100ms").id)

    def stop(self) -> None:
        """Wait for its end."""
        self._over.set()
        self.join()


def fan_out(site: Site, listeners: int, kind: str, seconds: float, *, quiet: float = 3) -> Told:
    """Submit the listeners, emit, wait; a worker of both queues must run already. ``quiet``: s measured before."""
    delay, conditions, runs = KINDS[kind]
    ids = _submit(site, listeners, delay=delay, conditions=conditions)
    before = _beside(site, lambda: time.sleep(quiet))
    _forget_slow_calls(site)
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
        site.until_depths(seconds, **{"finished" if runs or kind == "cancel_on" else "scheduled": listeners})
        told = time.monotonic() - began

    during = _beside(site, emit)
    return Told(ids, told, _longest_call(site), before, during)


def drain(site: Site, count: int, seconds: float) -> Told:
    """For comparison: as many tasks without conditions, due at one time."""
    before = _beside(site, lambda: time.sleep(3))
    due = time.time() + 5 + count / 10_000
    ids = _submit(site, count, due=int(due * 1_000))
    time.sleep(max(0.0, due - 0.5 - time.time()))
    _forget_slow_calls(site)
    during = _beside(site, lambda: site.until_depths(seconds, finished=count))
    return Told(ids, time.time() - due, _longest_call(site), before, during)


def _submit(site: Site, count: int, **options: Any) -> list[str]:
    task = Task(type="note", payload={}, **options)
    batches = (site.client.enqueue_many([task] * min(200, count - at)) for at in range(0, count, 200))
    return [made.id for batch in batches for made in batch]


def _forget_slow_calls(site: Site) -> None:
    site.store.redis.config_set("slowlog-log-slower-than", 1_000)
    site.store.redis.config_set("slowlog-max-len", 100_000)
    site.store.redis.slowlog_reset()


def _longest_call(site: Site) -> float:
    """Of our functions, ms."""
    slow: list[Any] = site.store.redis.slowlog_get(100_000)
    return max((entry["duration"] for entry in slow if b"rs1_" in entry["command"]), default=0) / 1_000


def _beside(site: Site, act: Any) -> float:
    with site.store.client() as client:
        beside = Beside(client)
        beside.start()
        try:
            act()
        finally:
            beside.stop()
    site.until(lambda: True if not site.depths(OTHER).keys() - {"finished"} else None)
    return percentile(
        [
            (view.started_at - view.due_at).total_seconds() * 1_000
            for view in site.views(beside.ids, OTHER)
            if view.started_at and view.due_at
        ],
        99,
    )


def main() -> None:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=100_000)
    given = parser.parse_args()
    for kind in (*KINDS, ""):
        with own_site() as site:
            site.worker("-q", f"{OTHER},default", "-c", "32")
            if kind:
                found, what = fan_out(site, given.listeners, kind, 120), f"{kind}: all done"
            else:
                found, what = drain(site, given.listeners, 120), "for comparison, without conditions: all run"
            print(f"{given.listeners:,} tasks, {what} in {found.seconds:.1f} s", end="; ")
            print(f"longest call {found.longest_ms:.1f} ms", end="; ")
            print(f"p99 of another queue {found.before_ms:.1f} ms before and {found.during_ms:.1f} ms meanwhile")


if __name__ == "__main__":
    main()
