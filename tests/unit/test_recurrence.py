"""Recurrences of RFC 5545: against python-dateutil where both apply, at the edges of daylight saving, and bounded."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redsched.schedule.calendar import InvalidRule
from redsched.schedule.rrule import Recurrence
from redsched.schedule.zones import instants, local, zone

NEW_YORK = zone("America/New_York")
OLD = datetime(1970, 1, 1)
SIXTY = ",".join(map(str, range(60)))


def walls(text: str, count: int, after: datetime = OLD) -> list[str]:
    """The next times of a text, without the seconds."""
    return [f"{wall:%Y-%m-%dT%H:%M}" for wall in islice(Recurrence(text).walls(after), count)]


def in_new_york(text: str, after: datetime, count: int) -> list[str]:
    """The next instants in New York, as local times with their offset."""
    found = instants(Recurrence(text, NEW_YORK), NEW_YORK, int(after.timestamp() * 1_000))
    return [f"{local(ms, NEW_YORK):%d %H:%M%z}" for ms in islice(found, count)]


def test_daily_in_the_gap_runs_once_right_after_it():
    text = "DTSTART:20270101T023000\nRRULE:FREQ=DAILY"

    assert in_new_york(text, datetime(2027, 3, 13, 12, tzinfo=UTC), 2) == ["14 03:00-0400", "15 02:30-0400"]


def test_daily_in_the_repeated_hour_runs_once():
    text = "DTSTART:20270101T013000\nRRULE:FREQ=DAILY"

    assert in_new_york(text, datetime(2027, 11, 7, 4, tzinfo=UTC), 2) == ["07 01:30-0400", "08 01:30-0500"]


def test_hourly_over_the_repeated_hour_loses_nothing():
    assert in_new_york("FREQ=HOURLY", datetime(2027, 11, 7, 4, tzinfo=UTC), 4) == [
        "07 01:00-0400",
        "07 01:00-0500",
        "07 02:00-0500",
        "07 03:00-0500",
    ]


def test_hourly_over_the_gap_invents_nothing():
    assert in_new_york("FREQ=HOURLY", datetime(2027, 3, 14, 6, tzinfo=UTC), 2) == ["14 03:00-0400", "14 04:00-0400"]


def test_without_dtstart_counting_begins_at_the_epoch():
    assert walls("RRULE:FREQ=WEEKLY", 2) == ["1970-01-05T00:00", "1970-01-12T00:00"]
    assert walls("FREQ=MONTHLY;BYHOUR=9", 2) == ["1970-01-01T09:00", "1970-02-01T09:00"]


def test_the_last_weekday_of_the_month_by_position():
    text = "DTSTART:20270101T090000\nRRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"

    assert walls(text, 3) == ["2027-01-29T09:00", "2027-02-26T09:00", "2027-03-31T09:00"]


def test_a_position_is_counted_in_the_whole_week_that_dtstart_lies_in():
    text = "DTSTART:20270106T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE;BYSETPOS=1"  # a Wednesday

    assert walls(text, 1) == ["2027-01-11T09:00"]


def test_rdate_joins_and_exdate_leaves_out():
    text = """DTSTART:20270101T090000
RRULE:FREQ=DAILY;COUNT=4
RDATE:20270102T120000,20280101T000000
EXDATE:20270102T090000
"""
    assert walls(text, 9) == [
        "2027-01-01T09:00",
        "2027-01-02T12:00",
        "2027-01-03T09:00",
        "2027-01-04T09:00",
        "2028-01-01T00:00",
    ]


def test_until_is_inclusive_may_be_utc_and_a_date_means_its_whole_day():
    begin = "DTSTART:20270101T090000\nRRULE:FREQ=DAILY;UNTIL="

    assert walls(begin + "20270102T090000", 9)[-1] == "2027-01-02T09:00"
    assert walls(begin + "20270102", 9)[-1] == "2027-01-02T09:00"
    in_utc = Recurrence(begin + "20270102T140000Z", NEW_YORK)
    assert [wall.day for wall in in_utc.walls(OLD)] == [1, 2]


def test_folded_lines_and_the_zone_of_the_schedule_are_read():
    text = "DTSTART;TZID=America/New_York:20270101T090000\r\nRRULE:FREQ=DAILY;\r\n COUNT=2"

    assert [wall.day for wall in Recurrence(text, NEW_YORK).walls(OLD)] == [1, 2]


@pytest.mark.parametrize(
    ("text", "frequent"),
    [
        ("FREQ=HOURLY", True),
        ("FREQ=MINUTELY;INTERVAL=15", True),
        ("FREQ=MINUTELY;BYHOUR=9", False),
        ("FREQ=DAILY", False),
    ],
)
def test_hourly_or_finer_follows_the_clock_on_the_wall(text: str, frequent: bool):
    assert Recurrence(text).frequent is frequent


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "RRULE"),
        ("FREQ=FORTNIGHTLY", "FREQ"),
        ("INTERVAL=2", "FREQ"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;INTERVAL=x", "INTERVAL"),
        ("FREQ=DAILY;COUNT=5", "COUNT"),
        ("DTSTART:20270101T000000\nRRULE:FREQ=DAILY;COUNT=5;UNTIL=20280101", "COUNT"),
        ("DTSTART:20270101T000000\nRRULE:FREQ=DAILY;COUNT=99999", "COUNT"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL"),
        ("FREQ=MONTHLY;BYDAY=XX", "BYDAY"),
        ("FREQ=DAILY;BYDAY=2MO", "BYDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=3", "BYWEEKNO"),
        ("FREQ=DAILY;RSCALE=GREGORIAN", "RSCALE"),
        ("FREQ=DAILY;FREQ=WEEKLY", "FREQ"),
        ("FREQ=DAILY;BYHOUR", "BYHOUR"),
        ("DTSTART:2027-01-01\nRRULE:FREQ=DAILY", "DTSTART"),
        ("DTSTART;TZID=Asia/Tokyo:20270101T000000\nRRULE:FREQ=DAILY", "DTSTART"),
        ("DTSTART:20270101T000000Z\nRRULE:FREQ=DAILY", "DTSTART"),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY", "RRULE"),
        ("EXRULE:FREQ=DAILY", "EXRULE"),
        (f"FREQ=YEARLY;BYMINUTE={SIXTY};BYSECOND={SIXTY}", "BYMINUTE"),
        (f"FREQ=DAILY;BYMINUTE={SIXTY};BYSETPOS=1", "BYMINUTE"),
        ("RDATE:20271301T000000", "RDATE"),
        ("RDATE:00010101T000000", "RDATE"),
    ],
)
def test_what_cannot_be_read_names_its_part(text: str, field: str):
    with pytest.raises(InvalidRule) as caught:
        Recurrence(text, NEW_YORK)

    assert caught.value.field == field


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;BYSETPOS=2",
        "FREQ=SECONDLY;BYSETPOS=5",
        "FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1",
        "FREQ=SECONDLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=0;BYSECOND=1",
        "FREQ=DAILY;UNTIL=19600101",
        "FREQ=YEARLY;BYMONTHDAY=30;BYMONTH=2;BYHOUR=0,1,2,3;BYMINUTE=1,2,3,4,5,6",
        "FREQ=YEARLY;BYDAY=MO;BYHOUR=0,1,2,3;BYMINUTE=1;BYSETPOS=300",
        "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=0;BYSECOND=1",
        "DTSTART:20270101T000000\nRRULE:FREQ=DAILY;COUNT=1\nEXDATE:20270101T000000",
        "DTSTART:20270101T000000\nRRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30;COUNT=10000",
        "DTSTART:21990101T000000\nRRULE:FREQ=DAILY",
    ],
)
def test_what_never_comes_is_refused_in_bounded_time(text: str):
    begin = time.process_time()

    with pytest.raises(InvalidRule):
        Recurrence(text)

    assert time.process_time() - begin < 2


def test_an_interval_longer_than_all_years_comes_once():
    for freq in ("SECONDLY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        found = walls(f"DTSTART:20270101T093000\nRRULE:FREQ={freq};INTERVAL=999999999", 2, datetime(2020, 1, 1))
        assert found[0] == "2027-01-01T09:30"


def test_an_old_rule_costs_what_a_new_one_does():
    rule = Recurrence("DTSTART:19700101T000000\nRRULE:FREQ=SECONDLY;INTERVAL=7")
    begin = time.process_time()

    assert next(rule.walls(datetime(2090, 1, 1))) > datetime(2090, 1, 1)

    assert time.process_time() - begin < 0.1


NUMBERS: dict[str, Any] = {
    "BYMONTH": st.integers(1, 12),
    "BYMONTHDAY": st.integers(-31, 31).filter(bool),
    "BYYEARDAY": st.integers(-366, 366).filter(bool),
    # dateutil counts the weeks of the year before by the length of this one, and so errs in its last week
    "BYWEEKNO": st.integers(-50, 51).filter(bool),
    "BYHOUR": st.integers(0, 23),
    "BYMINUTE": st.integers(0, 59),
    "BYSECOND": st.integers(0, 59),
    "BYSETPOS": st.integers(-5, 5).filter(bool),
}
FITS = {
    "YEARLY": NUMBERS.keys(),
    "MONTHLY": NUMBERS.keys() - {"BYYEARDAY", "BYWEEKNO"},
    # dateutil takes positions in a first week that it cuts off at DTSTART; RFC 5545 counts in the whole week
    "WEEKLY": NUMBERS.keys() - {"BYYEARDAY", "BYWEEKNO", "BYMONTHDAY", "BYSETPOS"},
    "DAILY": NUMBERS.keys() - {"BYYEARDAY", "BYWEEKNO"},
    "HOURLY": {"BYMONTH", "BYMONTHDAY", "BYHOUR", "BYMINUTE"},
    "MINUTELY": {"BYMONTH", "BYHOUR", "BYMINUTE", "BYSECOND"},
    "SECONDLY": {"BYHOUR", "BYMINUTE", "BYSECOND"},
}


@st.composite
def rules(draw: Any) -> str:
    """An RRULE that is allowed, though it may never come."""
    freq = draw(st.sampled_from(sorted(FITS)))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.sampled_from([1, 1, 2, 3, 5, 7, 90]))}"]
    for name in sorted(FITS[freq]):
        if draw(st.integers(0, 3)) == 0:
            numbers = draw(st.lists(NUMBERS[name], min_size=1, max_size=3, unique=True))
            parts.append(f"{name}={','.join(map(str, numbers))}")
    numbered = freq in ("MONTHLY", "YEARLY") and not any(part.startswith("BYWEEKNO") for part in parts)
    if draw(st.integers(0, 2)) == 0:
        days = draw(st.lists(st.sampled_from(["MO", "WE", "FR", "SU"]), min_size=1, max_size=2, unique=True))
        count = draw(st.sampled_from(["", "1", "-1", "2", "5"])) if numbered else ""
        parts.append(f"BYDAY={','.join(count + day for day in days)}")
    parts.append(f"WKST={draw(st.sampled_from(['MO', 'SU', 'TH']))}")
    return ";".join(parts)


@settings(max_examples=150, deadline=None)
@given(rules(), st.datetimes(datetime(2020, 1, 1), datetime(2028, 12, 31)))
def test_it_names_what_dateutil_names(rule: str, start: datetime):
    rrule = pytest.importorskip("dateutil.rrule")
    start = start.replace(microsecond=0)
    try:
        ours = Recurrence(f"DTSTART:{start:%Y%m%dT%H%M%S}\nRRULE:{rule}")
    except InvalidRule as refused:
        assert refused.field in ("never", "INTERVAL", "BYSETPOS", "BYMINUTE")  # the last: too many times a day
        return
    first = list(islice(ours.walls(OLD), 6))

    theirs = rrule.rrulestr(f"{rule};UNTIL={first[-1]:%Y%m%dT%H%M%S}", dtstart=start)
    assert first == list(islice(theirs, 6))

    middle = len(first) // 2  # and the same from the middle on
    assert list(islice(ours.walls(first[middle]), len(first) - middle - 1)) == first[middle + 1 :]
