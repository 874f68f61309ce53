"""What ties a child to parents that are removed, or that come after it: no false alarm, and each damage is mended."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import doctor
from redsched.wire.call import Call
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.repairs import delete, faults, mend, mends


def family(queue: Queue, **more: str) -> None:
    """A child whose parent was dropped and whose parent's id has another task, before anybody told the child."""
    queue.plan("a", {}, due=NOW + HOUR)
    queue.plan("b", {"after": {"ids": ["a"], **more}})
    queue.run("cancel", [queue.keys.due], [NOW, "", "a"])
    queue.run("drop", [queue.keys.due], [NOW, "task", "a"])
    queue.plan("a", {}, due=NOW + HOUR)


def test_children_that_are_still_to_be_told_of_an_earlier_task_of_the_id_are_well(queue: Queue) -> None:
    family(queue)
    queue.plan("c", {"after": {"ids": ["a"]}})
    assert faults(queue) == set()

    queue.attend()

    assert faults(queue) == set()
    assert [queue.task(name)["state"] for name in "bc"] == ["cancelled", "held"]


@pytest.mark.parametrize(("kind", "name"), [("key", "children:q:a/gone"), ("key", "parents:q:b")])
def test_what_nobody_tells_of_an_earlier_task_of_the_id_is_told(queue: Queue, kind: str, name: str) -> None:
    family(queue)
    queue.redis.zrem(queue.key("agenda"), "removed/gone/q/a")
    queue.broken.add("a")  # its children are named by nothing, which is the fault

    assert faults(queue) == {("key", "children:q:a/gone", "orphan"), ("key", "parents:q:b", "untold")}
    mend(queue, (kind, name))
    assert faults(queue) == set()
    queue.attend()

    assert queue.task("b")["state"] == "cancelled"
    assert queue.task("a").get("bound") != "c"


def test_a_circle_is_found_and_ends(queue: Queue) -> None:
    queue.plan("a", {}, due=NOW + HOUR)
    queue.plan("b", {"after": {"ids": ["a"]}})
    queue.plan("c", {"after": {"ids": ["b"]}})
    queue.plan("d", {"after": {"ids": ["c"]}})
    queue.redis.hset(queue.key("parents:q:b"), mapping={"q/c": "", ":left": 2})
    queue.redis.zadd(queue.key("children:q:c"), {"q/b": 0})

    assert faults(queue) == {("key", "parents:q:b", "circle"), ("key", "parents:q:c", "circle")}
    assert mend(queue, ("key", "parents:q:b"), ("key", "parents:q:c")) == ["dead", "well"]
    assert faults(queue) == set()
    for _ in range(3):
        queue.attend()

    assert [queue.task(name).get("state") for name in "abcd"] == [None, "dead", "cancelled", "cancelled"]


def test_one_in_a_circle_says_why_it_is_held_until_it_is_dead_wherever_its_repair_stopped(queue: Queue) -> None:
    def scene(here: Queue) -> Call[Any]:
        here.plan("a", {}, due=NOW + HOUR)
        here.plan("b", {"after": {"ids": ["a"]}})
        here.plan("c", {"after": {"ids": ["b"]}})
        here.plan("d", {"after": {"ids": ["c"]}})
        here.redis.hset(here.key("parents:q:b"), mapping={"q/c": "", ":left": 2})
        here.redis.zadd(here.key("children:q:c"), {"q/b": 0})
        return doctor.repair(here.keys, [("key", b"parents:q:b")])

    for here, _ in each_stop(queue, scene):
        task = here.task("b")
        assert task["state"] == "dead" or task["blocked"] == "parents"


def test_two_in_one_line_of_which_the_first_comes_after_the_second_are_a_circle(queue: Queue) -> None:
    fifo = {"fifo": True}
    queue.plan("p", {}, due=NOW + HOUR)
    queue.plan("a", {**fifo, "after": {"ids": ["p"]}}, key="k")
    queue.plan("b", fifo, key="k", due=NOW + HOUR)
    queue.plan("c", {"after": {"ids": ["a"]}})
    queue.redis.hset(queue.key("parents:q:a"), mapping={"q/b": "", ":left": 2})
    queue.redis.zadd(queue.key("children:q:b"), {"q/a": 0})
    queue.redis.hset(queue.keys.task("b"), "bound", "pc")

    assert mends(queue, "key", "parents:q:a", "circle") == "dead"


def test_a_task_is_in_both_of_its_lines_and_last_in_both_where_it_lost_one(queue: Queue) -> None:
    both = {"fifo": True, "unique": {"key": "u", "mode": "keep_last"}}
    queue.plan("a", both, key="k")
    queue.claim()
    queue.plan("b", both, key="k")
    queue.plan("c", {"fifo": True}, key="k")
    assert faults(queue) == set()
    queue.redis.zrem(queue.key("line:q:~u"), "b")

    assert mends(queue, "task", "b", "out_of_line") == "held"

    assert queue.redis.zrange(queue.key("line:q:k"), 0, -1) == ["a", "c", "b"]
    assert queue.redis.zrange(queue.key("line:q:~u"), 0, -1) == ["a", "b"]
    delete(queue, "line:q:k")
    assert {rule for _, _, rule in faults(queue)} == {"out_of_line"}
