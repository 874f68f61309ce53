"""``redsched config``, and what every ``--help`` says of settings."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import redsched
from redsched.cli.invocation import Command
from redsched.cli.main import main
from redsched.cli.setting_help import rows_read
from redsched.embedded import free_port
from redsched.settings import TABLE

PACKAGE = Path(redsched.__file__).parent


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments), env=environ)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def listed(*arguments: str, **environ: str) -> dict[str, dict[str, object]]:
    """The rows of ``config show`` by setting."""
    code, out, _ = run("config", "show", *arguments, **environ)
    assert code == 0
    return {row["setting"]: row for row in json.loads(out)["settings"]}


def test_show_lists_every_setting_with_value_unit_and_source() -> None:
    Path("redsched.toml").write_text('concurrency = 2\nqueues = ["otp"]\n')

    rows = listed("--json", "--namespace", "pay", REDSCHED_LEASE="45s")

    assert list(rows) == list(TABLE)
    assert rows["concurrency"] == {
        "setting": "concurrency",
        "value": 2,
        "unit": "tasks",
        "source": "redsched.toml:1",
    }
    assert rows["queues"]["value"] == ["otp"]
    assert (rows["lease_ms"]["value"], rows["lease_ms"]["unit"], rows["lease_ms"]["source"]) == (
        45_000,
        "ms",
        "environment variable REDSCHED_LEASE",
    )
    assert (rows["namespace"]["value"], rows["namespace"]["source"]) == ("pay", "flag")
    assert rows["prefetch"]["source"] == "default"
    assert listed("-o", "json", "--namespace", "pay", REDSCHED_LEASE="45s") == rows


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_show_shows_no_secret(form: list[str]) -> None:
    Path("redsched.toml").write_text('metrics_token = "s3cret-1"\n')
    Path("url").write_text("redis://me:s3cret-2@host/0?password=s3cret-3\n")

    code, out, err = run("config", "show", *form, REDSCHED_REDIS_URL_FILE="url", REDSCHED_API_TOKEN="redis://s3cret-4")

    assert code == 0
    assert "s3cret" not in out + err
    assert "redis://me:***@host/0?password=***" in out
    assert "file url (REDSCHED_REDIS_URL_FILE)" in out


def test_a_misspelt_variable_is_told_once_on_stderr_by_a_command_that_reads_settings() -> None:
    warning = "REDSCHED_LEESE is not a setting and has no effect; did you mean REDSCHED_LEASE?"

    code, out, err = run("acl", "print", REDSCHED_LEESE="1s")
    assert (code, err) == (0, f"Warning: {warning}\n")
    assert "Warning" not in out

    code, out, err = run("config", "show", "--json", REDSCHED_LEESE="1s")
    assert (code, err) == (0, f"Warning: {warning}\n")
    assert json.loads(out)["warnings"] == [warning]
    assert run("version", REDSCHED_LEESE="1s")[2] == ""


def test_a_command_that_reads_the_settings_several_times_tells_a_misspelt_variable_once() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"

    code, _, err = run("demo", REDSCHED_REDIS_URL=url, REDSCHED_LEESE="1s")

    assert code == 5, err
    assert err.count("REDSCHED_LEESE") == 1


def test_check_says_everything_that_is_wrong_and_exits_with_1() -> None:
    assert run("config", "check")[:2] == (0, "The settings can be used.\n")
    Path("own.toml").write_text("concurency = 2\nprefetch = 5_000\n")

    code, out, err = run("config", "check", "--config", "own.toml")

    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "own.toml:1: concurency: there is no such setting; did you mean concurrency?",
        "own.toml:2: prefetch: 5000 is outside 0..1000 tasks",
    ]
    assert json.loads(run("config", "check", "-o", "json", REDSCHED_CONFIG="own.toml")[1])["problems"] == (
        err.splitlines()
    )


def test_a_command_refuses_a_file_of_settings_with_a_mistake() -> None:
    Path("redsched.toml").write_text("concurency = 2\n")

    code, out, err = run("acl", "print")

    assert (code, out) == (2, "")
    assert err == (
        "redsched.toml:1: concurency: there is no such setting; did you mean concurrency?; nothing was started\n"
    )


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words by which it is called."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(("path", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in commands(main)])
def test_the_help_of_a_command_shows_each_setting_it_reads_with_variable_and_default(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert isinstance(command, Command), f"{path} takes no global options"

    code, out, _ = run(*path, "--help")

    told = " ".join(out.split())
    assert code == 0
    for row in rows_read(command.reads, command.replaces).values():
        assert row.variables[-1] in told
        assert f"default: {row.shown_default}]" in told
    read = rows_read(command.reads, command.replaces)
    assert [name for name, row in TABLE.items() if name not in read and f"{row.variables[-1]} " in told] == []


def settings_read_in(*folders: str) -> set[str]:
    """The settings that the files of these folders of the package name as attributes of ``settings``."""
    found = set()
    for file in (file for folder in folders for file in (PACKAGE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and "settings" in ast.unparse(node.value).rpartition(".")[2]:
                found.add(node.attr)
    return found & set(TABLE)


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("client", "steps", "wire"), ("client", "enqueue", "schedule")),
        (("engine/mover",), ("client", "mover")),
        (("engine/worker",), ("client", "enqueue", "worker")),
        (("web",), ("client", "enqueue", "api")),
    ],
)
def test_the_table_says_who_reads_a_setting(folders: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert settings_read_in(*folders) - set(rows_read(words)) == set()
    assert settings_read_in(*folders)
