"""What changes around a slot, end to end: definitions, patches, calendars, pauses and backfills; and what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from redsched import Client
from redsched.client.sync.schedules import Schedules
from redsched.model.errors import InvalidSchedule
from redsched.model.schedule import Schedule
from redsched.model.template import TaskTemplate
from redsched.schedule.definition import Every, Exclude, Random
from redsched.schedule.slots import Plan
from tests.support.schedule_clock import DAY, HOUR, MINUTE, NOW, SECOND, Clocked, Mover, Stage

FIVE = 5 * MINUTE
LONG = 40 * DAY


def due_without_a_mover(stage: Stage, **more: Any) -> Schedule:
    """A schedule of each minute with two slots that came while nobody looked."""
    given = {"every": "1m", "overlap": "allow_all", "catch_up": "all", "catch_up_window": LONG} | more
    schedule = Schedule(id="s", task=TaskTemplate(type="t"), description="same", **given)
    stage.schedules.put(schedule)
    stage.advance(SECOND)
    stage.jump(2 * MINUTE)
    return schedule


def describe(stage: Stage, schedule: Schedule) -> None:
    schedule.description = "other"
    stage.schedules.put(schedule)


def patch(stage: Stage, schedule: Schedule) -> None:
    stage.schedules.patch("s", {"every": "7m"})


def apply(stage: Stage, schedule: Schedule) -> None:
    schedule.every = [Every("7m")]
    stage.schedules.apply([schedule])


def calendar(stage: Stage, schedule: Schedule) -> None:
    stage.schedules.put_calendar("c", ["2030-01-01"])


def twice(stage: Stage, schedule: Schedule) -> None:
    patch(stage, schedule)
    stage.jump(1)
    stage.schedules.patch("s", {"every": "9m"})


@pytest.mark.parametrize("change", [describe, patch, apply, calendar, twice])
@pytest.mark.parametrize("planned", [True, False])
def test_slots_that_came_before_a_change_are_made(stage: Stage, change: Any, planned: bool) -> None:
    stage.schedules.put_calendar("c", ["2029-01-01"])
    exclude = Exclude(calendars=["c"]) if change is calendar else None
    if planned:
        schedule = due_without_a_mover(stage, exclude=exclude)
        wanted = [MINUTE, 2 * MINUTE]
    else:
        stage.mover = Mover(stage)
        schedule = Schedule(
            id="s",
            task=TaskTemplate(type="t"),
            every="1m",
            overlap="allow_all",
            catch_up="all",
            exclude=exclude,
            catch_up_window=LONG,
        )
        stage.schedules.put(schedule)
        stage.jump(2 * MINUTE + SECOND)
        wanted = [MINUTE, 2 * MINUTE]

    change(stage, schedule)
    stage.advance(0)

    assert stage.made() == wanted
    assert stage.counters() == {"fired": 2}
    stage.advance(10 * MINUTE)
    beat = {describe: MINUTE, calendar: MINUTE, twice: 9 * MINUTE}.get(change, 7 * MINUTE)
    begin = 2 * MINUTE + SECOND
    later = [at for at in range(0, stage.now - NOW + 1, SECOND) if at > begin and (NOW + at) % beat == 0]
    assert stage.made() == wanted + later


def test_another_description_does_not_restart_the_wait_after_a_run(stage: Stage) -> None:
    stage.put(after_completion="1h")
    stage.advance(HOUR)
    stage.start()
    stage.end(HOUR)
    stage.advance(50 * MINUTE)

    stage.schedules.patch("s", {"description": "other"})
    stage.advance(10 * MINUTE + SECOND)

    assert stage.made() == [HOUR, 2 * HOUR]


def test_slots_of_a_definition_that_was_changed_in_a_pause_are_counted_as_missed(stage: Stage) -> None:
    stage.put("1m", overlap="allow_all")
    stage.advance(SECOND)
    stage.schedules.pause("s")
    stage.jump(3 * MINUTE)
    stage.schedules.patch("s", {"every": "1h"})
    stage.schedules.resume("s")
    stage.advance(0)

    assert (stage.made(), stage.counters()) == ([], {"missed": 3})


def test_a_patch_leaves_what_a_raw_producer_wrote(stage: Stage) -> None:
    redis, prefix = stage.store.redis, f"{{{stage.store.namespace}}}:"
    words = ("type", "t", "payload", "<order/>", "content_type", "application/xml", "retry", "fixed 500")
    spec = '{"every":[{"every":60000}],"description":"old"}'
    redis.fcall("rs1_put_schedule", 1, f"{prefix}due:default", 0, "s", "", spec, *words)

    stage.schedules.patch("s", {"description": "new", "task": {"priority": "high"}})

    found = redis.hgetall(f"{prefix}schedule:s")
    assert {name: found.get(f"task:{name}") for name in ("payload", "content_type", "retry", "priority")} == {
        "payload": "<order/>",
        "content_type": "application/xml",
        "retry": "fixed 500",
        "priority": "high",
    }
    assert stage.view().schedule.description == "new"

    stage.schedules.patch("s", {"task": {"payload": {"a": 1}, "retry": None}})
    found = redis.hgetall(f"{prefix}schedule:s")
    assert found["task:payload"] == '{"a":1}'
    assert not {"task:content_type", "task:retry"} & found.keys(), "a payload comes with its own content type"


def test_a_backfill_counts_start_by_from_now_and_makes_nothing_of_the_future(stage: Stage) -> None:
    stage.put("1h", task=TaskTemplate(type="t", expires_in="10m"), overlap="allow_all")

    with pytest.raises(InvalidSchedule, match=r"^to: lies after now"):
        stage.schedules.backfill("s", start=NOW - HOUR, end=NOW + HOUR)
    found = stage.schedules.backfill("s", start=NOW - 4 * HOUR, end=NOW - HOUR)

    assert len(found.ids) == 4
    assert len(stage.start()) == 4


@pytest.mark.parametrize("until", [NOW - 1, NOW])
def test_a_pause_until_a_time_that_is_over_is_refused(stage: Stage, until: int) -> None:
    stage.put()

    with pytest.raises(InvalidSchedule, match=r"^until: does not lie after now"):
        stage.schedules.pause("s", until=until)

    assert stage.view().state == "active"


def test_a_schedule_that_was_mended_goes_on(stage: Stage) -> None:
    stage.put(overlap="allow_all")
    spec = stage.store.redis.hget(stage.store.key("schedule:s"), "spec")
    stage.store.redis.hset(stage.store.key("schedule:s"), "spec", '{"every":"soon"}')
    stage.advance(MINUTE)
    assert stage.view().state == "paused"

    stage.put(overlap="allow_all")
    stage.advance(MINUTE)

    assert stage.view().state == "active"
    assert stage.store.redis.hget(stage.store.key("schedule:s"), "spec") == spec
    assert stage.made()[-1] == 2 * MINUTE


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


# what is shown


def shown(stage: Stage, id: str = "s") -> list[int]:
    return [run.due_ms - NOW for run in stage.view(id).next_runs]


def test_a_dropped_calendar_is_a_problem_that_is_told_and_hides_nothing(stage: Stage) -> None:
    stage.schedules.put_calendar("c", ["2027-01-15"])
    stage.put("1h", exclude=Exclude(calendars=["c"]))
    stage.schedules.drop_calendar("c")
    stage.advance(0)

    view = stage.view()

    assert view.problem == "'c' is the name of no calendar: it leaves out nothing"
    assert view.schedule.every == [Every(HOUR)]
    assert shown(stage)[0] == HOUR


def test_the_runs_of_a_paused_schedule_are_those_after_its_pause(stage: Stage) -> None:
    stage.put("1h", overlap="allow_all")
    stage.advance(SECOND)
    stage.schedules.pause("s", until=NOW + 5 * HOUR)
    stage.advance(2 * HOUR)
    assert shown(stage)[:2] == [6 * HOUR, 7 * HOUR]

    stage.advance(4 * HOUR + SECOND)
    assert stage.made() == [6 * HOUR]

    stage.schedules.pause("s")
    assert shown(stage) == []


@pytest.mark.parametrize("replaced", [False, True])
def test_a_slot_of_a_pause_that_waits_for_its_jitter_is_not_shown(stage: Stage, replaced: bool) -> None:
    stage.put("1h", jitter="30m", overlap="allow_all")
    stage.advance(HOUR)
    assert shown(stage)[0] > HOUR, "the slot has come, and its run is due later"
    stage.schedules.pause("s", until=stage.now + 1)
    if replaced:
        stage.put("2h", overlap="allow_all")
    stage.advance(1)

    wanted = [run.slot_ms - NOW for run in stage.view().next_runs[:3]]

    assert wanted == ([2 * HOUR, 4 * HOUR, 6 * HOUR] if replaced else [2 * HOUR, 3 * HOUR, 4 * HOUR])
    stage.advance(stage.view().next_runs[2].due_ms - stage.now)
    assert (stage.made(), stage.counters()["missed"]) == (wanted, 1)


def test_a_chain_that_nobody_has_planned_yet_is_shown_as_it_will_run(stage: Stage) -> None:
    stage.put(random=Random("10m", "3h"), overlap="allow_all")
    stage.jump(MINUTE)
    wanted = shown(stage)[:5]

    stage.advance(wanted[-1])

    assert stage.made() == wanted


def test_no_more_runs_are_shown_than_are_left(stage: Stage) -> None:
    stage.put("1h", max_runs=3, overlap="allow_all")
    stage.advance(2 * HOUR)

    assert shown(stage) == [3 * HOUR]
    stage.advance(5 * HOUR)
    assert stage.made() == [HOUR, 2 * HOUR, 3 * HOUR]


def test_the_chain_of_a_random_schedule_is_shown_as_it_will_run(stage: Stage) -> None:
    stage.put(random=Random("10m", "3h"), overlap="allow_all")
    stage.advance(SECOND)
    wanted = shown(stage)[:5]

    stage.advance(wanted[-1])

    assert stage.made() == wanted


def test_runs_that_have_ended_are_not_shown_as_running(stage: Stage) -> None:
    stage.put("1h", overlap="allow_all")
    stage.advance(2 * HOUR)
    stage.start()
    stage.end(HOUR)

    assert stage.view().running == [f"s@{NOW + 2 * HOUR}"]
