"""claim: which tasks start, in which order, and what happens to entries that name none."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.claims import Bell, Claimed
from redsched.wire.mover import Moved
from tests.support.lua_queue import HOUR, KEEP_DEAD, LEASE, NOW, Queue

SEED = {"type": "t", "payload": "{}"}


def ids(claimed: Claimed) -> list[str]:
    """The ids of the started tasks, in order."""
    return [task.id for task in claimed.tasks]


def test_a_ready_task_runs_with_a_lease_and_a_token(queue: Queue) -> None:
    queue.ready("a", due=NOW - 7)

    claimed = queue.claim(now=NOW + 3)

    assert (claimed.now, claimed.more) == (NOW + 3, False)
    (task,) = claimed.tasks
    assert (task.queue, task.id, task.attempt, task.due_at, task.type, task.payload) == (
        "q",
        "a",
        1,
        NOW - 7,
        "t",
        b"{}",
    )
    assert (task.timeout_ms, task.headers, task.traceparent, task.content_type) == (None, None, None, None)
    assert (task.max_attempts, task.expires_at) == (5, None)
    assert queue.places() == {"running": {"a": NOW + 3 + LEASE}}
    assert queue.task("a") == SEED | {
        "state": "running",
        "entry": "normal/gone",
        "due_at": str(NOW - 7),
        "attempt": "1",
        "token": "1.*",
        "started_at": str(NOW + 3),
        "worker": "w",
    }
    assert queue.redis.hget(queue.keys.task("a"), "token") == task.token
    assert queue.pending() == 0
    assert queue.totals() == {"promoted": 1, "started": 1}


def test_the_answer_has_everything_that_a_worker_needs(queue: Queue) -> None:
    queue.ready(
        "a",
        timeout_ms=9,
        headers='{"h":"1"}',
        traceparent="00-a-b-01",
        content_type="text/plain",
        max_attempts=7,
        expires_at=NOW + HOUR,
        attempt=2,
    )

    (task,) = queue.claim().tasks

    assert (task.attempt, task.timeout_ms, task.max_attempts, task.expires_at) == (3, 9, 7, NOW + HOUR)
    assert (task.headers, task.traceparent, task.content_type) == (b'{"h":"1"}', "00-a-b-01", "text/plain")


def test_high_comes_before_normal_before_low_over_all_queues(queue: Queue) -> None:
    other = queue.other("r")
    for priority in ("low", "normal", "high"):
        queue.seed(f"q-{priority}", priority=priority)
        other.seed(f"r-{priority}", priority=priority)
    queue.promote()
    other.promote()

    both = [other.keys, queue.keys]
    first = queue.send(protocol.claim(both, consumer="w", count=3, lease_ms=LEASE))
    second = queue.send(protocol.claim(both, consumer="w", count=4, lease_ms=LEASE))

    assert [(task.queue, task.id) for task in first.tasks] == [("r", "r-high"), ("q", "q-high"), ("r", "r-normal")]
    assert ids(second) == ["q-normal", "r-low", "q-low"]
    assert (first.more, second.more) == (True, False)


def test_no_more_are_started_than_asked_for(queue: Queue) -> None:
    for number in range(3):
        queue.seed(f"a{number}", due=NOW - 3 + number)
    queue.promote()

    claimed = queue.claim(2)

    assert (ids(claimed), claimed.more) == (["a0", "a1"], True)
    assert queue.places()["ready"] == {"normal": ["a2"]}


def test_a_call_that_asks_for_no_task_starts_none_and_ends(queue: Queue) -> None:
    assert ids(queue.claim(0)) == []
    queue.ready("a")
    ((_, ((at, _),)),) = queue.redis.xreadgroup("workers", "w", {queue.keys.ready: ">"}, count=1)
    bell = Bell("q", f"normal/{at}", "a")

    assert (ids(queue.claim(0)), ids(queue.claim(0, bells=[bell]))) == ([], [])

    assert queue.task("a")["state"] == "ready"
    assert ids(queue.claim(1, bells=[bell])) == ["a"]


def test_a_queue_that_nobody_has_used_is_empty(queue: Queue) -> None:
    assert queue.claim() == Claimed(NOW, False, [])

    assert queue.dump().keys() <= {queue.key("meta")}


def test_a_claim_repeated_with_its_nonce_answers_the_same_and_starts_nothing(queue: Queue) -> None:
    queue.ready("a", timeout_ms=9, due=NOW - 1)
    queue.ready("b")
    call = protocol.claim([queue.keys], consumer="w", count=1, lease_ms=LEASE)
    first = queue.send(call)
    before = queue.dump()

    assert queue.send(call, now=NOW + 50).tasks == first.tasks

    assert queue.dump() == before
    assert ids(first) == ["a"]


def test_a_claim_repeated_after_one_of_its_tasks_was_settled_answers_only_what_runs(queue: Queue) -> None:
    queue.ready("a")
    queue.ready("b")
    call = protocol.claim([queue.keys], consumer="w", count=2, lease_ms=LEASE)
    a, _ = queue.send(call).tasks
    queue.settle(a, "complete")

    assert ids(queue.send(call)) == ["b"]


def test_a_claim_repeated_after_another_took_its_task_answers_nothing(queue: Queue) -> None:
    queue.ready("a")
    call = protocol.claim([queue.keys], consumer="w", count=1, lease_ms=LEASE)
    (started,) = queue.send(call).tasks
    queue.settle(started, "return")
    queue.claim(consumer="other")

    assert ids(queue.send(call)) == []

    assert queue.task("a")["worker"] == "other"


def test_a_claim_that_started_nothing_may_start_something_when_it_is_repeated(queue: Queue) -> None:
    call = protocol.claim([queue.keys], consumer="w", count=1, lease_ms=LEASE)
    assert ids(queue.send(call)) == []
    queue.ready("a")

    assert ids(queue.send(call)) == ["a"]


def test_what_a_claim_started_is_remembered_for_one_lease(queue: Queue) -> None:
    queue.ready("a")

    queue.claim(lease_ms=5_000)

    assert 4_000 < queue.redis.pttl(queue.key("claimed:w")) <= 5_000


@pytest.mark.parametrize(("asked", "given"), [(0, 1_000), (5, 1_000), (5_000, 5_000), (HOUR + 1, HOUR)])
def test_a_lease_is_kept_within_a_second_and_an_hour(queue: Queue, asked: int, given: int) -> None:
    queue.ready("a")

    queue.claim(lease_ms=asked)

    assert queue.places() == {"running": {"a": NOW + given}}


def test_a_task_whose_start_by_passed_while_it_was_ready_is_expired(queue: Queue) -> None:
    queue.ready("a", expires_at=NOW + 1)
    queue.ready("b", expires_at=NOW + 2)

    assert ids(queue.claim(now=NOW + 1)) == ["b"]

    assert queue.places() == {"running": {"b": NOW + 1 + LEASE}, "finished": {"a": NOW + 1 + HOUR}}
    assert queue.task("a")["state"] == "expired"
    assert queue.events() == ["expired a"]
    assert queue.pending() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": None},
        {"type": None},
        {"type": "no good"},
        {"attempt": "x"},
        {"attempt": "-1"},
        {"max_attempts": "many"},
        {"max_attempts": "0"},
        {"timeout_ms": "soon"},
        {"timeout_ms": "0"},
        {"expires_at": "5"},
    ],
    ids=str,
)
def test_a_ready_task_with_unusable_fields_is_dead_and_those_behind_it_start(
    queue: Queue, fields: dict[str, Any]
) -> None:
    queue.ready("bad")
    for field, value in fields.items():
        queue.redis.hdel(queue.keys.task("bad"), field)
        if value is not None:
            queue.redis.hset(queue.keys.task("bad"), field, value)
    queue.ready("good")

    assert ids(queue.claim()) == ["good"]

    assert queue.places() == {"running": {"good": NOW + LEASE}, "dead": {"bad": NOW + KEEP_DEAD}}
    assert queue.task("bad")["reason"] == "malformed"
    assert queue.events() == ["dead bad reason=malformed"]
    assert queue.pending() == 0


def test_a_task_whose_attempts_are_spent_does_not_start(queue: Queue) -> None:
    queue.ready("a", attempt=3, max_attempts=3)

    assert ids(queue.claim()) == []

    assert queue.places() == {"dead": {"a": NOW + KEEP_DEAD}}
    assert queue.task("a")["reason"] == "attempts"


def test_entries_that_no_task_names_are_dropped(queue: Queue) -> None:
    queue.ready("a")
    entry = queue.redis.hget(queue.keys.task("a"), "entry")
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.broken |= {"string", "ghost", "a b", "", "a"}
    for fields in ({"id": "a"}, {"id": "ghost"}, {"id": "string"}, {"id": "a b"}, {"id": ""}, {"no": "id"}):
        queue.redis.xadd(queue.keys.ready, fields)
    assert queue.redis.hget(queue.keys.task("a"), "entry") == entry

    assert ids(queue.claim(20)) == ["a"]

    assert queue.places() == {"running": {"a": NOW + LEASE}}
    assert queue.pending() == 0
    assert queue.redis.get(queue.keys.task("string")) == "mine"


def test_an_entry_of_a_task_that_waits_again_starts_nothing(queue: Queue) -> None:
    queue.seed("a", due=NOW + 5)
    queue.broken.add("a")
    queue.redis.xgroup_create(queue.keys.ready, "workers", "0", mkstream=True)
    queue.redis.xadd(queue.keys.ready, {"id": "a"})

    assert ids(queue.claim()) == []

    assert queue.places() == {"due": {"a": NOW + 5}}


def test_no_more_than_twice_the_number_and_64_entries_are_looked_at(queue: Queue) -> None:
    queue.ready("first")
    queue.broken.add("ghost")
    for _ in range(70):
        queue.redis.xadd(queue.keys.ready, {"id": "ghost"})
    queue.redis.xdel(queue.keys.ready, queue.redis.xrange(queue.keys.ready, count=1)[0][0])
    queue.broken.add("first")

    claimed = queue.claim(1)
    assert (ids(claimed), claimed.more) == ([], True)
    assert len(queue.redis.xrange(queue.keys.ready)) == 4

    assert not queue.claim(1).more
    assert queue.redis.xlen(queue.keys.ready) == 0


def test_a_task_whose_group_was_destroyed_starts(queue: Queue) -> None:
    queue.ready("a")
    queue.redis.xgroup_destroy(queue.keys.ready, "workers")
    queue.broken.add("")

    assert ids(queue.claim()) == ["a"]

    assert queue.places() == {"running": {"a": NOW + LEASE}}


@pytest.mark.parametrize("how", ["delivered to a consumer that was deleted", "behind the group's last id"])
def test_an_entry_that_the_group_has_passed_over_starts(queue: Queue, how: str) -> None:
    queue.ready("a")
    if how.startswith("delivered"):
        queue.redis.xreadgroup("workers", "gone", {queue.keys.ready: ">"})
        queue.redis.xgroup_delconsumer(queue.keys.ready, "workers", "gone")
    else:
        queue.redis.xgroup_setid(queue.keys.ready, "workers", "$")

    assert ids(queue.claim()) == ["a"]

    assert queue.places() == {"running": {"a": NOW + LEASE}}


def test_a_task_that_rang_for_a_worker_that_stands_still_is_started_by_another(queue: Queue) -> None:
    queue.ready("a")
    ((_, ((at, _),)),) = queue.redis.xreadgroup("workers", "still", {queue.keys.ready: ">"}, count=1)

    assert ids(queue.claim(consumer="other")) == ["a"]

    assert ids(queue.claim(consumer="still", bells=[Bell("q", f"normal/{at}", "a")])) == []
    assert queue.places() == {"running": {"a": NOW + LEASE}}
    assert queue.pending() == 0


def test_a_stream_made_by_hand_without_a_group_is_served(queue: Queue) -> None:
    queue.broken |= {"ghost"}
    queue.redis.xadd(queue.keys.stream("high"), {"id": "ghost"})
    queue.broken.add("")

    assert ids(queue.claim()) == []

    assert queue.redis.xlen(queue.keys.stream("high")) == 0


def test_an_entry_that_a_blocking_read_delivered_starts_first(queue: Queue) -> None:
    for task_id in ("a", "b", "c"):
        queue.ready(task_id)
    ((_, ((at, fields),)),) = queue.redis.xreadgroup("workers", "w", {queue.keys.ready: ">"}, count=1)
    assert fields == {"id": "a"}

    claimed = queue.claim(2, bells=[Bell("q", f"normal/{at}", "a")])

    assert ids(claimed) == ["a", "b"]
    assert queue.pending() == 0
    assert queue.places()["ready"] == {"normal": ["c"]}


def test_a_bell_of_a_task_that_was_cancelled_meanwhile_starts_nothing(queue: Queue) -> None:
    queue.ready("a")
    ((_, ((at, _),)),) = queue.redis.xreadgroup("workers", "w", {queue.keys.ready: ">"}, count=1)
    queue.send(protocol.cancel(queue.keys, ["a"]))

    assert ids(queue.claim(2, bells=[Bell("q", f"normal/{at}", "a")])) == []

    assert queue.pending() == 0


def test_a_bell_that_came_twice_starts_its_task_once(queue: Queue) -> None:
    queue.ready("a")
    ((_, ((at, _),)),) = queue.redis.xreadgroup("workers", "w", {queue.keys.ready: ">"}, count=1)
    bell = Bell("q", f"normal/{at}", "a")
    queue.claim(2, bells=[bell])

    assert ids(queue.claim(2, bells=[bell])) == []

    assert queue.places() == {"running": {"a": NOW + LEASE}}


def test_two_consumers_never_get_the_same_task(queue: Queue) -> None:
    for number in range(4):
        queue.ready(f"a{number}")

    assert ids(queue.claim(3, consumer="one")) == ["a0", "a1", "a2"]
    assert ids(queue.claim(3, consumer="two")) == ["a3"]

    assert queue.task("a0")["worker"] == "one"
    assert queue.task("a3")["worker"] == "two"


def test_lateness_is_counted_by_the_minute_in_buckets(queue: Queue) -> None:
    for task_id, due in (("a", NOW), ("b", NOW - 3), ("c", NOW - 60), ("d", NOW - 2 * HOUR)):
        queue.seed(task_id, due=due)
    queue.promote()

    queue.claim()

    key = queue.key(f"stats:q:{NOW // 60_000}")
    minute = queue.redis.hgetall(key)
    assert {field: n for field, n in minute.items() if field.startswith("late")} == {
        "late_1": "1",
        "late_5": "1",
        "late_100": "1",
        "late_more": "1",
    }
    assert minute["started"] == "4"
    assert 0 < queue.redis.pttl(key) <= HOUR
    assert queue.promote().queues == [Moved("q", 0, None, NOW + LEASE)]


def test_however_many_are_asked_for_a_call_starts_300_tasks(real_queue: Queue) -> None:
    real_queue.enqueue(*((f"t{number}", 0, {}) for number in range(601)))

    claimed = [real_queue.claim(5_000) for _ in range(3)]

    assert [(len(one.tasks), one.more) for one in claimed] == [(300, True), (300, True), (1, False)]
    assert len(real_queue.places()["running"]) == 601


def test_a_call_starts_no_more_once_its_payloads_come_to_a_mebibyte(queue: Queue) -> None:
    queue.enqueue(*((f"t{number}", 0, {"payload": f'"{"x" * (256 * 1024 - 2)}"'}) for number in range(5)))

    claimed = [queue.claim() for _ in range(2)]

    assert [(len(one.tasks), one.more) for one in claimed] == [(4, True), (1, False)]


def test_a_claim_repeated_past_the_start_by_of_its_task_expires_it(queue: Queue) -> None:
    queue.ready("a", expires_at=NOW + 100)
    queue.ready("b")
    call = protocol.claim([queue.keys], consumer="w", count=10, lease_ms=30_000)
    assert {task.id for task in queue.send(call, now=NOW + 1).tasks} == {"a", "b"}

    repeated = queue.send(call, now=NOW + 100)  # its answer was lost: nobody has begun either

    assert [task.id for task in repeated.tasks] == ["b"]
    assert queue.task("a")["state"] == "expired"
    queue.check()


def test_the_last_read_takes_no_more_than_may_be_looked_at(queue: Queue) -> None:
    queue.broken.add("ghost")
    for _ in range(2 * 10 + 64 + 6):
        queue.redis.xadd(queue.keys.ready, {"id": "ghost"})

    assert queue.claim(10).more

    assert queue.redis.xlen(queue.keys.ready) == 6


@pytest.mark.parametrize("number", [9, 999_999_999_999_999, 18_446_744_073_709_551_615])
def test_what_was_read_leaves_its_stream_whatever_number_its_entry_has(queue: Queue, number: int) -> None:
    queue.redis.xgroup_create(queue.keys.ready, "workers", "0", mkstream=True)
    for task_id, entry in (("a", f"1-{number}"), ("b", "2-0")):
        queue.write(task_id, **SEED, state="ready", entry=f"normal/{entry}", due_at=NOW)
        queue.redis.xadd(queue.keys.ready, {"id": task_id}, id=entry)

    assert ids(queue.claim(1)) == ["a"]

    assert queue.places() == {"running": {"a": NOW + LEASE}, "ready": {"normal": ["b"]}}


def test_a_lateness_counts_up_to_the_bound_of_its_bucket(queue: Queue) -> None:
    counted: dict[str, int] = {}
    lates = (0, 6, 5, 10, 11, 25, 26, 1, 3_600_000, 3_600_001, 60_000, 2)
    buckets = ("1", "10", "5", "10", "25", "25", "50", "1", "3600000", "more", "60000", "2")
    for number, (late, bucket) in enumerate(zip(lates, buckets, strict=True)):
        queue.enqueue((f"a{number}", 0, {}), now=NOW - late)

        assert len(queue.claim().tasks) == 1

        counted[f"late_{bucket}"] = counted.get(f"late_{bucket}", 0) + 1
        totals = queue.redis.hgetall(queue.key("stats:q"))
        assert {name: int(n) for name, n in totals.items() if name.startswith("late_")} == counted
