"""What ties tasks to facts, lines, parents and pauses: each damage is found by its name and mended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.wire import doctor, protocol
from redsched.wire.keys import CellKeys
from tests.support.acts import run
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.repairs import delete, faults, look, mend, mends

HOLD = {"hold": {"token": "t", "within": HOUR}}
WAIT = {"wait_for": {"all": ["x"]}}
AFTER = {"after": {"ids": ["parent"]}}


def pause(queue: Queue, until: int | None = None) -> None:
    """Pause the type of all tasks."""
    queue.send(protocol.pause(queue.keys, "type:t", reason="", until=until))


def test_tasks_that_wait_for_something_are_well(queue: Queue) -> None:
    queue.plan("parent", {}, due=NOW + HOUR)
    queue.plan("child", {"after": {"ids": ["parent"]}, "cancel_on": ["y"]})
    queue.plan("held", HOLD)
    queue.plan("facts", WAIT | {"unique": {"key": "u"}})
    queue.plan("first", {"fifo": True}, key="k")
    queue.plan("second", {"fifo": True}, key="k")
    queue.plan("open", {"digest": {"key": "d"}})
    queue.plan("merged", {"digest": {"key": "d"}})
    pause(queue, NOW + HOUR)
    queue.seed("aside")
    queue.promote()
    assert queue.task("aside")["blocked"] == "pause:type:t"

    assert faults(queue) == set()


@pytest.mark.parametrize("why", [None, "nobody"])
def test_a_held_task_that_does_not_say_why_is_asked_again(queue: Queue, why: str | None) -> None:
    queue.plan("a", WAIT)
    key = queue.keys.task("a")
    if why:
        queue.redis.hset(key, "blocked", why)
    else:
        queue.redis.hdel(key, "blocked")

    assert mends(queue, "task", "a", "unblocked") == "held"
    assert queue.task("a")["blocked"] == "facts"


def test_a_held_task_without_conditions_is_due(queue: Queue) -> None:
    queue.plan("a", WAIT)
    queue.redis.hdel(queue.keys.task("a"), "conditions", "blocked", "bound")
    queue.redis.delete(queue.key("listeners:x"))

    assert mends(queue, "task", "a", "unblocked") == "scheduled"
    assert queue.places() == {"due": {"a": NOW}}


def test_a_task_whose_conditions_were_taken_away_while_it_stood_in_line_is_due(queue: Queue) -> None:
    queue.plan("a", {"fifo": True}, key="k", due=NOW + HOUR)
    queue.plan("b", {"fifo": True}, key="k")
    queue.redis.hdel(queue.keys.task("b"), "conditions")

    assert mends(queue, "task", "b", "unblocked") == "scheduled"


def test_one_that_stands_in_line_though_its_conditions_know_none_is_due(queue: Queue) -> None:
    queue.plan("a", {"fifo": True}, key="k", due=NOW + HOUR)
    queue.plan("b", {"fifo": True}, key="k")
    queue.redis.hset(queue.keys.task("b"), "conditions", '{"unless":{"fact":"x"}}')

    assert ("task", "b", "unblocked") in faults(queue)
    assert mend(queue, ("task", "b")) == ["scheduled"]


@pytest.mark.parametrize("conditions", [HOLD, {"wait_for": {"all": ["x"], "within": HOUR}}])
def test_the_end_of_a_hold_is_on_the_agenda_again(queue: Queue, conditions: dict[str, Any]) -> None:
    queue.plan("a", conditions)
    delete(queue, "agenda")

    assert mends(queue, "task", "a", "no_reminder") == "held"

    assert queue.redis.zrange(queue.key("agenda"), 0, -1, withscores=True) == [("hold/q", NOW + HOUR)]
    queue.redis.zadd(queue.key("agenda"), {"hold/q": NOW + HOUR + 1})
    assert mends(queue, "task", "a", "no_reminder") == "held"


def test_a_task_in_line_has_a_reminder_too(queue: Queue) -> None:
    queue.plan("a", {"fifo": True}, key="k", due=NOW + HOUR)
    queue.plan("b", {"fifo": True}, key="k")
    delete(queue, "agenda")

    assert mends(queue, "task", "b", "no_reminder") == "held"


@pytest.mark.parametrize("damage", ["gone", "count", "failed"])
def test_what_a_child_says_of_its_parents_is_counted_again(queue: Queue, damage: str) -> None:
    queue.plan("parent", {}, due=NOW + HOUR)
    queue.plan("child", AFTER)
    if damage == "gone":
        delete(queue, "parents:q:child")
        assert mends(queue, "task", "child", "parents") == "held"
    else:
        queue.redis.hset(queue.key("parents:q:child"), ":left" if damage == "count" else ":failed", 7)
        assert mends(queue, "key", "parents:q:child", "parents") == "recounted"

    assert queue.redis.hgetall(queue.key("parents:q:child")) == {"q/parent": "", ":left": "1", ":failed": "0"}
    assert run(queue, now=NOW + HOUR) == ["parent"]
    queue.attend(now=NOW + HOUR)
    assert run(queue, now=NOW + HOUR) == ["child"]


@pytest.mark.parametrize("damage", ["children", "bound"])
def test_a_parent_that_does_not_know_its_child_is_told(queue: Queue, damage: str) -> None:
    queue.plan("parent", {}, due=NOW + HOUR)
    queue.plan("child", AFTER)
    if damage == "children":
        delete(queue, "children:q:parent")
    else:
        queue.redis.hset(queue.keys.task("parent"), "bound", "p")

    assert mends(queue, "key", "parents:q:child", "parents") == "recounted"

    assert run(queue, now=NOW + HOUR) == ["parent"]
    queue.attend(now=NOW + HOUR)
    assert run(queue, now=NOW + HOUR) == ["child"]


@pytest.mark.parametrize("end", ["completed", "gone"])
def test_a_child_is_told_of_a_parent_that_has_ended_or_is_gone(queue: Queue, end: str) -> None:
    queue.plan("parent", {})
    queue.plan("child", AFTER)
    assert run(queue) == ["parent"]
    delete(queue, "agenda")
    if end == "gone":
        delete(queue, "task:q:parent")
        queue.redis.zrem(queue.keys.index("finished"), "parent")
        delete(queue, "outcome:q:parent") if queue.outcome("parent") else None
        delete(queue, "children:q:parent")
        assert mends(queue, "key", "parents:q:child", "parents") == "recounted"
    else:
        assert mends(queue, "key", "parents:q:child", "untold") == "recounted"

    queue.attend()

    assert queue.task("child")["state"] == ("scheduled" if end == "completed" else "cancelled")


def test_a_child_that_waits_for_a_dead_parent_is_well(queue: Queue) -> None:
    queue.plan("parent", {})
    queue.plan("child", {"after": {"ids": ["parent"], "otherwise": "wait"}})
    (parent,) = queue.claim().tasks
    queue.settle(parent, "dead", "why")
    queue.attend()

    assert queue.task("child")["blocked"] == "parents"
    assert faults(queue) == set()


def test_children_of_a_task_that_is_gone_are_told(queue: Queue) -> None:
    queue.plan("parent", {}, due=NOW + HOUR)
    queue.plan("child", AFTER)
    queue.redis.zrem(queue.keys.due, "parent")
    delete(queue, "task:q:parent")
    assert faults(queue) == {("key", "children:q:parent", "orphan"), ("key", "parents:q:child", "untold")}

    assert mend(queue, ("key", "children:q:parent")) == ["reminded"]

    assert faults(queue) == set()
    queue.attend()
    assert queue.task("child")["reason"] == "after q/parent gone"


def test_a_paused_task_is_put_among_those_of_its_pause(queue: Queue) -> None:
    pause(queue)
    queue.seed("a")
    queue.promote()
    delete(queue, "stopped:q:type:t")

    assert mends(queue, "task", "a", "unstopped") == "held"

    queue.send(protocol.resume(queue.keys, "type:t"))
    queue.attend()
    assert queue.places() == {"due": {"a": NOW}}


@pytest.mark.parametrize("until", [None, NOW + HOUR])
def test_a_pause_that_nobody_ends_is_ended(queue: Queue, until: int | None) -> None:
    pause(queue, until)
    queue.seed("a")
    queue.promote()
    if until is None:
        delete(queue, "paused:q")
    else:
        delete(queue, "agenda")

    assert mends(queue, "task", "a", "never_resumed") == "held"

    assert queue.redis.zscore(queue.key("agenda"), "resume/q/type:t") == (until or 0)
    queue.attend(now=until or NOW)
    assert queue.places() == {"due": {"a": NOW}}


def test_a_task_that_does_not_listen_is_entered_again_and_hears_what_it_missed(queue: Queue) -> None:
    queue.plan("a", WAIT)
    queue.plan("b", {"cancel_on": ["y"]}, due=NOW + HOUR)
    queue.plan("c", {"cancel_on": ["y"]}, due=NOW + HOUR)
    queue.redis.delete(queue.key("listeners:x"), queue.key("listeners:y"))
    queue.emit("y")

    assert faults(queue) == {("task", task_id, "deaf") for task_id in "abc"}
    assert mend(queue, ("task", "a"), ("task", "b")) == ["held", "cancelled"]
    delete(queue, "fact:y")
    assert mends(queue, "task", "c", "deaf") == "scheduled"

    queue.emit("x")
    assert queue.places()["due"] == {"c": NOW + HOUR}
    assert queue.task("a")["state"] == "ready"
    queue.emit("y")
    assert queue.task("c")["state"] == "cancelled"


def test_what_no_one_judged_yet_need_not_listen(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR, conditions='{"wait_for":{"any":["x"]},"fifo":true}', key="k")
    assert faults(queue) == set()
    pause(queue)
    queue.promote(now=NOW + HOUR)

    assert queue.task("a")["blocked"] == "pause:type:t"
    assert faults(queue) == set()


def test_a_task_that_was_judged_says_that_it_is_entered(queue: Queue) -> None:
    queue.plan("a", {"cancel_on": ["x"]})
    queue.redis.hset(queue.keys.task("a"), "bound", "c")

    assert mends(queue, "task", "a", "unbound") == "ready"

    assert sorted(queue.task("a")["bound"]) == ["c", "p"]


def test_a_line_in_which_somebody_else_stands_first_goes_on(queue: Queue) -> None:
    queue.plan("a", {"fifo": True}, key="k", due=NOW + HOUR)
    queue.plan("b", {"fifo": True}, key="other")
    queue.redis.zadd(queue.key("line:q:other"), {"a": 0})

    assert mends(queue, "key", "line:q:other", "stale_line") == "advanced"

    assert queue.redis.zrange(queue.key("line:q:other"), 0, -1) == ["b"]


def test_a_task_that_lost_its_place_in_line_stands_last(queue: Queue) -> None:
    queue.plan("a", {"fifo": True}, key="k", due=NOW + HOUR)
    queue.plan("b", {"fifo": True}, key="k")
    queue.redis.zrem(queue.key("line:q:k"), "a")

    assert mends(queue, "task", "a", "out_of_line") == "scheduled"

    assert queue.redis.zrange(queue.key("line:q:k"), 0, -1) == ["b", "a"]


def test_a_line_goes_on_where_its_first_is_no_more(queue: Queue) -> None:
    queue.plan("a", {"fifo": True}, key="k", due=NOW + HOUR)
    queue.plan("b", {"fifo": True}, key="k")
    queue.redis.zrem(queue.keys.due, "a")
    delete(queue, "task:q:a")
    queue.redis.zrem(queue.key("keyed:k"), "q/a")

    assert mends(queue, "key", "line:q:k", "stale_line") == "advanced"

    assert queue.places() == {"due": {"b": NOW}}


@pytest.mark.parametrize(
    ("name", "rule"),
    [("digest:q:k", "stale_digest"), ("unique:q:k", "stale_unique"), ("parents:q:nobody", "orphan")],
)
def test_keys_of_tasks_that_are_gone_are_removed(queue: Queue, name: str, rule: str) -> None:
    kind = name.partition(":")[0]
    queue.broken.add("nobody")
    if kind == "parents":
        queue.redis.hset(queue.key(name), "q/a", "")
    else:
        queue.redis.set(queue.key(name), "nobody" if kind == "digest" else f"nobody {NOW}")

    assert mends(queue, "key", name, rule) == "dropped"

    assert queue.key(name) not in queue.dump()


def test_a_digest_that_nobody_looks_at_goes_on(queue: Queue) -> None:
    name = f"q/a/{NOW}"
    queue.plan("a", {"digest": {"key": "d"}})
    queue.plan("b", {"digest": {"key": "d"}})
    queue.redis.delete(queue.keys.task("a"))
    queue.broken.add("a")
    queue.redis.zrem(queue.key("agenda"), f"digest/{name}")

    assert {("key", f"members:q:a/{NOW}", "orphan"), ("key", f"items:q:a/{NOW}", "orphan")} <= faults(queue)

    assert mend(queue, ("key", f"members:q:a/{NOW}")) == ["reminded"]
    queue.redis.zrem(queue.keys.due, "a")
    queue.broken.clear()
    queue.attend()

    assert (queue.places(), faults(queue)) == ({"due": {"b": NOW}}, set())


@pytest.mark.parametrize("kind", ["items", "members"])
def test_what_is_left_of_a_digest_without_tasks_goes(queue: Queue, kind: str) -> None:
    queue.broken.add("nobody")
    if kind == "items":
        queue.redis.hset(queue.key("items:q:nobody/1"), "nobody", "1")
    else:
        queue.redis.zadd(queue.key("members:q:nobody/1"), {"nobody": 1})

    assert mends(queue, "key", f"{kind}:q:nobody/1", "orphan") == "reminded"
    queue.attend()

    assert not [key for key in queue.dump() if ":nobody/1" in key]


@pytest.mark.parametrize("lost", ["members", "agenda", "into"])
def test_a_task_that_its_digest_does_not_know_joins_it_again(queue: Queue, lost: str) -> None:
    for name in "abc":
        queue.plan(name, {"digest": {"key": "d"}}, payload=f'"{name}"')
    queue.broken.add("b")
    if lost == "members":
        queue.redis.zrem(queue.key(f"members:q:a/{NOW}"), "b")
    elif lost == "agenda":
        queue.redis.zrem(queue.key("agenda"), f"digest/q/a/{NOW}")
    else:
        queue.redis.hdel(queue.keys.task("b"), "into")
    assert ("task", "b", "undigested") in faults(queue)

    queue.run("repair", [queue.keys.due], [NOW, "task", "b"])
    queue.promote()

    assert queue.task("b")["blocked"] == "digest"
    queue.promote(now=NOW + HOUR)
    (started,) = queue.claim(now=NOW + HOUR).tasks
    items = json.loads(started.payload)["items"]
    assert sorted(items) == ["a", "b", "c"]


def test_locks_of_tasks_that_live_or_that_expire_stay(queue: Queue) -> None:
    queue.plan("a", {"unique": {"key": "k"}})
    queue.redis.set(queue.key("unique:q:l"), f"nobody {NOW}", px=HOUR)
    queue.plan("b", {"digest": {"key": "d"}})
    assert faults(queue) == set()

    queue.redis.hset(queue.keys.task("b"), "frozen", 1)
    assert mends(queue, "key", "digest:q:d", "stale_digest") == "dropped"


def test_what_the_agenda_and_its_cursors_name_in_vain_is_removed(queue: Queue) -> None:
    queue.plan("a", WAIT | {"hold": HOLD["hold"]})
    queue.redis.zadd(queue.key("agenda"), {"what/ever": NOW + HOUR, "nonsense": NOW + 2 * HOUR})
    queue.redis.hset(queue.key("cursors"), "heard/x", "q/a")
    queue.broken.add("a")  # what the cursor names is not there until it is mended

    assert faults(queue) == {("key", "agenda", "stray_item"), ("key", "cursors", "stale_cursor")}
    assert mend(queue, ("key", "agenda"), ("key", "cursors")) == ["dropped", "dropped"]

    assert faults(queue) == set()
    assert queue.redis.zrange(queue.key("agenda"), 0, -1) == ["hold/q"]


def test_a_call_looks_at_so_many_members_and_says_how_far_it_came(real_queue: Queue) -> None:
    queue = real_queue
    cursors = {f"heard/x{number}": "q/a" for number in range(500)}
    queue.redis.hset(queue.key("cursors"), mapping=cursors)
    queue.redis.zadd(queue.key("agenda"), dict.fromkeys(cursors, NOW + HOUR))

    page = look(queue, "keys", "none", "cursors", "agenda", "meta")

    assert (page.looked, page.cursor) == (2, b"2")
    assert look(queue, "keys", "meta").cursor == b""


def test_keys_of_a_wrong_type_go_aside_and_what_they_held_is_put_back(real_queue: Queue) -> None:
    queue = real_queue
    queue.plan("parent", {}, due=NOW + HOUR)
    queue.plan("child", AFTER)
    queue.plan("a", WAIT | {"hold": HOLD["hold"]})
    for name in ("agenda", "listeners:x", "children:q:parent", "parents:q:child"):
        delete(queue, name)
        queue.redis.set(queue.key(name), "mine")
        queue.redis.expire(queue.key(name), 100)
    names = ("agenda", "listeners:x", "children:q:parent", "parents:q:child")
    call = doctor.repair(queue.keys, [*(("key", name.encode()) for name in names), ("task", b"a"), ("task", b"child")])

    assert call.read(queue.run("repair", call.keys, [NOW, *call.args[1:]])) == ["aside"] * 4 + ["held"] * 2

    queue.redis.delete(*(queue.key(f"aside:{name}") for name in names))
    assert faults(queue) == set()
    queue.check()
    assert CellKeys(queue.cell).agenda in queue.dump()


def test_a_ready_task_with_conditions_gets_an_entry_that_has_them_asked_again(queue: Queue) -> None:
    queue.plan("a", {"unless": {"fact": "x"}})
    queue.redis.delete(queue.keys.ready)

    assert mend(queue, ("task", "a")) == ["ready"]

    queue.emit("x")
    assert queue.claim().tasks == []
    assert queue.task("a")["state"] == "skipped"


def test_a_task_that_no_longer_is_held_says_so(queue: Queue) -> None:
    pause(queue)
    queue.seed("a")
    queue.promote()
    queue.redis.zrem(queue.keys.index("held"), "a")

    assert mend(queue, ("task", "a")) == ["scheduled"]

    assert "blocked" not in queue.task("a")
    assert faults(queue) == set()
