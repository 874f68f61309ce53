"""progress: what a running task tells of itself."""

from __future__ import annotations

from redsched.wire import protocol
from tests.support.lua_queue import LEASE, NOW, Queue


def test_progress_is_stored_beside_the_task(queue: Queue) -> None:
    started = queue.running("a")
    before = queue.task("a")

    assert queue.send(protocol.progress(queue.keys, "a", started.token, {"done": 3})) == "stored"

    assert queue.outcome("a") == {"progress": '{"done":3}'}
    assert (queue.places(), queue.task("a")) == ({"running": {"a": NOW + LEASE}}, before)


def test_a_task_that_was_asked_to_stop_is_told(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.cancel(queue.keys, ["a"]))

    assert queue.send(protocol.progress(queue.keys, "a", started.token, 1)) == "cancel"

    assert queue.outcome("a") == {"progress": "1"}


def test_progress_of_a_claim_that_is_lost_is_not_written(queue: Queue) -> None:
    started = queue.running("a")
    queue.reap(now=NOW + LEASE)
    before = queue.dump()

    for task_id, token in (("a", started.token), ("a", ""), ("ghost", started.token), ("a b", started.token)):
        words = [task_id, token, "1"]
        assert queue.run("progress", [queue.keys.due], words) == b"lost"

    assert queue.dump() == before


def test_progress_of_an_older_claim_is_not_written_while_a_newer_one_runs(queue: Queue) -> None:
    old = queue.running("a")
    queue.settle(old, "return")
    queue.claim(consumer="other")

    assert queue.send(protocol.progress(queue.keys, "a", old.token, 1)) == "lost"

    assert queue.outcome("a") == {}


def test_progress_of_a_settled_claim_is_not_written(queue: Queue) -> None:
    started = queue.running("a")
    queue.settle(started, "complete")

    assert queue.send(protocol.progress(queue.keys, "a", started.token, 1)) == "lost"

    assert queue.outcome("a") == {}


def test_progress_over_64_kib_is_refused(queue: Queue) -> None:
    started = queue.running("a")

    assert queue.refused("progress", "a", started.token, "x" * 65_537) == "RS_INVALID 1 progress is too long"
    assert queue.run("progress", [queue.keys.due], ["a", started.token, "x" * 65_536]) == b"stored"
