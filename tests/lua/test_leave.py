"""leave: a consumer that stops is forgotten, unless something is pending for it."""

from __future__ import annotations

from redsched.wire import protocol
from redsched.wire.claims import Bell
from tests.support.lua_queue import LEASE, NOW, Queue


def consumers(queue: Queue, priority: str = "normal") -> list[str]:
    """The consumers that a stream's group knows."""
    return [one["name"] for one in queue.redis.xinfo_consumers(queue.keys.stream(priority), "workers")]


def ring(queue: Queue, consumer: str, priority: str = "normal") -> Bell:
    """A blocking read of the consumer delivers the next entry."""
    stream = queue.keys.stream(priority)
    ((_, ((at, fields),)),) = queue.redis.xreadgroup("workers", consumer, {stream: ">"}, count=1)
    return Bell("q", f"{priority}/{at}", fields["id"])


def test_a_consumer_is_forgotten_with_its_last_claim_and_its_tasks_run_on(queue: Queue) -> None:
    queue.seed("a", priority="high")
    queue.ready("b")
    assert len(queue.claim(bells=[ring(queue, "w", "high"), ring(queue, "w")]).tasks) == 2
    assert consumers(queue) == consumers(queue, "high") == ["w"]

    assert queue.send(protocol.leave([queue.keys], "w")) == 2

    assert consumers(queue) == consumers(queue, "high") == []
    assert queue.redis.exists(queue.key("claimed:w")) == 0
    assert queue.places() == {"running": {"a": NOW + LEASE, "b": NOW + LEASE}}


def test_other_consumers_stay(queue: Queue) -> None:
    queue.ready("a")
    queue.ready("b")
    bells = [ring(queue, "w"), ring(queue, "other")]
    queue.claim(1, bells=bells[:1])
    queue.claim(1, bells=bells[1:], consumer="other")

    queue.send(protocol.leave([queue.keys], "w"))

    assert consumers(queue) == ["other"]
    assert queue.redis.exists(queue.key("claimed:other")) == 1


def test_a_consumer_for_which_something_is_pending_stays_there(queue: Queue) -> None:
    queue.ready("a")
    queue.seed("b", priority="low")
    queue.promote()
    queue.redis.xreadgroup("workers", "w", {queue.keys.ready: ">"}, count=1)
    queue.redis.xreadgroup("workers", "other", {queue.keys.stream("low"): ">"}, count=1)

    queue.send(protocol.leave([queue.keys], "w"))

    assert consumers(queue) == ["w"]
    assert queue.pending() == 1


def test_leaving_several_queues_or_none_that_exists_is_no_trouble(queue: Queue) -> None:
    queue.running("a")

    assert queue.send(protocol.leave([queue.other("r").keys, queue.keys], "w")) == 1
    assert queue.send(protocol.leave([queue.other("r").keys], "nobody")) == 0
