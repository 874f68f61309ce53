"""Exclusions that leave out long stretches: the next slot behind them is found, or the search ends and says so."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from redsched.model.duration import instant_ms
from redsched.model.errors import InvalidSchedule, SearchSpent
from redsched.model.schedule import Schedule, check
from redsched.model.template import TaskTemplate
from redsched.schedule.catch_up import Policy, decide
from redsched.schedule.definition import Exclude
from redsched.schedule.slots import SEARCH_S, Plan

BERLIN = "Europe/Berlin"


def plan(*crons: str, **timing: Any) -> Plan:
    return Plan(Schedule(id="s", task=TaskTemplate(type="t"), exclude=Exclude(crons=[*crons]), **timing))


def ms(text: str) -> int:
    return instant_ms(text)


def texts(found: Plan, after: str, count: int) -> list[str]:
    return [run.local for run in found.preview(ms(after), count)]


def test_slots_go_on_behind_two_months_of_which_each_fifth_minute_is_left_out() -> None:
    found = plan("*/5 * * 7,8 *", cron="*/5 * * * *")

    assert texts(found, "2027-06-30T23:49:59Z", 4) == [
        "2027-06-30T23:50:00Z",
        "2027-06-30T23:55:00Z",
        "2027-09-01T00:00:00Z",
        "2027-09-01T00:05:00Z",
    ]


def test_a_hundred_runs_between_weeks_of_seconds_that_are_left_out_are_found() -> None:
    found = plan("* * * 1-9,11-19,21-31 * *", every="6h")

    runs = texts(found, "2027-01-01T00:00:00Z", 100)

    assert len(runs) == 100
    assert {run[8:10] for run in runs} == {"10", "20"}


@pytest.mark.parametrize("zone", ["UTC", BERLIN, "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    ("crons", "excluded"),
    [
        ("*/20 * * * *", ["*/20 * 20-31 3 *", "0 1 * 4 *"]),
        ("30 2 * * *", ["30 2 * 3,10 *"]),
        ("*/30 1-3 * * *", ["* * * 3 SUN", "*/30 1-3 26-29 3 *"]),
        ("7 */6 * * *", ["7 0,6,12,18 * 3-4 *"]),
        ("0 12 * * *", ["CRON_TZ=America/New_York * 0-7 * 3 *"]),
    ],
)
def test_what_is_stepped_over_is_what_is_left_out_one_by_one(zone: str, crons: str, excluded: list[str]) -> None:
    found = plan(*excluded, cron=crons, time_zone=zone)
    whole = Plan(Schedule(id="s", task=TaskTemplate(type="t"), cron=crons, time_zone=zone))
    begin, end = ms("2027-03-01T00:00:00Z"), ms("2027-05-15T00:00:00Z")

    def before(slots: Plan) -> list[int]:
        return [slot for slot in islice(slots.after(begin), 20_000) if slot < end]

    assert found._exclusion is not None
    wanted = [slot for slot in before(whole) if not found._exclusion.leaves_out(slot)]
    assert before(found) == wanted and wanted


def test_a_search_without_an_end_stops_in_time_and_says_how_far_it_came() -> None:
    never = plan("*/2 * * * * *", every="2s")
    begin = ms("2027-01-01T00:00:00Z")

    began = time.monotonic()
    with pytest.raises(SearchSpent) as spent:
        next(never.after(begin))
    taken = time.monotonic() - began

    assert begin < spent.value.reached
    assert "as far as one search goes" in str(spent.value)
    assert taken < 50 * SEARCH_S, "a busy machine is given time"
    with pytest.raises(InvalidSchedule) as refused:
        check(never.schedule, after_ms=begin)
    assert refused.value.code == "never_fires"


def test_a_mover_goes_on_searching_where_it_stopped_and_makes_nothing_of_that() -> None:
    never = plan("*/2 * * * * *", every="2s")
    begin = ms("2027-01-01T00:00:00Z")
    with pytest.raises(SearchSpent) as spent:
        decide(never, Policy(), slot=None, since=begin, now=begin)

    with pytest.raises(SearchSpent) as further:
        decide(never, Policy(), slot=spent.value.reached, since=begin, now=spent.value.reached + 1)

    assert further.value.reached > spent.value.reached


def test_a_slot_before_what_is_left_out_for_ever_is_still_made() -> None:
    last = plan("* * * * * * 2028-2096", cron="*/5 * * * *")
    slot = ms("2027-12-31T23:55:00Z")

    found = decide(last, Policy(), slot=slot, since=slot - 1, now=slot + 1)

    assert found.slots == ((slot, slot),)


def test_a_date_of_exdate_leaves_its_whole_day_out() -> None:
    rule = "DTSTART:20270101T090000\nRRULE:FREQ=DAILY;BYHOUR=9,18\nEXDATE;VALUE=DATE:20270102\nEXDATE:20270104"
    found = Plan(Schedule(id="s", task=TaskTemplate(type="t"), rrule=rule, time_zone=BERLIN))

    begin = instant_ms(datetime(2027, 1, 1, tzinfo=ZoneInfo(BERLIN)))
    days = [run.local[:13] for run in found.preview(begin, 6)]
    assert days == [f"2027-01-0{day}T{hour}" for day in (1, 3, 5) for hour in ("09", "18")]
