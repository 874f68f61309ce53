"""Where settings come from: redsched.toml, files of secrets, and variables that are probably misspelt."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from redsched.model.errors import InvalidSetting
from redsched.settings import TABLE, Configuration, Settings, child_environment

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write lines to a file of the working directory: redsched.toml unless another is named."""
    monkeypatch.chdir(tmp_path)

    def written(*lines: str, name: str = "redsched.toml") -> None:
        (tmp_path / name).write_text("\n".join(lines) + "\n")

    return written


def refused(environ: dict[str, str] | None = None, **flags: object) -> InvalidSetting:
    """The error with which the settings cannot be loaded."""
    with pytest.raises(InvalidSetting) as raised:
        Settings.load(environ or {}, **flags)
    return raised.value


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(write: Write) -> None:
    write("concurrency = 2", "prefetch = 3", "api_port = 4")
    environ = {"REDSCHED_CONCURRENCY": "5", "REDSCHED_PREFETCH": "6"}

    found = Configuration(environ, None, {"concurrency": 7, "namespace": None})

    settings = found.settings()
    assert (settings.concurrency, settings.prefetch, settings.api_port, settings.namespace) == (7, 6, 4, "rs")
    assert [found.source(name) for name in ("concurrency", "prefetch", "api_port", "namespace")] == [
        "flag",
        "environment variable REDSCHED_PREFETCH",
        "redsched.toml:3",
        "default",
    ]
    assert found.is_given("api_port") and not found.is_given("namespace")


def test_the_file_has_the_types_of_toml_and_durations_with_a_unit(write: Write) -> None:
    write('queues = ["otp", "mail"]', "redis_insecure = true", 'lease = "45s"', "shutdown_grace_ms = 9_000")

    settings = Settings.load({})

    assert settings.queues == ("otp", "mail")
    assert settings.redis_insecure is True
    assert (settings.lease_ms, settings.shutdown_grace_ms) == (45_000, 9_000)


def test_a_file_that_is_named_takes_the_place_of_the_usual_one(write: Write) -> None:
    write("concurrency = 2")
    write("concurrency = 3", name="a.toml")
    write("concurrency = 4", name="b.toml")

    assert Settings.load({"REDSCHED_CONFIG": "a.toml"}).concurrency == 3
    assert Settings.load({"REDSCHED_CONFIG": "a.toml"}, config="b.toml").concurrency == 4
    assert Settings.load({"REDSCHED_CONFIG": ""}).concurrency == 2


@pytest.mark.parametrize(
    ("line", "setting", "said"),
    [
        ("concurency = 8", "redsched.toml:2: concurency", "there is no such setting; did you mean concurrency?"),
        ("colour = 8", "redsched.toml:2: colour", "there is no such setting"),
        ("[worker]", "redsched.toml:2: worker", "there is no such setting"),
        ("concurrency = 0", "redsched.toml:2: concurrency", "0 is outside 1..10000 tasks"),
        ("lease_ms = 10", "redsched.toml:2: lease_ms", "10 is outside 1000..3600000 ms"),
        ('lease = "10ms"', "redsched.toml:2: lease", "10 is outside 1000..3600000 ms"),
        ('lease = "soon"', "redsched.toml:2: lease", "it must be 1000..3600000 ms"),
        ("lease = true", "redsched.toml:2: lease", "it must be 1000..3600000 ms"),
        ("lease = 1.5", "redsched.toml:2: lease", "it must be 1000..3600000 ms"),
        ('concurrency = "8"', "redsched.toml:2: concurrency", "'8' is not a whole number of 1..10000 tasks"),
        ("concurrency = true", "redsched.toml:2: concurrency", "True is not a whole number of 1..10000 tasks"),
        ("redis_insecure = 1", "redsched.toml:2: redis_insecure", "1 is not true or false"),
        ('queues = "otp"', "redsched.toml:2: queues", 'must be a list of texts, such as ["one", "two"]'),
        ('log_level = "loud"', "redsched.toml:2: log_level", "'loud' is not one of debug, info, warning, error"),
        ('namespace = "a{b}"', "redsched.toml:2: namespace", "'a{b}' is no name"),
        ("api_token = 123456", "redsched.toml:2: api_token", "the value is not a text"),
        ("concurrency = ", "redsched.toml", "the file is no TOML: Invalid value (at line 2, column 15)"),
    ],
)
def test_a_mistake_in_the_file_names_file_line_key_range_and_unit(
    write: Write, line: str, setting: str, said: str
) -> None:
    write("# ours", line)

    error = refused()

    assert error.setting == setting
    assert said in error.problem
    assert "123456" not in str(error)


def test_a_mistake_in_the_file_is_told_even_where_the_environment_wins(write: Write) -> None:
    write("concurrency = 0")

    assert refused({"REDSCHED_CONCURRENCY": "4"}).setting == "redsched.toml:1: concurrency"


def test_two_names_of_one_setting_are_an_error_that_names_both(write: Write) -> None:
    write("lease_ms = 5000", 'lease = "6s"')

    assert refused().setting == "redsched.toml:2: lease_ms and lease"
    write("")
    both = {"REDSCHED_LEASE_MS": "5000", "REDSCHED_LEASE": "6s"}
    assert refused(both).setting == "REDSCHED_LEASE_MS and REDSCHED_LEASE"


def test_a_file_that_is_named_must_be_there(write: Write) -> None:
    assert Settings.load({}) == Settings()

    error = refused(config="none.toml")

    assert (error.setting, error.problem) == (
        "none.toml",
        "the file of settings cannot be read: No such file or directory",
    )
    write("", name="latin.toml")
    Path("latin.toml").write_bytes(b'namespace = "\xff"')
    assert "no UTF-8" in refused(config="latin.toml").problem


@pytest.mark.parametrize(("content", "found"), [("s3cret-1\n", "s3cret-1"), ("s3cret-2", "s3cret-2")])
def test_one_line_break_at_the_end_of_a_secret_is_left_out(write: Write, content: str, found: str) -> None:
    Path("token").write_text(content)

    configuration = Configuration({"REDSCHED_METRICS_TOKEN_FILE": "token"}, None, {})

    assert configuration.settings().metrics_token == found
    assert configuration.source("metrics_token") == "file token (REDSCHED_METRICS_TOKEN_FILE)"


def test_a_secret_with_more_than_one_line_break_is_not_mended(write: Write) -> None:
    Path("token").write_text("s3cret-1\n\n")

    assert refused({"REDSCHED_API_TOKEN_FILE": "token"}).setting == "REDSCHED_API_TOKEN_FILE"


def test_each_secret_may_come_from_a_file_and_nothing_else_may() -> None:
    assert [row.secret_file for row in TABLE.values() if row.secret_file] == [
        "REDSCHED_REDIS_URL_FILE",
        "REDSCHED_API_TOKEN_FILE",
        "REDSCHED_METRICS_TOKEN_FILE",
    ]


@pytest.mark.parametrize("name", ["redis_url", "api_token", "metrics_token"])
def test_a_secret_that_is_given_twice_is_an_error_that_names_both_variables(write: Write, name: str) -> None:
    variable = f"REDSCHED_{name.upper()}"
    Path("secret").write_text("redis://:s3cret@host")

    error = refused({variable: "redis://:s3cret@other", f"{variable}_FILE": "secret"})

    assert error.setting == f"{variable} and {variable}_FILE"
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("REDSCHED_REDIS_ULR", "; did you mean REDSCHED_REDIS_URL?"),
        ("REDSCHED_LEESE", "; did you mean REDSCHED_LEASE?"),
        ("REDSCHED_API_TOKEN_FLE", "; did you mean REDSCHED_API_TOKEN_FILE?"),
        ("REDSCHED_CONFIGURATION", "; did you mean REDSCHED_CONFIG?"),
        ("REDSCHED_XYZ", ""),
        ("REDSCHED_\x1b[2J", ""),
    ],
)
def test_a_variable_that_is_no_setting_is_a_warning_with_the_nearest_name(write: Write, name: str, said: str) -> None:
    found = Configuration({name: "1"}, None, {})

    shown = name if name.isprintable() else "'REDSCHED_\\x1b[2J'"
    assert found.warnings == [f"{shown} is not a setting and has no effect{said}"]
    assert found.settings() == Settings()


def test_a_variable_that_means_something_is_no_warning(write: Write) -> None:
    names = [name for row in TABLE.values() for name in (*row.variables, row.secret_file) if name]
    environ = dict.fromkeys((*names, "REDSCHED_CONFIG", "REDSCHED_TEST_SEED", "REDIS_URL", "PATH"), "")

    assert Configuration(environ, None, {}).warnings == []


def test_a_child_does_not_take_from_the_file_what_its_parent_has_empty(write: Write) -> None:
    write('api_token = "s3cret-1"', "concurrency = 2")
    settings = Settings(concurrency=16, api_token="")

    child = child_environment(settings, {"PATH": "/bin"})

    assert Settings.load(child) == settings
    assert child["REDSCHED_CONFIG"] == os.devnull


def test_all_problems_are_found_at_once(write: Write) -> None:
    write("concurency = 2", "prefetch = 5_000")

    found = Configuration({"REDSCHED_API_PORT": "http"}, None, {})

    assert found.all_problems() == [
        "redsched.toml:1: concurency: there is no such setting; did you mean concurrency?",
        "redsched.toml:2: prefetch: 5000 is outside 0..1000 tasks",
        "REDSCHED_API_PORT: 'http' is not a whole number of 0..65535",
    ]
    assert Configuration({"REDSCHED_REDIS_CA": "/x"}, os.devnull, {}).all_problems() == [
        "REDSCHED_REDIS_CA: is only for a rediss:// URL"
    ]


def test_every_default_is_inside_its_own_limits_and_every_number_has_limits() -> None:
    for row in TABLE.values():
        assert row.problem_of(row.default) == "", row.name
        assert row.bounds or row.type is not int, row.name
        assert row.about.help and not row.about.help.endswith("."), row.name
