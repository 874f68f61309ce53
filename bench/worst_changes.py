"""The worst inputs of what producers do to tasks: cancel, reschedule, update, revive, confirm, follow."""

from __future__ import annotations

from typing import Any

from bench.common import QUEUE
from bench.ground import HOUR_MS, Act, Ground, case, refused
from bench.seeds import HEAVY, conditional, tied, with_children
from redsched.wire import protocol


@case("cancel", "1,000 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    ids = conditional(ground, 1_000, tied)
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
    ids = conditional(ground, 1_000, tied)
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
    ids = conditional(ground, 1_000, lambda at: tied(at) | {"hold": {"token": "a", "within": "1h"}})
    return lambda: ground.client.confirm(ids, "a", queue=QUEUE)


@case("confirm", "1,000 tasks with 32 facts, a line and a lock each, abandoned")
def _(ground: Ground) -> Act:
    ids = conditional(ground, 1_000, lambda at: tied(at) | {"hold": {"token": "a", "within": "1h"}})
    return lambda: ground.client.abandon(ids, "a", queue=QUEUE)


@case("follow", "a group of 1,000 tasks and one after them")
def _(ground: Ground) -> Act:
    tasks = [ground.later() for _ in range(1_000)]
    return lambda: ground.client.group(tasks, then=ground.later())
