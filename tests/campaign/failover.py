"""A primary dies and its replica takes over: what was acknowledged and is gone, by the lag of the replica's link, and
that nothing is gone which was acknowledged with ``replicas:1``. The variant is ``<server>-<lag in ms>``.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import redis

from redsched import Client, Settings, Task
from redsched.model.errors import RedschedError
from tests.campaign.proxy import Proxy
from tests.campaign.scenario import Result, Tell
from tests.campaign.server import Server
from tests.support.consistency import assert_consistent

AT_ONCE = 16  # threads that wait for the replica, each of which has one answer a lag
SLACK_S = 0.3  # of the window of loss, beyond the lag of the link: two cores are busy


class Submitter(threading.Thread):
    """Submits with one durability until the primary is gone; notes when each was acknowledged."""

    def __init__(self, url: str, namespace: str, durability: str, name: str) -> None:
        super().__init__()
        self.settings = Settings(redis_url=url, namespace=namespace, retry_for_ms=0, redis_timeout_ms=2_000)
        self.durability, self.prefix = durability, name
        self.acknowledged: dict[str, float] = {}
        self.over = False
        self.start()

    def run(self) -> None:
        """Until an error, or until it is over."""
        number = 0
        with Client(settings=self.settings) as client:
            while not self.over:
                names = [f"{self.prefix}-{number + i}" for i in range(random.randint(1, 5))]
                tasks = [Task(type="t", id=name, delay="1h") for name in names]
                number += len(tasks)
                try:
                    client.enqueue_many(tasks, durability=self.durability)
                except RedschedError:
                    return
                now = time.monotonic()
                self.acknowledged.update((task.id or "", now) for task in tasks)

    def missing(self, connection: redis.Redis) -> list[float]:
        """When each was acknowledged that is not there."""
        prefix = f"{{{self.settings.namespace}}}:task:default:"
        pipeline = connection.pipeline(transaction=False)
        for task_id in self.acknowledged:
            pipeline.exists(prefix + task_id)
        there = pipeline.execute()
        return [at for (_, at), found in zip(self.acknowledged.items(), there, strict=True) if not found]


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """Failover after failover, each of a fresh pair."""
    kind, _, lag = result.variant.partition("-")
    chance, end, rounds = random.Random(result.seed), time.monotonic() + seconds, 0
    plain = {"acknowledged": 0, "lost": 0}
    replicated = {"acknowledged": 0, "lost": 0}
    window = 0.0
    quick = ("--repl-diskless-sync-delay", "0")
    with (
        Server(kind, folder / "primary", appendfsync="everysec", arguments=quick) as primary,
        Proxy(primary.port) as link,
        Server(kind, folder / "replica", appendfsync="everysec") as replica,
    ):
        while time.monotonic() < end:
            follow(primary, replica, link, int(lag) / 1_000)
            namespace = f"over-{chance.getrandbits(40):x}"
            waiting = AT_ONCE if int(lag) else 1
            threads = [Submitter(primary.url, namespace, "memory", "memory")]
            threads += [Submitter(primary.url, namespace, "replicas:1", f"replicas-{n}") for n in range(waiting)]
            time.sleep(chance.uniform(0.3, 1.2) + 4 * int(lag) / 1_000)
            primary.kill()
            link.cut()
            cut = time.monotonic()
            for thread in threads:
                thread.over = True
                thread.join()
            with replica.connect() as connection:
                connection.replicaof("NO", "ONE")
                missing = [thread.missing(connection) for thread in threads]
                try:
                    assert_consistent(connection, namespace)
                except AssertionError as torn:
                    result.problems.append(f"TORN after failover {rounds}: {torn}")
                connection.flushall()
            primary.start()
            rounds += 1
            for thread, gone in zip(threads, missing, strict=True):
                kept = plain if thread.durability == "memory" else replicated
                kept["acknowledged"] += len(thread.acknowledged)
                kept["lost"] += len(gone)
            window = max([window, *(cut - at for at in missing[0])])
    tell(f"{rounds} failovers, memory {plain}, replicas:1 {replicated}, window {window:.3f} s")
    result.faults["failover"] = rounds
    result.submitted = plain["acknowledged"] + replicated["acknowledged"]
    result.lost_to_loss = plain["lost"]
    result.figures = {
        "lag ms": int(lag),
        "failovers": rounds,
        "memory": plain,
        "replicas:1": replicated,
        "window s": round(window, 3),
    }
    result.require(replicated["lost"] == 0, f"LOST: {replicated['lost']} acknowledged with replicas:1")
    result.require(
        min(plain["acknowledged"], replicated["acknowledged"]) > rounds, "VACUOUS: hardly anything submitted"
    )
    result.require(window <= int(lag) / 1_000 + SLACK_S, f"WINDOW: {window:.3f} s lost with a lag of {lag} ms")


def follow(primary: Server, replica: Server, link: Proxy, lag_s: float) -> None:
    """Make the replica follow through the link, and wait until it has caught up."""
    with primary.connect() as above, replica.connect() as below:
        above.flushall()
        link.latency_s = link.reply_latency_s = 0.0
        below.replicaof("127.0.0.1", str(link.port))
        deadline = time.monotonic() + 20
        while below.info("replication").get("master_link_status") != "up" or not above.wait(1, 100):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the replica did not follow:\n{replica.said()}")
            time.sleep(0.02)
        link.reply_latency_s = lag_s
