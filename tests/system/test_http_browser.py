"""What a web page may make a browser send to this machine, and what tokens there must be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched.model.errors import InvalidSetting
from redsched.observe.listen import serve_metrics
from redsched.observe.metrics import PrometheusObserver
from redsched.settings import Settings
from redsched.web import check_bind
from tests.support.api_server import JSON, ApiServer, call
from tests.support.servers import Store

TOKEN, HOUR = "s3cret-token", {"delay": "1h"}
WRITES = (
    ("POST", "/v1/schedules/s:trigger"), ("POST", "/v1/schedules/s:pause"), ("POST", "/v1/schedules/s:resume"),
    ("POST", "/v1/tasks/42:cancel"), ("POST", "/v1/tasks/42:run"), ("POST", "/v1/tasks/42:drop"),
    ("POST", "/v1/tasks/42:revive"), ("POST", "/v1/queues/default:pause"), ("POST", "/v1/queues/default:resume"),
)  # fmt: skip


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    yield from _served(valkey_store)


@pytest.fixture
def guarded(valkey_store: Store) -> Iterator[ApiServer]:
    yield from _served(valkey_store, api_token=TOKEN, metrics_token="only-metrics")


@pytest.fixture
def proxied(valkey_store: Store) -> Iterator[ApiServer]:
    yield from _served(valkey_store, api_allowed_hosts=("tasks.example", "proxy.example:8443"))


def _served(store: Store, **settings: Any) -> Iterator[ApiServer]:
    assert store.url is not None
    with ApiServer(store.url, store.namespace, **settings) as server:
        yield server


def _seed(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "a", "id": "42", **HOUR})
    api.put("/v1/schedules/s", {"cron": "@yearly", "task": {"type": "t"}})


def _untouched(api: ApiServer) -> None:
    assert api.get("/v1/tasks/42").json["state"] == "scheduled"
    schedule = api.get("/v1/schedules/s").json
    assert (schedule["state"], schedule["counters"]["triggered"]) == ("active", 0)
    assert api.get("/v1/queues/default/paused").json == {"items": []}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1"]
)
def test_a_name_that_is_not_of_this_machine_is_not_answered(api: ApiServer, host: str) -> None:
    _seed(api)
    for method, path in (*WRITES, *(("GET", path) for path in ("/v1/tasks/42", "/metrics", "/v1/queues", "/nowhere"))):
        assert api.call(method, path, headers={"host": host}).code == "403 foreign_host"
    assert api.post("/v1/tasks", {"type": "a"}, {"host": host}).code == "403 foreign_host"
    _untouched(api)
    for probe in ("/livez", "/readyz"):  # whose sender knows the address, not the name
        assert api.get(probe, {"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8:80", "[::1]", "[::1]:8787", "localhost."]
)
def test_names_of_this_machine_are(api: ApiServer, host: str) -> None:
    assert api.get("/v1/queues", {"host": host}).status == 200


def test_hosts_may_be_named_for_a_proxy(proxied: ApiServer) -> None:
    for host in ("tasks.example", "Tasks.Example:443", "proxy.example:8443", "localhost"):
        assert proxied.get("/v1/queues", {"host": host}).status == 200
    for host in ("proxy.example", "other.example"):
        assert proxied.get("/v1/queues", {"host": host}).code == "403 foreign_host"
    page = {"origin": "https://tasks.example", "sec-fetch-site": "same-origin"}
    assert proxied.post("/v1/tasks", {"type": "a", **HOUR}, page).status == 201
    assert proxied.post("/v1/tasks", {"type": "a", **HOUR}, {"origin": "https://tasks.example:8443"}).status == 403


def test_with_a_token_any_name_will_do(guarded: ApiServer) -> None:
    keyed = {"authorization": f"Bearer {TOKEN}", "host": "redsched.prod.example"}
    assert guarded.get("/v1/queues", keyed).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://evil.example"},
        {"origin": "file://"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"},
        {"origin": "http://localhost:3000", "sec-fetch-site": "same-origin"},
    ],
)
@pytest.mark.parametrize("token", [False, True])
def test_a_page_of_another_origin_writes_nothing(valkey_store: Store, headers: dict[str, str], token: bool) -> None:
    keyed = {"authorization": f"Bearer {TOKEN}"} if token else {}
    for api in _served(valkey_store, api_token=TOKEN if token else ""):
        assert api.post("/v1/tasks", {"type": "a", "id": "42", **HOUR}, keyed).status == 201
        for method, path in WRITES:
            assert api.call(method, path, b"", {**headers, **keyed}).code == "403 cross_site_write"
        for method, path in (("PUT", "/v1/calendars/c"), ("PATCH", "/v1/schedules/s"), ("DELETE", "/v1/rules/r")):
            assert api.call(method, path, b"{}", {**JSON, **headers, **keyed}).code == "403 cross_site_write"
        assert api.get("/v1/tasks/42", keyed).json["state"] == "scheduled"
        assert api.get("/v1/queues/default/paused", keyed).json == {"items": []}


def test_a_page_of_its_own_origin_and_programs_go_on(api: ApiServer) -> None:
    place = api.url.removeprefix("http://")
    port = place.partition(":")[2]
    for headers in (
        {"origin": api.url, "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": api.url},
        {"origin": f"http://localhost:{port}", "host": f"localhost:{port}"},
        {"origin": "http://localhost", "host": "localhost:80"},
        {},
    ):
        assert api.post("/v1/tasks", {"type": "a", **HOUR}, headers).status == 201, headers


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
)
def test_a_form_without_a_body_is_no_action(api: ApiServer, kind: str) -> None:
    _seed(api)
    for method, path in WRITES:
        for body in (b"", b"  ", b"a=b"):
            assert api.call(method, path, body, {"content-type": kind}).code == "415 unsupported_media_type"
    for _, path in WRITES:
        assert api.call("POST", path, b" ").code == "415 unsupported_media_type"
    _untouched(api)


@pytest.mark.parametrize("token", [" ", "t", "x y z a b", "12345", "\t", "tok\nen123", "      "])
def test_a_token_that_is_none_is_refused(token: str, tmp_path: Path) -> None:
    for name in ("api_token", "metrics_token"):
        with pytest.raises(InvalidSetting, match=f"REDSCHED_{name.upper()}") as refused:
            Settings.load({f"REDSCHED_{name.upper()}": token})
        assert token not in refused.value.problem or len(token) == 1
    (tmp_path / "token").write_text("\n")
    with pytest.raises(InvalidSetting, match=r"REDSCHED_API_TOKEN_FILE: .*token is empty"):
        Settings.load({"REDSCHED_API_TOKEN_FILE": str(tmp_path / "token")})


@pytest.mark.parametrize("host", ["a b", "http://a", "a/b", "", "*.example"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(InvalidSetting, match="api_allowed_hosts"):
        check_bind(Settings(api_allowed_hosts=(host,)))
    found = Settings.load({"REDSCHED_API_ALLOWED_HOSTS": "a.example, [2001:db8::1]:80,*"})
    assert found.api_allowed_hosts == ("a.example", "[2001:db8::1]:80", "*")


def test_metrics_may_have_a_token_that_opens_nothing_else(guarded: ApiServer) -> None:
    keyed = {"authorization": "Bearer only-metrics"}
    assert guarded.get("/metrics", keyed).status == 200
    assert guarded.get("/metrics", {"authorization": f"Bearer {TOKEN}"}).status == 200
    assert guarded.get("/v1/queues", keyed).code == "401 invalid_key"
    assert guarded.get("/metrics").code == "401 missing_key"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_metrics_of_a_worker_on_an_open_address_need_a_token(host: str) -> None:
    with pytest.raises(InvalidSetting, match="REDSCHED_METRICS_TOKEN"):
        asyncio.run(serve_metrics(PrometheusObserver(), host))


def test_metrics_of_a_worker_are_for_who_has_the_token_or_is_on_this_machine() -> None:
    async def look(host: str, token: str) -> list[int]:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve_metrics(PrometheusObserver(), host, on_ready=ready.set_result, token=token))
        url = (await ready).replace("0.0.0.0", "127.0.0.1")
        statuses = []
        for path, headers in (
            ("/metrics", {}),
            ("/metrics", {"authorization": "Bearer right-one"}),
            ("/livez", {}),
            ("/metrics", {"host": "evil.example"}),
        ):
            statuses.append((await asyncio.to_thread(call, url, "GET", path, None, headers)).status)
        serving.cancel()
        await asyncio.wait([serving])
        return statuses

    assert asyncio.run(look("0.0.0.0", "right-one")) == [401, 200, 200, 401]
    assert asyncio.run(look("127.0.0.1", "")) == [200, 200, 200, 403]


def test_without_the_token_readyz_says_ready_or_not_and_nothing_else(valkey_store: Store) -> None:
    keyed = {"authorization": f"Bearer {TOKEN}"}
    with ApiServer("redis://127.0.0.1:1/0", api_token=TOKEN, retry_for_ms=0) as away:
        for path in ("/readyz", "/readyz?verbose"):
            assert (away.get(path).status, away.get(path).json) == (503, {"status": "not_ready"})
            assert away.get(path, {"authorization": "Bearer another"}).json == {"status": "not_ready"}
        told = away.get("/readyz", keyed).json
    assert told["checks"] == [{"name": "redis", "ok": False, "detail": "store_unavailable"}]
    with ApiServer("redis://127.0.0.1:1/0", retry_for_ms=0) as near:
        assert "127.0.0.1" not in near.get("/readyz?verbose").body.decode()
    for api in _served(valkey_store, api_token=TOKEN):
        assert api.get("/readyz?verbose").json == {"status": "ready"}
        assert len(api.get("/readyz?verbose", keyed).json["checks"]) == 4
