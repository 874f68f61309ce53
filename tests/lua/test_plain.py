"""The short way of tasks that are plain: what it writes and answers is what the long way writes and answers. And what a
call does not ask again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.call import Call
from tests.support.acts import words
from tests.support.lua_queue import LEASE, NOW, Queue

DUES = (0, NOW, NOW - 60_000, NOW + 5_000, NOW + 5_000, "+0", "+90000", "+90000", NOW + 7 * 86_400_000, 0)
LONG = {"priority": "normal"}  # what the short way leaves to the long way, and means the default


def enqueue(queue: Queue, *tasks: list[Any]) -> list[str]:
    """Send the words of some tasks."""
    reply = queue.run("enqueue", [queue.keys.due], [NOW, *(word for task in tasks for word in task)])
    return [answer.decode() for answer in reply]


def written(queue: Queue, task_id: str) -> dict[str, Any]:
    """What is known of a task, but for what the long way alone was given and the number of its stream entry."""
    task = queue.task(task_id)
    task.pop("priority", None)
    if "entry" in task:
        task["entry"] = task["entry"].partition("/")[0]
    return task | {"score": queue.redis.zscore(queue.key("due:q"), task_id)}


@pytest.mark.parametrize("every", [None, 1, 2], ids=["no request", "a request each", "a request for every other"])
@pytest.mark.parametrize("n", [1, 2, len(DUES)])
def test_both_ways_write_the_same(queue: Queue, n: int, every: int | None) -> None:
    fields = [{"request": f"r{at}"} if every and at % every == 0 else {} for at in range(n)]
    short = [words(f"s{at}", due, **fields[at]) for at, due in enumerate(DUES[-n:])]
    long = [words(f"l{at}", due, **fields[at], **LONG) for at, due in enumerate(DUES[-n:])]

    assert enqueue(queue, *short) == enqueue(queue, *long) == ["created"] * n

    for at in range(n):
        assert written(queue, f"s{at}") == written(queue, f"l{at}")
    assert queue.totals() == {"enqueued": 2 * n}


@pytest.mark.parametrize(
    ("tasks", "answers"),
    [
        ([words("a"), words("a")], ["created", "existing"]),
        ([words("a"), words("b"), words("a", payload='{"n":1}')], ["created", "created", "conflict"]),
        ([words("a", request="r"), words("a", request="r")], ["created", "created"]),
        ([words("known"), words("a")], ["existing", "created"]),
        ([words("a", key="k"), words("b")], ["created", "created"]),
    ],
    ids=["twice", "conflict", "repeated", "known", "another field"],
)
def test_a_call_that_is_not_all_new_and_plain_is_answered_task_by_task(
    queue: Queue, tasks: list[list[Any]], answers: list[str]
) -> None:
    enqueue(queue, words("known"))

    assert enqueue(queue, *tasks) == answers


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (words("a b"), "2 id "),
        (words("b", due="soon"), "2 due "),
        (words("b", type="no name"), "2 type "),
        (words("b", type=None), "2 "),
        (words("b", payload=None), "2 "),
        (words("b", request="x" * 129), "2 request "),
        (words("b", number=2), "2 queue "),
        (words("b")[:-1], "2 fields "),
        ([1, "b", NOW, 3, *words("b")[4:]], "2 fields "),
        ([1], "2 id "),
    ],
    ids=lambda value: value.strip() if isinstance(value, str) else "",
)
def test_where_one_is_wrong_none_is_made_and_the_answer_names_it(queue: Queue, wrong: list[Any], why: str) -> None:
    told = queue.refused("enqueue", NOW, *words("a"), *wrong)

    assert f"RS_INVALID {why}" in told
    assert queue.places() == {}
    assert queue.task("a") == {}


def test_a_key_of_another_type_under_a_tasks_name_is_a_conflict(queue: Queue) -> None:
    queue.redis.set(queue.key("task:q:a"), "x")

    assert enqueue(queue, words("a"), words("b")) == ["conflict", "created"]


def test_a_call_that_is_new_and_plain_is_looked_up_once(real_queue: Queue) -> None:
    def lookups() -> int:
        return real_queue.redis.info("commandstats").get("cmdstat_exists", {"calls": 0})["calls"]

    before = lookups()
    enqueue(real_queue, words("a"), words("b", due=NOW + 5_000))

    assert lookups() == before + 1, "the long way looks them up again"


RARE = {
    "attempt": ("2", 3),
    "timeout_ms": ("9", 9),
    "headers": ('{"h":"1"}', b'{"h":"1"}'),
    "traceparent": ("00-a-b-01", "00-a-b-01"),
    "content_type": ("text/plain", "text/plain"),
    "max_attempts": ("7", 7),
    "expires_at": (str(NOW + 60_000), NOW + 60_000),
}


@pytest.mark.parametrize("missing", ["nothing", "created_at", "submitted", "request"])
@pytest.mark.parametrize("rare", RARE)
@pytest.mark.parametrize("asked", [{}, {"request": "r1"}], ids=["", "request"])
def test_a_claim_overlooks_no_field_of_a_task_that_has_as_many_as_a_plain_one(
    queue: Queue, asked: dict[str, Any], rare: str, missing: str
) -> None:
    enqueue(queue, words("first", 0, **asked), words("a", 0, **asked))
    queue.redis.hdel(queue.keys.task("a"), missing)
    queue.redis.hset(queue.keys.task("a"), rare, RARE[rare][0])

    _, task = queue.claim().tasks

    assert getattr(task, rare) == RARE[rare][1]


@pytest.mark.parametrize("asked", [{}, {"request": "r1"}], ids=["", "request"])
@pytest.mark.parametrize("missing", ["type", "payload"])
def test_a_task_without_what_it_needs_is_malformed_though_it_has_as_many_fields_as_a_plain_one(
    queue: Queue, asked: dict[str, Any], missing: str
) -> None:
    enqueue(queue, words("first", 0, **asked), words("a", 0, **asked), words("last", 0, **asked))
    queue.redis.hdel(queue.keys.task("a"), missing)
    queue.redis.hset(queue.keys.task("a"), "tags", "[]")

    assert [task.id for task in queue.claim().tasks] == ["first", "last"]

    assert queue.task("a")["reason"] == "malformed"


def test_a_plain_task_whose_due_time_cannot_be_read_was_due_when_it_is_claimed(queue: Queue) -> None:
    enqueue(queue, words("first", 0), words("a", 0))
    queue.redis.hset(queue.keys.task("a"), "due_at", "soon")

    assert [task.due_at for task in queue.claim(now=NOW + 5).tasks] == [NOW, NOW + 5]


def test_a_claim_answers_when_each_plain_task_was_due_and_counts_how_late_it_is(queue: Queue) -> None:
    dues = {"a": NOW - 60, "b": NOW - 60, "c": NOW - 3, "d": NOW - 60, "e": NOW - 3, "f": NOW - 4}
    for task_id, due in dues.items():
        queue.send(plain(queue, task_id), now=due)

    assert {task.id: task.due_at for task in queue.claim().tasks} == dues

    totals = queue.redis.hgetall(queue.key("stats:q"))
    assert {field: n for field, n in totals.items() if field.startswith("late")} == {"late_100": "3", "late_5": "3"}


def plain(queue: Queue, task_id: str) -> Call[Any]:
    """The call that makes a task which is due at once."""
    return Call("enqueue", [queue.keys.due], [0, *words(task_id, 0)], lambda reply: reply)


def test_a_library_asks_the_streams_for_lost_entries_twice_a_second(real_queue: Queue) -> None:
    queue = real_queue
    queue.seed("a")
    queue.redis.hdel(queue.key("meta"), "virtual_clock")

    def promote() -> int:
        before = queue.redis.info("commandstats").get("cmdstat_xpending", {"calls": 0})["calls"]
        queue.run("promote", [queue.keys.due], [0, 10, "mover"])
        return queue.redis.info("commandstats")["cmdstat_xpending"]["calls"] - before

    quick = [promote() for _ in range(10)]
    time.sleep(0.6)

    assert promote() == 1  # no task has a priority: there is no other stream
    assert quick[0] == 1
    assert (sum(quick) < 10) == (queue.build == "functions")  # a script remembers nothing


def test_entries_whose_numbers_are_too_long_for_a_double_leave_the_stream_like_others(queue: Queue) -> None:
    queue.broken.add("ghost")
    queue.redis.xgroup_create(queue.keys.ready, "workers", "0", mkstream=True)
    for number in (9_007_199_254_740_993, 9_007_199_254_740_994):
        queue.redis.xadd(queue.keys.ready, {"id": "ghost"}, id=f"{NOW}-{number}")

    assert queue.claim(5).tasks == []

    assert queue.redis.xlen(queue.keys.ready) == 0


def test_a_queue_that_keys_name_twice_is_served_once(queue: Queue) -> None:
    for task_id in ("a", "b"):
        queue.ready(task_id)
    call = protocol.claim([queue.keys, queue.keys], consumer="w", count=5, lease_ms=LEASE)

    assert [found.id for found in queue.send(call).tasks] == ["a", "b"]

    assert sorted(queue.places()["running"]) == ["a", "b"]
