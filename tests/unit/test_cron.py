"""Cron expressions: what is read, which times they name, and what is said of those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import pytest

from redsched.schedule import cron, zones
from redsched.schedule.cron import Dialect, InvalidCron, parse

FRIDAY = datetime(2027, 1, 1)  # the first of January 2027


def walls(text: str, after: datetime = FRIDAY, *, seed: str = "", dialect: Dialect = "standard") -> Iterator[datetime]:
    rule = parse(text, seed=seed, dialect=dialect).rule
    assert rule is not None
    return rule.walls(after)


def times(text: str, count: int, after: datetime = FRIDAY, **more: str) -> str:
    return " | ".join(f"{wall:%m-%d %H:%M:%S}" for wall in islice(walls(text, after, **more), count))  # type: ignore[arg-type]


def days(text: str, count: int = 6, after: datetime = FRIDAY, dialect: Dialect = "standard") -> list[str]:
    """The first days of an expression whose time is given as 0 12."""
    found = list(islice(walls(text, after, dialect=dialect), count))
    assert all(wall.hour == 12 and wall.minute == 0 for wall in found)
    return [f"{wall:%m-%d}" for wall in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/20 * * * *", "01-01 00:20:00 | 01-01 00:40:00 | 01-01 01:00:00"),
        ("30 2 * * *", "01-01 02:30:00 | 01-02 02:30:00 | 01-03 02:30:00"),
        ("0 0 * * *", "01-02 00:00:00 | 01-03 00:00:00 | 01-04 00:00:00"),
        ("5,10-12 9 * * *", "01-01 09:05:00 | 01-01 09:10:00 | 01-01 09:11:00"),
        ("50/5 23 * * *", "01-01 23:50:00 | 01-01 23:55:00 | 01-02 23:50:00"),
        ("10-20/5 8 * * *", "01-01 08:10:00 | 01-01 08:15:00 | 01-01 08:20:00"),
        ("*/60 * * * *", "01-01 01:00:00 | 01-01 02:00:00 | 01-01 03:00:00"),
        ("*/20 * * * * *", "01-01 00:00:20 | 01-01 00:00:40 | 01-01 00:01:00"),
        ("15 30 9 * * *", "01-01 09:30:15 | 01-02 09:30:15 | 01-03 09:30:15"),
        ("  0\t9  * * * ", "01-01 09:00:00 | 01-02 09:00:00 | 01-03 09:00:00"),
        ("0 9 * * * # FRI#2 is no part of it", "01-01 09:00:00 | 01-02 09:00:00 | 01-03 09:00:00"),
        ("@hourly", "01-01 01:00:00 | 01-01 02:00:00 | 01-01 03:00:00"),
        ("@DAILY", "01-02 00:00:00 | 01-03 00:00:00 | 01-04 00:00:00"),
        ("@midnight", "01-02 00:00:00 | 01-03 00:00:00 | 01-04 00:00:00"),
        ("@weekly", "01-03 00:00:00 | 01-10 00:00:00 | 01-17 00:00:00"),
        ("@monthly # rent", "02-01 00:00:00 | 03-01 00:00:00 | 04-01 00:00:00"),
    ],
)
def test_times(text: str, expected: str) -> None:
    assert times(text, 3) == expected


@pytest.mark.parametrize("text", ["@yearly", "@annually", "0 0 1 jan ?", "0 0 0 1 1 * *"])
def test_once_a_year(text: str) -> None:
    assert [wall.year for wall in islice(walls(text), 3)] == [2028, 2029, 2030]


def test_years() -> None:
    assert [wall.year for wall in walls("0 0 0 1 7 ? 2020,2028-2030/2")] == [2028, 2030]
    assert [wall.year for wall in islice(walls("0 0 0 1 7 ? */2"), 2)] == [2028, 2030]
    assert [wall.year for wall in walls("0 0 0 29 2 ?")][-2:] == [2092, 2096]
    assert list(walls("0 0 0 1 1 ? 2020")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 12 * * 0", "01-03 01-10"),
        ("0 12 * * 7", "01-03 01-10"),
        ("0 12 * * sun", "01-03 01-10"),
        ("0 12 * * 5-7", "01-01 01-02 01-03 01-08"),
        ("0 12 * * Fri-MON", "01-01 01-02 01-03 01-04 01-08"),
        ("0 12 * * FRI-SUN/2", "01-01 01-03 01-08"),
        ("0 12 * * 7/3", "01-02 01-03 01-06 01-09"),
        ("0 12 1 NOV-FEB *", "01-01 02-01 11-01 12-01 01-01"),
        ("0 12 L * *", "01-31 02-28 03-31"),
        ("0 12 L-2 * *", "01-29 02-26 03-29"),
        ("0 12 L-29 * *", "01-02 03-02"),
        ("0 12 LW * *", "01-29 02-26 03-31"),
        ("0 12 L-2W * *", "01-29 02-26 03-29 04-28 05-28"),  # 2027-05-29 is a Saturday
        ("0 12 L-0W * *", "01-29 02-26 03-31"),
        ("0 12 L-30W * *", "01-01 03-01 05-03"),  # 2027-05-01 is a Saturday
        ("0 12 15W * *", "01-15 02-15 03-15 04-15 05-14 06-15"),  # 2027-05-15 is a Saturday
        ("0 12 1W 5,8 *", "05-03 08-02"),  # a Saturday and a Sunday: not in the month before
        ("0 12 31W * *", "01-29 03-31 05-31 07-30"),
        ("0 12 1,L * *", "01-01 01-31 02-01 02-28"),
        ("0 12 * * 5L", "01-29 02-26"),
        ("0 12 * * friL", "01-29 02-26"),
        ("0 12 ? * FRI#2", "01-08 02-12"),
        ("0 12 * * 7#1", "01-03 02-07"),
        ("0 12 * * MON#5", "03-29 05-31"),
        ("0 12 * * MON#1,FRI", "01-01 01-04 01-08"),
        ("0 12 13 * 5", "01-01 01-08 01-13 01-15"),  # either
        ("0 12 */13 * 5", "01-01 05-14 08-27"),  # both, as in Debian's cron
        ("0 12 13 * */5", "06-13 08-13 02-13"),  # both: */5 is Sunday and Friday
        ("0 12 L * 5", "01-01 01-08 01-15 01-22 01-29 01-31"),
    ],
)
def test_days(text: str, expected: str) -> None:
    assert days(text, len(expected.split())) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 12 */2 * MON", "01-01 01-03 01-04 01-05"),  # either: a step clears the star
        ("0 12 */1 * MON", "01-04 01-11"),  # both: a step of 1 keeps it
        ("0 12 1,? * MON", "01-04 01-11"),
        ("0 12 13 * ?", "01-13 02-13"),
        ("0 12 1,,15 * ?", "01-01 01-15"),  # an empty item is dropped
        ("0 12 * 2 Mon/2", "02-01 02-03 02-05 02-08"),
    ],
)
def test_days_of_robfig(text: str, expected: str) -> None:
    assert days(text, len(expected.split()), dialect="robfig") == expected.split()


@pytest.mark.parametrize(
    "text",
    [
        "0 0 * * 7",
        "0 0 * * FRI-MON",
        "0 0 L * *",
        "0 0 1W * *",
        "0 0 * * 5L",
        "0 0 * * 5#2",
        "H 0 * * *",
        "0 0 0 1 1 * 2030",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/-1 * * * *",
        "1-2-3 * * * *",
        "1/2/3 * * * *",
        "TZ=UTC",
        "@reboot",
        "@every 5",
        ", * * * *",
        "* * * *",
        "0 0 0 30 Feb ?",
        "0 0 0 31 Apr ?",
    ],
)
def test_what_robfig_does_not_read(text: str) -> None:
    with pytest.raises(InvalidCron):
        parse(text, dialect="robfig")


def test_frequent_rules_are_those_with_a_star_for_the_minute_or_the_hour() -> None:
    frequent = ["* * * * *", "*/5 9 * * *", "30 * * * *", "0 */2 * * *", "? 1 * * *", "5 */10 3 * * *", "@hourly"]
    others = ["30 2 * * *", "0-59 2 * * *", "* 30 2 * * *", "0/15 0/1 * * *", "H H * * *", "@daily"]

    assert [text for text in frequent + others if parse(text).rule.frequent] == frequent  # type: ignore[union-attr]


def test_h_spreads_by_the_seed_and_is_stable() -> None:
    assert times("H H * * *", 1, seed="billing") == times("H H * * *", 1, seed="billing") == "01-01 15:54:00"
    minutes = {next(walls("H * * * *", seed=str(seed))).minute for seed in range(1_000)}
    assert minutes == set(range(60))
    assert {next(walls("H(10-14) 3 * * *", seed=str(seed))).minute for seed in range(100)} == {10, 11, 12, 13, 14}
    assert {next(walls("0 0 H 2 *", seed=str(seed))).day for seed in range(500)} == set(range(1, 29))
    for seed in map(str, range(50)):
        found = [wall.minute for wall in islice(walls("H/15 * * * *", datetime(2027, 1, 1, 4, 59), seed=seed), 4)]
        assert found == list(range(found[0], 60, 15)) and found[0] < 15
        assert next(walls("H(30-59)/10 5 * * *", seed=seed)).minute in range(30, 40)


@pytest.mark.parametrize(
    ("text", "every_ms"),
    [
        ("@every 5m", 300_000),
        ("@every 1h30m", 5_400_000),
        ("@every 1500ms", 1_500),
        ("@Every 1s # often", 1_000),
        ("@every 2d", 172_800_000),
        ("CRON_TZ=Asia/Tokyo @every 90s", 90_000),
    ],
)
def test_intervals(text: str, every_ms: int) -> None:
    assert parse(text).every_ms == every_ms
    assert parse(text).rule is None
    assert parse(text, dialect="robfig").every_ms == every_ms // 1_000 * 1_000


def test_the_zone_of_a_prefix() -> None:
    assert parse("CRON_TZ=Asia/Tokyo 0 9 * * *").zone == "Asia/Tokyo"
    assert parse("TZ=UTC   @daily").zone == "UTC"
    assert parse("0 9 * * *").zone is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expression, column 1: is empty"),
        ("# off", "expression, column 1: is empty"),
        ("* * * *", "expression, column 8: has 4 fields"),
        ("* * * * * * * * *", "expression, column 15: has 9 fields"),
        ("60 * * * *", "minute, column 1: 60 is outside 0-59"),
        ("0 1,24 * * *", "hour, column 5: 24 is outside 0-23"),
        ("  0 9 0 * *", "day of month, column 7: 0 is outside 1-31"),
        ("0 9 1 13 *", "month, column 7: 13 is outside 1-12"),
        ("0 9 1 jam *", "month, column 7: 'JAM' is no month; write 1-12 or jan-dec"),
        ("0 9 * * 8", "day of week, column 9: 8 is outside 0-7"),
        ("0 9 * * FRIDAY", "day of week, column 9: 'FRIDAY' is no day of week"),
        ("0 9 * * 5#6", "day of week, column 9: 6 is outside 1-5"),
        ("0 9 * * L", "day of week, column 9: L needs a weekday"),
        ("0 9 L-31 * *", "day of month, column 5: 31 is outside 0-30"),
        ("0 9 0W * *", "day of month, column 5: 0 is outside 1-31"),
        ("61 0 9 * * *", "second, column 1: 61 is outside"),
        ("0 0 9 1 1 * 1969", "year, column 13: 1969 is outside"),
        ("0 0 9 1 1 * 2099", "day of month, column 7: never matches"),
        ("*/0 * * * *", "minute, column 1: a step of 0"),
        ("*/90 * * * *", "minute, column 1: a step of 90 is longer than the field"),
        ("1,,2 * * * *", "minute, column 3: an item of the list is empty"),
        ("22-2 * * * *", "minute, column 1: 22-2 runs backwards"),
        ("-5 * * * *", "minute, column 1: '-5' cannot be read"),
        ("٣ * * * *", "minute, column 1: '٣' cannot be read"),
        ("0 0 30 2 *", "day of month, column 5: never matches"),
        ("CRON_TZ=UTC", "time zone, column 12: a space and an expression"),
        ("TZ=Europe/Pariss 0 9 * * *", "time zone, column 4: 'Europe/Pariss' is no time zone; did you mean"),
        ("@reboot", "expression, column 1: '@reboot' is not known"),
        ("@daily 5", "expression, column 8: nothing may follow @daily"),
        ("@every", "@every, column 7: takes one duration"),
        ("@every 1h 30m", "@every, column 11: takes one duration"),
        ("@every 5", "@every, column 8: '5' has no unit"),
        ("0 9 * * MON #1", "expression, column 13: a blank before # makes a comment of it; write MON#1"),
        ("0 9 * * 1 #1 monthly", "expression, column 11: a blank before # makes a comment of it"),
        ("0 9 L-31W * *", "day of month, column 5: 31 is outside 0-30"),
        ("@every 999ms", "@every, column 8: 999ms is not between 1s"),
        ("@every -5m", "@every, column 8: must not be negative"),
        ("@every 99999999999999d", "@every, column 8: 99999999999999d is not between"),
        ("* " * 600, "expression, column 1001: is longer than 1000 characters"),
    ],
)
def test_an_error_names_the_field_the_column_and_the_reason(text: str, error: str) -> None:
    with pytest.raises(InvalidCron) as raised:
        parse(text)
    assert str(raised.value).startswith(error)
    assert isinstance(raised.value, ValueError)
    assert error.startswith(f"{raised.value.field}, column {raised.value.column}: ")


def test_expressions_in_any_case_and_order_that_name_the_same_times_are_equal() -> None:
    assert parse("0 9 * * mon,TUE") == parse("0 9 * * 2,1 # the same")


@pytest.mark.parametrize("text", ["* * * * *", "30 2 * * *", "0 9 * * MON-FRI", "0 0 29 2 *", "*/10 * * * * *"])
def test_times_are_strictly_later_and_ascending_from_any_moment(text: str) -> None:
    for after in (FRIDAY, datetime(2028, 2, 29, 23, 59, 59, 999_000), datetime(2027, 12, 31, 23, 59, 59)):
        found = list(islice(walls(text, after), 50))
        assert found[0] > after and found == sorted(set(found))


def test_rules_end_with_the_last_year_and_raise_nothing() -> None:
    assert next(walls("* * * * * *", datetime(2096, 12, 31, 23, 59, 59)), None) is None
    assert next(walls("@yearly", datetime(9999, 12, 30)), None) is None
    assert zones.LAST_YEAR == 2096
    assert cron.MAX_LENGTH == 1_000


def next_in(text: str, after: str, gap: zones.Gap, fold: zones.Fold, dialect: Dialect = "standard") -> str:
    """The next local time, with its offset, of an expression with the zone of its prefix, else New York."""
    read = parse(text, dialect=dialect)
    assert read.rule is not None
    place = zones.zone(read.zone or "America/New_York")
    after_ms = round(datetime.fromisoformat(after).timestamp() * 1_000)
    found = next(zones.instants(read.rule, place, after_ms, gap, fold), None)
    return "" if found is None else f"{zones.local(found, place):%Y-%m-%d %H:%M %z}"


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [  # what robfig/cron gives in New York: it reads the clock literally, which is skip and both here
        ("0 30 2 11 Mar ?", "2012-03-11T00:00-05:00", "2013-03-11 02:30 -0400"),
        ("0 0 2 * * ?", "2012-03-11T00:00-05:00", "2012-03-12 02:00 -0400"),
        ("0 0 1 * * ?", "2012-03-11T01:00-05:00", "2012-03-12 01:00 -0400"),
        ("0 0 * * * ?", "2012-03-11T01:00-05:00", "2012-03-11 03:00 -0400"),
        ("0 30 1 4 Nov ?", "2012-11-04T01:45-04:00", "2012-11-04 01:30 -0500"),
        ("0 0 1 * * ?", "2012-11-04T00:00-04:00", "2012-11-04 01:00 -0400"),
        ("0 0 1 * * ?", "2012-11-04T01:00-04:00", "2012-11-04 01:00 -0500"),
        ("0 0 1 * * ?", "2012-11-04T01:00-05:00", "2012-11-05 01:00 -0500"),
        ("0 0 2 * * ?", "2012-11-04T00:00-04:00", "2012-11-04 02:00 -0500"),
        ("0 0 * * * ?", "2012-11-04T01:00-04:00", "2012-11-04 01:00 -0500"),
        ("0 0 * * * ?", "2012-11-04T01:00-05:00", "2012-11-04 02:00 -0500"),
        ("TZ=America/Sao_Paulo 0 0 9 10 * ?", "2018-10-17T05:00-04:00", "2018-11-10 09:00 -0200"),
        ("TZ=America/Sao_Paulo 0 0 0 4 Nov ?", "2018-10-17T05:00-04:00", "2019-11-04 00:00 -0300"),
    ],
)
def test_robfig_over_daylight_saving_time(text: str, after: str, expected: str) -> None:
    assert next_in(text, after, "skip", "both", "robfig") == expected


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [  # the cases in which libraries for cron differ
        ("30 2 * * *", "2027-03-14T00:00-05:00", "2027-03-14 03:00 -0400"),
        ("0 30 2 * * *", "2027-03-14T00:00-05:00", "2027-03-14 03:00 -0400"),  # seconds change nothing
        ("0 * * * *", "2027-03-14T01:00-05:00", "2027-03-14 03:00 -0400"),
        ("*/30 * * * *", "2027-03-14T01:30-05:00", "2027-03-14 03:00 -0400"),
        ("0 */2 * * *", "2027-03-14T00:00-05:00", "2027-03-14 04:00 -0400"),  # wildcards are not made up for
        ("30 1 * * *", "2026-11-01T00:00-04:00", "2026-11-01 01:30 -0400"),
        ("30 1 * * *", "2026-11-01T01:30-04:00", "2026-11-02 01:30 -0500"),
        ("30 1 * * *", "2026-11-01T01:10-05:00", "2026-11-02 01:30 -0500"),  # a restart in the repeated hour
        ("0 30 1 * * *", "2026-11-01T01:10-05:00", "2026-11-02 01:30 -0500"),
        ("38-47 0,1 * * *", "2027-11-07T06:04:37+00:00", "2027-11-08 00:38 -0500"),
        ("0 * * * *", "2026-11-01T01:00-04:00", "2026-11-01 01:00 -0500"),
        ("CRON_TZ=Africa/Cairo 0 0 * * *", "2027-04-29T12:00+00:00", "2027-04-30 01:00 +0300"),
        ("CRON_TZ=Africa/Cairo 0 0 0 * * *", "2027-10-28T12:00+00:00", "2027-10-29 00:00 +0200"),
        ("CRON_TZ=America/Santiago 0 0 * * *", "2027-09-04T12:00+00:00", "2027-09-05 01:00 -0300"),
        ("CRON_TZ=Australia/Lord_Howe */15 * * * *", "2027-04-03T14:45+00:00", "2027-04-04 01:30 +1030"),
    ],
)
def test_the_default_over_daylight_saving_time(text: str, after: str, expected: str) -> None:
    assert next_in(text, after, "run_after", "first") == expected
