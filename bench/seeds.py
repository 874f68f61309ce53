"""Tasks that cost as much as they may: conditions, facts, claims, children. The worst inputs begin with them."""

from __future__ import annotations

import json
from typing import Any

from bench.common import QUEUE
from bench.ground import Ground
from redsched.engine.worker.settlements import MOST_ALONE
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


def conditional(ground: Ground, count: int, plan: Any, **fields: Any) -> list[str]:
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
    """As many in a call as a worker sends by ``settle``."""
    for at in range(0, len(ends), MOST_ALONE):
        ground.send(protocol.settle(ground.cell, ends[at : at + MOST_ALONE]))


def with_children(ground: Ground, ids: list[str], each: int = 1) -> None:
    """Tasks that come after these."""
    ground.add([ground.later(conditions={"after": {"ids": [one]}}) for one in ids for _ in range(each)], 200)


def paused(ground: Ground) -> None:
    """Keys that are paused, none of them a task's."""
    ground.pipe(("HSET", ground.key(f"paused:{QUEUE}"), f"key:other{at}", "0 1800000000000 -") for at in range(PAUSED))


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
