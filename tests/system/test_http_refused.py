"""What is refused over HTTP is refused as such: 400 for what cannot be read, never 503, and the value is not told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from redsched.model.vocabulary import STATES
from tests.support.api_server import JSON, ApiServer
from tests.support.servers import Store

HOUR = {"delay": "1h"}
CANARY = "CANARY\u00a04711"  # no name, no id, no token, no duration and no time
CURSORS = (
    "x", "1 1 1", "~", "nan~1", "1e9~x", "(1~1", "[a", "%00", "1%001", "%ff", "☃", "1~" + "9" * 40, "high/1",
    "z/1-1", "-", "+inf 1 2", "18446744073709551616", "9" * 400, "a%0d%0ab", "x" * 5_000,
)  # fmt: skip
LISTS = (
    *(f"/v1/tasks?state={state}" for state in (*STATES, "finished", "quarantined")),
    "/v1/schedules?",
    "/v1/rules?",
)
NAMES = ("%20", "a%20b", "%00", "%ff", "☃", "-a", "x" * 101, "{rs}", "a%2Fb", "a%0Ab")


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


@pytest.mark.parametrize("path", LISTS)
def test_a_malformed_cursor_is_400_whatever_is_listed(api: ApiServer, path: str) -> None:
    api.post("/v1/tasks", {"type": "a", **HOUR})
    api.put("/v1/rules/r", {"on": "e", "task": {"type": "t"}})
    api.put("/v1/schedules/s", {"cron": "@daily", "task": {"type": "t"}})

    for cursor in CURSORS:
        found = api.get(f"{path}&cursor={_quoted(cursor)}")
        assert found.code == "400 bad_cursor", (cursor, found.json)
        assert found.json["errors"][0]["parameter"] == "cursor"
        assert "retry-after" not in found.headers


def test_a_malformed_cursor_of_queues_is_400(api: ApiServer) -> None:
    for cursor in ("a b", "%00", "☃", "x" * 101):
        assert api.get(f"/v1/queues?cursor={_quoted(cursor)}").code == "400 bad_cursor"
    assert api.get("/v1/queues?cursor=zzz").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/tasks?queue={}"),
        ("GET", "/v1/tasks/a?queue={}"),
        ("GET", "/v1/tasks/a/explain?queue={}"),
        ("GET", "/v1/tasks/a/tree?queue={}"),
        ("GET", "/v1/tasks/a/parents?queue={}"),
        ("POST", "/v1/tasks/a:cancel?queue={}"),
        ("POST", "/v1/tasks/a:run?queue={}"),
        ("GET", "/v1/queues/{}"),
        ("GET", "/v1/queues/{}/paused"),
        ("POST", "/v1/queues/{}:pause"),
        ("POST", "/v1/queues/{}:resume"),
    ],
)
def test_a_malformed_queue_name_in_the_address_is_400(api: ApiServer, method: str, path: str) -> None:
    for name in NAMES:
        if "%2F" in name and "{}?" not in path and "queue={}" not in path:
            continue  # another path
        found = api.call(method, path.format(_quoted(name)))
        assert found.code == "400 bad_filter", (name, found.json)
        assert found.json["errors"][0]["parameter"] == "queue"


def test_what_is_no_name_among_the_queues_does_not_stop_their_listing(api: ApiServer, valkey_store: Store) -> None:
    api.post("/v1/tasks", {"type": "a", "queue": "q", **HOUR})
    valkey_store.redis.sadd(f"{{{valkey_store.namespace}}}:queues", "a b", "\x1b[31m", "x" * 101, "")

    assert [queue["queue"] for queue in api.get("/v1/queues").json["items"]] == ["q"]
    assert b'redsched_queue_tasks{queue="q"' in api.get("/metrics").body


TASK_FIELDS: tuple[tuple[str, Any], ...] = (
    ("type", CANARY), ("queue", CANARY), ("id", CANARY), ("due", CANARY), ("delay", CANARY), ("priority", CANARY),
    ("retry", [CANARY]), ("retry", {"kind": CANARY}), ("timeout", CANARY), ("expires_at", CANARY),
    ("expires_in", CANARY), ("key", CANARY), ("tags", [CANARY * 20]), ("request", CANARY), ("retention", CANARY),
    ("max_attempts", CANARY), ("keep", CANARY), ("headers", {"h": [CANARY]}), ("max_attempts", 4711_4711_4711_4711),
    ("timeout", 4711_4711_4711), ("conditions", {"unless": CANARY}), ("conditions", {"wait_for": CANARY}),
    ("conditions", {"after": [CANARY]}), ("conditions", {"unique": {"key": "k", "mode": CANARY}}),
    ("conditions", {"hold": {"token": CANARY, "within": "1h"}}), ("expect", {"event": CANARY, "within": "1h"}),
    ("expect", {"event": "e", "within": CANARY}), ("expect", {"event": "e", "within": "1h", "subject": CANARY}),
)  # fmt: skip


@pytest.mark.parametrize(("field", "value"), TASK_FIELDS)
def test_a_refused_value_of_a_task_is_not_in_the_answer(api: ApiServer, field: str, value: Any) -> None:
    body = {"type": "a", "delay": "1h", field: value}
    if field in ("due", "expect"):
        del body["delay"]
    batch = api.post("/v1/tasks:batch", [body])
    for answer in (api.post("/v1/tasks", body), api.post("/v1/workflows", {"chain": [body, {"type": "a"}]})):
        assert answer.status == 422, answer.body
        _silent(answer.body)
    assert batch.json["failed"] == 1
    _silent(batch.body)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/tasks/held:confirm", {"token": CANARY}, 422),
        ("POST", "/v1/tasks/held:abandon", {"token": CANARY}, 422),
        ("POST", "/v1/tasks/held:confirm", {"token": "CANARY-4711"}, 409),
        ("POST", "/v1/tasks/{}:confirm", {"token": "t"}, 422),
        ("GET", "/v1/tasks/{}", None, 422),
        ("GET", "/v1/tasks/{}/explain", None, 422),
        ("POST", "/v1/tasks/{}:cancel", {}, 422),
        ("POST", "/v1/tasks/held:reschedule", {"due": CANARY}, 422),
        ("POST", "/v1/tasks/held:revive", {"delay": CANARY}, 422),
        ("POST", "/v1/events", {"event": CANARY}, 422),
        ("POST", "/v1/events", {"event": "e", "subject": CANARY}, 422),
        ("POST", "/v1/events", {"event": "e", "ttl": CANARY}, 422),
        ("POST", "/v1/events", {"event": "e", "id": CANARY}, 422),
        ("PUT", "/v1/rules/{}", {"on": "e", "task": {"type": "t"}}, 422),
        ("GET", "/v1/rules/{}", None, 422),
        ("DELETE", "/v1/rules/{}", None, 422),
        ("PUT", "/v1/rules/r", {"on": CANARY, "task": {"type": "t"}}, 422),
        ("POST", "/v1/workflows", {"chain": [{"type": "a"}, {"type": "b"}], "otherwise": CANARY}, 422),
        ("POST", "/v1/workflows", {"group": [{"type": "a"}], "then": {"type": "b"}, "on": CANARY}, 422),
        ("POST", "/v1/tasks:bulk", {"action": CANARY, "filter": {}}, 422),
        ("POST", "/v1/queues/q:pause", {"until": CANARY}, 422),
        ("POST", "/v1/tasks:bulk", {"action": "drop", "filter": {"state": CANARY}}, 422),
        ("POST", "/v1/tasks:bulk", {"action": "drop", "filter": {"older_than": CANARY}}, 422),
        ("POST", "/v1/queues/q:pause", {"key": CANARY}, 422),
        ("GET", "/v1/schedules/{}", None, 422),
        ("PUT", "/v1/schedules/{}", {"cron": "@daily", "task": {"type": "t"}}, 422),
        ("DELETE", "/v1/schedules/{}", None, 422),
        ("POST", "/v1/schedules/s:trigger", {"overlap": CANARY}, 422),
        ("POST", "/v1/schedules/s:pause", {"until": CANARY}, 422),
        ("POST", "/v1/schedules/s:backfill", {"from": CANARY, "to": 0}, 422),
        ("GET", "/v1/calendars/{}", None, 404),
        ("PUT", "/v1/schedules/s", {"cron": "@daily", "task": {"type": CANARY}}, 422),
        ("GET", "/v1/queues/{}", None, 400),
        ("PUT", "/v1/calendars/c", {"dates": [CANARY]}, 422),
        *(
            ("PUT", "/v1/schedules/s", {"cron": "@daily", "task": {"type": "t"}, **timing}, 422)
            for timing in (
                {"time_zone": CANARY},
                {"exclude": {"calendars": [CANARY]}},
                {"exclude": {"dates": [CANARY]}},
                {"calendar": [{"at": [CANARY]}]},
                {"calendar": [{"weekdays": [CANARY]}]},
                {"calendar": [{"unit": CANARY}]},
                {"calendar": [{"holidays": [CANARY], "working_day": 1}]},
            )
        ),
        ("PUT", "/v1/schedules/s", {"cron": "@daily", "task": {"type": "t", "tags": [CANARY * 20]}}, 422),
        ("PUT", "/v1/calendars/{}", {"dates": []}, 422),
        ("DELETE", "/v1/calendars/{}", None, 422),
        ("GET", "/v1/{}", None, 404),
        ("GET", "/v1/tasks?cursor={}", None, 400),
        ("GET", "/v1/tasks?state={}", None, 400),
        ("GET", "/v1/tasks?type={}", None, 400),
        ("POST", "/v1/tasks?durability={}", {"type": "t"}, 400),
        ("POST", "/v1/tasks/42:{}", None, 404),
    ],
)
def test_a_refused_value_is_not_in_the_answer(api: ApiServer, method: str, path: str, body: Any, status: int) -> None:
    held = {"hold": {"token": "right", "within": "1h"}}
    api.post("/v1/tasks", {"type": "a", "id": "held", "conditions": held})
    api.put("/v1/schedules/s", {"cron": "@daily", "task": {"type": "t"}})
    text = None if body is None else json.dumps(body).encode()

    answer = api.call(method, path.format(_quoted(CANARY)), text, None if body is None else JSON)

    assert answer.status == status, answer.body
    _silent(answer.body)


def test_a_content_type_that_is_not_taken_is_not_in_the_answer(api: ApiServer) -> None:
    answer = api.call("POST", "/v1/tasks", b"{}", {"content-type": "CANARY/4711"})
    assert answer.code == "415 unsupported_media_type"
    _silent(answer.body)


def test_a_refused_token_is_described_by_its_length(api: ApiServer) -> None:
    refused = api.post("/v1/tasks", {"type": "a", "id": "a b c"})
    assert refused.json["errors"][0]["detail"].startswith("a text of 5 characters is no id")


def test_a_name_of_a_zone_or_calendar_is_quoted_where_it_is_plain_and_told_by_its_length_where_not(
    api: ApiServer,
) -> None:
    def detail(**timing: Any) -> str:
        refused = api.put("/v1/schedules/s", {"cron": "@daily", "task": {"type": "t"}, **timing})
        return str(refused.json["errors"][0]["detail"])

    assert detail(time_zone="Europe/Berln") == "'Europe/Berln' is no time zone; did you mean Europe/Berlin?"
    assert detail(time_zone="a b").startswith("a text of 3 characters is no time zone")
    assert detail(time_zone="x" * 65).startswith("a text of 65 characters is no time zone")
    assert detail(exclude={"calendars": ["bank-holidys"]}) == "'bank-holidys' is the name of no calendar"
    assert detail(exclude={"calendars": ["a b"]}) == "a text of 3 characters is the name of no calendar"


def test_a_detail_is_never_long(api: ApiServer) -> None:
    refused = api.put("/v1/schedules/s", {"cron": "x" * 50_000, "task": {"type": "t"}})
    assert refused.status == 422
    assert len(refused.json["detail"]) < 1_100


def _silent(body: bytes) -> None:
    told = json.loads(body)
    told.pop("request_id", None)  # of digits and letters by chance
    text = json.dumps(told, ensure_ascii=False)
    assert "CANARY" not in text
    assert "4711" not in text


def _quoted(text: str) -> str:
    return quote(text, safe="%")
