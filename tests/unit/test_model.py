"""Durations, instants and retry policies: what is accepted, what it means in ms, and what is refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redsched import App, Schedule, TaskTemplate
from redsched.model import errors
from redsched.model.condition import MEMBERS
from redsched.model.duration import duration_ms, duration_text, instant, instant_ms, latest_ms
from redsched.model.outcome import Cancelled, Dead, OutcomeChosen, Reject, Retry, RetryLater, Snooze, SnoozeFor, Stop
from redsched.model.retry import Explicit, Exponential, Fixed, retry_wire
from redsched.model.task import Changes, Options, Task
from redsched.web.task_body import TaskBody
from redsched.wire.task_words import option_words
from redsched.wire.tasks import UPDATABLE

NEW_YEAR_2027_MS = 1_798_761_600_000


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        (0, 0),
        (1500, 1500),
        ("1500", 1500),
        ("250ms", 250),
        ("90s", 90_000),
        ("1.5s", 1_500),
        ("1h30m", 5_400_000),
        (" 2d ", 172_800_000),
        ("1d2h3m4s5ms", 93_784_005),
        (timedelta(seconds=90), 90_000),
        (timedelta(microseconds=1_999), 2),
        (timedelta(microseconds=1), 1),
        ("0.1s", 100),
        ("1.1s", 1_100),
        ("1.5ms", 2),
        ("1w", 604_800_000),
        ("90 s", 90_000),
        ("1 day", 86_400_000),
        ("2 days 1 hour", 176_400_000),
        ("1h 30m", 5_400_000),
        ("1 week 30 minutes 5 secs", 606_605_000),
        ("P1DT2H", 93_600_000),
        ("P2W", 1_209_600_000),
        ("PT1.5S", 1_500),
        ("pt0.0001s", 1),
    ],
)
def test_a_duration_becomes_milliseconds(given_as: Any, expected: int) -> None:
    assert duration_ms(given_as) == expected


@pytest.mark.parametrize(
    "refused",
    ["", " ", "s", "90 sx", "1 m s", "+5s", "5s-", "1e3s", "five", "5S", "٣s", "9" * 400, "9" * 400 + "s", "1..5s"],
)
def test_text_that_is_no_duration_is_refused_with_an_example(refused: str) -> None:
    with pytest.raises(ValueError, match="write 250ms, 90s, 1h30m, 2d, 1w, '1 day' or P1DT2H"):
        duration_ms(refused)


@pytest.mark.parametrize("refused", [-1, timedelta(seconds=-1), timedelta(microseconds=-1)])
def test_a_negative_duration_is_refused(refused: Any) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        duration_ms(refused)


@pytest.mark.parametrize("refused", [True, 1.5, None, [], datetime.now(UTC)])
def test_a_duration_of_another_type_is_a_value_error(refused: Any) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        duration_ms(refused)


@given(st.integers(min_value=0, max_value=10**15))
def test_whole_milliseconds_survive_as_integer_text_and_timedelta(milliseconds: int) -> None:
    assert duration_ms(milliseconds) == milliseconds
    assert duration_ms(str(milliseconds)) == milliseconds
    assert duration_ms(timedelta(milliseconds=milliseconds)) == milliseconds


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert duration_ms(text) >= 0


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        (0, 0),
        (NEW_YEAR_2027_MS, NEW_YEAR_2027_MS),
        (str(NEW_YEAR_2027_MS), NEW_YEAR_2027_MS),
        ("2027-01-01T00:00:00Z", NEW_YEAR_2027_MS),
        ("2027-01-01T01:00:00+01:00", NEW_YEAR_2027_MS),
        ("2027-01-01 00:00:00.250Z", NEW_YEAR_2027_MS + 250),
        (datetime(2027, 1, 1, tzinfo=UTC), NEW_YEAR_2027_MS),
        (datetime(2027, 1, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo")), NEW_YEAR_2027_MS),
        (datetime(2027, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC), NEW_YEAR_2027_MS + 1),
        (datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC), NEW_YEAR_2027_MS + 1),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), NEW_YEAR_2027_MS),
        ("2027-01-01t00:00:00z", NEW_YEAR_2027_MS),
        ("2027-01-01T00:00:00.000001Z", NEW_YEAR_2027_MS + 1),
        ("2027-01-01T00:00:00.000000001Z", NEW_YEAR_2027_MS + 1),
        ("2026-12-31T23:59:60Z", NEW_YEAR_2027_MS),
        ("1997-09-02T09:00:00-04:00", 873_205_200_000),
    ],
)
def test_an_instant_becomes_milliseconds_since_the_epoch(given_as: Any, expected: int) -> None:
    assert instant_ms(given_as) == expected


def test_an_end_within_a_millisecond_is_the_whole_one_before_it() -> None:
    assert latest_ms(datetime(2027, 1, 1, 0, 0, 0, 1_999, tzinfo=UTC)) == NEW_YEAR_2027_MS + 1
    assert latest_ms("2027-01-01T00:00:00.0019Z") == latest_ms(NEW_YEAR_2027_MS + 1) == NEW_YEAR_2027_MS + 1


def test_a_date_without_its_signs_is_no_instant_of_1976() -> None:
    with pytest.raises(ValueError, match=r"is the year 1976; a date is written 2026-12-01T09:00:00Z"):
        instant_ms("202612010900")


@pytest.mark.parametrize("text", ["-5s", "-90", "-P1D", "- 1 day"])
def test_a_negative_duration_says_that_it_is_negative(text: str) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        duration_ms(text)


@pytest.mark.parametrize("text", ["P", "PT", "P1DT", "P1Y", "P1M", "PT1D", "P1H"])
def test_a_duration_of_iso_8601_has_parts_of_a_known_length(text: str) -> None:
    with pytest.raises(ValueError, match="no duration of weeks, days, hours, minutes and seconds"):
        duration_ms(text)


def test_the_repeated_hour_of_autumn_is_two_different_instants() -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = instant_ms(datetime(2027, 10, 31, 2, 30, tzinfo=zone, fold=0))
    second = instant_ms(datetime(2027, 10, 31, 2, 30, tzinfo=zone, fold=1))
    assert second - first == 3_600_000


@pytest.mark.parametrize("naive", [datetime(2027, 1, 1), "2027-01-01T00:00:00", "2027-01-01"])
def test_an_instant_without_an_offset_is_refused(naive: Any) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        instant_ms(naive)


@pytest.mark.parametrize("seconds_or_microseconds", [1_798_761_600, 1_798_761_600_000_000, -1, 1])
def test_an_integer_in_another_unit_is_refused(seconds_or_microseconds: int) -> None:
    with pytest.raises(ValueError, match="were seconds or microseconds meant"):
        instant_ms(seconds_or_microseconds)


@pytest.mark.parametrize(
    "far",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        "2200-01-01T00:00:00Z",
    ],
)
def test_a_date_out_of_range_is_refused_and_the_epoch_is_not_taken_for_now(far: Any) -> None:
    with pytest.raises(ValueError, match="outside the years"):
        instant_ms(far)


@pytest.mark.parametrize("refused", [True, 1.8e12, None])
def test_an_instant_of_another_type_is_a_value_error(refused: Any) -> None:
    with pytest.raises(ValueError, match="must be an instant"):
        instant_ms(refused)


@pytest.mark.parametrize("refused", ["", "tomorrow", "-5", "9" * 5_000])
def test_text_that_is_no_instant_is_refused(refused: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        instant_ms(refused)


@given(st.integers(min_value=100_000_000_000, max_value=4_000_000_000_000))
def test_an_instant_survives_the_way_to_a_datetime_and_back(milliseconds: int) -> None:
    assert instant_ms(instant(milliseconds)) == milliseconds
    assert instant_ms(instant(milliseconds).isoformat()) == milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (0, "0ms"),
        (0.4, "0ms"),
        (999.6, "1s"),
        (1_500, "1.5s"),
        (59_940, "59.9s"),
        (59_960, "1m00s"),
        (125_000, "2m05s"),
        (11_400_000, "3h10m"),
        (352_800_000, "4d2h"),
        (-1_500, "-1.5s"),
        (-125_000, "-2m05s"),
    ],
)
def test_a_duration_is_written_shortly_for_people(milliseconds: float, expected: str) -> None:
    assert duration_text(milliseconds) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Fixed("5s"), "fixed 5000"),
        (Fixed("0s"), "fixed 0"),
        (Exponential(), "exponential 5000 2 3600000 0.2"),
        (Exponential(base="100ms", factor=1.5, max="10s", jitter=0), "exponential 100 1.5 10000 0"),
        (Exponential(base="1s", factor=10, max="1s", jitter=1), "exponential 1000 10 1000 1"),
        (Exponential(jitter=1e-7), "exponential 5000 2 3600000 0"),
        (Explicit(["1s", "5000ms", timedelta(minutes=1)]), "list 1000 5000 60000"),
        (["1s"], "list 1000"),
        (timedelta(seconds=3), "fixed 3000"),
        ("5s", "fixed 5000"),
    ],
)
def test_a_retry_policy_has_one_line_on_the_wire(policy: Any, expected: str) -> None:
    assert retry_wire(policy) == expected


def test_one_delay_as_text_is_a_policy_wherever_one_is_taken() -> None:
    app = App()
    app.task("x", retry="5s", every="1m")(lambda: None)
    body = msgspec.json.decode(b'{"type":"x","retry":"5s"}', type=TaskBody)
    template = msgspec.json.decode(b'{"type":"x","retry":"5s"}', type=TaskTemplate)
    (schedule,) = app.schedules

    for task in (app.tasks["x"].task(), body.task(None), template.task(), schedule.task.task()):
        assert list(option_words(task, None)) == ["retry", "fixed 5000"]
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (Fixed("366d"), "delay is longer than a year"),
        (Fixed("soon"), "no duration"),
        (Exponential(factor=0.5), "factor 0.5 is outside"),
        (Exponential(factor=float("nan")), "factor nan is outside"),
        (Exponential(jitter=1.1), "jitter 1.1 is outside"),
        (Exponential(base="2h"), "base 2h00m is longer than max 1h00m"),
        (Explicit([]), "0 delays"),
        (Explicit(["1s"] * 101), "101 delays"),
        ([timedelta(-1)], "delays must not be negative"),
        (Fixed(5_000), 'delay is a bare number; write "5s"'),  # type: ignore[arg-type]
        ([5_000], "delays is a bare number"),
        ("soon", "no duration"),
        (b"5s", "must be Fixed"),
        (5, "must be Fixed"),
    ],
)
def test_a_retry_policy_out_of_range_is_refused(policy: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        retry_wire(policy)


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (RetryLater("busy", delay=timedelta(seconds=1)), Retry(error="busy", delay=timedelta(seconds=1))),
        (SnoozeFor(timedelta(minutes=1)), Snooze(delay=timedelta(minutes=1))),
        (Reject("no such user"), Dead(reason="rejected", error="no such user")),
        (Stop("asked"), Cancelled(reason="asked")),
    ],
)
def test_an_exception_of_a_handler_carries_its_outcome(raised: OutcomeChosen, outcome: object) -> None:
    assert raised.outcome == outcome


def test_every_error_is_in_the_tree_that_the_module_draws() -> None:
    assert errors.__doc__ is not None
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    for kind in classes:
        assert issubclass(kind, errors.RedschedError)
        assert kind.__name__ in errors.__doc__


def test_an_invalid_task_names_its_place_in_a_batch_and_what_was_not_done() -> None:
    error = errors.InvalidTask("due", "has no time zone", index=3)
    assert str(error) == "tasks[3].due: has no time zone; nothing was written"


def test_the_keyword_options_are_the_fields_of_a_task() -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(Task)}

    assert set(Options.__annotations__) == set(fields) - {"type", "payload"} | MEMBERS
    assert set(Changes.__annotations__) == UPDATABLE
