"""requeue: which ids of the quarantine are scheduled, and which stay there."""

from __future__ import annotations

from redsched.wire import dead_letters
from tests.support.lua_queue import HOUR, NOW, Queue

THEN = NOW + HOUR


def quarantine(queue: Queue, *members: str) -> None:
    """Members that were set aside."""
    queue.redis.zadd(queue.keys.index("quarantine"), dict.fromkeys(members, NOW))


def test_an_id_whose_hash_has_come_is_scheduled(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {"a": NOW - HOUR})
    queue.promote()
    assert queue.places() == {"quarantine": {"missing:a": NOW}}
    queue.write("a", type="t", payload="{}")

    assert queue.send(dead_letters.requeue(queue.keys, ["a"], due=THEN)) == {"a": "requeued"}

    assert queue.places() == {"due": {"a": THEN}}
    assert queue.events()[-1] == "requeued a"
    assert queue.totals()["requeued"] == 1


def test_without_a_time_it_is_due_now(queue: Queue) -> None:
    queue.write("a", type="t", payload="{}")
    quarantine(queue, "bad time:a")

    queue.send(dead_letters.requeue(queue.keys, ["a"]))

    assert queue.places() == {"due": {"a": NOW}}


def test_it_leaves_under_every_reason_at_once(queue: Queue) -> None:
    queue.write("a", type="t", payload="{}")
    quarantine(queue, "missing:a", "bad time:a", "wrong type:a", "missing:b")

    assert queue.send(dead_letters.requeue(queue.keys, ["a"], due=THEN)) == {"a": "requeued"}

    assert queue.places() == {"due": {"a": THEN}, "quarantine": {"missing:b": NOW}}


def test_one_without_a_usable_hash_stays_and_its_key_is_not_touched(queue: Queue) -> None:
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.broken.add("string")
    quarantine(queue, "missing:ghost", "wrong type:string")
    before = queue.dump()

    assert queue.send(dead_letters.requeue(queue.keys, ["ghost", "string"])) == {
        "ghost": "no hash",
        "string": "wrong type",
    }

    assert queue.dump() == before


def test_what_is_not_in_the_quarantine_is_not_scheduled(queue: Queue) -> None:
    queue.seed("waits", due=THEN)
    before = queue.dump()

    assert queue.send(dead_letters.requeue(queue.keys, ["waits", "ghost"])) == {"waits": "missing", "ghost": "missing"}
    assert queue.run("requeue", [queue.keys.due], [NOW, 0, "a b", ""]) == [b"missing", b"missing"]

    assert queue.dump() == before


def test_a_task_that_has_its_place_keeps_it_and_leaves_the_quarantine(queue: Queue) -> None:
    queue.seed("waits", due=THEN)
    queue.running("runs")
    queue.settle(queue.running("done"), "complete")
    places = queue.places()
    quarantine(queue, "missing:waits", "bad time:runs", "missing:done")

    words = queue.send(dead_letters.requeue(queue.keys, ["waits", "runs", "done"]))

    assert words == {"waits": "scheduled", "runs": "running", "done": "completed"}
    assert queue.places() == places
    assert "requeued" not in queue.totals()


def test_a_due_time_that_is_none_is_refused(queue: Queue) -> None:
    quarantine(queue, "missing:a")

    assert queue.refused("requeue", NOW, "soon", "a") == "RS_INVALID 1 due must be ms since the epoch, 0 or +ms"
