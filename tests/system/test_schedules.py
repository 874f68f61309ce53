"""Recurring schedules end to end on a virtual clock: every overlap and catch-up policy, and what changes them."""

from __future__ import annotations

import pytest

from redsched.schedule.definition import OVERLAPS
from tests.support.consistency import assert_consistent
from tests.support.schedule_clock import DAY, HOUR, MINUTE, NOW, SECOND, Mover, Stage

FIVE = 5 * MINUTE


# overlap


def test_skip_leaves_out_slots_while_a_run_has_not_ended(stage: Stage) -> None:
    stage.put(overlap="skip")
    stage.advance(MINUTE)
    assert stage.start() == [str(MINUTE)]
    stage.advance(2 * MINUTE)

    assert stage.made() == [MINUTE]
    stage.end(MINUTE)
    stage.advance(MINUTE)

    assert stage.runs() == {MINUTE: "completed", 4 * MINUTE: "ready"}
    assert stage.counters() == {"fired": 2, "skipped": 2}
    assert stage.events("slot_skipped") == [
        f"slot_skipped s reason=overlap n=1 slot={NOW + at}" for at in (2 * MINUTE, 3 * MINUTE)
    ]


def test_buffer_one_keeps_one_slot_until_the_run_has_ended(stage: Stage) -> None:
    stage.put(overlap="buffer_one")
    stage.advance(MINUTE)
    stage.start()
    stage.advance(2 * MINUTE)
    assert (stage.view().buffered, stage.made()) == (1, [MINUTE])

    stage.end(MINUTE)
    stage.advance(SECOND)

    assert stage.runs() == {MINUTE: "completed", 2 * MINUTE: "ready"}
    assert stage.field(2 * MINUTE, "due_at") == str(NOW + 2 * MINUTE)
    assert stage.counters() == {"fired": 2, "dropped": 1}
    assert stage.view().running == [f"s@{NOW + 2 * MINUTE}"]
    assert stage.events("slot_dropped") == [f"slot_dropped s reason=buffer full n=1 slot={NOW + 3 * MINUTE}"]


def test_buffer_all_runs_every_slot_one_after_the_other(stage: Stage) -> None:
    stage.put(overlap="buffer_all")
    stage.advance(4 * MINUTE)
    assert (stage.made(), stage.view().buffered) == ([MINUTE], 3)

    order = []
    for _ in range(4):
        (run,) = stage.start()
        order.append(int(run))
        stage.end(int(run))
        stage.advance(SECOND)

    assert order == [MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]
    assert (stage.counters(), stage.view().buffered) == ({"fired": 4}, 0)


def test_cancel_other_asks_the_run_to_stop_and_starts_when_it_has(stage: Stage) -> None:
    stage.put(overlap="cancel_other")
    stage.advance(MINUTE)
    stage.start()
    stage.advance(MINUTE)
    assert stage.field(MINUTE, "cancel_requested") == "overlap"
    assert (stage.runs(), stage.view().buffered) == ({MINUTE: "running"}, 1)

    stage.end(MINUTE, "cancelled")
    stage.advance(SECOND)

    assert stage.runs() == {MINUTE: "cancelled", 2 * MINUTE: "ready"}


def test_cancel_other_cancels_a_run_that_no_worker_has_begun(stage: Stage) -> None:
    stage.put(overlap="cancel_other")

    stage.advance(3 * MINUTE)

    assert stage.runs() == {MINUTE: "cancelled", 2 * MINUTE: "cancelled", 3 * MINUTE: "ready"}
    assert stage.start() == [str(3 * MINUTE)]


def test_cancel_other_waits_for_a_stubborn_run_with_the_newest_slot_only(stage: Stage) -> None:
    stage.put(overlap="cancel_other")
    stage.advance(MINUTE)
    stage.start()
    stage.advance(3 * MINUTE)

    assert stage.end(MINUTE) == "completed"
    stage.advance(SECOND)

    assert stage.runs() == {MINUTE: "completed", 4 * MINUTE: "ready"}
    assert stage.counters() == {"fired": 2, "dropped": 2}


def test_terminate_other_ends_the_run_at_once(stage: Stage) -> None:
    stage.put(overlap="terminate_other")
    stage.advance(MINUTE)
    stage.start()

    stage.advance(MINUTE)

    assert stage.runs() == {MINUTE: "cancelled", 2 * MINUTE: "ready"}
    assert stage.end(MINUTE) == "lost"


def test_allow_all_runs_every_slot_beside_the_others(stage: Stage) -> None:
    stage.put(overlap="allow_all")

    stage.advance(3 * MINUTE)

    assert stage.start() == [str(MINUTE), str(2 * MINUTE), str(3 * MINUTE)]
    assert len(stage.view().running) == 3


# catch-up


@pytest.mark.parametrize(
    ("catch_up", "made", "why"),
    [("none", [], "catch_up none 12"), ("latest", [60], "catch_up latest 11"), ("all", range(5, 65, 5), "")],
)
def test_an_hour_without_redis(stage: Stage, catch_up: str, made: list[int], why: str) -> None:
    stage.put("5m", catch_up=catch_up, catch_up_window="2h", overlap="allow_all")
    stage.advance(MINUTE)
    stage.jump(HOUR)

    stage.advance(0)

    assert sorted(stage.made()) == [minute * MINUTE for minute in made]  # type: ignore[type-var]
    missed = 12 - len(made)
    assert stage.counters() == {k: n for k, n in {"fired": len(made), "missed": missed}.items() if n}
    told = [f"slot_missed s reason={why} n={missed} slot={NOW + FIVE}"] if missed else []
    assert stage.events("slot_missed") == told
    assert stage.mover.seen.told[-1] == ("s", len(made), missed)
    stage.advance(FIVE)
    assert stage.made()[-1] == HOUR + FIVE, "and then it goes on as before"


def test_by_default_an_hour_is_over_and_the_next_slot_is_on_time(stage: Stage) -> None:
    stage.put("5m", overlap="allow_all")
    stage.advance(MINUTE)
    stage.jump(HOUR + 2 * MINUTE)

    stage.advance(4 * MINUTE)

    assert stage.made() == [HOUR + FIVE]
    assert stage.events("slot_missed") == [f"slot_missed s reason=catch_up_window 12 n=12 slot={NOW + FIVE}"]


@pytest.mark.parametrize(
    ("overlap", "runs", "counters"),
    [
        ("skip", {FIVE: "ready"}, {"fired": 1, "skipped": 11}),
        ("buffer_one", {FIVE: "ready"}, {"fired": 2, "dropped": 10}),
        ("buffer_all", {FIVE: "ready"}, {"fired": 12}),
        ("cancel_other", {n * FIVE: "ready" if n == 12 else "cancelled" for n in range(1, 13)}, {"fired": 12}),
        ("terminate_other", {n * FIVE: "ready" if n == 12 else "cancelled" for n in range(1, 13)}, {"fired": 12}),
        ("allow_all", {n * FIVE: "ready" for n in range(1, 13)}, {"fired": 12}),
    ],
)
def test_what_is_caught_up_obeys_the_overlap_policy(
    stage: Stage, overlap: str, runs: dict[int, str], counters: dict[str, int]
) -> None:
    stage.put("5m", catch_up="all", catch_up_window="2h", overlap=overlap)
    stage.advance(0)
    stage.jump(HOUR)

    stage.advance(0)

    assert stage.runs() == runs
    assert stage.counters() == counters


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_every_slot_of_an_outage_is_accounted_for(one: Stage, overlap: str, catch_up: str) -> None:
    one.put("30s", catch_up=catch_up, catch_up_window="10m", overlap=overlap)
    one.advance(MINUTE)
    one.start()
    one.jump(45 * MINUTE)
    one.advance(2 * MINUTE)

    counters = one.counters()
    assert counters["fired"] == len(one.made()) + one.view().buffered
    assert sum(counters.values()) == 48 * 2


def test_all_is_caught_up_in_chunks_without_losing_a_slot(one: Stage) -> None:
    one.put("1m", catch_up="all", catch_up_window="1d", overlap="allow_all")
    one.advance(0)
    one.jump(10 * HOUR)

    one.advance(0)

    assert len(one.made()) == 600
    assert one.counters() == {"fired": 600}
    assert [runs for _, runs, _ in one.mover.seen.told] == [0, 100, 100, 100, 100, 100, 100]


def test_a_year_without_redis_is_over_in_one_look(one: Stage) -> None:
    one.put("1s")
    one.advance(0)
    one.jump(365 * DAY)

    one.mover.look()

    assert one.made() == [365 * DAY]
    assert one.counters() == {"fired": 1, "missed": 365 * 86_400 - 1}


# jitter


def test_jitter_moves_the_run_and_not_the_slot_and_every_mover_agrees(stage: Stage) -> None:
    schedule = stage.put("1h", jitter="10m", overlap="allow_all")
    (run,) = stage.schedules.preview(schedule, count=1)
    assert run.slot_ms < run.due_ms <= run.slot_ms + 10 * MINUTE
    stage.advance(run.due_ms - NOW - 1)
    assert stage.made() == []

    stage.advance(1, Mover(stage))

    assert stage.made() == [HOUR]
    assert stage.field(HOUR, "due_at") == str(run.due_ms)


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_jitter_of_a_whole_interval_loses_nothing(one: Stage, catch_up: str) -> None:
    one.put(cron="0 * * * *", jitter="1h", catch_up=catch_up, overlap="allow_all")

    one.advance(DAY + HOUR)

    assert one.made()[:24] == [hour * HOUR for hour in range(1, 25)]
    assert "missed" not in one.counters()


# ends, and times of other kinds


def test_after_so_many_runs_it_ends(stage: Stage) -> None:
    stage.put("5m", max_runs=3, catch_up="all", catch_up_window="1d", overlap="allow_all")
    stage.advance(FIVE)
    stage.jump(HOUR)

    stage.advance(0)

    assert stage.made() == [FIVE, 2 * FIVE, 3 * FIVE]
    assert (stage.view().state, stage.events("schedule_ended")) == ("ended", ["schedule_ended s"])


@pytest.mark.parametrize("rule", [{"every": "5m"}, {"cron": "@every 5m"}, {"cron": "*/5 * * * *"}])
def test_it_ends_after_the_last_slot_that_its_end_allows(stage: Stage, rule: dict[str, str]) -> None:
    stage.put(end=NOW + 2 * FIVE, overlap="allow_all", **rule)

    stage.advance(HOUR)

    assert (stage.made(), stage.view().state) == ([FIVE, 2 * FIVE], "ended")


@pytest.mark.parametrize("rule", [{"every": "5m"}, {"cron": "@every 5m"}, {"cron": "*/5 * * * *"}])
def test_every_way_to_write_five_minutes_goes_on(stage: Stage, rule: dict[str, str]) -> None:
    stage.put(overlap="allow_all", **rule)

    stage.advance(17 * MINUTE)

    assert stage.made() == [FIVE, 2 * FIVE, 3 * FIVE]


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_an_interval_that_is_looked_at_late_loses_no_slot(one: Stage, catch_up: str) -> None:
    one.put("1s", catch_up=catch_up, overlap="allow_all")
    one.advance(0)
    for _ in range(10):
        one.jump(2_500)
        one.mover.look()
    one.advance(0)

    assert one.made() == [second * SECOND for second in range(1, 26)]


def test_after_completion_counts_from_the_end_of_a_run(stage: Stage) -> None:
    stage.put(after_completion="5m")
    stage.advance(FIVE)
    assert stage.made() == [FIVE]
    stage.start()
    stage.advance(3 * MINUTE)
    stage.end(FIVE)

    stage.advance(20 * MINUTE)

    assert stage.made() == [FIVE, 13 * MINUTE]
    assert "skipped" not in stage.counters()


def test_after_completion_waits_for_its_start(stage: Stage) -> None:
    stage.put(after_completion="5m", start=NOW + HOUR)

    stage.advance(HOUR - 1)
    assert stage.made() == []
    stage.advance(1)

    assert stage.made() == [HOUR]


def test_the_spring_and_autumn_nights_of_a_zone(stage: Stage) -> None:
    stage.put(cron="30 2 * * *", time_zone="Europe/Berlin", overlap="allow_all")
    spring = 1_806_195_600_000  # 28 March 2027, 01:00 UTC, the first instant after the gap

    stage.advance(90 * DAY)

    made = [NOW + at for at in stage.made() if isinstance(at, int)]
    assert spring in made
    assert len(made) == 90


def test_everything_is_in_its_place_after_all_this(stage: Stage) -> None:
    for overlap in OVERLAPS:
        stage.put("1m", id=overlap, overlap=overlap, catch_up="all", catch_up_window="1h")
    stage.advance(3 * MINUTE)
    stage.start()
    stage.jump(30 * MINUTE)
    stage.advance(2 * MINUTE)

    assert_consistent(stage.store.redis, stage.store.namespace)


def test_a_field_that_a_call_left_empty_is_as_good_as_removed(stage: Stage) -> None:
    stage.put("1m", overlap="allow_all")
    stage.advance(3 * MINUTE)
    stage.store.redis.hset(stage.store.key("schedule:s"), mapping={"former": "", "task:conditions": ""})

    stage.advance(3 * MINUTE)

    assert stage.made() == [n * MINUTE for n in range(1, 7)]
    assert stage.counters() == {"fired": 6}
