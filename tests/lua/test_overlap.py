"""Every overlap policy: what becomes of a slot while a run of its schedule has not ended."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.lua_queue import HOUR, NOW
from tests.support.timetable import NEVER, Timetable

SECOND, THIRD, FOURTH = NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR
POLL = 500


def running(times: Timetable, overlap: str | None, **more: Any) -> str:
    """A schedule whose first run is running; answers the token of its worker."""
    times.planned(NOW, more if overlap is None else {"overlap": overlap} | more)
    assert times.run(NOW) == ["1"]
    return str(times.started(NOW).token)


def finish(times: Timetable, task_id: str, outcome: str = "complete", *, now: int, token: str = "") -> str:
    """End the run of a task that runs."""
    token = token or times.redis.hget(times.queue.keys.task(task_id), "token")
    return str(times.call("settle", 1, task_id, token, outcome, "", "", "", now=now)[0])


@pytest.mark.parametrize("overlap", ["skip", None])
def test_skip_leaves_the_slot_out(times: Timetable, overlap: str | None) -> None:
    running(times, overlap)

    assert times.run(SECOND) == ["0"]

    assert times.tasks() == {f"s@{NOW}": "running"}
    assert times.hash("s", "recent") == {
        "rev": "1",
        "slot": str(THIRD),
        "fired": "1",
        "skipped": "1",
        "open": str(NOW),
    }
    assert times.looks() == {"s": THIRD}
    assert times.events()[1:] == [f"slot_skipped s reason=overlap n=1 slot={SECOND}"]

    finish(times, f"s@{NOW}", now=SECOND + 1)
    assert times.run(THIRD) == ["1"]
    assert times.hash()["open"] == str(THIRD)


@pytest.mark.parametrize("state", ["ready", "running", "held", "scheduled"])
def test_any_run_that_has_not_ended_is_in_the_way(times: Timetable, state: str) -> None:
    times.planned(NOW)
    times.run(NOW)
    if state in ("running", "scheduled"):
        started = times.started(NOW)
        if state == "scheduled":
            times.queue.settle(started, "snooze", 99_000)
    elif state == "held":
        times.redis.hset(times.queue.keys.task(f"s@{NOW}"), "state", "held")
        times.redis.zadd(times.queue.keys.index("held"), {f"s@{NOW}": NOW + HOUR})
        times.redis.delete(times.queue.keys.ready)

    assert times.tasks() == {f"s@{NOW}": state}
    assert times.run(SECOND) == ["0"]
    assert times.hash()["skipped"] == "1"


@pytest.mark.parametrize("outcome", ["complete", "dead", "cancelled"])
def test_a_run_that_has_ended_however_is_in_nobodys_way(times: Timetable, outcome: str) -> None:
    running(times, "skip")
    finish(times, f"s@{NOW}", outcome, now=NOW + 1)

    assert times.run(SECOND) == ["1"]


def test_a_run_that_is_removed_is_in_nobodys_way(times: Timetable) -> None:
    running(times, "skip")
    times.remove(f"s@{NOW}")

    assert times.run(SECOND) == ["1"]
    assert times.hash()["open"] == str(SECOND)


def test_allow_all_runs_them_side_by_side(times: Timetable) -> None:
    running(times, "allow_all")

    assert times.run(SECOND) == ["1"]

    assert times.tasks() == {f"s@{NOW}": "running", f"s@{SECOND}": "ready"}
    assert times.hash()["open"] == f"{NOW} {SECOND}"


def test_buffer_one_keeps_one_for_later_and_drops_the_rest(times: Timetable) -> None:
    running(times, "buffer_one")

    assert times.run(SECOND) == ["1"]
    assert times.hash("s", "recent") == {
        "rev": "1",
        "slot": str(THIRD),
        "fired": "2",
        "open": str(NOW),
        "buffer": f"{SECOND}/{SECOND}",
    }
    assert times.looks() == {"s": SECOND + POLL}

    assert times.run(THIRD) == ["0"]
    assert times.hash()["dropped"] == "1"
    assert times.hash()["buffer"] == f"{SECOND}/{SECOND}"
    assert times.events()[1:] == [f"slot_dropped s reason=buffer full n=1 slot={THIRD}"]
    assert times.tasks() == {f"s@{NOW}": "running"}


def test_what_waits_starts_when_the_run_before_it_has_ended(times: Timetable) -> None:
    running(times, "buffer_one")
    times.run(SECOND)
    assert times.fire(now=SECOND + POLL) == ["0"], "it still runs"
    assert times.looks() == {"s": SECOND + 2 * POLL}
    finish(times, f"s@{NOW}", now=SECOND + POLL + 1)

    assert times.fire(due=THIRD, now=SECOND + 2 * POLL) == ["0"]

    assert times.tasks() == {f"s@{NOW}": "completed", f"s@{SECOND}": "ready"}
    assert times.queue.task(f"s@{SECOND}")["due_at"] == str(SECOND), "late by as long as it waited"
    assert times.hash("s", "recent") == {"rev": "1", "slot": str(THIRD), "fired": "2", "open": str(SECOND)}
    assert times.looks() == {"s": THIRD}
    assert times.queue.totals()["enqueued"] == 2


def test_buffer_all_keeps_them_in_order_and_starts_one_after_another(times: Timetable) -> None:
    running(times, "buffer_all")
    for slot in (SECOND, THIRD):
        assert times.run(slot) == ["1"]
    assert times.hash()["buffer"] == f"{SECOND}/{SECOND} {THIRD}/{THIRD}"

    finish(times, f"s@{NOW}", now=THIRD)
    times.fire(now=THIRD)
    assert times.tasks() == {f"s@{NOW}": "completed", f"s@{SECOND}": "ready"}
    assert times.hash()["buffer"] == f"{THIRD}/{THIRD}"
    assert times.looks() == {"s": THIRD + POLL}

    times.end(now=THIRD)
    times.fire(now=THIRD)
    assert times.tasks()[f"s@{THIRD}"] == "ready"
    assert "buffer" not in times.hash()


def test_buffer_all_has_a_limit(times: Timetable) -> None:
    running(times, "buffer_all")
    slots = [(SECOND - 200 + n, SECOND) for n in range(101)]

    assert times.fire(THIRD, slots=slots, now=SECOND) == ["100"]

    assert len(times.hash()["buffer"].split()) == 100
    assert times.hash()["dropped"] == "1"
    assert times.events()[1:] == [f"slot_dropped s reason=buffer full n=1 slot={SECOND - 100}"]


def test_slots_of_one_decision_are_in_each_others_way(times: Timetable) -> None:
    times.planned(NOW, {"overlap": "buffer_one"})

    assert times.fire(SECOND, slots=[NOW, (NOW + 1, NOW), (NOW + 2, NOW)]) == ["2"]

    assert times.tasks() == {f"s@{NOW}": "ready"}
    assert times.hash()["buffer"] == f"{NOW + 1}/{NOW}"


def test_cancel_other_asks_a_running_one_to_stop_and_waits_for_it(times: Timetable) -> None:
    running(times, "cancel_other")

    assert times.run(SECOND) == ["1"]

    assert times.tasks() == {f"s@{NOW}": "running"}
    assert times.queue.task(f"s@{NOW}")["cancel_requested"] == "overlap"
    assert times.hash()["buffer"] == f"{SECOND}/{SECOND}"
    assert times.queue.events()[1:] == [f"cancel_requested s@{NOW}"]

    assert times.run(THIRD) == ["0"], "the newer one takes the place of the one that waited"
    assert times.hash()["buffer"] == f"{THIRD}/{THIRD}"
    assert times.events()[-1] == f"slot_dropped s reason=overlap n=1 slot={THIRD}"

    finish(times, f"s@{NOW}", "cancelled", now=THIRD)
    times.fire(now=THIRD)
    assert times.tasks() == {f"s@{NOW}": "cancelled", f"s@{THIRD}": "ready"}


def test_cancel_other_takes_the_place_of_one_that_has_not_started(times: Timetable) -> None:
    times.planned(NOW, {"overlap": "cancel_other"})
    times.run(NOW)

    assert times.run(SECOND) == ["1"]

    assert times.tasks() == {f"s@{NOW}": "cancelled", f"s@{SECOND}": "ready"}
    assert times.queue.places()["ready"] == {"normal": [f"s@{SECOND}"]}
    assert times.hash("s", "recent") == {"rev": "1", "slot": str(THIRD), "fired": "2", "open": str(SECOND)}
    assert times.queue.totals() == {"enqueued": 2, "cancelled": 1}


def test_terminate_other_ends_a_running_one_at_once(times: Timetable) -> None:
    token = running(times, "terminate_other")

    assert times.run(SECOND) == ["1"]

    assert times.tasks() == {f"s@{NOW}": "cancelled", f"s@{SECOND}": "ready"}
    assert times.queue.task(f"s@{NOW}")["reason"] == "overlap"
    assert times.queue.places() == {
        "finished": {f"s@{NOW}": SECOND + HOUR},
        "ready": {"normal": [f"s@{SECOND}"]},
    }
    assert finish(times, f"s@{NOW}", now=SECOND + 1, token=token) == "lost"
    assert times.hash("s", "recent") == {"rev": "1", "slot": str(THIRD), "fired": "2", "open": str(SECOND)}
    assert times.looks() == {"s": THIRD}


def test_terminate_other_leaves_nothing_of_one_without_retention(times: Timetable) -> None:
    times.planned(NOW, {"overlap": "terminate_other"}, retention_ms="0")
    times.run(NOW)

    assert times.run(SECOND) == ["1"]

    assert times.tasks() == {f"s@{SECOND}": "ready"}


def test_one_that_has_ended_still_starts_what_waits(times: Timetable) -> None:
    running(times, "buffer_all")

    assert times.run(SECOND, "none") == ["1"]
    assert times.hash()["ended"] == str(SECOND)
    assert times.looks() == {"s": SECOND + POLL}
    assert times.fire(SECOND, slots=[SECOND], now=SECOND + POLL) == ["0"], "nor is a slot made again"
    assert times.hash()["buffer"] == f"{SECOND}/{SECOND}"
    assert "slot" not in times.hash()

    finish(times, f"s@{NOW}", now=THIRD)
    assert times.fire("none", now=THIRD) == ["0"]
    assert times.tasks()[f"s@{SECOND}"] == "ready"
    assert times.looks() == {"s": NEVER}
    assert times.hash()["ended"] == str(SECOND)
    assert times.events()[1:] == ["schedule_ended s"], "told once"


def test_a_run_that_waits_counts_among_the_most_runs(times: Timetable) -> None:
    running(times, "buffer_all", max_runs=2)

    assert times.fire(FOURTH, slots=[SECOND, THIRD], now=THIRD) == ["1"]

    assert times.hash()["ended"] == str(THIRD)
    assert times.hash()["buffer"] == f"{SECOND}/{SECOND}"


def test_while_it_is_paused_nothing_that_waits_starts(times: Timetable) -> None:
    running(times, "buffer_one")
    times.run(SECOND)
    times.call("pause_schedule", "s", "", 0)
    finish(times, f"s@{NOW}", now=SECOND)

    assert times.fire(now=THIRD) == ["paused"]
    assert times.tasks() == {f"s@{NOW}": "completed"}

    times.call("resume_schedule", "s", now=THIRD)
    times.fire(FOURTH, missed=1, now=THIRD)
    assert times.tasks() == {f"s@{NOW}": "completed", f"s@{SECOND}": "ready"}


def test_one_that_has_ended_and_is_resumed_starts_what_waits(times: Timetable) -> None:
    running(times, "buffer_one")
    times.run(SECOND, "none")
    times.call("pause_schedule", "s", "", 0)

    times.call("resume_schedule", "s")

    assert times.looks() == {"s": 0}


def test_one_that_waits_and_was_made_by_a_call_that_stopped_half_way_is_waited_for(times: Timetable) -> None:
    running(times, "buffer_all")
    times.run(SECOND)
    times.run(THIRD)
    times.queue.enqueue((f"s@{SECOND}", FOURTH, {}))
    finish(times, f"s@{NOW}", now=THIRD)

    times.fire(now=THIRD)

    assert times.tasks() == {f"s@{NOW}": "completed", f"s@{SECOND}": "scheduled"}
    assert (times.hash()["open"], times.hash()["buffer"]) == (str(SECOND), f"{THIRD}/{THIRD}")


def test_after_completion_of_an_ended_run_starts_what_waits_first(times: Timetable) -> None:
    times.put("s", '{"after_completion":60000,"overlap":"buffer_one"}')
    times.fire("")
    at = NOW + 60_000
    times.fire("", slots=[at], now=at)
    times.call("trigger", "s", "", "", now=at + 1)
    times.end(now=at + 2)

    times.fire("", now=at + 3)

    assert times.tasks() == {f"s@{at}": "completed", f"s@t{at + 1}": "ready"}
    assert "slot" not in times.hash()
