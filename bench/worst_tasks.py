"""The worst inputs of the verbs of a task's life: from enqueue to its end, and what producers do to it meanwhile."""

from __future__ import annotations

import json
from typing import Any

from bench.common import QUEUE
from bench.ground import HOUR_MS, Act, Ground, case, refused
from redsched import AsyncClient
from redsched.engine.settlements import MOST, Settlements
from redsched.engine.worker import MOST_CLAIMED
from redsched.wire import protocol
from redsched.wire.claims import Settlement

FACT_BYTES = 60_000
MEMBERS = 32  # of a plan: tests, late members; bindings of a rule
LEASE_MS = 600_000
BATCH = 250  # of a mover's promote
PAUSED = 10_000
HEAVY = "x" * 250_000  # a payload


def tested(number: int) -> dict[str, Any]:
    """As many tests as a plan may have, of a fact of its own; they hold."""
    tests = [{"fact": f"f{number}", "field": f"m{at}", "equals": at} for at in range(MEMBERS)]
    return {"only_if": {"all": tests}}


def filled_in(number: int) -> dict[str, Any]:
    """As many members as may be filled in, of a fact of its own."""
    return {"late": {f"m{at}": {"fact": f"f{number}", "field": f"m{at}"} for at in range(MEMBERS)}}


def tied(number: int) -> dict[str, Any]:
    """All that a task can be entered in: 32 facts of its own, a line and a lock."""
    return {
        "cancel_on": [f"c{number}.{at}" for at in range(16)],
        "wait_for": {"any": [f"w{number}.{at}" for at in range(16)]},
        "fifo": True,
        "unique": {"key": f"u{number}"},
    }


def facts(ground: Ground, count: int) -> None:
    """Facts of 60 KB each, whose members hold for ``tested``."""
    members = {f"m{at}": at for at in range(MEMBERS)}
    text = json.dumps({"pad": "x" * FACT_BYTES, **members})
    ground.pipe(("SET", ground.cell_keys.fact(f"f{number}"), text) for number in range(count))


def planned(ground: Ground, count: int, plan: Any, **fields: Any) -> list[str]:
    """Enqueued tasks with conditions."""
    return ground.add([ground.later(conditions=plan(at), key=f"k{at}", **fields) for at in range(count)], 20)


def due(ground: Ground, count: int, plan: Any, facts_there: int = 0) -> list[str]:
    """Due tasks that promote judges for the first time."""
    ids = [f"t{at}" for at in range(count)]
    if facts_there:
        facts(ground, facts_there)
    key = ground.keys
    ground.pipe(
        ("HSET", key.task(one), "type", "t", "payload", "{}", "key", f"k{at}", "conditions", json.dumps(plan(at)))
        for at, one in enumerate(ids)
    )
    ground.scores(key.due, ids, ground.now - 1)
    return ids


def running(ground: Ground, count: int, payload: Any = None, conditions: Any = None) -> list[Settlement]:
    """Claims of one worker, to be settled as completed."""
    ground.ready(count, payload, conditions)
    claims: list[Settlement] = []
    while len(claims) < count:
        call = protocol.claim([ground.keys], consumer="bench", count=50, lease_ms=LEASE_MS)
        found = call.read(ground.send(call)).tasks
        if not found:
            raise RuntimeError(f"{len(claims)} of {count} were claimed")
        claims += (Settlement(QUEUE, one.id, one.token, "complete") for one in found)
    return claims


def settle(ground: Ground, ends: list[Settlement]) -> None:
    """In the batches that a worker sends."""
    waiting = Settlements(AsyncClient(settings=ground.client.settings))
    waiting.extend(ends)
    while batch := waiting.batch():
        ground.send(protocol.settle(ground.cell, batch))
        waiting.answered()


def with_children(ground: Ground, ids: list[str], each: int = 1) -> None:
    """Tasks that come after these."""
    ground.add([ground.later(conditions={"after": {"ids": [one]}}) for one in ids for _ in range(each)], 200)


def paused(ground: Ground) -> None:
    """Keys that are paused, none of them a task's."""
    ground.pipe(("HSET", ground.key(f"paused:{QUEUE}"), f"key:other{at}", "0 1800000000000 -") for at in range(PAUSED))


# --- enqueue, ingest


def together(plan: Any) -> int:
    """How many tasks of such conditions one call takes."""
    return 65_536 // (len(json.dumps(plan(999), separators=(",", ":"))) - 120)


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
    digest = {"digest": {"key": "d", "grace": 3_000_000}}
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


# --- renew, progress, settle, reap


@case("renew", "1,000 leases")
def _(ground: Ground) -> Act:
    ends = running(ground, 1_000)
    words = [word for end in ends for word in (1, end.task_id, end.token)]
    return lambda: ground.wire.call("FCALL", "rs1_renew", 1, ground.keys.due, 0, LEASE_MS, *words)


@case("progress", "64 KiB")
def _(ground: Ground) -> Act:
    (end,) = running(ground, 1)
    return lambda: ground.send(protocol.progress(ground.keys, end.task_id, end.token, "x" * 65_000))


def with_conditions(ground: Ground) -> list[Settlement]:
    """Claims of 1,000 tasks with a line, a lock and 16 facts each."""
    ends: list[Settlement] = []
    for at in range(1_000):
        plan = tied(at)
        del plan["wait_for"]
        ground.add([ground.task(conditions=plan, key=f"k{at}")])
        if at % 50 == 49:
            call = protocol.claim([ground.keys], consumer="bench", count=50, lease_ms=LEASE_MS)
            ends += (Settlement(QUEUE, one.id, one.token, "complete") for one in call.read(ground.send(call)).tasks)
    return ends


@case("settle", "as a worker sends 1,000 tasks with a line, a lock and 16 facts each")
def _(ground: Ground) -> Act:
    ends = with_conditions(ground)
    return lambda: settle(ground, ends)


@case("settle_and_claim", "64 such tasks end, 250 are claimed")
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


# --- what producers do to tasks


@case("cancel", "1,000 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    ids = planned(ground, 1_000, tied)
    return lambda: ground.client.cancel(ids, queue=QUEUE)


@case("cancel", "1,000 of one line")
def _(ground: Ground) -> Act:
    ids = ground.add([ground.task(conditions={"fifo": True}, key="k") for _ in range(1_000)])
    return lambda: ground.client.cancel(ids, queue=QUEUE)


@case("reschedule", "1,000 ready tasks")
def _(ground: Ground) -> Act:
    ids = ground.ready(1_000)
    return lambda: ground.client.reschedule(ids, queue=QUEUE, delay="1h")


@case("update", "other conditions for 1,000 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    ids = planned(ground, 1_000, tied)
    return lambda: ground.client.update(ids, queue=QUEUE, conditions=tied(-1))


@case("update", "after 150 tasks that come after 500 others each, of one that has a child")
def _(ground: Ground) -> Act:
    first = ground.add([ground.later() for _ in range(500)], 500)
    second = ground.add([ground.later(conditions={"after": {"ids": first}}) for _ in range(150)], 1)
    (parent,) = ground.add([ground.later()])
    with_children(ground, [parent])
    plan: Any = {"after": {"ids": second}}
    return refused(lambda: ground.send(protocol.update(ground.keys, [parent], {"conditions": plan}, max_payload=1)))


@case("update", "a payload of 250 KB for 1,000 tasks")
def _(ground: Ground) -> Act:
    ids = ground.add([ground.later() for _ in range(1_000)], 500)
    return lambda: ground.client.update(ids, queue=QUEUE, payload=HEAVY)


@case("update", "1,000 ready tasks")
def _(ground: Ground) -> Act:
    ids = ground.ready(1_000)
    return lambda: ground.client.update(ids, queue=QUEUE, priority="high")


@case("revive", "1,000 dead tasks")
def _(ground: Ground) -> Act:
    ids = [f"t{at}" for at in range(1_000)]
    ground.hashes(ids, state="dead")
    ground.scores(ground.keys.index("dead"), ids, ground.now + HOUR_MS)
    return lambda: ground.client.revive(ids, queue=QUEUE)


@case("confirm", "1,000 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    ids = planned(ground, 1_000, lambda at: tied(at) | {"hold": {"token": "a", "within": HOUR_MS}})
    return lambda: ground.client.confirm(ids, "a", queue=QUEUE)


@case("confirm", "1,000 tasks with 32 facts, a line and a lock each, abandoned")
def _(ground: Ground) -> Act:
    ids = planned(ground, 1_000, lambda at: tied(at) | {"hold": {"token": "a", "within": HOUR_MS}})
    return lambda: ground.client.abandon(ids, "a", queue=QUEUE)


@case("follow", "a group of 1,000 tasks and one after them")
def _(ground: Ground) -> Act:
    tasks = [ground.later() for _ in range(1_000)]
    return lambda: ground.client.group(tasks, then=ground.later())
