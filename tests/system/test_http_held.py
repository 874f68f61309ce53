"""Requests that ask for much: bounded, and done beside the event loop, so that nobody else waits for them."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from redsched.schedule.slots import Plan
from redsched.web import aside as aside_module
from redsched.web import bodies
from redsched.web import schedules as schedules_module
from redsched.web.aside import Aside
from redsched.web.pieces import Pieces, TooLong
from redsched.web.problems import Problem
from tests.support.api_server import JSON, NDJSON, ApiServer
from tests.support.servers import Store

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
        (b"{1:[%b]}", "400 malformed_json", None),
        (b"[%b]", "400 malformed_json", None),
        (b'{"chain":[{"type":"a","payload":[%b,%b,%b,%b,%b]}]}', "413 payload_too_large", None),
        (b'{"chain":[{"type":"a","payload":%b},{"type":"\xff"}]}', "400 malformed_json", None),
    ],
)
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


def test_the_parts_of_a_large_body_are_put_together_beside_the_loop() -> None:
    part, joined = b"x" * 65_536, []
    messages = iter([{"type": "http.request", "body": part, "more_body": left > 0} for left in reversed(range(100))])

    async def receive() -> Any:
        return next(messages)

    def note(_: Any, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ == "join" and isinstance(called.__self__, bytes):
            joined.append(called)

    async def main() -> bytes:
        sys.setprofile(note)  # of this thread
        try:
            return await bodies.read_body(Request({"type": "http", "headers": []}, receive), 10**7, 10**7)
        finally:
            sys.setprofile(None)

    assert asyncio.run(main()) == part * 100
    assert joined == []


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


def test_a_preview_that_takes_too_long_is_refused(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules_module, "PLAN_S", 0.001)

    refused = api.post("/v1/schedules:preview", {**STARVED, "count": 1_000})

    assert refused.code == "422 too_slow"
    assert refused.json["detail"] == "the next runs take too long to compute; nothing was done"
    assert api.get("/livez").status == 200


def test_a_backfill_or_an_apply_that_takes_too_long_is_refused_and_makes_nothing(
    api: ApiServer, valkey_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("/v1/schedules/s", {"cron": "* * * * * *", "task": {"type": "t"}})
    before = valkey_store.keys()
    monkeypatch.setattr(schedules_module, "PLAN_S", 0.001)
    monkeypatch.setattr(schedules_module, "APPLY_S", 0.002)
    every_second = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:16:00Z"}
    many = [{"id": f"s{n}", "cron": f"{n % 60} 9 * * *", "task": {"type": "t"}} for n in range(1_000)]

    assert api.post("/v1/schedules/s:backfill", every_second).code == "422 too_slow"
    assert api.post("/v1/schedules:apply", {"schedules": many}).code == "422 too_slow"
    assert valkey_store.keys() == before


def test_a_list_shows_the_schedules_that_it_can_and_says_which_take_too_long(
    api: ApiServer, valkey_store: Store
) -> None:
    for name in ("a", "z"):
        api.put(f"/v1/schedules/{name}", {"cron": "@daily", "task": {"type": "t"}})
    api.put("/v1/schedules/slow", {"random": {"least": "1s", "most": "1s"}, "task": {"type": "t"}})
    valkey_store.redis.hset(f"{{{valkey_store.namespace}}}:schedule:slow", "slot", 1_800_000_000_000)  # as a mover
    api.post("/v1/schedules/slow:pause", {"until": "2090-01-01T00:00:00Z"})  # each slot up to then follows from one

    found = {item["schedule"]["id"]: item for item in api.get("/v1/schedules").json["items"]}

    assert sorted(found) == ["a", "slow", "z"]
    assert found["slow"]["problem"] == "the next runs take too long to compute"
    assert len(found["a"]["next_runs"]) == len(found["z"]["next_runs"]) == 10
    with valkey_store.client() as client:
        assert client.schedules.get("slow").problem == found["slow"]["problem"]


def test_a_list_whose_budget_is_used_up_still_comes_and_says_so(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("/v1/schedules/s", {"cron": "@daily", "task": {"type": "t"}})
    monkeypatch.setattr(schedules_module, "PLAN_S", 0.0)

    (found,) = api.get("/v1/schedules").json["items"]

    assert (found["next_runs"], found["problem"]) == ([], "the next runs take too long to compute")


def test_whoever_waits_for_a_turn_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        aside, go_on = Aside(), threading.Event()
        monkeypatch.setattr(aside_module, "TURN_S", 0.05)
        waiting = asyncio.ensure_future(aside.planned(go_on.wait, 60))
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="busy"):
            await aside.planned(int)
        waiting.cancel()  # the thread goes on, and keeps its turn
        with pytest.raises(Problem, match="busy"):
            await aside.planned(int)
        go_on.set()
        monkeypatch.setattr(aside_module, "TURN_S", 60)
        assert await aside.planned(int) == 0
        aside.close()

    asyncio.run(main())


def test_what_fails_beside_the_loop_fails_as_it_would_on_it() -> None:
    async def main() -> None:
        aside = Aside()
        with pytest.raises(ZeroDivisionError):
            await aside.planned(lambda: 1 // 0)
        with pytest.raises(Problem, match="malformed_json"):
            await aside.decode(bodies.TASK, b" " * aside_module.HEAVY + b"{")
        aside.close()

    asyncio.run(main())
