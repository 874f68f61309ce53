"""Schedules over every change of the clocks, in short: one of each zone, and planted bugs are found.

The long form is ``python -m tests.oracles.schedule_times --cases 100000``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from redsched.schedule import zones
from tests.oracles import schedule_times
from tests.oracles.schedule_times import CASES_AT_ONE, Wrong, changes, check


def test_a_change_of_every_zone() -> None:
    for number in range(len(moving_zones()) * CASES_AT_ONE):
        check(number)


def moving_zones() -> set[str]:
    return {change.zone for change in changes()}


def test_the_changes_cover_the_years_and_the_rare_ones() -> None:
    named = moving_zones()

    assert len(named) > 200
    assert len(changes()) > 30 * len(named)
    assert {change.zone for change in changes()[: len(named)]} == named
    assert {change.at.year for change in changes()} == set(range(2020, 2041))
    moved = {_moved(change) for change in changes()}
    assert {timedelta(hours=1), timedelta(hours=-1), timedelta(minutes=30), timedelta(hours=3)} <= moved


def _moved(change: schedule_times.Change) -> timedelta:
    place, second = zones.zone(change.zone), timedelta(seconds=1)
    before = schedule_times.shown(change.at - second, place)
    return schedule_times.shown(change.at, place) - before - second


def found_within(cases: int) -> bool:
    try:
        for number in range(cases):
            check(number)
    except Wrong:
        return True
    return False


def test_a_time_of_the_past_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true = zones.noted

    def late(rule: zones.Rule, place: zones.ZoneInfo, after: int, gap: zones.Gap, fold: zones.Fold) -> Iterator[object]:
        return true(rule, place, after - 1, gap, fold)

    monkeypatch.setattr(zones, "noted", late)
    assert found_within(400)


def test_a_start_that_forgets_the_repeated_hour_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def naive(ms: int, place: zones.ZoneInfo) -> int:
        return zones._offset(zones.local(ms, place))

    monkeypatch.setattr(zones, "_least_offset", naive)
    assert found_within(800)


def test_an_end_of_a_gap_that_is_a_second_off_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true = zones._gap_end
    monkeypatch.setattr(zones, "_gap_end", lambda before, after, place: true(before, after, place) + 1_000)
    assert found_within(400)


def test_the_scan_itself_knows_new_york() -> None:
    spring = schedule_times.scan(schedule_times.Change("America/New_York", datetime(2027, 3, 14, 7)))
    autumn = schedule_times.scan(schedule_times.Change("America/New_York", datetime(2027, 11, 7, 6)))

    assert spring.seen[datetime(2027, 3, 14, 2, 30)] == []
    assert spring.before == timedelta(hours=-5)
    assert autumn.seen[datetime(2027, 11, 7, 1, 30)] == [datetime(2027, 11, 7, 5, 30), datetime(2027, 11, 7, 6, 30)]
