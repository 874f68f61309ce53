"""What a body gives to be stored as JSON is stored byte for byte, and refused as ever where it is none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.api_server import JSON, ApiServer
from tests.support.servers import Store

WRITTEN = (
    b'{"n":12345678901234567890123,"f":1.10, "e":1E5,"g":98765432109876543210.50,"s":"\\u00e9\\/\xc3\xa9" , '
    b'"z":-0.0,"b":[ ],"a":{"b":1.0}}'
)
LONG = b'{"f":1.10,"long":"' + b"x" * 200_000 + b'"}'
TASK = b'{"type":"t","delay":"1h","id":"%b","payload": %b }'
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def api(real_store: Store) -> Iterator[ApiServer]:
    assert real_store.url is not None
    with ApiServer(real_store.url, real_store.namespace) as server:
        yield server


def stored(store: Store, name: str, field: str) -> bytes:
    """A field of a key, or the key itself."""
    value = store.redis.hget(store.key(name), field) if field else store.redis.get(store.key(name))
    return str(value).encode()


@pytest.mark.parametrize("payload", [WRITTEN, LONG, b"1.10", b'"\\u0061"', b"null"], ids=range(5))
def test_payloads_of_tasks_stay_as_they_are_written(api: ApiServer, real_store: Store, payload: bytes) -> None:
    def task(name: str) -> bytes:
        return TASK % (name.encode(), payload)

    small, large = task("c3"), task("c4")
    answers = [
        api.post("/v1/tasks", task("a")),
        api.post("/v1/tasks:batch", b"[%b,%b]" % (task("b1"), task("b2"))),
        api.call("POST", "/v1/tasks:batch", b"%b\n%b\n" % (task("b3"), task("b4")), NDJSON),
        api.post("/v1/workflows", b'{"chain":[%b,%b]}' % (task("c1"), small)),
        api.post("/v1/workflows", b'{"group":[%b],"then":%b}' % (task("c2"), large)),
    ]

    assert [answer.status for answer in answers] == [201, 200, 200, 201, 201]
    for name in ("a", "b1", "b2", "b3", "b4", "c1", "c2", "c3", "c4"):
        assert stored(real_store, f"task:default:{name}", "payload") == payload, name
    assert b'"payload":' + payload in api.get("/v1/tasks/a").body
    assert api.post("/v1/tasks", task("a")).json["status"] == "existing"


def test_data_of_events_and_what_rules_make_stay_as_they_are_written(api: ApiServer, real_store: Store) -> None:
    rule = b'{"on":"e","task":{"type":"t","payload": %b },"bind":{"b":"data.a"}}' % WRITTEN
    assert api.call("PUT", "/v1/rules/r", rule, JSON).status == 201
    assert api.post("/v1/events", b'{"event":"e","subject":"s","id":"e1","data": %b }' % WRITTEN).status == 200
    assert api.post("/v1/events", b'{"event":"none"}').status == 200

    assert json.loads(stored(real_store, "rules:e", "r"))["fields"]["payload"] == WRITTEN.decode()
    assert stored(real_store, "fact:e:s", "") == WRITTEN
    assert stored(real_store, "fact:none", "") == b"null"
    assert b'"payload":' + WRITTEN in api.get("/v1/rules/r").body
    assert b'"payload":' + WRITTEN in api.get("/v1/rules").body
    made = stored(real_store, "task:default:r:e1", "payload")
    assert b'"g":98765432109876543210.50' in made and made.endswith(b'"b":{"b":1.0}}')


def test_payloads_of_schedules_stay_as_they_are_written(api: ApiServer, real_store: Store) -> None:
    definition = b'{"every":"1h","task":{"type":"t","payload": %b }}' % WRITTEN
    assert api.call("PUT", "/v1/schedules/a", definition, JSON).status == 201
    many = b'{"schedules":[{"id":"b","every":"1h","task":{"type":"t"}},%b]}' % definition.replace(
        b"{", b'{"id":"c",', 1
    )
    assert api.post("/v1/schedules:apply", many).status == 200
    triggered = api.post("/v1/schedules/b:trigger", b'{"payload":%b}' % WRITTEN).json["task_id"]

    assert stored(real_store, "schedule:a", "task:payload") == WRITTEN
    assert stored(real_store, "schedule:c", "task:payload") == WRITTEN
    assert stored(real_store, "schedule:b", "task:payload") in (b"null", b"None")
    assert stored(real_store, f"task:default:{triggered}", "payload") == WRITTEN
    assert b'"payload":' + WRITTEN in api.get("/v1/schedules/a").body
    assert api.get("/v1/schedules").body.count(b'"payload":' + WRITTEN) == 2
    assert b'"payload"' not in api.get("/v1/schedules/b").body
    assert api.call("PUT", "/v1/schedules/a", definition, JSON).json["status"] == "unchanged"


def test_a_merge_patch_changes_the_members_of_a_payload_that_it_names(api: ApiServer, real_store: Store) -> None:
    api.call("PUT", "/v1/schedules/a", b'{"every":"1h","task":{"type":"t","payload":%b}}' % WRITTEN, JSON)

    patch = (
        b'{"task":{"payload":{"f":null,"n":2.50,"s":null,"b":null,"a":{"c":1e2,"d":null},"new":{"x":null,"y":0.10}}}}'
    )
    assert api.call("PATCH", "/v1/schedules/a", patch, JSON).json["status"] == "updated"
    merged = b'{"n":2.50,"e":1E5,"g":98765432109876543210.50,"z":-0.0,"a":{"b":1.0,"c":1e2},"new":{"y":0.10}}'
    assert stored(real_store, "schedule:a", "task:payload") == merged
    assert api.call("PATCH", "/v1/schedules/a", b'{"task":{"payload":[1.0]}}', JSON).json["status"] == "updated"
    assert stored(real_store, "schedule:a", "task:payload") == b"[1.0]"
    assert api.call("PATCH", "/v1/schedules/a", b'{"task":{"payload":null}}', JSON).json["status"] == "updated"
    assert stored(real_store, "schedule:a", "task:payload") == b"null"


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"01", 400),
        (b"NaN", 400),
        (b'"\xff"', 400),
        (b'"\\ud800"', 400),
        (b"[1,]", 400),
        (b"1.", 400),
        (b"1e999", 422),
        (b"[" * 65 + b"]" * 65, 422),
        (b'{"a":1,"a":2}', 422),
        (b"[" * 30_000 + b"]" * 30_000, 400),
        (b"", 400),
    ],
    ids=range(11),
)
def test_what_is_no_json_that_all_can_read_is_refused_as_ever(
    api: ApiServer, real_store: Store, payload: bytes, status: int
) -> None:
    answers = [
        api.post("/v1/tasks", b'{"type":"t","payload":%b}' % payload),
        api.post("/v1/events", b'{"event":"e","data":%b}' % payload),
        api.call("PUT", "/v1/rules/r", b'{"on":"e","task":{"type":"t","payload":%b}}' % payload, JSON),
        api.call("PUT", "/v1/schedules/s", b'{"every":"1h","task":{"type":"t","payload":%b}}' % payload, JSON),
    ]

    assert [answer.status for answer in answers] == [status] * 4
    if payload == b"1e999":
        assert [answer.pointers for answer in answers[:3]] == [["/payload"], ["/data"], ["/task/payload"]]
    assert not [key for key in list(real_store.keys()) if ":task:" in key or ":rules" in key or ":fact:" in key]
