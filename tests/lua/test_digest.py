"""Digests: whatever becomes of one of their tasks, the items of the others run, each in one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from redsched.model.explain import explained
from redsched.wire import protocol
from redsched.wire.claims import Started
from tests.support.lua_queue import HOUR, NOW, Queue

CLOSED = NOW + 1000  # when a digest closes to which nothing was added since NOW


def join(queue: Queue, name: str, *, now: int = NOW, conditions: dict[str, Any] | None = None, **more: Any) -> str:
    """One task of a digest with a grace of a second; its item is its name."""
    size = {"size": more.pop("size")} if "size" in more else {}
    plan = {"digest": {"key": "k", "grace": 1000, **size}} | (conditions or {})
    return queue.plan(name, plan, now=now, **({"payload": json.dumps(name)} | more))


def three(queue: Queue, **first: Any) -> None:
    """A digest of a, b and c; options are those of a."""
    assert [join(queue, "a", **first), join(queue, "b"), join(queue, "c")] == ["created", "merged a", "merged a"]


def cancel(queue: Queue, *names: str, now: int = NOW) -> list[str]:
    """What cancel answers."""
    return list(queue.send(protocol.cancel(queue.keys, names), now=now).values())


def ready(queue: Queue, *, now: int = CLOSED) -> None:
    """Close what is due, however many looks that takes."""
    for _ in range(8):
        queue.promote(now=now)


def work(queue: Queue, *, now: int = CLOSED) -> list[Started]:
    """Close, start and complete what is due; what was started."""
    found: list[Started] = []
    for _ in range(8):
        queue.attend(now=now)
        queue.promote(now=now)
        for task in queue.claim(now=now).tasks:
            found.append(task)
            assert queue.settle(task, "complete", now=now) == "completed"
        queue.attend(now=now)
    return found


def runs(queue: Queue, *, now: int = CLOSED) -> dict[str, Any]:
    """The items of what was due, by the task that ran."""
    return {task.id: json.loads(task.payload)["items"] for task in work(queue, now=now)}


def ends(queue: Queue, *names: str) -> list[str]:
    """The state and the reason of each."""
    found = [queue.task(name) for name in names]
    return [f"{task.get('state', 'scheduled')} {task.get('reason', '')}".strip() for task in found]


def spoil(queue: Queue) -> None:
    """Somebody overwrites the task a."""
    queue.redis.hset(queue.keys.task("a"), "priority", "urgent")


def replace(queue: Queue) -> None:
    """Somebody puts a text where the task a was."""
    queue.redis.delete(queue.keys.task("a"))
    queue.redis.set(queue.keys.task("a"), "text")
    queue.broken.add("a")


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


MEMBERS: dict[str, tuple[dict[str, Any], Callable[[Queue], Any], str]] = {
    "cancel": ({}, lambda q: cancel(q, "b"), "cancelled cancelled"),
    "an event": ({"conditions": {"cancel_on": ["x"]}}, lambda q: q.emit("x"), "cancelled event x"),
    "a fact": ({"conditions": {"cancel_on": ["x"]}}, lambda q: q.redis.set(q.key("fact:x"), 1), "cancelled event x"),
    "unless": ({"conditions": {"unless": {"fact": "x"}}}, lambda q: q.emit("x"), "skipped unless x"),
    "only_if": (
        {"conditions": {"only_if": {"fact": "x", "exists": False}}}, lambda q: q.emit("x"), "skipped only_if x",
    ),
    "its start-by": ({"expires_at": NOW + 900}, lambda q: None, "expired"),
    "a bad plan": ({}, lambda q: q.redis.hset(q.keys.task("b"), "conditions", "{"), "dead malformed"),
    "another task": (
        {"conditions": {"unique": {"key": "u", "mode": "replace"}}},
        lambda q: q.plan("z", {"unique": {"key": "u", "mode": "replace"}}, due=NOW + HOUR), "cancelled replaced by z",
    ),
}  # fmt: skip


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
        queue.send(protocol.reschedule(queue.keys, ["b"], delay=0), now=CLOSED)
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


def test_what_started_belongs_to_its_run_and_a_dead_letter_holds_all_of_it(queue: Queue) -> None:
    three(queue)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.settle(started, "dead", "broken", now=CLOSED)
    assert runs(queue) == {}
    assert ends(queue, *"abc") == ["dead broken", "skipped merged into a", "skipped merged into a"]

    queue.send(protocol.revive(queue.keys, ["a"], delay=0), now=CLOSED)
    assert runs(queue) == {"a": ["a", "b", "c"]}


def test_what_has_run_and_is_revived_before_the_mover_looks_hands_its_items_to_nobody(queue: Queue) -> None:
    three(queue, conditions={"unless": {"fact": "x"}, "otherwise": {"again": 1_000}})
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.begin(started, now=CLOSED)
    queue.settle(started, "dead", "broken", now=CLOSED)
    queue.send(protocol.revive(queue.keys, ["a"], delay=0), now=CLOSED)
    queue.redis.set(queue.key("fact:x"), 1)

    assert runs(queue) == {}, "it is looked at again in a second"
    assert ends(queue, *"bc") == ["skipped merged into a", "skipped merged into a"]

    queue.redis.delete(queue.key("fact:x"))
    assert runs(queue, now=CLOSED + 1_000) == {"a": ["a", "b", "c"]}


@pytest.mark.parametrize("end", ["retry", "snooze", "return"])
def test_a_digest_that_runs_again_has_the_same_items(queue: Queue, end: str) -> None:
    three(queue)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.settle(started, end, "" if end == "return" else 500, now=CLOSED)
    assert join(queue, "d", now=CLOSED) == "created"

    assert runs(queue, now=CLOSED + 500) == {"a": ["a", "b", "c"]}
    assert runs(queue, now=CLOSED + 1000) == {"d": ["d"]}


def test_a_digest_that_is_forgotten_before_the_mover_looks_ran_once(queue: Queue) -> None:
    for name in "abc":
        join(queue, name, retention_ms=0)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.settle(started, "complete", now=CLOSED)
    queue.send(protocol.sweep([queue.keys]), now=CLOSED + HOUR)
    assert queue.task("a") == {}

    assert runs(queue, now=CLOSED + HOUR) == {}
    assert ends(queue, "b", "c") == ["skipped merged into a"] * 2
    queue.send(protocol.sweep([queue.keys]), now=CLOSED + 2 * HOUR)
    assert not [key for key in queue.dump() if ":task:" in key]


def test_an_opener_with_retention_0_is_still_handed_over(queue: Queue) -> None:
    for name in "ab":
        join(queue, name, retention_ms=0)
    cancel(queue, "a")
    queue.send(protocol.sweep([queue.keys]), now=NOW + 60_000)

    assert runs(queue, now=NOW + 60_000) == {"b": ["b"]}


def test_those_that_come_after_a_task_of_a_digest_wait_for_its_end(queue: Queue) -> None:
    three(queue)
    queue.plan("child", {"after": {"ids": ["b"], "on": "either"}}, payload='{"items":"child"}')
    cancel(queue, "a")
    assert queue.task("child")["blocked"] == "parents"

    assert runs(queue) == {"b": ["b", "c"], "child": "child"}


def test_a_repeated_submit_is_answered_as_the_first_was(queue: Queue) -> None:
    assert join(queue, "a", request="r") == "created"
    assert [join(queue, "b", request="r") for _ in range(2)] == ["merged a"] * 2
    runs(queue)

    assert join(queue, "b", request="r", now=CLOSED) == "merged a"


def test_a_digest_takes_no_more_than_its_size(queue: Queue) -> None:
    conditions = {"conditions": json.dumps({"digest": {"key": "k", "grace": 1000, "size": 2}})}
    answers = queue.enqueue(*((name, 0, {**conditions, "payload": json.dumps(name)}) for name in "abcde"))

    assert answers == ["created", "merged a", "created", "merged c", "created"]
    assert runs(queue, now=NOW) == {"a": ["a", "b"], "c": ["c", "d"]}
    assert runs(queue) == {"e": ["e"]}


def test_a_digest_of_one_runs_at_once(queue: Queue) -> None:
    assert [join(queue, name, size=1) for name in "ab"] == ["created", "created"]

    assert runs(queue, now=NOW) == {"a": ["a"], "b": ["b"]}


def test_a_large_digest_closes_in_small_calls_and_what_comes_meanwhile_is_another(real_queue: Queue) -> None:
    queue = real_queue
    for number in range(70):
        join(queue, f"t{number}")
    cancel(queue, "t5")
    queue.redis.set(queue.key("fact:x"), 1)
    queue.promote(now=CLOSED)
    assert queue.places()["due"] == {"t0": CLOSED}
    assert join(queue, "next", now=CLOSED) == "created"

    assert runs(queue) == {"t0": [f"t{number}" for number in range(70) if number != 5]}
    assert runs(queue, now=CLOSED + 1000) == {"next": ["next"]}


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


def test_another_payload_of_one_that_waits_is_what_runs(queue: Queue) -> None:
    three(queue)
    for name in "ab":
        queue.send(protocol.update(queue.keys, [name], {"payload": f"new {name}"}, max_payload=99))

    assert runs(queue) == {"a": ["new a", "new b", "c"]}


def test_the_items_are_completed_from_facts_when_the_digest_closes(queue: Queue) -> None:
    late = {"late": {"n": {"fact": "n"}}}
    for name in "ab":
        join(queue, name, conditions=late, payload="{}")
    queue.redis.set(queue.key("fact:n"), 7)

    assert runs(queue) == {"a": [{"n": 7}, {"n": 7}]}


@pytest.mark.parametrize(
    ("payload", "item"),
    [
        ('1],"items":[2', '1],"items":[2'),
        ("1,2", "1,2"),
        ("", ""),
        ("no json", "no json"),
        ("01067", "01067"),
        ("nan", "nan"),
        ('{"a":0x1F}', '{"a":0x1F}'),
        ('"a\nb"', '"a\nb"'),
        ("[1", "[1"),
        ('{"a":[-.5]}', '{"a":[-.5]}'),
        (b'"\xff\xe4"', '"\ufffd\ufffd"'),
        (b"\xe2\x82", "\ufffd\ufffd"),
        ('"\u20ac"', "\u20ac"),
        ("1e5", 1e5),
        ('{"a":"01 nan [\\"]}"}', {"a": '01 nan ["]}'}),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_a_payload_that_is_no_json_is_a_text_among_the_items(
    queue: Queue, payload: str | bytes, item: Any, at: int
) -> None:
    names = ["bad", "good"] if at == 0 else ["good", "bad"]
    for name in names:
        queue.seed(name, conditions='{"digest":{"key":"k","grace":1000}}', payload="1")
        queue.redis.hset(queue.keys.task(name), "payload", payload if name == "bad" else "1")
        queue.promote()

    (started,) = work(queue)
    assert json.loads(started.payload) == {"items": [item, 1] if at == 0 else [1, item]}


def test_a_payload_that_is_overwritten_after_it_joined_spoils_nothing(queue: Queue) -> None:
    three(queue)
    queue.redis.hset(queue.keys.task("b"), "payload", "1],[")

    assert runs(queue) == {"a": ["a", "b", "c"]}


def test_one_that_is_too_long_is_dead_and_holds_up_nobody(queue: Queue) -> None:
    join(queue, "a")
    assert join(queue, "b", payload=json.dumps("x" * 300_000)) == "created"

    assert runs(queue) == {"a": ["a"]}
    assert ends(queue, "b") == ["dead malformed"]


def test_a_task_of_a_digest_tells_what_it_waits_for(queue: Queue) -> None:
    three(queue)
    cancel(queue, "a")
    told = [explained(queue.send(protocol.explain(queue.keys, name))) for name in "bc"]

    assert [one.code for one in told] == ["due_later", "in_digest"]
    assert told[1].text == "c is held: it is one of 2 tasks that become b, when their digest closes."


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
    queue.send(protocol.reschedule(queue.keys, ["b"], delay=2000))
    queue.promote(now=CLOSED)
    (a,) = queue.claim(now=CLOSED).tasks
    assert json.loads(a.payload) == {"items": ["a", "b"]}
    queue.redis.set(queue.key("fact:x"), "1")

    queue.promote(now=NOW + 2000)
    queue.settle(a, "complete", now=NOW + 2000)
    queue.attend(now=NOW + 2000)

    assert queue.task("b")["reason"] == "merged into a"
