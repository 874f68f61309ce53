"""about: what there is beside tasks about a subject, in one bounded call."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.keys import CellKeys
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.timetable import Timetable, plain


def told(queue: Queue, subject: str) -> list[str]:
    """The events about it, latest first."""
    return [event.event for event in queue.send(protocol.about(CellKeys(queue.cell), subject, [])).events]


def about(queue: Queue, subject: str, *named: str) -> Any:
    """What is told after the time; each named: a kind and a name."""
    now, *found = plain(queue.run("about", [queue.key("queues")], [NOW, subject, *named]))
    assert now == NOW
    return found


def add(queue: Queue, count: int, task_id: str, event: str) -> None:
    """Events of one task."""
    pipe = queue.redis.pipeline()
    for _ in range(count):
        pipe.xadd(queue.key("events"), {"event": event, "queue": "q", "id": task_id})
    pipe.execute()


@pytest.mark.parametrize("between", [0, 249, 250, 251, 500])
def test_events_are_told_behind_any_number_of_others(queue: Queue, between: int) -> None:
    add(queue, 2, "order-1:a", "first")
    add(queue, between, "order-2:a", "other")
    add(queue, 1, "order-1:b", "last")

    assert told(queue, "order-1") == ["last", "first", "first"]


def test_no_more_than_the_last_thousand_events_are_looked_at_and_a_hundred_told(queue: Queue) -> None:
    add(queue, 1, "order-1:a", "too long ago")
    add(queue, 999, "order-2:a", "other")
    add(queue, 1, "order-1:a", "last")

    assert told(queue, "order-1") == ["last"]
    assert told(queue, "order-2") == ["other"] * 100


def test_a_key_of_a_wrong_type_tells_nothing(queue: Queue) -> None:
    queue.redis.set(queue.key("events"), "mine")
    call = protocol.about(CellKeys(queue.cell), "order-1", [])

    assert queue.run("about", call.keys, [NOW, *call.args[1:]]) == [NOW]  # and no look at the state: it is broken


def test_facts_are_told_that_are_named_or_stand_under_the_name_of_an_emitted_event(queue: Queue) -> None:
    queue.emit("paid", "order-1", ttl=None)
    queue.redis.set(queue.key("fact:mine"), "x" * 300, px=HOUR)
    queue.redis.hset(queue.key("fact:hash"), "f", 1)

    found = about(queue, "order-1", "fact", "paid:order-1", "fact", "mine", "fact", "hash", "fact", "nobody")

    assert [words[1] for words in found if words[0] == "fact"] == ["paid:order-1", "mine", "hash"]
    _, mine, of_hash = (words for words in found if words[0] == "fact")
    assert mine[2] == "x" * 200 and 0 < mine[3] <= HOUR
    assert of_hash[2:] == ["", -1]
    assert [words[1] for words in about(queue, "order-2") if words[0] == "fact"] == []


def test_no_more_than_200_facts_are_told(queue: Queue) -> None:
    names = [f"f{number}" for number in range(201)]
    queue.redis.mset({queue.key(f"fact:{name}"): "x" for name in names})

    found = about(queue, "order-1", *(word for name in names for word in ("fact", name)))

    assert [words[1] for words in found] == names[:200]


def test_a_line_is_told_with_who_is_first_and_how_many_stand_in_it(queue: Queue) -> None:
    for task_id in ("a", "b"):
        queue.plan(task_id, {"fifo": True}, key="k")

    assert about(queue, "order-1", "line", "q:k", "line", "q:nobody", "line", "k") == [["line", "q", "k", "a", 2]]


def test_a_lock_is_told_with_who_holds_it_and_since_when(queue: Queue) -> None:
    queue.plan("a", {"unique": {"key": "u"}})
    queue.redis.set(queue.key("unique:q:broken"), "mine")

    found = about(queue, "order-1", "lock", "q:u", "lock", "q:nobody", "lock", "u", "lock", "q:broken")

    assert found == [["lock", "q", "u", "a", NOW, -1]]


def test_a_schedule_is_told_with_its_next_look_and_why_it_is_paused(times: Timetable) -> None:
    times.put("a")
    times.put("b")
    times.call("pause_schedule", "b", "holiday", 0)
    times.redis.zadd(times.queue.key("schedules"), {"far": "inf"})

    named = [word for name in ("a", "b", "far", "nobody") for word in ("schedule", name)]
    found = [words for words in about(times.queue, "order-1", *named) if words[0] == "schedule"]

    at = int(times.redis.zscore(times.queue.key("schedules"), "a") or 0)
    latest = 9_000_000_000_000_000
    assert found == [["schedule", "a", at, ""], ["schedule", "b", latest, "holiday"], ["schedule", "far", latest, ""]]


def test_no_more_than_500_names_are_looked_for(queue: Queue) -> None:
    queue.redis.mset({queue.key("fact:last"): "x", queue.key("fact:more"): "x"})
    others = [word for number in range(499) for word in ("fact", f"nobody{number}")]

    found = about(queue, "order-1", *others, "fact", "last", "fact", "more")

    assert [words[1] for words in found] == ["last"]


def test_events_of_a_task_that_is_named_and_emitted_ones_of_the_subject_are_told(queue: Queue) -> None:
    add(queue, 1, "x", "moved")
    add(queue, 1, "paid:order-1", "emitted")
    add(queue, 1, "paid:order-1", "moved")
    add(queue, 1, "y", "moved")

    found = about(queue, "order-1", "id", "x")

    assert [words[2:] for words in found] == [["emitted", "q", "paid:order-1"], ["moved", "q", "x"]]
