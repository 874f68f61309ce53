"""Caps: which finished and dead tasks a queue keeps, that the oldest go first, and that nothing goes uncounted."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.model.errors import InvalidTask
from redsched.wire import protocol
from redsched.wire.mover import Swept
from redsched.wire.queues import Limits
from tests.support.lua_queue import DAY, HOUR, KEEP_DEAD, KEEP_FINISHED, NOW, Queue

TEN_MINUTES = 600_000
USUAL = Limits(most_finished=100_000, most_dead=None)


def limit(queue: Queue, **caps: Any) -> Limits:
    """Set the caps of the queue."""
    return queue.send(protocol.limit(queue.keys, caps))


def sweep(queue: Queue, now: int = NOW + TEN_MINUTES, **options: int) -> Swept:
    """Sweep the queue, ten minutes after its tasks have ended unless said otherwise."""
    return queue.send(protocol.sweep([queue.keys], **options), now=now)


def complete(queue: Queue, *ids: str, now: int = NOW, **fields: Any) -> None:
    """Tasks that ended a ms after one another."""
    for number, task_id in enumerate(ids):
        queue.settle(queue.running(task_id, **fields), "complete", now=now + number)


def kill(queue: Queue, *ids: str) -> None:
    """The same as dead letters."""
    for number, task_id in enumerate(ids):
        queue.settle(queue.running(task_id), "dead", "x", now=NOW + number)


def test_without_a_config_a_hundred_thousand_finished_ids_are_kept_and_every_dead_letter(queue: Queue) -> None:
    assert limit(queue) == USUAL

    assert queue.places() == {} and queue.events() == []
    assert not queue.redis.exists(queue.key("config:q"), queue.key("queues"))


def test_a_cap_is_set_changed_and_taken_back(queue: Queue) -> None:
    assert limit(queue, most_finished=5, most_dead=0) == Limits(5, 0)
    assert limit(queue, most_finished="none") == Limits(None, 0)
    assert limit(queue, most_dead=None) == Limits(None, None)
    assert limit(queue, most_finished=None) == USUAL

    assert queue.redis.smembers(queue.key("queues")) == {"q"}
    assert queue.events()[0] == "limited queue most_finished=5 most_dead=0"
    found = queue.send(protocol.stats([queue.keys]))[0]
    assert (found.most_finished, found.most_dead) == (100_000, None)


@pytest.mark.parametrize("value", ["-1", "1.5", "all", "1e3", "9" * 16, "+5"])
def test_what_is_no_cap_is_refused_and_nothing_is_written(queue: Queue, value: str) -> None:
    told = queue.refused("limit", NOW, "most_dead", 5, "most_finished", value)
    assert told == "RS_INVALID 1 most_finished must be a whole number, none or empty"
    assert queue.refused("limit", NOW, "most_ready", 5) == "RS_INVALID 1 fields hold one that is unknown"


@pytest.mark.parametrize("value", [-1, True, 1.5, "all", 10**13])
def test_a_client_refuses_it_before_anything_is_sent(value: Any, queue: Queue) -> None:
    with pytest.raises(InvalidTask, match="most_dead"):
        limit(queue, most_dead=value)


@pytest.mark.parametrize("config", ["garbage", "-1", ""])
def test_a_config_that_somebody_spoilt_means_the_usual_caps(queue: Queue, config: str) -> None:
    queue.redis.hset(queue.key("config:q"), mapping={"most_finished": config, "most_dead": config})
    complete(queue, "a")
    kill(queue, "b")

    assert limit(queue) == USUAL
    assert sweep(queue) == Swept(0, False)


def test_a_config_of_a_wrong_type_stops_no_sweep(queue: Queue) -> None:
    complete(queue, "a")
    queue.redis.set(queue.key("config:q"), "mine")

    assert queue.run("sweep", [queue.keys.due], [NOW + KEEP_FINISHED, 500]) == [1, 0]


def test_those_beyond_the_caps_go_oldest_first_and_are_counted(queue: Queue) -> None:
    complete(queue, *(f"f{number}" for number in range(4)))
    kill(queue, *(f"d{number}" for number in range(4)))
    limit(queue, most_finished=1, most_dead=3)

    assert sweep(queue, NOW + TEN_MINUTES + 9) == Swept(4, False)

    assert queue.places() == {
        "finished": {"f3": NOW + KEEP_FINISHED + 3},
        "dead": {f"d{number}": NOW + KEEP_DEAD + number for number in (1, 2, 3)},
    }
    totals = queue.totals()
    assert (totals["finished_evicted"], totals["dead_evicted"]) == (3, 1)
    assert queue.events()[-2:] == [
        f"evicted finished n=3 total=3 kept_ms={TEN_MINUTES + 7}",
        f"evicted dead n=1 total=1 kept_ms={TEN_MINUTES + 9}",
    ]


def test_one_whose_end_cannot_be_read_does_not_say_for_how_long_it_was_known(queue: Queue) -> None:
    complete(queue, "a", "b")
    queue.redis.hset(queue.keys.task("b"), "finished_at", "yesterday")
    limit(queue, most_finished=0)

    assert sweep(queue, NOW + TEN_MINUTES + 9) == Swept(2, False)

    assert queue.events()[-1] == f"evicted finished n=2 total=2 kept_ms={TEN_MINUTES + 9}"


def test_no_cap_takes_a_finished_id_in_its_first_ten_minutes(queue: Queue) -> None:
    complete(queue, "a", "b", "c")
    limit(queue, most_finished=0)

    assert sweep(queue, NOW + TEN_MINUTES - 1) == Swept(0, False)
    assert queue.enqueue(("a", 0, {})) == ["existing"]
    assert sweep(queue, NOW + TEN_MINUTES + 1) == Swept(2, False)

    assert queue.places() == {"finished": {"c": NOW + KEEP_FINISHED + 2}}
    assert queue.totals()["finished_evicted"] == 2
    assert queue.enqueue(("a", 0, {}), ("c", 0, {})) == ["created", "existing"]


def test_a_call_that_met_young_ones_only_does_not_ask_for_another(queue: Queue) -> None:
    complete(queue, "a", "b", "c")
    limit(queue, most_finished=0)

    assert sweep(queue, NOW + 5, limit=2) == Swept(0, False)


@pytest.mark.parametrize("many", [1, 150])
def test_those_that_are_too_young_do_not_keep_an_older_one_of_longer_retention(queue: Queue, many: int) -> None:
    complete(queue, "old", retention_ms=DAY)
    young = [f"young{number}" for number in range(many)]
    for task_id in young:
        fields = {"type": "t", "state": "completed", "created_at": NOW, "finished_at": NOW + HOUR}
        queue.redis.hset(queue.keys.task(task_id), mapping=fields)
    queue.redis.zadd(queue.keys.index("finished"), dict.fromkeys(young, NOW + 2 * HOUR))
    limit(queue, most_finished=0)

    assert sweep(queue, NOW + HOUR + 1) == Swept(1, False)

    assert sorted(queue.places()["finished"]) == sorted(young)
    assert sweep(queue, NOW + HOUR + 1) == Swept(0, False)


def test_what_goes_when_its_retention_ends_is_not_counted_as_evicted(queue: Queue) -> None:
    complete(queue, "a", "b")
    limit(queue, most_finished=1)

    assert sweep(queue, NOW + KEEP_FINISHED + 1) == Swept(2, False)

    assert "finished_evicted" not in queue.totals()
    assert not [line for line in queue.events() if line.startswith("evicted")]


def test_dead_letters_stay_for_thirty_days_however_many_they_are(real_queue: Queue) -> None:
    queue = real_queue
    members = {f"ghost{number}": NOW + KEEP_DEAD + number for number in range(10_001)}
    queue.broken.update(members)
    queue.redis.zadd(queue.keys.index("dead"), members)

    assert sweep(queue, NOW + KEEP_DEAD - 1) == Swept(0, False)

    assert queue.redis.zcard(queue.keys.index("dead")) == 10_001


@pytest.mark.parametrize("kind", ["finished", "dead"])
def test_a_cap_is_reached_in_bounded_steps_and_all_of_them_are_counted(queue: Queue, kind: str) -> None:
    ids = [f"a{number}" for number in range(5)]
    complete(queue, *ids) if kind == "finished" else kill(queue, *ids)
    limit(queue, **{f"most_{kind}": 0})

    at = NOW + HOUR - 1
    assert sweep(queue, at, limit=2) == Swept(2, True)
    assert sweep(queue, at, limit=2) == Swept(2, True)
    assert sweep(queue, at, limit=2) == Swept(1, False)

    assert queue.totals()[f"{kind}_evicted"] == 5


def test_a_queue_tells_of_it_once_a_minute_with_all_that_went_so_far(queue: Queue) -> None:
    complete(queue, *(f"a{number}" for number in range(4)))
    limit(queue, most_finished=0)
    minute = NOW - NOW % 60_000 + 20 * 60_000

    for at in (minute, minute + 1, minute + 59_999, minute + 60_000):
        sweep(queue, at, limit=1)

    told = [line for line in queue.events() if line.startswith("evicted")]
    assert [line.partition(" kept")[0] for line in told] == [
        "evicted finished n=1 total=1",
        "evicted finished n=1 total=4",
    ]


def test_a_task_that_is_live_again_is_not_counted_as_evicted(queue: Queue) -> None:
    queue.seed("waits", due=NOW + DAY)
    limit(queue, most_dead=0)
    queue.redis.zadd(queue.keys.index("dead"), {"waits": NOW + DAY})

    sweep(queue)

    assert "dead_evicted" not in queue.totals()
    assert queue.places() == {"due": {"waits": NOW + DAY}}


def test_each_queue_has_caps_of_its_own(queue: Queue) -> None:
    other = queue.other("r")
    kill(queue, "a")
    kill(other, "a")
    limit(other, most_dead=0)

    assert queue.send(protocol.sweep([queue.keys, other.keys])) == Swept(1, False)

    assert list(queue.places()["dead"]) == ["a"]
    assert other.places() == {}


def test_the_caps_that_an_older_mover_sends_are_not_heeded(queue: Queue) -> None:
    complete(queue, "a")
    kill(queue, "b")

    assert queue.run("sweep", [queue.keys.due], [NOW + TEN_MINUTES, 500, 0, 0]) == [0, 0]


def test_what_the_quarantine_forgets_is_counted_and_told_of(real_queue: Queue) -> None:
    queue = real_queue
    queue.redis.zadd(queue.keys.index("quarantine"), {f"missing:x{number}": number for number in range(10_000)})
    queue.redis.zadd(queue.keys.due, {"a b": NOW, "c d": NOW})

    queue.promote()

    assert queue.redis.zcard(queue.keys.index("quarantine")) == 10_000
    assert queue.totals()["quarantine_evicted"] == 2
    assert queue.events()[-1] == "evicted quarantine n=2 total=2 kept_ms=0"
