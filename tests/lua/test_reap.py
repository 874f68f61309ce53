"""reap: what becomes of running tasks whose lease has ended."""

from __future__ import annotations

import pytest

from redsched.wire import protocol
from redsched.wire.claims import Started
from redsched.wire.mover import Moved
from tests.support.lua_queue import HOUR, KEEP_DEAD, KEEP_FINISHED, LEASE, NOW, Queue

ENDED = NOW + LEASE
LEASE_LINE = "lease ended without an answer"


def again(queue: Queue, now: int, *, begins: bool = False) -> Started:
    """The next claim of the one task that is due, its handler begun or not."""
    queue.promote(now=now)
    (started,) = queue.claim(now=now).tasks
    if begins:
        assert queue.begin(started, now=now) == "renewed"
    return started


def test_a_task_whose_worker_crashed_is_due_at_once_and_its_attempt_is_used_up(queue: Queue) -> None:
    queue.begin(queue.running("a", retry="fixed 700"))

    assert queue.reap(now=ENDED) == Moved("q", 1, None, None)

    assert queue.places() == {"due": {"a": ENDED}}
    assert queue.task("a") == {
        "type": "t",
        "payload": "{}",
        "retry": "fixed 700",
        "state": "scheduled",
        "entry": "normal/gone",
        "due_at": str(NOW),
        "attempt": "1",
        "started_at": str(NOW),
        "worker": "w",
        "begun": queue.task("a")["begun"],
        "crashes": "1 0",
    }
    assert queue.outcome("a") == {"error": LEASE_LINE, "traceback": "", "attempt:1": f"{ENDED} lease w {LEASE_LINE}"}
    assert queue.events() == [f"reaped a due={ENDED}"]
    assert queue.totals()["reaped"] == 1


def test_a_claim_that_no_handler_began_gives_its_attempt_back(queue: Queue) -> None:
    queue.running("a", retry="fixed 700", max_attempts=1)

    assert queue.reap(now=ENDED) == Moved("q", 1, None, None)

    assert queue.places() == {"due": {"a": ENDED}}
    assert queue.task("a") == {
        "type": "t",
        "payload": "{}",
        "retry": "fixed 700",
        "max_attempts": "1",
        "state": "scheduled",
        "entry": "normal/gone",
        "due_at": str(NOW),
        "attempt": "0",
        "started_at": str(NOW),
        "worker": "w",
        "crashes": "0 1",
    }
    assert queue.outcome("a") == {}
    assert queue.events() == [f"reaped a due={ENDED}"]


def test_an_attempt_is_given_back_at_most_twice_in_a_row(queue: Queue) -> None:
    queue.running("a", max_attempts=1)
    for number in (1, 2):
        queue.reap(now=NOW + number * LEASE)
        assert queue.task("a")["crashes"] == f"0 {number}"
        again(queue, NOW + number * LEASE)

    queue.reap(now=NOW + 3 * LEASE)

    assert queue.task("a")["reason"] == "lease"
    assert queue.outcome("a")["attempt:1"] == f"{NOW + 3 * LEASE} lease w {LEASE_LINE}"


@pytest.mark.parametrize("how", ["begun", "settled"])
def test_a_claim_that_begins_or_is_settled_ends_the_row(queue: Queue, how: str) -> None:
    queue.running("a", retry="fixed 0", max_attempts=3)
    queue.reap(now=ENDED)
    again(queue, ENDED)
    queue.reap(now=ENDED + LEASE)
    started = again(queue, ENDED + LEASE, begins=how == "begun")
    if how == "settled":
        queue.settle(started, "retry", now=ENDED + LEASE)
    else:
        queue.reap(now=ENDED + 2 * LEASE)
    assert queue.task("a")["attempt"] == "1"

    for number in (2, 3):
        again(queue, ENDED + number * LEASE)
        queue.reap(now=ENDED + (number + 1) * LEASE)

    assert queue.task("a")["attempt"] == "1"


def test_a_claim_is_not_taken_for_begun_because_an_earlier_one_was(queue: Queue) -> None:
    started = queue.running("a", max_attempts=1)
    queue.begin(started)
    queue.settle(started, "snooze", "0")
    again(queue, NOW)

    queue.reap(now=ENDED)

    assert (queue.task("a")["state"], queue.task("a")["attempt"]) == ("scheduled", "0")


def test_a_task_that_crashed_its_worker_twice_in_a_row_waits_as_its_policy_says(queue: Queue) -> None:
    queue.begin(queue.running("a", retry="list 100 700 900"))
    queue.reap(now=ENDED)
    again(queue, ENDED)
    queue.reap(now=ENDED + LEASE)  # not begun: says nothing of the task
    again(queue, ENDED + LEASE, begins=True)

    queue.reap(now=ENDED + 2 * LEASE)
    assert queue.places() == {"due": {"a": ENDED + 2 * LEASE + 700}}
    again(queue, ENDED + 3 * LEASE, begins=True)
    queue.reap(now=ENDED + 4 * LEASE)

    assert queue.places() == {"due": {"a": ENDED + 4 * LEASE + 900}}


@pytest.mark.parametrize(("outcome", "attempt"), [("retry", 2), ("snooze", 1), ("return", 1)])
def test_an_answer_of_any_kind_ends_a_row_of_crashes(queue: Queue, outcome: str, attempt: int) -> None:
    queue.begin(queue.running("a", retry="fixed 700"))
    queue.reap(now=ENDED)
    queue.settle(again(queue, ENDED, begins=True), outcome, "0" if outcome == "retry" else "", now=ENDED)
    assert (queue.task("a")["attempt"], queue.task("a").get("crashes")) == (str(attempt), None)

    again(queue, ENDED, begins=True)
    queue.reap(now=ENDED + LEASE)

    assert queue.places() == {"due": {"a": ENDED + LEASE}}


@pytest.mark.parametrize("crashes", ["", "many", "-1 0", "1", "1 99", "1e9 0", "9" * 40 + " 0"])
def test_a_count_of_crashes_that_is_none_counts_from_nothing(queue: Queue, crashes: str) -> None:
    started = queue.running("a", crashes=crashes)
    queue.begin(started)

    queue.reap(now=ENDED)

    assert queue.places() == {"due": {"a": ENDED}}
    assert queue.task("a")["crashes"] == "1 0"


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_one_that_ends_with_its_lease_has_used_the_attempts_that_began(queue: Queue, end: str, begins: bool) -> None:
    started = queue.running("a", **({"expires_at": ENDED} if end == "expired" else {}))
    if begins:
        queue.begin(started)
    if end == "cancelled":
        queue.send(protocol.cancel(queue.keys, ["a"]))

    queue.reap(now=ENDED)

    assert (queue.task("a")["state"], queue.task("a")["attempt"]) == (end, str(int(begins)))


def test_a_task_whose_lease_goes_on_is_left_alone(queue: Queue) -> None:
    queue.running("a")
    before = queue.dump()

    assert queue.reap(now=ENDED - 1) == Moved("q", 0, None, ENDED)

    assert queue.dump() == before


def test_the_attempt_of_a_lost_lease_is_spent(queue: Queue) -> None:
    queue.begin(queue.running("a", max_attempts=2))
    queue.reap(now=ENDED)
    assert again(queue, ENDED, begins=True).attempt == 2

    queue.reap(now=ENDED + LEASE)

    assert queue.places() == {"dead": {"a": ENDED + LEASE + KEEP_DEAD}}
    assert queue.task("a")["reason"] == "lease"
    assert queue.events()[-1] == "dead a reason=lease"
    assert {"attempt:1", "attempt:2"} < queue.outcome("a").keys()


def test_a_task_that_was_asked_to_stop_is_cancelled(queue: Queue) -> None:
    queue.running("a")
    queue.send(protocol.cancel(queue.keys, ["a"], reason="paid"))

    queue.reap(now=ENDED)

    assert queue.places() == {"finished": {"a": ENDED + KEEP_FINISHED}}
    assert (queue.task("a")["state"], queue.task("a")["reason"]) == ("cancelled", "paid")


def test_a_task_whose_start_by_passed_is_expired(queue: Queue) -> None:
    queue.running("a", expires_at=ENDED)

    queue.reap(now=ENDED)

    assert queue.places() == {"finished": {"a": ENDED + KEEP_FINISHED}}
    assert (queue.task("a")["state"], queue.task("a").get("reason")) == ("expired", None)


def test_a_task_whose_start_by_passes_before_its_next_run_is_expired(queue: Queue) -> None:
    queue.begin(queue.running("a", expires_at=ENDED + LEASE + 500, retry="fixed 500"))
    queue.reap(now=ENDED)
    again(queue, ENDED, begins=True)

    queue.reap(now=ENDED + LEASE)

    assert queue.task("a")["reason"] == "start-by passes before the next run"


def test_a_task_with_a_malformed_policy_is_dead_and_those_behind_it_go_on(queue: Queue) -> None:
    for task_id, retry in (("a", "exponential 1 nan 2 0"), ("b", "fixed 5")):
        queue.begin(queue.spoilt(task_id, retry=retry, crashes="1 0"))

    assert queue.reap(now=ENDED).moved == 2

    assert queue.places() == {"due": {"b": ENDED + 5}, "dead": {"a": ENDED + KEEP_DEAD}}
    assert queue.task("a")["reason"] == "malformed"


def test_an_expired_task_without_retention_leaves_nothing(queue: Queue) -> None:
    queue.running("a", expires_at=ENDED, retention_ms=0)

    queue.reap(now=ENDED)

    assert queue.places() == {}
    assert (queue.task("a"), queue.outcome("a")) == ({}, {})


@pytest.mark.parametrize("far", [HOUR + 1, 365 * 24 * HOUR, 1e18, float("inf")])
def test_a_lease_that_is_impossibly_far_away_is_cut_to_an_hour(queue: Queue, far: float) -> None:
    queue.running("a")
    queue.redis.zadd(queue.keys.index("running"), {"a": NOW + far})

    assert queue.reap() == Moved("q", 0, None, NOW + HOUR)

    assert queue.places() == {"running": {"a": NOW + HOUR}}


def test_a_lease_of_exactly_an_hour_stays(queue: Queue) -> None:
    queue.running("a")
    queue.redis.zadd(queue.keys.index("running"), {"a": NOW + HOUR})

    queue.reap()

    assert queue.places() == {"running": {"a": NOW + HOUR}}


def test_ids_that_do_not_run_only_leave_the_set(queue: Queue) -> None:
    queue.seed("waits", due=NOW + HOUR)
    queue.broken |= {"waits", "ghost", "string", "a b", ""}
    queue.redis.set(queue.keys.task("string"), "mine")
    for task_id in ("waits", "ghost", "string", "a b", ""):
        queue.redis.zadd(queue.keys.index("running"), {task_id: NOW})

    assert queue.reap() == Moved("q", 5, None, None)

    assert queue.places() == {"due": {"waits": NOW + HOUR}}
    assert queue.redis.get(queue.keys.task("string")) == "mine"
    assert queue.events() == []


def test_the_limit_is_shared_by_the_queues(queue: Queue) -> None:
    other = queue.other("r")
    for task_id in ("a", "b"):
        queue.running(task_id)
        other.running(task_id)

    reaped = queue.send(protocol.reap([queue.keys, other.keys], limit=3), now=ENDED)

    assert reaped.queues == [Moved("q", 2, None, None), Moved("r", 1, None, ENDED)]


def test_the_longest_overdue_leases_come_first(queue: Queue) -> None:
    queue.running("a")
    queue.running("b")
    queue.redis.zadd(queue.keys.index("running"), {"b": NOW - 1})

    queue.reap(now=ENDED, limit=1)

    assert queue.places()["running"] == {"a": ENDED}


def test_a_call_takes_back_at_most_five_hundred_and_cuts_at_most_a_hundred(real_queue: Queue) -> None:
    queue = real_queue
    ended, far = [f"ended{number}" for number in range(501)], [f"far{number}" for number in range(101)]
    queue.broken.update(ended, far)
    queue.redis.zadd(queue.keys.index("running"), dict.fromkeys(ended, NOW) | dict.fromkeys(far, NOW + 2 * HOUR))

    assert queue.reap(limit=5_000).moved == 500

    running = queue.places()["running"]
    assert (len(running), list(running.values()).count(NOW + HOUR)) == (102, 100)
