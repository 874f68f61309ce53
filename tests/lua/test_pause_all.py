"""One switch over every queue: nothing starts until it is let go, and what was paused by itself stays paused."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.keys import CellKeys
from redsched.wire.queues import ALL
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.repairs import faults, mends


def pause_all(queue: Queue, until: int | None = None, now: int = NOW) -> None:
    """Pause everything."""
    queue.send(protocol.pause(queue.keys, ALL, reason="database moves", until=until), now=now)


def resume_all(queue: Queue, now: int = NOW) -> bool:
    """Go on, as far as the call goes; the mover does the rest."""
    return queue.send(protocol.resume(queue.keys, ALL), now=now)


def attend(queue: Queue, now: int = NOW, limit: int = 64) -> int:
    """The mover's part; how many calls it took."""
    for calls in range(1, 1_000):
        found = queue.attend(now=now, limit=limit)
        if found.next_look is None or found.next_look > now:
            return calls
    raise AssertionError("the mover never ends")


def started(*queues: Queue, now: int = NOW) -> list[str]:
    """The ids of what starts now in these queues."""
    return [task.id for queue in queues for task in (queue.promote(now=now), queue.claim(now=now))[1].tasks]


def test_nothing_of_any_queue_starts_until_everything_is_resumed(queue: Queue) -> None:
    other = queue.other("r")
    queue.seed("ready")
    queue.promote()
    pause_all(queue)
    queue.enqueue(("due", NOW + 1, {}))
    other.seed("new", due=NOW + 1)  # of a queue that nobody knew

    assert started(queue, other, now=NOW + 1) == []
    assert [queue.task(name)["blocked"] for name in ("ready", "due")] == ["pause:all"] * 2
    assert other.task("new")["blocked"] == "pause:all"
    (stop, another), _ = queue.send(protocol.paused([queue.keys, other.keys]), now=NOW + 1)
    assert (stop.queue, stop.all, stop.reason, stop.waiting, stop.until) == ("q", True, "database moves", 2, None)
    assert (another.queue, another.all, another.waiting) == ("r", True, 1)

    assert resume_all(queue, now=NOW + 5)
    attend(queue, now=NOW + 5)

    assert started(queue, other, now=NOW + 5) == ["ready", "due", "new"]
    assert not resume_all(queue)
    assert queue.send(protocol.paused([queue.keys, other.keys])) == ([], "")
    assert not queue.redis.exists(queue.key("paused"), queue.key("stopped:q:all"), queue.key("stopped:r:all"))
    assert [told for told in queue.events() if told.startswith(("paused", "resumed"))] == [
        "paused all reason=database moves",
        "resumed all",
    ]


@pytest.mark.parametrize("what", ["queue", "type:t", "key:k"])
def test_what_was_paused_by_itself_stays_paused(queue: Queue, what: str) -> None:
    queue.send(protocol.pause(queue.keys, what, reason="own", until=None))
    pause_all(queue)
    queue.seed("a", key="k")
    assert started(queue) == []

    resume_all(queue)
    attend(queue)

    assert started(queue) == []
    assert queue.task("a")["blocked"] == f"pause:{what}"
    queue.send(protocol.resume(queue.keys, what))
    attend(queue)
    assert started(queue) == ["a"]


@pytest.mark.parametrize("what", ["queue", "type:t", "key:k"])
def test_what_is_resumed_by_itself_waits_while_everything_is_paused(queue: Queue, what: str) -> None:
    queue.send(protocol.pause(queue.keys, what, reason="own", until=None))
    pause_all(queue)
    queue.seed("a", key="k")
    queue.promote()

    queue.send(protocol.resume(queue.keys, what))
    attend(queue)

    assert started(queue) == []
    assert queue.task("a")["blocked"] == "pause:all"


def test_a_pause_of_everything_ends_by_itself_at_its_time(queue: Queue) -> None:
    pause_all(queue, until=NOW + 5)
    queue.seed("a")
    assert started(queue) == []
    assert attend(queue, now=NOW + 4) == 1
    assert queue.attend(now=NOW + 4).next_look == NOW + 5

    attend(queue, now=NOW + 5)

    assert started(queue, now=NOW + 5) == ["a"]
    assert not queue.redis.exists(queue.key("paused"))


def test_a_second_pause_of_everything_replaces_the_end_of_the_first(queue: Queue) -> None:
    pause_all(queue, until=NOW + 5)
    queue.seed("a")
    started(queue)
    pause_all(queue, until=NOW + 9)

    attend(queue, now=NOW + 5)

    assert started(queue, now=NOW + 5) == []
    attend(queue, now=NOW + 9)
    assert started(queue, now=NOW + 9) == ["a"]


def test_a_start_by_that_passes_meanwhile_is_kept(queue: Queue) -> None:
    pause_all(queue)
    queue.seed("a", expires_at=NOW + 5)
    queue.promote()

    attend(queue, now=NOW + 5)
    queue.promote(now=NOW + 5)

    assert queue.task("a")["state"] == "expired"


@pytest.mark.parametrize("limit", [1, 64])
def test_many_queues_go_on_in_bounded_calls(queue: Queue, limit: int) -> None:
    pause_all(queue)
    many = [queue.other(f"queue-{at}") for at in range(150)]  # more than a set of one page holds
    for at, one in enumerate(many):
        if at % 3 == 0:
            one.seed(f"t{at}")
            one.promote()
        else:
            one.redis.sadd(one.key("queues"), one.name)

    resume_all(queue)
    calls = attend(queue, limit=limit)

    assert calls > 3
    assert queue.redis.keys(queue.key("stopped:*")) == []
    assert queue.redis.exists(queue.key("cursors"), queue.key("agenda")) == 0
    assert started(*many[::3]) == [f"t{at}" for at in range(0, 150, 3)]


def test_a_pause_while_the_queues_go_on_makes_the_next_resume_begin_anew(queue: Queue) -> None:
    pause_all(queue)
    queue.redis.sadd(queue.key("queues"), *(f"queue-{at}" for at in range(150)))
    resume_all(queue)
    queue.attend(limit=1)
    queue.attend(limit=1)
    assert queue.redis.hget(queue.key("cursors"), "resumed/all") is not None

    pause_all(queue, until=NOW + HOUR)
    attend(queue)
    many = [queue.other(f"queue-{at}") for at in range(0, 150, 5)]
    for one in many:
        one.seed("a")
    assert started(*many) == []
    attend(queue, now=NOW + HOUR)

    assert queue.redis.keys(queue.key("stopped:*")) == []


def resumed(queue: Queue) -> Call[Any]:
    """The resume of everything, with tasks that wait; its caller dies."""
    pause_all(queue)
    queue.seed("a")
    queue.promote()
    return protocol.resume(queue.keys, ALL)


def let_go(queue: Queue) -> Call[Any]:
    """The mover's first call after that."""
    queue.send(resumed(queue))
    return protocol.attend(CellKeys(queue.cell), 64)


@pytest.mark.parametrize("scene", [resumed, let_go])
def test_all_go_on_wherever_a_resume_stopped(queue: Queue, scene: Any) -> None:
    for here, call in each_stop(queue, scene):
        here.send(call)
        attend(here)

        assert started(here) == ["a"]


def test_a_queue_that_nobody_has_seen_is_paused_only_where_that_is_meant(queue: Queue) -> None:
    words = [queue.keys.due], [0, "queue", "", 0, "known"]
    before = queue.dump()

    assert queue.run("pause", *words) == b"unknown"
    assert queue.dump() == before
    assert queue.run("pause", words[0], [*words[1][:4], ""]) == b"paused"
    assert queue.run("pause", *words) == b"paused"


@pytest.mark.parametrize("how", ["raw", "enqueue", "ready"])
def test_a_queue_with_tasks_is_known(queue: Queue, how: str) -> None:
    if how == "raw":
        queue.write("a", due=NOW + 1, type="t", payload="{}")
    else:
        queue.enqueue(("a", 0 if how == "ready" else NOW + HOUR, {}))
        queue.redis.delete(queue.key("queues"))

    assert queue.run("pause", [queue.keys.due], [0, "queue", "", 0, "known"]) == b"paused"


def test_the_doctor_finds_and_mends_a_task_that_nothing_would_let_go(queue: Queue) -> None:
    pause_all(queue)
    queue.seed("a", created_at=NOW)
    queue.promote()
    assert queue.task("a")["blocked"] == "pause:all"
    assert faults(queue) == set()
    queue.redis.delete(queue.key("paused"))

    assert mends(queue, "task", "a", "never_resumed") == "held"
    attend(queue)
    assert started(queue) == ["a"]


@pytest.mark.parametrize("until", [None, NOW + HOUR])
def test_all_is_well_while_everything_is_paused_and_right_after(queue: Queue, until: int | None) -> None:
    pause_all(queue, until=until)
    queue.seed("a", created_at=NOW)
    queue.promote()
    assert queue.task("a")["blocked"] == "pause:all"
    assert faults(queue) == set()

    resume_all(queue)

    assert faults(queue) == set()


def test_explain_says_that_everything_is_paused(queue: Queue) -> None:
    pause_all(queue)
    queue.enqueue(("a", NOW, {}))
    told = queue.send(protocol.explain(queue.keys, "a"))

    assert told.lists["stop"] == [["all", 0, NOW, "database moves"]]
