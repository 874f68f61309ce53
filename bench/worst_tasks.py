"""The worst inputs of the verbs of a task's life, from enqueue to its end."""

from __future__ import annotations

import json
from typing import Any

from bench.common import QUEUE
from bench.ground import Act, Ground, case
from bench.seeds import (
    BATCH,
    HEAVY,
    LEASE_MS,
    due,
    facts,
    filled_in,
    paused,
    running,
    settle,
    tested,
    tied,
    with_children,
    with_conditions,
)
from redsched.engine.worker.settlements import MOST
from redsched.engine.worker.trips import MOST_CLAIMED
from redsched.wire import protocol, runs
from redsched.wire.claims import Settlement

# --- enqueue, ingest


def together(plan: Any) -> int:
    """How many tasks of such conditions one call takes."""
    return 65_536 // (len(json.dumps(plan(999), separators=(",", ":"))) - 120)


@case("enqueue_run", "1,000 tasks of a list")
def _(ground: Ground) -> Act:
    tasks = [ground.later(f"run.{at}") for at in range(1_000)]
    call = runs.part("run", 0, 1_000, ground.now, ground.client.enqueuing(tasks))
    return lambda: ground.send(call)


@case("enqueue", "64 KiB of conditions, 32 tests each")
def _(ground: Ground) -> Act:
    tasks = [ground.later(conditions=tested(at)) for at in range(together(tested))]
    return lambda: ground.client.enqueue_many(tasks)


@case("enqueue", "62 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    tasks = [ground.later(conditions=tied(at), key=f"k{at}") for at in range(min(together(tied), 62))]
    return lambda: ground.client.enqueue_many(tasks)


@case("enqueue", "1,000 tasks with a fact and a line each")
def _(ground: Ground) -> Act:
    plan = {"cancel_on": ["c"], "fifo": True}
    tasks = [ground.later(conditions=plan, key=f"k{at}") for at in range(1_000)]
    return lambda: ground.client.enqueue_many(tasks)


@case("enqueue", "64 KiB of conditions of due tasks, 32 members of facts of 60 KB each")
def _(ground: Ground) -> Act:
    facts(ground, 100)
    tasks = [ground.task(payload={}, conditions=filled_in(at)) for at in range(together(filled_in))]
    return lambda: ground.client.enqueue_many(tasks)


@case("enqueue", "2 MiB of payloads")
def _(ground: Ground) -> Act:
    tasks = [ground.later(payload=HEAVY) for _ in range(8)]
    return lambda: ground.client.enqueue_many(tasks)


@case("enqueue", "a chain of 1,000 tasks")
def _(ground: Ground) -> Act:
    tasks = [ground.later() for _ in range(1_000)]
    return lambda: ground.client.chain(tasks)


@case("enqueue", "a group of 500 tasks and one after them")
def _(ground: Ground) -> Act:
    tasks = [ground.later() for _ in range(500)]
    return lambda: ground.client.group(tasks, then=ground.later())


@case("enqueue", "1,000 plain tasks that are due")
def _(ground: Ground) -> Act:
    tasks = [ground.task() for _ in range(1_000)]
    return lambda: ground.client.enqueue_many(tasks)


@case("ingest", "500 entries of 250 KB")
def _(ground: Ground) -> Act:
    inbox = ground.key(f"inbox:{QUEUE}")
    ground.pipe(("XADD", inbox, "*", "id", f"t{at}", "type", "t", "payload", json.dumps(HEAVY)) for at in range(200))
    return lambda: ground.send(protocol.ingest([ground.keys], limit=500))


@case("ingest", "500 entries with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    words = [json.dumps(tied(at)) for at in range(500)]
    ground.pipe(
        (
            "XADD",
            ground.key(f"inbox:{QUEUE}"),
            "*",
            "id",
            f"t{at}",
            "type",
            "t",
            "payload",
            "1",
            "key",
            f"k{at}",
            "conditions",
            words[at],
        )
        for at in range(500)
    )
    return lambda: ground.send(protocol.ingest([ground.keys], limit=500))


# --- promote, claim


@case("promote", "250 tasks with 32 tests of a fact of 60 KB each")
def _(ground: Ground) -> Act:
    due(ground, BATCH, tested, BATCH)
    return lambda: ground.send(protocol.promote([ground.keys], mover="bench", limit=BATCH))


@case("promote", "250 tasks that fill in 32 members of facts of 60 KB")
def _(ground: Ground) -> Act:
    due(ground, BATCH, filled_in, BATCH)
    return lambda: ground.send(protocol.promote([ground.keys], mover="bench", limit=BATCH))


@case("promote", "250 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    due(ground, BATCH, tied)
    return lambda: ground.send(protocol.promote([ground.keys], mover="bench", limit=BATCH))


@case("promote", "250 tasks after 500 others each")
def _(ground: Ground) -> Act:
    ids = ground.add([ground.later() for _ in range(500)], 500)
    due(ground, BATCH, lambda at: {"after": {"ids": ids}})
    return lambda: ground.send(protocol.promote([ground.keys], mover="bench", limit=BATCH))


@case("promote", "500 plain tasks beside 10,000 paused keys")
def _(ground: Ground) -> Act:
    paused(ground)
    ids = [f"t{at}" for at in range(500)]
    ground.hashes(ids, key="k")
    ground.scores(ground.keys.due, ids, ground.now - 1)
    return lambda: ground.send(protocol.promote([ground.keys], mover="bench", limit=500))


@case("promote", "a digest of 1,000 tasks with 32 tests of a fact of 60 KB each")
def _(ground: Ground) -> Act:
    facts(ground, 1_000)
    digest = {"digest": {"key": "d", "grace": "50m"}}
    ids = ground.add([ground.task(payload={}, conditions=tested(at) | digest) for at in range(999)], 20)
    ground.wire.call("ZADD", ground.keys.due, ground.now - 1, ids[0])

    def promote() -> None:
        for _ in range(50):
            ground.send(protocol.promote([ground.keys], mover="bench", limit=BATCH))

    return promote


@case("claim", "250 payloads of 250 KB")
def _(ground: Ground) -> Act:
    ground.ready(250, HEAVY)
    return lambda: ground.send(protocol.claim([ground.keys], consumer="bench", count=250, lease_ms=LEASE_MS))


@case("claim", "1,000 small tasks beside 10,000 paused keys")
def _(ground: Ground) -> Act:
    ground.ready(1_000)
    paused(ground)
    return lambda: ground.send(protocol.claim([ground.keys], consumer="bench", count=1_000, lease_ms=LEASE_MS))


@case("claim", "250 tasks with 32 tests of a fact of 60 KB each")
def _(ground: Ground) -> Act:
    facts(ground, BATCH)
    ground.add([ground.task(conditions=tested(at)) for at in range(BATCH)], 10)
    return lambda: ground.send(protocol.claim([ground.keys], consumer="bench", count=250, lease_ms=LEASE_MS))


@case("claim", "100 digests of 200 KB in 100 items each")
def _(ground: Ground) -> Act:
    words = [
        ground.task(payload="x" * 2_000, conditions={"digest": {"key": f"d{at}", "size": 100}})
        for at in range(100)
        for _ in range(100)
    ]
    ground.add(words, 20)
    for _ in range(600):
        ground.send(protocol.promote([ground.keys], mover="bench", limit=100))
    return lambda: ground.send(protocol.claim([ground.keys], consumer="bench", count=250, lease_ms=LEASE_MS))


# --- renew, progress, once, settle, reap


@case("renew", "1,000 leases")
def _(ground: Ground) -> Act:
    ends = running(ground, 1_000)
    words = [word for end in ends for word in (1, end.task_id, end.token)]
    return lambda: ground.wire.call("FCALL", "rs1_renew", 1, ground.keys.due, 0, LEASE_MS, *words)


@case("progress", "64 KiB")
def _(ground: Ground) -> Act:
    (end,) = running(ground, 1)
    return lambda: ground.send(protocol.progress(ground.keys, end.task_id, end.token, "x" * 65_000))


@case("once", "64 KiB of the last of 100 steps")
def _(ground: Ground) -> Act:
    (end,) = running(ground, 1)
    kept = {f"step::{at}": "1" for at in range(99)} | {"steps:": "99 300"}
    ground.wire.call("HSET", ground.keys.outcome(end.task_id), *(word for pair in kept.items() for word in pair))
    return lambda: ground.send(protocol.once(ground.keys, end.task_id, end.token, "last", b'"' + b"x" * 65_000 + b'"'))


@case("settle", "as a worker sends 1,000 tasks with a line, a lock and 16 facts each")
def _(ground: Ground) -> Act:
    ends = with_conditions(ground)
    return lambda: settle(ground, ends)


@case("settle_and_claim", "250 such tasks, of which it ends 64; 250 are claimed")
def _(ground: Ground) -> Act:
    ends = with_conditions(ground)[:MOST]
    ground.add([ground.task() for _ in range(MOST_CLAIMED)])
    claim = protocol.claim([ground.keys], consumer="bench", count=MOST_CLAIMED, lease_ms=LEASE_MS)
    return lambda: ground.send(protocol.settle_and_claim(ground.cell, ends, claim))


@case("settle", "as a worker sends 1,000 parents of a child each")
def _(ground: Ground) -> Act:
    ends = running(ground, 1_000)
    with_children(ground, [end.task_id for end in ends])
    return lambda: settle(ground, ends)


@case("settle", "as a worker sends 200 results of 250 KB")
def _(ground: Ground) -> Act:
    ends = [Settlement(QUEUE, end.task_id, end.token, "complete", json.dumps(HEAVY)) for end in running(ground, 200)]
    return lambda: settle(ground, ends)


@case("settle", "as a worker sends 1,000 retries with texts of 20 KB")
def _(ground: Ground) -> Act:
    ends = [
        Settlement(QUEUE, end.task_id, end.token, "retry", "", "e" * 4_000, "t" * 16_000)
        for end in running(ground, 1_000)
    ]
    return lambda: settle(ground, ends)


@case("reap", "500 leases that have ended")
def _(ground: Ground) -> Act:
    for end in running(ground, 500):
        ground.wire.call("ZADD", ground.keys.index("running"), 1, end.task_id)
    return lambda: ground.send(protocol.reap([ground.keys], limit=500))


@case("reap", "500 tasks with a line, a lock and 16 facts each, past their start-by")
def _(ground: Ground) -> Act:
    for at in range(500):
        plan = tied(at)
        del plan["wait_for"]
        ground.add([ground.task(conditions=plan, key=f"k{at}")])
        if at % 50 == 49:
            ground.send(protocol.claim([ground.keys], consumer="bench", count=50, lease_ms=LEASE_MS))
    ids = ground.wire.call("ZRANGE", ground.keys.index("running"), 0, -1)
    ground.pipe(("HSET", ground.keys.task(one.decode()), "expires_at", ground.now - 1) for one in ids)
    ground.scores(ground.keys.index("running"), (one.decode() for one in ids))
    return lambda: ground.send(protocol.reap([ground.keys], limit=500))
