"""Calendar rules: which days they name, and what is refused."""

from __future__ import annotations

from datetime import date, datetime
from itertools import islice
from typing import Any

import pytest

from redsched.schedule.calendar import Calendar, CalendarRule, InvalidRule

BEGIN = datetime(2026, 12, 31)


def days(rule: CalendarRule, count: int = 4, after: datetime = BEGIN) -> list[str]:
    """The next days of a rule, as text."""
    return [f"{wall:%Y-%m-%d}" for wall in islice(Calendar(rule).walls(after), count)]


def test_every_second_month_on_the_31st_leaves_out_the_months_without_one():
    rule = CalendarRule(every=2, unit="month", days=[31], anchor=date(2026, 12, 31))

    assert days(rule, 3) == ["2027-08-31", "2027-10-31", "2027-12-31"]


def test_the_31st_with_clamp_is_the_last_day_of_a_shorter_month():
    rule = CalendarRule(unit="month", days=[31], clamp=True)

    assert days(rule) == ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]


def test_a_negative_day_counts_from_the_end():
    assert days(CalendarRule(unit="month", days=[-1]), 2) == ["2027-01-31", "2027-02-28"]
    assert days(CalendarRule(unit="month", days=[-31]), 3) == ["2027-01-01", "2027-03-01", "2027-05-01"]
    assert days(CalendarRule(unit="month", days=[-31], clamp=True), 2) == ["2027-01-01", "2027-02-01"]


def test_the_nth_weekday_and_the_last_one():
    third = CalendarRule(unit="month", weekdays=["fri"], nth=[3])
    last = CalendarRule(unit="month", weekdays=["Friday"], nth=[-1])
    fifth = CalendarRule(unit="month", weekdays=[5], nth=[5])

    assert days(third, 2) == ["2027-01-15", "2027-02-19"]
    assert days(last, 2) == ["2027-01-29", "2027-02-26"]
    assert days(fifth, 2) == ["2027-01-29", "2027-04-30"]


def test_a_day_and_a_weekday_must_both_hold():
    assert days(CalendarRule(unit="month", days=[13], weekdays=["fri"]), 2) == ["2027-08-13", "2028-10-13"]


def test_the_last_working_day_moves_before_a_weekend_and_a_holiday():
    rule = CalendarRule(unit="month", working_day=-1, holidays=["bank"])

    assert days(rule, 5) == ["2027-01-29", "2027-02-26", "2027-03-31", "2027-04-30", "2027-05-31"]

    closed = Calendar(rule, lambda day: day == date(2027, 3, 31)).walls(datetime(2027, 3, 1))
    assert next(closed) == datetime(2027, 3, 30)


def test_the_second_working_day():
    assert days(CalendarRule(unit="month", working_day=2), 3) == ["2027-01-04", "2027-02-02", "2027-03-02"]


def test_a_month_without_so_many_working_days_is_left_out():
    assert days(CalendarRule(unit="month", working_day=23), 3) == ["2027-03-31", "2027-12-31", "2028-03-31"]


def test_weeks_are_counted_from_the_monday_of_the_anchor():
    rule = CalendarRule(every=2, unit="week", weekdays=["mon", "sun"], anchor=date(2027, 1, 10))

    assert days(rule) == ["2027-01-04", "2027-01-10", "2027-01-18", "2027-01-24"]


def test_a_week_without_weekdays_takes_the_anchors():
    assert days(CalendarRule(unit="week"), 2) == ["2027-01-04", "2027-01-11"]
    assert days(CalendarRule(unit="week", anchor=date(2026, 12, 30)), 2) == ["2027-01-06", "2027-01-13"]


def test_every_third_day_counts_from_the_anchor_in_both_directions():
    rule = CalendarRule(every=3, anchor=date(2027, 1, 10))

    assert days(rule, 3) == ["2027-01-01", "2027-01-04", "2027-01-07"]


def test_every_day_on_weekdays_of_some_months():
    rule = CalendarRule(weekdays=["sat"], months=[3])

    assert days(rule, 5) == ["2027-03-06", "2027-03-13", "2027-03-20", "2027-03-27", "2028-03-04"]


def test_a_leap_day_comes_every_four_years_or_is_clamped():
    rule = CalendarRule(unit="year", months=[2], days=[29])

    assert days(rule, 2) == ["2028-02-29", "2032-02-29"]
    assert days(CalendarRule(unit="year", anchor=date(2024, 5, 6), every=2), 2) == ["2028-05-06", "2030-05-06"]


def test_times_of_day_ascend_and_come_once():
    walls = Calendar(CalendarRule(at=["17:00", "09:00:30", "17:00"])).walls(datetime(2027, 1, 1, 9, 0, 30))

    assert list(islice(walls, 3)) == [
        datetime(2027, 1, 1, 17),
        datetime(2027, 1, 2, 9, 0, 30),
        datetime(2027, 1, 2, 17),
    ]


@pytest.mark.parametrize("unit", ["day", "week", "month", "year"])
def test_it_ends_with_the_last_year(unit: Any):
    walls = list(CalendarRule(unit=unit, every=7).walls(datetime(2080, 1, 1)))

    assert walls == sorted(set(walls))
    assert walls[-1].year <= 2096


@pytest.mark.parametrize("after", [datetime(2200, 1, 1), datetime(9999, 12, 31)])
def test_after_the_last_year_there_is_nothing(after: datetime):
    assert [list(CalendarRule(unit=u).walls(after)) for u in ("week", "month", "year")] == [[], [], []]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"every": 0}, "every"),
        ({"unit": "hour"}, "unit"),
        ({"at": ["24:00"]}, "at"),
        ({"at": ["9:00"]}, "at"),
        ({"unit": "month", "days": [0]}, "days"),
        ({"unit": "month", "days": [32]}, "days"),
        ({"days": [1]}, "days"),
        ({"unit": "month", "weekdays": ["mo"]}, "weekdays"),
        ({"unit": "month", "weekdays": ["mon"], "nth": [6]}, "nth"),
        ({"unit": "month", "nth": [1]}, "nth"),
        ({"unit": "month", "working_day": 0}, "working_day"),
        ({"unit": "month", "working_day": 1, "days": [1]}, "working_day"),
        ({"unit": "month", "days": [1], "holidays": ["bank"]}, "holidays"),
        ({"months": [13]}, "months"),
        ({"unit": "month", "clamp": True}, "clamp"),
        ({"unit": "year", "months": [2], "days": [30]}, "never"),
        ({"unit": "month", "days": [20], "weekdays": ["mon"], "nth": [1]}, "never"),
    ],
)
def test_what_cannot_be_used_names_the_field(given: dict[str, Any], field: str):
    with pytest.raises(InvalidRule) as caught:
        Calendar(CalendarRule(**given))

    assert caught.value.field == field
