"""explain: the state of a task and why it does not run, where its type, a pause or the quarantine is the reason."""

from __future__ import annotations

import pytest

from redsched.model.explain import Explanation, explained
from redsched.wire import protocol, task_types
from redsched.wire.keys import CellKeys
from redsched.wire.queues import ALL
from redsched.wire.task_types import TypePut
from tests.support.lua_queue import HOUR, NOW, Queue


def explain(queue: Queue, task_id: str = "a") -> Explanation:
    """What is said of a task."""
    return explained(queue.send(protocol.explain(queue.keys, task_id)))


def put_type(queue: Queue, of: str) -> None:
    """A worker says that the type ``t`` is of that queue."""
    put = task_types.put_types(CellKeys(queue.cell), "shop", None, "w", 5, [TypePut("t", of)])
    queue.send(put)


def wait(queue: Queue, consumer: str = "w") -> None:
    """A worker waits for entries of the queue."""
    queue.redis.xgroup_createconsumer(queue.keys.ready, "workers", consumer)


def test_a_ready_task_whose_type_is_of_another_queue_says_so_where_no_worker_serves_its_own(queue: Queue) -> None:
    put_type(queue, "otp")
    queue.seed("a")
    queue.promote()

    found = explain(queue)

    assert (found.state, found.code) == ("ready", "no_handler")
    assert found.text == "a is ready: no worker serves type t in queue q; the queue of its type is otp."


def test_a_scheduled_task_whose_type_is_of_another_queue_says_so_where_no_worker_of_its_own_is_known(
    queue: Queue,
) -> None:
    put_type(queue, "otp")
    queue.seed("a", due=NOW + HOUR)

    found = explain(queue)

    assert (found.state, found.code) == ("scheduled", "due_later")
    assert found.text.endswith("in 60 min. But the queue of its type is otp, and no worker of queue q is known.")


@pytest.mark.parametrize("how", ["waits", "runs", "same queue", "unknown type"])
def test_nothing_is_said_of_workers_where_one_may_serve_it(queue: Queue, how: str) -> None:
    if how != "unknown type":
        put_type(queue, "q" if how == "same queue" else "otp")
    if how == "runs":
        queue.seed("before")
        queue.promote()
        queue.claim()
    queue.seed("a")
    queue.promote()
    if how == "waits":
        wait(queue)

    found = explain(queue)

    assert found.code == "waits_for_worker"
    assert "otp" not in found.text


def test_a_task_that_workers_gave_back_names_the_queue_of_its_type(queue: Queue) -> None:
    put_type(queue, "otp")
    queue.seed("a", due=NOW + HOUR, unhandled="2")

    assert "no worker had a handler for type t, 2 time(s); the queue of its type is otp." in explain(queue).text


def test_a_task_in_the_quarantine_is_said_to_be_there(queue: Queue) -> None:
    queue.broken.add("a")
    queue.write("a", due=5, type="t", payload="{}")
    queue.redis.zadd(queue.keys.due, {"ghost": NOW - HOUR})
    queue.promote()

    found = explain(queue)

    assert (found.state, found.code) == ("quarantined", "quarantined")
    assert found.text == (
        "a is quarantined: its due time was no time in ms since the epoch (bad time); see redsched quarantine ls -q q."
    )
    assert explain(queue, "ghost").text.startswith("ghost is quarantined: it was due and has no hash (missing); see ")


def test_a_task_that_a_pause_holds_says_when_it_was_due_and_what_is_paused(queue: Queue) -> None:
    queue.send(protocol.pause(queue.keys, ALL, reason="database moves", until=None))
    queue.enqueue(("a", NOW, {}), ("b", NOW + HOUR, {}))

    assert explain(queue).text.startswith("a is ready: it does not start, for everything is paused since 2027-01-15 ")
    queue.claim()
    assert (found := explain(queue)).code == "paused"
    assert found.text == (
        "a is held: it was due at 2027-01-15 08:00:00 UTC, but everything is paused since 2027-01-15 08:00:00 UTC "
        "(database moves)."
    )
    assert explain(queue, "b").text.startswith("b is scheduled: it is due at 2027-01-15 09:00:00 UTC, in 60 min. But ")
