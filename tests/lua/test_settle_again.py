"""settle: what runs again, and when: retries by policy or by the worker's word, snoozes, returns."""

from __future__ import annotations

import pytest

from redsched.wire import protocol
from tests.support.lua_queue import DAY, KEEP_DEAD, KEEP_FINISHED, NOW, Queue
from tests.support.settlements import LATER, RAN, end

YEAR = 365 * DAY


@pytest.mark.parametrize(
    ("policy", "attempt", "low", "high"),
    [
        ("fixed 700", 1, 700, 700),
        ("fixed 700", 4, 700, 700),
        ("fixed 0", 1, 0, 0),
        ("list 10 200 3000", 1, 10, 10),
        ("list 10 200 3000", 2, 200, 200),
        ("list 10 200 3000", 4, 3_000, 3_000),
        ("exponential 100 3 1000 0", 1, 100, 100),
        ("exponential 100 3 1000 0", 3, 900, 900),
        ("exponential 100 3 1000 0", 4, 1_000, 1_000),
        ("exponential 1000 2 100000 0.25", 3, 3_000, 5_000),
        ("exponential 1000 1 100000 1", 3, 0, 2_000),
        ("exponential 1000 2 2000 0.5", 4, 1_000, 3_000),
        ("exponential 0 10 0 0", 4, 0, 0),
        (None, 1, 4_000, 6_000),
        (None, 3, 16_000, 24_000),
    ],
)
def test_a_retry_waits_as_its_policy_says(queue: Queue, policy: str | None, attempt: int, low: int, high: int) -> None:
    fields = {"attempt": attempt - 1} | ({"retry": policy} if policy else {})
    started = queue.running("a", **fields)

    assert queue.settle(started, "retry", "", "it broke", "line 1", now=LATER) == "scheduled"

    due = queue.places()["due"]["a"]
    assert queue.places() == {"due": {"a": due}}
    assert low <= due - LATER <= high
    assert queue.task("a")["attempt"] == str(attempt)
    assert queue.outcome("a") == {
        "error": "it broke",
        "traceback": "line 1",
        f"attempt:{attempt}": f"{LATER} retry w it broke",
    }
    assert queue.events() == [f"retried a due={due:.0f}"]


def test_the_jitter_differs_between_tasks(queue: Queue) -> None:
    started = [queue.running(f"a{number}", retry="exponential 1000000 2 9000000 0.5") for number in range(20)]

    queue.send(protocol.settle(queue.cell, [end(one, "retry") for one in started]))

    due = queue.places()["due"].values()
    assert all(500_000 <= at - NOW <= 1_500_000 for at in due)
    assert len(set(due)) > 10
    assert max(due) - min(due) > 200_000


def test_a_retry_at_the_thousandth_attempt_has_a_delay(queue: Queue) -> None:
    a = queue.running("a", retry="exponential 0 10 0 0", attempt=998, max_attempts=1_000)
    b = queue.running("b", retry="exponential 1 10 5 0", attempt=998, max_attempts=1_000)

    assert queue.send(protocol.settle(queue.cell, [end(a, "retry"), end(b, "retry")])) == ["scheduled"] * 2

    assert queue.places() == {"due": {"a": NOW, "b": NOW + 5}}


def test_a_delay_that_the_worker_gives_comes_before_the_policy(queue: Queue) -> None:
    assert queue.settle(queue.running("a", retry="fixed 9"), "retry", 1_234) == "scheduled"

    assert queue.places() == {"due": {"a": NOW + 1_234}}
    assert queue.task("a") == RAN | {"retry": "fixed 9", "state": "scheduled"}


@pytest.mark.parametrize(
    "policy",
    [
        "sometimes",
        "fixed",
        "fixed x",
        "fixed -1",
        "fixed 1 2",
        "list",
        "list x",
        "exponential 1 2 3",
        "exponential 1 11 9 0",
        "exponential 1 2 9 2",
        "exponential 1 nan 9 0",
        "exponential 1 2 9 nan",
        "exponential 1 inf 9 0",
        "",
        " ",
        "list " + "1 " * 1_000,
    ],
)
def test_a_retry_policy_that_cannot_be_used_makes_a_failed_task_dead(queue: Queue, policy: str) -> None:
    started = queue.spoilt("a", retry=policy)

    assert queue.settle(started, "retry", "", "it broke") == "dead"

    assert queue.places() == {"dead": {"a": NOW + KEEP_DEAD}}
    assert queue.task("a")["reason"] == "malformed"
    assert queue.events() == ["dead a reason=malformed"]


def test_a_retry_that_would_come_after_the_start_by_is_expired_at_once(queue: Queue) -> None:
    a, b = queue.running("a", expires_at=NOW + 100), queue.running("b", expires_at=NOW + 101)

    assert queue.send(protocol.settle(queue.cell, [end(a, "retry", 100), end(b, "retry", 100)])) == [
        "expired",
        "scheduled",
    ]

    assert queue.places() == {"due": {"b": NOW + 100}, "finished": {"a": NOW + KEEP_FINISHED}}
    assert queue.task("a")["reason"] == "start-by passes before the next run"
    assert queue.events() == ["expired a", f"retried b due={NOW + 100}"]


def test_a_snooze_waits_and_gives_the_attempt_back(queue: Queue) -> None:
    started = queue.running("a", max_attempts=1)

    assert queue.settle(started, "snooze", 9_000) == "scheduled"

    assert queue.places() == {"due": {"a": NOW + 9_000}}
    assert queue.task("a") == RAN | {"max_attempts": "1", "state": "scheduled", "attempt": "0"}
    assert queue.events() == [f"snoozed a due={NOW + 9_000}"]
    assert queue.outcome("a") == {}


def test_a_snooze_past_the_start_by_is_expired(queue: Queue) -> None:
    assert queue.settle(queue.running("a", expires_at=NOW + 10), "snooze", 10) == "expired"


def test_a_delay_is_cut_at_a_year(queue: Queue) -> None:
    queue.settle(queue.running("a"), "snooze", YEAR)

    assert queue.places() == {"due": {"a": NOW + YEAR}}


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_a_returned_task_is_ready_again_at_once_in_its_stream(queue: Queue, priority: str) -> None:
    started = queue.running("a", priority=priority)

    assert queue.settle(started, "return") == "ready"

    assert queue.places() == {"ready": {priority: ["a"]}}
    assert queue.task("a") == RAN | {
        "priority": priority,
        "state": "ready",
        "entry": f"{priority}/1",
        "attempt": "0",
    }
    assert queue.totals()["returned"] == 1
    assert [(task.id, task.attempt) for task in queue.claim().tasks] == [("a", 1)]


@pytest.mark.parametrize("outcome", ["return", "snooze", "unhandled"])
def test_a_returned_task_past_its_start_by_is_expired_at_once_and_used_no_attempt(queue: Queue, outcome: str) -> None:
    started = queue.running("a", expires_at=LATER)
    words = ("return", "unhandled") if outcome == "unhandled" else (outcome, "")

    assert queue.settle(started, *words, now=LATER) == "expired"

    assert queue.places() == {"finished": {"a": LATER + KEEP_FINISHED}}
    assert queue.task("a")["attempt"] == "0"
    assert queue.totals()["expired"] == 1


def test_a_returned_task_past_its_start_by_without_retention_leaves_nothing(queue: Queue) -> None:
    assert queue.settle(queue.running("a", expires_at=LATER, retention_ms=0), "return", now=LATER) == "expired"

    assert (queue.places(), queue.task("a")) == ({}, {})


def test_a_returned_task_that_was_asked_to_stop_is_cancelled_and_used_no_attempt(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.cancel(queue.keys, ["a"], reason="paid"))

    assert queue.settle(started, "return", now=LATER) == "cancelled"

    assert queue.task("a") == RAN | {
        "state": "cancelled",
        "attempt": "0",
        "reason": "paid",
        "cancel_requested": "paid",
        "finished_at": str(LATER),
    }


def test_a_task_without_a_handler_comes_back_after_5_10_20_40_and_60_seconds(queue: Queue) -> None:
    started = queue.running("a", max_attempts=1)
    for number, seconds in enumerate((5, 10, 20, 40, 60, 60), 1):
        assert queue.settle(started, "return", "unhandled") == "scheduled"

        due = queue.now + seconds * 1_000
        assert queue.places() == {"due": {"a": due}}
        assert (queue.task("a")["attempt"], queue.task("a")["unhandled"]) == ("0", str(number))
        assert queue.events()[-1] == f"unhandled a due={due}"
        queue.now = due
        queue.promote()
        (started,) = queue.claim().tasks
        assert started.attempt == 1


def test_the_longest_policy_is_used(queue: Queue) -> None:
    policy = "list" + " 70" * 532
    assert len(policy) == 1_600

    assert queue.settle(queue.running("a", retry=policy), "retry") == "scheduled"

    assert queue.places() == {"due": {"a": NOW + 70}}


def test_jitter_makes_no_delay_longer_than_a_year(queue: Queue) -> None:
    started = [queue.running(f"a{number}", retry=f"exponential {YEAR} 1 {YEAR} 1") for number in range(20)]

    queue.send(protocol.settle(queue.cell, [end(one, "retry") for one in started]))

    assert max(queue.places()["due"].values()) == NOW + YEAR
