"""settle: how a claim ends, and that it ends once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from redsched.wire import protocol
from redsched.wire.claims import Settlement
from tests.support.lua_queue import DAY, HOUR, KEEP_DEAD, KEEP_FINISHED, LEASE, NOW, Queue
from tests.support.settlements import LATER, RAN, end


def test_a_completed_task_is_kept_for_an_hour_without_its_payload(queue: Queue) -> None:
    started = queue.running("a", headers="{}", request="r1")

    assert queue.settle(started, "complete", now=LATER) == "completed"

    assert queue.places() == {"finished": {"a": LATER + KEEP_FINISHED}}
    assert queue.task("a") == {
        "type": "t",
        "request": "r1",
        "state": "completed",
        "due_at": str(NOW),
        "attempt": "1",
        "token": "1.*",
        "started_at": str(NOW),
        "finished_at": str(LATER),
    }
    assert queue.outcome("a") == {}
    assert queue.totals() == {"promoted": 1, "started": 1, "completed": 1}
    assert queue.events() == []


def test_a_completed_task_that_says_keep_keeps_everything(queue: Queue) -> None:
    started = queue.running("a", headers="{}", keep=1)

    queue.settle(started, "complete", now=LATER)

    assert queue.task("a") == RAN | {"headers": "{}", "keep": "1", "state": "completed", "finished_at": str(LATER)}


def test_a_result_is_kept_beside_the_task(queue: Queue) -> None:
    queue.settle(queue.running("a"), "complete", '{"n":1}')

    assert queue.outcome("a") == {"result": '{"n":1}'}


def test_a_completed_task_keeps_to_its_retention(queue: Queue) -> None:
    a, b = queue.running("a", retention_ms=0), queue.running("b", retention_ms=7_000)
    queue.send(protocol.progress(queue.keys, "a", a.token, 1))

    assert queue.send(protocol.settle(queue.cell, [end(a, "complete", "1"), end(b, "complete")])) == ["completed"] * 2

    assert queue.places() == {"finished": {"b": NOW + 7_000}}
    assert (queue.task("a"), queue.outcome("a")) == ({}, {})


def test_a_retention_that_is_no_number_is_the_default(queue: Queue) -> None:
    queue.settle(queue.spoilt("a", retention_ms="forever"), "complete")

    assert queue.places() == {"finished": {"a": NOW + KEEP_FINISHED}}


def test_a_failure_of_the_last_attempt_makes_the_task_dead(queue: Queue) -> None:
    started = queue.running("a", max_attempts=1)

    assert queue.settle(started, "retry", 5, "it broke", "line 1", now=LATER) == "dead"

    assert queue.places() == {"dead": {"a": LATER + KEEP_DEAD}}
    assert queue.task("a") == RAN | {
        "max_attempts": "1",
        "state": "dead",
        "finished_at": str(LATER),
        "reason": "attempts",
    }
    assert queue.outcome("a") == {"error": "it broke", "traceback": "line 1", "attempt:1": f"{LATER} retry w it broke"}
    assert queue.events() == ["dead a reason=attempts"]
    assert queue.totals()["dead"] == 1


def test_the_last_twenty_attempts_are_told(queue: Queue) -> None:
    started = queue.running("a", attempt=24, max_attempts=99)
    for number in range(1, 25):
        queue.redis.hset(queue.keys.outcome("a"), f"attempt:{number}", "old")
    queue.redis.hdel(queue.keys.outcome("a"), "attempt:1", "attempt:2", "attempt:3", "attempt:4")

    queue.settle(started, "retry", 5, "x" * 600)

    outcome = queue.outcome("a")
    assert sorted(field for field in outcome if field.startswith("attempt:")) == sorted(
        f"attempt:{n}" for n in range(6, 26)
    )
    assert outcome["attempt:25"] == f"{NOW} retry w " + "x" * 500


def test_long_errors_are_cut(queue: Queue) -> None:
    queue.settle(queue.running("a"), "retry", 5, "e" * 5_000, "t" * 20_000)

    outcome = queue.outcome("a")
    assert (len(outcome["error"]), len(outcome["traceback"])) == (4_000, 16_000)


def test_a_rejected_task_is_dead_at_once(queue: Queue) -> None:
    started = queue.running("a")

    assert queue.settle(started, "dead", "rejected " * 20, "no such account", "line 1", now=LATER) == "dead"

    assert queue.places() == {"dead": {"a": LATER + KEEP_DEAD}}
    assert queue.task("a") == RAN | {"state": "dead", "finished_at": str(LATER), "reason": ("rejected " * 20)[:100]}
    assert queue.outcome("a")["attempt:1"] == f"{LATER} dead w no such account"


def test_a_worker_may_cancel_its_task(queue: Queue) -> None:
    started = queue.running("a")

    assert queue.settle(started, "cancelled", "stopped itself") == "cancelled"

    assert queue.places() == {"finished": {"a": NOW + KEEP_FINISHED}}
    assert queue.task("a")["reason"] == "stopped itself"
    assert queue.events() == ["cancelled a"]


def test_a_cancelled_task_keeps_the_reason_of_whoever_asked(queue: Queue) -> None:
    a, b = queue.running("a"), queue.running("b")
    queue.send(protocol.cancel(queue.keys, ["a", "b"], reason="paid"))

    queue.send(protocol.settle(queue.cell, [end(a, "cancelled"), end(b, "cancelled", "n" * 300)]))

    assert queue.task("a")["reason"] == "paid"
    assert queue.task("b")["reason"] == "n" * 200


@pytest.mark.parametrize(
    ("outcome", "first", "word"),
    [
        ("retry", 5, "cancelled"),
        ("snooze", 5, "cancelled"),
        ("return", "", "cancelled"),
        ("return", "unhandled", "cancelled"),
        ("complete", "", "completed"),
        ("dead", "bad", "dead"),
    ],
)
def test_a_task_that_was_asked_to_stop_does_not_run_again(queue: Queue, outcome: str, first: Any, word: str) -> None:
    started = queue.running("a")
    queue.send(protocol.cancel(queue.keys, ["a"], reason="paid"))

    assert queue.settle(started, outcome, first) == word

    if word == "cancelled":
        assert queue.task("a")["reason"] == "paid"


OUTCOMES = [("complete", ""), ("retry", 5), ("snooze", 5), ("return", ""), ("dead", "x"), ("cancelled", "x")]


@pytest.mark.parametrize(("outcome", "first"), OUTCOMES)
def test_a_claim_that_was_settled_before_answers_already_and_writes_nothing(
    queue: Queue, outcome: str, first: Any
) -> None:
    started = queue.running("a")
    queue.settle(started, outcome, first)
    before = queue.dump()

    for again, word in OUTCOMES:
        assert queue.settle(started, again, word) == "already"

    assert queue.dump() == before


@pytest.mark.parametrize(("outcome", "first"), OUTCOMES)
def test_a_claim_that_is_not_the_workers_any_more_answers_lost_and_writes_nothing(
    queue: Queue, outcome: str, first: Any
) -> None:
    old = queue.running("a")
    queue.settle(old, "snooze", 0)
    queue.promote()
    (new,) = queue.claim(consumer="other").tasks
    before = queue.dump()
    assert new.token != old.token

    assert queue.settle(old, outcome, first) == "lost"
    for bad in (
        msgspec.structs.replace(new, token=""),
        msgspec.structs.replace(new, token="1"),
        msgspec.structs.replace(new, id="ghost"),
        msgspec.structs.replace(new, id="a b"),
    ):
        assert queue.settle(bad, outcome, first) == "lost"

    assert queue.dump() == before


def test_after_a_lost_lease_the_claim_is_lost(queue: Queue) -> None:
    started = queue.running("a")
    queue.reap(now=NOW + LEASE)

    assert queue.settle(started, "complete", now=NOW + LEASE) == "lost"

    assert list(queue.places()) == ["due"]


def test_the_same_claim_twice_in_one_call_ends_once(queue: Queue) -> None:
    for outcome in ("complete", "snooze"):
        started = queue.running(outcome)
        ends = [end(started, outcome), end(started, "retry"), end(started, "complete")]
        assert queue.send(protocol.settle(queue.cell, ends))[1:] == ["already", "already"]

    assert queue.places() == {"due": {"snooze": NOW}, "finished": {"complete": NOW + KEEP_FINISHED}}


def test_an_answer_that_comes_too_late_does_not_take_the_place_of_the_one_that_counts(queue: Queue) -> None:
    late = queue.running("a")
    queue.settle(late, "retry", 0)
    queue.promote()
    (counts,) = queue.claim().tasks

    ends = [end(late, "dead", "x"), end(counts, "complete")]
    assert queue.send(protocol.settle(queue.cell, ends)) == ["lost", "completed"]

    assert list(queue.places()) == ["finished"]


def test_one_call_ends_claims_of_several_queues(queue: Queue) -> None:
    other = queue.other("r")
    a, b, c = queue.running("a"), other.running("a"), other.running("c")

    ends = [end(b, "complete"), end(a, "snooze", 5), end(c, "dead", "x")]
    assert queue.send(protocol.settle(queue.cell, ends)) == ["completed", "scheduled", "dead"]

    assert queue.places() == {"due": {"a": NOW + 5}}
    assert other.places() == {"finished": {"a": NOW + HOUR}, "dead": {"c": NOW + KEEP_DEAD}}


def test_a_thousand_claims_end_in_one_call(real_queue: Queue) -> None:
    real_queue.enqueue(*((f"t{number}", 0, {}) for number in range(1_000)))
    started = [one for _ in range(4) for one in real_queue.claim(1_000).tasks]

    words = real_queue.send(protocol.settle(real_queue.cell, [end(one, "complete") for one in started]))

    assert words == ["completed"] * 1_000
    assert len(real_queue.places()["finished"]) == 1_000


@pytest.mark.parametrize(
    "bad",
    [
        [1, "a", "1.0", "finish", "", "", ""],
        [1, "a", "1.0", "", "", "", ""],
        [2, "a", "1.0", "complete", "", "", ""],
        [0, "a", "1.0", "complete", "", "", ""],
        ["q", "a", "1.0", "complete", "", "", ""],
        [1, "a", "1.0", "complete"],
    ],
    ids=str,
)
def test_an_outcome_that_is_none_is_refused_before_anything_is_written(queue: Queue, bad: list[Any]) -> None:
    started = queue.running("a")
    good = [1, "a", started.token, "dead", "x", "", ""]

    assert queue.refused("settle", NOW, *good, *bad).startswith("RS_INVALID 2 outcome must be")


def test_a_key_in_the_way_of_what_a_run_leaves_behind_goes(queue: Queue) -> None:
    started = queue.running("a")
    queue.broken.add("a")
    queue.redis.set(queue.keys.outcome("a"), "mine")

    assert queue.settle(started, "retry", 5, "it broke", "line 1") == "scheduled"

    assert queue.outcome("a") == {"error": "it broke", "traceback": "line 1", "attempt:1": f"{NOW} retry w it broke"}


def test_no_retry_waits_for_more_than_a_year(queue: Queue) -> None:
    year = 365 * DAY
    ids = [f"t{number}" for number in range(20)]
    queue.enqueue(*((task_id, 0, {"retry": f"exponential {year} 1 {year} 1"}) for task_id in ids))
    ends = [Settlement("q", one.id, one.token, "retry") for one in queue.claim(20).tasks]

    assert queue.send(protocol.settle(queue.cell, ends)) == ["scheduled"] * 20

    dues = queue.places()["due"].values()
    assert max(dues) == NOW + year, "half of them, by their jitter, would wait for longer"
    assert min(dues) < NOW + year


@pytest.mark.parametrize(("fields", "kept"), [({}, False), ({"keep": "1"}, True)], ids=["", "keep"])
def test_a_completed_task_has_its_conditions_only_if_it_is_kept_whole(
    queue: Queue, fields: dict[str, str], kept: bool
) -> None:
    queue.plan("a", {"unless": {"fact": "x"}}, **fields)
    (started,) = queue.claim().tasks

    assert queue.settle(started, "complete") == "completed"

    assert ("conditions" in queue.task("a")) == kept
