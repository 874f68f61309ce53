"""Events, rules, holds, pauses, workflows and explain over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api_server import ApiServer
from tests.support.servers import Store

PAID = "payment.captured:order-1"


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def submit(api: ApiServer, id: str, conditions: dict[str, Any] | None = None, **fields: Any) -> Any:
    """One task; the answer."""
    body = {"id": id, "type": "t", "payload": {}, **fields}
    return api.post("/v1/tasks", body if conditions is None else {**body, "conditions": conditions})


def state(api: ApiServer, id: str) -> str:
    """Of a task."""
    return str(api.get(f"/v1/tasks/{id}").json["state"])


def test_an_event_decides_what_hangs_on_it(api: ApiServer) -> None:
    submit(api, "a", {"cancel_on": PAID}, delay="1h")
    submit(api, "b", {"wait_for": {"any": [PAID], "within": "1d"}}, delay="1h")
    submit(api, "c", expect={"event": "payment.captured", "subject": "order-1", "within": "15m"})
    assert api.get("/v1/tasks/b").json["blocked"] == "facts"

    told = api.post("/v1/events", {"event": "payment.captured", "subject": "order-1", "data": {"x": 1}, "id": "e1"})

    assert (told.status, told.json) == (200, {"fact": PAID, "id": "e1", "heard": 3, "more": False, "made": []})
    assert [state(api, id) for id in "abc"] == ["cancelled", "scheduled", "cancelled"]
    assert api.get("/v1/tasks/a").json["reason"] == f"event {PAID}"
    late = submit(api, "d", {"unless": {"fact": PAID, "field": "x", "equals": 1}})
    assert (late.status, state(api, "d")) == (201, "skipped")


@pytest.mark.parametrize(
    ("conditions", "pointer"),
    [
        ({"unless": {"fact": "a b"}}, "/conditions/unless/fact"),
        ({"what": 1}, "/conditions/what"),
        ({"wait_for": {"all": ["x"], "within": "soon"}}, "/conditions/wait_for/within"),
        ({"unique": {"key": "k", "mode": "other"}}, "/conditions/unique/mode"),
        ({"fifo": True}, "/conditions"),
        ({"after": "nobody"}, "/conditions"),
    ],
)
def test_a_condition_that_cannot_be_used_is_named(api: ApiServer, conditions: dict[str, Any], pointer: str) -> None:
    refused = submit(api, "a", conditions)

    assert refused.status == 422
    assert refused.pointers == [pointer]
    assert api.get("/v1/tasks/a").status == 404


def test_a_second_of_a_unique_key_and_one_of_a_digest_are_told(api: ApiServer) -> None:
    assert submit(api, "a", {"unique": "k"}, delay="1h").status == 201
    second = submit(api, "b", {"unique": "k"}, delay="1h")
    assert (second.status, second.json["status"], second.json["other"]) == (200, "rejected", "a")
    submit(api, "c", {"digest": {"key": "d"}})
    merged = submit(api, "d", {"digest": {"key": "d"}})
    assert (merged.status, merged.json["status"], merged.json["other"]) == (200, "merged", "c")
    tasks = [{"id": "e", "type": "t", "conditions": {"unique": "k"}}, {"id": "f", "type": "t"}]
    results = api.post("/v1/tasks:batch", tasks).json["results"]
    assert [(one["status"], one.get("other")) for one in results] == [("rejected", "a"), ("created", None)]


def test_rules_are_made_read_and_dropped(api: ApiServer) -> None:
    rule = {
        "on": "failed",
        "delay": "1h",
        "task_id": "dun:{subject}",
        "bind": {"order": "subject"},
        "task": {"type": "dun", "payload": {}, "conditions": {"unless": "paid:{subject}"}},
    }
    assert (api.put("/v1/rules/dun", rule).status, api.put("/v1/rules/dun", rule).status) == (201, 200)
    assert api.get("/v1/rules/dun").json["task"]["conditions"] == {"unless": {"fact": "paid:{subject}", "exists": True}}
    assert [one["id"] for one in api.get("/v1/rules").json["items"]] == ["dun"]

    assert api.post("/v1/events", {"event": "failed", "subject": "o1"}).json["made"] == ["default/dun:o1"]
    assert api.get("/v1/tasks/dun:o1").json["payload"] == {"order": "o1"}

    assert api.put("/v1/rules/dun", None, method="DELETE").status == 204
    assert api.get("/v1/rules/dun").code == "404 rule_not_found"
    wrong = api.put("/v1/rules/bad", {"on": "failed", "task": {"type": "no name", "payload": {}}})
    assert (wrong.status, wrong.pointers) == (422, ["/task/type"])


def test_a_held_task_is_confirmed_or_abandoned_by_its_token(api: ApiServer) -> None:
    for id in "ab":
        submit(api, id, {"hold": {"token": "secret", "within": "1m"}}, delay="1h")
    assert api.post("/v1/tasks/a:confirm", {"token": "other"}).code == "409 invalid_state"
    assert api.post("/v1/tasks/a:confirm", {"token": "secret"}).json["status"] == "confirmed"
    assert api.post("/v1/tasks/b:abandon", {"token": "secret"}).json["status"] == "abandoned"
    assert [state(api, id) for id in "ab"] == ["scheduled", "cancelled"]
    assert api.post("/v1/tasks/c:confirm", {"token": "secret"}).code == "404 task_not_found"


def test_a_queue_is_paused_and_resumed(api: ApiServer) -> None:
    assert api.post("/v1/queues/default:pause", {"type": "t"}).code == "404 queue_not_found"
    assert api.post("/v1/queues/default:pause", {"type": "t", "force": True}).json["status"] == "paused"
    assert api.post("/v1/queues/default:pause", {"type": "t", "reason": "provider down"}).json["status"] == "paused"
    (stop,) = api.get("/v1/queues/default/paused").json["items"]
    assert (stop["type"], stop["key"], stop["reason"], stop["waiting"]) == ("t", None, "provider down", 0)
    assert api.post("/v1/queues/default:resume", {"type": "t"}).json["status"] == "resumed"
    assert api.post("/v1/queues/default:resume", None).json["status"] == "active"
    assert api.post("/v1/queues/default:stop", None).code == "404 not_found"


def test_everything_is_paused_and_resumed_by_one_request(api: ApiServer) -> None:
    submit(api, "a", {}, delay="1h")
    assert api.post("/v1/queues:pause", {"reason": "database moves"}).json == {"status": "paused"}
    (stop,) = api.get("/v1/queues/other/paused").json["items"]
    assert (stop["all"], stop["reason"], stop["queue"]) == (True, "database moves", "other")
    assert api.post("/v1/queues:pause", {"type": "t"}).status == 422
    assert api.post("/v1/queues:resume", None).json == {"status": "resumed"}
    assert api.post("/v1/queues:resume", None).json == {"status": "active"}


@pytest.mark.parametrize("body", [None, {}, {"reason": ""}, {"reason": " ", "until": "2100-01-01T00:00:00Z"}])
def test_everything_is_paused_only_for_a_reason(api: ApiServer, body: Any) -> None:
    refused = api.post("/v1/queues:pause", body)

    assert (refused.code, refused.json["errors"][0]["pointer"]) == ("422 validation_failed", "/reason")
    assert "reason: must say why everything is paused" in refused.json["detail"]
    assert api.get("/v1/queues/other/paused").json["items"] == []


def test_a_chain_and_a_group_are_made_in_one_call_and_shown_as_a_tree(api: ApiServer) -> None:
    chain = [{"id": f"c{at}", "type": "t"} for at in range(3)]
    assert [one["status"] for one in api.post("/v1/workflows", {"chain": chain}).json] == ["created"] * 3
    tree = api.get("/v1/tasks/c0/tree").json
    assert (tree["id"], tree["children"][0]["id"], tree["children"][0]["children"][0]["id"]) == ("c0", "c1", "c2")
    group = {"group": [{"id": "g1", "type": "t"}, {"id": "g2", "type": "t"}], "then": {"id": "sum", "type": "t"}}
    assert api.post("/v1/workflows", group).status == 201
    assert sorted(one["id"] for one in api.get("/v1/tasks/sum/parents").json["items"]) == ["g1", "g2"]
    assert api.post("/v1/workflows", {"then": {"type": "t"}}).status == 422


def test_a_workflow_is_cancelled_by_any_of_its_tasks(api: ApiServer) -> None:
    api.post("/v1/workflows", {"chain": [{"id": f"c{at}", "type": "t", "queue": "mail"} for at in range(3)]})

    done = api.post("/v1/workflows/c1:cancel?queue=mail", {"reason": "order gone"})

    assert (done.status, done.json) == (200, {"cancelled": 3, "requested": 0, "ended": 0})
    assert api.get("/v1/tasks/c0?queue=mail").json["reason"] == "order gone"
    assert api.post("/v1/workflows/c1:cancel?queue=default", None).code == "404 task_not_found"
    assert api.post("/v1/workflows/c9:cancel", None).code == "404 task_not_found"
    assert api.post("/v1/workflows/c1:stop", None).code == "404 not_found"
    assert api.post("/v1/workflows/c1:cancel", {"why": "x"}).status == 422


def test_a_workflow_of_which_a_task_is_not_made_says_which(api: ApiServer) -> None:
    submit(api, "holder", {"unique": "u"}, delay="1h")
    rejected = {"id": "a", "type": "t", "conditions": {"unique": "u"}}

    told = api.post("/v1/workflows", {"chain": [rejected, {"id": "b", "type": "t"}]})

    assert (told.status, told.json["code"]) == (409, "workflow_incomplete")
    assert told.json["errors"] == [{"code": "rejected", "detail": "task 'a' in queue 'default'"}]
    assert state(api, "b") == "cancelled"
    conflict = api.post("/v1/workflows", {"chain": [{"id": "b", "type": "u"}, {"id": "c", "type": "t"}]})
    assert (conflict.status, conflict.json["code"]) == (409, "task_exists")
    batch = [{"id": "b", "type": "u"}, {"id": "c", "type": "t", "conditions": {"after": "b"}}]
    answer = api.post("/v1/tasks:batch", batch).json
    assert [(one["status"], one.get("other")) for one in answer["results"]] == [("conflict", None), ("refused", "b")]
    assert answer["failed"] == 2


def test_an_event_and_a_workflow_are_safe_to_repeat_with_a_key(api: ApiServer) -> None:
    api.put("/v1/rules/dun", {"on": "failed", "task": {"type": "dun", "payload": {}}})
    key = {"idempotency-key": "k1", "content-type": "application/json"}
    first = api.post("/v1/events", {"event": "failed"}, headers=key)
    again = api.post("/v1/events", {"event": "failed"}, headers=key)
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert len(first.json["made"]) == 1
    chain = {"chain": [{"type": "t"}, {"type": "t"}]}
    made = [api.post("/v1/workflows", chain, headers=key) for _ in range(2)]
    assert made[0].status == made[1].status == 201
    assert made[0].json == made[1].json
    assert len({one["id"] for one in made[0].json}) == 2


def test_explain_gives_a_sentence_and_its_data(api: ApiServer) -> None:
    submit(api, "a", {"only_if": {"any": ["x", "y"]}}, delay="1h")
    found = api.get("/v1/tasks/a/explain").json

    assert (found["code"], found["state"], found["facts"]) == (
        "will_be_skipped",
        "scheduled",
        {"x": None, "y": None},
    )
    assert "runs_at" not in found or found["runs_at"] is None
    assert found["text"].startswith("a is scheduled: it is due at ")
    assert api.get("/v1/tasks/nobody/explain").code == "404 task_not_found"


def test_the_caps_of_a_queue_are_set_and_shown(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "t"})
    assert api.get("/v1/queues/default").json["most_finished"] == 100_000

    told = api.put("/v1/queues/default", {"most_finished": 500, "most_dead": 20}, method="PATCH")
    assert (told.status, told.json) == (200, {"most_finished": 500, "most_dead": 20})
    lifted = api.put("/v1/queues/default", {"most_finished": "none", "most_dead": None}, method="PATCH")
    assert lifted.json == {
        "most_finished": None,
        "most_dead": None,
    }
    assert api.put("/v1/queues/default", {}, method="PATCH").json["most_finished"] is None
    shown = api.get("/v1/queues/default").json
    assert (shown["most_finished"], shown["most_dead"]) == (None, None)

    assert api.put("/v1/queues/default", {"most_dead": -1}, method="PATCH").status == 422
    assert api.put("/v1/queues/default", {"most_ready": 1}, method="PATCH").status == 422
    assert api.put("/v1/queues/default", {"most_dead": "all"}, method="PATCH").status == 422
