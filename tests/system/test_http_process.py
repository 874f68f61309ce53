"""The HTTP interface as a process among others: who may ask, what it says of its health, how it starts and ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched.embedded import EmbeddedServer, free_port
from redsched.model.errors import InvalidSetting
from redsched.settings import Settings
from redsched.web import check_bind, serve
from tests.support.api_server import ApiServer, call
from tests.support.exposition import value
from tests.support.processes import until
from tests.support.servers import Store, connect, start_valkey

HOUR = {"delay": "1h"}
TOKEN = "s3cret-töken"


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


@pytest.fixture
def guarded(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace, api_token=TOKEN) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that the test may stop, fill or stun."""
    with start_valkey(tmp_path / "data") as server:
        yield server


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}".encode().decode("latin-1")}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/tasks"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/queues"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("POST", "/v1/tasks:batch"),
        ("POST", "/v1/tasks/x:cancel"),
    ],
)
def test_without_the_token_nothing_is_told_or_done(
    guarded: ApiServer, valkey_store: Store, method: str, path: str
) -> None:
    missing = guarded.call(method, path)
    wrong = guarded.call(method, path, headers=bearer(TOKEN + "x"))
    other_scheme = guarded.call(method, path, headers={"authorization": "Basic s3cret"})

    assert (missing.code, wrong.code, other_scheme.code) == ("401 missing_key", "401 invalid_key", "401 invalid_key")
    assert missing.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in wrong.body.decode()
    assert valkey_store.keys() == []


def test_with_the_token_everything_works_and_probes_need_none(guarded: ApiServer) -> None:
    assert guarded.post("/v1/tasks", {"type": "a", **HOUR}, bearer(TOKEN)).status == 201
    lower = bearer(TOKEN)["authorization"].replace("Bearer", "bearer")
    assert guarded.get("/metrics", {"authorization": lower}).status == 200
    assert guarded.get("/livez").status == 200
    assert guarded.get("/readyz").status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org", ""])
def test_an_open_address_is_refused_without_a_token(host: str) -> None:
    with pytest.raises(InvalidSetting, match="REDSCHED_API_TOKEN"):
        check_bind(Settings(api_host=host))
    with pytest.raises(InvalidSetting, match="nothing was started"):
        asyncio.run(serve(Settings(api_host=host, api_port=0)))
    check_bind(Settings(api_host=host, api_token="t0ken-of-length"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_token(host: str) -> None:
    check_bind(Settings(api_host=host))


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSetting, match=f"api_port: port {port} of 127.0.0.1 is in use"):
            asyncio.run(serve(Settings(api_port=port)))


def test_a_write_from_another_site_is_refused_and_a_read_is_not(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "a", "id": "42", **HOUR})
    cross = {"sec-fetch-site": "cross-site"}

    assert api.post("/v1/tasks", {"type": "a"}, cross).code == "403 cross_site_write"
    assert api.post("/v1/tasks/42:cancel", headers=cross).code == "403 cross_site_write"
    assert api.post("/v1/tasks/42:cancel", headers={"sec-fetch-site": "same-origin"}).status == 200
    assert api.get("/v1/queues", cross).status == 200


def test_it_is_ready_on_a_server_that_has_never_seen_redsched(own_server: EmbeddedServer) -> None:
    with ApiServer(own_server.url) as api:
        assert (api.get("/readyz").status, api.get("/readyz").json) == (200, {"status": "ready"})
        verbose = api.get("/readyz?verbose").json
    assert [check["name"] for check in verbose["checks"] if check["ok"]] == ["redis", "role", "lua", "memory"]


def test_while_redis_is_away_it_lives_and_is_not_ready_and_says_so_to_producers(own_server: EmbeddedServer) -> None:
    with ApiServer(own_server.url, retry_for_ms=200) as api:
        own_server.stop()

        probe, refused = api.get("/readyz"), api.post("/v1/tasks", {"type": "a", **HOUR})
        metrics = api.get("/metrics")

        assert api.get("/livez").status == 200
        assert (probe.status, probe.json["status"], probe.json["checks"][0]["name"]) == (503, "not_ready", "redis")
        assert refused.code == "503 store_unavailable"
        assert refused.headers["retry-after"] == "1"
        assert value(metrics.body, "redsched_redis_errors_total", kind="store_unavailable") == 2

        own_server.restart()
        assert api.get("/readyz").status == 200
        assert api.post("/v1/tasks", {"type": "a", **HOUR}).status == 201


def test_while_redis_hangs_probes_answer_in_time_and_a_submit_does_not_claim_to_know(
    own_server: EmbeddedServer,
) -> None:
    with ApiServer(own_server.url, redis_timeout_ms=300, retry_for_ms=0) as api:
        until(lambda: api.post("/v1/tasks", {"type": "a", "id": "41", **HOUR}).status in (200, 201))
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            unknown = api.post("/v1/tasks", {"type": "a", "id": "42", **HOUR})
            assert unknown.code == "503 outcome_unknown"
            assert "same id or request" in unknown.json["detail"]
            began = time.monotonic()
            probe = api.get("/readyz")
            assert time.monotonic() - began < 10
            assert probe.status == 503
            assert api.get("/livez").status == 200
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        until(lambda: api.post("/v1/tasks", {"type": "a", "id": "42", **HOUR}).status in (200, 201))
        until(lambda: api.get("/v1/queues/default").json.get("scheduled") == 2)


def test_a_full_server_is_told_to_producers_and_still_answers_questions(own_server: EmbeddedServer) -> None:
    with ApiServer(own_server.url) as api, connect(own_server.url) as redis:
        api.post("/v1/tasks", {"type": "a", "id": "42", **HOUR})
        redis.config_set("maxmemory", 1_000_000)

        assert api.post("/v1/tasks", {"type": "a"}).code == "503 store_out_of_memory"
        assert [check["name"] for check in api.get("/readyz").json["checks"]] == ["memory"]
        assert api.get("/v1/tasks/42").status == 200
        assert api.post("/v1/tasks/42:cancel").status == 200


def test_a_replica_is_not_ready_and_refuses_writes(own_server: EmbeddedServer) -> None:
    with ApiServer(own_server.url, retry_for_ms=100) as api, connect(own_server.url) as redis:
        api.post("/v1/tasks", {"type": "a", **HOUR})
        redis.execute_command("REPLICAOF", "127.0.0.1", free_port())

        refused = api.post("/v1/tasks", {"type": "a"})

        assert refused.code == "503 store_read_only"
        assert refused.headers["retry-after"] == "1"
        assert api.get("/readyz").json["checks"] == [{"name": "role", "ok": False, "detail": "slave"}]


def test_metrics_tell_what_was_enqueued_and_how_the_queues_stand(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "a", "queue": "q", "id": "1", **HOUR})
    api.post("/v1/tasks", {"type": "a", "queue": "q", "id": "1", **HOUR})
    api.post("/v1/tasks:batch", [{"type": "b", "queue": "q", **HOUR}, {"type": "b", "queue": "q", "delay": "x"}])
    api.get("/v1/tasks/none")
    api.get("/wp-admin")

    answer = api.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body
    assert value(text, "redsched_tasks_enqueued_total", queue="q", type="a", source="http") == 1
    assert value(text, "redsched_tasks_enqueued_total", queue="q", type="b", source="http") == 1
    assert value(text, "redsched_queue_tasks", queue="q", state="scheduled") == 2
    assert value(text, "redsched_queue_oldest_due_age_seconds", queue="q") == 0
    requests = "redsched_http_requests_total"
    assert value(text, requests, method="POST", route="/v1/tasks", code="201") == 1
    assert value(text, requests, method="POST", route="/v1/tasks", code="200") == 1
    assert value(text, requests, method="GET", route="/v1/tasks/{id}", code="404") == 1
    assert value(text, requests, method="GET", route="unmatched", code="404") == 1


class Process:
    """``redsched api`` as a user starts it."""

    def __init__(self, url: str, namespace: str, **settings: Any) -> None:
        environ = {name: text for name, text in os.environ.items() if not name.startswith("REDSCHED_")}
        environ |= {"REDSCHED_REDIS_URL": url, "REDSCHED_NAMESPACE": namespace, "REDSCHED_LOG_FORMAT": "json"}
        environ |= {f"REDSCHED_{name.upper()}": str(setting) for name, setting in settings.items()}
        command = [sys.executable, "-m", "redsched", "api", "--port", "0"]
        self.process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def url(self) -> str:
        """Wait for the line that tells it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            found = json.loads(line)
            if found["event"] == "api.listening":
                return str(found["url"])
        raise AssertionError(f"it ended: {self.lines}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order_though_a_client_keeps_its_connection(
    valkey_store: Store, number: signal.Signals
) -> None:
    assert valkey_store.url is not None
    with Process(valkey_store.url, valkey_store.namespace) as running:
        url = running.url()
        body = json.dumps({"type": "a", "payload": "canary-4711", **HOUR}).encode()
        assert call(url, "POST", "/v1/tasks", body, {"content-type": "application/json"}).status == 201
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as idle:
            idle.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            assert idle.recv(4_096).startswith(b"HTTP/1.1 200")
            running.process.send_signal(number)
            assert running.process.wait(60) == 0
        assert running.process.stderr is not None
        log = "".join(running.lines) + running.process.stderr.read()
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["api.listening", "api.stopped"]
    assert "canary-4711" not in log


def test_an_open_address_without_a_token_ends_the_process_with_a_line_for_people(valkey_store: Store) -> None:
    assert valkey_store.url is not None
    with Process(valkey_store.url, valkey_store.namespace, api_host="0.0.0.0") as running:
        _, said = running.process.communicate(timeout=60)
        assert running.process.returncode not in (0, None)
    assert "REDSCHED_API_TOKEN" in said
    assert "Traceback" not in said
