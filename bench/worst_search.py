"""The worst inputs of the verbs that search, and of tasks that are found by much."""

from __future__ import annotations

import json

from bench.common import QUEUE
from bench.ground import Act, Ground, case
from redsched import Task
from redsched.model.search import Search
from redsched.wire import protocol
from redsched.wire.search import find

MEMBERS = 5_000


def tagged(at: int) -> list[str]:
    """Sixteen tags that no other task has."""
    return [f"tag:{at}:{n}" for n in range(16)]


@case("enqueue", "1,000 tasks with 16 tags each, of which no two have the same")
def _(ground: Ground) -> Act:
    tasks = [Task(type="t", queue=QUEUE, delay="1h", key=f"k{at}", tags=tagged(at)) for at in range(1_000)]
    return lambda: ground.client.enqueue_many(tasks)


@case("update", "other tags for 1,000 tasks that have 16")
def _(ground: Ground) -> Act:
    ids = [f"order-{at}:x" for at in range(1_000)]
    ground.add([Task(type="t", queue=QUEUE, id=one, delay="1h", tags=tagged(at)) for at, one in enumerate(ids)])
    return lambda: ground.client.update(ids, queue=QUEUE, tags=[f"other{n}" for n in range(16)])


@case("sweep", "500 tasks with 16 tags each")
def _(ground: Ground) -> Act:
    ids = [f"order-{at}:x" for at in range(500)]
    ground.add([Task(type="t", queue=QUEUE, id=one, delay="1h", tags=tagged(at)) for at, one in enumerate(ids)])
    ground.client.cancel(ids, queue=QUEUE)
    ground.scores(ground.keys.index("finished"), ids)
    return lambda: ground.send(protocol.sweep([ground.keys]))


@case("find", "500 of 5,000 tasks, with tags and reasons of 4 KB, of which none is chosen")
def _(ground: Ground) -> Act:
    ids = [f"t{at:05}" for at in range(MEMBERS)]
    tags = json.dumps(["x", *(f"{n}{'y' * 250}" for n in range(15))])
    ground.hashes(ids, state="cancelled", type="t", tags=tags, reason="r" * 200, created_at=1)
    ground.scores(ground.key("tagged:x"), [f"{QUEUE}/{one}" for one in ids], 0)
    return lambda: ground.send(find(ground.cell_keys, Search(tags=("x",), type="other")))


@case("find", "a page of 500 that are told, in a queue of 5,000")
def _(ground: Ground) -> Act:
    ids = [f"t{at:05}" for at in range(MEMBERS)]
    ground.hashes(ids, type="t", tags='["x"]', created_at=1)
    ground.scores(ground.keys.due, ids, 1_800_000_000_000)
    return lambda: ground.send(find(ground.cell_keys, Search(), source=f"due:{QUEUE}"))


@case("find", "an id in 5,000 queues")
def _(ground: Ground) -> Act:
    ground.pipe(("SADD", ground.key("queues"), f"q{at}") for at in range(MEMBERS))
    return lambda: ground.send(find(ground.cell_keys, Search(id="a"), source="id:a"))


@case("about", "500 lines, 1,000 events and 1,000 facts")
def _(ground: Ground) -> Act:
    named = [("line", f"{QUEUE}:k{at}") for at in range(500)]
    ground.pipe(("ZADD", ground.key(f"line:{name}"), 0, "a") for _, name in named)
    ground.pipe(("SADD", ground.key("emitted"), f"e{at}") for at in range(1_000))
    ground.pipe(("SET", ground.key(f"fact:e{at}:a"), "x" * 60_000) for at in range(1_000))
    ground.pipe(("XADD", ground.key("events"), "*", "event", "e", "queue", "q", "id", "a") for _ in range(1_000))
    return lambda: ground.send(protocol.about(ground.cell_keys, "a", named))


@case("shift", "1,000 ready tasks with tags and a start-by")
def _(ground: Ground) -> Act:
    ids = ground.add([Task(type="t", queue=QUEUE, expires_in="3h", tags=tagged(at)) for at in range(1_000)])
    return lambda: ground.client.operate("reschedule", f"queue:{QUEUE} state:ready", most=len(ids), by="+2h")


@case("retag", "other tags for 1,000 tasks that have 16")
def _(ground: Ground) -> Act:
    tasks = [Task(type="t", queue=QUEUE, delay="1h", tags=[*tagged(at)[:8], "mine"]) for at in range(1_000)]
    ground.add(tasks)
    add = [f"other{n}" for n in range(8)]
    return lambda: ground.client.operate("retag", "tag:mine", add=add, remove=["mine"])


@case("move", "1,000 ready tasks with 16 tags each")
def _(ground: Ground) -> Act:
    ground.add([Task(type="t", queue=QUEUE, tags=tagged(at)) for at in range(1_000)])
    return lambda: ground.client.operate("move", f"queue:{QUEUE}", to="other")


@case("operate", "a record with all that it keeps")
def _(ground: Ground) -> Act:
    batch = [["q" * 100, "a" * 128, 3_000_000_000_000]] * 200
    fields = {"state": "running", "answers": {"a": 1}, "sample": ["x" * 200] * 20, "total": 1_000_000, "next": batch}
    return lambda: ground.send(protocol.operate(ground.cell_keys, "a", "write", "d", fields))
