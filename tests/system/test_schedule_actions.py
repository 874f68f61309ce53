"""Schedules that are paused, resumed, triggered and backfilled, end to end on a virtual clock."""

from __future__ import annotations

from redsched.schedule.definition import Exclude
from tests.support.schedule_clock import DAY, MINUTE, NOW, SECOND, Stage

FIVE = 5 * MINUTE


def test_slots_of_a_pause_are_missed_and_told_of(stage: Stage) -> None:
    stage.put("5m", catch_up="all", catch_up_window="1d", overlap="allow_all")
    stage.advance(MINUTE)
    stage.schedules.pause("s", reason="provider down")
    stage.advance(20 * MINUTE)
    assert (stage.made(), stage.view().state, stage.view().paused_reason) == ([], "paused", "provider down")

    assert stage.schedules.resume("s") is True
    stage.advance(FIVE)

    assert stage.made() == [25 * MINUTE]
    assert stage.counters() == {"fired": 1, "missed": 4}
    assert stage.events("slot_missed") == [f"slot_missed s reason=paused 4 n=4 slot={NOW + FIVE}"]


def test_a_pause_with_an_end_is_over_by_itself(stage: Stage) -> None:
    stage.put("5m", catch_up="all", catch_up_window="1d", overlap="allow_all")
    stage.advance(MINUTE)
    stage.schedules.pause("s", until=NOW + 12 * MINUTE)

    stage.advance(16 * MINUTE)

    assert stage.made() == [15 * MINUTE]
    assert (stage.view().state, stage.counters()) == ("active", {"fired": 1, "missed": 2})


def test_an_outage_that_outlasts_a_pause_catches_up_what_came_after_it(stage: Stage) -> None:
    stage.put("5m", catch_up="all", catch_up_window="1d", overlap="allow_all")
    stage.advance(MINUTE)
    stage.schedules.pause("s", until=NOW + 12 * MINUTE)
    stage.jump(30 * MINUTE)

    stage.advance(0)

    assert stage.made() == [15 * MINUTE, 20 * MINUTE, 25 * MINUTE, 30 * MINUTE]
    assert stage.events("slot_missed") == [f"slot_missed s reason=paused 2 n=2 slot={NOW + FIVE}"]


def test_whoever_resumes_a_pause_that_is_over_counts_no_slot_that_came_after_it(stage: Stage) -> None:
    stage.put("5m", catch_up="all", catch_up_window="1d", overlap="allow_all")
    stage.advance(MINUTE)
    stage.schedules.pause("s", until=NOW + 12 * MINUTE)
    stage.jump(30 * MINUTE)
    assert stage.schedules.resume("s") is True

    stage.advance(0)

    assert stage.made() == [15 * MINUTE, 20 * MINUTE, 25 * MINUTE, 30 * MINUTE]
    assert stage.counters() == {"fired": 4, "missed": 2}


def test_slots_of_a_pause_are_counted_by_the_calendars_of_the_look_after_it(stage: Stage) -> None:
    stage.schedules.put_calendar("c", [])
    stage.put(cron="0 * * * *", overlap="allow_all", exclude=Exclude(calendars=["c"]))
    stage.advance(MINUTE)
    stage.schedules.pause("s")
    stage.advance(DAY)
    stage.schedules.resume("s")
    stage.schedules.put_calendar("c", ["2027-01-15"])

    stage.advance(0)

    assert (stage.made(), stage.counters()) == ([], {"missed": 9}), "from midnight to 8 o'clock"


def test_what_waits_in_the_buffer_starts_after_the_pause(stage: Stage) -> None:
    stage.put(overlap="buffer_all")
    stage.advance(2 * MINUTE)
    stage.start()
    stage.schedules.pause("s")
    stage.end(MINUTE)
    stage.advance(10 * SECOND)
    assert stage.made() == [MINUTE]

    stage.schedules.resume("s")
    stage.advance(SECOND)

    assert stage.runs() == {MINUTE: "completed", 2 * MINUTE: "ready"}


def test_a_paused_schedule_can_be_triggered_and_its_slots_stay(stage: Stage) -> None:
    stage.put("5m")
    stage.advance(0)
    stage.schedules.pause("s")

    task_id = stage.schedules.trigger("s", payload={"n": 2})

    assert task_id == f"s@t{NOW}"
    assert (stage.field(f"t{NOW}", "payload"), stage.view().state) == ('{"n":2}', "paused")
    assert stage.counters() == {"triggered": 1}


def test_a_trigger_obeys_overlap_and_may_bring_its_own(stage: Stage) -> None:
    stage.put("5m", overlap="skip")
    stage.advance(FIVE)
    stage.start()

    assert stage.schedules.trigger("s") is None
    assert stage.schedules.trigger("s", overlap="allow_all") == f"s@t{NOW + FIVE}"
    assert stage.schedules.trigger("s", overlap="allow_all") == f"s@t{NOW + FIVE + 1}"
    assert stage.schedules.trigger("s", overlap="buffer_one") is None
    assert stage.view().buffered == 1
    for run in (FIVE, *stage.start()):
        stage.end(run)
    stage.advance(SECOND)

    assert len(stage.made()) == 4
    assert stage.counters() == {"fired": 1, "skipped": 1, "triggered": 3}


def test_a_triggered_run_that_failed_or_was_seen_by_a_trigger_pauses_it(stage: Stage) -> None:
    stage.put("5m", pause_on_failure=True)
    stage.advance(FIVE)
    stage.start()
    stage.end(FIVE, "dead")

    stage.schedules.trigger("s")
    stage.advance(FIVE)

    assert stage.view().state == "paused"
    assert stage.view().paused_reason == f"failed: s@{NOW + FIVE}"


def test_a_run_that_failed_pauses_until_somebody_resumes(stage: Stage) -> None:
    stage.put("5m", pause_on_failure=True, catch_up="all", catch_up_window="1d")
    stage.advance(FIVE)
    stage.start()
    stage.end(FIVE, "dead")
    stage.advance(15 * MINUTE)
    assert (stage.made(), stage.view().state) == ([FIVE], "paused")

    stage.schedules.resume("s")
    stage.advance(FIVE)

    assert stage.made() == [FIVE, 25 * MINUTE]
    assert stage.counters() == {"fired": 2, "missed": 3}


def test_backfill_runs_slots_of_the_past_once_more_and_leaves_those_to_come(stage: Stage) -> None:
    stage.put("5m", overlap="allow_all")
    stage.advance(20 * MINUTE)
    stage.schedules.pause("s")

    dry = stage.schedules.backfill("s", NOW + FIVE, NOW + 15 * MINUTE, dry_run=True)
    done = stage.schedules.backfill("s", NOW + FIVE, NOW + 15 * MINUTE)

    assert (len(dry.slots), dry.ids) == (3, [])
    assert done.ids == [f"s@{NOW + at}.b1" for at in (FIVE, 10 * MINUTE, 15 * MINUTE)]
    assert stage.counters() == {"fired": 4, "backfilled": 3}
    assert stage.store.redis.hget(stage.store.key("schedule:s"), "slot") == str(NOW + 25 * MINUTE)
    assert stage.field(f"{NOW + FIVE}.b1", "due_at") == str(NOW + FIVE)


def test_a_backfill_one_after_the_other(stage: Stage) -> None:
    stage.put("5m", overlap="skip")
    stage.advance(0)

    done = stage.schedules.backfill("s", NOW - 10 * MINUTE, NOW, overlap="buffer_all")
    assert (len(done.ids), done.waiting, done.skipped) == (1, 2, 0)
    order = []
    for _ in range(3):
        (run,) = stage.start()
        order.append(run)
        stage.end(run)
        stage.advance(SECOND)

    assert order == [f"{NOW + at * MINUTE}.b1" for at in (-10, -5, 0)]
