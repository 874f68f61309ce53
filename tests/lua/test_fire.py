"""fire: which decisions hold, the tasks they make, and when each schedule is looked at next."""

from __future__ import annotations

import json

import pytest

from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.timetable import HOURLY, MINUTE, NEVER, Timetable, decision

NEXT = NOW + HOUR
EVERY = json.dumps({"every": [{"every": MINUTE}]})
TASK = {"type": "t", "payload": "{}", "created_at": str(NOW), "state": "ready", "entry": "normal/1", "schedule": "s"}


def made(slot: int, fired_at: int | None = None) -> dict[str, str]:
    """What a schedule remembers of one run."""
    return {"open": str(slot), "recent": f"{slot}/{fired_at or slot}"}


def test_a_slot_that_is_due_makes_a_ready_task(times: Timetable) -> None:
    fields = {
        "priority": "high",
        "key": "k",
        "max_attempts": "3",
        "retry": "fixed 5",
        "timeout_ms": "500",
        "keep": "1",
        "tags": '["a"]',
        "headers": '{"h":"1"}',
        "retention_ms": "5000",
    }
    times.planned(NOW - 5, **fields, expires_at="+1000")

    assert times.fire(NEXT, slots=[NOW - 5]) == ["1"]

    assert times.queue.task(f"s@{NOW - 5}") == TASK | fields | {
        "entry": "high/1",
        "due_at": str(NOW - 5),
        "slot": str(NOW - 5),
        "expires_at": str(NOW + 995),
    }
    assert times.queue.places() == {"ready": {"high": [f"s@{NOW - 5}"]}}
    assert times.hash("s", *(f"task:{name}" for name in (*fields, "expires_at"))) == {
        "rev": "1",
        "slot": str(NEXT),
        "fired": "1",
        **made(NOW - 5, NOW),
    }
    assert times.looks() == {"s": NEXT}
    assert times.queue.totals() == {"enqueued": 1}
    assert times.redis.smembers(times.queue.key("queues")) == {"q"}
    assert times.events() == ["schedule_put s word=created"]


def test_a_task_is_due_when_its_slot_was_and_never_later_than_now(times: Timetable) -> None:
    times.planned(NOW)

    assert times.fire(NEXT, slots=[(NOW, NOW + 9)], due=NEXT + 3, now=NOW + 9) == ["1"]

    assert times.queue.task(f"s@{NOW}")["due_at"] == str(NOW + 9)
    assert times.hash()["slot"] == str(NEXT)
    assert times.looks() == {"s": NEXT + 3}, "jitter"


@pytest.mark.parametrize("late", [0, 1])
def test_of_two_movers_one_makes_the_slot(times: Timetable, late: int) -> None:
    times.planned(NOW)
    words = decision(times.queue, "s", NEXT, slots=[NOW])
    assert times.call("fire", *words) == ["1"]
    before = times.queue.dump()

    assert times.call("fire", *words, now=NOW + late) == ["stale"]

    assert times.queue.dump() == before


def test_a_decision_twice_in_one_call_makes_the_slot_once(times: Timetable) -> None:
    times.planned(NOW)
    words = decision(times.queue, "s", NEXT, slots=[NOW])

    assert times.call("fire", *words, *words) == ["1", "stale"]

    assert times.tasks() == {f"s@{NOW}": "ready"}


def test_each_way_in_which_two_movers_can_meet_makes_each_slot_once(times: Timetable) -> None:
    """Three slots; each mover reads, decides and fires; every order in which one overtakes the other."""
    for order in ("AaBb", "ABab", "ABba", "AaBAab", "ABaAb", "ABabAB", "AABBab"):
        times.call("drop_schedule", "s")
        times.planned(NOW, {"overlap": "allow_all"}, key=order)
        read: dict[str, list[object]] = {}
        for step in order:
            if step.isupper():
                slot = int(times.hash()["slot"])
                read[step] = decision(times.queue, "s", slot + 1_000, slots=[slot])
            elif words := read.pop(step.upper(), None):
                times.call("fire", *words, now=NOW + HOUR)
        fired = int(times.hash()["fired"])
        assert list(times.tasks()) == [f"s@{NOW + n * 1_000}" for n in range(fired)], order
        times.remove(*times.tasks())


def test_a_slot_whose_id_is_taken_makes_nothing(times: Timetable) -> None:
    times.planned(NOW)
    times.queue.enqueue((f"s@{NOW}", 0, {"type": "other"}))

    assert times.run(NOW) == ["0"]

    assert times.queue.task(f"s@{NOW}")["type"] == "other"
    assert times.hash() == {"rev": "1", "slot": str(NEXT), "open": str(NOW)}, "a call that stopped half-way made it"


def test_a_schedule_that_was_changed_meanwhile_is_read_again(times: Timetable) -> None:
    times.planned(NOW)
    words = decision(times.queue, "s", NEXT, slots=[NOW])
    times.put(key="k")
    before = times.queue.dump()

    assert times.call("fire", *words) == ["stale"]
    assert times.fire(NEXT, slots=[NOW], number=2) == ["stale"], "its tasks are of another queue"
    assert times.fire(NEXT, slots=[NOW], number=9) == ["1"], "a number that is none is the first key's"

    assert times.tasks() == {f"s@{NOW}": "ready"}
    assert before != times.queue.dump()


def test_a_slot_that_is_not_due_yet_is_early(times: Timetable) -> None:
    times.planned(NOW)
    before = times.queue.dump()

    assert times.fire(NEXT, slots=[(NOW, NOW + 1)]) == ["early"]

    assert times.queue.dump() == before


def test_an_id_without_a_schedule_leaves_the_set(times: Timetable) -> None:
    times.put()
    times.redis.zadd(times.queue.key("schedules"), {"ghost": 0, "no id": 0, "\u00e9": NEVER})

    assert times.fire("none", "ghost") == ["gone"]
    assert set(times.looks()) == {"s", "no id", "\u00e9"}
    assert times.fire("none", "shown otherwise\\xff") == ["gone"]
    assert set(times.looks()) == {"s"}, "what is no name is not told as it is, so all of them go"


def test_several_schedules_and_queues_in_one_call(times: Timetable) -> None:
    other = times.queue.other("r")
    times.planned(NOW)
    Timetable(other).put("b")
    times.put("c", {"overlap": "allow_all"})
    times.fire(NOW, "c")

    words = decision(times.queue, "s", NEXT, slots=[NOW])
    words += decision(times.queue, "b", NEXT, slots=[NOW], number=2)
    words += decision(times.queue, "none", NEXT)
    words += decision(times.queue, "c", NEXT, slots=[NOW, (NOW - 1, NOW)])
    assert times.call("fire", *words) == ["1", "1", "gone", "2"]

    assert set(times.tasks()) == {f"s@{NOW}", f"c@{NOW}", f"c@{NOW - 1}"}
    assert other.places() == {"ready": {"normal": [f"b@{NOW}"]}}
    assert (times.queue.totals(), other.totals()) == ({"enqueued": 3}, {"enqueued": 1})
    assert times.redis.smembers(times.queue.key("queues")) == {"q", "r"}
    assert times.looks() == {"s": NEXT, "b": NEXT, "c": NEXT}


def test_nothing_at_all_is_an_empty_answer(times: Timetable) -> None:
    assert times.call("fire") == []


def test_a_look_before_the_slot_changes_nothing_but_the_next_look(times: Timetable) -> None:
    times.planned(NEXT)
    times.redis.zadd(times.queue.key("schedules"), {"s": 0})

    assert times.fire(due=NEXT + 7) == ["0"]

    assert times.hash() == {"rev": "1", "slot": str(NEXT)}
    assert times.looks() == {"s": NEXT + 7}


def test_missed_slots_are_counted_and_told(times: Timetable) -> None:
    times.planned(NOW)

    assert times.fire(NEXT, missed=3, why="catch_up_window 3") == ["0"]
    assert times.fire(NEXT + HOUR, slots=[NEXT], missed=1, why="late 1", now=NEXT) == ["1"]

    assert times.hash()["missed"] == "4"
    assert times.events()[1:] == [
        f"slot_missed s reason=catch_up_window 3 n=3 slot={NOW}",
        f"slot_missed s reason=late 1 n=1 slot={NEXT}",
    ]


# --- the next slot


@pytest.mark.parametrize(
    ("spec", "slots", "now", "following"),
    [
        ({"every": MINUTE}, [NOW], NOW, NOW + MINUTE),
        ({"every": MINUTE}, [NOW], NOW + MINUTE - 1, NOW + MINUTE),
        ({"every": MINUTE}, [NOW], NOW + MINUTE, NOW + 2 * MINUTE),  # the one that is due is missed, not made late
        ({"every": MINUTE}, [NOW], NOW + 90 * MINUTE + 1, NOW + 91 * MINUTE),
        ({"every": MINUTE, "phase": 5_000}, [NOW], NOW, NOW + 5_000),
        ({"every": MINUTE, "phase": 5_000}, [NOW + 5_000], NOW + 5_001, NOW + 65_000),
        ({"every": 7_000}, [NOW], NOW, NOW - NOW % 7_000 + 7_000),
        ({"every": 1_000, "phase": 999}, [], NOW + 998, NOW + 999),
        ({"every": 86_400_000}, [], NOW, NOW - NOW % 86_400_000 + 86_400_000),
    ],
)
def test_the_next_slot_of_an_interval_is_anchored_to_the_epoch(
    times: Timetable, spec: dict[str, int], slots: list[int], now: int, following: int
) -> None:
    times.put("s", json.dumps({"every": [spec]}))
    times.fire(slots[0] if slots else NOW - HOUR)

    assert times.fire("every", slots=slots, now=now) == [str(len(slots))]

    assert times.hash()["slot"] == str(following)
    assert times.looks() == {"s": following}


def test_an_interval_goes_on_after_its_last_slot_even_where_the_clock_stands_before_it(times: Timetable) -> None:
    times.put("s", EVERY)
    times.fire(NOW + 3 * MINUTE)

    assert times.fire("every", slots=[(NOW + 3 * MINUTE, NOW)]) == ["1"]

    assert times.hash()["slot"] == str(NOW + 4 * MINUTE)


def test_a_schedule_without_another_slot_has_ended(times: Timetable) -> None:
    times.planned(NOW)

    assert times.run(NOW, "none") == ["1"]

    assert times.hash() == {"rev": "1", "ended": str(NOW), "fired": "1", **made(NOW)}
    assert times.looks() == {"s": NEVER}
    assert times.events()[1:] == ["schedule_ended s"]
    before = times.queue.dump()
    assert times.run(NEXT) == ["stale"]
    assert times.queue.dump() == before


def test_max_runs_ends_it(times: Timetable) -> None:
    times.planned(NOW, {"max_runs": 2, "overlap": "allow_all"})

    assert times.run(NOW) == ["1"]
    assert times.looks() == {"s": NEXT}
    assert times.fire(NEXT + HOUR, slots=[NEXT, NEXT + 1, NEXT + 2], now=NEXT + 2) == ["1"]

    assert set(times.tasks()) == {f"s@{NOW}", f"s@{NEXT}"}
    assert times.hash("s", "open", "recent") == {"rev": "1", "ended": str(NEXT + 2), "fired": "2"}
    assert times.looks() == {"s": NEVER}
    assert times.events()[1:] == ["schedule_ended s"]


def test_slots_that_overlap_left_out_are_no_runs(times: Timetable) -> None:
    times.planned(NOW, {"max_runs": 2})
    times.run(NOW)

    assert times.run(NEXT) == ["0"]

    assert "ended" not in times.hash()
    assert times.hash()["fired"] == "1"


def test_a_definition_that_cannot_be_read_pauses_the_schedule(times: Timetable) -> None:
    times.planned(NOW)

    assert times.fire("malformed", why="x" * 300, slots=[NOW]) == ["paused"]

    assert times.hash() == {
        "rev": "1",
        "slot": str(NOW),
        "paused": "malformed: " + "x" * 189,
        "paused_at": str(NOW),
    }
    assert times.looks() == {"s": NEVER}
    assert times.tasks() == {}


# --- after completion


def after(times: Timetable, spec: str = '{"after_completion":60000}') -> None:
    """A schedule that runs a minute after its last run has ended."""
    times.put("s", spec)
    assert times.fire("") == ["0"]


def test_the_first_run_comes_after_one_wait(times: Timetable) -> None:
    after(times)

    assert times.hash() == {"rev": "1", "slot": str(NOW + MINUTE)}
    assert times.looks() == {"s": NOW + MINUTE}
    assert times.fire(due=NOW + MINUTE, now=NOW + 5) == ["0"]
    assert times.looks() == {"s": NOW + MINUTE}


@pytest.mark.parametrize(("waits", "poll"), [(1_000, 100), (MINUTE, 3_000), (HOUR, 5_000), (0, 100)])
def test_while_a_run_goes_on_it_is_looked_at_now_and_then(times: Timetable, waits: int, poll: int) -> None:
    after(times, json.dumps({"after_completion": waits}))
    at = NOW + waits

    assert times.fire("", slots=[at], now=at) == ["1"]
    assert times.hash() == {"rev": "1", "fired": "1", **made(at)}
    assert times.looks() == {"s": at + poll}

    assert times.fire("", now=at + poll) == ["0"]
    assert times.looks() == {"s": at + 2 * poll}


@pytest.mark.parametrize("outcome", ["complete", "dead", "cancelled"])
def test_whatever_final_state_is_the_end_from_which_it_waits(times: Timetable, outcome: str) -> None:
    after(times)
    times.fire("", slots=[NOW + MINUTE], now=NOW + MINUTE)
    times.end(outcome, now=NOW + 10 * MINUTE)

    assert times.fire("", now=NOW + 10 * MINUTE + 777) == ["0"]

    assert times.hash("s", "recent") == {"rev": "1", "fired": "1", "slot": str(NOW + 11 * MINUTE)}
    assert times.looks() == {"s": NOW + 11 * MINUTE}


def test_a_run_that_vanished_is_over_at_the_look_that_misses_it(times: Timetable) -> None:
    after(times)
    times.fire("", slots=[NOW + MINUTE], now=NOW + MINUTE)
    times.remove(f"s@{NOW + MINUTE}")

    times.fire("", now=NOW + 5 * MINUTE)

    assert times.hash()["slot"] == str(NOW + 6 * MINUTE)


def test_a_run_that_ended_long_ago_is_followed_at_once(times: Timetable) -> None:
    after(times)
    times.fire("", slots=[NOW + MINUTE], now=NOW + MINUTE)
    times.end(now=NOW + 2 * MINUTE)

    times.fire("", now=NOW + HOUR)
    assert times.looks() == {"s": NOW + 3 * MINUTE}

    assert times.fire("", slots=[NOW + 3 * MINUTE], now=NOW + HOUR) == ["1"]
    assert list(times.tasks()) == [f"s@{NOW + MINUTE}", f"s@{NOW + 3 * MINUTE}"]


def test_an_end_that_lies_in_the_future_counts_as_now(times: Timetable) -> None:
    after(times)
    times.fire("", slots=[NOW + MINUTE], now=NOW + MINUTE)
    times.end(now=NOW + MINUTE)
    times.redis.hset(times.queue.keys.task(f"s@{NOW + MINUTE}"), "finished_at", NOW + 99 * HOUR)

    times.fire("", now=NOW + 2 * MINUTE)

    assert times.looks() == {"s": NOW + 3 * MINUTE}


def test_after_completion_has_its_most_runs_and_its_end_too(times: Timetable) -> None:
    after(times, '{"after_completion":60000,"max_runs":1}')
    times.fire("", slots=[NOW + MINUTE], now=NOW + MINUTE)
    assert times.hash()["ended"] == str(NOW + MINUTE)

    times.put("b", '{"after_completion":60000}')
    times.fire("", "b")
    times.fire("none", "b")
    assert times.hash("b") == {"rev": "1", "ended": str(NOW)}


# --- pause on failure


def failing(times: Timetable, outcome: str = "dead", **spec: object) -> None:
    """A schedule whose first run has ended."""
    times.planned(NOW, {"pause_on_failure": True} | spec)
    times.run(NOW)
    times.end(outcome)


def test_a_run_that_failed_pauses_the_schedule_and_the_slot_stays(times: Timetable) -> None:
    failing(times)

    assert times.run(NEXT, missed=4, why="late 4") == ["paused"]

    assert times.hash("s", "recent") == {
        "rev": "1",
        "fired": "1",
        "slot": str(NEXT),
        "paused": f"failed: s@{NOW}",
        "paused_at": str(NEXT),
    }
    assert times.looks() == {"s": NEVER}
    assert times.tasks() == {f"s@{NOW}": "dead"}
    assert times.events()[1:] == [f"schedule_paused s reason=failed: s@{NOW}"], (
        "what was missed is told when it goes on"
    )


def test_after_a_failure_it_is_resumed_by_hand(times: Timetable) -> None:
    failing(times)
    times.run(NEXT)
    times.call("resume_schedule", "s", now=NEXT + 1)

    assert times.fire(NEXT + HOUR, slots=[NEXT], now=NEXT + 2) == ["1"]

    assert list(times.tasks()) == [f"s@{NOW}", f"s@{NEXT}"]


def test_one_failure_among_runs_that_ended_is_enough(times: Timetable) -> None:
    times.planned(NOW, {"pause_on_failure": True, "overlap": "allow_all"})
    times.fire(NEXT, slots=[NOW, NOW + 1, NOW + 2], now=NOW + 2)
    for started, outcome in zip(times.queue.claim().tasks, ("complete", "dead", "complete"), strict=True):
        times.queue.settle(started, outcome, "failed" if outcome == "dead" else "")

    assert times.run(NEXT) == ["paused"]
    assert times.hash()["paused"] == f"failed: s@{NOW + 1}"


@pytest.mark.parametrize(
    ("outcome", "spec"), [("complete", {}), ("cancelled", {}), ("dead", {"pause_on_failure": False})]
)
def test_any_other_end_or_policy_goes_on(times: Timetable, outcome: str, spec: dict[str, object]) -> None:
    failing(times, outcome, **spec)

    assert times.run(NEXT) == ["1"]
    assert "paused" not in times.hash()


def test_the_longest_decision_has_a_thousand_slots(real_queue: Queue) -> None:
    times = Timetable(real_queue)
    times.put("s", json.dumps(HOURLY | {"overlap": "allow_all"}))
    slots = [NOW - 1_000 + n for n in range(1_000)]

    made = []
    while left := slots[sum(made) :]:
        made.append(int(times.fire(NEXT, slots=left)[0]))
        assert times.hash()["slot"] == str(slots[sum(made)] if sum(made) < 1_000 else NEXT)

    assert made == [300, 294, 294, 112]
    assert len(times.hash()["open"].split()) == 100
    assert len(times.tasks()) == 1_000
