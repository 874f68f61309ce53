"""The slot to wait for after a calendar or the release of tzdata has changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from redsched.model.duration import instant_ms
from redsched.model.schedule import Schedule
from redsched.model.template import TaskTemplate
from redsched.schedule.catch_up import Policy, decide, replanned
from redsched.schedule.definition import Exclude, Random
from redsched.schedule.slots import Plan

HOUR, DAY = 3_600_000, 86_400_000
BERLIN = "Europe/Berlin"


def plan(holidays: dict[str, frozenset[str]] | None = None, **timing: Any) -> Plan:
    schedule = Schedule(id="s", task=TaskTemplate(type="t"), **({"time_zone": BERLIN} | timing))
    return Plan(schedule, holidays)


def at(text: str) -> int:
    """The instant of a local time in Berlin, ms."""
    return instant_ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)))


def test_a_slot_that_a_calendar_leaves_out_now_is_not_waited_for() -> None:
    closed = plan({"c": frozenset(["2027-03-02"])}, cron="0 9 * * *", exclude=Exclude(calendars=["c"]))

    assert replanned(closed, at("2027-03-02T09:00"), since=0, now=at("2027-03-01T12:00")) == at("2027-03-03T09:00")


def test_a_day_that_a_calendar_does_not_leave_out_any_more_comes_first() -> None:
    opened = plan({"c": frozenset()}, cron="0 9 * * *", exclude=Exclude(calendars=["c"]))

    assert replanned(opened, at("2027-03-03T09:00"), since=0, now=at("2027-03-01T12:00")) == at("2027-03-02T09:00")


def test_a_slot_that_is_due_and_left_out_now_makes_nothing() -> None:
    closed = plan({"c": frozenset(["2027-03-02"])}, cron="0 9 * * *", exclude=Exclude(calendars=["c"]))

    found = decide(closed, Policy(), slot=at("2027-03-02T09:00"), since=0, now=at("2027-03-02T09:00") + 5)

    assert (found.slots, found.missed, found.following) == ((), 0, str(at("2027-03-03T09:00")))


@pytest.mark.parametrize(
    ("timing", "last", "planned", "now", "wanted"),
    [
        # an older release ran it at 08:00 of today's clocks, and called that 09:00: no second run today
        ({"cron": "0 9 * * *"}, "2027-03-01T09:00:00", "2027-03-02T08:00", "2027-03-01T08:30", "2027-03-02T09:00"),
        # it planned 09:00 of tomorrow an hour late: it runs at 09:00
        ({"cron": "0 9 * * *"}, "2027-02-28T09:00:00", "2027-03-01T10:00", "2027-03-01T08:30", "2027-03-01T09:00"),
        # and at once where 09:00 has come meanwhile
        ({"cron": "0 9 * * *"}, "2027-02-28T09:00:00", "2027-03-01T10:00", "2027-03-01T09:30", "2027-03-01T09:00"),
        # it ran at 02:30 where there was no gap; with the gap it would be 03:00 of the same day
        ({"cron": "30 2 * * *"}, "2027-03-28T02:30:00", "2027-03-29T02:30", "2027-03-28T02:40", "2027-03-29T02:30"),
        # of two slots a day the second one is its own
        ({"cron": "0 9,18 * * *"}, "2027-03-01T09:00:00", "2027-03-01T17:00", "2027-03-01T12:00", "2027-03-01T18:00"),
        ({"cron": "0 * * * *"}, "2027-03-01T09:00:00", "2027-03-01T09:00", "2027-03-01T08:10", "2027-03-01T10:00"),
    ],
)
def test_a_new_release_of_tzdata_moves_what_is_planned_and_runs_no_local_day_twice(
    timing: dict[str, Any], last: str, planned: str, now: str, wanted: str
) -> None:
    given = {"since": 0, "now": at(now), "last": f"2020a/{last}", "release": "2027a"}

    assert replanned(plan(**timing), at(planned), **given) == at(wanted)
    assert replanned(plan(**timing), at(wanted), **given) == at(wanted), "and a second look changes nothing"


def test_the_first_slot_is_planned_anew_from_when_the_schedule_was_put() -> None:
    daily = plan(cron="0 9 * * *")
    since = at("2027-03-01T08:00")

    assert replanned(
        daily, at("2027-03-01T10:00"), since=since, now=at("2027-03-01T09:30"), last="2020a/", release="2027a"
    ) == at("2027-03-01T09:00")


def test_what_no_clock_on_a_wall_names_stays_as_it_is() -> None:
    for timing in ({"every": "1h"}, {"at": [at("2027-03-02T09:00")]}):
        slot = next(plan(**timing).after(at("2027-03-01T12:00")))
        assert replanned(plan(**timing), slot, since=0, now=slot - 1, last="2020a/x", release="2027a") == slot


def test_of_what_follows_from_the_slot_before_only_what_is_left_out_moves() -> None:
    random = {"random": Random("1h", "2h")}
    slot = at("2027-03-01T12:34")

    assert replanned(plan(**random), slot, since=0, now=slot - HOUR, chained=True) == slot
    closed = plan(**random, exclude=Exclude(dates=["2027-03-01"]))
    moved = replanned(closed, slot, since=0, now=slot - HOUR, chained=True)
    assert moved is not None and moved >= at("2027-03-02T00:00")


def test_every_second_is_replanned_in_a_bounded_number_of_steps() -> None:
    now = at("2027-03-01T12:00")

    found = replanned(
        plan(cron="* * * * * *"), now + 1_000, since=0, now=now, last="2020a/2027-03-01T11:59:59", release="2027a"
    )

    assert found == now
