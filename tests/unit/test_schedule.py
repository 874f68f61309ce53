"""A schedule's definition: how it is written, what is refused, and how it is described."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from redsched.model.errors import InvalidSchedule, RedschedError, ScheduleNotFound
from redsched.model.retry import Exponential, Fixed, policy_of
from redsched.model.schedule import Schedule, check, document, plain, schedule_of
from redsched.model.task import Task
from redsched.model.template import TaskTemplate
from redsched.schedule.calendar import CalendarRule
from redsched.schedule.definition import Every, Exclude, Random
from redsched.schedule.slots import Plan
from tests.support.plans import HOUR, JANUARY, plan, schedule


@pytest.mark.parametrize("given_as", ["1h/15m", Every("1h", "15m"), [Every(timedelta(hours=1), timedelta(minutes=75))]])
def test_an_interval_can_be_written_in_several_ways(given_as: Any):
    assert plan(every=given_as).interval == (HOUR, 900_000)


@pytest.mark.parametrize(
    "more",
    [
        {"every": ["1h", "2h"]},
        {"cron": "0 9 * * *"},
        {"jitter": "1s"},
        {"start": "2027-01-01T00:00:00Z"},
        {"end": "2027-01-01T00:00:00Z"},
        {"exclude": Exclude(dates=["2027-12-25"])},
    ],
)
def test_only_a_bare_interval_says_so(more: dict[str, Any]):
    assert plan(**{"every": "1h", **more}).interval is None


def test_a_cron_expression_of_a_duration_is_an_interval():
    assert plan(cron="@every 90s").interval == (90_000, 0)


def test_json_is_read_and_written_and_means_the_same():
    text = b"""{"id": "nightly", "task": {"type": "report.send", "payload": {"a": 1}, "timeout": "90s",
        "retry": {"kind": "fixed", "delay": "5s"}}, "cron": ["0 9 * * *"],
        "every": [{"every": "1h", "phase": "5m"}, "2h"],
        "calendar": [{"unit": "month", "days": [-1], "anchor": "2026-12-31"}], "at": ["2027-01-01T09:00:00Z"],
        "exclude": {"dates": ["*-12-25"]}, "time_zone": "Asia/Kolkata", "jitter": "30s"}"""

    read = schedule_of(text)
    check(read)

    assert schedule_of(msgspec.json.encode(document(read))) == read
    assert policy_of(read.task.retry) == Fixed("5s")


def test_python_values_become_plain_ones_in_the_document():
    given_as = schedule(
        task=TaskTemplate(type="a", retry=Exponential(base=timedelta(seconds=1)), timeout=timedelta(minutes=1)),
        every=timedelta(hours=1),
        start=datetime(2027, 1, 1, tzinfo=UTC),
    )

    check(given_as)

    found = document(given_as)
    assert found["every"] == HOUR
    assert found["start"] == "2027-01-01T00:00:00+00:00"
    assert found["task"]["timeout"] == 60_000
    assert found["task"]["retry"]["kind"] == "exponential"
    assert Plan(schedule_of(msgspec.json.encode(found))).interval is None


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({}, "schedule", "invalid_schedule"),
        ({"cron": "0 25 * * *"}, "cron", "invalid_cron"),
        ({"cron": ["0 9 * * *", "x"]}, "cron[1]", "invalid_cron"),
        ({"cron": 5}, "cron", "invalid_schedule"),
        ({"cron": "0 9 * * *", "time_zone": "Mars/Olympus"}, "time_zone", "unknown_time_zone"),
        ({"cron": "0 9 * * *", "dst_gap": "shrug"}, "dst_gap", "invalid_schedule"),
        ({"cron": "0 9 * * *", "overlap": "pile_up"}, "overlap", "invalid_schedule"),
        ({"every": "500ms"}, "every", "invalid_schedule"),
        ({"every": ["1h", "soon"]}, "every[1]", "invalid_schedule"),
        ({"every": Every("1h", -1)}, "every.phase", "invalid_schedule"),
        ({"every": "1h", "jitter": "25h"}, "jitter", "invalid_schedule"),
        ({"every": "1h", "catch_up_window": -1}, "catch_up_window", "invalid_schedule"),
        ({"every": "1h", "max_runs": 0}, "max_runs", "invalid_schedule"),
        ({"every": "1h", "start": datetime(2027, 1, 1)}, "start", "invalid_schedule"),
        ({"every": "1h", "start": "2027-02-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}, "end", "invalid_schedule"),
        ({"every": "1h", "after_completion": "1m"}, "after_completion", "invalid_schedule"),
        ({"random": Random("10s", "5s")}, "random.most", "invalid_schedule"),
        ({"random": Random("1s", "5s"), "cron": "0 9 * * *"}, "random", "invalid_schedule"),
        ({"rrule": "FREQ=SOMETIMES"}, "rrule", "invalid_schedule"),
        ({"rrule": ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"]}, "rrule[0]", "never_fires"),
        ({"calendar": [CalendarRule(unit="month", days=[40])]}, "calendar[0]", "invalid_schedule"),
        ({"at": [0]}, "at[0]", "invalid_schedule"),
        ({"at": ["2027-01-01"]}, "at[0]", "invalid_schedule"),
        ({"at": ["2026-01-01T00:00:00Z"]}, "schedule", "never_fires"),
        ({"every": "1h", "exclude": Exclude(dates=["25-12"])}, "exclude.dates[0]", "invalid_schedule"),
        ({"every": "1h", "exclude": Exclude(dates=["2027-02-30"])}, "exclude.dates[0]", "invalid_schedule"),
        ({"every": "1h", "exclude": Exclude(crons=["nonsense"])}, "exclude.crons[0]", "invalid_cron"),
        ({"every": "1h", "exclude": Exclude(crons=["@every 5m"])}, "exclude.crons[0]", "invalid_cron"),
        ({"every": "1h", "task": TaskTemplate(type="")}, "task.type", "invalid_schedule"),
        ({"every": "1h", "task": TaskTemplate(type="a", timeout="soon")}, "task.timeout", "invalid_schedule"),
        ({"every": "1h", "task": TaskTemplate(type="a", retry={"kind": "never"})}, "task.retry", "invalid_schedule"),
        ({"every": "1h", "task": TaskTemplate(type="a", payload=object())}, "schedule", "invalid_schedule"),
        ({"cron": ["0 9 * * *"] * 101}, "cron", "invalid_schedule"),
    ],
)
def test_what_cannot_be_used_names_the_field_and_the_code(fields: dict[str, Any], field: str, code: str):
    with pytest.raises(InvalidSchedule) as caught:
        check(schedule(**fields), after_ms=JANUARY)

    assert (caught.value.field, caught.value.code) == (field, code)
    assert "nothing was written" in str(caught.value)


def test_a_task_may_stand_for_its_template_where_it_has_nothing_more():
    check(schedule(every="1h", task=Task(type="report.send", tags=["a"])))

    with pytest.raises(InvalidSchedule):
        check(schedule(every="1h", task=Task(type="report.send", due=JANUARY)))


def test_the_template_makes_the_task_of_a_run():
    template = TaskTemplate(type="a", payload={"b": 1}, retry={"kind": "fixed", "delay": "5s"}, queue="mail", keep=True)

    assert template.task(id="a:1", due=JANUARY) == Task(
        type="a", payload={"b": 1}, retry=Fixed("5s"), queue="mail", keep=True, id="a:1", due=JANUARY
    )


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"{", "schedule"),
        (b"{}", "task"),
        (b'{"task": {"type": "a"}, "crons": []}', "crons"),
        (b'{"task": {"type": "a"}, "cron": [5]}', "cron[0]"),
        (b'{"task": {"type": "a", "keep": 5}}', "task.keep"),
        (b'{"task": {"type": "a"}, "every": [{"phase": 5}]}', "every[0].every"),
    ],
)
def test_json_that_is_no_schedule_names_the_field(text: bytes, field: str):
    with pytest.raises(InvalidSchedule) as caught:
        schedule_of(text)

    assert caught.value.field == field


def test_the_errors_carry_their_data():
    assert InvalidSchedule("cron", "is bad", index=2).index == 2
    assert str(InvalidSchedule("cron", "is bad", index=2)).startswith("schedules[2].cron: is bad")
    assert isinstance(ScheduleNotFound("nightly"), RedschedError)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"cron": "0 9 * * 1-5", "time_zone": "Asia/Kolkata"}, "at 09:00 on weekdays (Asia/Kolkata)"),
        ({"cron": "0 9,17 * * *"}, "at 09:00 and 17:00 every day (UTC)"),
        ({"cron": "30 8 * * MON,FRI"}, "at 08:30 on Monday and Friday (UTC)"),
        ({"cron": "0 0 L * *"}, "at 00:00 on the last day of the month (UTC)"),
        ({"cron": "*/5 * * * *"}, "every 5 minutes (UTC)"),
        ({"cron": "@hourly"}, "every hour at :00 (UTC)"),
        ({"cron": "1-9/3 * * * 5#2"}, "cron 1-9/3 * * * 5#2 (UTC)"),
        ({"every": "1h/15m", "jitter": "30s"}, "every hour, 15 minutes past, up to 30 seconds later"),
        ({"after_completion": "90s"}, "90 seconds after each run ends"),
        ({"random": Random("1m", "2m")}, "at random, 1 minute to 2 minutes apart"),
        (
            {"calendar": [CalendarRule(unit="month", working_day=-1, at=["17:00"])]},
            "at 17:00 on the last working day, every month (UTC)",
        ),
        (
            {"every": "1d", "exclude": Exclude(dates=["*-12-25"], calendars=["bank"]), "max_runs": 3},
            "every day, except 1 date and calendar bank, at most 3 times",
        ),
    ],
)
def test_it_is_described_in_one_line(fields: dict[str, Any], line: str):
    assert plan(**fields).describe() == line


def test_what_is_given_as_a_dict_is_the_structure_it_stands_for() -> None:
    task: Any = {"type": "a", "retry": {"kind": "fixed", "delay": "5s"}}
    fields: Any = {"task": task, "cron": "@daily", "exclude": {"dates": ["*-12-25"]}, "every": [{"every": "1h"}]}

    found = plain(Schedule(**fields))

    assert (found.exclude, found.task.type) == (Exclude(dates=["*-12-25"]), "a")
    with pytest.raises(InvalidSchedule, match="exclude"):
        plain(Schedule(**{**fields, "exclude": {"date": []}}))
