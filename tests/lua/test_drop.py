"""drop: what is removed of dead and finished tasks and of the quarantine, and what is left alone."""

from __future__ import annotations

import pytest

from redsched.wire import dead_letters, protocol
from tests.support.lua_queue import HOUR, NOW, Queue


def test_a_dead_task_goes_with_its_history(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "rejected", "it broke", "Traceback ...")
    assert queue.outcome("a")["attempt:1"].endswith(" it broke")

    assert queue.send(dead_letters.drop(queue.keys, ["a"])) == {"a": "dropped"}

    assert queue.places() == {}
    assert (queue.task("a"), queue.outcome("a")) == ({}, {})
    assert queue.events()[-1] == "dropped a state=dead"
    assert queue.totals()["dropped"] == 1


@pytest.mark.parametrize("state", ["completed", "cancelled", "expired"])
def test_a_finished_task_goes_and_its_id_is_free_again(queue: Queue, state: str) -> None:
    if state == "completed":
        queue.settle(queue.running("a"), "complete", '{"answer":1}')
    elif state == "cancelled":
        queue.seed("a", due=NOW + HOUR)
        queue.send(protocol.cancel(queue.keys, ["a"]))
    else:
        queue.seed("a", expires_at=NOW - 1)
        queue.promote()
    assert queue.task("a")["state"] == state

    assert queue.send(dead_letters.drop(queue.keys, ["a"])) == {"a": "dropped"}

    assert (queue.places(), queue.outcome("a")) == ({}, {})
    assert queue.enqueue(("a", NOW + HOUR, {"payload": "another"})) == ["created"]


def test_what_lives_is_left_alone_and_its_state_is_told(queue: Queue) -> None:
    queue.running("runs")
    queue.ready("waits")
    queue.seed("scheduled", due=NOW + HOUR)
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.broken.add("string")
    before = queue.dump()

    words = queue.send(dead_letters.drop(queue.keys, ["runs", "waits", "scheduled", "string", "ghost"]))

    assert list(words.values()) == ["running", "ready", "scheduled", "missing", "missing"]
    assert queue.run("drop", [queue.keys.due], [NOW, "task", "a b", ""]) == [b"missing", b"missing"]
    assert queue.dump() == before


def test_a_duplicate_in_the_due_set_does_not_outlive_its_task(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "x")
    queue.broken.add("a")
    queue.redis.zadd(queue.keys.due, {"a": NOW + HOUR})

    assert queue.send(dead_letters.drop(queue.keys, ["a"])) == {"a": "dropped"}

    assert queue.places() == {}


def test_a_call_that_comes_twice_tells_that_the_task_is_gone(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "x")

    assert queue.run("drop", [queue.keys.due], [NOW, "task", "a", "a"]) == [b"dropped", b"missing"]

    assert queue.totals()["dropped"] == 1


def test_only_the_named_members_leave_the_quarantine(queue: Queue) -> None:
    members = {"missing:a": NOW, "bad id:a b": NOW, "bad time:b": NOW}
    queue.redis.zadd(queue.keys.index("quarantine"), members)

    assert queue.send(dead_letters.drop_quarantined(queue.keys, [b"missing:a", b"bad id:a b", b"missing:none"])) == 2

    assert queue.places() == {"quarantine": {"bad time:b": NOW}}
    assert queue.totals() == {"dropped": 2}


def test_a_member_that_is_no_text_can_be_dropped_as_it_was_told(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.index("quarantine"), {b"bad id:\xff\n": NOW})

    page = queue.send(dead_letters.quarantined(queue.keys))

    assert [(item.reason, item.id) for item in page.items] == [("bad id", "\\xff\n")]
    assert queue.send(dead_letters.drop_quarantined(queue.keys, [item.member for item in page.items])) == 1
    assert queue.places() == {}


def test_another_place_is_refused(queue: Queue) -> None:
    assert queue.refused("drop", NOW, "due", "a") == "RS_INVALID 1 place must be task or quarantine"


def test_a_task_with_the_id_of_one_that_ran_a_digest_is_not_taken_for_it(queue: Queue) -> None:
    for name in ("a", "b"):
        queue.plan(name, {"digest": {"key": "k", "grace": 1000}})
    queue.promote(now=NOW + 1000)
    (a,) = queue.claim(now=NOW + 1000).tasks
    queue.settle(a, "complete", now=NOW + 1000)
    queue.send(dead_letters.drop(queue.keys, ["a"]))

    queue.plan("a", {}, due=NOW + HOUR)
    queue.attend(now=NOW + 1000)
    queue.send(protocol.cancel(queue.keys, ["a"]))
    queue.attend(now=NOW + HOUR)
    queue.promote(now=NOW + HOUR)

    assert queue.task("b")["reason"] == "merged into a"
