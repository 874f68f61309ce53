"""Many tasks in one request: what is good is written, what is not is told by its index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api_server import NDJSON, ApiServer
from tests.support.servers import Store

BATCH = "/v1/tasks:batch"


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def scheduled(api: ApiServer, queue: str = "default") -> int:
    answer = api.get(f"/v1/queues/{queue}")
    return int(answer.json["scheduled"]) if answer.status == 200 else 0


def task(**fields: Any) -> dict[str, Any]:
    return {"type": "t", "delay": "1h", **fields}


def lines(*items: Any) -> bytes:
    return b"\n".join(item if isinstance(item, bytes) else json.dumps(item).encode() for item in items)


@pytest.mark.parametrize("ndjson", [False, True])
def test_tasks_come_as_an_array_or_a_line_each(api: ApiServer, ndjson: bool) -> None:
    items = [task(id="a"), task(id="b", queue="q"), task()]

    answer = api.call("POST", BATCH, lines(*items), NDJSON) if ndjson else api.post(BATCH, items)

    assert answer.status == 200
    results = answer.json["results"]
    assert [(result["index"], result["status"]) for result in results] == [(n, "created") for n in range(3)]
    assert [result["id"] for result in results[:2]] == ["a", "b"]
    assert {name: answer.json[name] for name in ("created", "existing", "failed")} == {
        "created": 3,
        "existing": 0,
        "failed": 0,
    }
    assert (scheduled(api), scheduled(api, "q")) == (2, 1)


def test_repeats_and_conflicts_are_told_apart(api: ApiServer) -> None:
    api.post("/v1/tasks", task(id="a"))
    api.post("/v1/tasks", task(id="b"))

    answer = api.post(BATCH, [task(id="a"), task(id="b", payload=2), task(id="c"), task(id="c")]).json

    assert [result["status"] for result in answer["results"]] == ["existing", "conflict", "created", "existing"]
    assert answer["results"][1]["problem"]["code"] == "task_exists"
    assert (answer["created"], answer["existing"], answer["failed"]) == (1, 2, 1)


BAD: list[tuple[Any, str, str]] = [
    (task(colour=1), "unknown_field", "/1/colour"),
    (task(due=5), "validation_failed", "/1/delay"),
    (task(delay="soon"), "validation_failed", "/1/delay"),
    (task(queue="a b"), "validation_failed", "/1/queue"),
    ({"payload": 1}, "validation_failed", "/1/type"),
    (7, "validation_failed", "/1"),
    (task(payload="x" * 300_000), "payload_too_large", "/1/payload"),
]


@pytest.mark.parametrize("ndjson", [False, True])
@pytest.mark.parametrize(("bad", "code", "pointer"), BAD, ids=[f"{code} {pointer}" for _, code, pointer in BAD])
def test_a_bad_task_is_named_and_the_others_are_written(
    api: ApiServer, bad: Any, code: str, pointer: str, ndjson: bool
) -> None:
    items = [task(id="a"), bad, task(id="c")]

    answer = api.call("POST", BATCH, lines(*items), NDJSON) if ndjson else api.post(BATCH, items)

    assert answer.status == 200
    first, refused, last = answer.json["results"]
    assert (first["id"], first["status"], last["id"], last["status"]) == ("a", "created", "c", "created")
    assert (refused["index"], refused["status"], refused["problem"]["code"]) == (1, "invalid", code)
    assert [error["pointer"] for error in refused["problem"]["errors"]] == [pointer]
    assert (answer.json["created"], answer.json["failed"]) == (2, 1)
    assert scheduled(api) == 2


def test_many_bad_tasks_do_not_hide_the_good_ones(api: ApiServer) -> None:
    items = [task(id=f"n-{n}", **({"delay": "soon"} if n % 2 else {})) for n in range(1_000)]

    answer = api.post(BATCH, items).json

    assert (answer["created"], answer["failed"]) == (500, 500)
    assert [result["index"] for result in answer["results"]] == list(range(1_000))
    assert scheduled(api) == 500


@pytest.mark.parametrize("bad", [task(colour=1), task(delay="soon"), task(queue="a b")])
def test_an_atomic_batch_with_a_bad_task_writes_nothing(api: ApiServer, valkey_store: Store, bad: Any) -> None:
    refused = api.post(f"{BATCH}?atomic=true", [task(id="a"), bad, task(id="c"), bad])

    assert refused.status == 422
    assert [pointer.split("/")[1] for pointer in refused.pointers] == ["1", "3"]
    assert refused.json["detail"] == "2 of the tasks cannot be used; nothing was written"
    assert valkey_store.keys() == []


def test_an_atomic_batch_of_good_tasks_is_written(api: ApiServer) -> None:
    assert api.post(f"{BATCH}?atomic=true", [task(), task()]).json["created"] == 2
    assert api.post(f"{BATCH}?atomic=maybe", [task()]).code == "400 bad_filter"


def test_a_broken_line_does_not_break_the_others(api: ApiServer) -> None:
    body = lines(task(id="a"), b"", b'{"type":', b"\xff", task(id="d")) + b"\r\n\n"

    results = api.call("POST", BATCH, body, NDJSON).json["results"]

    assert [(result["index"], result["status"]) for result in results] == [
        (0, "created"),
        (1, "invalid"),
        (2, "invalid"),
        (3, "created"),
    ]
    assert [result["problem"]["code"] for result in results[1:3]] == ["malformed_json"] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b'[{"type":"t"}',
        b'[{"type":"t"},]',
        b'[{"type":"t"} {"type":"t"}]',
        b'[{"type":"t"}] x',
        b"[,]",
        b'[{"type":"t"},{"type":]',
        b"[" * 100_000,
        b'["\xff"]',
        '[{"type":"t"}]'.encode("utf-16"),
    ],
)
def test_a_broken_array_is_refused_whole(api: ApiServer, valkey_store: Store, body: bytes) -> None:
    assert api.post(BATCH, body).status in (400, 422)
    assert valkey_store.keys() == []


def test_one_object_is_no_batch(api: ApiServer) -> None:
    refused = api.post(BATCH, task())

    assert refused.code == "422 validation_failed"
    assert "array" in refused.json["detail"]


def test_an_empty_batch_is_fine(api: ApiServer) -> None:
    empty = {"results": [], "created": 0, "existing": 0, "failed": 0}
    assert api.post(BATCH, []).json == empty
    assert api.call("POST", BATCH, b"\n", NDJSON).json == empty


def test_a_thousand_are_taken_and_one_more_is_413(api: ApiServer, valkey_store: Store) -> None:
    too_many = [task() for _ in range(1_001)]
    for refused in (api.post(BATCH, too_many), api.call("POST", BATCH, lines(*too_many), NDJSON)):
        assert refused.code == "413 batch_too_large"
    assert valkey_store.keys() == []

    assert api.post(BATCH, too_many[:1_000]).json["created"] == 1_000


def test_a_batch_too_heavy_for_one_call_is_written_in_several(api: ApiServer) -> None:
    payload = "x" * 250_000
    heavy = [task(payload=payload) for _ in range(20)]
    conditional = [task(conditions={"cancel_on": [f"f{at}:{n}:" + "x" * 200 for n in range(15)]}) for at in range(60)]

    answer = api.call("POST", BATCH, lines(*heavy, task(type="no type"), *conditional), NDJSON).json

    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["created"] * 20 + ["invalid"] + ["created"] * 60
    assert (answer["created"], answer["failed"], scheduled(api)) == (80, 1, 80)


def test_an_atomic_batch_too_heavy_for_one_call_is_refused_by_name(api: ApiServer, valkey_store: Store) -> None:
    heavy = [task(payload="x" * 250_000) for _ in range(20)]

    refused = api.call("POST", BATCH + "?atomic=true", lines(*heavy), NDJSON)

    assert refused.code == "422 validation_failed"
    assert "2 MiB" in json.dumps(refused.json["errors"])
    assert valkey_store.keys() == []


@pytest.mark.parametrize("part", [b"0,", b"[],", b'{"type":"t"},'])
def test_a_huge_array_is_refused_without_being_built(api: ApiServer, part: bytes) -> None:
    body = b"[" + part * (4_000_000 // len(part)) + b"0]"

    assert api.post(BATCH, body).code == "413 batch_too_large"


def test_a_batch_that_names_its_fields_within_payloads_is_not_mistaken_for_a_larger_one(api: ApiServer) -> None:
    payload = [{"type": n} for n in range(400)]

    answer = api.post(BATCH, [task(payload=payload), task(payload=payload), task(payload=payload)])

    assert answer.json["created"] == 3
