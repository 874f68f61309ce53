"""sweeps: when a queue is to be swept, as the scripts note it, and when an empty one is forgotten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from redsched.wire import protocol
from redsched.wire.mover import Swept
from tests.support.acts import append
from tests.support.lua_queue import DAY, HOUR, KEEP_DEAD, KEEP_FINISHED, NOW, Queue

SOON = 10_000
MINUTE = 60_000
NEXT_MINUTE = NOW - NOW % MINUTE + MINUTE
LATER = NOW + 5 * MINUTE  # in a minute in which nothing ends


def noted(queue: Queue) -> dict[str, float]:
    """Queue -> when it is swept next."""
    return dict(queue.redis.zrange(queue.key("sweeps"), 0, -1, withscores=True))


def sweep(queue: Queue, now: int = LATER, **options: int) -> Swept:
    """Sweep it."""
    return queue.send(protocol.sweep([queue.keys], **options), now=now)


def complete(queue: Queue, task_id: str = "a", *, now: int = NOW, **fields: object) -> None:
    """A task that has completed; its consumer has left."""
    queue.settle(queue.running(task_id, **fields), "complete", now=now)
    queue.send(protocol.leave([queue.keys], "w"))


def forgotten(queue: Queue, now: int) -> bool:
    """Whether this sweep forgets the queue."""
    sweep(queue, now)
    return not queue.redis.sismember(queue.key("queues"), queue.name)


def empty(queue: Queue) -> None:
    """A queue whose one task has ended and gone, at LATER."""
    queue.enqueue(("a", 0, {"retention_ms": "0"}))
    queue.settle(queue.claim().tasks[0], "complete")
    queue.send(protocol.leave([queue.keys], "w"))
    sweep(queue)


def cancelled(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR)
    queue.send(protocol.cancel(queue.keys, ["a"]))


def dead(queue: Queue) -> None:
    queue.settle(queue.running("a"), "dead", "x")


def expired(queue: Queue) -> None:
    queue.enqueue(("a", 0, {"expires_at": NOW}))


def skipped(queue: Queue) -> None:
    queue.redis.set(queue.key("fact:x"), "1")
    queue.plan("a", {"unless": {"fact": "x"}})


def test_a_queue_with_nothing_that_has_ended_is_not_noted(queue: Queue) -> None:
    queue.seed("raw")
    queue.enqueue(("a", NOW + HOUR, {}), ("b", 0, {}))
    queue.promote()
    queue.claim()

    assert noted(queue) == {}


@pytest.mark.parametrize("end", [complete, cancelled, dead, expired, skipped], ids=lambda end: end.__name__)
def test_the_first_end_of_a_minute_notes_that_the_queue_is_to_be_swept_soon(
    queue: Queue, end: Callable[[Queue], None]
) -> None:
    end(queue)

    assert noted(queue) == {"q": NOW + SOON}


def test_later_ends_of_a_minute_write_nothing_and_one_of_the_next_does_not_put_it_off(queue: Queue) -> None:
    complete(queue, "a")
    complete(queue, "b", now=NOW + 1)
    assert noted(queue) == {"q": NOW + SOON}

    complete(queue, "c", now=NEXT_MINUTE + 1)
    assert noted(queue) == {"q": NOW + SOON}


def test_a_sweep_in_the_minute_of_an_end_looks_again_when_it_is_over(queue: Queue) -> None:
    complete(queue)

    sweep(queue, NOW + SOON)

    assert noted(queue) == {"q": NEXT_MINUTE}


def test_a_sweep_then_notes_when_the_first_retention_ends(queue: Queue) -> None:
    complete(queue, "a", retention_ms=2 * HOUR)
    complete(queue, "b", now=NOW + 5)
    queue.settle(queue.running("c"), "dead", "x")
    queue.send(protocol.leave([queue.keys], "w"))

    sweep(queue)
    assert noted(queue) == {"q": NOW + KEEP_FINISHED + 5}

    sweep(queue, NOW + KEEP_FINISHED + 5)
    assert noted(queue) == {"q": NOW + 2 * HOUR}

    sweep(queue, NOW + 3 * HOUR)
    assert noted(queue) == {"q": NOW + KEEP_DEAD}


def test_while_there_is_more_the_queue_stays_due(queue: Queue) -> None:
    for name in "abc":
        complete(queue, name)
    sweep(queue)

    assert sweep(queue, NOW + KEEP_FINISHED, limit=2).more

    assert noted(queue) == {"q": NOW + KEEP_FINISHED}


def test_one_that_is_too_young_to_go_by_a_cap_is_looked_at_in_a_minute(queue: Queue) -> None:
    queue.send(protocol.limit(queue.keys, {"most_finished": 0}))
    assert noted(queue) == {"q": NOW}, "a new cap counts at once"
    complete(queue)

    sweep(queue)

    assert noted(queue) == {"q": LATER + MINUTE}


def test_a_queue_with_consumers_is_looked_at_after_an_hour(queue: Queue) -> None:
    queue.seed("waits", due=NOW + DAY)
    queue.redis.xgroup_create(queue.keys.ready, "workers", "0", mkstream=True)
    queue.redis.xgroup_createconsumer(queue.keys.ready, "workers", "w")

    sweep(queue)

    assert noted(queue) == {"q": LATER + HOUR}


def test_each_queue_of_a_call_is_noted_for_itself(queue: Queue) -> None:
    other = queue.other("r")
    complete(queue)
    complete(other, now=NOW + 7)

    queue.send(protocol.sweep([queue.keys, other.keys]), now=LATER)

    assert noted(queue) == {"q": NOW + KEEP_FINISHED, "r": NOW + KEEP_FINISHED + 7}


def test_a_queue_that_is_empty_for_a_day_is_forgotten_and_its_config_stays(queue: Queue) -> None:
    queue.send(protocol.limit(queue.keys, {"most_dead": 5}))
    empty(queue)
    assert LATER + DAY < noted(queue)["q"] < LATER + DAY + 1
    appointment = noted(queue)

    assert not forgotten(queue, LATER + DAY - 1)
    assert noted(queue) == appointment
    assert forgotten(queue, LATER + DAY + 1)

    assert noted(queue) == {}
    assert queue.totals() == {}
    assert queue.redis.hgetall(queue.key("config:q")) == {"most_dead": "5"}


def test_a_queue_that_comes_back_is_listed_again(queue: Queue) -> None:
    empty(queue)
    assert forgotten(queue, LATER + DAY + 1)

    back = LATER + DAY + HOUR
    assert queue.enqueue(("a", 0, {}), now=back) == ["created"]

    assert queue.redis.smembers(queue.key("queues")) == {"q"}
    queue.settle(queue.claim(now=back).tasks[0], "complete", now=back)
    assert noted(queue) == {"q": back + SOON}


def test_what_ends_in_between_takes_the_appointment_away(queue: Queue) -> None:
    empty(queue)
    complete(queue, "b", now=LATER + HOUR, retention_ms=0)
    assert noted(queue) == {"q": LATER + HOUR + SOON}

    assert not forgotten(queue, LATER + DAY + 1)

    assert noted(queue)["q"] > LATER + 2 * DAY


def waits(queue: Queue) -> None:
    queue.enqueue(("b", LATER + 30 * DAY, {}))


def ready(queue: Queue) -> None:
    queue.ready("b", priority="low")


def held(queue: Queue) -> None:
    queue.plan("b", {"wait_for": {"all": ["x"]}})


def set_aside(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.index("quarantine"), {"missing:x": NOW})


def paused(queue: Queue) -> None:
    queue.send(protocol.pause(queue.keys, "queue", reason="", until=None))


def posted(queue: Queue) -> None:
    append(queue, id="b", type="t", payload="{}")


@pytest.mark.parametrize("state", [waits, ready, held, set_aside, paused, posted], ids=lambda state: state.__name__)
def test_a_queue_that_is_not_empty_is_not_forgotten(queue: Queue, state: Callable[[Queue], None]) -> None:
    empty(queue)
    state(queue)

    assert not forgotten(queue, LATER + DAY + 1)
    assert not forgotten(queue, LATER + 3 * DAY)


def test_a_sweep_of_an_empty_queue_that_nobody_noted_makes_an_appointment_too(queue: Queue) -> None:
    queue.redis.sadd(queue.key("queues"), "q")

    sweep(queue)

    assert LATER + DAY < noted(queue)["q"] < LATER + DAY + 1


def test_a_key_of_a_wrong_type_in_its_place_stops_nothing(queue: Queue) -> None:
    complete(queue)
    queue.redis.delete(queue.key("sweeps"))
    queue.redis.set(queue.key("sweeps"), "mine")

    assert queue.run("sweep", [queue.keys.due], [NOW + KEEP_FINISHED, 500]) == [1, 0]

    assert queue.redis.get(queue.key("sweeps")) == "mine"
