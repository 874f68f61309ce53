"""stats: depths, ages and totals of queues."""

from __future__ import annotations

from redsched.model.duration import instant
from redsched.model.views import QueueStats
from redsched.wire import protocol
from tests.support.acts import hold
from tests.support.lua_queue import HOUR, NOW, Queue


def stats(queue: Queue, now: int = NOW) -> QueueStats:
    """Those of one queue."""
    return queue.send(protocol.stats([queue.keys]), now=now)[0]


def test_each_state_is_counted_where_it_is(queue: Queue) -> None:
    hold(queue, "held")
    queue.settle(queue.running("done"), "complete")
    for number in range(2):
        queue.settle(queue.running(f"dead{number}"), "dead", "x")
    queue.running("runs")
    for number, priority in enumerate(("high", "normal", "low", "low")):
        queue.seed(f"ready{number}", priority=priority)
    queue.redis.zadd(queue.keys.due, {"a b": NOW})
    queue.promote()
    for number in range(3):
        queue.seed(f"later{number}", due=NOW + HOUR + number)

    found = stats(queue)

    assert (found.queue, found.held, found.finished, found.dead, found.running) == ("q", 1, 1, 2, 1)
    assert (found.ready, found.scheduled, found.quarantined, found.next_due) == (4, 3, 1, instant(NOW + HOUR))
    assert found.totals == {"promoted": 8, "started": 4, "completed": 1, "dead": 2, "quarantined": 1}


def test_an_empty_queue_counts_nothing(queue: Queue) -> None:
    found = stats(queue)

    assert (found.scheduled, found.ready, found.oldest_due_age_ms, found.next_due, found.totals) == (
        0,
        0,
        None,
        None,
        {},
    )
    assert set(found.lateness.values()) == {0}


def test_the_oldest_due_task_may_wait_in_due_or_in_a_stream(queue: Queue) -> None:
    queue.ready("ready", due=NOW - 50, priority="low")
    assert stats(queue).oldest_due_age_ms == 50
    assert stats(queue, now=NOW + 7).oldest_due_age_ms == 57

    queue.seed("waits", due=NOW - 80)
    assert stats(queue).oldest_due_age_ms == 80


def test_a_task_that_is_not_due_has_no_age(queue: Queue) -> None:
    queue.seed("a", due=NOW + 1)

    assert stats(queue).oldest_due_age_ms is None
    assert stats(queue, now=NOW + 1).oldest_due_age_ms == 0


def test_scores_that_are_no_times_spoil_nothing(queue: Queue) -> None:
    queue.broken |= {"past", "future", "zero"}
    queue.redis.zadd(queue.keys.due, {"past": -5, "future": "inf"})

    found = stats(queue)
    assert (found.scheduled, found.oldest_due_age_ms) == (2, None)

    queue.redis.zrem(queue.keys.due, "past")
    assert stats(queue).next_due is None
    queue.redis.zadd(queue.keys.due, {"zero": 0})
    assert (stats(queue).next_due, stats(queue).oldest_due_age_ms) == (instant(0), None)


def test_foreign_entries_spoil_nothing(queue: Queue) -> None:
    queue.broken |= {"", "ghost"}
    queue.redis.xadd(queue.keys.ready, {"no": "id"})
    queue.redis.xadd(queue.keys.stream("high"), {"id": "ghost"})

    assert stats(queue).ready == 2


def test_lateness_is_that_of_this_minute_and_the_last(queue: Queue) -> None:
    start = NOW - NOW % 60_000
    for number, late in enumerate((0, 1, 9, 900)):
        at = start + number * 60_000
        queue.seed(f"a{number}", due=at - late)
        queue.now = at
        queue.promote()
        queue.claim()

    found = stats(queue, now=queue.now)

    assert {bucket: n for bucket, n in found.lateness.items() if n} == {"10": 1, "1000": 1}
    assert {bucket: n for bucket, n in found.lateness_totals.items() if n} == {"1": 2, "10": 1, "1000": 1}


def test_several_queues_are_answered_in_order_and_nothing_is_written(queue: Queue) -> None:
    other = queue.other("r")
    queue.seed("a", due=NOW + 1)
    other.ready("b")
    before = queue.dump()

    found = queue.send(protocol.stats([other.keys, queue.keys]))

    assert [(one.queue, one.scheduled, one.ready) for one in found] == [("r", 0, 1), ("q", 1, 0)]
    assert queue.dump() == before


def test_the_earliest_due_time_that_counts_is_of_1973(queue: Queue) -> None:
    queue.seed("a", due=100_000_000_000)

    assert queue.send(protocol.stats([queue.keys]))[0].oldest_due_age_ms == NOW - 100_000_000_000


def test_a_ready_task_may_be_older_than_those_in_due_and_in_streams_before_its_own(queue: Queue) -> None:
    queue.ready("high", due=NOW - 10, priority="high")
    queue.ready("low", due=NOW - 30, priority="low")
    queue.seed("waits", due=NOW - 20)

    assert stats(queue).oldest_due_age_ms == 30


def test_a_time_that_no_reply_could_hold_is_cut(queue: Queue) -> None:
    queue.broken.add("future")
    queue.redis.zadd(queue.keys.due, {"future": "inf"})

    assert queue.run("stats", [queue.keys.due], [NOW])[0][8] == 9 * 10**15
