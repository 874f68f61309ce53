"""Cancelling, rescheduling, running and reviving over HTTP, whatever the id looks like and the state is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.claims import Settlement
from redsched.wire.keys import queue_keys
from tests.support.api_server import ApiServer
from tests.support.servers import Store

IDS = ["42", "order-42:remind", "a:cancel", "a:run:b", "x@y:1:2"]
HOUR = {"delay": "1h"}


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def start(store: Store, *, end: str | None = None) -> None:
    """Claim what is ready in the default queue, and settle it as ``end``."""

    async def claim() -> None:
        async with store.async_client() as client:
            keys = queue_keys(client.cell, "default")
            call = protocol.claim([keys], consumer="test", count=100, lease_ms=60_000)
            started = (await client.transport.send(call)).tasks
            assert started
            if end is not None:
                ends = [Settlement(task.queue, task.id, task.token, end) for task in started]
                await client.transport.send(protocol.settle(client.cell, ends))

    asyncio.run(claim())


def state(api: ApiServer, task_id: str) -> str:
    return str(api.get(f"/v1/tasks/{task_id}").json["state"])


@pytest.mark.parametrize("task_id", IDS)
def test_the_last_word_of_the_path_is_the_verb_whatever_the_id_holds(api: ApiServer, task_id: str) -> None:
    api.post("/v1/tasks", {"type": "t", "id": task_id, **HOUR})

    moved = api.post(f"/v1/tasks/{task_id}:reschedule", {"delay": "2h"})
    cancelled = api.post(f"/v1/tasks/{task_id}:cancel")

    assert (moved.status, moved.json) == (200, {"id": task_id, "queue": "default", "status": "rescheduled"})
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert state(api, task_id) == "cancelled"


def test_percent_encoding_does_not_change_the_id(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "order-42:remind+a", **HOUR})

    assert api.post("/v1/tasks/order-42%3Aremind%2Ba%3Acancel").status == 200
    assert state(api, "order-42:remind+a") == "cancelled"


@pytest.mark.parametrize("path", ["42", "42:", "42:explode", ":cancel", "order-42:remind"])
def test_a_path_without_a_verb_says_which_there_are(api: ApiServer, path: str) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42", **HOUR})

    refused = api.post(f"/v1/tasks/{path}")

    assert refused.code == "404 not_found"
    assert ":cancel, :reschedule, :run, :revive" in refused.json["detail"]
    assert state(api, "42") == "scheduled"


def test_the_queue_of_the_query_decides_which_task_is_meant(api: ApiServer) -> None:
    for queue in ("default", "x+y"):
        api.post("/v1/tasks", {"type": "t", "id": "42", "queue": queue, **HOUR})

    api.post("/v1/tasks/42:cancel?queue=x%2By")

    assert state(api, "42?queue=default") == "scheduled"
    assert api.get("/v1/tasks/42?queue=x%2By").json["state"] == "cancelled"
    assert api.post("/v1/tasks/42:cancel?qeueu=x").code == "400 bad_filter"


def test_cancelling_keeps_the_reason_and_may_be_repeated(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42", **HOUR})

    answers = [api.post("/v1/tasks/42:cancel", {"reason": "order paid"}).status for _ in range(2)]

    assert answers == [200, 200]
    assert api.get("/v1/tasks/42").json["reason"] == "order paid"


def test_a_running_task_is_asked_to_stop_and_cannot_be_moved(api: ApiServer, valkey_store: Store) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42"})
    start(valkey_store)

    asked = api.post("/v1/tasks/42:cancel")

    assert (asked.status, asked.json["status"]) == (202, "requested")
    assert api.get("/v1/tasks/42").json["cancel_requested"] is True
    assert api.post("/v1/tasks/42:reschedule", HOUR).code == "409 invalid_state"
    assert api.post("/v1/tasks/42:run").code == "409 invalid_state"
    assert api.post("/v1/tasks/42:revive").code == "409 invalid_state"
    assert state(api, "42") == "running"


def test_a_task_is_not_moved_beyond_its_start_by(api: ApiServer, valkey_store: Store) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42", **HOUR, "expires_in": "90m"})

    refused = api.post("/v1/tasks/42:reschedule", {"delay": "2h"})

    assert (refused.code, refused.json["title"]) == ("409 would_expire", "The task's start-by lies before that time")
    assert refused.json["detail"] == (
        "cannot reschedule task '42' in queue 'default': its start-by lies before that time; nothing changed"
    )
    assert api.post("/v1/tasks/42:reschedule", {"delay": "80m"}).status == 200
    valkey_store.redis.hset(valkey_store.key("task:default:42"), "expires_at", "1700000000000")
    assert api.post("/v1/tasks/42:run").code == "409 would_expire"
    assert state(api, "42") == "scheduled"


def test_a_task_that_died_after_its_start_by_is_not_revived(api: ApiServer, valkey_store: Store) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42", "expires_in": "1h"})
    start(valkey_store, end="dead")

    assert api.post("/v1/tasks/42:revive", {"delay": "2h"}).code == "409 would_expire"
    assert state(api, "42") == "dead"
    assert api.post("/v1/tasks/42:revive").status == 200


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"delay": "2h", "expires_in": "1h"}, "expires_in"),
        ({"due": "2090-01-01T00:00:00Z", "expires_in": "1h"}, "expires_in"),
        ({"due": "2090-01-01T00:00:00Z", "expires_at": "2089-01-01T00:00:00Z"}, "expires_at"),
        ({"delay": "1h", "expires_at": 1_700_000_000_000}, "expires_at"),
    ],
)
def test_a_task_that_is_due_after_it_expires_is_refused(api: ApiServer, fields: dict[str, Any], named: str) -> None:
    problem = "must reach beyond the due time: the task is due after it expires"

    refused = api.post("/v1/tasks", {"type": "t", "id": "42", **fields})
    assert (refused.code, refused.json["detail"]) == (
        "422 validation_failed",
        f"{named}: {problem}; nothing was written",
    )
    assert refused.json["errors"] == [{"code": "invalid", "detail": problem, "pointer": f"/{named}"}]

    bad = [{"type": "t", "id": f"b{at}", **fields} for at in range(3)]
    told = api.post("/v1/tasks:batch", [{"type": "t", "id": "ok", "expires_in": "1h"}, *bad]).json
    assert (told["created"], told["failed"]) == (1, 3)
    assert [one["problem"]["errors"][0]["pointer"] for one in told["results"][1:]] == [
        f"/{at}/{named}" for at in (1, 2, 3)
    ]
    assert api.get("/v1/tasks/42").status == 404


def test_a_batch_of_tasks_that_are_due_after_they_expire_takes_few_calls(api: ApiServer, valkey_store: Store) -> None:
    """Redis names one of them a call; the others are in the same case."""

    def calls() -> int:
        return int(valkey_store.redis.info("commandstats").get("cmdstat_fcall", {"calls": 0})["calls"])

    bad = [{"type": "t", "due": 3_000_000_000_000 + at, "expires_in": "1h"} for at in range(100)]
    api.post("/v1/tasks", {"type": "t"})
    before = calls()

    told = api.post("/v1/tasks:batch", [*bad, {"type": "t"}]).json

    assert (told["created"], told["failed"]) == (1, 100)
    assert calls() - before < 20


def test_a_finished_task_cannot_be_acted_on(api: ApiServer, valkey_store: Store) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42"})
    start(valkey_store, end="complete")

    for action in ("cancel", "run", "revive"):
        assert api.post(f"/v1/tasks/42:{action}").code == "409 already_finished"
    assert api.post("/v1/tasks/42:reschedule", HOUR).code == "409 already_finished"
    assert state(api, "42") == "completed"


def test_a_dead_task_is_revived_now_or_later(api: ApiServer, valkey_store: Store) -> None:
    for task_id in ("now", "later"):
        api.post("/v1/tasks", {"type": "t", "id": task_id})
    start(valkey_store, end="dead")
    assert state(api, "now") == "dead"

    assert api.post("/v1/tasks/now:revive").json["status"] == "revived"
    assert api.post("/v1/tasks/later:revive", HOUR).status == 200

    assert (state(api, "now"), state(api, "later")) == ("scheduled", "scheduled")
    due = [datetime.fromisoformat(api.get(f"/v1/tasks/{task_id}").json["due_at"]) for task_id in ("now", "later")]
    assert timedelta(minutes=59) < due[1] - due[0] < timedelta(minutes=61)


def test_run_makes_a_scheduled_task_due_now(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42", **HOUR})

    assert api.post("/v1/tasks/42:run").status == 200

    stats = api.get("/v1/queues/default").json
    assert stats["ready"] == 1 or stats["oldest_due_age_ms"] is not None


@pytest.mark.parametrize("action", ["cancel", "reschedule", "run", "revive"])
def test_an_unknown_task_cannot_be_acted_on(api: ApiServer, action: str) -> None:
    body = HOUR if action == "reschedule" else None

    assert api.post(f"/v1/tasks/none:{action}", body).code == "404 task_not_found"


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("cancel", {"why": 1}, "422 unknown_field"),
        ("cancel", {"reason": 1}, "422 validation_failed"),
        ("cancel", b"{", "400 malformed_json"),
        ("cancel", b"x" * 70_000, "413 payload_too_large"),
        ("reschedule", None, "422 validation_failed"),
        ("reschedule", {}, "422 validation_failed"),
        ("reschedule", {"due": 0, "delay": 1}, "422 validation_failed"),
        ("reschedule", {"due": "tomorrow"}, "422 validation_failed"),
        ("reschedule", {"due": "2091-01-01T00:00:00"}, "422 validation_failed"),
        ("run", {"due": 0}, "422 unknown_field"),
        ("revive", {"delay": "x"}, "422 validation_failed"),
    ],
)
def test_a_bad_body_of_an_action_changes_nothing(api: ApiServer, action: str, body: Any, code: str) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42", **HOUR})

    assert api.post(f"/v1/tasks/42:{action}", body).code == code
    assert state(api, "42") == "scheduled"


def test_a_body_of_an_action_needs_its_content_type(api: ApiServer) -> None:
    api.post("/v1/tasks", {"type": "t", "id": "42", **HOUR})

    refused = api.call("POST", "/v1/tasks/42:cancel", b'{"reason":"x"}', {"content-type": "text/plain"})

    assert refused.code == "415 unsupported_media_type"
    assert state(api, "42") == "scheduled"


def test_another_payload_under_an_id_that_has_completed_is_409_and_the_same_one_is_200(
    api: ApiServer, valkey_store: Store
) -> None:
    task = {"type": "a", "id": "42", "payload": {"n": 1}}
    assert api.post("/v1/tasks", task).status == 201
    start(valkey_store, end="complete")

    assert api.post("/v1/tasks", {**task, "payload": {"n": 2}}).code == "409 task_exists"
    assert (again := api.post("/v1/tasks", task)).status == 200 and again.json["status"] == "existing"

    shown = api.get("/v1/tasks/42")
    assert shown.json["state"] == "completed"
    assert b"submitted" not in shown.body
