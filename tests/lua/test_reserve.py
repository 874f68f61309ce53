"""reserve: one request a key goes on; its repeats wait for its answer, for a while."""

from __future__ import annotations

from tests.support.lua_queue import Queue
from tests.support.reservations import LAPSE, answer, key, reserve


def test_the_first_request_with_a_key_goes_on_and_its_repeat_waits(queue: Queue) -> None:
    assert reserve(queue) == [b"new"]
    assert reserve(queue) == [b"in flight"]

    assert queue.redis.hgetall(key(queue)) == {"request": "body"}


def test_a_request_that_never_answered_blocks_its_repeats_for_a_while(queue: Queue) -> None:
    reserve(queue)

    assert 0 < queue.redis.pttl(key(queue)) <= LAPSE


def test_a_key_that_came_with_another_body_is_refused(queue: Queue) -> None:
    reserve(queue)
    assert reserve(queue, "another") == [b"other"]

    answer(queue)
    assert reserve(queue, "another") == [b"other"]
