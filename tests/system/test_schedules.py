"""Recurring schedules end to end on a virtual clock: every overlap and catch-up policy, and what changes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redsched import Client
from redsched.model.schedule import OVERLAPS, Exclude, Plan, TaskTemplate
from redsched.model.zones import TZDATA_VERSION
from redsched.schedules import Schedules
from tests.lua.consistency import assert_consistent
from tests.system.schedule_clock import DAY, HOUR, MINUTE, NOW, SECOND, Clocked, Mover, Stage, stage_on

FIVE = 5 * MINUTE


@pytest.fixture(params=["valkey", "redis", "redis8"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A namespace with a virtual clock."""
    with stage_on(request, request.param) as found:
        yield found


@pytest.fixture
def one(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same on the embedded server only, for what does not depend on the server."""
    with stage_on(request, "valkey") as found:
        yield found


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


# pause, resume, trigger, backfill


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


# changes


def test_a_change_on_one_node_holds_at_every_mover_from_its_next_look_on(stage: Stage) -> None:
    other = Mover(stage)
    stage.put("5m", overlap="allow_all")
    stage.advance(FIVE)
    stage.advance(FIVE, other)
    with Client(stage.store.url, namespace=stage.store.namespace) as client:
        schedules = Schedules(client, Clocked(stage, client))  # type: ignore[arg-type]
        changed = stage.view().schedule
        changed.every, changed.task.payload = "7m", {"n": 9}
        assert schedules.put(changed).status == "updated"

    stage.advance(5 * MINUTE, other)
    stage.advance(10 * MINUTE)

    assert stage.made() == [FIVE, 10 * MINUTE, *(at for at in range(11 * MINUTE, 26 * MINUTE, MINUTE) if not _beat(at))]
    assert stage.field(stage.made()[-1], "payload") == '{"n":9}'


def _beat(at: int) -> int:
    return (NOW + at) % (7 * MINUTE)


def test_the_same_definition_again_changes_nothing(stage: Stage) -> None:
    schedule = stage.put("5m")
    stage.advance(2 * MINUTE)

    found = stage.schedules.put(schedule)
    stage.advance(3 * MINUTE)

    assert (found.status, found.rev, stage.made()) == ("unchanged", 1, [FIVE])


def test_a_new_queue_and_payload_hold_for_the_slot_that_is_planned(stage: Stage) -> None:
    stage.put("5m")
    stage.advance(MINUTE)
    stage.put("5m", task=TaskTemplate(type="u", payload={"n": 2}))

    stage.advance(4 * MINUTE)

    assert (stage.field(FIVE, "type"), stage.field(FIVE, "payload")) == ("u", '{"n":2}')


def test_a_deleted_schedule_makes_nothing_more_and_its_tasks_stay(stage: Stage) -> None:
    stage.put("5m")
    stage.advance(FIVE)

    assert stage.schedules.delete("s") is True
    stage.advance(HOUR)

    assert stage.made() == [FIVE]
    assert stage.next_look() is None


def test_a_changed_calendar_holds_for_slots_that_were_planned(stage: Stage) -> None:
    stage.schedules.put_calendar("holidays", ["2027-12-25"])
    stage.put(cron="0 12 * * *", exclude=Exclude(calendars=["holidays"]))
    stage.advance(MINUTE)

    stage.schedules.put_calendar("holidays", ["2027-12-25", "2027-01-15"])
    stage.advance(2 * DAY)

    assert stage.made() == [28 * HOUR]


def test_a_calendar_that_another_client_puts_moves_what_is_planned_both_ways(stage: Stage) -> None:
    stage.schedules.put_calendar("holidays", ["2027-01-16"])
    stage.put(cron="0 12 * * *", overlap="allow_all", exclude=Exclude(calendars=["holidays"]))
    stage.put("1h", id="other")
    stage.advance(5 * HOUR)
    rev = stage.view().rev

    prefix = f"{{{stage.store.namespace}}}:"
    stage.store.redis.fcall("rs1_put_calendar", 1, f"{prefix}schedules", "holidays", "[]")
    stage.mover.look()  # the key of the calendars is one that movers watch
    stage.advance(DAY)

    assert stage.made() == [4 * HOUR, 28 * HOUR]
    assert stage.view().rev == rev, "nobody has put the schedule again"
    assert stage.store.redis.hget(f"{prefix}calendars", ":planned") == f"2/{TZDATA_VERSION}"


def test_another_release_of_tzdata_has_slots_planned_anew_by_the_mover_that_acts(stage: Stage) -> None:
    stage.put(cron="0 12 * * *", time_zone="Europe/Berlin")
    stage.put("1h", id="other")
    stage.advance(HOUR)
    redis, prefix = stage.store.redis, f"{{{stage.store.namespace}}}:"
    slot = int(redis.hget(f"{prefix}schedule:s", "slot"))
    redis.hset(f"{prefix}schedule:s", mapping={"slot": slot + HOUR, "last": "2020a/"})
    redis.zadd(f"{prefix}schedules", {"s": slot + HOUR})
    redis.hset(f"{prefix}calendars", ":planned", "0/2020a")

    Mover(stage).look()
    stage.advance(DAY)

    assert stage.made() == [3 * HOUR]
    assert redis.hget(f"{prefix}schedule:s", "last") == f"{TZDATA_VERSION}/2027-01-15T12:00:00"


def test_what_somebody_spoilt_is_paused_and_does_not_hold_up_the_others(stage: Stage) -> None:
    stage.put("5m")
    stage.put("5m", id="odd")
    stage.store.redis.hset(stage.store.key("schedule:odd"), "spec", '{"cron":"no cron"}')
    stage.store.redis.set(stage.store.key("schedule:text"), "no hash")
    stage.store.redis.zadd(stage.store.key("schedules"), {"text": 1, "nobody": 1, "a b": 1})

    stage.advance(FIVE)

    assert stage.made() == [FIVE]
    assert stage.view("odd").state == "paused"
    assert (stage.view("odd").paused_reason or "").startswith("malformed")


def test_a_plan_that_breaks_stops_only_its_own_schedule(one: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    one.put("5m", id="odd", jitter="1s")
    one.put("5m")
    one.advance(0)

    def broken(plan: Plan, slot: int) -> int:
        if plan.schedule.id == "odd":
            raise OverflowError("date value out of range")
        return slot

    monkeypatch.setattr(Plan, "due", broken)
    one.advance(FIVE + SECOND)

    assert one.made() == [FIVE]
    monkeypatch.undo()
    assert one.view("odd").paused_reason == "malformed: OverflowError: date value out of range"


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
