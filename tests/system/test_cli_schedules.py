"""Recurring schedules from the command line, against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from redsched.cli.main import main
from redsched.model.duration import instant_ms
from tests.support.command_line import Cli

SPRING = ("--tz", "America/New_York", "--from", "2027-03-13T12:00:00Z", "-n", "2")


def answer(cli: Cli, *arguments: str) -> Any:
    code, out, err = cli(*arguments, "-o", "json")
    assert code == 0, err
    return json.loads(out)


def test_a_schedule_with_every_option_is_set_and_shown(cli: Cli) -> None:
    answer(cli, "calendar", "set", "in", "2090-12-25", "*-01-26")
    made = answer(
        cli,
        "schedule",
        "set",
        "monthly",
        "statement.send",
        "--cron",
        "0 9 L * *",
        "--every",
        "1h/15m",
        "--rrule",
        "FREQ=DAILY;BYHOUR=7",
        "--at",
        "2090-01-01T00:00:00Z",
        "--tz",
        "Asia/Kolkata",
        "-p",
        '{"a": 1}',
        "-q",
        "mail",
        "--priority",
        "high",
        "--max-attempts",
        "3",
        "--timeout",
        "5s",
        "--expires-in",
        "1h",
        "--overlap",
        "buffer_all",
        "--catch-up",
        "all",
        "--catch-up-window",
        "2h",
        "--jitter",
        "5s",
        "--max-runs",
        "9",
        "--pause-on-failure",
        "--description",
        "month end",
        "--exclude-date",
        "2090-05-01",
        "--exclude-calendar",
        "in",
        "--dst-gap",
        "skip",
        "--dst-fold",
        "both",
        "--start",
        "2027-01-01T00:00:00Z",
        "--end",
        "2091-01-01T00:00:00Z",
    )
    assert made == {"id": "monthly", "status": "created", "rev": 1}
    assert answer(cli, "schedule", "show", "monthly")["schedule"] == {
        "id": "monthly",
        "cron": ["0 9 L * *"],
        "every": [{"every": 3_600_000, "phase": 900_000}],
        "rrule": ["FREQ=DAILY;BYHOUR=7"],
        "at": [3_786_912_000_000],
        "time_zone": "Asia/Kolkata",
        "task": {
            "type": "statement.send",
            "payload": {"a": 1},
            "queue": "mail",
            "priority": "high",
            "max_attempts": 3,
            "timeout": 5_000,
            "expires_in": 3_600_000,
        },
        "overlap": "buffer_all",
        "catch_up": "all",
        "catch_up_window": 7_200_000,
        "jitter": 5_000,
        "max_runs": 9,
        "pause_on_failure": True,
        "description": "month end",
        "dst_gap": "skip",
        "dst_fold": "both",
        "exclude": {"dates": ["2090-05-01"], "calendars": ["in"]},
        "start": 1_798_761_600_000,
        "end": 3_818_448_000_000,
    }


def test_a_schedule_is_listed_shown_and_removed_for_people(cli: Cli) -> None:
    assert "No schedules." in cli("schedule", "ls")[2]
    assert cli("schedule", "set", "daily", "report.make", "--cron", "@daily")[1] == "created daily, revision 1\n"
    assert cli("schedule", "set", "daily", "report.make", "--cron", "@daily")[1] == "unchanged daily, revision 1\n"
    code, _, err = cli("schedule", "set", "daily", "report.make", "--cron", "@hourly", "--create-only")
    assert (code, err) == (4, "Schedule daily exists; nothing was written.\n")

    assert "daily" in cli("schedule", "ls")[1]
    shown = cli("schedule", "show", "daily")[1]
    assert "report.make" in shown
    assert "LOCAL TIME" in shown
    assert cli("schedule", "rm", "daily") == (0, "removed daily\n", "")
    assert cli("schedule", "rm", "daily")[0] == 3
    assert cli("schedule", "show", "daily")[0] == 3


def test_pause_resume_trigger_and_backfill(cli: Cli) -> None:
    cli("schedule", "set", "daily", "report.make", "--cron", "@daily", "-p", '{"a": 1}')

    assert cli("schedule", "pause", "daily", "--reason", "audit")[1] == "paused daily\n"
    assert "paused: audit" in cli("schedule", "show", "daily")[1]
    assert cli("schedule", "resume", "daily")[1] == "resumed daily\n"
    made = answer(cli, "schedule", "trigger", "daily", "-p", "null", "--overlap", "allow_all")["task_id"]
    assert made.startswith("daily@t")
    assert answer(cli, "task", "show", made)["payload"] is None
    assert cli("schedule", "trigger", "daily")[1].startswith("not made now")
    span = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-03T00:00:00Z")
    assert len(answer(cli, "schedule", "backfill", "daily", *span, "--dry-run")["slots"]) == 3
    assert len(answer(cli, "schedule", "backfill", "daily", *span, "--overlap", "allow_all")["ids"]) == 3


def test_a_preview_needs_no_redis_and_notes_the_edges() -> None:
    environment = {"REDSCHED_REDIS_URL": "redis://127.0.0.1:1/0"}
    told = CliRunner().invoke(main, ["schedule", "preview", "30 2 * * *", *SPRING, "-o", "json"], env=environment)
    assert [(run["local"], run["note"]) for run in json.loads(told.stdout)["runs"]] == [
        ("2027-03-14T03:00:00-04:00", "dst_gap"),
        ("2027-03-15T02:30:00-04:00", ""),
    ]
    assert "dst_gap" in CliRunner().invoke(main, ["schedule", "preview", "30 2 * * *", *SPRING]).stdout


def test_a_preview_of_an_id_is_what_that_schedule_runs(cli: Cli) -> None:
    cli("schedule", "set", "nightly", "report.make", "--cron", "H H * * *")

    wanted = [run["local"] for run in answer(cli, "schedule", "show", "nightly")["next_runs"]]

    found = answer(cli, "schedule", "preview", "H H * * *", "--id", "nightly")["runs"]
    assert [run["local"] for run in found] == wanted
    assert [run["local"] for run in answer(cli, "schedule", "preview", "H H * * *", "--id", "other")["runs"]] != wanted


def test_a_preview_from_now(cli: Cli) -> None:
    assert len(answer(cli, "schedule", "preview", "0 9 LW * *", "--tz", "Asia/Kolkata")["runs"]) == 10


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("set", "x", "t", "--cron", "0 25 * * *"), "cron[0]: hour, column 3: 25 is outside 0-23; nothing was written"),
        (("set", "x", "t", "--cron", "@daily", "--tz", "Mars"), "time_zone"),
        (("set", "x", "t"), "has no rule"),
        (("set", "x y", "t", "--cron", "@daily"), "id: a text of 3 characters is no name"),
        (("set", "x", "t", "--cron", "@daily", "--end", "soon"), "--end"),
        (("set", "x", "t", "--cron", "@daily", "--exclude-calendar", "none"), "'none' is the name of no calendar"),
        (("preview", "x"), "cron[0]"),
        (("apply", "-f", "none.toml"), "none.toml"),
    ],
)
def test_what_cannot_be_used_is_a_usage_error_that_names_it(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    code, _, err = cli("schedule", *arguments)

    assert code == 2
    assert told in err
    assert answer(cli, "schedule", "ls")["items"] == []


def test_apply_makes_the_schedules_those_of_the_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "schedules.toml"
    file.write_text(
        '[[schedule]]\nid = "daily"\ncron = "@daily"\ntask = {type = "report.make", payload = {a = 1}}\n\n'
        '[[schedule]]\nid = "beat"\nevery = "30s"\ntask = {type = "beat"}\n'
    )
    old = tmp_path / "old.toml"
    old.write_text('[[schedule]]\nid = "old"\nevery = "1m"\ntask = {type = "t"}\n')
    assert cli("schedule", "apply", "-f", str(old))[:2] == (0, "created old\n")
    cli("schedule", "set", "by-hand", "t", "--every", "1m")

    code, out, _ = cli("schedule", "apply", "-f", str(file), "--prune", "--dry-run")
    assert (code, out) == (0, "would be created daily\nwould be created beat\nwould be removed old\n")
    assert cli("schedule", "apply", "-f", str(file), "--prune")[1] == "created daily\ncreated beat\nremoved old\n"
    assert cli("schedule", "apply", "-f", str(file), "--prune")[1] == "unchanged daily\nunchanged beat\n"
    file.write_text("schedule = 1")
    assert "[[schedule]]" in cli("schedule", "apply", "-f", str(file))[2]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cron": "0 25 * * *"}, "schedules[1].cron: hour, column 3: 25 is outside 0-23; nothing was written"),
        ({"every": "5s", "time_zon": "UTC"}, "schedules[1]"),
        ({"every": "5s", "id": "no name"}, "schedules[1].id: a text of 7 characters is no name"),
        ({"every": "5s", "task": {"type": "t", "payload": "x" * 2_000_000}}, "schedules[1]."),
    ],
)
def test_one_wrong_schedule_of_a_file_is_named_and_none_is_written(
    cli: Cli, tmp_path: Path, wrong: dict[str, Any], told: str
) -> None:
    file = tmp_path / "schedules.json"
    file.write_text(
        json.dumps([{"id": "a", "every": "5s", "task": {"type": "t"}}, {"id": "b", "task": {"type": "t"}, **wrong}])
    )

    code, _, err = cli("schedule", "apply", "-f", str(file))

    assert code == 2
    assert told in err
    assert answer(cli, "schedule", "ls")["items"] == []


def test_calendars_are_kept_listed_and_removed(cli: Cli) -> None:
    assert cli("calendar", "set", "in", "2090-12-25", "*-01-26")[1] == "put in\n"
    assert "*-01-26 2090-12-25" in cli("calendar", "ls")[1]
    assert cli("calendar", "set", "in", "2090-13-25")[0] == 2
    assert cli("calendar", "rm", "in")[1] == "removed in\n"
    assert cli("calendar", "rm", "in")[0] == 3


def test_the_dates_and_times_of_toml_are_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        "[[schedule]]\nid = 'a'\ncron = '0 9 * * *'\nstart = 2027-01-01T00:00:00Z\nend = 2028-01-01T00:00:00+01:00\n"
        "exclude = {dates = [2027-12-25, '*-01-01']}\ntask = {type = 'log', payload = {when = 2027-01-01T00:00:00Z}}\n"
        "[[schedule]]\nid = 'b'\nat = [2027-02-01T09:00:00Z, 2027-03-01 09:00:00z]\ntask = {type = 'log'}\n"
    )
    code, _, err = cli("schedule", "apply", "-f", str(tmp_path / "s.toml"))
    assert code == 0, err

    definition = json.loads(cli("schedule", "show", "a", "-o", "json")[1])["schedule"]
    assert (instant_ms(definition["start"]), instant_ms(definition["end"])) == (1_798_761_600_000, 1_830_294_000_000)
    assert definition["exclude"] == {"dates": ["2027-12-25", "*-01-01"]}
    assert definition["task"]["payload"] == {"when": "2027-01-01T00:00:00Z"}
    runs = json.loads(cli("schedule", "show", "b", "-o", "json")[1])["next_runs"]
    assert [run["local"][:16] for run in runs] == ["2027-02-01T09:00", "2027-03-01T09:00"]

    (tmp_path / "s.toml").write_text("[[schedule]]\nid = 'c'\nat = [2027-02-01T09:00:00]\ntask = {type = 'log'}\n")
    code, _, err = cli("schedule", "apply", "-f", str(tmp_path / "s.toml"))
    assert code == 2 and "at[0]: has no time zone" in err


def test_a_0_means_0(cli: Cli) -> None:
    timing = ("schedule", "set", "a", "log", "--every", "1m", "--tz", "UTC")

    assert cli(*timing, "--catch-up-window", "0", "--start", "0", "--jitter", "0")[0] == 0

    shown = json.loads(cli("schedule", "show", "a", "-o", "json")[1])
    assert (shown["schedule"]["catch_up_window"], shown["schedule"].get("start")) == (0, None)
    assert len(shown["next_runs"]) == 10
    code, _, err = cli(*timing, "--end", "0")
    assert code == 2 and "end: 0 is no time" in err
