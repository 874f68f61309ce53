"""One bad record is set aside with its reason, in every verb that works through many, and those behind it go on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import redis

from redsched.wire import events, protocol
from redsched.wire.call import Call
from redsched.wire.claims import Settlement
from redsched.wire.keys import CellKeys
from redsched.wire.mover import Promoted
from tests.support.lua_queue import HOUR, LEASE, NOW, Queue

T = TypeVar("T")


def answer(queue: Queue, call: Call[T], now: int = NOW) -> T:
    """Send a call without the check of the whole state: a test here has put things where they must not be."""
    return call.read(queue.run(call.verb, call.keys, [now, *call.args[1:]]))


def promote(queue: Queue, now: int = NOW) -> Promoted:
    return answer(queue, protocol.promote([queue.keys], mover="m"), now)


def claim(queue: Queue, *others: Queue) -> list[str]:
    keys = [one.keys for one in (queue, *others)]
    return [run.id for run in answer(queue, protocol.claim(keys, consumer="w", count=9, lease_ms=LEASE)).tasks]


def conditions(**given: Any) -> str:
    return json.dumps(given)


def state(queue: Queue, task_id: str) -> str | None:
    return queue.redis.hget(queue.keys.task(task_id), "state")


def garble_parents(queue: Queue, task_id: str) -> None:
    """The counts of a child's parents are no numbers: Lua cannot compare them."""
    queue.redis.hset(queue.key(f"parents:q:{task_id}"), mapping={":left": "x", ":failed": "y"})
    queue.redis.hset(queue.keys.task(task_id), mapping={"conditions": conditions(after={"ids": ["p"]}), "bound": "p"})


def garble_held(queue: Queue, task_id: str) -> None:
    """What it is entered in has another type."""
    queue.redis.rpush(queue.key(f"parents:q:{task_id}"), "mine")
    queue.redis.hset(queue.keys.task(task_id), mapping={"conditions": conditions(after={"ids": ["p"]}), "bound": "p"})


@contextlib.contextmanager
def stranger(queue: Queue, *keys: str) -> Iterator[Queue]:
    """The queue as a Redis user sees it who may touch these keys only."""
    user, options = queue.namespace, queue.raw.connection_pool.connection_kwargs
    rules = (f"~{queue.key(key)}" for key in keys)
    queue.redis.execute_command("ACL", "SETUSER", user, "reset", "on", ">pw", "+@all", *rules)
    with redis.Redis(host=options["host"], port=options["port"], username=user, password="pw", protocol=2) as raw:
        yield replace(queue, raw=raw)
    queue.redis.acl_deluser(user)


def test_a_mover_needs_no_right_to_streams_of_priorities_that_no_task_has(real_queue: Queue) -> None:
    real_queue.seed("a")
    with stranger(real_queue, "[^r]*", "running:q", "ready:q") as queue:
        queue.run("promote", [queue.keys.due], [NOW, 10, "mover"])

    assert list(real_queue.places()) == ["ready"]


def test_enqueue_makes_no_task_with_conditions_for_whom_the_agenda_is_closed(real_queue: Queue) -> None:
    with stranger(real_queue, "[^a]*") as queue:
        assert queue.enqueue(("plain", NOW + 5, {})) == ["created"]
        with pytest.raises(redis.RedisError, match=r"NOPERM|permission|access"):
            queue.plan("a", {"cancel_on": ["x"]}, due=NOW + 5)

    assert real_queue.places() == {"due": {"plain": NOW + 5}}
    assert real_queue.task("a") == {}


@pytest.mark.parametrize(
    ("due", "limit", "moved", "next_due"),
    [
        ({"denied": 1, "good": 2}, 100, ["good"], 50),
        ({"good": 1, "denied": 2, "behind": 3}, 3, ["good"], 5),  # not all were looked at, and the call got on
        ({"denied": 1, "denied.too": 2}, 2, [], 50),  # the same again would get no further
    ],
    ids=["all", "some", "none"],
)
def test_promote_leaves_a_task_with_a_fact_that_it_may_not_read(
    real_queue: Queue, due: dict[str, int], limit: int, moved: list[str], next_due: int
) -> None:
    for task_id, later in {**due, "later": 50}.items():
        asked = {"conditions": conditions(unless={"fact": "x"})} if "denied" in task_id else {}
        real_queue.enqueue((task_id, NOW + later, asked))

    with stranger(real_queue, "[^f]*", "finished:*") as queue:
        promoted = answer(queue, protocol.promote([queue.keys], mover="m", limit=limit), NOW + 5)

    assert (promoted.moved, promoted.queues[0].next_due) == (len(moved), NOW + next_due)
    assert [task_id for task_id in due if state(real_queue, task_id) == "ready"] == moved
    assert state(real_queue, "denied") is None
    assert real_queue.events() == ["denied denied"]
    assert real_queue.totals()["denied"] == sum("denied" in task_id for task_id in due)


def test_promote_answers_a_time_that_fits_where_it_did_not_come_to_a_score_that_is_none(real_queue: Queue) -> None:
    real_queue.enqueue(("denied", NOW + 1, {"conditions": conditions(unless={"fact": "x"})}))
    real_queue.redis.zadd(real_queue.keys.due, {"timeless": 1e300})

    with stranger(real_queue, "[^f]*", "finished:*") as queue:
        promoted = answer(queue, protocol.promote([queue.keys], mover="m", limit=1), NOW + 1)

    assert (promoted.moved, promoted.queues[0].next_due) == (0, 9 * 10**15)


@pytest.mark.parametrize("garble", [garble_parents, garble_held])
def test_promote_sets_one_aside_that_fails_in_any_way(real_queue: Queue, garble: Callable[[Queue, str], None]) -> None:
    queue = real_queue
    queue.seed("p", due=NOW + 50_000)
    queue.seed("bad", due=NOW)
    queue.seed("good", due=NOW + 1)
    garble(queue, "bad")

    promoted = promote(queue, NOW + 1)

    assert promoted.moved == 2
    assert state(queue, "good") == "ready"
    assert state(queue, "bad") == "dead"
    assert queue.redis.hget(queue.keys.task("bad"), "reason") == "malformed"
    assert "denied" not in queue.totals()


def test_a_task_whose_verdict_has_no_place_waits_until_the_key_is_put_right(real_queue: Queue) -> None:
    queue = real_queue
    queue.plan("a", {"unless": {"fact": "x"}}, due=NOW + 5)
    queue.emit("x")
    queue.redis.set(queue.key("finished:q"), "mine")

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        promote(queue, NOW + 5)

    assert state(queue, "a") is None
    queue.redis.delete(queue.key("finished:q"))
    assert promote(queue, NOW + 5).moved == 1
    assert state(queue, "a") == "skipped"


def test_a_digest_whose_count_of_bytes_is_no_number_goes_on_merging(queue: Queue) -> None:
    digest = {"digest": {"key": "d", "grace": 1_000}}
    queue.plan("opener", digest)
    items = queue.key(f"items:q:{queue.redis.get(queue.key('digest:q:d'))}")
    queue.redis.hset(items, mapping={":bytes": "x", ":last": "y"})

    assert queue.plan("second", digest) == "merged opener"
    queue.seed("raw", due=NOW, conditions=json.dumps(digest))
    queue.seed("good", due=NOW + 1)
    queue.promote(now=NOW + 1)

    assert (state(queue, "raw"), state(queue, "good")) == ("held", "ready")
    assert queue.redis.hmget(items, ":bytes", ":last") == ["4", "3"]


def test_a_key_that_all_tasks_of_a_queue_share_is_no_fault_of_any(real_queue: Queue) -> None:
    queue = real_queue
    queue.redis.rpush(queue.keys.ready, "mine")
    queue.seed("a", due=NOW)
    queue.seed("urgent", due=NOW, priority="high")

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        promote(queue)

    assert (state(queue, "a"), state(queue, "urgent")) == (None, "ready")
    assert queue.places()["due"] == {"a": NOW}
    queue.redis.delete(queue.keys.ready)
    assert queue.promote(now=NOW).moved == 1
    assert state(queue, "a") == "ready"


def test_claim_sets_one_aside_that_cannot_be_started(real_queue: Queue) -> None:
    queue = real_queue
    for task_id in ("bad", "good"):
        queue.plan(task_id, {"unless": {"fact": "x"}}, key=f"k{task_id}")
    queue.redis.hset(queue.key("paused:q"), "key:kbad", "0 0 x")
    queue.redis.set(queue.key("stopped:q:key:kbad"), "mine")

    assert claim(queue) == ["good"]
    assert state(queue, "bad") == "dead"
    assert queue.redis.xlen(queue.keys.ready) == 0


def test_a_claim_that_has_set_aside_as_many_as_it_may_look_at_starts_nothing_more(real_queue: Queue) -> None:
    queue, bad = real_queue, [f"bad{at}" for at in range(66)]
    for task_id in (*bad, "good"):
        queue.plan(task_id, {"unless": {"fact": "x"}}, key=task_id[:3])
    queue.redis.hset(queue.key("paused:q"), "key:bad", "0 0 x")
    queue.redis.set(queue.key("stopped:q:key:bad"), "mine")
    call = protocol.claim([queue.keys], consumer="w", count=1, lease_ms=LEASE)

    first = answer(queue, call)
    assert (list(first.tasks), first.more) == ([], True)
    assert {state(queue, task_id) for task_id in bad} == {"dead"}

    assert [run.id for run in answer(queue, call).tasks] == ["good"]


def test_claim_serves_the_queues_whose_streams_are_streams(real_queue: Queue) -> None:
    queue, other = real_queue, real_queue.other("r")
    queue.ready("a")
    other.ready("b")
    queue.redis.delete(queue.keys.ready)
    queue.redis.set(queue.keys.ready, "mine")

    assert claim(queue, other) == ["b"]


def test_claim_starts_nothing_of_a_queue_whose_leases_have_no_place(real_queue: Queue) -> None:
    queue, other = real_queue, real_queue.other("r")
    queue.ready("a")
    other.ready("b")
    queue.redis.set(queue.key("running:q"), "mine")

    assert claim(queue, other) == ["b"]
    assert state(queue, "a") == "ready"
    queue.redis.delete(queue.key("running:q"))
    assert claim(queue) == ["a"]


def test_a_queue_whose_leases_have_a_place_again_drops_what_its_claims_look_at(real_queue: Queue) -> None:
    queue = real_queue
    queue.ready("a")
    queue.redis.set(queue.key("running:q"), "mine")
    queue.broken.add("a")
    assert claim(queue) == []
    queue.redis.delete(queue.key("running:q"), queue.keys.task("a"))
    queue.broken.add("ghost")
    for _ in range(66):
        queue.redis.xadd(queue.keys.ready, {"id": "ghost"})
    queue.ready("b")

    assert queue.claim(1).tasks == []
    assert [task.id for task in queue.claim(1).tasks] == ["b"]


def test_a_task_has_ended_though_the_next_of_its_line_is_no_task(real_queue: Queue) -> None:
    queue = real_queue
    for task_id in ("a", "b"):
        queue.plan(task_id, {"fifo": True}, key="k")
    (started,) = queue.claim().tasks
    queue.redis.delete(queue.keys.task("b"))
    queue.redis.set(queue.keys.task("b"), "mine")

    end = Settlement("q", "a", started.token, "complete")
    assert answer(queue, protocol.settle(queue.cell, [end])) == ["completed"]

    assert state(queue, "a") == "completed"
    assert not queue.redis.exists(queue.key("running:q"))


def test_a_task_has_ended_though_it_does_not_say_any_more_in_whose_line_it_is(real_queue: Queue) -> None:
    queue = real_queue
    queue.plan("a", {"fifo": True}, key="k")
    queue.plan("b", {})
    ends = [Settlement("q", run.id, run.token, "complete") for run in queue.claim().tasks]
    queue.redis.hdel(queue.keys.task("a"), "key")

    assert answer(queue, protocol.settle(queue.cell, ends)) == ["completed", "completed"]

    assert (state(queue, "a"), state(queue, "b")) == ("completed", "completed")
    assert not queue.redis.exists(queue.key("running:q"))


def test_a_task_is_removed_though_it_does_not_say_any_more_in_whose_line_it_is(real_queue: Queue) -> None:
    queue, fields = real_queue, {"type": "t", "state": "completed", "finished_at": NOW - HOUR}
    queue.write("a", **fields, bound="p", conditions=conditions(fifo=True))
    queue.write("b", **fields)
    queue.redis.zadd(queue.keys.index("finished"), {"a": NOW - 1, "b": NOW - 1})

    assert answer(queue, protocol.sweep([queue.keys])).removed == 2

    assert (queue.task("a"), queue.task("b"), queue.places()) == ({}, {}, {})


def test_a_lease_is_over_though_its_task_cannot_be_taken_back(real_queue: Queue) -> None:
    queue = real_queue
    queue.plan("a", {"digest": {"key": "d", "grace": 1_000}})
    promote(queue, NOW + 1_000)
    call = protocol.claim([queue.keys], consumer="w", count=1, lease_ms=LEASE)
    assert answer(queue, call, NOW + 1_000).tasks
    items = queue.key(f"items:q:{queue.redis.hget(queue.keys.task('a'), 'into')}")
    assert queue.redis.delete(items)
    queue.redis.set(items, "mine")

    reaped = answer(queue, protocol.reap([queue.keys]), NOW + HOUR).queues[0]

    assert reaped.moved == 1
    assert not queue.redis.exists(queue.key("running:q"))


def test_one_item_of_an_inbox_that_fails_is_set_aside(real_queue: Queue) -> None:
    queue = real_queue
    queue.seed("p", due=NOW + 500_000)
    queue.redis.set(queue.key("children:q:p"), "mine")
    bad = {"id": "bad", "type": "t", "payload": "{}", "conditions": conditions(after={"ids": ["p"]})}
    queue.redis.xadd(queue.key("inbox:q"), bad)
    queue.redis.xadd(queue.key("inbox:q"), {"id": "good", "type": "t", "payload": "{}"})

    answer(queue, protocol.ingest([queue.keys]))
    promote(queue)

    assert queue.redis.xlen(queue.key("inbox:q")) == 0
    assert (state(queue, "good"), state(queue, "bad")) == ("ready", "dead")


def break_wait(queue: Queue, task_id: str) -> None:
    """A held task that cannot be looked at again."""
    both = conditions(wait_for={"all": ["x"]}, after={"ids": ["p"]})
    queue.redis.hset(queue.keys.task(task_id), "conditions", both)
    queue.redis.set(queue.key(f"parents:q:{task_id}"), "mine")


@pytest.mark.parametrize("count", [2, 40], ids=["told at once", "told by the mover"])
def test_an_event_reaches_all_but_the_one_that_cannot_be_told(real_queue: Queue, count: int) -> None:
    queue = real_queue
    ids = [f"t{number:02}" for number in range(count)]
    for task_id in ids:
        queue.plan(task_id, {"wait_for": {"all": ["x"]}})
    break_wait(queue, "t00")

    answer(queue, events.emit(CellKeys(queue.cell), "x", "", data=None, ttl=None, event_id="e"))
    for _ in range(4):
        answer(queue, protocol.attend(CellKeys(queue.cell)))

    assert state(queue, "t00") == "dead"
    assert {state(queue, task_id) for task_id in ids[1:]} <= {"scheduled", "ready"}
    assert queue.redis.zcard(queue.key("held:q")) == 0


def test_the_end_of_a_parent_reaches_all_but_the_one_that_cannot_be_told(real_queue: Queue) -> None:
    queue = real_queue
    parent = queue.running("p")
    for task_id in ("bad", "good"):
        queue.plan(task_id, {"after": {"ids": ["p"]}})
    queue.redis.hset(queue.keys.task("bad"), "blocked", "pause:type:t")
    queue.redis.set(queue.key("stopped:q:type:t"), "mine")

    answer(queue, protocol.settle(queue.cell, [Settlement("q", "p", parent.token, "dead", "x")]))
    answer(queue, protocol.attend(CellKeys(queue.cell)))

    assert (state(queue, "bad"), state(queue, "good")) == ("dead", "cancelled")
    assert queue.redis.zcard(queue.key("held:q")) == 0


def test_one_hold_that_cannot_end_is_set_aside(real_queue: Queue) -> None:
    queue = real_queue
    for name in ("bad", "good"):
        queue.plan(name, {"hold": {"token": "x", "within": 1_000}})
    queue.redis.hset(queue.keys.task("bad"), "blocked", "pause:type:t")
    queue.redis.set(queue.key("stopped:q:type:t"), "mine")

    answer(queue, protocol.attend(CellKeys(queue.cell)), NOW + 1_000)

    assert (state(queue, "bad"), state(queue, "good")) == ("dead", "scheduled")
    assert queue.redis.zcard(queue.key("held:q")) == 0


def test_a_mover_key_of_another_type_stops_nothing(queue: Queue) -> None:
    queue.redis.rpush(queue.key("mover"), "mine")
    queue.seed("a", due=NOW)

    promoted = queue.promote(now=NOW)

    assert (promoted.moved, promoted.acting) == (1, True)
    assert queue.redis.get(queue.key("mover")).split()[0] == "m"


def test_readers_show_a_queue_whatever_its_keys_are(real_queue: Queue) -> None:
    queue = real_queue
    queue.seed("a", due=NOW + 5)
    for place in ("held", "running", "finished", "dead", "quarantine"):
        queue.redis.rpush(queue.key(f"{place}:q"), "mine")
    queue.redis.set(queue.keys.ready, "mine")

    (found,) = answer(queue, protocol.stats([queue.keys]))
    assert (found.scheduled, found.ready, found.dead) == (1, 0, 0)
    for which in ("held", "running", "finished", "dead", "quarantined", "ready"):
        call = protocol.list_tasks(queue.keys, state=which)
        assert call.read(queue.run("list", call.keys, call.args)).items == []
    shown = protocol.show(queue.keys, ["a"])
    assert shown.read(queue.run("show", shown.keys, shown.args))["a"] is not None
