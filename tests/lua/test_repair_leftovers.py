"""Listeners, lines and items of tasks that have ended, or that lost theirs: no false alarm, each damage is mended."""

from __future__ import annotations

import json

from redsched.wire import protocol
from tests.support.acts import run
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.repairs import faults, mend, mends


def test_a_listener_that_has_ended_or_asks_for_another_fact_is_taken_out(queue: Queue) -> None:
    queue.plan("a", {"cancel_on": ["x:1"]}, due=NOW + HOUR)
    queue.plan("b", {"cancel_on": ["y"]}, due=NOW + HOUR)
    queue.redis.zadd(queue.key("listeners:x:1"), {"q/b": 0, "q/nobody": 0, "nonsense": 0})

    assert mends(queue, "key", "listeners:x:1", "stale_listener") == "dropped"

    assert queue.redis.zrange(queue.key("listeners:x:1"), 0, -1) == ["q/a"]


def test_what_a_task_left_behind_that_is_gone_is_removed(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.once(queue.keys, "a", started.token, "charge", b"1"))
    queue.settle(started, "complete")
    assert faults(queue) == set()
    queue.redis.delete(queue.keys.task("a"))
    queue.redis.zrem(queue.key("finished:q"), "a")

    assert mends(queue, "key", "outcome:q:a", "orphan") == "dropped"

    assert queue.outcome("a") == {}


def test_the_counts_of_a_minute_that_would_stay_for_ever_are_removed(queue: Queue) -> None:
    minute, later = NOW // 60_000, NOW + HOUR
    queue.ready("a")
    assert queue.redis.persist(queue.key(f"stats:q:{minute}"))
    assert faults(queue) == {("key", f"stats:q:{minute}", "no_ttl")}

    assert mend(queue, ("key", f"stats:q:{minute}"), now=later) == ["dropped"]

    assert faults(queue) == set()
    assert queue.redis.exists(queue.key(f"stats:q:{minute}")) == 0
    assert queue.totals()["promoted"] == 1


def test_the_item_of_one_that_waits_in_a_digest_is_put_back(queue: Queue) -> None:
    for name in "abc":
        queue.plan(name, {"digest": {"key": "k", "grace": 1000}}, payload=json.dumps(name))
    queue.redis.hdel(queue.key(f"items:q:a/{NOW}"), "b")

    assert mends(queue, "key", f"members:q:a/{NOW}", "no_item") == "completed"

    queue.promote(now=NOW + 1000)
    (a,) = queue.claim(now=NOW + 1000).tasks
    assert json.loads(a.payload) == {"items": ["a", "b", "c"]}


def test_one_that_runs_may_stand_in_the_line_of_its_unique_key_whatever_its_mode(queue: Queue) -> None:
    queue.plan("a", {"unique": {"key": "k"}})
    (a,) = queue.claim().tasks
    queue.plan("b", {"unique": {"key": "k", "mode": "keep_last"}})
    assert queue.redis.zrange(queue.key("line:q:~k"), 0, -1) == ["a", "b"]

    assert faults(queue) == set()
    queue.settle(a, "complete")

    assert run(queue) == ["b"]


def test_a_task_with_the_id_of_a_removed_parent_is_in_no_circle_with_the_child(queue: Queue) -> None:
    queue.plan("a", {}, due=NOW + HOUR)
    queue.plan("b", {"after": {"ids": ["a"], "otherwise": "run"}})
    queue.run("cancel", [queue.keys.due], [NOW, "", "a"])
    queue.run("drop", [queue.keys.due], [NOW, "task", "a"])
    queue.plan("a", {}, due=NOW + HOUR)
    queue.plan("c", {"after": {"ids": ["a", "b"]}})

    call = protocol.update(queue.keys, ["a"], {"conditions": {"after": {"ids": ["b"]}}}, max_payload=99)
    assert queue.send(call) == {"a": "updated"}

    assert faults(queue) == set()


def test_a_parent_that_has_told_makes_no_circle_with_a_later_task_of_its_id(queue: Queue) -> None:
    queue.seed("a")
    queue.plan("b", {"after": {"ids": ["a"]}})
    queue.plan("c", {"after": {"ids": ["b"], "otherwise": "wait"}})
    queue.promote()
    for outcome in ("complete", "dead"):
        (started,) = queue.claim().tasks
        queue.settle(started, outcome)
        queue.attend()
        queue.promote()
    queue.run("drop", [queue.keys.due], [NOW, "task", "a"])
    queue.attend()
    queue.plan("a", {"after": {"ids": ["c"]}})
    queue.plan("d", {"after": {"ids": ["c"]}})

    assert faults(queue) == set()
    queue.run("revive", [queue.keys.due], [NOW, 0, "b"])
    queue.promote()

    assert queue.task("b")["state"] == "ready"
