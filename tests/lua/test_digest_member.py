"""Digests: one that ends, or is called off, takes its item out as long as nobody has begun with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from redsched.wire import protocol
from tests.support.digests import CLOSED, cancel, ends, join, ready, runs, three, work
from tests.support.lua_queue import HOUR, NOW, Queue


@pytest.mark.parametrize("back", ["returned", "reaped"])
@pytest.mark.parametrize("how", ["cancel", "an event", "a fact"])
def test_one_that_is_called_off_while_its_digest_is_claimed_in_vain_is_not_in_the_next_run(
    queue: Queue, how: str, back: str
) -> None:
    join(queue, "a")
    join(queue, "b", conditions={"cancel_on": ["x"], "unless": {"fact": "y"}})
    join(queue, "c")
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    if how == "cancel":
        cancel(queue, "b", now=CLOSED + 10)
    elif how == "an event":
        queue.emit("x", now=CLOSED + 10)
    else:
        queue.redis.set(queue.key("fact:y"), 1)
    if back == "returned":
        queue.settle(started, "return", now=CLOSED + 200)
    else:
        queue.reap(now=CLOSED + HOUR)

    assert runs(queue, now=CLOSED + 2 * HOUR) == {"a": ["a", "c"]}
    assert ends(queue, "b")[0].startswith("skipped unless" if how == "a fact" else "cancelled")


MEMBERS: dict[str, tuple[dict[str, Any], Callable[[Queue], Any], str]] = {
    "cancel": ({}, lambda q: cancel(q, "b"), "cancelled cancelled"),
    "an event": ({"conditions": {"cancel_on": ["x"]}}, lambda q: q.emit("x"), "cancelled event x"),
    "a fact": ({"conditions": {"cancel_on": ["x"]}}, lambda q: q.redis.set(q.key("fact:x"), 1), "cancelled event x"),
    "unless": ({"conditions": {"unless": {"fact": "x"}}}, lambda q: q.emit("x"), "skipped unless x"),
    "only_if": (
        {"conditions": {"only_if": {"fact": "x", "exists": False}}},
        lambda q: q.emit("x"),
        "skipped only_if x",
    ),
    "its start-by": ({"expires_at": NOW + 900}, lambda q: None, "expired"),
    "a bad plan": ({}, lambda q: q.redis.hset(q.keys.task("b"), "conditions", "{"), "dead malformed"),
    "another task": (
        {"conditions": {"unique": {"key": "u", "mode": "replace"}}},
        lambda q: q.plan("z", {"unique": {"key": "u", "mode": "replace"}}, due=NOW + HOUR),
        "cancelled replaced by z",
    ),
}


@pytest.mark.parametrize("why", MEMBERS)
def test_one_that_ends_before_its_digest_closes_takes_its_item_out(queue: Queue, why: str) -> None:
    options, end, said = MEMBERS[why]
    join(queue, "a")
    assert join(queue, "b", **options) == "merged a"
    join(queue, "c")
    end(queue)

    assert runs(queue) == {"a": ["a", "c"]}
    assert ends(queue, "a", "b", "c") == ["completed", said, "skipped merged into a"]


@pytest.mark.parametrize("first", [True, False])
def test_one_that_is_to_be_looked_at_again_leaves_and_the_others_do_not_wait(queue: Queue, first: bool) -> None:
    again = {"unless": {"fact": "x"}, "otherwise": {"again": 5000}}
    join(queue, "a", conditions=again if first else {})
    join(queue, "b", conditions={} if first else again)
    queue.emit("x")

    assert runs(queue) == ({"b": ["b"]} if first else {"a": ["a"]})
    queue.redis.delete(queue.key("fact:x"))
    deferred = "a" if first else "b"
    assert queue.places()["due"] == {deferred: CLOSED + 5000}
    work(queue, now=CLOSED + 5000)
    assert runs(queue, now=CLOSED + 6000) == {deferred: [deferred]}


def test_one_that_is_cancelled_while_the_digest_is_ready_is_not_in_its_run(queue: Queue) -> None:
    three(queue)
    ready(queue)

    assert cancel(queue, "b", now=CLOSED) == ["cancelled"]
    assert runs(queue) == {"a": ["a", "c"]}


@pytest.mark.parametrize("act", ["cancel", "emit", "update", "expire"])
def test_nothing_happens_to_one_whose_item_runs_already(queue: Queue, act: str) -> None:
    join(queue, "a")
    join(queue, "b", conditions={"cancel_on": ["x"]}, expires_at=CLOSED + 10)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    if act == "cancel":
        assert cancel(queue, "b", now=CLOSED) == ["finished"]
    elif act == "emit":
        queue.emit("x", now=CLOSED)
    elif act == "update":
        call = protocol.update(queue.keys, ["b"], {"conditions": None}, max_payload=99)
        assert queue.send(call, now=CLOSED) == {"b": "finished"}
    else:
        queue.send(protocol.pause(queue.keys, "queue", reason="", until=None), now=CLOSED)
        queue.send(protocol.reschedule(queue.keys, ["b"], delay="0s"), now=CLOSED)
        queue.promote(now=CLOSED + 10)

    assert json.loads(started.payload) == {"items": ["a", "b"]}
    assert work(queue, now=CLOSED + 10) == []
    assert queue.task("b")["blocked"] == "digest"
    assert queue.begin(started, now=CLOSED + 20)
    assert work(queue, now=CLOSED + 2000) == []
    assert ends(queue, "b") == ["skipped merged into a"]


def test_one_whose_start_by_passes_before_anybody_begins_with_its_item_is_judged_after_that(queue: Queue) -> None:
    join(queue, "a")
    join(queue, "b", expires_at=CLOSED + 10)
    join(queue, "c")
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    assert work(queue, now=CLOSED + 10) == []
    cancel(queue, "a", now=CLOSED + 10)
    queue.settle(started, "return", now=CLOSED + 20)

    assert runs(queue, now=CLOSED + 30) == {"c": ["c"]}
    assert ends(queue, "a", "b") == ["cancelled cancelled", "expired"]


@pytest.mark.parametrize("other", ["b", "c"])
def test_an_event_counts_though_it_came_while_the_items_were_claimed_in_vain(queue: Queue, other: str) -> None:
    for name in "abc":
        join(queue, name, conditions={"cancel_on": ["x"]} if name == other else {})
    queue.promote(now=CLOSED)
    queue.claim(now=CLOSED)
    queue.emit("x", now=CLOSED)
    queue.redis.delete(queue.key("fact:x"))
    queue.send(protocol.cancel(queue.keys, ["a"]), now=CLOSED)

    for now in (NOW + HOUR, NOW + HOUR + 2000):
        queue.reap(now=now)
        queue.promote(now=now)
        queue.attend(now=now)
    (started,) = queue.claim(now=NOW + HOUR + 2000).tasks

    assert json.loads(started.payload) == {"items": ["c" if other == "b" else "b"]}
    assert queue.task(other)["reason"] == "event x"


def test_one_whose_start_by_passed_while_the_digest_was_ready_is_left_out(queue: Queue) -> None:
    join(queue, "a")
    join(queue, "b", expires_at=str(NOW + 5_000))
    join(queue, "c")
    queue.promote(now=CLOSED)

    (started,) = queue.claim(now=NOW + 5_000).tasks
    queue.promote(now=NOW + 5_000)

    assert json.loads(started.payload) == {"items": ["a", "c"]}
    assert queue.task("b")["state"] == "expired"


@pytest.mark.parametrize("conditions", [{"unless": {"fact": "x"}}, {"cancel_on": ["x"]}])
def test_one_that_is_due_by_itself_is_not_judged_once_its_item_was_claimed(queue: Queue, conditions: Any) -> None:
    join(queue, "a")
    join(queue, "b", conditions=conditions)
    queue.send(protocol.reschedule(queue.keys, ["b"], delay="2s"))
    queue.promote(now=CLOSED)
    (a,) = queue.claim(now=CLOSED).tasks
    assert json.loads(a.payload) == {"items": ["a", "b"]}
    queue.redis.set(queue.key("fact:x"), "1")

    queue.promote(now=NOW + 2000)
    queue.settle(a, "complete", now=NOW + 2000)
    queue.attend(now=NOW + 2000)

    assert queue.task("b")["reason"] == "merged into a"


def test_one_that_is_due_by_itself_and_ends_when_its_digest_closes_is_not_due_any_more(queue: Queue) -> None:
    join(queue, "a")
    join(queue, "b", expires_at=NOW + 9_000)
    queue.send(protocol.reschedule(queue.keys, ["b"], delay="5s"))
    assert queue.places()["due"] == {"a": CLOSED, "b": NOW + 5_000}
    queue.redis.hset(queue.keys.task("b"), "expires_at", NOW + 900)

    assert runs(queue) == {"a": ["a"]}
    assert ends(queue, "b") == ["expired"]
    assert "due" not in queue.places()
