"""The ids of tasks that a sweep removed: known for a day, up to a number, none of those that redsched made."""

from __future__ import annotations

import pytest

from redsched.wire import protocol
from tests.support.lua_queue import DAY, HOUR, NOW, Queue

MADE = ("0-0193000000007000800000000000000a", "s@1800000000000", "s@t1800000000000", "s@1800000000000.b2")


def end(queue: Queue, *ids: str, now: int = NOW) -> None:
    """Tasks that have been cancelled and are past their retention."""
    queue.enqueue(*((task_id, now + HOUR, {"retention_ms": "1"}) for task_id in ids), now=now)
    queue.send(protocol.cancel(queue.keys, ids), now=now)


def sweep(queue: Queue, now: int, **options: int) -> None:
    """Remove them."""
    queue.send(protocol.sweep([queue.keys], **options), now=now)


def known(queue: Queue) -> dict[str, float]:
    """Who is known, and since when."""
    return dict(queue.redis.zrange(queue.key("forgotten"), 0, -1, withscores=True))


def test_the_id_of_a_task_that_was_swept_is_known_for_a_day(queue: Queue) -> None:
    end(queue, "a", "order-42:x", *MADE)
    sweep(queue, NOW + 5)
    assert known(queue) == {"q/a": NOW + 5, "q/order-42:x": NOW + 5}

    sweep(queue, NOW + 4 + DAY)
    assert len(known(queue)) == 2
    sweep(queue, NOW + 5 + DAY)
    assert known(queue) == {}


@pytest.mark.parametrize(("most", "expected"), [(0, []), (2, ["q/b", "q/c"]), (3, ["q/a", "q/b", "q/c"])])
def test_no_more_are_known_than_is_asked_for(queue: Queue, most: int, expected: list[str]) -> None:
    for number, task_id in enumerate("abc"):
        end(queue, task_id, now=NOW + 10 * number)
        sweep(queue, NOW + 10 * number + 5, forgotten=most)

    assert sorted(known(queue)) == expected


def test_a_task_that_was_dropped_or_kept_for_no_time_leaves_nothing(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"retention_ms": "0"}))
    queue.send(protocol.cancel(queue.keys, ["a"]))
    end(queue, "b")
    queue.send(protocol.drop(queue.keys, ["b"]))
    sweep(queue, NOW + 5)

    assert known(queue) == {}


def test_a_key_of_a_wrong_type_stops_no_sweep(queue: Queue) -> None:
    end(queue, "a")
    queue.redis.set(queue.key("forgotten"), "mine")

    assert queue.run("sweep", [queue.keys.due], [NOW + 5, 10]) == [1, 0]
