"""A part of a long list is created once, however often and however late it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from redsched import Task
from redsched.wire import protocol, runs
from redsched.wire.call import Call
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue


def part(queue: Queue, at: int, *names: str, began: int = NOW, **fields: Any) -> Call[runs.Place]:
    """The call for tasks of a run."""
    tasks = [Task(type="t", queue=queue.name, id=name, request="r", **fields) for name in names]
    return runs.part("list", at, len(names), began, protocol.enqueue(queue.cell, tasks, max_payload=1_000))


def statuses(place: runs.Place) -> list[str] | None:
    return None if place.answers is None else [answer.status for answer in place.answers]


def test_a_new_list_is_at_its_beginning_and_nothing_is_written_by_asking(queue: Queue) -> None:
    before = queue.dump()

    assert queue.send(runs.place(queue.keys, "list")) == runs.Place(0, NOW)
    assert queue.dump() == before


def test_parts_are_created_one_after_another(queue: Queue) -> None:
    first = queue.send(part(queue, 0, "a", "b"), now=NOW + 5)
    assert 0 < queue.redis.pttl(queue.key("run:list")) <= 31 * 86_400_000
    second = queue.send(part(queue, 2, "c", conditions={"unless": "f"}), now=NOW + 9)

    assert (first.at, first.began, statuses(first)) == (2, NOW, ["created"] * 2)
    assert (second.at, second.began, statuses(second)) == (3, NOW, ["created"])
    assert queue.send(runs.place(queue.keys, "list"), now=NOW + HOUR) == runs.Place(3, NOW)
    assert 0 < queue.redis.pttl(queue.key("run:list")) <= 31 * 86_400_000


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_part_that_is_not_the_next_writes_nothing(queue: Queue, at: int) -> None:
    queue.send(part(queue, 0, "a", "b"))
    before = queue.dump()

    found = queue.send(part(queue, at, "x", "y"))

    assert (found.at, found.answers) == (2, None)
    assert queue.dump() == before


def test_a_part_of_another_list_is_refused(queue: Queue) -> None:
    def of_list(at: int, first: str, last: str, *names: str) -> Call[runs.Place]:
        tasks = [Task(type="t", queue=queue.name, id=name, request="r") for name in names]
        enqueue = protocol.enqueue(queue.cell, tasks, max_payload=1_000)
        return runs.part("list", at, len(names), NOW, enqueue, first, last)

    queue.send(of_list(0, "aa", "bb", "a", "b"))
    before = queue.dump()

    for at in (0, 2):
        with pytest.raises(ResponseError, match="RS_INVALID 1 run is that of another list"):
            queue.send(of_list(at, "xx", "yy", "x"))

    assert queue.dump() == before
    known = queue.send(runs.place(queue.keys, "list"))
    assert (known.at, known.first, known.last) == (2, "aa", "bb")
    assert queue.send(of_list(2, "", "cc", "c")).answers is not None
    assert queue.send(runs.place(queue.keys, "list")).first == "aa"
    assert queue.refused("enqueue_run", NOW, "list", 3, 3, 0, "x" * 65, "").startswith("RS_INVALID 1 run ")


def test_a_part_that_is_sent_again_after_its_tasks_are_forgotten_creates_none(queue: Queue) -> None:
    call = part(queue, 0, "a", "b", retention="0s")
    queue.send(call)
    for started in queue.claim().tasks:
        queue.settle(started, "complete")
    assert queue.places() == {}

    again = queue.send(call)

    assert (again.at, again.answers) == (2, None)
    assert queue.places() == {}


def test_a_part_with_a_fault_writes_nothing(queue: Queue) -> None:
    call = part(queue, 0, "a", "b")
    words = [NOW, *call.args[1:]]
    words[-1] = "x" * 200  # a request that is too long

    assert queue.refused("enqueue_run", *words).startswith("RS_INVALID 2 request")


@pytest.mark.parametrize("words", [("no name", 0, 0, 0), ("list", -1, 0, 0), ("list", 1, 0, 0), ("list", "x", 0, 0)])
def test_what_is_no_place_is_refused(queue: Queue, words: tuple[Any, ...]) -> None:
    assert queue.refused("enqueue_run", 0, *words).startswith("RS_INVALID 1 ")


@pytest.mark.parametrize("plain", [True, False])
def test_each_task_is_there_once_wherever_a_part_stopped(queue: Queue, plain: bool) -> None:
    fields = {} if plain else {"conditions": {"unless": "f"}, "delay": "1h"}
    for here, call in each_stop(queue, lambda here: part(here, 0, "a", "b", **fields)):
        found = here.send(call)

        assert found.at == 2
        assert sorted(started.id for started in here.claim(now=NOW + 1).tasks) == (["a", "b"] if plain else [])
        assert {here.task(name)["type"] for name in "ab"} == {"t"}
        assert here.redis.zcard(here.keys.due) == (0 if plain else 2)
