"""Digests: what is collected under a key is one run, with the items that its tasks had when it closed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.model.explain import explained
from redsched.wire import protocol
from tests.support.acts import update
from tests.support.digests import CLOSED, cancel, ends, join, ready, runs, three, work
from tests.support.lua_queue import HOUR, NOW, Queue


def test_what_started_belongs_to_its_run_and_a_dead_letter_holds_all_of_it(queue: Queue) -> None:
    three(queue)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.settle(started, "dead", "broken", now=CLOSED)
    assert runs(queue) == {}
    assert ends(queue, *"abc") == ["dead broken", "skipped merged into a", "skipped merged into a"]

    queue.send(protocol.revive(queue.keys, ["a"], delay="0s"), now=CLOSED)
    assert runs(queue) == {"a": ["a", "b", "c"]}


def test_what_has_run_and_is_revived_before_the_mover_looks_hands_its_items_to_nobody(queue: Queue) -> None:
    three(queue, conditions={"unless": {"fact": "x"}, "otherwise": {"again": 1_000}})
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    queue.begin(started, now=CLOSED)
    queue.settle(started, "dead", "broken", now=CLOSED)
    queue.send(protocol.revive(queue.keys, ["a"], delay="0s"), now=CLOSED)
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


def test_the_bytes_of_a_digest_are_counted_anew_where_an_item_is_replaced(queue: Queue) -> None:
    three(queue)

    assert update(queue, ["b"], payload=json.dumps("b" * 50)) == ["updated"]

    items = queue.redis.hgetall(queue.key(f"items:q:{queue.task('b')['into']}"))
    assert int(items[":bytes"]) == sum(len(item) for name, item in items.items() if name[0] != ":") == 3 + 52 + 3


def test_the_others_of_a_digest_end_as_soon_as_its_run_has_ended(queue: Queue) -> None:
    three(queue)
    ready(queue)
    (started,) = queue.claim(now=CLOSED).tasks
    for _ in range(3):
        queue.attend(now=CLOSED)  # the look that the claim asked for
    before = queue.task("b").get("state")

    queue.settle(started, "complete", now=CLOSED)
    queue.attend(now=CLOSED)

    assert (before, queue.task("b")["state"]) == ("held", "skipped")


def test_the_bytes_of_an_item_that_left_its_digest_do_not_close_it(queue: Queue) -> None:
    long = json.dumps("x" * 120_000)
    join(queue, "a")
    join(queue, "b", payload=long)
    cancel(queue, "b")
    join(queue, "c", payload=long)

    assert queue.places()["due"] == {"a": CLOSED}, "two of them would close it at once"
