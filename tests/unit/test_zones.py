"""Times of a rule at the edges of daylight saving time, by example; ``tests/model`` has every zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import pytest

from redsched.schedule import zones
from redsched.schedule.zones import Fold, Gap, instants, note_of, noted

NEW_YORK = zones.zone("America/New_York")
LORD_HOWE = zones.zone("Australia/Lord_Howe")
SPRING, AUTUMN = "2027-03-13T12:00-05:00", "2027-11-06T12:00-04:00"


class Walls:
    """A rule with the given times of every day, or every few minutes."""

    def __init__(self, *times: str, minutes: int = 0, frequent: bool = False) -> None:
        hours = [time.split(":") for time in times] or [divmod(at, 60) for at in range(0, 1440, minutes)]
        self.times = [timedelta(hours=int(hour), minutes=int(minute)) for hour, minute in hours]
        self.frequent = frequent

    def walls(self, after: datetime) -> Iterator[datetime]:
        day = datetime(after.year, after.month, after.day)
        while day.year < 2096:
            yield from (day + time for time in self.times if day + time > after)
            day += timedelta(days=1)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def told(
    rule: zones.Rule,
    after: str,
    count: int,
    gap: Gap = "run_after",
    fold: Fold = "first",
    where: str = "America/New_York",
) -> str:
    """What comes after a moment: day, time and offset on the wall, and the note."""
    place = zones.zone(where)
    found = islice(noted(rule, place, ms(after), gap, fold), count)
    return " | ".join(f"{zones.local(at, place):%d %H:%M %z} {note}".strip() for at, note in found)


def test_zones_come_from_the_wheel() -> None:
    assert zones.TZDATA_VERSION.startswith("20") and len(zones.names()) > 500
    assert zones.zone("Europe/Paris") is zones.zone("Europe/Paris")
    assert str(zones.zone("Europe/Paris")) == "Europe/Paris"
    for name in zones.names():
        assert zones.zone(name).utcoffset(datetime(2027, 1, 1)) is not None


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../zones", "/etc/localtime", "Europe", "localtime", "UTC\0"])
def test_an_unknown_zone_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zones.zone(name)


def test_a_zone_with_a_slip_is_told_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"'europe/pariss' is no time zone; did you mean Europe/Paris\?"):
        zones.zone("europe/pariss")


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        ("run_after", "14 03:00 -0400 dst_gap | 15 02:30 -0400"),
        ("skip", "15 02:30 -0400 | 16 02:30 -0400"),
        ("run_at_shifted", "14 03:30 -0400 dst_gap | 15 02:30 -0400"),
    ],
)
def test_a_time_that_does_not_exist(gap: Gap, expected: str) -> None:
    assert told(Walls("2:30"), SPRING, 2, gap) == expected


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        ("first", "07 01:30 -0400 dst_fold | 08 01:30 -0500"),
        ("last", "07 01:30 -0500 dst_fold | 08 01:30 -0500"),
        ("both", "07 01:30 -0400 dst_fold | 07 01:30 -0500 dst_fold"),
    ],
)
def test_a_time_that_comes_twice(fold: Fold, expected: str) -> None:
    assert told(Walls("1:30"), AUTUMN, 2, fold=fold) == expected


def test_several_times_in_a_gap_run_once_after_it() -> None:
    rule = Walls("2:00", "2:20", "2:40", "3:00", "3:30")

    assert told(rule, SPRING, 3) == "14 03:00 -0400 dst_gap | 14 03:30 -0400 | 15 02:00 -0400"


def test_shifted_times_come_in_order_among_the_others() -> None:
    rule = Walls("2:15", "2:30", "3:00", "3:15", "3:20")

    assert told(rule, SPRING, 5, "run_at_shifted") == (
        "14 03:00 -0400 | 14 03:15 -0400 | 14 03:20 -0400 | 14 03:30 -0400 dst_gap | 15 02:15 -0400"
    )


def test_both_times_come_in_order() -> None:
    assert told(Walls("1:00", "1:30", "2:00"), AUTUMN, 5, fold="both") == (
        "07 01:00 -0400 dst_fold | 07 01:30 -0400 dst_fold | 07 01:00 -0500 dst_fold | 07 01:30 -0500 dst_fold"
        " | 07 02:00 -0500"
    )


def test_frequent_rules_follow_the_clock_whatever_the_policies() -> None:
    rule = Walls(minutes=30, frequent=True)

    assert told(rule, "2027-03-14T01:00-05:00", 2, "run_at_shifted") == "14 01:30 -0500 | 14 03:00 -0400"
    assert told(rule, "2027-11-07T01:00-04:00", 4, fold="first") == (
        "07 01:30 -0400 dst_fold | 07 01:00 -0500 dst_fold | 07 01:30 -0500 dst_fold | 07 02:00 -0500"
    )


@pytest.mark.parametrize(
    ("after", "fold", "expected"),
    [
        ("2027-11-07T01:10-05:00", "first", "08 01:30 -0500"),  # its time was in the first of the two hours
        ("2027-11-07T01:40-04:00", "first", "08 01:30 -0500"),
        ("2027-11-07T01:30-04:00", "first", "08 01:30 -0500"),
        ("2027-11-07T01:40-04:00", "last", "07 01:30 -0500 dst_fold"),
        ("2027-11-07T01:40-04:00", "both", "07 01:30 -0500 dst_fold"),
        ("2027-11-07T01:10-05:00", "both", "07 01:30 -0500 dst_fold"),
        ("2027-11-07T01:30-05:00", "both", "08 01:30 -0500"),
    ],
)
def test_a_restart_inside_the_repeated_hour_gives_nothing_of_the_past(after: str, fold: Fold, expected: str) -> None:
    assert told(Walls("1:30"), after, 1, fold=fold) == expected


def test_a_restart_after_a_gap_still_runs_what_is_shifted() -> None:
    assert told(Walls("2:30"), "2027-03-14T03:10-04:00", 1, "run_at_shifted") == "14 03:30 -0400 dst_gap"
    assert told(Walls("2:30"), "2027-03-14T03:00-04:00", 1) == "15 02:30 -0400"


def test_a_zone_that_moves_by_half_an_hour() -> None:
    assert told(Walls(minutes=15, frequent=True), "2027-04-03T14:29:00+00:00", 5, where="Australia/Lord_Howe") == (
        "04 01:30 +1100 dst_fold | 04 01:45 +1100 dst_fold | 04 01:30 +1030 dst_fold | 04 01:45 +1030 dst_fold"
        " | 04 02:00 +1030"
    )


def test_midnight_that_does_not_exist() -> None:
    assert told(Walls("0:00"), "2027-04-29T12:00+00:00", 2, where="Africa/Cairo") == (
        "30 01:00 +0300 dst_gap | 01 00:00 +0300"
    )


def test_a_day_that_does_not_exist() -> None:
    after = "2011-12-29T12:00-10:00"  # Samoa went over the date line

    assert told(Walls("10:00"), after, 2, where="Pacific/Apia") == "31 00:00 +1400 dst_gap | 31 10:00 +1400"
    assert told(Walls("10:00"), after, 2, "skip", where="Pacific/Apia") == "31 10:00 +1400 | 01 10:00 +1400"


def test_parts_of_a_second_are_counted() -> None:
    rule, at = Walls("9:00"), ms("2027-06-01T09:00-04:00")

    assert next(instants(rule, NEW_YORK, at - 1)) == at
    assert next(instants(rule, NEW_YORK, at)) == at + 86_400_000
    assert next(instants(rule, NEW_YORK, at + 999)) == at + 86_400_000


def test_a_rule_that_ends_gives_everything_it_has() -> None:
    class Once:
        frequent = False

        def walls(self, after: datetime) -> Iterator[datetime]:
            yield datetime(2027, 11, 7, 1, 30)

    assert len(list(instants(Once(), NEW_YORK, ms(AUTUMN), fold="both"))) == 2
    assert len(list(instants(Once(), NEW_YORK, ms(AUTUMN)))) == 1


def test_the_note_of_an_instant() -> None:
    wall = datetime(2027, 3, 14, 2, 30)

    assert note_of(ms("2027-03-14T03:00-04:00"), NEW_YORK, wall) == "dst_gap"
    assert note_of(ms("2027-03-14T03:00-04:00"), NEW_YORK) == ""
    assert note_of(ms("2027-11-07T01:30-04:00"), NEW_YORK) == "dst_fold"
    assert note_of(ms("2027-11-07T01:30-05:00"), NEW_YORK, datetime(2027, 11, 7, 1, 30)) == "dst_fold"
    assert note_of(ms("2027-11-07T02:30-05:00"), NEW_YORK, datetime(2027, 11, 7, 2, 30)) == ""
    assert note_of(ms("2027-04-04T02:15+11:00"), LORD_HOWE) == "dst_fold"
