"""A server at its maxmemory: producers are refused and nothing is written; what drains goes on, under both builds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.claims import Bell, Settlement
from redsched.wire.mover import Moved
from tests.support.lua_queue import HOUR, KEEP_FINISHED, LEASE, NOW, Queue
from tests.support.timetable import Timetable


@pytest.fixture
def full(real_queue: Queue) -> Iterator[Queue]:
    """A queue whose server will take no more once ``fill`` is called."""
    yield real_queue
    real_queue.redis.config_set("maxmemory", 0)


def fill(queue: Queue) -> None:
    """From here on the server is over its limit."""
    queue.redis.config_set("maxmemory", 1)


TASK = [1, "new", NOW + 5, 2, "type", "t", "payload", "{}"]
READY = [1, "new", 0, 2, "type", "t", "payload", "{}"]
EXPIRED = [1, "new", 0, 3, "type", "t", "payload", "{}", "expires_at", NOW]
REFUSED: list[tuple[str, list[Any]]] = [
    ("enqueue", [NOW, *TASK]), ("enqueue", [NOW, *READY]), ("enqueue", [NOW, *EXPIRED]),
    ("update", [NOW, 1, "payload", "[1]", "a"]), ("revive", [NOW, 0, "dead"]), ("progress", ["runs", "{token}", "1"]),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "args"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_adds_is_refused_whole(full: Queue, verb: str, args: list[Any]) -> None:
    full.settle(full.running("dead"), "dead", "x")
    started = full.running("runs")
    full.seed("a", due=NOW + 5)
    fill(full)

    words = [started.token if word == "{token}" else word for word in args]
    assert full.refused(verb, *words).startswith("OOM")


def test_tasks_that_wait_are_run_to_their_end(full: Queue) -> None:
    for number, priority in enumerate(("high", "normal", "low")):
        full.seed(f"a{number}", priority=priority)
    fill(full)

    assert full.promote().moved == 3
    tasks = full.claim().tasks
    assert full.send(protocol.renew(full.cell, tasks, lease_ms=2 * LEASE)) == ["renewed"] * 3
    ends = [
        Settlement("q", tasks[0].id, tasks[0].token, "complete", '"result"'),
        Settlement("q", tasks[1].id, tasks[1].token, "retry", 50, "it broke", "line 1"),
        Settlement("q", tasks[2].id, tasks[2].token, "dead", "x"),
    ]
    assert full.send(protocol.settle(full.cell, ends)) == ["completed", "scheduled", "dead"]

    assert full.places() == {
        "due": {"a1": NOW + 50},
        "finished": {"a0": NOW + KEEP_FINISHED},
        "dead": {"a2": NOW + 30 * 24 * HOUR},
    }
    assert full.outcome("a0") == {"result": '"result"'}


def test_a_bell_alone_starts_its_task(full: Queue) -> None:
    full.ready("a")
    ((_, ((at, _),)),) = full.redis.xreadgroup("workers", "w", {full.keys.ready: ">"}, count=1)
    fill(full)

    claimed = full.claim(1, bells=[Bell("q", f"normal/{at}", "a")])

    assert [started.id for started in claimed.tasks] == ["a"]


def test_one_call_ends_tasks_and_starts_others(full: Queue) -> None:
    started = full.running("a")
    full.ready("b")
    fill(full)

    claim = protocol.claim([full.keys], consumer="w", count=5, lease_ms=LEASE)
    words, claimed = full.send(
        protocol.settle_and_claim(full.cell, [Settlement("q", "a", started.token, "complete", '"result"')], claim)
    )

    assert words == ["completed"]
    assert [started.id for started in claimed.tasks] == ["b"]


def test_what_a_step_returned_is_kept(full: Queue) -> None:
    started = full.running("a")
    fill(full)

    for value in (b"1", b""):
        step = full.send(protocol.once(full.keys, "a", started.token, "charge", value))
        assert (step.word, step.value) == ("kept", b"1")


def test_a_returned_task_is_ready_again(full: Queue) -> None:
    started = full.running("a")
    full.redis.delete(full.keys.ready)
    fill(full)

    assert full.settle(started, "return") == "ready"

    assert full.places() == {"ready": {"normal": ["a"]}}


def test_ids_that_are_no_tasks_are_set_aside(full: Queue) -> None:
    full.broken |= {"ghost", "a b"}
    full.redis.zadd(full.keys.due, {"ghost": NOW - HOUR, "a b": NOW})
    fill(full)

    assert full.promote().moved == 2

    assert full.places() == {"quarantine": {"missing:ghost": NOW, "bad id:a b": NOW}}


def test_lost_leases_are_taken_back(full: Queue) -> None:
    full.running("a", retry="fixed 5")
    full.running("b", max_attempts=1)
    fill(full)

    assert full.reap(now=NOW + LEASE) == Moved("q", 2, None, None)

    assert full.places()["due"] == {"a": NOW + LEASE, "b": NOW + LEASE}


def test_tasks_can_be_cancelled_and_rescheduled(full: Queue) -> None:
    full.ready("ready")
    full.seed("waits", due=NOW + 5)
    fill(full)

    assert full.send(protocol.reschedule(full.keys, ["ready"], due=NOW + HOUR)) == {"ready": "rescheduled"}
    assert full.send(protocol.cancel(full.keys, ["waits", "ready"])) == {"waits": "cancelled", "ready": "cancelled"}

    assert list(full.places()) == ["finished"]


def test_finished_tasks_are_swept_and_consumers_leave(full: Queue) -> None:
    full.settle(full.running("a"), "complete")
    fill(full)

    assert full.send(protocol.sweep([full.keys]), now=NOW + KEEP_FINISHED).removed == 1
    assert full.send(protocol.leave([full.keys], "w")) == 1

    assert full.places() == {}


def test_reading_goes_on(full: Queue) -> None:
    full.running("a")
    fill(full)

    assert full.send(protocol.show(full.keys, ["a"]))["a"] is not None
    assert full.send(protocol.list_tasks(full.keys, state="running")).items[0].id == "a"
    assert full.send(protocol.stats([full.keys]))[0].running == 1
    assert full.run("version", [], [])


def test_an_impossible_lease_is_cut(full: Queue) -> None:
    full.running("a")
    full.redis.zadd(full.keys.index("running"), {"a": NOW + 2 * HOUR})
    fill(full)

    full.reap()

    assert full.places() == {"running": {"a": NOW + HOUR}}


def test_a_finished_task_that_is_due_again_stays_for_another_hour(full: Queue) -> None:
    full.settle(full.running("a"), "complete")
    full.redis.zadd(full.keys.due, {"a": NOW + 9 * HOUR})
    full.broken.add("a")
    fill(full)

    assert full.send(protocol.sweep([full.keys]), now=NOW + KEEP_FINISHED).removed == 0

    assert full.places()["finished"] == {"a": NOW + 2 * KEEP_FINISHED}


def test_an_inbox_is_emptied(full: Queue) -> None:
    full.redis.xadd(full.key("inbox:q"), {"id": "a", "type": "t", "payload": "{}", "due": NOW + 5})
    fill(full)

    full.send(protocol.ingest([full.keys]))

    assert full.places() == {"due": {"a": NOW + 5}}


@pytest.mark.parametrize("mode", ["pause", "drop"])
def test_schedules_that_the_code_of_their_owner_has_not_any_more_stop(full: Queue, mode: str) -> None:
    times = Timetable(full)
    times.put("s", owner="shop", owner_version="1")
    fill(full)

    assert times.call("keep_schedules", "shop", "1", mode) == ["", "s"]

    if mode == "pause":
        assert full.redis.hget(full.key("schedule:s"), "paused") == "left out of shop 1"
    assert bool(full.redis.exists(full.key("schedule:s"))) == (mode == "pause")
