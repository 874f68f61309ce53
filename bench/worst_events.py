"""The worst inputs of the verbs of events, rules and pauses."""

from __future__ import annotations

from bench.common import QUEUE
from bench.ground import Act, Ground, case
from bench.seeds import PAUSED, conditional, tied, with_children
from redsched.model.events import Rule
from redsched.model.template import TaskTemplate
from redsched.wire import events, protocol
from redsched.wire.claims import Settlement

CROWD = 5_000
MAX_PAYLOAD = 262_144


@case("emit", "100 rules with 32 bindings each, data of 64 KB")
def _(ground: Ground) -> Act:
    for at in range(100):
        template = TaskTemplate(type="t", queue=QUEUE, payload={})
        bind = {f"m{n}": f"data.m{n}" for n in range(32)}
        rule = Rule(id=f"r{at}", on="paid", task=template, bind=bind)
        ground.send(events.put_rule(ground.cell_keys, rule, max_payload=MAX_PAYLOAD))
    data = {f"m{at}": "x" * 2_000 for at in range(32)}
    return lambda: ground.client.emit("paid", "a", data)


@case("emit", "32 listeners with a line, a lock and 16 facts each")
def _(ground: Ground) -> Act:
    conditional(ground, 32, lambda at: tied(at) | {"wait_for": {"any": ["paid:a"]}})
    return lambda: ground.client.emit("paid", "a")


@case("emit", "5,000 listeners")
def _(ground: Ground) -> Act:
    ground.add([ground.later(conditions={"cancel_on": ["paid:a"]}) for _ in range(CROWD)], 500)
    return lambda: ground.client.emit("paid", "a")


@case("attend", "5,000 listeners, limit 500")
def _(ground: Ground) -> Act:
    ground.add([ground.later(conditions={"cancel_on": ["paid:a"]}) for _ in range(CROWD)], 500)
    ground.client.emit("paid", "a")
    return lambda: ground.send(protocol.attend(ground.cell_keys, 500))


@case("attend", "500 listeners with 32 facts, a line and a lock each, limit 500")
def _(ground: Ground) -> Act:
    conditional(ground, 500, lambda at: tied(at) | {"cancel_on": ["paid:a", *(f"c{at}.{n}" for n in range(15))]})
    ground.client.emit("paid", "a")
    return lambda: ground.send(protocol.attend(ground.cell_keys, 500))


@case("attend", "1,000 children of a task, limit 500")
def _(ground: Ground) -> Act:
    (parent,) = ground.add([ground.task()])
    with_children(ground, [parent], 1_000)
    ground.client.cancel(parent, queue=QUEUE)
    return lambda: ground.send(protocol.attend(ground.cell_keys, 500))


@case("attend", "500 tasks that a pause set aside, limit 500")
def _(ground: Ground) -> Act:
    ground.client.pause(QUEUE)
    ground.ready(500)
    ground.send(protocol.promote([ground.keys], mover="bench", limit=500))
    ground.send(protocol.claim([ground.keys], consumer="bench", count=500, lease_ms=60_000))
    ground.client.resume(QUEUE)
    return lambda: ground.send(protocol.attend(ground.cell_keys, 500))


@case("attend", "a digest of 1,000 tasks that has run, limit 500")
def _(ground: Ground) -> Act:
    tasks = [ground.task(conditions={"digest": {"key": "d", "size": 1_000}}) for _ in range(1_000)]
    ground.add(tasks, 100)
    for _ in range(100):
        ground.send(protocol.promote([ground.keys], mover="bench", limit=100))
    claim = protocol.claim([ground.keys], consumer="bench", count=1, lease_ms=60_000)
    for one in claim.read(ground.send(claim)).tasks:
        ground.send(protocol.settle(ground.cell, [Settlement(QUEUE, one.id, one.token, "complete")]))
    return lambda: ground.send(protocol.attend(ground.cell_keys, 500))


@case("put_rule", "a rule of 64 KB")
def _(ground: Ground) -> Act:
    rule = Rule(id="r", on="paid", task=TaskTemplate(type="t", payload="x" * 60_000))
    return lambda: ground.send(events.put_rule(ground.cell_keys, rule, max_payload=MAX_PAYLOAD))


def rules_there(ground: Ground, count: int, size: int) -> list[str]:
    """Rules of one event."""
    for at in range(count):
        rule = Rule(id=f"r{at}", on=f"e{at // 100}", task=TaskTemplate(type="t", payload="x" * size))
        ground.send(events.put_rule(ground.cell_keys, rule, max_payload=MAX_PAYLOAD))
    return [f"r{at}" for at in range(count)]


@case("rules", "a page of 1,000 of 10 KB each")
def _(ground: Ground) -> Act:
    rules_there(ground, 1_000, 10_000)
    return lambda: ground.send(events.rules(ground.cell_keys, limit=1_000))


@case("drop_rule", "one of 1,000")
def _(ground: Ground) -> Act:
    rules_there(ground, 1_000, 100)
    return lambda: ground.send(events.drop_rule(ground.cell_keys, "r7"))


@case("pause", "a queue")
def _(ground: Ground) -> Act:
    return lambda: ground.client.pause(QUEUE)


@case("resume", "a key beside 10,000 paused ones")
def _(ground: Ground) -> Act:
    ground.pipe(("HSET", ground.key(f"paused:{QUEUE}"), f"key:k{at}", "0 1800000000000 -") for at in range(PAUSED))
    return lambda: ground.client.resume(QUEUE, key="k7")


@case("paused", "a page of 10,000 paused keys")
def _(ground: Ground) -> Act:
    ground.pipe(("HSET", ground.key(f"paused:{QUEUE}"), f"key:k{at}", "0 1800000000000 -") for at in range(PAUSED))
    return lambda: ground.client.paused(QUEUE)
