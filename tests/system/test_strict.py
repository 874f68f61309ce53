"""Strict calls refuse a type that no worker has put, or a payload that does not fit it, before anything is written."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from redsched import App, Client, InvalidTask, Task
from redsched.cli.main import main
from redsched.engine.app_types import type_put
from redsched.model.errors import InvalidSetting
from redsched.wire import protocol
from tests.support.acl_users import Users
from tests.support.api_server import ApiServer
from tests.support.app_types import put_types
from tests.support.servers import Store

app = App("strict")


@app.task("otp.send", queue="otp")
def send_otp(phone: str, code: str = "0000") -> None: ...


@app.task("only", unknown="refuse")
def only(n: int) -> None: ...


@pytest.fixture
def store(valkey_store: Store) -> Store:
    """A namespace in which the types of the app have been put."""
    with valkey_store.client() as client:
        put_types(client, app)
    return valkey_store


@pytest.fixture
def strict(store: Store) -> Iterator[Client]:
    """A strict client."""
    with Client(store.url, namespace=store.namespace, strict=True) as client:
        yield client


def written(store: Store) -> list[str]:
    """The keys of tasks."""
    return sorted(store.redis.keys(store.key("task:*")))


def test_what_fits_is_taken_and_goes_to_the_queue_of_its_type(strict: Client) -> None:
    assert strict.enqueue("otp.send", {"phone": "+49"}).queue == "otp"
    assert strict.enqueue("otp.send", {"phone": "+49", "more": 1}).status == "created"  # ignored, as the handler does
    assert strict.enqueue("otp.send", "+49").status == "created"  # the one that it needs
    assert strict.enqueue(send_otp, "+49").status == "created"
    assert [one.queue for one in strict.enqueue_many([Task(type="only", payload={"n": 1})] * 2)] == ["default"] * 2


@pytest.mark.parametrize(
    ("type_", "payload", "field", "told"),
    [
        ("otp.sent", {}, "type", "a text of 8 characters is a type that no worker has put; did you mean otp.send?"),
        ("mail", {}, "type", "is a type that no worker has put;"),
        ("otp.send", {}, "payload", "does not fit its type at $: phone is required"),
        ("otp.send", {"phone": 7}, "payload", "does not fit its type at $.phone: it must be a text"),
        ("only", {"n": 1, "secret": "x"}, "payload", "does not fit its type at $: it has 1 unknown members"),
        ("only", {"n": "secret"}, "payload", "does not fit its type at $.n: it must be a whole number"),
        ("only", [1], "payload", "does not fit its type"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_without_its_value(
    strict: Client, store: Store, type_: str, payload: Any, field: str, told: str
) -> None:
    for make in (
        lambda: strict.enqueue(type_, payload),
        lambda: strict.expect("paid", "1", "1h", type_, payload),
        lambda: strict.chain([Task(type="otp.send", payload="+49"), Task(type=type_, payload=payload)]),
        lambda: strict.enqueue_many([Task(type="otp.send", payload="+49"), Task(type=type_, payload=payload)]),
    ):
        with pytest.raises(InvalidTask) as caught:
            make()
        assert told in str(caught.value) and caught.value.field == field
        assert "secret" not in str(caught.value) and "nothing was written" in str(caught.value)
    assert caught.value.index == 1
    assert written(store) == []


def test_a_client_that_is_not_strict_takes_all_of_it(store: Store) -> None:
    with store.client() as client:
        assert client.enqueue("mail", {}).status == client.enqueue("only", []).status == "created"


def test_over_http_a_request_says_it_for_itself(store: Store) -> None:
    bad, good = {"type": "only", "payload": {"n": "x"}}, {"type": "only", "payload": {"n": 1}}
    with ApiServer(store.url or "", store.namespace) as api:
        assert api.post("/v1/tasks", bad).status == 201
        assert api.post("/v1/tasks?strict=true", good).status == 201
        assert api.post("/v1/tasks?strict=true", {"type": "no", "payload": {}}).code == "422 unknown_type"
        refused = api.post("/v1/tasks?strict=true", bad)
        assert (refused.code, refused.pointers) == ("422 payload_mismatch", ["/payload"])
        assert api.post("/v1/tasks?strict=yes", good).code == "400 bad_filter"

        some = api.post("/v1/tasks:batch?strict=true", [good, bad, good, {"type": "no"}]).json
        assert [one["status"] for one in some["results"]] == ["created", "invalid", "created", "invalid"]
        assert [one["problem"]["code"] for one in some["results"] if "problem" in one] == [
            "payload_mismatch",
            "unknown_type",
        ]
        before = written(store)
        none = api.post("/v1/tasks:batch?strict=true&atomic=true", [good, bad])
        assert (none.status, none.pointers) == (422, ["/1/payload"])
        assert api.post("/v1/workflows?strict=true", {"chain": [good, bad]}).code == "422 payload_mismatch"
        assert written(store) == before


def test_types_are_shown_over_http_and_on_the_command_line(store: Store) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        environment = {"REDSCHED_REDIS_URL": store.url or "", "REDSCHED_NAMESPACE": store.namespace, "COLUMNS": "200"}
        result = CliRunner().invoke(main, list(arguments), env=environment)
        return result.exit_code, result.stdout, result.stderr

    with ApiServer(store.url or "", store.namespace) as api:
        page = api.get("/v1/types?limit=1").json
        assert [one["name"] for one in page["items"]] == ["only"] and page["next_cursor"] == "only"
        assert [one["name"] for one in api.get("/v1/types?cursor=only").json["items"]] == ["otp.send"]
        shown = api.get("/v1/types/otp.send").json
        assert (shown["queue"], shown["app"], shown["live"]) == ("otp", "strict", True)
        assert api.get("/v1/types/none").code == "404 type_not_found"
        assert api.get("/v1/types?cursor=a%20b").code == "400 bad_cursor"
    code, out, _ = run("type", "ls")
    assert code == 0 and "otp.send" in out and "strict" in out
    assert json.loads(run("type", "show", "otp.send", "-o", "json")[1]) == shown
    assert run("type", "show", "none")[0] == 3
    assert run("task", "add", "otp.sent", "-p", "{}", "--strict")[0] == 2
    assert "did you mean otp.send?" in run("task", "add", "otp.sent", "-p", "{}", "--strict")[2]
    assert run("task", "add", "otp.send", "-p", '"+49"', "--strict")[1].endswith("in queue otp\n")


def test_without_the_package_a_strict_call_says_what_is_missing(
    store: Store, strict: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    for _ in range(2):  # the second time, too: nothing was learned of the type
        with pytest.raises(InvalidSetting, match=r"pip install 'redsched\[strict\]'"):
            strict.enqueue("only", {"n": 1})
    with ApiServer(store.url or "", store.namespace) as api:
        assert api.post("/v1/tasks?strict=true", {"type": "only", "payload": {"n": 1}}).code == "501 strict_unavailable"
    assert written(store) == []


def test_a_type_that_is_put_later_is_known_some_seconds_after(
    valkey_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey_store.client() as client:
        assert client.enqueue("otp.send", "+49").queue == "default"
        types = [type_put(app.tasks["otp.send"])]
        client.transport.send(protocol.put_types(client.cell_keys, "strict", None, "w", 5, types))
        assert client.enqueue("otp.send", "+49").queue == "default"

        monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 5)
        assert client.enqueue("otp.send", "+49").queue == "otp"


def test_a_known_type_costs_no_call(store: Store) -> None:
    def calls() -> int:
        return int(store.redis.info("commandstats").get("cmdstat_fcall", {}).get("calls", 0)) + int(
            store.redis.info("commandstats").get("cmdstat_fcall_ro", {}).get("calls", 0)
        )

    with store.client() as client:
        client.enqueue("otp.send", "+49")
        before = calls()
        for _ in range(10):
            client.enqueue("otp.send", "+49")
        assert calls() == before + 10


def test_who_may_not_read_types_enqueues_as_if_nobody_had_put_any(users: Users) -> None:
    prefix = users.key("")
    name = users.name("producer")
    keys = (f"~{prefix}*:q*", *(f"%W~{prefix}{key}" for key in ("events", "queues", "sweeps")))
    users.store.redis.execute_command("ACL", "SETUSER", name, "resetkeys", *keys)  # as an older version made it
    users.store.redis.hset(users.key("types"), "t", "other strict - 5")
    with users.client("producer") as client:
        assert not client.before_enqueue([Task(type="t")])
        assert client.enqueue("t", {}, queue="q").status == "created"
