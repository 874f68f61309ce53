"""A task that would be due only after its start-by is refused or left as it is, and the answer says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from redsched.model.events import Rule
from redsched.model.template import TaskTemplate
from redsched.wire import dead_letters, events, protocol
from redsched.wire.call import Call
from redsched.wire.keys import CellKeys
from tests.support.acts import SEED, append, hold, ingest, update
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue

WINDOW = HOUR // 4
END = NOW + HOUR + WINDOW  # the start-by
TOO_EARLY = "RS_INVALID 1 expires_at must reach beyond the due time: the task is due after it expires"
CASES: dict[str, tuple[Any, Any]] = {
    "both from now": ("+60000", "+59999"),
    "at the same time, from now": ("+60000", "+60000"),
    "both as times": (NOW + HOUR, NOW + HOUR - 1),
    "at the same time": (NOW + HOUR, NOW + HOUR),
    "both in the past": (NOW - 5, NOW - 6),
    "from now, before its due time": (NOW + HOUR, "+60000"),
    "a time, before its delay is over": ("+60000", NOW + 5),
    "at once": (0, "+0"),
}


def reschedule(queue: Queue, *ids: str, due: int) -> dict[str, str]:
    """The word for each id."""
    return queue.send(protocol.reschedule(queue.keys, ids, due=due))


def shift(queue: Queue, *tasks: tuple[str, int | None], by: int) -> dict[str, str]:
    """The word for each id."""
    return queue.send(protocol.shift(queue.keys, tasks, by_ms=by))


# --- enqueue


@pytest.mark.parametrize("case", CASES)
def test_a_task_that_is_due_after_it_expires_is_refused(queue: Queue, case: str) -> None:
    due, start_by = CASES[case]
    words = [1, "a", due, 3, "type", "t", "payload", "1", "expires_at", start_by]

    assert queue.refused("enqueue", NOW, *words) == TOO_EARLY
    second = [1, "b", 0, 2, "type", "t", "payload", "1"]
    assert queue.refused("enqueue", NOW, *second, *words) == TOO_EARLY.replace(" 1 ", " 2 ", 1)
    assert queue.refused("enqueue_run", NOW, "run", 0, 1, 0, "", "", *words) == TOO_EARLY


@pytest.mark.parametrize(
    ("due", "start_by", "ends"),
    [("+60000", "+60001", NOW + 60_001), (NOW + 5, NOW + 6, NOW + 6), (NOW - 5, "+1", NOW + 1), (0, "+1", NOW + 1)],
)
def test_one_that_can_start_is_taken(queue: Queue, due: Any, start_by: Any, ends: int) -> None:
    assert queue.enqueue(("a", due, {"expires_at": start_by})) == ["created"]

    assert queue.task("a")["expires_at"] == str(ends)


@pytest.mark.parametrize("due", [0, "+0"])
def test_one_that_is_due_now_and_comes_too_late_expires(queue: Queue, due: Any) -> None:
    """Its producer did not contradict itself."""
    assert queue.enqueue(("a", due, {"expires_at": NOW - 1})) == ["created"]

    assert queue.task("a")["state"] == "expired"


def test_a_digest_has_a_time_of_its_own(queue: Queue) -> None:
    plan = json.dumps({"digest": {"key": "d", "grace": 1_000}})

    assert queue.enqueue(("a", "+60000", {"conditions": plan, "expires_at": "+5000"})) == ["created"]


def test_a_repeat_is_answered_as_the_first_call_was(queue: Queue) -> None:
    """The delay counts from now each time, and the start-by does not."""
    task = ("a", "+60000", {"expires_at": NOW + 61_000})
    assert queue.enqueue(task) == ["created"]

    assert queue.enqueue(task, now=NOW + 2_000) == ["existing"]
    assert queue.enqueue(("a", "+60000", {"payload": "2", "expires_at": NOW}), now=NOW) == ["conflict"]


def test_an_entry_of_an_inbox_goes_into_the_quarantine(queue: Queue) -> None:
    append(queue, id="a", due="+60000", type="t", payload="{}", expires_at="+5000")

    assert ingest(queue).refused == 1
    assert queue.places() == {"quarantine": {"inbox expires_at:a": NOW}}


def test_a_rule_whose_tasks_would_expire_is_refused(queue: Queue) -> None:
    rule = Rule(id="r", on="paid", delay="2h", task=TaskTemplate(type="t", queue="q", expires_in="1h"))
    before = queue.dump()

    with pytest.raises(redis.ResponseError, match=TOO_EARLY.replace("expires_at", "task.expires_at", 1)):
        queue.send(events.put_rule(CellKeys(queue.cell), rule, max_payload=99))

    assert queue.dump() == before


# --- reschedule, revive, requeue, update


def place(queue: Queue, state: str) -> None:
    """A task of that state with a start-by."""
    if state == "scheduled":
        queue.seed("a", due=NOW + HOUR, expires_at=END)
    elif state == "ready":
        queue.ready("a", expires_at=END)
    else:
        hold(queue, "a", blocked="confirm", due_at=NOW + HOUR, expires_at=END)
        queue.redis.zadd(queue.key("agenda"), {f"hold/{queue.name}": NOW})


@pytest.mark.parametrize("state", ["scheduled", "ready", "held"])
def test_a_task_is_not_moved_beyond_its_start_by(queue: Queue, state: str) -> None:
    place(queue, state)
    before = queue.dump()

    for due in (END, END + HOUR):
        assert reschedule(queue, "a", due=due) == {"a": "expires"}
    assert queue.dump() == before

    assert reschedule(queue, "a", due=END - 1) == {"a": "rescheduled"}
    assert queue.places() == {"due": {"a": END - 1}}


def test_a_task_whose_start_by_has_passed_is_not_run_now(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR, expires_at=NOW)
    before = queue.dump()

    assert reschedule(queue, "a", due=0) == {"a": "expires"}
    assert reschedule(queue, "a", due=NOW - HOUR) == {"a": "expires"}

    assert queue.dump() == before


def test_a_dead_task_is_not_revived_to_expire(queue: Queue) -> None:
    queue.settle(queue.running("a", expires_at=END), "dead", "x")
    before = queue.dump()

    assert queue.send(protocol.revive(queue.keys, ["a"], due=END)) == {"a": "expires"}
    assert queue.send(protocol.revive(queue.keys, ["a"]), now=END) == {"a": "expires"}
    assert queue.dump() == before

    assert update(queue, ["a"], expires_at=str(END + 2)) == ["updated"]
    assert queue.send(protocol.revive(queue.keys, ["a"], due=END)) == {"a": "revived"}


def test_one_of_the_quarantine_is_not_requeued_to_expire(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {"a": 5})
    queue.promote()
    queue.write("a", **SEED, expires_at=str(END))
    queue.broken.add("a")

    assert queue.send(dead_letters.requeue(queue.keys, ["a"], due=END)) == {"a": "expires"}
    assert queue.redis.zcard(queue.keys.index("quarantine")) == 1

    assert queue.send(dead_letters.requeue(queue.keys, ["a"])) == {"a": "requeued"}


@pytest.mark.parametrize("state", ["scheduled", "ready", "held"])
def test_a_start_by_is_not_put_before_the_due_time(queue: Queue, state: str) -> None:
    place(queue, state)
    earliest, before = NOW if state == "ready" else NOW + HOUR, queue.dump()

    assert update(queue, ["a"], payload="[1]", expires_at=str(earliest)) == ["expires"]
    assert queue.dump() == before

    assert update(queue, ["a"], payload="[1]", expires_at=str(earliest + 1)) == ["updated"]
    assert update(queue, ["a"], payload="[1]", expires_at="") == ["updated"]


def test_a_start_by_that_is_no_time_hinders_nothing(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR, expires_at="soon")

    assert shift(queue, ("a", None), by=5) == {"a": "rescheduled"}
    assert reschedule(queue, "a", due=END) == {"a": "rescheduled"}

    assert queue.task("a")["expires_at"] == "soon"


# --- shift


@pytest.mark.parametrize("state", ["scheduled", "ready", "held"])
@pytest.mark.parametrize("by", [3 * HOUR, -HOUR // 2])
def test_the_start_by_moves_with_the_due_time(queue: Queue, state: str, by: int) -> None:
    place(queue, state)
    due = NOW if state == "ready" else NOW + HOUR

    for _ in range(2):  # the second is a repeat
        assert shift(queue, ("a", due), by=by) == {"a": "rescheduled"}

        assert queue.places() == {"due": {"a": due + by}}
        assert queue.task("a")["expires_at"] == str(END + by)
        assert "shifting" not in queue.task("a")


def test_a_task_is_not_shifted_into_the_past_to_expire(queue: Queue) -> None:
    place(queue, "scheduled")
    before = queue.dump()

    assert shift(queue, ("a", NOW + HOUR), by=NOW - END) == {"a": "expires"}
    assert queue.dump() == before

    assert shift(queue, ("a", NOW + HOUR), by=NOW - END + 1) == {"a": "rescheduled"}
    assert queue.task("a")["expires_at"] == str(NOW + 1)


def test_one_that_somebody_moved_keeps_its_start_by(queue: Queue) -> None:
    place(queue, "scheduled")

    assert shift(queue, ("a", NOW + 5), by=HOUR) == {"a": "changed"}

    assert queue.task("a")["expires_at"] == str(END)


@pytest.mark.parametrize("state", ["scheduled", "ready", "held"])
@pytest.mark.parametrize("by", [3 * HOUR, -HOUR // 2])
def test_wherever_a_shift_stops_the_same_again_moves_both_once(queue: Queue, state: str, by: int) -> None:
    due = NOW if state == "ready" else NOW + HOUR

    def scene(queue: Queue) -> Call[Any]:
        place(queue, state)
        return protocol.shift(queue.keys, [("a", due)], by_ms=by)

    for here, call in each_stop(queue, scene):
        now_due = here.redis.zscore(here.keys.due, "a") or due
        assert int(here.task("a")["expires_at"]) > now_due, "it would expire if nobody repeated the call"

        for _ in range(2):
            assert here.send(call) == {"a": "rescheduled"}

        assert here.places()["due"] == {"a": due + by}
        assert here.task("a")["expires_at"] == str(END + by)
        assert "shifting" not in here.task("a")


@pytest.mark.parametrize("by", [3 * HOUR, -HOUR // 2])
def test_what_comes_after_a_shift_that_stopped_counts_from_what_it_left(queue: Queue, by: int) -> None:
    """Another shift, another due time, or another start-by: the time between due time and start-by is as it was."""

    def scene(queue: Queue) -> Call[Any]:
        place(queue, "scheduled")
        return protocol.shift(queue.keys, [("a", NOW + HOUR)], by_ms=by)

    for here, _ in each_stop(queue, scene):
        assert shift(here, ("a", None), by=5) == {"a": "rescheduled"}
        due = int(here.places()["due"]["a"])
        assert due in (NOW + HOUR + 5, NOW + HOUR + by + 5)
        assert here.task("a")["expires_at"] == str(due + WINDOW)

    for here, call in each_stop(queue, scene):
        assert update(here, ["a"], expires_at=str(NOW + 9 * HOUR)) == ["updated"]
        assert here.send(call) == {"a": "rescheduled"}
        assert here.task("a")["expires_at"] in (str(NOW + 9 * HOUR), str(NOW + 9 * HOUR + by))

    for here, _ in each_stop(queue, scene):
        assert reschedule(here, "a", due=NOW + 5) == {"a": "rescheduled"}
        assert here.task("a")["expires_at"] in (str(END), str(END + by))
        assert "shifting" not in here.task("a")
