"""Requests that ask for much: bounded, and done beside the event loop, so that nobody else waits for them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from redsched.model.schedule import Plan
from redsched.web import aside as aside_module
from redsched.web import bodies
from redsched.web.aside import Aside
from redsched.web.pieces import Pieces, TooLong
from redsched.web.problems import Problem
from tests.api_server import JSON, NDJSON, ApiServer
from tests.servers import Store

HOUR = {"delay": "1h"}
STARVED = {"cron": "* * * * * *", "exclude": {"crons": ["* * * 1-9,11-19,21-31 * *"]}}
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in "type").encode()


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


@pytest.mark.parametrize("name", ["chain", "group"])
def test_a_workflow_has_ten_thousand_tasks_at_most(api: ApiServer, valkey_store: Store, name: str) -> None:
    many = b"[" + b",".join([b'{"%b":"t"}' % ESCAPED] * 10_001) + b"]"
    then = b',"then":{"type":"t"}' if name == "group" else b""

    refused = api.call("POST", "/v1/workflows", b'{"%b":%b%b}' % (name.encode(), many, then), JSON)

    assert refused.code == "413 batch_too_large"
    assert valkey_store.keys() == []


def test_a_workflow_of_four_hundred_thousand_tasks_is_not_read_to_its_end(api: ApiServer) -> None:
    body = b'{"chain":[' + b",".join([b'{"type":"t"}'] * 400_000) + b"]}"
    assert api.call("POST", "/v1/workflows", body, JSON).code == "413 batch_too_large"


def test_a_large_workflow_is_made_as_a_small_one_is(api: ApiServer) -> None:
    pad = "x" * 70_000
    chain = {"chain": [{"type": "a", "id": "one", "payload": pad}, {"type": "b", "id": "two"}], "otherwise": "run"}
    made = api.post("/v1/workflows", chain)
    assert (made.status, [one["id"] for one in made.json]) == (201, ["one", "two"])
    assert api.get("/v1/tasks/one/tree").json["children"][0]["id"] == "two"
    then = {"type": "c", "id": "all"}
    group = {"group": [{"type": "a", "payload": pad}, {"type": "b"}], "then": then, "on": "either"}
    assert api.post("/v1/workflows", group, {"idempotency-key": "k"}).status == 201
    assert api.post("/v1/workflows", group, {"idempotency-key": "k"}).headers["idempotent-replayed"] == "true"
    assert len(api.get("/v1/tasks/all/parents").json["items"]) == 2


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        (b'{"chain":[{"type":"a","payload":%b},{"type":1}]}', "422 validation_failed", "/chain/1/type"),
        (b'{"chain":[{"type":"a","payload":%b},{"x":1,"type":"a"}]}', "422 unknown_field", "/chain/1/x"),
        (b'{"chain":[{"type":"a","payload":%b}],"x":1}', "422 unknown_field", "/x"),
        (b'{"group":[{"type":"a","payload":%b}],"then":3}', "422 validation_failed", "/then"),
        (b'{"chain":[{"type":"a","payload":%b}],"chain":[]}', "400 malformed_json", None),
        (b'{"chain":[{"type":"a","payload":%b}]', "400 malformed_json", None),
        (b'{"chain":[{"type":"a","payload":%b}]}x', "400 malformed_json", None),
        (b'{"chain":[{"type":"a","payload":%b}] "on":1}', "400 malformed_json", None),
        (b'{"chain":[{"type":"a","payload":%b},]}', "400 malformed_json", None),
        (b'{"chain":[{"type":"a","payload":%b},{"type":"a","type":"b"}]}', "422 validation_failed", "/chain/1"),
        (b'{"chain":{"type":"a","payload":%b}}', "422 validation_failed", "/chain"),
        (b'{1:[%b]}', "400 malformed_json", None), (b"[%b]", "400 malformed_json", None),
        (b'{"chain":[{"type":"a","payload":[%b,%b,%b,%b,%b]}]}', "413 payload_too_large", None),
        (b'{"chain":[{"type":"a","payload":%b},{"type":"\xff"}]}', "400 malformed_json", None),
    ],
)  # fmt: skip
def test_a_bad_large_workflow_is_refused_with_the_place(
    api: ApiServer, valkey_store: Store, text: bytes, code: str, pointer: str | None
) -> None:
    long = b'"' + b"y" * 70_000 + b'"'
    refused = api.call("POST", "/v1/workflows", text.replace(b"%b", long), JSON)

    assert refused.code.startswith(code[:3]) if pointer is None else refused.code == code, refused.json
    if pointer is not None:
        assert refused.pointers == [pointer]
    assert valkey_store.keys() == []


def test_a_large_batch_is_judged_task_by_task(api: ApiServer) -> None:
    pad = "é" * 3_000
    good = [{"type": "t", "id": f"t{n}", "payload": pad, **HOUR} for n in range(100)]
    tasks: list[Any] = [*good, {"type": 5}, 7, {"type": "t", "payload": "z" * 300_000}]
    for headers, body in ((JSON, msgspec.json.encode(tasks)), (NDJSON, b"\n".join(map(msgspec.json.encode, tasks)))):
        answer = api.call("POST", "/v1/tasks:batch", body, headers).json
        assert answer["failed"] == 3
        assert [one["status"] for one in answer["results"][100:]] == ["invalid"] * 3
        assert answer["results"][102]["problem"]["code"] == "payload_too_large"
    assert api.get("/v1/tasks/t99").json["payload"] == pad


def test_an_item_that_is_longer_than_any_task_is_not_parsed(api: ApiServer, valkey_store: Store) -> None:
    huge = b'{"type":"t","payload":[' + b",".join([b"0"] * 4_000_000) + b"]}"
    assert api.call("POST", "/v1/tasks:batch", b"[%b]" % huge, JSON).code == "413 payload_too_large"
    (told,) = api.call("POST", "/v1/tasks:batch", huge, NDJSON).json["results"]
    assert told["problem"]["code"] == "payload_too_large"
    assert valkey_store.keys() == []


def test_lists_have_a_thousand_members_at_most(api: ApiServer, valkey_store: Store) -> None:
    many = [{"id": f"s{n}", "cron": "@daily", "task": {"type": "t"}} for n in range(1_001)]
    assert api.post("/v1/schedules:apply", {"schedules": many}).pointers == ["/schedules"]
    assert api.put("/v1/calendars/c", {"dates": ["2027-01-01"] * 1_001}).pointers == ["/dates"]
    assert valkey_store.keys() == []


@pytest.mark.parametrize(
    "body",
    [b'["a" , {"b":[1,"]"]}, "\xc3\xa9\xe2\x98\x83", 12, -1.5e3,null ,[]]', b"[1.5e-300, 1e+3,20.25]", b" [ 1 ] "],
)
@pytest.mark.parametrize("first", [1, 2, 3, 4, 5, 6, 7, 11, 2_048])
def test_pieces_are_the_values_whatever_window_they_are_read_in(
    monkeypatch: pytest.MonkeyPatch, body: bytes, first: int
) -> None:
    monkeypatch.setattr("redsched.web.pieces.FIRST", first)
    reader = Pieces(body, 1_000)
    assert [json.loads(part) for part in reader.items("x")] == json.loads(body)
    reader.end()
    with pytest.raises((TooLong, StopIteration)):
        next(Pieces(b"[" + b'"' + b"a" * 2_000 + b'"]', 1_000).items("x"))


def test_the_next_runs_of_a_schedule_are_computed_beside_the_loop(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    def noting(plan: Plan, *given: Any, made: Any = Plan.preview, **named: Any) -> Any:
        seen.add(threading.get_ident())
        return made(plan, *given, **named)

    monkeypatch.setattr(Plan, "preview", noting)
    api.put("/v1/schedules/s", {"cron": "@daily", "task": {"type": "t"}})
    assert api.get("/v1/schedules/s").status == api.get("/v1/schedules").status == 200
    assert api.post("/v1/schedules:preview", {"cron": "@daily"}).status == 200
    assert seen
    assert api.ident not in seen


def test_a_preview_that_takes_too_long_is_broken_off(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(aside_module, "PLAN_S", 0.05)
    monkeypatch.setattr(Plan, "preview", lambda *_, **__: _endless(ended))

    refused = api.post("/v1/schedules:preview", STARVED)

    assert refused.code == "422 too_slow"
    assert ended.wait(10)
    assert api.get("/livez").status == 200


def test_a_list_shows_the_schedules_that_it_can_and_says_which_take_too_long(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "slow", "z"):
        api.put(f"/v1/schedules/{name}", {"cron": "@daily", "task": {"type": "t"}})
    ended = threading.Event()

    def some(plan: Plan, *given: Any, made: Any = Plan.preview, **named: Any) -> Any:
        return _endless(ended) if plan.schedule.id == "slow" else made(plan, *given, **named)

    monkeypatch.setattr(aside_module, "PLAN_S", 0.2)
    monkeypatch.setattr(Plan, "preview", some)

    found = {item["schedule"]["id"]: item for item in api.get("/v1/schedules").json["items"]}

    assert sorted(found) == ["a", "slow", "z"]
    assert found["slow"]["problem"] == "the next runs take too long to compute"
    assert len(found["a"]["next_runs"]) == len(found["z"]["next_runs"]) == 10
    assert ended.is_set()


def _endless(ended: threading.Event) -> Any:
    try:
        while True:
            time.sleep(0)
    finally:
        ended.set()


def test_whoever_waits_for_a_turn_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        aside, go_on = Aside(), threading.Event()
        monkeypatch.setattr(aside_module, "TURN_S", 0.05)
        waiting = [asyncio.ensure_future(aside.planned(go_on.wait, 60)) for _ in range(aside_module.PLANNERS)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="busy"):
            await aside.planned(lambda: 1, 1)
        go_on.set()
        assert await asyncio.gather(*waiting) == [True] * aside_module.PLANNERS
        assert await aside.planned(lambda: 1, 1) == 1
        aside.close()

    asyncio.run(main())


def test_what_fails_beside_the_loop_fails_as_it_would_on_it() -> None:
    async def main() -> None:
        aside = Aside()
        with pytest.raises(ZeroDivisionError):
            await aside.planned(lambda: 1 // 0, 1)
        with pytest.raises(Problem, match="malformed_json"):
            await aside.decode(bodies.TASK, b" " * aside_module.HEAVY + b"{")
        aside.close()

    asyncio.run(main())
