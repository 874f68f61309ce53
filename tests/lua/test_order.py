"""Order and uniqueness: the line of a key, one task of a key at a time, many merged into one."""

from __future__ import annotations

import json

import pytest

from redsched.wire import protocol
from tests.support.acts import run
from tests.support.lua_queue import HOUR, NOW, Queue

FIFO = {"fifo": True}
NO_END = 4 * 10**12  # the score of a hold that only its reason ends


def test_tasks_of_a_key_start_in_the_order_in_which_they_came_whatever_their_due_times(queue: Queue) -> None:
    queue.plan("a", FIFO, due=NOW + 1000, key="k")
    queue.plan("b", FIFO, key="k")
    queue.plan("c", FIFO, key="other")
    assert queue.task("b")["blocked"] == "line"

    assert run(queue) == ["c"]
    assert run(queue, now=NOW + 1000) == ["a"]
    assert run(queue, now=NOW + 1000) == ["b"]


def test_a_retry_keeps_its_place_in_the_line(queue: Queue) -> None:
    queue.plan("a", FIFO, key="k")
    queue.plan("b", FIFO, key="k")
    (a,) = queue.claim().tasks

    queue.settle(a, "retry", 500, "again")

    assert run(queue) == []
    assert run(queue, now=NOW + 500) == ["a"]
    assert run(queue, now=NOW + 500) == ["b"]


@pytest.mark.parametrize("end", ["dead", "cancelled"])
def test_the_next_in_line_goes_on_however_the_first_ended(queue: Queue, end: str) -> None:
    queue.plan("a", FIFO, key="k")
    queue.plan("b", FIFO, key="k")
    (a,) = queue.claim().tasks

    queue.settle(a, end, "why")

    assert run(queue) == ["b"]


def test_the_next_in_line_that_was_judged_before_the_first_stays_due(queue: Queue) -> None:
    queue.plan("first", {**FIFO, "unless": {"fact": "x"}}, due=NOW + 2, key="k")
    queue.plan("next", FIFO, due=NOW + 1, key="k")
    queue.emit("x")

    queue.promote(now=NOW + 2)

    assert queue.task("first")["state"] == "skipped"
    assert queue.places()["due"] == {"next": NOW + 2}


def test_one_that_is_cancelled_leaves_the_line(queue: Queue) -> None:
    for name in "abc":
        queue.plan(name, FIFO, key="k")
    queue.run("cancel", [queue.keys.due], [NOW, "", "a", "b"])

    assert run(queue) == ["c"]
    assert not [key for key in queue.dump() if ":line:" in key]


def test_a_line_whose_first_is_gone_goes_on_by_itself(queue: Queue) -> None:
    queue.plan("a", FIFO, key="k")
    queue.plan("b", FIFO, key="k")
    queue.redis.delete(queue.keys.task("a"))
    queue.broken.add("a")

    queue.attend(now=NOW + 60_000)

    assert run(queue, now=NOW + 60_000) == ["b"]


def test_a_second_task_of_a_unique_key_is_rejected_and_nothing_is_written(queue: Queue) -> None:
    queue.plan("a", {"unique": {"key": "k"}}, due=NOW + HOUR)

    assert queue.plan("b", {"unique": {"key": "k"}}) == "rejected a"
    assert queue.task("b") == {}
    assert queue.totals()["enqueued"] == 1


@pytest.mark.parametrize("gone", ["ended", "started"])
def test_a_repeated_call_is_rejected_as_the_first_one_was_though_nobody_has_the_key_any_more(
    queue: Queue, gone: str
) -> None:
    unique = json.dumps({"unique": {"key": "k", "release": "start" if gone == "started" else "end"}})
    queue.plan("a", json.loads(unique))
    after = json.dumps({"after": {"ids": ["b"]}})
    call = (
        ("b", 0, {"conditions": unique, "request": "r 1"}),
        ("c", 0, {"conditions": after, "request": "r2"}),
        ("d", 0, {"request": "r3"}),
    )
    first = queue.enqueue(*call)
    assert first[0] == "rejected a" and queue.task("c")["state"] == "cancelled"
    (a,) = [one for one in queue.claim().tasks if one.id == "a"]
    if gone == "ended":
        queue.settle(a, "complete")

    assert queue.enqueue(*call, now=NOW + 50_000) == first

    assert queue.task("b") == {}
    assert 50_000 < queue.redis.pttl(queue.key("unique:q:k b")) <= 60_000
    assert queue.enqueue(("b", 0, {"conditions": unique, "request": "another"})) == ["created"]


@pytest.mark.parametrize(("release", "word"), [("start", "created"), ("end", "rejected a")])
def test_it_counts_until_it_starts_or_until_it_ends(queue: Queue, release: str, word: str) -> None:
    unique = {"unique": {"key": "k", "release": release}}
    queue.plan("a", unique)
    (a,) = queue.claim().tasks

    assert queue.plan("b", unique) == word
    queue.settle(a, "complete")
    assert queue.plan("c", unique) == ("created" if release == "end" else "rejected b")


def test_a_throttle_counts_for_its_time_whatever_became_of_the_first(queue: Queue) -> None:
    unique = {"unique": {"key": "k", "release": "ttl", "ttl": 60_000}}
    queue.plan("a", unique)
    assert run(queue) == ["a"]

    assert queue.plan("b", unique) == "rejected a"
    assert 0 < queue.redis.pttl(queue.key("unique:q:k")) <= 60_000


def test_a_newer_task_replaces_one_that_waits(queue: Queue) -> None:
    replace = {"unique": {"key": "k", "mode": "replace"}}
    queue.plan("a", replace, due=NOW + HOUR)

    assert queue.plan("b", replace, due=NOW + HOUR) == "created"

    assert queue.task("a")["reason"] == "replaced by b"
    assert queue.places()["due"] == {"b": NOW + HOUR}


def test_a_debounced_task_starts_a_while_after_the_last_but_not_too_late(queue: Queue) -> None:
    debounce = {"unique": {"key": "k", "mode": "debounce", "longest": 2500}}
    dues = []
    for at, name in enumerate("abc"):
        queue.plan(name, debounce, due="+1500", now=NOW + 1000 * at)
        dues.append(queue.places()["due"])

    assert dues == [{"a": NOW + 1500}, {"b": NOW + 2500}, {"c": NOW + 2500}]


def test_the_last_that_came_while_the_first_ran_runs_after_it(queue: Queue) -> None:
    keep = {"unique": {"key": "k", "mode": "keep_last"}}
    queue.plan("a", keep)
    (a,) = queue.claim().tasks
    queue.plan("b", keep)
    queue.plan("c", keep)
    assert queue.claim().tasks == []

    queue.settle(a, "complete")

    assert run(queue) == ["c"]
    assert queue.task("b")["reason"] == "replaced by c"
    assert queue.key("unique:q:k") not in queue.dump()


@pytest.mark.parametrize("mode", ["reject", "replace", "debounce"])
@pytest.mark.parametrize("raw", [False, True])
def test_the_last_waits_for_one_of_its_key_that_runs_whatever_mode_that_has(queue: Queue, mode: str, raw: bool) -> None:
    keep = {"unique": {"key": "k", "mode": "keep_last"}}
    queue.plan("a", {"unique": {"key": "k", "mode": mode}})
    (a,) = queue.claim().tasks

    if raw:
        queue.seed("b", conditions=json.dumps(keep))
    else:
        queue.plan("b", keep)
    assert run(queue) == []
    queue.settle(a, "retry", 500, "again")
    assert run(queue) == []

    assert run(queue, now=NOW + 500) == ["a"]
    assert run(queue, now=NOW + 500) == ["b"]
    assert not [key for key in queue.dump() if ":line:" in key or ":unique:" in key]


def test_one_that_was_replaced_while_it_ran_still_counts(queue: Queue) -> None:
    queue.plan("a", {"unique": {"key": "k", "mode": "replace"}})
    (a,) = queue.claim().tasks
    queue.plan("b", {"unique": {"key": "k", "mode": "replace"}})
    assert run(queue) == ["b"]

    assert queue.plan("c", {"unique": {"key": "k"}}) == "rejected a"
    queue.plan("d", {"unique": {"key": "k", "mode": "keep_last"}})
    assert run(queue) == []
    queue.settle(a, "complete")

    assert run(queue) == ["d"]


def digest(queue: Queue, name: str, n: int, *, now: int = NOW, **more: int) -> str:
    """One task of a digest with a grace of a second."""
    conditions = {"digest": {"key": "k", "grace": 1000, **more}}
    return queue.plan(name, conditions, payload=json.dumps({"n": n}), now=now)


def test_tasks_of_a_digest_are_merged_into_the_first(queue: Queue) -> None:
    answers = [digest(queue, name, n, now=NOW + n * 500) for n, name in enumerate("abc")]
    assert answers == ["created", "merged a", "merged a"]
    assert queue.places() == {"due": {"a": NOW + 2000}, "held": {"b": NO_END, "c": NO_END}}

    queue.promote(now=NOW + 2000)
    (started,) = queue.claim(now=NOW + 2000).tasks
    queue.begin(started, now=NOW + 2000)
    queue.attend(now=NOW + 2000)

    assert json.loads(started.payload) == {"items": [{"n": 0}, {"n": 1}, {"n": 2}]}
    assert (queue.task("b")["state"], queue.task("b")["reason"]) == ("skipped", "merged into a")
    assert digest(queue, "d", 3, now=NOW + 2000) == "created"


def test_a_digest_does_not_wait_longer_than_it_says_nor_grow_beyond_its_size(queue: Queue) -> None:
    for n, name in enumerate("abc"):
        digest(queue, name, n, now=NOW + n * 900, longest=1500)
    assert queue.places()["due"] == {"a": NOW + 1500}

    for n, name in enumerate("xyz"):
        digest(queue.other("r"), name, n)
    queue.promote(now=NOW + 1500)
    assert digest(queue, "d", 1, now=NOW + 1500, size=2) == "created"
    assert digest(queue, "e", 2, now=NOW + 1500, size=2) == "merged d"
    assert queue.places()["due"] == {"d": NOW + 1500}


def test_the_same_id_is_merged_once(queue: Queue) -> None:
    digest(queue, "a", 0)
    digest(queue, "b", 1)
    assert digest(queue, "b", 1) == "existing"

    assert queue.redis.zrange(queue.key(f"members:q:a/{NOW}"), 0, -1) == ["a", "b"]


def test_a_digest_whose_tasks_are_cancelled_leaves_nothing_behind(queue: Queue) -> None:
    digest(queue, "a", 0)
    digest(queue, "b", 1)

    queue.run("cancel", [queue.keys.due], [NOW, "", "a", "b"])
    queue.check()

    kinds = (":items:", ":members:", ":digest:", ":agenda")
    assert not [key for key in queue.dump() if any(kind in key for kind in kinds)]
    assert digest(queue, "c", 2) == "created"


def test_a_digest_that_was_paused_when_it_was_due_loses_nothing(queue: Queue) -> None:
    digest(queue, "a", 0)
    digest(queue, "b", 1)
    queue.send(protocol.pause(queue.keys, "queue", reason="", until=None))
    queue.promote(now=NOW + 1000)
    digest(queue, "c", 2, now=NOW + 1000)
    queue.send(protocol.resume(queue.keys, "queue"), now=NOW + 2000)
    for at in (2000, 4000):
        queue.attend(now=NOW + at)
        queue.promote(now=NOW + at)

    found = [json.loads(task.payload)["items"] for task in queue.claim(now=NOW + 4000).tasks]
    assert sorted(item["n"] for items in found for item in items) == [0, 1, 2]


def test_a_task_whose_conditions_change_leaves_its_digest_to_the_others(queue: Queue) -> None:
    digest(queue, "a", 0)
    digest(queue, "b", 1)
    queue.run("update", [queue.keys.due], [NOW, 1, "conditions", "", "a"])
    assert digest(queue, "c", 2) == "merged b"
    queue.promote(now=NOW + 1000)

    found = {task.id: json.loads(task.payload) for task in queue.claim(now=NOW + 1000).tasks}
    assert found == {"a": {"n": 0}, "b": {"items": [{"n": 1}, {"n": 2}]}}


def test_a_digest_of_raw_tasks_is_one_task_too(queue: Queue) -> None:
    conditions = '{"digest":{"key":"k","grace":1000}}'
    queue.seed("a", conditions=conditions, payload="1")
    queue.seed("b", conditions=conditions, payload="2")
    queue.promote()
    queue.promote(now=NOW + 1000)

    assert queue.claim(now=NOW + 1000).tasks[0].payload == b'{"items":[1,2]}'


def test_a_digest_that_is_paused_while_it_is_open_keeps_what_was_merged_into_it(queue: Queue) -> None:
    digest = {"digest": {"key": "d", "grace": 1000}}
    queue.plan("a", digest, payload='"a"')
    queue.plan("b", digest, payload='"b"')
    queue.send(protocol.pause(queue.keys, "type:t", reason="", until=None))
    queue.promote(now=NOW + 1000)
    assert queue.task("a")["blocked"] == "pause:type:t"
    queue.plan("c", digest, payload='"c"', type="other", now=NOW + 1000)
    queue.send(protocol.resume(queue.keys, "type:t"), now=NOW + 2000)
    queue.attend(now=NOW + 2000)
    queue.promote(now=NOW + 2000)

    (started,) = queue.claim(now=NOW + 2000).tasks
    assert (started.id, json.loads(started.payload)) == ("a", {"items": ["a", "b", "c"]})
