"""Settings: flag over environment over default, secrets from files, errors that name what to change."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import redis
import redis.asyncio

from redsched.client import AsyncClient, Client
from redsched.model.errors import InvalidSetting
from redsched.redis_url import address, masked_url
from redsched.settings import Configuration, Settings, child_environment, default_data_dir


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
    assert not Configuration({}, None, {}).is_given("redis_url")
    assert Configuration({"REDIS_URL": "redis://a"}, None, {}).is_given("redis_url")


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
        ({"REDSCHED_LEASE": "10ms"}, "REDSCHED_LEASE"),
        ({"REDSCHED_CONCURRENCY": "many"}, "REDSCHED_CONCURRENCY"),
        ({"REDSCHED_CONCURRENCY": "0"}, "REDSCHED_CONCURRENCY"),
        ({"REDSCHED_API_PORT": "65536"}, "REDSCHED_API_PORT"),
        ({"REDSCHED_REDIS_URL": "localhost:6379"}, "REDSCHED_REDIS_URL"),
        ({"REDSCHED_NAMESPACE": "a{b}"}, "REDSCHED_NAMESPACE"),
        ({"REDSCHED_NAMESPACE": "rs\n"}, "REDSCHED_NAMESPACE"),
        ({"REDSCHED_QUEUES": ","}, "REDSCHED_QUEUES"),
        ({"REDSCHED_QUEUES": "a b"}, "REDSCHED_QUEUES"),
        ({"REDSCHED_QUEUES": "a,a"}, "REDSCHED_QUEUES"),
        ({"REDSCHED_LOG_LEVEL": "loud"}, "REDSCHED_LOG_LEVEL"),
        ({"REDSCHED_LOG_FORMAT": "xml"}, "REDSCHED_LOG_FORMAT"),
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


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6379", "must begin with redis://"),
        ("redis-sentinel://h/0", "must begin with redis://"),
        ("redis://:se/cret@host/0", "%xx"),
        ("redis://:se#cret@host/0", "%xx"),
        ("redis://:se cret@host/0", "blank"),
        ("redis://[::1/0", "host or port"),
        ("redis://host:port/0", "host or port"),
        ("redis://host:65536/0", "outside 1..65535"),
        ("redis://host:0/0", "outside 1..65535"),
        ("redis://host/zero", "number of a database"),
        ("redis://host/0/1", "number of a database"),
        ("redis://host?db=zero", "number of a database"),
        ("redis://host?db=-1", "number of a database"),
        ("redis://host/0#1", "#"),
        ("redis://host/0?decode_responses=True", "reads bytes"),
        ("redis://host/0?protocol=3", "chooses the protocol"),
        ("redis://host/0?socket_timeout=1", "REDSCHED_REDIS_TIMEOUT"),
        ("redis://host/0?max_connections=0", "above 0"),
        ("redis://host/0?socket_connect_timeout=soon", "seconds"),
        ("redis://host/0?colour=red", "'colour' cannot be used"),
        ("redis://host/0?ssl_ca_certs=/x", "'ssl_ca_certs' cannot be used"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix://", "three slashes"),
        ("unix:///", "three slashes"),
    ],
)
def test_a_url_that_cannot_be_used_says_why_before_anything_connects(url: str, said: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        Settings.load({"REDSCHED_REDIS_URL": url})
    assert raised.value.setting == "REDSCHED_REDIS_URL" and said in raised.value.problem
    assert "cret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host/",
        "redis:///2",
        "redis://me:p%2Fw@[::1]:6379/1",
        "rediss://host/0?ssl_ca_certs=/x",
        "redis://host?db=3&max_connections=8&socket_connect_timeout=0.5",
        "unix:///run/redis.sock?db=1&password=x",
        "unix://me:pw@/run/redis.sock",
    ],
)
def test_a_url_that_redis_py_takes_is_taken(url: str) -> None:
    assert Settings.load({"REDSCHED_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("options", ["ssl_colour=red", "ssl_cert_reqs=perhaps"])
def test_an_option_of_tls_that_there_is_not_is_refused_when_the_client_is_made(options: str) -> None:
    for made in (Client, AsyncClient):
        with pytest.raises(InvalidSetting, match="its options cannot be used"):
            made(settings=Settings(redis_url=f"rediss://host/0?{options}", redis_insecure=True))


def test_a_client_of_redis_py_that_cannot_be_used_is_refused_when_it_is_given() -> None:
    with pytest.raises(InvalidSetting, match="decode_responses"):
        Client(redis=redis.Redis(decode_responses=True))
    with pytest.raises(InvalidSetting, match="decode_responses"):
        AsyncClient(redis=redis.asyncio.Redis(decode_responses=True))
    with pytest.raises(InvalidSetting, match=r"give a redis\.Redis, not a redis\.asyncio\.client\.Redis"):
        Client(redis=redis.asyncio.Redis())
    with pytest.raises(InvalidSetting, match=r"give a redis\.asyncio\.Redis, not a redis\.client\.Redis"):
        AsyncClient(redis=redis.Redis())
    with pytest.raises(InvalidSetting, match=r"not a builtins\.str"):
        Client(redis="redis://host")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://host", "redis://me:pw@Host:6379/0", True),
        ("redis://host", "rediss://host:6379?db=0&ssl_ca_certs=/x", True),
        ("redis://host/1", "redis://host/0", False),
        ("redis://host:6380", "redis://host", False),
        ("unix:///a.sock", "unix://me:pw@/a.sock?db=0", True),
        ("unix:///a.sock", "unix:///b.sock", False),
    ],
)
def test_an_address_tells_servers_apart_and_not_credentials(one: str, other: str, same: bool) -> None:
    assert (address(one) == address(other)) is same


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
