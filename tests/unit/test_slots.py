"""The times of a schedule: intervals, unions, both changes of the clocks, what is left out, jitter."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redsched.model.errors import InvalidSchedule
from redsched.model.schedule import check
from redsched.schedule.calendar import CalendarRule
from redsched.schedule.definition import Every, Exclude, Random
from redsched.schedule.slots import Plan
from tests.support.plans import DAY, HOUR, JANUARY, ms, plan, schedule


def local(found: Plan, after: str, count: int) -> list[str]:
    """The local times of the next runs."""
    return [run.local for run in found.preview(ms(after), count)]


def utc(found: Plan, after: str, count: int = 5) -> list[str]:
    """The next slots, in UTC."""
    slots = islice(found.after(ms(after)), count)
    return [datetime.fromtimestamp(slot / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") for slot in slots]


def test_an_interval_is_anchored_to_the_epoch_with_its_phase():
    found = plan(every=Every("1h", "15m"))

    assert utc(found, "2027-01-01T00:15:00Z", 2) == ["2027-01-01T01:15:00", "2027-01-01T02:15:00"]
    assert utc(found, "2027-01-01T00:14:59Z", 1) == ["2027-01-01T00:15:00"]
    assert found.interval == (HOUR, 900_000)


def test_the_union_is_ascending_and_what_two_rules_share_comes_once():
    found = plan(cron=["0 9 * * *", "0 9,12 * * 5"], at=["2027-01-01T09:00:00Z", "2027-01-01T10:00:00Z"], every="12h")

    assert utc(found, "2027-01-01T00:00:00Z") == [
        "2027-01-01T09:00:00",
        "2027-01-01T10:00:00",
        "2027-01-01T12:00:00",
        "2027-01-02T00:00:00",
        "2027-01-02T09:00:00",
    ]


def test_a_member_that_has_ended_does_not_hold_up_the_others():
    found = plan(cron=["0 0 0 1 1 * 2027", "0 9 * * *"], at=["2027-01-01T10:00:00Z"])

    assert utc(found, "2028-01-01T00:00:00Z", 1) == ["2028-01-01T09:00:00"]


def test_a_union_whose_members_have_all_ended_ends():
    found = plan(cron="0 0 0 1 1 ? 2027", rrule="FREQ=DAILY;UNTIL=20270103", at=["2027-01-01T10:00:00Z"])

    assert utc(found, "2027-01-01T12:00:00Z") == ["2027-01-02T00:00:00", "2027-01-03T00:00:00"]
    assert list(found.after(ms("2050-01-01T00:00:00Z"))) == []


def test_the_last_instant_ends_an_interval():
    assert list(plan(every="1s").after(4_000_000_000_000)) == []
    assert len(list(plan(cron="0 0 * * *").after(ms("2096-09-30T12:00:00Z")))) == 2


def test_start_and_end_are_both_included():
    found = plan(every="1h", start="2027-01-01T03:00:00Z", end="2027-01-01T05:00:00Z")

    assert utc(found, "2020-01-01T00:00:00Z") == ["2027-01-01T03:00:00", "2027-01-01T04:00:00", "2027-01-01T05:00:00"]


def test_daily_in_the_gap_and_in_the_repeated_hour_with_notes():
    found = plan(cron="30 2 * * *", time_zone="America/New_York")
    assert [(run.local, run.note) for run in found.preview(ms("2027-03-14T00:00:00-05:00"), 2)] == [
        ("2027-03-14T03:00:00-04:00", "dst_gap"),
        ("2027-03-15T02:30:00-04:00", ""),
    ]
    found = plan(cron="30 1 * * *", time_zone="America/New_York")
    assert [(run.local, run.note) for run in found.preview(ms("2027-11-07T00:00:00-04:00"), 2)] == [
        ("2027-11-07T01:30:00-04:00", "dst_fold"),
        ("2027-11-08T01:30:00-05:00", ""),
    ]


@pytest.mark.parametrize(
    ("policy", "first"),
    [
        ({"dst_gap": "skip"}, "2027-03-15T02:30:00-04:00"),
        ({"dst_gap": "run_at_shifted"}, "2027-03-14T03:30:00-04:00"),
    ],
)
def test_the_policies_of_the_gap(policy: dict[str, Any], first: str):
    rules: list[dict[str, Any]] = [
        {"cron": "30 2 * * *"},
        {"calendar": [CalendarRule(at=["02:30"])]},
        {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"},
    ]
    for rule in rules:
        found = plan(**rule, **policy, time_zone="America/New_York")
        assert local(found, "2027-03-14T00:00:00-05:00", 1) == [first]


def test_both_runs_of_the_repeated_hour_where_that_is_asked():
    found = plan(cron="30 1 * * *", time_zone="America/New_York", dst_fold="both")

    assert local(found, "2027-11-07T00:00:00-04:00", 2) == ["2027-11-07T01:30:00-04:00", "2027-11-07T01:30:00-05:00"]


def test_a_statement_at_month_end_in_kolkata():
    found = plan(calendar=[CalendarRule(unit="month", days=[-1], at=["09:00"])], time_zone="Asia/Kolkata")

    assert local(found, "2027-01-01T00:00:00Z", 3) == [
        "2027-01-31T09:00:00+05:30",
        "2027-02-28T09:00:00+05:30",
        "2027-03-31T09:00:00+05:30",
    ]
    assert utc(found, "2027-01-01T00:00:00Z", 1) == ["2027-01-31T03:30:00"]


def test_the_last_working_day_knows_the_stored_holidays():
    rule = CalendarRule(unit="month", working_day=-1, at=["17:00"], holidays=["bank"])

    found = plan({"bank": frozenset(("2027-03-31", "*-12-31"))}, calendar=[rule], time_zone="Europe/London")

    assert local(found, "2027-03-01T00:00:00Z", 1) == ["2027-03-30T17:00:00+01:00"]
    assert local(found, "2027-12-01T00:00:00Z", 1) == ["2027-12-30T17:00:00+00:00"]


def test_dates_and_yearly_dates_are_left_out_in_the_zone_of_the_schedule():
    left_out = Exclude(dates=["2027-12-24", "*-12-25"])

    found = plan(cron="0 9 * * *", exclude=left_out, time_zone="Asia/Tokyo")

    assert local(found, "2027-12-23T00:00:00+09:00", 2) == ["2027-12-23T09:00:00+09:00", "2027-12-26T09:00:00+09:00"]
    assert local(found, "2028-12-23T23:00:00+09:00", 2) == ["2028-12-24T09:00:00+09:00", "2028-12-26T09:00:00+09:00"]
    assert found.excluded(ms("2027-12-23T00:00:00Z"), ms("2027-12-26T00:00:00Z")) == [
        ms("2027-12-24T00:00:00Z"),
        ms("2027-12-25T00:00:00Z"),
    ]


def test_a_stored_calendar_is_left_out_and_an_unknown_one_has_no_dates():
    found = plan({"bank": frozenset(("2027-01-02",))}, cron="0 9 * * *", exclude=Exclude(calendars=["bank", "gone"]))

    assert utc(found, "2027-01-01T00:00:00Z", 2) == ["2027-01-01T09:00:00", "2027-01-03T09:00:00"]


def test_an_excluded_cron_leaves_out_every_second_of_the_minutes_it_matches():
    found = plan(every="30s", exclude=Exclude(crons=["* 0-21 * * *", "1 22 * * *"]))

    assert utc(found, "2027-01-01T00:00:00Z", 3) == [
        "2027-01-01T22:00:00",
        "2027-01-01T22:00:30",
        "2027-01-01T22:02:00",
    ]


def test_an_excluded_cron_with_seconds_leaves_out_those_alone():
    found = plan(every="10s", exclude=Exclude(crons=["20,30 * * * * *"]))

    assert [slot[-2:] for slot in utc(found, "2027-01-01T00:00:00Z", 4)] == ["10", "40", "50", "00"]


def test_stepping_over_what_is_left_out_does_not_lose_the_repeated_hour():
    found = plan(cron="*/15 * * * *", exclude=Exclude(crons=["30-59 1 * * *"]), time_zone="America/New_York")

    assert local(found, "2027-11-07T01:00:00-04:00", 4) == [
        "2027-11-07T01:15:00-04:00",
        "2027-11-07T01:00:00-05:00",
        "2027-11-07T01:15:00-05:00",
        "2027-11-07T02:00:00-05:00",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"every": "1s", "exclude": Exclude(crons=["* * * * *"])},
        {"every": "1s", "exclude": Exclude(crons=["* * * 1-11 *", "* * * 12 *"])},
        {"cron": "* * * * * *", "exclude": Exclude(crons=["* * * * * *"])},
        {"cron": "0 9 * * *", "exclude": Exclude(crons=["0 9 * * *"])},
        {"cron": "0 0 29 2 *", "exclude": Exclude(dates=["*-02-29"])},
        {"random": Random("1s", "2s"), "exclude": Exclude(crons=["* * * * *"])},
        {"every": "1m", "exclude": Exclude(crons=["*/2 * * * *", "1-59/2 * * * *"])},
    ],
)
def test_leaving_everything_out_ends_in_bounded_time_and_is_refused(fields: dict[str, Any]):
    begin = time.process_time()

    with pytest.raises(InvalidSchedule) as caught:
        check(schedule(**fields), after_ms=JANUARY)

    assert caught.value.code == "never_fires"
    assert time.process_time() - begin < 5


def test_a_run_in_december_only_is_found_behind_eleven_months_left_out():
    found = plan(every="1m", exclude=Exclude(crons=["* * * 1-11 *"]))

    assert utc(found, "2027-01-01T00:00:00Z", 1) == ["2027-12-01T00:00:00"]


def test_jitter_is_the_same_for_the_same_slot_and_stays_within_its_bounds():
    first, second = (plan(cron="0 * * * *", jitter="10m") for _ in range(2))
    other = plan(id="other", cron="0 * * * *", jitter="10m")
    slots = list(islice(first.after(JANUARY), 300))

    moved = [first.due(slot) - slot for slot in slots]

    assert moved == [second.due(slot) - slot for slot in slots] != [other.due(slot) - slot for slot in slots]
    assert 0 <= min(moved) < 60_000
    assert 540_000 < max(moved) <= 600_000


def test_jitter_never_passes_the_end():
    found = plan(cron="0 * * * *", jitter="1d", end="2027-01-01T05:00:01Z")

    dues = [run.due_ms for run in found.preview(JANUARY, 10)]

    assert len(dues) == 5
    assert max(dues) <= ms("2027-01-01T05:00:01Z")


def test_random_pauses_stay_within_their_bounds_and_repeat():
    found = plan(random=Random("10s", "20s"))
    slots = [JANUARY, *islice(found.after(JANUARY), 500)]

    pauses = [later - earlier for earlier, later in pairwise(slots)]

    assert 10_000 <= min(pauses) < 10_500
    assert 19_500 < max(pauses) <= 20_000
    assert list(islice(found.after(slots[7]), 3)) == slots[8:11]
    assert slots[1:] != list(islice(plan(id="other", random=Random("10s", "20s")).after(JANUARY), 500))


def test_after_completion_counts_from_the_given_instant():
    assert next(plan(after_completion="90s").after(JANUARY)) == JANUARY + 90_000


def test_hash_spread_depends_on_the_id():
    firsts = {next(plan(id=f"s{n}", cron="H H * * *").after(JANUARY)) for n in range(50)}

    assert len(firsts) > 40


def test_a_cron_may_name_its_own_zone():
    found = plan(cron=["CRON_TZ=Asia/Tokyo 0 9 * * *", "0 9 * * *"])

    assert utc(found, "2027-01-01T00:00:00Z", 2) == ["2027-01-01T09:00:00", "2027-01-02T00:00:00"]


def test_ten_thousand_daily_plans_are_quick():
    begin = time.process_time()

    for number in range(10_000):
        text = f"{number % 60} {number // 60 % 24} * * *"
        next(plan(id=f"s{number}", cron=text, time_zone="Europe/Paris").after(JANUARY))

    assert time.process_time() - begin < 3


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["0 9 * * *", "30 2 * * *", "*/20 1-3 * * *", "0 0 31 * *", "@every 7h"]), min_size=1),
    st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "UTC"]),
    st.integers(JANUARY, JANUARY + 400 * DAY),
)
def test_slots_are_strictly_after_ascending_and_do_not_depend_on_where_one_begins(
    crons: list[str], zone: str, after: int
):
    found = plan(cron=crons, time_zone=zone, exclude=Exclude(crons=["* 3 * * 1"], dates=["*-03-14"]))

    slots = list(islice(found.after(after), 8))

    assert slots == sorted(set(slots))
    assert slots[0] > after
    assert list(islice(found.after(slots[3]), 4)) == slots[4:]
