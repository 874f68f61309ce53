"""The command line without a server: what it imports, how it reads its arguments, what it says when it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from redsched.cli import parse, supervisor, up_banner
from redsched.cli.main import exit_code, main
from redsched.demo.ledger import Ledger, account, noted, percentile
from redsched.embedded import free_port
from redsched.engine.app import App
from redsched.model import errors
from redsched.model.retry import Explicit, Exponential, Fixed
from redsched.settings import Settings, child_environment, default_data_dir

HEAVY = ("redis", "starlette", "uvicorn", "rich", "prometheus_client", "asyncio")


def run(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments), input=stdin, env={"REDSCHED_REDIS_URL": None, "REDIS_URL": None})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["task", "add", "--help"], ["lua", "show", "enqueue"], ["version"]])
def test_what_needs_no_redis_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom redsched.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
    assert ended.stdout


def test_every_command_has_a_help_text_that_fits_its_line() -> None:
    def look(command: click.Command, path: str) -> None:
        assert command.help, path
        short = command.get_short_help_str(limit=60)
        assert not short.endswith("..."), f"{path}: {short}"
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                look(inner, f"{path} {name}")

    look(main, "redsched")


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("5s,1m,1h", Explicit(["5s", "1m", "1h"])),
        ("5s", Explicit(["5s"])),
        ("fixed:5s", Fixed("5s")),
        ("exponential", Exponential()),
        ("exponential:5s:3", Exponential(base="5s", factor=3.0)),
        ("exponential:5s:2:1h:0.2", Exponential(base="5s", factor=2.0, max="1h", jitter=0.2)),
    ],
)
def test_a_retry_policy_is_read(text: str, policy: object) -> None:
    assert parse.retry_policy(text) == policy


@pytest.mark.parametrize(
    "text", ["", "soon", "fixed", "fixed:1s:2s", "exponential:5s:99", "exponential:5s:x", "linear:5s"]
)
def test_a_retry_policy_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse.retry_policy(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "2027-01-31T09:00:00"], "no time zone"),
        (["--at", "1700000000"], "seconds or microseconds"),
        (["--in", "soon"], "no duration"),
        (["--in", "1s", "--at", "2027-01-31T09:00:00Z"], "not both"),
        (["-p", "hello"], "no JSON"),
        (["-p", "@/nowhere/at/all"], "No such file"),
        (["--retry", "linear:5s"], "exponential:5s:2:1h:0.2"),
        (["--header", "novalue"], "name=value"),
        (["--priority", "urgent"], "high"),
        (["--expires-in", "1s", "--expires-at", "0"], "not both"),
    ],
)
def test_an_argument_that_cannot_be_used_is_a_usage_error_that_says_why(arguments: list[str], said: str) -> None:
    code, out, err = run("task", "add", "log", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_a_setting_that_cannot_be_used_is_named() -> None:
    code, out, err = run("-r", "http://127.0.0.1", "queue", "ls")
    assert (code, out) == (2, "")
    assert "redis_url" in err
    assert "Traceback" not in err


def test_an_unreachable_redis_is_told_in_two_lines_with_what_to_do_and_no_password() -> None:
    url = f"redis://me:secret@127.0.0.1:{free_port()}/0"
    code, out, err = run("queue", "ls", "-r", url)
    assert (code, out) == (5, "")
    assert len(err.splitlines()) == 2
    assert "Cannot reach redis://me:***@127.0.0.1" in err
    assert "(connection refused)" in err
    assert "set REDSCHED_REDIS_URL (redsched up prints the line to paste), or run: redsched demo" in err
    assert "secret" not in err


def test_an_unknown_verb_is_told_with_the_known_ones() -> None:
    code, _, err = run("lua", "show", "teleport")
    assert code == 2
    assert "enqueue" in err


def test_the_contract_of_a_verb_is_shown_without_its_text() -> None:
    told = run("lua", "show", "claim", "--form", "contract")[1]

    assert told.startswith("-- claim: start up to n ready tasks for a consumer")
    assert "-- REPLY  {now, more, task...}" in told
    assert "local " not in told


def test_the_shipped_lua_is_shown_in_both_forms() -> None:
    script, library = run("lua", "show", "promote")[1], run("lua", "show", "promote", "--form", "function")[1]
    assert "promote_verb(KEYS, ARGV)" in script
    assert library.startswith("#!lua name=redsched1")


def test_the_version_is_told_by_an_option_too() -> None:
    assert run("--version") == (0, run("version")[1], "")


def test_the_version_is_one_json_document_when_asked() -> None:
    code, out, _ = run("version", "-o", "json")
    assert code == 0
    assert json.loads(out)["redsched"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidTask("type", "bad"), 2),
        (errors.InvalidSetting("queues", "bad"), 2),
        (errors.TaskNotFound("a", "q"), 3),
        (errors.TaskConflict("a", "q"), 4),
        (errors.InvalidState("a", "q", "dead", "cancel"), 4),
        (errors.StoreUnavailable("show", "refused"), 5),
        (errors.StoreFull("enqueue", "OOM"), 1),
        (errors.OutcomeUnknown("enqueue", "timed out"), 1),
    ],
)
def test_an_error_has_its_exit_code(error: errors.RedschedError, code: int) -> None:
    assert exit_code(error) == code


def test_a_child_loads_exactly_the_settings_of_its_parent() -> None:
    settings = Settings(
        redis_url="redis://u:p@h:1/2",
        namespace="x",
        queues=("a", "b"),
        lease_ms=5_000,
        api_port=0,
        prefetch=0,
        demo_ledger="/a b/c",
    )
    inherited = {"PATH": "/bin", "REDIS_URL": "redis://other", "REDSCHED_API_TOKEN_FILE": "/no", "REDSCHED_LEASE": "9s"}
    child = child_environment(settings, inherited)
    assert Settings.load(child) == settings
    assert child["PATH"] == "/bin"


def test_data_live_in_the_users_data_directory() -> None:
    assert default_data_dir({"XDG_DATA_HOME": "/data"}) == "/data/redsched"
    assert default_data_dir({}) == os.path.expanduser("~/.local/share/redsched")


def test_a_port_in_use_is_refused_with_the_option_to_change() -> None:
    import socket

    from redsched.cli.invocation import Failure

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Failure, match=r"--port"):
            supervisor.require_port("127.0.0.1", taken.getsockname()[1])


def test_waiting_ends_when_a_signal_asks_to_stop_or_a_child_ends() -> None:
    with supervisor.Signals() as signals:
        child = subprocess.Popen([sys.executable, "-c", ""])
        assert not signals.wait(30)  # woken by its end, which is no request to stop
        child.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wait(30)
        assert signals.stopped


def test_stopping_kills_a_child_that_does_not_listen() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    stubborn = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    with supervisor.Signals() as signals:
        supervisor.stop([stubborn], signals, grace=0.2)
    assert stubborn.returncode == -signal.SIGKILL


DUE = datetime(2027, 1, 1, tzinfo=UTC)


def test_the_ledger_notes_a_run_however_it_ends(tmp_path: Path) -> None:
    path, ledger = tmp_path / "ledger", Ledger(tmp_path / "ledger")
    assert ledger.read() == []
    with noted(str(path), "a", "otp.send", 1, DUE):
        pass
    with pytest.raises(KeyError), noted(str(path), "b", "otp.send", 2, DUE):
        raise KeyError
    assert [(run.id, run.attempt, run.outcome) for run in ledger.read()] == [("a", 1, "completed"), ("b", 2, "failed")]
    assert ledger.read() == []
    assert ledger.completed("a")
    assert not ledger.completed("b")


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path, ledger = tmp_path / "ledger", Ledger(tmp_path / "ledger")
    path.write_bytes(b"a t 1 1000 1001.500 completed\nb t 1 10")
    assert [run.id for run in ledger.read()] == ["a"]
    with path.open("ab") as file:
        file.write(b"00 1002.000 failed\n")
    assert [(run.id, run.lateness_ms) for run in ledger.read()] == [("b", 2.0)]


def test_the_account_names_every_id_that_did_not_end_as_meant(tmp_path: Path) -> None:
    path, ledger = tmp_path / "ledger", Ledger(tmp_path / "ledger")
    path.write_bytes(b"".join(b"%s t 1 1000 1001.500 completed\n" % id for id in (b"good", b"gone", b"undead")))
    ledger.read()
    meant = {"dead": "dead", "undead": "dead", "cancelled": "cancelled", "late": "cancelled", "skipped": "skipped"}
    states = {
        "good": "completed",
        "unrun": "completed",
        "gone": "missing",
        "stuck": "scheduled",
        "expired": "expired",
        "dead": "dead",
        "undead": "dead",
        "cancelled": "cancelled",
        "late": "completed",
        "skipped": "skipped",
    }
    found = account([*states, "never-seen"], states, ledger, meant)
    assert (found.submitted, found.completed, found.dead, found.cancelled, found.skipped) == (11, 1, 1, 1, 1)
    assert set(found.lost) == {"unrun", "gone", "stuck", "expired", "undead", "late", "never-seen"}
    assert found.line() == (
        "demo: submitted 11, completed 1, dead 1, cancelled 1, skipped 1, lost 7, lateness p50 1.5 ms p99 1.5 ms"
    )


def test_percentiles_are_nearest_ranks() -> None:
    assert percentile([], 50) == 0.0
    assert percentile(list(range(1, 101)), 50) == 50
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([7.0], 99) == 7.0


def test_several_workers_need_a_metrics_port_each() -> None:
    told = CliRunner().invoke(main, ["worker", "redsched.demo.app:app", "-n", "3", "--metrics-port", "65534"])
    assert told.exit_code == 2
    assert "--metrics-port" in told.output
    assert "65534 leaves no ports for 3 processes" in told.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "202612010900"], "this is the year 1976; a date is written"),
        (["--at", "2020-01-01T00:00:00Z"], "Give --past if that is meant."),
        (["--at", "1577836800000"], "Give --past if that is meant."),
        (["--expires-at", "2020-01-01T00:00:00Z"], "Give --past if that is meant."),
        (["--in", "-5s"], "must not be negative"),
        (["--in", "P1Y"], "no duration of weeks, days"),
    ],
)
def test_a_time_that_is_probably_a_mistake_is_refused_with_what_to_do(arguments: list[str], said: str) -> None:
    code, out, err = run("task", "add", "log", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("\n", " ").split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--at", "2020-01-01T00:00:00Z", "--past"],
        ["--past", "--at", "2020-01-01T00:00:00Z"],
        ["--at", "0"],
        ["--at", "2027-01-31t09:00:00z"],
        ["--in", "1 day"],
        ["--in", "P1DT2H"],
        ["--in", "1w"],
    ],
)
def test_a_time_that_is_meant_is_taken(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDSCHED_RETRY_FOR", "0ms")
    for command in (
        ["task", "add", "log"],
        ["task", "reschedule", "a"],
        ["task", "revive", "a"],
        ["quarantine", "requeue", "a"],
    ):
        code, _, err = run(*command, *arguments, "-r", f"redis://127.0.0.1:{free_port()}/0")
        assert code == 5, err


def test_up_shows_a_type_whose_payload_it_can_make_up() -> None:
    app = App("shop")

    @app.task("order.place")
    def place(lines: list[dict[str, str]]) -> None: ...

    @app.task("order.pay")
    def pay(order: str, total: Decimal) -> None: ...

    python, *_ = up_banner.commands(Settings(), app)

    assert "enqueue('order.pay', {'order': 'hello', 'total': '1.50'})" in python
