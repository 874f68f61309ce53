"""Settings: flag over environment over default, secrets from files, errors that name what to change."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from redsched.model.errors import InvalidSetting
from redsched.settings import Settings, child_environment, default_data_dir, masked_url, redis_url_given


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.load({}) == Settings()


def test_a_flag_wins_over_the_environment_which_wins_over_the_default() -> None:
    environ = {"REDSCHED_CONCURRENCY": "4", "REDSCHED_API_PORT": "9000"}
    settings = Settings.load(environ, concurrency=8, api_port=None)
    assert (settings.concurrency, settings.api_port, settings.lease_ms) == (8, 9000, 30_000)


@pytest.mark.parametrize("name", ["REDSCHED_LEASE", "REDSCHED_LEASE_MS"])
@pytest.mark.parametrize("text", ["45s", "45000"])
def test_a_duration_may_have_a_unit_and_its_variable_the_suffix(name: str, text: str) -> None:
    assert Settings.load({name: text}).lease_ms == 45_000


def test_queues_are_separated_by_commas() -> None:
    assert Settings.load({"REDSCHED_QUEUES": "otp, mail,"}).queues == ("otp", "mail")


def test_redis_url_is_the_fallback_of_redsched_redis_url() -> None:
    assert Settings.load({"REDIS_URL": "redis://a"}).redis_url == "redis://a"
    assert Settings.load({"REDIS_URL": "redis://a", "REDSCHED_REDIS_URL": "redis://b"}).redis_url == "redis://b"
    assert not redis_url_given({})
    assert redis_url_given({"REDIS_URL": "redis://a"})


def test_a_secret_is_read_from_the_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    assert Settings.load({"REDSCHED_API_TOKEN_FILE": str(tmp_path / "token")}).api_token == "s3cret"


def test_an_empty_variable_counts_as_none() -> None:
    assert Settings.load({"REDSCHED_API_TOKEN_FILE": "", "REDSCHED_CONCURRENCY": ""}) == Settings()


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(InvalidSetting, match="REDSCHED_API_TOKEN_FILE: cannot be read"):
        Settings.load({"REDSCHED_API_TOKEN_FILE": str(tmp_path / "token")})


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({"REDSCHED_LEASE": "soon"}, "REDSCHED_LEASE"),
        ({"REDSCHED_LEASE_MS": "soon"}, "REDSCHED_LEASE_MS"),
        ({"REDSCHED_LEASE": "10ms"}, "lease_ms"),
        ({"REDSCHED_CONCURRENCY": "many"}, "concurrency"),
        ({"REDSCHED_CONCURRENCY": "0"}, "concurrency"),
        ({"REDSCHED_API_PORT": "65536"}, "api_port"),
        ({"REDSCHED_REDIS_URL": "localhost:6379"}, "redis_url"),
        ({"REDSCHED_NAMESPACE": "a{b}"}, "namespace"),
        ({"REDSCHED_NAMESPACE": "rs\n"}, "namespace"),
        ({"REDSCHED_QUEUES": ","}, "queues"),
        ({"REDSCHED_QUEUES": "a b"}, "queues"),
        ({"REDSCHED_QUEUES": "a,a"}, "queues"),
        ({"REDSCHED_LOG_LEVEL": "loud"}, "log_level"),
        ({"REDSCHED_LOG_FORMAT": "xml"}, "log_format"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(environ: dict[str, str], setting: str) -> None:
    with pytest.raises(InvalidSetting, match="nothing was started") as raised:
        Settings.load(environ)
    assert raised.value.setting == setting


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="leese_ms: there is no such setting"):
        Settings.load({}, leese_ms=1)


def test_settings_cannot_be_changed_and_a_changed_copy_is_checked() -> None:
    settings = Settings()
    with pytest.raises(AttributeError):
        settings.concurrency = 2  # type: ignore[misc]
    with pytest.raises(InvalidSetting):
        msgspec.structs.replace(settings, concurrency=0)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:secret@Host:6379/0", "redis://:***@Host:6379/0"),
        ("rediss://me:secret@host/1?ssl_cert_reqs=none", "rediss://me:***@host/1?ssl_cert_reqs=none"),
        ("redis://me:se/cr@et@[::1]:6379/0", "redis://me:***@[::1]:6379/0"),
        ("unix:///run/redis.sock?db=1&password=secret", "unix:///run/redis.sock?db=1&password=***"),
        ("redis://:secret@host:port:port/[", "redis://:***@host:port:port/["),
        ("http://:secret@[", "http://:***@["),
    ],
)
def test_a_masked_url_shows_no_password(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_an_error_about_a_url_does_not_show_its_password() -> None:
    with pytest.raises(InvalidSetting) as raised:
        Settings.load({"REDSCHED_REDIS_URL": "http://:secret@["})
    assert "secret" not in str(raised.value)


def test_a_child_loads_the_very_settings_of_its_parent() -> None:
    settings = Settings(queues=("otp", "mail"), lease_ms=5_000, api_token="s3cret", namespace="x")
    environ = {"REDSCHED_CONCURRENCY": "3", "REDSCHED_API_TOKEN_FILE": "/nowhere", "REDIS_URL": "redis://other"}
    assert Settings.load(child_environment(settings, environ)) == settings


def test_the_data_directory_follows_the_xdg_variable() -> None:
    assert default_data_dir({"XDG_DATA_HOME": "/data"}) == "/data/redsched"
    assert default_data_dir({}).endswith("/.local/share/redsched")
