"""Events, statistics and the list of queues only tell: all verbs decide the same without them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redsched.wire import doctor, protocol, scripts
from tests.support.consistency import everything
from tests.support.lua_connections import connections
from tests.support.lua_queue import HOUR, KEEP_FINISHED, LEASE, NOW, Queue
from tests.support.timetable import decision

LAST = "18446744073709551615-18446744073709551615"  # the highest id of a stream
FULL = 2**63 - 1
TELLING = ("events", "stats:q", f"stats:q:{NOW // 60_000}", "queues", "sweeps")
TASK = (2, "type", "t", "payload", "{}")
LISTENERS = 40


def end_events(queue: Queue) -> None:
    """A producer adds the entry after which a stream takes no more."""
    queue.redis.xadd(queue.key("events"), {"a": "b"}, id=LAST)


def count_to(queue: Queue, value: Any) -> None:
    """Every counter of the queue has this value."""
    for key in TELLING[1:3]:
        queue.redis.hset(queue.key(key), mapping={name: value for name in COUNTED})


def write_strings(queue: Queue, *keys: str) -> None:
    """Keys of a wrong type."""
    for key in keys:
        queue.redis.set(queue.key(key), "mine")


COUNTED = ("enqueued", "promoted", "started", "completed", "retried", "snoozed", "unhandled", "returned", "dead",
           "expired", "cancelled", "skipped", "reaped", "revived", "dropped", "requeued", "quarantined", "repaired",
           "late_1", "late_10")  # fmt: skip
BROKEN: dict[str, tuple[Callable[[Queue], None], set[str]]] = {
    "events at their last id, counters of words": (
        lambda queue: (end_events(queue), count_to(queue, "many"))[0],
        set(TELLING[:3]),
    ),
    "events of a wrong type, full counters": (
        lambda queue: (write_strings(queue, "events"), count_to(queue, FULL))[0],
        set(TELLING[:3]),
    ),
    "all of a wrong type": (lambda queue: write_strings(queue, *TELLING), set(TELLING)),
}


def call(queue: Queue, verb: str, *args: Any, now: int = NOW) -> Any:
    """The reply of a verb, or its error; what takes no queue gets the key that it names."""
    first = (*scripts.header(verb).keys, "")[0]
    keys = {
        "due": [queue.keys.due],
        "due...": [queue.keys.due],
        "fact": [queue.key("fact:paid:o")],
        "": [],
        "answer": [queue.key("answer:k")],
        "operation": [queue.key("operation:o")],
    }.get(first, [queue.key(first)])
    if verb == "move":
        keys.append(queue.other("r").keys.due)
    words = [now, *args] if scripts.header(verb).args[:1] == ("now",) else list(args)
    return queue.run(verb, keys, words)


def seed(queue: Queue) -> None:
    """A namespace in which every verb has something to decide."""
    tasks: list[Any] = []

    def enqueue(task_id: str, due: Any = 0, conditions: Any = None, **fields: Any) -> None:
        named = {"type": "t", "payload": "{}", "retry": "fixed 100"} | fields
        if conditions:
            named["conditions"] = json.dumps(conditions)
        tasks.extend((1, task_id, due, len(named), *(word for pair in named.items() for word in pair)))

    def write() -> None:
        call(queue, "enqueue", *tasks)
        tasks.clear()

    def claim(*ids: str, **fields: Any) -> None:
        for task_id in ids:
            enqueue(task_id, **fields)
        write()
        call(queue, "claim", ids[0], "ab", len(ids), LEASE)

    queue.redis.hset(queue.key("meta"), mapping={"virtual_clock": 1, "epoch": "e"})
    claim("x1", "x2")
    for task_id in ("x1", "x2"):
        call(queue, "settle", 1, task_id, "1.ab", "dead", "x", "it broke", "")
    claim("f1", retention_ms=1_000)
    call(queue, "settle", 1, "f1", "1.ab", "complete", "1", "", "")
    claim(*(f"run{n}" for n in range(9)))
    claim("once", max_attempts=1)
    claim("parent")
    enqueue("r1"), enqueue("r2", expires_at=NOW + 5)
    for n in range(3):
        enqueue(f"d{n}", NOW + 10)
    enqueue("old", NOW + 8, expires_at=NOW + 9)
    for task_id, test in (
        ("skip", {"unless": {"fact": "is"}}),
        ("again", {"only_if": {"fact": "no"}, "otherwise": {"again": 5_000}}),
        ("digest", {"digest": {"key": "k"}}),
        ("line", {"fifo": True}),
        ("child", {"after": {"ids": ["parent"]}}),
    ):
        enqueue(task_id, NOW + 10, test, key="k")
    queue.redis.set(queue.key("fact:is"), 1)
    queue.redis.hset(queue.keys.task("bad"), mapping={"type": "t", "payload": "{}", "priority": "urgent"})
    queue.redis.zadd(queue.keys.due, {"bad": NOW + 10, "ghost": NOW - HOUR, "no id": NOW + 10, "x1": NOW + 10})
    enqueue("waits", conditions={"wait_for": {"any": ["paid:o"]}})
    enqueue("stops", NOW + HOUR, {"cancel_on": ["paid:o"]})
    enqueue("both", NOW + HOUR, {"cancel_on": ["paid:o", "other"], "unless": {"fact": "no"}})
    enqueue("hold", conditions={"hold": {"token": "c", "within": 5_000}, "after": {"ids": ["parent"]}})
    for n in range(LISTENERS):
        enqueue(f"many{n:02}", NOW + HOUR, {"cancel_on": ["many"]})
    write()
    call(queue, "put_schedule", "s", "", '{"every":[{"every":60000}],"overlap":"skip"}', "type", "t", "payload", "{}")
    call(queue, "put_rule", "rule", "paid", '{"queue":"q","fields":{"type":"t"}}')
    good = {"type": "t", "payload": "{}"}
    for fields in ({"id": "in1"} | good, {"id": "in2"}, {"id": "d0"} | good):
        queue.redis.xadd(queue.key("inbox:q"), fields)
    queue.redis.zadd(queue.key("quarantine:q"), {"missing:back": NOW})
    queue.redis.hset(queue.keys.task("back"), mapping={"type": "t", "payload": "{}"})
    call(queue, "pause", "type:paused", "", 0)
    queue.redis.hset(queue.keys.task("lost"), mapping={"type": "t", "payload": "{}"})
    running = queue.redis.zrange(queue.key("running:q"), 0, -1)
    assert running == ["once", "parent", *(f"run{n}" for n in range(9))]


def settle(outcome: str, first: Any = "", task_id: str = "run0") -> tuple[Any, ...]:
    """The words of one settle."""
    return ("settle", 1, task_id, "1.ab", outcome, first, "", "")


# what is called, with its words after the time; a number before it is what is added to the time
CALLS: list[tuple[Any, ...]] = [
    ("enqueue_run", "r", 0, 1, NOW, "", "", 1, "part", 0, *TASK),
    ("enqueue", 1, "new", 0, *TASK, 1, "new2", NOW + HOUR, *TASK, 1, "new3", 0, 3, *TASK[1:], "expires_at", NOW),
    ("promote", 100, "m"), (20, "promote", 100, "m"), (10, "claim", "v", "cd", 50, LEASE),
    settle("complete", "1"), settle("retry"), settle("snooze", 50), settle("return"), settle("return", "unhandled"),
    settle("dead", "x"), settle("cancelled"), settle("retry", "", "once"), settle("complete", "1", "parent"),
    (10, "settle_and_claim", "v", "ef", 50, LEASE, 1, 0, 1, "run0", "1.ab", "complete", "1", "", ""),
    ("renew", LEASE, 1, "run0", "1.ab"), (2 * LEASE, "reap", 100), ("progress", "run0", "1.ab", "1"),
    ("once", "run0", "1.ab", "charge", "1", NOW),
    ("cancel", "", "run0", "d0", "r1", "waits", "line", "digest"), ("reschedule", "+5", "d0", "r1", "waits"),
    ("update", 1, "payload", "[]", "d0", "r1", "x1"),
    ("update", 1, "conditions", '{"unless":{"fact":"is"}}', "d0", "r1"), ("answer", "b", 200, "", "", 5_000),
    ("revive", 0, "x1", "x2"), ("drop", "task", "x2", "f1"), ("drop", "quarantine", "missing:back"),
    ("requeue", 0, "back"), ("ingest", 50), ("leave", "w"), ("limit", "most_finished", 0, "most_dead", 0),
    (KEEP_FINISHED - 1, "sweep", 100), (KEEP_FINISHED, "sweep", 100),
    ("emit", "{}", 60_000, "e1"), (6_000, "attend", 500),
    ("confirm", "confirm", "c", "hold"), ("confirm", "abandon", "c", "hold"), ("follow", "hold", "x2"),
    ("pause", "queue", "", 0), ("resume", "type:paused"), ("put_rule", "r2", "on", '{"fields":{"type":"t"}}'),
    ("drop_rule", "rule"), ("put_schedule", "s2", "", '{"every":[{"every":60000}]}', "type", "t", "payload", "{}"),
    ("trigger", "s", "", ""), ("pause_schedule", "s", "", 0), ("resume_schedule", "s"), ("drop_schedule", "s"),
    ("defaults", "max_attempts", 2), ("put_types", "shop", "2.1", "w", 5, "t", "q", '["max_attempts","2"]', "{}"),
    ("keep_schedules", "shop", "2.1", "pause"), ("types", "", 10, 1),
    ("put_calendar", "c", "[]", NOW), ("reserve", "b", 5_000), ("fire",), ("replan_schedules", 1, "2026c", ""),
    ("repair", "task", "lost", "entry", "normal/1-1"),
    ("show", "d0"), ("list", "due", "", 10, "", ""), ("stats",), ("version",), ("timeline", HOUR, HOUR, 300_000, 10),
    ("inspect", "due", "", 10),
    ("due_schedules", 10), ("show_schedules", "", 10), ("calendars",), ("kin", "parents", "child", "", 10), ("paused",),
    ("rules", "", 10), ("explain", "line"),
    ("find", "", 10, 10, "", "key", "k"), ("about", "order-42", "line", "q:k"),
    ("shift", "+5", "o", "child", ""), ("retag", '["x"]', "[]", "child"), ("move", "x2"),
    ("operate", "begin", "d", "action", "drop", "search", "x", "arguments", "{}"), ("operate", "write", "d", "done", 1),
    ("operate", "abort", ""),
]  # fmt: skip


def act(queue: Queue, words: tuple[Any, ...]) -> None:
    """Make one call of the list; what has to be there for it, and for nothing else, is written first."""
    later, verb, *args = words if isinstance(words[0], int) else (0, *words)
    if verb == "fire":
        args = decision(queue, following="every", missed=2, why="late", slots=[NOW - 60_000])
    call(queue, verb, *args, now=NOW + later)


def prepare(queue: Queue, words: tuple[Any, ...]) -> None:
    """What the call needs and the seed has not."""
    if words[0] == "resume_schedule":
        call(queue, "pause_schedule", "s", "", 0)
    if words[0] == "resume":
        queue.redis.hset(queue.key("paused:q"), "type:paused", f"0 {NOW} ")
    if words[1:2] == ("attend",):
        queue.redis.zadd(queue.key("agenda"), {"heard/many": 0})
        call(queue, *settle("complete", "1", "parent"))
    if words[0] == "answer":
        call(queue, "reserve", "b", 5_000)


def state(queue: Queue) -> dict[str, Any]:
    """Every key of the namespace; entries of streams by their order, since their ids come from the server's clock."""
    found = everything(queue.redis, queue.key("*"))
    order: dict[str, str] = {}
    for key, (kind, content) in sorted(found.items()):
        if kind == "stream":
            found[key] = (kind, [fields for _, fields in content])
        if kind == "stream" and not key.endswith(":events"):
            order |= {at: f"{key[len(queue.key('')) :]} {number}" for number, (at, _) in enumerate(content)}

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\b\d{13}-\d+\b", lambda at: order.get(at[0], "gone"), value)
        if isinstance(value, dict):
            return {plain(name): plain(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return value

    return {key[len(queue.key("")) :]: plain(content) for key, (_, content) in found.items()}


@pytest.fixture(params=["valkey-functions", "redis-scripts"])
def namespaces(request: pytest.FixtureRequest) -> Iterator[Callable[[], Queue]]:
    """Namespaces on one server, under one build."""
    server, build = request.param.split("-")
    raw, text = connections(request, server)
    made: list[Queue] = []

    def make() -> Queue:
        made.append(Queue(server, build, raw, text, namespace=f"t{secrets.token_hex(6)}"))
        return made[-1]

    yield make
    for queue in made:
        queue.redis.unlink(*queue.redis.scan_iter(match=queue.key("*"), count=1_000))


def test_every_verb_is_tried() -> None:
    assert {words[1] if isinstance(words[0], int) else words[0] for words in CALLS} == set(scripts.verbs())


@pytest.mark.parametrize("words", CALLS, ids=lambda words: " ".join(map(str, words[:6])))
def test_what_a_verb_decides_stands_whatever_is_wrong_with_what_only_tells(
    namespaces: Callable[[], Queue], words: tuple[Any, ...]
) -> None:
    def after(broken: Callable[[Queue], None] | None) -> dict[str, Any]:
        queue = namespaces()
        seed(queue)
        prepare(queue, words)
        queue.redis.unlink(*map(queue.key, TELLING))
        if broken:
            broken(queue)
        act(queue, words)
        return state(queue)

    healthy = after(None)
    for name, (broken, keys) in BROKEN.items():
        found = after(broken)
        assert {key: value for key, value in found.items() if key not in keys} == {
            key: value for key, value in healthy.items() if key not in keys
        }, name


def rules(queue: Queue, key: str) -> list[str]:
    """The rules that a key breaks."""
    look = doctor.inspect(queue.keys, "keys", names=[key.encode()])
    return [fault.rule for fault in look.read(queue.run("inspect", look.keys, [NOW, *look.args[1:]])).faults]


@pytest.mark.parametrize("key", ["events", "ready:q", "inbox:q"])
def test_a_stream_that_takes_no_more_entries_is_found_and_moved_aside(real_queue: Queue, key: str) -> None:
    queue = real_queue
    mend = doctor.repair(queue.keys, [("key", key.encode())])
    queue.redis.xadd(queue.key(key), {"a": "b"})
    if key == "ready:q":
        queue.redis.xgroup_create(queue.key(key), "workers", 0)
    assert rules(queue, key) == []

    queue.redis.xtrim(queue.key(key), maxlen=0)
    queue.redis.xadd(queue.key(key), {"a": "b"}, id=LAST)
    queue.redis.xdel(queue.key(key), LAST)

    assert rules(queue, key) == ["used_up"]
    assert mend.read(queue.run("repair", mend.keys, [NOW, *mend.args[1:]])) == ["aside"]
    assert queue.redis.type(queue.key(f"aside:{key}")) == "stream"
    assert queue.redis.xadd(queue.key(key), {"a": "b"})


def test_an_inbox_is_taken_before_it_is_moved_aside(real_queue: Queue) -> None:
    queue = real_queue
    queue.redis.xadd(queue.key("inbox:q"), {"id": "a", "type": "t", "payload": "{}"}, id=LAST)
    key = "inbox:q"

    assert rules(queue, key) == []

    assert call(queue, "ingest", 5)[1:] == [1, 0, 0]
    assert rules(queue, key) == ["used_up"]


def test_notes_of_a_wrong_type_hold_up_nobody(queue: Queue) -> None:
    for number in range(LISTENERS):
        queue.plan(f"a{number:02}", {"cancel_on": ["many"]}, due=NOW + HOUR)
    queue.ready("b")
    queue.emit("many")
    call(queue, "attend", 15)
    queue.redis.unlink(queue.key("cursors"))
    queue.redis.lpush(queue.key("cursors"), "mine")
    for _ in range(4):
        call(queue, "attend", 15)
    queue.redis.lpush(queue.key("claimed:w"), "mine")
    claim = protocol.claim([queue.keys], consumer="w", count=5, lease_ms=LEASE)

    (started,) = claim.read(queue.run("claim", claim.keys, [NOW, *claim.args[1:]])).tasks

    assert queue.places()["finished"] == {f"a{number:02}": NOW + KEEP_FINISHED for number in range(LISTENERS)}
    assert started.id == "b"
    assert queue.send(claim).tasks == [started]
