"""``Idempotency-Key``: a repeat is answered as the first request was, and makes nothing new."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from redsched.client import Client
from redsched.wire import idempotency
from redsched.wire.keys import CellKeys
from tests.support.api_server import JSON, NDJSON, ApiServer
from tests.support.servers import Store

TASK = {"type": "otp.send", "payload": {"n": 1}, "delay": "1h"}


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def scheduled(api: ApiServer) -> int:
    return len(api.get("/v1/tasks?limit=1000").json["items"])


def test_a_repeat_is_answered_as_the_first_request_was(api: ApiServer) -> None:
    key = JSON | {"idempotency-key": "payment-7"}

    first, second = api.post("/v1/tasks", TASK, headers=key), api.post("/v1/tasks", TASK, headers=key)

    assert (first.status, second.status) == (201, 201)
    assert second.body == first.body and second.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers and second.headers["idempotent-replayed"] == "true"
    assert scheduled(api) == 1


def test_the_same_key_with_another_body_is_422_and_writes_nothing(api: ApiServer) -> None:
    key = JSON | {"idempotency-key": "payment-7"}
    api.post("/v1/tasks", TASK, headers=key)

    assert api.post("/v1/tasks", TASK | {"payload": 2}, headers=key).code == "422 idempotency_key_reused"
    assert scheduled(api) == 1


def test_while_the_first_request_is_under_way_a_repeat_is_409(api: ApiServer, valkey_store: Store) -> None:
    body = msgspec.json.encode(TASK)
    key = idempotency.digest(b"/v1/tasks", b"payment-8")
    with Client(valkey_store.url, namespace=valkey_store.namespace) as client:
        keys = CellKeys(client.cell)
        call = idempotency.reserve(keys, key, idempotency.digest(b"", body))
        assert client.transport.send(call).word == "new"

    answer = api.call("POST", "/v1/tasks", body, JSON | {"idempotency-key": "payment-8"})

    assert answer.code == "409 idempotency_in_flight" and answer.headers["retry-after"] == "1"
    assert scheduled(api) == 0


def test_a_first_request_that_crashed_after_its_write_is_finished_by_the_repeat(
    api: ApiServer, valkey_store: Store
) -> None:
    key = JSON | {"idempotency-key": "payment-9"}
    first = api.post("/v1/tasks", TASK, headers=key)
    valkey_store.redis.delete(valkey_store.key("answer:" + idempotency.digest(b"/v1/tasks", b"payment-9")))  # it lapsed

    second = api.post("/v1/tasks", TASK, headers=key)

    assert (second.status, second.json["id"]) == (201, first.json["id"])
    assert scheduled(api) == 1


def test_a_refused_request_may_be_corrected_and_sent_with_the_same_key(api: ApiServer) -> None:
    key = JSON | {"idempotency-key": "payment-10"}

    assert api.post("/v1/tasks", TASK | {"priority": "urgent"}, headers=key).status == 422
    assert api.post("/v1/tasks", TASK, headers=key).status == 201


def test_a_batch_is_repeated_as_a_whole(api: ApiServer) -> None:
    key = NDJSON | {"idempotency-key": "batch-1"}
    lines = b'{"type":"a","delay":"1h"}\n{"type":"b","delay":"1h"}\n'

    first = api.call("POST", "/v1/tasks:batch", lines, key)
    second = api.call("POST", "/v1/tasks:batch", lines, key)

    assert first.json["created"] == 2 and second.body == first.body
    assert scheduled(api) == 2


def test_a_key_that_is_none_is_400(api: ApiServer) -> None:
    assert api.post("/v1/tasks", TASK, headers=JSON | {"idempotency-key": "a b"}).code == "400 bad_idempotency_key"


def test_what_was_asked_of_durability_and_not_reached_is_told_with_the_task_stored(api: ApiServer) -> None:
    answer = api.post("/v1/tasks?durability=replicas:1", TASK)

    assert answer.code == "503 not_durable" and "is stored" in answer.json["detail"]
    assert scheduled(api) == 1
    assert api.post("/v1/tasks?durability=raid", TASK).code == "400 bad_filter"
    assert api.post("/v1/tasks", TASK).json["durability"] == "memory"
