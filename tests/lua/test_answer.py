"""answer: what is kept of the answer to a reserved request, and what is not."""

from __future__ import annotations

from tests.support.lua_queue import Queue
from tests.support.reservations import KEPT, LAPSE, answer, key, reserve


def test_the_answer_is_kept_longer_than_the_reservation_and_repeated(queue: Queue) -> None:
    reserve(queue)

    assert answer(queue) == b"stored"

    assert reserve(queue) == [b"done", b"201", b"/tasks/a", b'{"id":"a"}']
    assert LAPSE < queue.redis.pttl(key(queue)) <= KEPT


def test_a_reservation_that_is_given_up_starts_anew(queue: Queue) -> None:
    reserve(queue)

    assert answer(queue, "") == b"given up"

    assert queue.redis.exists(key(queue)) == 0
    assert reserve(queue) == [b"new"]


def test_an_answer_without_its_reservation_is_not_stored(queue: Queue) -> None:
    assert answer(queue) == b"lapsed"
    assert queue.redis.exists(key(queue)) == 0

    reserve(queue, "another")
    before = queue.dump()
    for status in (201, ""):
        assert answer(queue, status) == b"lapsed"
    assert queue.dump() == before
