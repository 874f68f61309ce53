"""Submitting, reading and acting on single tasks over HTTP, against a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.api_server import JSON, ApiServer
from tests.support.servers import Store

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HOUR = {"delay": "1h"}


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def test_a_new_task_is_201_and_its_location_shows_it(api: ApiServer) -> None:
    created = api.post("/v1/tasks", {"type": "otp.send", "payload": {"phone": "+4912", "n": 2**70}, **HOUR})

    assert created.status == 201
    assert created.json["status"] == "created"
    assert created.headers["location"] == f"/v1/tasks/{created.json['id']}?queue=default"
    shown = api.get(created.headers["location"])
    assert shown.status == 200
    assert (shown.json["state"], shown.json["type"]) == ("scheduled", "otp.send")
    assert shown.json["payload"] == {"phone": "+4912", "n": 2**70}
    left = datetime.fromisoformat(shown.json["due_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left < timedelta(minutes=61)


STORED = b'{"b" : 1.0, "a":1e5,"n":12345678901234567890,"a":[ ],"s":"\\u00e9\\/"}'


def test_what_is_stored_is_shown_byte_for_byte(api: ApiServer, valkey_store: Store) -> None:
    prefix = f"{{{valkey_store.namespace}}}:"
    conditions = b'{"unless":{"fact":"x", "greater":1.50}}'
    headers, tags = b'{"h":"\\u00e9"}', b'[ "x" ]'
    fields = {"type": "t", "payload": STORED, "headers": headers, "tags": tags, "conditions": conditions}
    valkey_store.redis.hset(f"{prefix}task:default:raw", mapping=fields)
    valkey_store.redis.hset(f"{prefix}outcome:default:raw", mapping={"result": STORED, "progress": b"1.0"})
    valkey_store.redis.zadd(f"{prefix}due:default", {"raw": 3_900_000_000_000})

    shown = api.get("/v1/tasks/raw").body

    for name, text in [
        ("payload", STORED),
        ("result", STORED),
        ("progress", b"1.0"),
        ("tags", tags),
        ("headers", headers),
        ("conditions", conditions),
    ]:
        assert b'"%b":%b' % (name.encode(), text) in shown
    assert b"not_json" not in shown


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"01067", "01067"),
        (b"no json", "no json"),
        (b'"\xff"', '"\\xff"'),
        (b"[1,nan]", "[1,nan]"),
        (b"", ""),
        (b"1],[2", "1],[2"),
        (b"[" * 5_000 + b"]" * 5_000, "[" * 5_000 + "]" * 5_000),
        (b"1e999", "1e999"),
    ],
    ids=str,
)
def test_what_is_no_json_is_shown_as_text_and_said_to_be_none(
    api: ApiServer, valkey_store: Store, payload: bytes, text: str
) -> None:
    prefix = f"{{{valkey_store.namespace}}}:"
    valkey_store.redis.hset(f"{prefix}task:default:raw", mapping={"type": "t", "payload": payload})
    valkey_store.redis.zadd(f"{prefix}due:default", {"raw": 3_900_000_000_000})

    shown = api.get("/v1/tasks/raw")

    assert shown.status == 200
    assert (shown.json["payload"], shown.json["not_json"]) == (text, ["payload"])


def test_the_result_of_a_parent_is_shown_byte_for_byte(api: ApiServer, valkey_store: Store) -> None:
    with valkey_store.client() as client:
        client.enqueue("t", id="parent")
        client.enqueue("t", id="child", after="parent")
    key = f"{{{valkey_store.namespace}}}:parents:default:child"
    valkey_store.redis.hset(key, "default/parent", b"completed " + STORED)
    valkey_store.redis.delete(f"{{{valkey_store.namespace}}}:task:default:parent")

    assert b'"result":' + STORED in api.get("/v1/tasks/child/parents").body


def test_a_repeated_task_is_200_and_another_one_with_its_id_is_409(api: ApiServer) -> None:
    task = {"type": "a", "id": "order-42:remind", "payload": [1], **HOUR}

    first, second = api.post("/v1/tasks", task), api.post("/v1/tasks", task)
    other = api.post("/v1/tasks", {**task, "payload": [2]})

    assert (first.status, second.status, second.json["status"]) == (201, 200, "existing")
    assert "location" not in second.headers
    assert other.code == "409 task_exists"
    assert api.get("/v1/tasks/order-42:remind").json["payload"] == [1]


def test_a_call_repeated_with_its_request_token_is_answered_as_the_first(api: ApiServer) -> None:
    task = {"type": "a", "id": "42", "request": "r-1", **HOUR}

    assert [api.post("/v1/tasks", task).status for _ in range(2)] == [201, 201]
    assert api.get("/v1/queues/default").json["scheduled"] == 1


def test_every_field_arrives(api: ApiServer) -> None:
    task = {
        "type": "mail.send",
        "payload": "text",
        "queue": "x+y",
        "id": "A.1@b:c",
        "due": "2091-01-31T09:00:00+01:00",
        "priority": "high",
        "max_attempts": 7,
        "retry": {"kind": "exponential", "base": "2s", "factor": 3, "max": "1m"},
        "timeout": "90s",
        "expires_at": 3_900_000_000_000,
        "key": "order-42",
        "tags": ["a", "é"],
        "headers": {"h": "v"},
        "retention": "2d",
        "keep": True,
        "request": "r",
    }
    created = api.post("/v1/tasks", task)

    assert created.headers["location"] == "/v1/tasks/A.1@b:c?queue=x%2By"
    shown = api.get(created.headers["location"]).json
    assert shown["due_at"] == "2091-01-31T08:00:00Z"
    assert shown["expires_at"] == "2093-08-01T21:20:00Z"
    expected = {
        "type": "mail.send",
        "payload": "text",
        "queue": "x+y",
        "id": "A.1@b:c",
        "priority": "high",
        "max_attempts": 7,
        "retry": "exponential 2000 3 60000 0.2",
        "timeout_ms": 90_000,
        "key": "order-42",
        "tags": ["a", "é"],
        "headers": {"h": "v"},
        "retention_ms": 172_800_000,
        "keep": True,
        "request": "r",
    }
    assert {name: shown.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("retry", "wire"),
    [
        ({"kind": "fixed", "delay": "5s"}, "fixed 5000"),
        ({"kind": "list", "delays": [1_000, "1m"]}, "list 1000 60000"),
        (["1s", 5_000], "list 1000 5000"),
        ({"kind": "exponential"}, "exponential 5000 2 3600000 0.2"),
    ],
)
def test_a_retry_policy_is_given_by_kind_or_as_a_list(api: ApiServer, retry: Any, wire: str) -> None:
    created = api.post("/v1/tasks", {"type": "a", "retry": retry, **HOUR})

    assert api.get(created.headers["location"]).json["retry"] == wire


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"colour": 1}, "unknown_field", "/colour"),
        ({"a/b~c": 1}, "unknown_field", "/a~1b~0c"),
        ({"run_at": "now"}, "unknown_field", "/run_at"),
        ({"retry": {"kind": "fixed", "delay": 1, "x": 1}}, "unknown_field", "/retry/x"),
        ({"retry": {"kind": "never"}}, "validation_failed", "/retry/kind"),
        ({"retry": {"kind": "exponential", "factor": 99}}, "validation_failed", "/retry"),
        ({"due": "2027-01-01T00:00:00"}, "validation_failed", "/due"),
        ({"due": 1_800_000_000}, "validation_failed", "/due"),
        ({"due": 0, "delay": 5}, "validation_failed", "/delay"),
        ({"due": True}, "validation_failed", "/due"),
        ({"delay": -1}, "validation_failed", "/delay"),
        ({"delay": "soon"}, "validation_failed", "/delay"),
        ({"expires_at": "2027-01-01"}, "validation_failed", "/expires_at"),
        ({"type": "not a name"}, "validation_failed", "/type"),
        ({"type": None}, "validation_failed", "/type"),
        ({"queue": "{rs}"}, "validation_failed", "/queue"),
        ({"id": "-x"}, "validation_failed", "/id"),
        ({"id": 7}, "validation_failed", "/id"),
        ({"priority": "urgent"}, "validation_failed", "/priority"),
        ({"max_attempts": 0}, "validation_failed", "/max_attempts"),
        ({"timeout": "0s"}, "validation_failed", "/timeout"),
        ({"tags": ["a", 1]}, "validation_failed", "/tags/1"),
        ({"headers": {"a": 1}}, "validation_failed", "/headers"),
        ({"keep": "yes"}, "validation_failed", "/keep"),
    ],
)
def test_a_field_that_cannot_be_used_is_422_with_its_pointer_and_nothing_is_written(
    api: ApiServer, valkey_store: Store, change: dict[str, Any], code: str, pointer: str
) -> None:
    refused = api.post("/v1/tasks", {"type": "a", **change})

    assert refused.code == f"422 {code}"
    assert refused.pointers == [pointer]
    assert refused.json["detail"].endswith("nothing was written")
    assert valkey_store.keys() == []


def test_a_missing_type_is_named(api: ApiServer) -> None:
    refused = api.post("/v1/tasks", {"payload": 1})

    assert refused.code == "422 validation_failed"
    assert refused.json["errors"] == [{"code": "required", "detail": "is required", "pointer": "/type"}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"type":"a"} x',
        b'{"type":"a","payload":NaN}',
        b'{"type":"a","payload":Infinity}',
        b'{"type":"a","payload":"\xff"}',
        b'{"type":"a","payload":"\\ud800"}',
        '{"type":"a"}'.encode("utf-16"),
        b'{"type":"a","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"a","payload":"a\nb"}',
    ],
)
def test_what_is_not_json_is_400(api: ApiServer, valkey_store: Store, body: bytes) -> None:
    assert api.post("/v1/tasks", body).code == "400 malformed_json"
    assert valkey_store.keys() == []


@pytest.mark.parametrize("body", [b"[]", b"null", b'"a"', b'{"type":"a","payload":1e999}'])
def test_json_of_another_shape_is_422(api: ApiServer, body: bytes) -> None:
    assert api.post("/v1/tasks", body).code == "422 validation_failed"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "", "application/x-ndjson"])
def test_another_content_type_is_415_and_says_which_header_to_add(api: ApiServer, kind: str) -> None:
    refused = api.call("POST", "/v1/tasks", b'{"type":"a"}', {"content-type": kind} if kind else {})

    assert refused.code == "415 unsupported_media_type"
    assert "-H 'content-type: application/json'" in refused.json["detail"]


def test_a_charset_beside_the_content_type_is_fine(api: ApiServer) -> None:
    assert api.post("/v1/tasks", {"type": "a"}, {"content-type": "Application/JSON; charset=utf-8"}).status == 201


def test_a_payload_at_the_limit_is_taken_and_a_byte_more_is_413(api: ApiServer) -> None:
    fits = "x" * (api.settings.max_payload_bytes - 2)

    assert api.post("/v1/tasks", {"type": "a", "payload": fits}).status == 201
    too_long = api.post("/v1/tasks", {"type": "a", "payload": fits + "x"})
    assert (too_long.code, too_long.pointers) == ("413 payload_too_large", ["/payload"])


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_beyond_the_limit_is_413_before_it_is_parsed(api: ApiServer, chunked: bool) -> None:
    parts = [b"{" * 100_000] * 20  # not JSON: parsing it would say so

    body = iter(parts) if chunked else b"".join(parts)
    refused = api.call("POST", "/v1/tasks", body, JSON)

    assert refused.code == "413 payload_too_large"
    assert api.get("/livez").status == 200


def test_a_task_carries_the_traceparent_of_its_request_unless_it_names_one(api: ApiServer) -> None:
    own = PARENT.replace("4bf9", "aaaa")

    def traced(sent: dict[str, str], **task: Any) -> Any:
        created = api.post("/v1/tasks", {"type": "a", **HOUR, **task}, sent)
        return api.get(created.headers["location"]).json.get("traceparent")

    assert traced({"traceparent": PARENT}) == PARENT
    assert traced({"traceparent": PARENT}, headers={"traceparent": own}) == own
    assert traced({"traceparent": "garbage"}) is None
    assert traced({}) is None


def test_every_answer_has_the_request_id_that_was_sent_or_one_of_its_own(api: ApiServer) -> None:
    assert api.get("/v1/tasks/none", {"request-id": "req-7:a"}).headers["request-id"] == "req-7:a"
    for path in ("/livez", "/readyz", "/metrics", "/nowhere", "/v1/queues"):
        assert re.fullmatch("[0-9a-f]{16}", api.get(path).headers["request-id"])
    for strange in ("a b", "x" * 129, "<script>"):
        assert api.get("/livez", {"request-id": strange}).headers["request-id"] != strange


def test_an_unknown_task_is_404_and_an_id_that_cannot_be_is_422(api: ApiServer) -> None:
    assert api.get("/v1/tasks/none").code == "404 task_not_found"
    assert api.get("/v1/tasks/none?queue=never").code == "404 task_not_found"
    assert api.get("/v1/tasks/a%20b").code == "422 validation_failed"


def test_unknown_paths_and_methods_are_problems_too(api: ApiServer) -> None:
    assert api.get("/v2/tasks").code == "404 not_found"
    assert api.get("/v1/tasks/").code == "404 not_found"
    refused = api.call("DELETE", "/v1/tasks")
    assert refused.code == "405 method_not_allowed"
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert api.call("HEAD", "/v1/queues").body == b""


def test_a_listing_goes_page_by_page_through_all_tasks_of_a_state(api: ApiServer) -> None:
    ids = {f"t-{n}" for n in range(7)}
    for task_id in sorted(ids):
        api.post("/v1/tasks", {"type": "a", "id": task_id, "queue": "q", **HOUR})
    api.post("/v1/tasks", {"type": "b", "id": "other", "queue": "q", **HOUR})

    found, cursor, pages = [], "", 0
    while cursor is not None:
        page = api.get(f"/v1/tasks?queue=q&type=a&limit=3{'&cursor=' + cursor if cursor else ''}").json
        found += [item["id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1

    assert (set(found), len(found)) == (ids, 7)
    assert pages >= 3
    assert api.get("/v1/tasks?queue=q&state=running").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("state=lost", "bad_filter", "state"),
        ("limit=0", "bad_filter", "limit"),
        ("limit=1001", "bad_filter", "limit"),
        ("limit=%C2%B2", "bad_filter", "limit"),
        ("limit=5&limit=6", "bad_filter", "limit"),
        ("staet=dead", "bad_filter", "staet"),
        ("queue=a%20b", "bad_filter", "queue"),
        ("type=a%20b", "bad_filter", "type"),
        ("cursor=%00%00", "bad_cursor", "cursor"),
    ],
)
def test_a_bad_query_is_400_and_names_the_parameter(api: ApiServer, query: str, code: str, parameter: str) -> None:
    refused = api.get(f"/v1/tasks?{query}")

    assert refused.code == f"400 {code}"
    assert [error["parameter"] for error in refused.json["errors"]] == [parameter]


def test_queues_tell_their_depths(api: ApiServer) -> None:
    for queue, count in (("a", 2), ("b", 1), ("c", 1)):
        for _ in range(count):
            api.post("/v1/tasks", {"type": "t", "queue": queue, **HOUR})

    first = api.get("/v1/queues?limit=2").json
    second = api.get(f"/v1/queues?limit=2&cursor={first['next_cursor']}").json

    assert [(queue["queue"], queue["scheduled"]) for queue in first["items"]] == [("a", 2), ("b", 1)]
    assert [queue["queue"] for queue in second["items"]] == ["c"]
    assert second["next_cursor"] is None
    assert api.get("/v1/queues/a").json["scheduled"] == 2
    assert api.get("/v1/queues/none").code == "404 queue_not_found"
