"""about: what there is beside tasks about a subject, in one bounded call."""

from __future__ import annotations

import pytest

from redsched.wire import protocol
from redsched.wire.keys import CellKeys
from tests.support.lua_queue import NOW, Queue


def told(queue: Queue, subject: str) -> list[str]:
    """The events about it, latest first."""
    return [event.event for event in queue.send(protocol.about(CellKeys(queue.cell), subject, [])).events]


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
