"""sweep: what is removed at the end of its retention, and what only leaves an index. Caps: test_caps.py."""

from __future__ import annotations

import time

import pytest

from redsched.wire import protocol
from redsched.wire.mover import Swept
from tests.support.lua_queue import HOUR, KEEP_DEAD, KEEP_FINISHED, LEASE, NOW, Queue

AFTER = NOW + KEEP_FINISHED
SEED = {"type": "t", "payload": "{}"}


def sweep(queue: Queue, now: int = AFTER, **limits: int) -> Swept:
    """Sweep the queue, an hour later unless said otherwise."""
    return queue.send(protocol.sweep([queue.keys], **limits), now=now)


def test_a_finished_task_goes_when_its_retention_ends(queue: Queue) -> None:
    queue.settle(queue.running("a"), "complete", "1")
    queue.settle(queue.running("b"), "complete", now=NOW + 1)

    assert sweep(queue) == Swept(1, False)

    assert queue.places() == {"finished": {"b": AFTER + 1}}
    assert (queue.task("a"), queue.outcome("a")) == ({}, {})
    assert queue.enqueue(("a", NOW + 2 * HOUR, {})) == ["created"]


def test_a_dead_task_goes_after_thirty_days(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "x", "it broke")

    assert sweep(queue, NOW + KEEP_DEAD - 1) == Swept(0, False)
    assert sweep(queue, NOW + KEEP_DEAD) == Swept(1, False)

    assert queue.places() == {}
    assert (queue.task("a"), queue.outcome("a")) == ({}, {})


def test_the_limit_bounds_a_call_and_more_is_told(queue: Queue) -> None:
    for number in range(3):
        queue.settle(queue.running(f"a{number}"), "complete")

    assert sweep(queue, limit=2) == Swept(2, True)
    assert sweep(queue, limit=2) == Swept(1, False)

    assert queue.places() == {}


def test_a_task_that_is_live_again_only_leaves_the_index(queue: Queue) -> None:
    queue.running("runs")
    queue.ready("ready")
    queue.seed("waits", due=NOW + HOUR)
    queue.seed("raw", due=NOW + HOUR)
    before, tasks = queue.places(), {one: queue.task(one) for one in ("runs", "ready", "waits", "raw")}
    for place in ("finished", "dead"):
        queue.redis.zadd(queue.keys.index(place), dict.fromkeys(tasks, NOW))

    assert sweep(queue) == Swept(0, False)

    assert queue.places() == before
    assert {one: queue.task(one) for one in tasks} == tasks


def test_a_finished_task_that_somebody_put_into_due_again_is_not_removed(queue: Queue) -> None:
    queue.settle(queue.running("a"), "complete")
    queue.redis.zadd(queue.keys.due, {"a": AFTER + HOUR})
    queue.broken.add("a")

    assert sweep(queue) == Swept(0, False)

    assert queue.task("a")["state"] == "completed"
    assert queue.places() == {"due": {"a": AFTER + HOUR}, "finished": {"a": AFTER + HOUR}}
    queue.promote(now=AFTER + HOUR)  # tells of the duplicate
    assert sweep(queue, AFTER + HOUR) == Swept(1, False)
    assert queue.places() == {}
    assert queue.task("a") == {}


def test_a_revived_task_in_the_index_of_the_dead_is_not_removed(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "x")
    queue.send(protocol.revive(queue.keys, ["a"], due=NOW + HOUR))
    queue.redis.zadd(queue.keys.index("dead"), {"a": NOW})

    assert sweep(queue) == Swept(0, False)

    assert queue.places() == {"due": {"a": NOW + HOUR}}


def test_what_is_no_task_only_leaves_the_index(queue: Queue) -> None:
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.broken |= {"string", "ghost", "a b", ""}
    queue.redis.zadd(queue.keys.index("finished"), dict.fromkeys(("string", "ghost", "a b", ""), NOW))

    assert sweep(queue) == Swept(0, False)

    assert queue.places() == {}
    assert queue.redis.get(queue.keys.task("string")) == "mine"


def test_several_queues_are_swept_in_one_call(queue: Queue) -> None:
    other = queue.other("r")
    queue.settle(queue.running("a"), "complete")
    other.settle(other.running("b"), "complete")

    assert queue.send(protocol.sweep([queue.keys, other.keys]), now=AFTER) == Swept(2, False)


def test_a_consumer_that_was_here_lately_stays(queue: Queue) -> None:
    queue.running("a")
    queue.redis.xgroup_createconsumer(queue.keys.ready, "workers", "w")

    sweep(queue, NOW)

    assert [one["name"] for one in queue.redis.xinfo_consumers(queue.keys.ready, "workers")] == ["w"]
    assert queue.places() == {"running": {"a": NOW + LEASE}}


def test_the_quarantine_is_left_to_its_own_cap(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.index("quarantine"), {"missing:x": NOW - HOUR})

    sweep(queue, NOW + 365 * 24 * HOUR)

    assert queue.places() == {"quarantine": {"missing:x": NOW - HOUR}}


def age(queue: Queue, consumer: str, ms: int) -> None:
    """Let a consumer have been away: its last visit is in the stream as DUMP writes it, after its name."""
    dumped = bytearray(queue.raw.dump(queue.keys.ready) or b"")
    at = dumped.index(consumer.encode()) + len(consumer)
    seen = int.from_bytes(dumped[at : at + 8], "little")
    assert 0 <= time.time() * 1_000 - seen < HOUR
    dumped[at : at + 8] = (seen - ms).to_bytes(8, "little")
    body = bytes(dumped[:-8])
    queue.raw.restore(queue.keys.ready, 0, body + crc64(body).to_bytes(8, "little"), replace=True)


def crc64(text: bytes) -> int:
    """The checksum at the end of a dump."""
    found = 0
    for byte in text:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0x95AC9329AC4BC9B5 if found & 1 else 0)
    return found


@pytest.mark.parametrize(("away", "stays"), [(HOUR - 60_000, True), (HOUR + 1, False)])
def test_a_consumer_that_was_away_for_an_hour_goes(real_queue: Queue, away: int, stays: bool) -> None:
    queue = real_queue
    queue.running("a")
    for name in ("w", "away-for-long"):
        queue.redis.xgroup_createconsumer(queue.keys.ready, "workers", name)
    age(queue, "away-for-long", away)

    sweep(queue, NOW)

    left = [one["name"] for one in queue.redis.xinfo_consumers(queue.keys.ready, "workers")]
    assert sorted(left) == (["away-for-long", "w"] if stays else ["w"])


def test_a_consumer_for_which_something_is_pending_stays(real_queue: Queue) -> None:
    queue = real_queue
    queue.ready("a")
    queue.redis.xreadgroup("workers", "away-for-long", {queue.keys.ready: ">"})
    age(queue, "away-for-long", 2 * HOUR)

    sweep(queue, NOW)

    assert queue.pending() == 1


def test_a_call_removes_at_most_five_hundred(real_queue: Queue) -> None:
    queue = real_queue
    queue.broken.update(names := [f"a{number}" for number in range(501)])
    queue.redis.zadd(queue.keys.index("finished"), dict.fromkeys(names, NOW))

    assert sweep(queue, limit=5_000) == Swept(0, True)

    assert len(queue.places()["finished"]) == 1


def test_a_queue_with_many_finished_tasks_loses_a_dead_letter_in_each_call_as_well(real_queue: Queue) -> None:
    queue = real_queue
    queue.settle(queue.running("dead"), "dead", "x")
    queue.broken.update(names := [f"a{number}" for number in range(310)])
    queue.redis.zadd(queue.keys.index("finished"), dict.fromkeys(names, NOW))

    keys = [queue.keys, queue.other("r").keys]
    assert queue.send(protocol.sweep(keys), now=NOW + KEEP_DEAD) == Swept(1, True)

    assert list(queue.places()) == ["finished"]
    assert len(queue.places()["finished"]) == 10
