"""Which libraries are compared: their exact versions and the settings their adapters give them.

An adapter is a script run inside its library's own environment (``adapters/``); it needs nothing of redsched's.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

HERE = Path(__file__).parent
ADAPTERS = HERE / "adapters"
ENVIRONMENTS = HERE.parent.parent / "build" / "peers"
OURS = "redsched"
_REDIS_8 = ("redis==8.1.0", "hiredis==3.5.0")
_REDIS_7 = ("redis==7.4.1", "hiredis==3.5.0")


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One library. ``packages`` are pinned; ``drain`` is fewer tasks for a library that takes minutes for them."""

    name: str
    packages: tuple[str, ...] = ()
    worker: str  # how its worker is set
    bulk: str  # its best bulk call
    node: bool = False
    drain: int = 20_000
    lead_ms: int = 6_000  # from its first scheduled task to the first due time; three times as much where too short

    @property
    def home(self) -> Path:
        """Where it is installed."""
        return ENVIRONMENTS / self.name

    @property
    def adapter(self) -> Path:
        """The script that produces and works with it."""
        return ADAPTERS / f"peer_{self.name}.{'mjs' if self.node else 'py'}"

    @property
    def python(self) -> bool:
        """Another Python library, which redsched is compared with as such."""
        return not self.node and self.name != OURS


PEERS = {
    peer.name: peer
    for peer in (
        Peer(name=OURS, worker="redsched worker -c 16, its defaults", bulk="enqueue_many, 1,000 a call"),
        Peer(
            name="dramatiq",
            packages=("dramatiq==2.2.1", *_REDIS_8),
            bulk="none: send in a loop",
            worker="1 process, 8 threads, dramatiq_queue_prefetch=1000",
        ),
        Peer(
            name="huey",
            packages=("huey==3.5.4", *_REDIS_8),
            bulk="none: task() in a loop",
            worker="4 threads, blocking reads, results off (at most once: nothing is acknowledged)",
        ),
        Peer(
            name="bullmq",
            packages=("bullmq@6.7.0", "ioredis@6.0.0"),
            node=True,
            bulk="addBulk, 1,000 a call",
            worker="concurrency 100, removeOnComplete",
        ),
        Peer(
            name="taskiq",
            packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", *_REDIS_8, "uvloop==0.23.0"),
            bulk="none: 100 kiq() in flight",
            lead_ms=9_000,
            worker="1 process, 100 async tasks, prefetch 100, --no-parse; a scheduler process, update interval 1 s",
        ),
        Peer(
            name="docket",
            packages=("pydocket==0.27.0", *_REDIS_7, "uvloop==0.23.0"),
            bulk="add_many, 1,000 a call",
            worker="concurrency 100, check and scheduling interval 5 ms, execution_ttl 0",
        ),
        Peer(
            name="saq",
            packages=("saq==0.26.4", *_REDIS_7, "uvloop==0.23.0", "typing-extensions==4.16.0"),
            bulk="none: 100 enqueue() in flight",
            worker="concurrency 100, schedule poll 1 s (the least)",
        ),
        Peer(
            name="arq",
            packages=("arq==0.28.0", "redis==5.3.1", "hiredis==3.5.0", "uvloop==0.23.0"),
            bulk="none: 100 enqueue_job() in flight",
            worker="max_jobs 100, poll_delay 10 ms, keep_result 0",
        ),
        Peer(
            name="streaq",
            packages=("streaq==7.2.0", "coredis==6.9.0", "hiredis==3.5.0", "uvloop==0.23.0"),
            bulk="enqueue_many, 1,000 a call",
            worker="concurrency 100, prefetch 100, results kept for 0 s",
        ),
        Peer(
            name="rq",
            packages=("rq==3.0.0", *_REDIS_8),
            bulk="enqueue_many, 1,000 a call",
            drain=4_000,
            worker="SimpleWorker (no fork a job), with scheduler, result_ttl 0",
        ),
        Peer(
            name="celery",
            packages=("celery==5.7.0", "kombu==5.7.0", *_REDIS_8, "packaging==26.3"),
            bulk="none: apply_async in a loop",
            lead_ms=12_000,
            worker="2 threads, prefetch multiplier 100, no gossip, mingle or heartbeat, results ignored",
        ),
    )
}
