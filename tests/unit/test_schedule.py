"""Schedules: which slots a plan names, what is left out, how long it may search, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redsched.model.errors import InvalidSchedule, RedschedError, ScheduleNotFound
from redsched.model.retry import Exponential, Fixed, policy_of
from redsched.model.schedule import Schedule, check, document, plain, schedule_of
from redsched.model.task import Task
from redsched.model.template import TaskTemplate
from redsched.schedule.calendar import CalendarRule
from redsched.schedule.definition import Every, Exclude, Random
from redsched.schedule.slots import Plan

HOUR, DAY = 3_600_000, 86_400_000
JANUARY = 1_798_761_600_000  # 2027-01-01T00:00:00Z


def schedule(**fields: Any) -> Schedule:
    """A schedule with a task."""
    return Schedule(**{"id": "nightly", "task": TaskTemplate(type="report.send"), **fields})


def plan(holidays: dict[str, frozenset[str]] | None = None, **fields: Any) -> Plan:
    """The plan of a schedule."""
    return Plan(schedule(**fields), holidays)


def ms(text: str) -> int:
    """The instant of RFC 3339 text."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


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


def test_what_is_given_as_a_dict_is_the_structure_it_stands_for() -> None:
    task: Any = {"type": "a", "retry": {"kind": "fixed", "delay": "5s"}}
    fields: Any = {"task": task, "cron": "@daily", "exclude": {"dates": ["*-12-25"]}, "every": [{"every": "1h"}]}

    found = plain(Schedule(**fields))

    assert (found.exclude, found.task.type) == (Exclude(dates=["*-12-25"]), "a")
    with pytest.raises(InvalidSchedule, match="exclude"):
        plain(Schedule(**{**fields, "exclude": {"date": []}}))
