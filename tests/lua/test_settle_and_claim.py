"""Settling and claiming in one call: it leaves and answers what the two calls would, one after the other."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import msgspec
import pytest

from redsched.wire import protocol
from redsched.wire.claims import Bell, Claimed, Settlement, Started
from tests.support.consistency import everything
from tests.support.lua_queue import LEASE, NOW, Queue

FIRST, NONCE = "0" * 16, "0123456789abcdef"
OUTCOMES = (
    ("complete", '{"n":1}', "", ""),
    ("complete", "", "", ""),
    ("retry", "", "it failed", "a trace"),
    ("retry", "0", "it failed", ""),
    ("snooze", "0", "", ""),
    ("snooze", "5000", "", ""),
    ("return", "", "", ""),
    ("return", "unhandled", "", ""),
    ("dead", "payload", "no", ""),
    ("cancelled", "asked", "", ""),
)
PLANS: tuple[dict[str, Any], ...] = (
    {"unique": {"key": "u1", "mode": "keep_last"}},
    {"unique": {"key": "u2"}},
    {"fifo": True},
    {"cancel_on": ["paid:o"]},
    {"digest": {"key": "d"}},
)


def world(queue: Queue, seed: int) -> tuple[list[Settlement], list[Bell]]:
    """Tasks of every kind in two queues, some of them claimed; how those end, and bells of some that are ready."""
    for key in queue.redis.scan_iter(match=f"{{{queue.namespace}}}:*", count=1_000):
        queue.redis.delete(key)
    queue.redis.hset(queue.key("meta"), "virtual_clock", 1)
    rng = random.Random(seed)
    for wave in range(2):
        queues = [queue.keys, queue.other("r").keys]
        tasks: list[Any] = []
        for at in range(rng.randint(3, 12)):
            fields: dict[str, Any] = {"retry": "fixed 100", "key": rng.choice("kl")}
            for name, values in (
                ("priority", ("high", "low")),
                ("max_attempts", ("1", "2")),
                ("expires_at", (str(NOW + 1_000),)),
                ("retention_ms", ("0", "60000")),
                ("keep", ("1",)),
                ("headers", ('{"a":"b"}',)),
                ("conditions", tuple(map(json.dumps, PLANS))),
            ):
                if rng.random() < 0.2:
                    fields[name] = rng.choice(values)
            tasks.append((f"t{wave}.{at}", 0, fields, rng.choice((1, 1, 2))))
        queue.enqueue(*tasks)
        if wave == 0:
            started = queue.send(claim(queues, FIRST, "w", rng.randint(1, 8))).tasks
    ends = [Settlement(one.queue, one.id, f"{one.attempt}.{FIRST}", *rng.choice(OUTCOMES)) for one in started]
    if ends and rng.random() < 0.3:
        ends.append(ends[0])
    if rng.random() < 0.3:
        ends.append(Settlement("q", "nobody", "1.x", "complete"))
    if started and rng.random() < 0.3:
        queue.send(protocol.cancel(queue.keys, [started[0].id]))
    bells = [
        Bell("q", f"normal/{at}", fields["id"])
        for at, fields in queue.redis.execute_command("XRANGE", queue.key("ready:q"), "-", "+", "COUNT", 2)
        if rng.random() < 0.5
    ]
    return ends or [Settlement("q", "nobody", "1.x", "complete")], bells


def claim(queues: Any, nonce: str, consumer: str, count: int, bells: Any = ()) -> Any:
    """A call of claim with a nonce that is known."""
    call = protocol.claim(queues, consumer=consumer, count=count, lease_ms=LEASE, bells=bells)
    return msgspec.structs.replace(call, args=[*call.args[:2], nonce, *call.args[3:]])


def left(queue: Queue) -> Any:
    """Every key of the namespace, but for the numbers of entries, which are of the server's clock."""
    keys = everything(queue.redis, queue.key("*"))
    assert len(keys) > 5
    return json.loads(re.sub(r"\b\d{10,}-\d+\b", "<at>", json.dumps(keys, sort_keys=True, default=sorted)))


def shape(words: list[str], claimed: Claimed) -> Any:
    """What was answered, but for the nonce that Python had drawn."""
    return words, claimed.now, claimed.more, [(one.queue, one.id, one.attempt, one.due_at) for one in claimed.tasks]


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_one_call_leaves_and_answers_what_two_do(real_queue: Queue, first: int) -> None:
    settled = set[str]()
    for seed in range(first, first + 20):
        compare(real_queue, seed, settled)

    assert settled >= {"completed", "scheduled", "ready", "dead", "cancelled", "lost", "already"}


def compare(queue: Queue, seed: int, settled: set[str]) -> None:
    """Both ways in the same world; ``settled`` gets the words of what was settled."""
    later, counts = NOW + random.Random(seed).choice((10, 2_000)), random.Random(-seed)
    asked = [queue.keys, queue.other("r").keys][: counts.randint(1, 2)]
    n = counts.choice((1, 3, 50))

    ends, bells = world(queue, seed)
    words = queue.send(protocol.settle(queue.cell, ends), now=later)
    claimed = queue.send(claim(asked, NONCE, "w", n, bells), now=later)
    two, after_two = shape(words, claimed), left(queue)
    settled.update(words)
    ends, bells = world(queue, seed)
    call = protocol.settle_and_claim(queue.cell, ends, claim(asked, NONCE, "w", n, bells))
    one, after_one = shape(*queue.send(call, now=later)), left(queue)

    assert one == two
    assert after_one == after_two


def test_a_repeated_call_settles_nothing_again_and_answers_the_same_tasks(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}), ("b", 0, {}), ("c", 0, {}))
    (started,) = queue.claim(1).tasks
    call = both(queue, started, count=1)

    first = queue.send(call)
    again = queue.send(call)

    assert (first[0], again[0]) == (["completed"], ["already"])
    assert [one.id for one in first[1].tasks] == [one.id for one in again[1].tasks] == ["b"]
    assert queue.task("c")["state"] == "ready"
    assert queue.totals()["completed"] == 1


def test_a_call_that_asks_for_no_task_settles_and_starts_none(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}), ("b", 0, {}))
    (started,) = queue.claim(1).tasks

    words, claimed = queue.send(both(queue, started, count=0))

    assert (words, claimed.tasks) == (["completed"], [])
    assert queue.task("b")["state"] == "ready"


def both(queue: Queue, started: Started, *, count: int) -> Any:
    """A call that completes a claim and claims more."""
    ends = [Settlement(started.queue, started.id, started.token, "complete")]
    return protocol.settle_and_claim(queue.cell, ends, claim([queue.keys], NONCE, "w", count))


@pytest.mark.parametrize("kind", ["bound", "snooze"])
def test_claims_that_follow_64_which_take_long_are_left_for_the_next_call(queue: Queue, kind: str) -> None:
    """A task that others wait for is entered in each of them: only so many of these may hold the server in one call."""
    ids = [f"t{n:02}" for n in range(70)]
    queue.enqueue(*((task_id, 0, {}) for task_id in ids))
    if kind == "bound":
        for task_id in ids:
            assert queue.plan(f"after-{task_id}", {"after": {"ids": [task_id]}}) == "created"
    running = queue.claim(70).tasks
    outcome, first = ("complete", "") if kind == "bound" else ("snooze", "9000")
    ends = [Settlement("q", one.id, one.token, outcome, first) for one in running]
    call = protocol.settle_and_claim(queue.cell, ends, claim([queue.keys], NONCE, "w", 0))

    words, _ = queue.send(call)
    states = [queue.task(task_id)["state"] for task_id in ids]
    again, _ = queue.send(call)

    told = "completed" if kind == "bound" else "scheduled"
    assert words == [told] * 64 + ["later"] * 6
    assert states == [told] * 64 + ["running"] * 6
    assert again == ["already"] * 64 + [told] * 6


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((1, 0, 1, "a", "1.x", "finished", "", "", ""), "RS_INVALID 1 outcome must be"),
        ((1, 0, 2, "a", "1.x", "complete", "", "", ""), "RS_INVALID 1 outcome must be"),
        ((1, 0, 1, "a", "1.x", "complete", "", ""), "RS_INVALID 1 outcome must be"),
        ((1, 1, 1, "a", "1.x", "complete", "", "", ""), "RS_INVALID 1 bell is no entry"),
        ((1, 1, 2, "normal/1-1", "a"), "RS_INVALID 1 bell is no entry"),
        ((1, 2, 1, "normal/1-1", "a"), "RS_INVALID 1 bell is no entry"),
        (("one", 0), "RS_INVALID 1 queues must be a whole number"),
        ((1, "-1"), "RS_INVALID 1 bells must be a whole number"),
        ((1,), "RS_INVALID 1 bells is missing"),
    ],
)
def test_a_call_of_which_a_word_is_wrong_does_nothing(queue: Queue, words: tuple[Any, ...], why: str) -> None:
    queue.enqueue(("a", 0, {}), ("b", 0, {}))
    queue.claim(1)

    assert queue.refused("settle_and_claim", NOW, "w", NONCE, 1, LEASE, *words).startswith(why)


def test_a_claim_of_another_queue_is_settled_and_that_queue_is_not_claimed_from(queue: Queue) -> None:
    other = queue.other("r")
    queue.enqueue(("a", 0, {}), ("b", 0, {}, 2), ("c", 0, {}, 2))
    (started,) = other.claim(1).tasks

    words, claimed = queue.send(both(queue, started, count=5))

    assert words == ["completed"]
    assert [(one.queue, one.id) for one in claimed.tasks] == [("q", "a")]
    assert other.task("c")["state"] == "ready"


def test_a_call_claims_from_no_more_than_sixteen_queues(queue: Queue) -> None:
    (last, started), others = (queue.other("last"), queue.running("a")), [queue.other(f"q{at}") for at in range(15)]
    last.enqueue(("b", 0, {}))
    words = [NOW, "w", NONCE, 5, LEASE, 17, 0, 1, "a", started.token, "complete", "", "", ""]

    settled, claimed = queue.run("settle_and_claim", [one.keys.due for one in (queue, *others, last)], words)

    assert settled == [b"completed"]
    assert claimed == [NOW, 0]
    assert last.task("b")["state"] == "ready"
