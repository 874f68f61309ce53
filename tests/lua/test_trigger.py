"""trigger: one run now, and runs for slots of the past."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.timetable import NEVER, Timetable

SECOND = NOW + HOUR
POLL = 500


def test_a_trigger_runs_the_task_now_and_leaves_the_slot(times: Timetable) -> None:
    times.planned(SECOND, key="k", expires_at="+500")

    assert times.call("trigger", "s", "", "") == ["done", 1, f"s@t{NOW}"]

    assert times.queue.task(f"s@t{NOW}") == {
        "type": "t",
        "payload": "{}",
        "key": "k",
        "expires_at": str(NOW + 500),
        "created_at": str(NOW),
        "due_at": str(NOW),
        "state": "ready",
        "entry": "normal/1",
        "schedule": "s",
        "slot": f"t{NOW}",
    }
    assert times.hash("s", "task:key", "task:expires_at") == {
        "rev": "1",
        "slot": str(SECOND),
        "triggered": "1",
        "open": f"t{NOW}",
        "recent": f"t{NOW}/{NOW}",
    }
    assert times.looks() == {"s": SECOND}
    assert times.queue.totals() == {"enqueued": 1}
    assert times.redis.smembers(times.queue.key("queues")) == {"q"}


def test_a_trigger_may_have_a_payload_of_its_own(times: Timetable) -> None:
    times.put()

    times.call("trigger", "s", "", '{"n":1}')

    assert times.queue.task(f"s@t{NOW}")["payload"] == '{"n":1}'
    assert times.redis.hget(times.queue.key("schedule:s"), "task:payload") == "{}"


def test_two_triggers_in_one_millisecond_are_two_runs(times: Timetable) -> None:
    times.put(spec={"overlap": "allow_all"})

    assert [times.call("trigger", "s", "", "")[2] for _ in range(2)] == [f"s@t{NOW}", f"s@t{NOW + 1}"]

    assert times.hash()["triggered"] == "2"


def test_a_trigger_obeys_the_overlap_of_the_schedule_or_its_own(times: Timetable) -> None:
    times.planned(SECOND)
    times.call("trigger", "s", "", "")

    assert times.call("trigger", "s", "", "") == ["done", 0]
    assert times.hash()["skipped"] == "1"
    assert times.call("trigger", "s", "nonsense", "") == ["done", 0]
    assert times.call("trigger", "s", "buffer_one", "", now=NOW + 5) == ["done", 1]
    assert times.hash()["buffer"] == f"t{NOW + 5}/{NOW + 5}"
    assert times.looks() == {"s": NOW + 5 + POLL}
    assert times.call("trigger", "s", "allow_all", "", now=NOW + 6) == ["done", 1, f"s@t{NOW + 6}"]
    assert times.hash()["triggered"] == "3"
    assert times.tasks() == {f"s@t{NOW}": "ready", f"s@t{NOW + 6}": "ready"}


def test_a_trigger_that_waits_never_delays_the_next_look(times: Timetable) -> None:
    times.planned(NOW + 100)
    times.call("trigger", "s", "", "")

    times.call("trigger", "s", "buffer_one", "")

    assert times.looks() == {"s": NOW + 100}


def test_a_paused_or_ended_schedule_can_be_triggered(times: Timetable) -> None:
    times.planned(NOW)
    times.run(NOW, "none")
    times.call("pause_schedule", "s", "", 0)

    assert times.call("trigger", "s", "allow_all", "") == ["done", 1, f"s@t{NOW}"]
    assert times.call("trigger", "s", "buffer_one", "", now=NOW + 1) == ["done", 1]
    assert times.looks() == {"s": NEVER}, "what waits starts when it is resumed"

    times.call("resume_schedule", "s")
    times.call("trigger", "s", "buffer_all", "", now=NOW + 2)
    assert times.looks() == {"s": 0}


def test_what_waits_of_an_ended_schedule_is_looked_at(times: Timetable) -> None:
    times.planned(NOW)
    times.run(NOW, "none")

    times.call("trigger", "s", "buffer_one", "", now=NOW + 1)
    assert times.looks() == {"s": NOW + 1 + POLL}

    times.end(now=NOW + 2)
    assert times.fire("none", now=NOW + 1 + POLL) == ["0"]
    assert times.tasks() == {f"s@{NOW}": "completed", f"s@t{NOW + 1}": "ready"}
    assert times.looks() == {"s": NEVER}


def test_a_trigger_forgets_no_failure(times: Timetable) -> None:
    times.planned(NOW, {"pause_on_failure": True})
    times.run(NOW)
    times.end("dead")

    assert times.call("trigger", "s", "", "", now=NOW + 9) == ["done", 1, f"s@t{NOW + 9}"]

    assert times.hash()["paused"] == f"failed: s@{NOW}"
    assert times.hash()["open"] == f"t{NOW + 9}"
    assert times.looks() == {"s": NEVER}
    assert times.events()[1:] == [f"schedule_paused s reason=failed: s@{NOW}"]


def test_a_pause_keeps_its_reason_when_a_run_fails(times: Timetable) -> None:
    times.planned(NOW, {"pause_on_failure": True})
    times.run(NOW)
    times.call("pause_schedule", "s", "lunch", SECOND)
    times.end("dead")

    times.call("trigger", "s", "", "")

    assert times.hash()["paused"] == "lunch"
    assert times.looks() == {"s": SECOND}


def test_none_and_one_of_another_queue_are_told(times: Timetable) -> None:
    times.planned(NOW)
    other = Timetable(times.queue.other("r"))
    before = times.queue.dump()

    assert times.call("trigger", "none", "", "") == ["missing", 0]
    assert times.call("trigger", "no id", "", "") == ["missing", 0]
    assert other.call("trigger", "s", "", "") == ["moved", 0]

    assert times.queue.dump() == before


def test_a_backfill_runs_slots_of_the_past_once_more(times: Timetable) -> None:
    times.planned(NOW, {"overlap": "allow_all"}, expires_at="+7200000")
    times.run(NOW)
    slots = [NOW - HOUR, NOW]

    assert times.call("trigger", "s", "", "", *slots, now=NOW + 1) == [
        "done",
        2,
        f"s@{NOW - HOUR}.b1",
        f"s@{NOW}.b1",
    ]

    task = times.queue.task(f"s@{NOW - HOUR}.b1")
    assert (task["slot"], task["due_at"], task["expires_at"]) == (
        f"{NOW - HOUR}.b1",
        str(NOW - HOUR),
        str(NOW + 1 + 2 * HOUR),
    )
    assert times.hash("s", "recent", "task:expires_at") == {
        "rev": "1",
        "slot": str(SECOND),
        "fired": "1",
        "backfills": "1",
        "backfilled": "2",
        "open": f"{NOW} {NOW - HOUR}.b1 {NOW}.b1",
    }
    assert times.queue.totals() == {"enqueued": 3}

    assert times.call("trigger", "s", "", "", NOW, now=NOW + 2) == ["done", 1, f"s@{NOW}.b2"]
    assert times.hash()["backfilled"] == "3"


def test_a_backfill_one_after_another_waits_in_the_buffer(times: Timetable) -> None:
    times.planned(SECOND)

    assert times.call("trigger", "s", "buffer_all", "", *(NOW - n for n in range(1, 4))) == [
        "done",
        3,
        f"s@{NOW - 1}.b1",
    ]

    assert times.hash()["buffer"] == f"{NOW - 2}.b1/{NOW - 2} {NOW - 3}.b1/{NOW - 3}"
    assert times.looks() == {"s": NOW + POLL}
    times.end()
    times.fire(now=NOW + POLL)
    assert times.tasks() == {f"s@{NOW - 1}.b1": "completed", f"s@{NOW - 2}.b1": "ready"}


def test_a_payload_is_for_a_backfill_too(times: Timetable) -> None:
    times.put(spec={"overlap": "allow_all"})

    assert times.call("trigger", "s", "", "[1]", 10**11) == ["done", 1, "s@100000000000.b1"]
    assert times.queue.task("s@100000000000.b1")["payload"] == "[1]"


@pytest.mark.parametrize("slot", ["soon", 5, 10**11 - 1, NOW + 1, 4 * 10**12 + 1])
def test_a_backfill_with_a_slot_that_is_none_or_lies_after_now_makes_nothing(times: Timetable, slot: Any) -> None:
    times.put(spec={"overlap": "allow_all"})

    with pytest.raises(redis.ResponseError, match="RS_INVALID 1 slot "):
        times.call("trigger", "s", "", "", NOW, slot)

    assert times.tasks() == {}


def test_a_backfill_has_at_most_a_thousand(real_queue: Queue) -> None:
    times = Timetable(real_queue)
    times.put(spec={"overlap": "allow_all"})

    with pytest.raises(redis.ResponseError, match="RS_INVALID 1 slot "):
        times.call("trigger", "s", "", "", *(NOW - number for number in range(1_001)))
    word, n, *ids = times.call("trigger", "s", "", "", *(NOW - number for number in range(1_000)))

    assert (word, n, len(ids), len(times.tasks())) == ("done", 1_000, 1_000, 1_000)


@pytest.mark.parametrize("policy", ["cancel_other", "terminate_other"])
def test_a_trigger_may_take_the_place_of_another_run(times: Timetable, policy: str) -> None:
    times.planned(NOW)
    times.run(NOW)

    assert times.call("trigger", "s", policy, "", now=NOW + 1)[:2] == ["done", 1]

    assert times.tasks() == {f"s@{NOW}": "cancelled", f"s@t{NOW + 1}": "ready"}
