"""operate: the record of a change of many tasks, which one process at a time carries out."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from redsched.wire import changes
from redsched.wire.call import Call
from redsched.wire.changes import OperationStep
from redsched.wire.keys import CellKeys
from tests.support.halted import each_stop
from tests.support.lua_queue import NOW, Queue

MINUTE = 60_000
ASKED = {"action": "reschedule", "search": "tag:m", "arguments": '{"by_ms":5}'}


def made(queue: Queue, what: str, driver: str = "", name: str = "o", **fields: Any) -> Call[OperationStep]:
    return changes.operate(CellKeys(queue.cell), name, what, driver, fields)


def begin(queue: Queue, driver: str, *, now: int = NOW, name: str = "o", **fields: Any) -> OperationStep:
    return queue.send(made(queue, "begin", driver, name, **{**ASKED, **fields}), now=now)


def write(queue: Queue, driver: str, *, now: int = NOW, **fields: Any) -> str:
    return queue.send(made(queue, "write", driver, **fields), now=now).word


def abort(queue: Queue, *, now: int = NOW) -> str:
    return queue.send(made(queue, "abort"), now=now).word


def record(queue: Queue) -> dict[str, str]:
    return changes.record_of([part for pair in queue.redis.hgetall(queue.key("operation:o")).items() for part in pair])


def test_it_is_known_from_its_beginning(queue: Queue) -> None:
    begun = begin(queue, "d")

    assert (begun.word, begun.now_ms) == ("begun", NOW)
    known = {"state": "finding", "driver": "d", "started_at": str(NOW), "updated_at": str(NOW), **ASKED}
    assert begun.record == record(queue) == known
    assert 0 < queue.redis.pttl(queue.key("operation:o")) <= 24 * 60 * MINUTE
    assert queue.redis.zrange(queue.key("operations"), 0, -1, withscores=True) == [("o", NOW)]


def test_one_process_at_a_time_carries_it_out(queue: Queue) -> None:
    begin(queue, "first")
    assert begin(queue, "second", now=NOW + MINUTE).word == "driven"
    assert write(queue, "first", now=NOW + MINUTE, state="running", done=25) == "going"
    assert begin(queue, "second", now=NOW + 2 * MINUTE).word == "driven"

    taken = begin(queue, "second", now=NOW + 2 * MINUTE + 1)

    assert (taken.word, taken.record["done"], taken.record["started_at"]) == ("begun", "25", str(NOW))
    before = record(queue)
    assert write(queue, "first", now=NOW + 3 * MINUTE, done=50) == "replaced"
    assert record(queue) == before, "who was replaced writes nothing"


def test_a_call_whose_answer_was_lost_is_answered_again(queue: Queue) -> None:
    assert [begin(queue, "d").word for _ in range(2)] == ["begun", "begun"]


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_one_that_nobody_carries_out_is_taken_up_at_once(queue: Queue, state: str) -> None:
    begin(queue, "first")
    write(queue, "first", state=state, error="full")

    taken = begin(queue, "second")

    assert (taken.word, taken.record["state"], taken.record["error"]) == ("begun", "finding", "")


@pytest.mark.parametrize("state", ["completed", "aborted"])
def test_one_that_is_over_stays_so(queue: Queue, state: str) -> None:
    begin(queue, "d")
    write(queue, "d", state=state, changed=7)

    over = begin(queue, "other", now=NOW + 60 * MINUTE)

    assert (over.word, over.record["changed"]) == ("over", "7")
    assert abort(queue) == "over"


@pytest.mark.parametrize("other", [{"action": "run"}, {"search": "tag:n"}, {"arguments": '{"by_ms":6}'}])
def test_an_id_is_of_one_operation(queue: Queue, other: dict[str, str]) -> None:
    begin(queue, "d")
    before = record(queue)

    assert begin(queue, "d", now=NOW + 5 * MINUTE, **other).word == "other"
    assert record(queue) == before


def test_who_carries_it_out_hears_that_it_is_to_stop(queue: Queue) -> None:
    begin(queue, "d")
    assert abort(queue) == "abort"
    assert write(queue, "d", done=25) == "abort"
    write(queue, "d", state="aborted")

    assert abort(queue) == "over"


def test_one_whose_process_is_gone_ends_at_once(queue: Queue) -> None:
    assert abort(queue) == "missing"
    begin(queue, "d")

    assert abort(queue, now=NOW + MINUTE + 1) == "aborted"

    assert record(queue)["state"] == "aborted"
    assert write(queue, "d", now=NOW + MINUTE + 2, state="running") == "replaced"


def test_one_that_was_to_stop_is_not_taken_up(queue: Queue) -> None:
    begin(queue, "d")
    abort(queue)

    assert begin(queue, "other", now=NOW + 2 * MINUTE).word == "over"
    assert record(queue)["state"] == "aborted"


def test_a_record_that_is_lost_is_written_again(queue: Queue) -> None:
    begin(queue, "d")
    queue.redis.delete(queue.key("operation:o"))

    assert write(queue, "d", state="running", **ASKED) == "going"
    assert begin(queue, "other").word == "driven"


def test_the_last_thousand_of_two_days_are_listed(queue: Queue) -> None:
    queue.redis.zadd(queue.key("operations"), {f"old{at}": NOW - 1_000 + at for at in range(1_000)})
    queue.redis.zadd(queue.key("operations"), {"stale": NOW - 3 * 24 * 60 * MINUTE})

    begin(queue, "d")

    found = queue.redis.zrange(queue.key("operations"), 0, -1)
    assert (len(found), found[0], found[-1]) == (1_000, "old1", "o")


def test_a_list_of_another_type_stands_in_nobodys_way(queue: Queue) -> None:
    queue.redis.set(queue.key("operations"), "mine")
    call = made(queue, "begin", "d", **ASKED)

    assert call.read(queue.run("operate", call.keys, [NOW, *call.args[1:]])).word == "begun"


def test_wherever_it_stops_the_same_call_goes_on(queue: Queue) -> None:
    for here, call in each_stop(queue, lambda queue: made(queue, "begin", "d", **ASKED)):
        assert here.send(call).word == "begun"
        assert here.redis.pttl(here.key("operation:o")) > 0


@pytest.mark.parametrize("words", [("read", "d"), ("begin", ""), ("write",)])
def test_what_is_no_step_is_refused(queue: Queue, words: tuple[str, ...]) -> None:
    with pytest.raises(redis.ResponseError):
        queue.run("operate", [queue.key("operation:o")], [NOW, *words])
    assert record(queue) == {}
