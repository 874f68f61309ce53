"""Digests: an opener that ends in any way but running hands the items over to the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from redsched.wire import protocol
from tests.support.digests import CLOSED, cancel, ends, join, ready, replace, runs, three, work
from tests.support.lua_queue import HOUR, NOW, Queue


def spoil(queue: Queue) -> None:
    """Somebody overwrites the task a."""
    queue.redis.hset(queue.keys.task("a"), "priority", "urgent")


OPENERS: dict[str, tuple[dict[str, Any], Callable[[Queue], Any], str]] = {
    "cancel": ({}, lambda q: cancel(q, "a"), "cancelled cancelled"),
    "an event": ({"conditions": {"cancel_on": ["x"]}}, lambda q: q.emit("x"), "cancelled event x"),
    "its test": ({"conditions": {"unless": {"fact": "x"}}}, lambda q: q.emit("x"), "skipped unless x"),
    "its start-by": ({"expires_at": NOW + 900}, lambda q: None, "expired"),
    "a bad field": ({}, spoil, "dead malformed"),
}


@pytest.mark.parametrize("why", OPENERS)
def test_an_opener_that_ends_without_running_hands_over_to_the_next(queue: Queue, why: str) -> None:
    options, end, said = OPENERS[why]
    three(queue, **options)
    end(queue)

    assert runs(queue) == {"b": ["b", "c"]}
    assert ends(queue, "a", "b", "c") == [said, "completed", "skipped merged into b"]
    assert not [key for key in queue.dump() if any(kind in key for kind in (":items:", ":members:", ":digest:"))]


def test_an_opener_whose_key_is_overwritten_hands_over_to_the_next(queue: Queue) -> None:
    three(queue)
    replace(queue)
    queue.promote(now=CLOSED)
    assert queue.places()["quarantine"] == {"wrong type:a": CLOSED}

    assert runs(queue, now=CLOSED + 1000) == {"b": ["b", "c"]}


def test_a_digest_without_its_first_takes_others_and_closes_when_it_was_to(queue: Queue) -> None:
    three(queue)
    cancel(queue, "a", now=NOW + 500)
    assert queue.places()["due"] == {"b": CLOSED}

    assert join(queue, "d", now=NOW + 600) == "merged b"
    assert runs(queue, now=NOW + 1600) == {"b": ["b", "c", "d"]}


def test_each_that_ends_hands_on(queue: Queue) -> None:
    for name in "abcd":
        join(queue, name, conditions={"unless": {"fact": "x"}} if name != "d" else {})
    queue.emit("x")

    assert runs(queue) == {"d": ["d"]}
    assert ends(queue, *"abcd") == ["skipped unless x"] * 3 + ["completed"]


READY: dict[str, tuple[dict[str, Any], Callable[[Queue], Any], str]] = {
    "cancel": ({}, lambda q: cancel(q, "a", now=CLOSED), "cancelled cancelled"),
    "an event": ({"conditions": {"cancel_on": ["x"]}}, lambda q: q.emit("x", now=CLOSED), "cancelled event x"),
    "its test": ({"conditions": {"unless": {"fact": "x"}}}, lambda q: q.emit("x", now=CLOSED), "skipped unless x"),
    "its start-by": ({"expires_at": CLOSED + 100}, lambda q: None, "expired"),
    "a bad field": ({}, lambda q: q.redis.hset(q.keys.task("a"), "timeout_ms", "x"), "dead malformed"),
}


@pytest.mark.parametrize("why", READY)
def test_an_opener_that_is_ready_and_never_starts_hands_over_too(queue: Queue, why: str) -> None:
    options, end, said = READY[why]
    three(queue, **options)
    ready(queue)
    assert queue.task("a")["state"] == "ready"
    end(queue)

    assert runs(queue, now=CLOSED + 200) == {"b": ["b", "c"]}
    assert ends(queue, "a", "c") == [said, "skipped merged into b"]


CLAIMED: dict[str, tuple[dict[str, Any], Callable[[Queue], Any], str]] = {
    "cancel": ({}, lambda q: cancel(q, "a", now=CLOSED + 10), "cancelled cancelled"),
    "an event": ({"conditions": {"cancel_on": ["x"]}}, lambda q: q.emit("x", now=CLOSED + 10), "cancelled event x"),
    "its start-by": ({"expires_at": CLOSED + 100}, lambda q: None, "expired"),
}


@pytest.mark.parametrize("back", ["returned", "reaped"])
@pytest.mark.parametrize("why", CLAIMED)
def test_an_opener_that_is_claimed_and_never_begun_hands_over_too(queue: Queue, why: str, back: str) -> None:
    options, end, said = CLAIMED[why]
    three(queue, **options)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.attend(now=CLOSED + 5)
    end(queue)
    if back == "returned":
        queue.settle(started, "return", now=CLOSED + 200)
    else:
        queue.reap(now=CLOSED + HOUR)

    assert runs(queue, now=CLOSED + 2 * HOUR) == {"b": ["b", "c"]}
    assert ends(queue, "a", "c") == [said, "skipped merged into b"]
    assert queue.task("a")["payload"] == '"a"' and "frozen" not in queue.task("a")


@pytest.mark.parametrize("told", ["begun", "failed"])
def test_an_opener_whose_handler_has_begun_keeps_all_of_it(queue: Queue, told: str) -> None:
    three(queue)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    assert queue.begin(started, now=CLOSED) if told == "begun" else queue.settle(started, "retry", now=CLOSED)
    queue.attend(now=CLOSED + 1000)
    assert ends(queue, "b", "c") == ["skipped merged into a"] * 2
    cancel(queue, "a", now=CLOSED + 1000)
    if told == "begun":
        queue.settle(started, "cancelled", "stopped", now=CLOSED + 1000)

    assert runs(queue, now=CLOSED + HOUR) == {}
    assert ends(queue, "a")[0].startswith("cancelled")


@pytest.mark.parametrize("state", ["scheduled", "ready", "paused"])
def test_an_opener_that_gets_other_conditions_runs_by_itself(queue: Queue, state: str) -> None:
    three(queue)
    if state == "paused":
        queue.send(protocol.pause(queue.keys, "queue", reason="", until=None))
    if state != "scheduled":
        queue.promote(now=CLOSED)
    queue.send(protocol.update(queue.keys, ["a"], {"conditions": None}, max_payload=99), now=CLOSED)
    if state == "paused":
        queue.send(protocol.resume(queue.keys, "queue"), now=CLOSED)

    assert {task.id: task.payload for task in work(queue)} == {"a": b'"a"', "b": b'{"items":["b","c"]}'}


def test_an_opener_with_retention_0_is_still_handed_over(queue: Queue) -> None:
    for name in "ab":
        join(queue, name, retention_ms=0)
    cancel(queue, "a")
    queue.send(protocol.sweep([queue.keys]), now=NOW + 60_000)

    assert runs(queue, now=NOW + 60_000) == {"b": ["b"]}


def test_handing_over_a_large_digest_is_no_more_work_than_a_small_one(real_queue: Queue) -> None:
    def commands() -> int:
        found: dict[str, dict[str, int]] = real_queue.redis.info("commandstats")  # type: ignore[assignment]
        return sum(one["calls"] for name, one in found.items() if "scan" not in name)

    def handed_over(size: int) -> int:
        plan = json.dumps({"digest": {"key": f"k{size}"}})
        names = [f"s{size}.{number}" for number in range(size)]
        real_queue.enqueue(*((name, 0, {"conditions": plan, "payload": "1"}) for name in names))
        before = commands()
        real_queue.run("cancel", [real_queue.keys.due], [NOW, "", names[0]])
        return commands() - before

    few = handed_over(3)
    assert handed_over(600) <= few


def test_the_first_has_its_own_payload_again_where_it_leaves_a_digest_that_was_claimed_in_vain(queue: Queue) -> None:
    three(queue)
    queue.promote(now=CLOSED)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.settle(started, "return", now=CLOSED)

    other = {"conditions": {"unless": {"fact": "x"}}}
    queue.send(protocol.update(queue.keys, ["a"], other, max_payload=99), now=CLOSED)
    for now in (CLOSED, CLOSED + 1000):
        queue.attend(now=now)
        queue.promote(now=now)

    payloads = {task.id: json.loads(task.payload) for task in queue.claim(now=CLOSED + 1000).tasks}
    assert payloads == {"a": "a", "b": {"items": ["b", "c"]}}


def test_the_first_that_is_looked_at_again_later_runs_without_the_items_of_the_others(queue: Queue) -> None:
    three(queue, conditions={"unless": {"fact": "x"}, "otherwise": {"again": 1000}})
    queue.promote(now=CLOSED)
    queue.claim(now=CLOSED)
    queue.redis.set(queue.key("fact:x"), "1")
    queue.reap(now=CLOSED + HOUR)
    queue.promote(now=CLOSED + HOUR)
    queue.redis.delete(queue.key("fact:x"))

    ran = {}
    for now in (CLOSED + HOUR + 1000, CLOSED + HOUR + 2000, CLOSED + HOUR + 3000):
        queue.attend(now=now)
        queue.promote(now=now)
        ran |= {task.id: json.loads(task.payload)["items"] for task in queue.claim(now=now).tasks}

    assert ran == {"a": ["a"], "b": ["b", "c"]}
