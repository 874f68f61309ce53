"""Calendars and releases of tzdata that change between a slot and the next look of a mover."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.schedule.definition import Exclude
from redsched.schedule.zones import TZDATA_VERSION
from tests.support.schedule_clock import DAY, HOUR, MINUTE, NOW, Mover, Stage

CLOSED = ["2027-01-15"]  # the day of NOW


def closed_today(stage: Stage, **more: Any) -> None:
    """A schedule of each hour that a calendar leaves out today, and which a mover has planned."""
    stage.schedules.put_calendar("c", CLOSED)
    given = {"overlap": "allow_all", "catch_up": "all", "catch_up_window": 40 * DAY} | more
    stage.put(cron="0 * * * *", exclude=Exclude(calendars=["c"]), **given)
    stage.advance(HOUR + MINUTE)
    assert stage.made() == []


def look(stage: Stage) -> None:
    """A mover begins."""
    stage.mover.look()
    stage.advance(0)


def no_more(stage: Stage) -> None:
    """Nobody changes anything else."""


def describe(stage: Stage) -> None:
    stage.schedules.patch("s", {"description": "other"})


def patch(stage: Stage) -> None:
    stage.schedules.patch("s", {"cron": "30 * * * *"})


def drop(stage: Stage) -> None:
    stage.schedules.drop_calendar("c")


def again(stage: Stage) -> None:
    stage.schedules.put_calendar("c", ["2027-01-19"])


@pytest.mark.parametrize("change", [no_more, describe, patch, drop, again])
def test_slots_that_a_changed_calendar_adds_are_made_though_no_mover_looked(stage: Stage, change: Any) -> None:
    closed_today(stage)
    stage.schedules.put_calendar("c", [])
    stage.jump(2 * HOUR)
    change(stage)
    look(stage)

    assert (stage.made(), stage.counters()) == ([2 * HOUR, 3 * HOUR], {"fired": 2})
    again(stage)
    stage.mover = Mover(stage)
    look(stage)
    assert stage.counters() == {"fired": 2}, "a further change, or another mover, makes none of them again"


@pytest.mark.parametrize("order", ["change, pause", "pause, change"])
def test_slots_that_a_changed_calendar_adds_in_a_pause_are_missed(stage: Stage, order: str) -> None:
    closed_today(stage)
    for act in order.split(", "):
        if act == "pause":
            stage.schedules.pause("s")
        else:
            stage.schedules.put_calendar("c", [])
    stage.mover.look()
    stage.jump(2 * HOUR)
    stage.schedules.resume("s")
    stage.advance(0)

    assert (stage.made(), stage.counters()) == ([], {"missed": 2})


def test_what_a_calendar_left_out_before_it_changed_is_neither_made_nor_counted(stage: Stage) -> None:
    closed_today(stage)
    stage.jump(2 * HOUR)
    stage.schedules.put_calendar("c", [])
    stage.jump(HOUR)
    look(stage)

    assert (stage.made(), stage.counters()) == ([4 * HOUR], {"fired": 1})


def test_a_mover_that_stands_by_fires_nothing_before_it_knows_what_a_calendar_added(stage: Stage) -> None:
    closed_today(stage)
    stage.schedules.put_calendar("c", [])
    stage.jump(16 * HOUR)
    stage.advance(0, Mover(stage, acting=False))

    assert stage.made() == [HOUR * hour for hour in range(2, 18)]


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


def test_a_slot_that_came_and_that_a_calendar_leaves_out_since_is_not_shown(stage: Stage) -> None:
    stage.schedules.put_calendar("c", [])
    stage.put(cron="0 12 * * *", overlap="allow_all", exclude=Exclude(calendars=["c"]))
    stage.advance(HOUR)
    stage.jump(4 * HOUR)
    stage.schedules.put_calendar("c", ["2027-01-15"])
    wanted = [run.slot_ms - NOW for run in stage.view().next_runs[:2]]

    stage.advance(2 * DAY)

    assert stage.made() == wanted == [28 * HOUR, 52 * HOUR]
