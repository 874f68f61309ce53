"""The worst inputs of the verbs of schedules, of the mover and the doctor, and of what is shown."""

from __future__ import annotations

import json
import time
from typing import Any

from bench.common import QUEUE
from bench.ground import Act, Ground, case, refused
from bench.seeds import HEAVY, conditional, tied
from redsched import Task
from redsched.engine.mover.firing import parts
from redsched.model.retry import Explicit
from redsched.model.schedule import Schedule
from redsched.model.template import TaskTemplate
from redsched.schedule.catch_up import MOST_FIRED, Decision
from redsched.schedule.definition import Exclude
from redsched.wire import doctor, idempotency, protocol, schedules
from redsched.wire.keys import queue_keys
from redsched.wire.schedules import Firing
from redsched.wire.task_types import TypePut, put_types, type_places, types
from redsched.wire.timeline import Window

DAY_MS = 86_400_000
PARENTS = 10_000
CROWD = 5_000
QUEUES = 16
MAX_PAYLOAD = 262_144


def join(ground: Ground, *, done: bool) -> None:
    """A task that comes after 10,000 others, as ``group`` makes it; done: they have ended and told it."""
    ids = [f"p{at}" for at in range(PARENTS)]
    ground.hashes(ids, state="completed" if done else "scheduled", bound="c")
    plan = json.dumps({"after": {"ids": ids[:1]}})
    ground.hashes(["join"], state="held", blocked="parents", bound="p", conditions=plan)
    ground.scores(ground.keys.index("held"), ["join"], 4e12)
    key, told = ground.key(f"parents:{QUEUE}:join"), f"completed {'1' * 8_000}" if done else ""
    ground.pipe(("HSET", key, f"{QUEUE}/{one}", told) for one in ids)
    ground.wire.call("HSET", key, ":left", 0 if done else PARENTS, ":failed", 0)
    if not done:
        ground.pipe(("ZADD", ground.key(f"children:{QUEUE}:{one}"), 0, f"{QUEUE}/join") for one in ids)


def finished(ground: Ground, queues: int, each: int, bound: str | None = None, plan: Any = None) -> list[str]:
    """Tasks past their retention in many queues; the due keys."""
    found = []
    for number in range(queues):
        keys = ground.queue(f"q{number}")
        ids = [f"t{number}.{at}" for at in range(each)]
        fields = {"state": "completed"} | ({"bound": bound, "key": "k"} if bound else {})
        ground.hashes(ids, keys, **fields)
        if plan:
            ground.pipe(("HSET", keys.task(one), "conditions", json.dumps(plan(at))) for at, one in enumerate(ids))
        ground.pipe(("HSET", keys.outcome(one), "result", "1") for one in ids)
        if bound and "c" in bound:
            ground.pipe(("ZADD", ground.key(f"children:{keys.queue}:{one}"), 0, f"{QUEUE}/c") for one in ids)
        ground.scores(keys.index("finished"), ids)
        found.append(keys.due)
    return found


def schedule(ground: Ground, name: str, **more: Any) -> None:
    """A schedule that fires each minute."""
    template, owner = TaskTemplate(type="t", queue=QUEUE, payload=more.pop("payload", None)), more.pop("owner", None)
    given = Schedule(id=name, every="1m", task=template, **more)
    ground.send(schedules.put_schedule(ground.cell, given, owner=owner, max_payload=MAX_PAYLOAD))


def firings(ground: Ground, count: int) -> list[Firing]:
    """A decision with the most slots for each of so many schedules."""
    looked = schedules.due_schedules(ground.cell_keys, 500)
    found = looked.read(ground.send(looked)).schedules[:count]
    now = ground.now
    slots = tuple((now - at * 1_000, now - at * 1_000) for at in range(MOST_FIRED))
    return [Firing(one, Decision(following=str(now + 60_000), slots=slots)) for one in found]


# --- the mover's other work


@case("sweep", "16 queues of 500 tasks")
def _(ground: Ground) -> Act:
    finished(ground, QUEUES, 500)
    keys = [ground.queue(f"q{at}") for at in range(QUEUES)]
    return lambda: ground.send(protocol.sweep(keys))


@case("sweep", "16 queues of 500 tasks with a child each")
def _(ground: Ground) -> Act:
    finished(ground, QUEUES, 500, "c")
    keys = [ground.queue(f"q{at}") for at in range(QUEUES)]
    return lambda: ground.send(protocol.sweep(keys))


@case("sweep", "16 queues of 500 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    finished(ground, QUEUES, 500, "p", tied)
    keys = [ground.queue(f"q{at}") for at in range(QUEUES)]
    return lambda: ground.send(protocol.sweep(keys))


@case("limit", "both caps of a queue")
def _(ground: Ground) -> Act:
    return lambda: ground.client.limit(QUEUE, most_finished=5, most_dead="none")


@case("leave", "16 queues")
def _(ground: Ground) -> Act:
    keys = [ground.queue(f"q{at}") for at in range(QUEUES)]
    return lambda: ground.send(protocol.leave(keys, "bench"))


@case("fire", "100 schedules by 100 slots")
def _(ground: Ground) -> Act:
    for at in range(100):
        schedule(ground, f"s{at}", overlap="allow_all")
    todo = firings(ground, 100)
    return lambda: fire(ground, todo)


@case("fire", "100 schedules by 100 slots, payloads of 100 KB")
def _(ground: Ground) -> Act:
    for at in range(20):
        schedule(ground, f"s{at}", overlap="allow_all", payload="x" * 100_000)
    todo = firings(ground, 20)
    return lambda: fire(ground, todo)


@case("fire", "100 schedules with 100 open runs each")
def _(ground: Ground) -> Act:
    for at in range(100):
        schedule(ground, f"s{at}", overlap="buffer_all")
    todo = firings(ground, 100)
    runs = [f"{1_700_000_000_000 + at}" for at in range(100)]
    for at in range(100):
        ground.wire.call("HSET", ground.key(f"schedule:s{at}"), "open", " ".join(runs))
        ground.hashes([f"s{at}@{run}" for run in runs], state="running")
    return lambda: fire(ground, todo)


def fire(ground: Ground, todo: list[Firing]) -> None:
    """As a mover sends decisions."""
    for some in parts(todo):
        ground.send(schedules.fire(ground.cell, some))


@case("due_schedules", "500 schedules")
def _(ground: Ground) -> Act:
    for at in range(500):
        schedule(ground, f"s{at}", payload="x" * 1_000)
    return lambda: ground.send(schedules.due_schedules(ground.cell_keys, 500))


@case("due_schedules", "100 schedules with payloads of 250 KB")
def _(ground: Ground) -> Act:
    for at in range(100):
        schedule(ground, f"s{at}", payload=HEAVY)
    return lambda: ground.send(schedules.due_schedules(ground.cell_keys))


# --- schedules, as people change them


@case("put_schedule", "a payload of 250 KB")
def _(ground: Ground) -> Act:
    return lambda: schedule(ground, "s", payload=HEAVY)


@case("replan_schedules", "a page of 1,000 schedules, each of which a calendar may move")
def _(ground: Ground) -> Act:
    for at in range(1_000):
        schedule(ground, f"s{at}", exclude=Exclude(calendars=["closed"]))
    ground.pipe([("ZADD", ground.cell_keys.schedules, ground.now + at, f"s{at}") for at in range(1_000)])
    return lambda: ground.send(schedules.replan_schedules(ground.cell_keys, changes=1, release="2026c"))


@case("drop_schedule", "1,000 schedules that are pruned")
def _(ground: Ground) -> Act:
    for at in range(1_000):
        schedule(ground, f"s{at}")
    return lambda: ground.client.schedules.apply([], prune=True)


@case("pause_schedule", "one")
def _(ground: Ground) -> Act:
    schedule(ground, "s")
    return lambda: ground.client.schedules.pause("s")


@case("resume_schedule", "one")
def _(ground: Ground) -> Act:
    schedule(ground, "s")
    ground.client.schedules.pause("s")
    return lambda: ground.client.schedules.resume("s")


@case("show_schedules", "100 schedules with payloads of 100 KB")
def _(ground: Ground) -> Act:
    for at in range(100):
        schedule(ground, f"s{at}", payload="x" * 100_000)
    return lambda: ground.client.schedules.list(limit=100)


@case("trigger", "1,000 slots of the past")
def _(ground: Ground) -> Act:
    schedule(ground, "s", overlap="allow_all")
    now = ground.now
    return lambda: ground.client.schedules.backfill("s", now - 999 * 60_000, now)


@case("defaults", "all of a queue")
def _(ground: Ground) -> Act:
    retry = Explicit(["1s"] * 100)
    return lambda: ground.client.defaults("q0", max_attempts=2, retry=retry, timeout="5s", retention="1d", key="k")


@case("put_types", "50 types with schemas of 60 KiB")
def _(ground: Ground) -> Act:
    made = [TypePut(f"t{at}", "q0", ("max_attempts", "2", "retry", "fixed 5000"), b"x" * 60_000) for at in range(50)]
    return lambda: ground.client.transport.send(put_types(ground.cell_keys, "shop", "1", "w", 5, made))


@case("types", "20 of 5,000 types, with schemas of 60 KiB")
def _(ground: Ground) -> Act:
    names = [f"t{at:04}" for at in range(5_000)]
    ground.pipe(("HSET", ground.cell_keys.types, name, "q0 shop 1 5") for name in names)
    ground.pipe(("HSET", ground.cell_keys.schemas, name, b"1" * 60_000) for name in names[:200])
    return lambda: ground.client.transport.send(types(ground.cell_keys, limit=20, schemas=True))


@case("types", "where 100 ids of a type with four former queues are: in none")
def _(ground: Ground) -> Act:
    left = " ".join(f"q{at} {time.time_ns() // 1_000_000}" for at in range(1, 5))
    ground.pipe([("HSET", ground.cell_keys.types, "t", f"q0 shop 1 5 {left}")])
    ids = [("t", f"order-{at}:reminder") for at in range(100)]
    return lambda: ground.client.transport.send(type_places(ground.cell_keys, ids))


@case("keep_schedules", "1,000 schedules of one owner, all of which are paused")
def _(ground: Ground) -> Act:
    for at in range(1_000):
        schedule(ground, f"s{at}", owner="shop")
    return lambda: ground.client.schedules.keep("shop", [])


@case("put_calendar", "10,000 dates")
def _(ground: Ground) -> Act:
    dates = [f"{1_000 + at // 336}-{at % 336 // 28 + 1:02}-{at % 28 + 1:02}" for at in range(10_000)]
    return lambda: ground.client.schedules.put_calendar("c", dates)


@case("calendars", "20 calendars of 10,000 dates each")
def _(ground: Ground) -> Act:
    text = json.dumps(["2027-01-01"] * 10_000)
    ground.pipe(("HSET", ground.cell_keys.calendars, f"c{at}", text) for at in range(20))
    return ground.client.schedules.calendars


# --- care for a queue, and the doctor


@case("drop", "1,000 finished tasks with a child each")
def _(ground: Ground) -> Act:
    finished(ground, 1, 1_000, "c")
    return lambda: ground.client.drop([f"t0.{at}" for at in range(1_000)], queue="q0")


@case("drop", "1,000 dead tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    finished(ground, 1, 1_000, "p", tied)
    return lambda: ground.client.drop([f"t0.{at}" for at in range(1_000)], queue="q0")


@case("requeue", "1,000 ids")
def _(ground: Ground) -> Act:
    ids = [f"t{at}" for at in range(1_000)]
    ground.scores(ground.keys.index("quarantine"), (f"missing:{one}" for one in ids))
    ground.hashes(ids)
    return lambda: ground.client.requeue(ids, queue=QUEUE)


@case("inspect", "the parents of a join of 10,000")
def _(ground: Ground) -> Act:
    join(ground, done=False)
    name = f"parents:{QUEUE}:join".encode()

    def inspect() -> None:
        call = doctor.inspect(ground.keys, "keys", cursor=b"parts", names=[name])
        while cursor := call.read(ground.send(call)).cursor:
            call = doctor.inspect(ground.keys, "keys", cursor=b"parts " + cursor.split(b" ", 2)[2], names=[name])

    return inspect


@case("inspect", "500 tasks with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    ids = conditional(ground, 500, tied)
    return lambda: ground.send(doctor.inspect(ground.keys, "tasks", names=[one.encode() for one in ids]))


@case("inspect", "500 members of a set")
def _(ground: Ground) -> Act:
    conditional(ground, 500, tied)
    return lambda: ground.send(doctor.inspect(ground.keys, "held", limit=500))


@case("repair", "500 tasks in no place, with 32 facts, a line and a lock each")
def _(ground: Ground) -> Act:
    ids = conditional(ground, 500, tied)
    ground.wire.call("DEL", ground.keys.index("held"), ground.keys.due)

    def repair() -> None:
        for at in range(0, len(ids), doctor.MENDED):
            ground.client.repair(QUEUE, [("task", one.encode()) for one in ids[at : at + doctor.MENDED]])

    return repair


@case("repair", "the parents of a join of 10,000")
def _(ground: Ground) -> Act:
    join(ground, done=False)
    ground.wire.call("HSET", ground.key(f"parents:{QUEUE}:join"), ":left", 7)
    return lambda: ground.client.repair(QUEUE, [("key", f"parents:{QUEUE}:join".encode())])


# --- what is shown


@case("show", "100 tasks of 250 KB")
def _(ground: Ground) -> Act:
    ids = ground.ready(100, HEAVY)
    return lambda: ground.client.show(ids, queue=QUEUE)


@case("list", "1,000 tasks with tags of 800 bytes")
def _(ground: Ground) -> Act:
    ground.add([ground.later(tags=["x" * 50] * 16) for _ in range(1_000)], 500)
    return lambda: ground.client.list(QUEUE, state="scheduled", limit=1_000)


@case("stats", "100 queues")
def _(ground: Ground) -> Act:
    names = [f"q{at}" for at in range(100)]
    ground.client.enqueue_many([Task(type="t", queue=name) for name in names])
    return lambda: ground.client.stats(names)


@case("timeline", "4 queues of 1,000 tasks, steps of a minute, 100 types each")
def _(ground: Ground) -> Act:
    names = [f"q{at}" for at in range(4)]
    for name in names:
        tasks = [Task(type=f"t{at % 100}", queue=name, due=ground.now + at * 3_000) for at in range(1_000)]
        ground.client.enqueue_many(tasks)
    window = Window(3_600_000, 3_600_000, 60_000)
    return lambda: ground.send(protocol.timeline([queue_keys(ground.client.cell, name) for name in names], window, 100))


@case("explain", "a join of 10,000 and 10,000 events")
def _(ground: Ground) -> Act:
    join(ground, done=False)
    ground.pipe(("XADD", ground.cell_keys.events, "*", "event", "e", "queue", QUEUE, "id", "i") for _ in range(10_000))
    return lambda: ground.client.explain("join", queue=QUEUE)


@case("kin", "a page of a join of 10,000, results of 8 KB")
def _(ground: Ground) -> Act:
    join(ground, done=True)
    return lambda: ground.send(protocol.kin(ground.keys, "join", "parents", limit=1_000))


@case("kin", "the parents of a join of 10,000, as a client reads them")
def _(ground: Ground) -> Act:
    join(ground, done=True)
    return lambda: ground.client.parents("join", queue=QUEUE)


@case("reserve", "one request")
def _(ground: Ground) -> Act:
    return lambda: ground.send(idempotency.reserve(ground.cell_keys, "a" * 64, "b" * 64))


@case("answer", "1 MB")
def _(ground: Ground) -> Act:
    ground.send(idempotency.reserve(ground.cell_keys, "a" * 64, "b" * 64))
    stored = idempotency.answer(ground.cell_keys, "a" * 64, "b" * 64, status=201, text=b"x" * 1_000_000, ttl_ms=DAY_MS)
    return lambda: ground.send(stored)


@case("version", "no input")
def _(ground: Ground) -> Act:
    return refused(lambda: ground.wire.call("FCALL", "rs1_version", 0))
