"""move: tasks that wait, or are dead, go to another queue with all that is known of them."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.call import Call
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, KEEP_DEAD, NOW, Queue

FIELDS = {"tags": '["x"]', "key": "k"}


def move(queue: Queue, *ids: str) -> dict[str, str]:
    """The words by id, to queue r."""
    return queue.send(protocol.move(queue.keys, ids, to="r"))


def members(queue: Queue) -> set[str]:
    """Whom the keys of tags, keys and subjects name."""
    found = set()
    for name in ("tagged:x", "keyed:k", "about:a"):
        found |= set(queue.redis.zrange(queue.key(name), 0, -1))
    return found


def test_a_scheduled_task_keeps_its_due_time_and_all_else(queue: Queue) -> None:
    queue.enqueue(("a:1", NOW + HOUR, FIELDS))
    before = queue.task("a:1")

    assert move(queue, "a:1") == {"a:1": "moved"}

    other = queue.other("r")
    assert (queue.places(), other.places()) == ({}, {"due": {"a:1": NOW + HOUR}})
    assert other.task("a:1") == before
    assert members(queue) == {"r/a:1"}
    assert queue.events()[-1] == "moved a:1 to=r"
    assert "r" in queue.redis.smembers(queue.key("queues"))


def test_a_ready_task_is_due_in_the_other_queue(queue: Queue) -> None:
    queue.enqueue(("a", 0, {"priority": "high"}))

    assert move(queue, "a") == {"a": "moved"}

    other = queue.other("r")
    assert (queue.places(), other.places()) == ({}, {"due": {"a": NOW}})
    other.promote()
    assert [task.id for task in other.claim().tasks] == ["a"]


def test_a_task_that_a_pause_set_aside_is_due_in_the_other_queue(queue: Queue) -> None:
    queue.run("pause", [queue.keys.due], [NOW, "queue", "", 0])
    queue.enqueue(("a", NOW + 5, {}))
    queue.promote(now=NOW + 5)
    assert queue.task("a")["state"] == "held"

    assert move(queue, "a") == {"a": "moved"}

    assert queue.other("r").places() == {"due": {"a": NOW + 5}}


def test_a_dead_task_stays_dead_with_its_outcome(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}))
    (started,) = queue.claim().tasks
    queue.settle(started, "dead", "bad", "no such phone")

    assert move(queue, "a") == {"a": "moved"}

    other = queue.other("r")
    assert other.places() == {"dead": {"a": NOW + KEEP_DEAD}}
    assert "no such phone" in str(queue.redis.hgetall(other.keys.outcome("a")))
    assert not queue.redis.exists(queue.keys.outcome("a"))


def test_those_that_cannot_be_moved_stay(queue: Queue) -> None:
    queue.running("running")
    queue.enqueue(
        ("over", NOW + HOUR, {}),
        ("conditions", NOW + HOUR, {"conditions": '{"cancel_on":["f"]}'}),
        ("parent", NOW + HOUR, {}),
        ("child", NOW + HOUR, {"conditions": '{"after":{"ids":["parent"]}}'}),
        ("both", NOW + HOUR, {}),
    )
    queue.other("r").seed("both", due=NOW + HOUR)
    queue.send(protocol.cancel(queue.keys, ["over"]))
    before = queue.dump()

    assert move(queue, "running", "over", "conditions", "parent", "child", "both", "nobody") == {
        "running": "running",
        "over": "finished",
        "conditions": "linked",
        "parent": "linked",
        "child": "linked",
        "both": "existing",
        "nobody": "missing",
    }

    assert queue.dump() == before


def test_the_same_call_again_says_that_it_is_done(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))

    assert [move(queue, "a")["a"] for _ in range(2)] == ["moved", "moved"]


@pytest.mark.parametrize("keys", [["q"], ["q", "q"]])
def test_the_other_queue_is_another(queue: Queue, keys: list[str]) -> None:
    with pytest.raises(Exception, match="RS_INVALID 1 queue"):
        queue.run("move", [queue.other(name).keys.due for name in keys], [NOW, "a"])


def scheduled(queue: Queue) -> Call[Any]:
    """One that waits."""
    queue.enqueue(("a:1", NOW + HOUR, FIELDS))
    return protocol.move(queue.keys, ["a:1"], to="r")


def ready(queue: Queue) -> Call[Any]:
    """One that is ready."""
    queue.enqueue(("a:1", 0, FIELDS))
    return protocol.move(queue.keys, ["a:1"], to="r")


def dead(queue: Queue) -> Call[Any]:
    """One that is dead, and has an outcome."""
    queue.enqueue(("a:1", 0, FIELDS))
    (started,) = queue.claim().tasks
    queue.settle(started, "dead", "bad", "x")
    return protocol.move(queue.keys, ["a:1"], to="r")


@pytest.mark.parametrize("scene", [scheduled, ready, dead])
def test_wherever_it_stops_the_same_again_goes_on(queue: Queue, scene: Any) -> None:
    for here, call in each_stop(queue, scene):
        assert len([queue.redis.exists(key) for key in (here.keys.task("a:1"), here.other("r").keys.task("a:1"))]) == 2
        assert here.send(call) == {"a:1": "moved"}
        here.promote()
        assert not here.claim().tasks, "an entry of it may be left, which is nobody's"
        assert here.places() == {} and not here.redis.exists(here.keys.outcome("a:1"), here.keys.task("a:1"))
        assert members(here) == {"r/a:1"}
        state = here.other("r").task("a:1").get("state", "scheduled")
        assert state == ("dead" if scene is dead else "scheduled")
