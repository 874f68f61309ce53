"""Recurring schedules over HTTP, against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.api_server import ApiServer
from tests.support.servers import Store

TASK = {"type": "statement.send", "queue": "default", "payload": {"month": True}}
MONTHLY = {"cron": "0 9 LW * *", "time_zone": "Asia/Kolkata", "task": TASK}


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def test_a_schedule_is_created_replaced_and_left_as_it_is(api: ApiServer) -> None:
    made = api.put("/v1/schedules/monthly", MONTHLY)
    again = api.put("/v1/schedules/monthly", {**MONTHLY, "id": "monthly", "catch_up_window": "1m"})
    changed = api.put("/v1/schedules/monthly", {**MONTHLY, "overlap": "buffer_one"})
    only = api.put("/v1/schedules/monthly", MONTHLY, headers={"if-none-match": "*"})

    assert (made.status, made.json["status"], made.headers["location"]) == (201, "created", "/v1/schedules/monthly")
    assert (again.status, again.json["status"], again.json["rev"]) == (200, "unchanged", 1)
    assert (changed.status, changed.json["status"], changed.json["rev"]) == (200, "updated", 2)
    assert only.code == "412 precondition_failed"


def test_a_schedule_is_shown_with_its_next_runs(api: ApiServer) -> None:
    api.put("/v1/schedules/monthly", MONTHLY)
    shown = api.get("/v1/schedules/monthly").json

    assert shown["schedule"] == {"id": "monthly", **MONTHLY}
    assert (shown["state"], shown["rev"], shown["recent_runs"], shown["buffered"]) == ("active", 1, [], 0)
    assert [run["local"][10:] for run in shown["next_runs"]] == ["T09:00:00+05:30"] * 10
    assert shown["counters"] == dict.fromkeys(("fired", "missed", "skipped", "dropped", "triggered", "backfilled"), 0)
    assert [item["id"] for item in api.get("/v1/schedules").json["items"]] == ["monthly"]
    for limit in ("101", "0", "x", "0" * 8 + "1" + "0" * 5_000):
        assert api.get(f"/v1/schedules?limit={limit}").code == "400 bad_filter"
    assert api.get("/v1/schedules?cursor=x").code == "400 bad_cursor"
    assert api.get("/v1/schedules/other").code == "404 schedule_not_found"


def test_a_merge_patch_changes_some_fields(api: ApiServer) -> None:
    api.put("/v1/schedules/monthly", {**MONTHLY, "jitter": "5s"})
    patched = api.put("/v1/schedules/monthly", {"jitter": None, "task": {"payload": {"month": False}}}, method="PATCH")
    refused = api.put("/v1/schedules/monthly", {"time_zone": "Asia/Calcuta"}, method="PATCH")

    assert patched.json["status"] == "updated"
    definition = api.get("/v1/schedules/monthly").json["schedule"]
    assert definition == {"id": "monthly", **MONTHLY, "task": {**TASK, "payload": {"month": False}}}
    assert refused.code == "422 unknown_time_zone"
    assert refused.json["errors"][0]["pointer"] == "/time_zone"


def test_two_patches_at_once_lose_nothing(api: ApiServer) -> None:
    api.put("/v1/schedules/monthly", MONTHLY)

    with ThreadPoolExecutor(2) as pool:
        for n in range(1, 11):
            changes = ({"jitter": n * 1_000}, {"max_runs": n})
            answers = pool.map(lambda change: api.put("/v1/schedules/monthly", change, method="PATCH"), changes)
            assert [answer.json["status"] for answer in answers] == ["updated", "updated"]
            found = api.get("/v1/schedules/monthly").json["schedule"]
            assert (found["jitter"], found["max_runs"]) == (n * 1_000, n)


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"cron": "0 25 * * *"}, "422 invalid_cron", "/cron"),
        ({"cron": ["0 9 * * *", "x"]}, "422 invalid_cron", "/cron/1"),
        ({"time_zone": "Mars"}, "422 unknown_time_zone", "/time_zone"),
        ({"cron": [], "at": ["2001-01-01T00:00:00Z"]}, "422 never_fires", ""),
        ({"cron": []}, "422 invalid_schedule", ""),
        ({"overlap": "sometimes"}, "422 invalid_schedule", "/overlap"),
        ({"task": {"type": "a b"}}, "422 invalid_schedule", "/task/type"),
        ({"task": {"type": "a", "nothing": 1}}, "422 unknown_field", "/task/nothing"),
        ({"task": {}}, "422 invalid_schedule", "/task/type"),
        ({"max_runs": 10**12}, "422 invalid_schedule", "/max_runs"),
        ({"description": "x" * 1_001}, "422 invalid_schedule", "/description"),
        ({"jitter": "2d"}, "422 invalid_schedule", "/jitter"),
        ({"exclude": {"calendars": ["none"]}}, "422 invalid_schedule", "/exclude/calendars"),
        ({"frequency": 1}, "422 unknown_field", "/frequency"),
    ],
)
def test_what_cannot_be_used_names_the_field_and_writes_nothing(
    api: ApiServer, change: dict[str, Any], code: str, pointer: str
) -> None:
    refused = api.put("/v1/schedules/bad", {**MONTHLY, **change})

    assert refused.code == code
    assert refused.json["errors"][0]["pointer"] == pointer
    assert refused.json["detail"].endswith("nothing was written")
    assert api.get("/v1/schedules/bad").status == 404


def test_a_name_that_is_none_is_refused(api: ApiServer) -> None:
    assert api.put("/v1/schedules/a%20b", MONTHLY).code == "422 invalid_schedule"
    assert api.put("/v1/schedules/a", {**MONTHLY, "id": "b"}).code == "422 validation_failed"
    assert api.put("/v1/schedules/a", [1]).code == "422 validation_failed"


def test_pause_resume_trigger_and_backfill(api: ApiServer) -> None:
    api.put("/v1/schedules/monthly", MONTHLY)

    assert api.post("/v1/schedules/monthly:pause", {"reason": "audit", "until": "2090-01-01T00:00:00Z"}).status == 200
    shown = api.get("/v1/schedules/monthly").json
    assert (shown["state"], shown["paused_reason"], shown["paused_until"]) == (
        "paused",
        "audit",
        "2090-01-01T00:00:00Z",
    )
    assert api.post("/v1/schedules/monthly:resume", {}).json["status"] == "resumed"
    assert api.post("/v1/schedules/monthly:resume", {}).json["status"] == "active"
    triggered = api.post("/v1/schedules/monthly:trigger", {"payload": {"month": 7}})
    assert triggered.status == 201
    assert api.get(f"/v1/tasks/{triggered.json['task_id']}").json["payload"] == {"month": 7}
    assert api.post("/v1/schedules/monthly:trigger", {}).json["task_id"] is None, "its own policy is skip"
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-03-31T23:59:59Z"}
    dry = api.post("/v1/schedules/monthly:backfill", {**span, "dry_run": True}).json
    assert (dry["slots"], dry["ids"]) == (
        ["2026-01-30T03:30:00Z", "2026-02-27T03:30:00Z", "2026-03-31T03:30:00Z"],
        [],
    )
    filled = api.post("/v1/schedules/monthly:backfill", {**span, "overlap": "allow_all"}).json
    assert len(filled["ids"]) == 3
    assert api.get(f"/v1/tasks/{filled['ids'][0]}").json["slot"] == "2026-01-30T03:30:00Z"
    counters = api.get("/v1/schedules/monthly").json["counters"]
    assert (counters["triggered"], counters["backfilled"], counters["skipped"]) == (1, 3, 1)


@pytest.mark.parametrize(
    ("verb", "body", "code"),
    [
        ("pause", {"until": "soon"}, "422 invalid_schedule"),
        ("pause", {"why": 1}, "422 unknown_field"),
        ("trigger", {"overlap": "never"}, "422 invalid_schedule"),
        ("backfill", {"from": "2026-01-01T00:00:00Z"}, "422 validation_failed"),
        ("backfill", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "422 invalid_schedule"),
        ("backfill", {"from": "1990-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "422 too_many_runs"),
        ("backfill", {"from": "2026-01-01T00:00:00Z", "to": "2090-01-01T00:00:00Z"}, "422 invalid_schedule"),
        ("explode", {}, "404 not_found"),
    ],
)
def test_an_action_that_cannot_be_done_says_so(api: ApiServer, verb: str, body: dict[str, Any], code: str) -> None:
    api.put("/v1/schedules/daily", MONTHLY | {"cron": "0 9 * * *"})

    assert api.post(f"/v1/schedules/daily:{verb}", body).code == code
    shown = api.get("/v1/schedules/daily").json
    assert (shown["state"], shown["counters"]["triggered"], shown["counters"]["backfilled"]) == ("active", 0, 0)


@pytest.mark.parametrize("verb", ["pause", "resume", "trigger"])
def test_an_action_on_no_schedule_is_404(api: ApiServer, verb: str) -> None:
    assert api.post(f"/v1/schedules/none:{verb}", {}).code == "404 schedule_not_found"


def test_a_preview_notes_the_edges_of_daylight_saving_time(api: ApiServer) -> None:
    answer = api.post(
        "/v1/schedules:preview",
        {
            "cron": "30 2 * * *",
            "time_zone": "America/New_York",
            "from": "2027-03-13T12:00:00Z",
            "count": 2,
        },
    )

    assert answer.status == 200
    assert [(run["local"], run["note"]) for run in answer.json["runs"]] == [
        ("2027-03-14T03:00:00-04:00", "dst_gap"),
        ("2027-03-15T02:30:00-04:00", ""),
    ]
    assert answer.json["description"]
    assert api.post("/v1/schedules:preview", {"cron": "x"}).code == "422 invalid_cron"
    soon = api.post("/v1/schedules:preview", {"cron": "0 9 * * *", "from": "soon"})
    assert (soon.code, soon.pointers) == ("422 invalid_schedule", ["/from"])
    assert api.post("/v1/schedules:preview", {"cron": "0 9 * * *", "count": "x"}).pointers == ["/count"]
    assert api.post("/v1/schedules:preview", {"cron": "0 9 * * *", "count": 0}).code == "422 invalid_schedule"
    assert api.get("/v1/schedules").json["items"] == []


def test_apply_writes_all_or_nothing_and_prunes(api: ApiServer) -> None:
    one, two = {**MONTHLY, "id": "one"}, {**MONTHLY, "id": "two"}
    api.put("/v1/schedules/by-hand", MONTHLY)
    api.post("/v1/schedules:apply", {"schedules": [{**MONTHLY, "id": "old"}]})
    api.post("/v1/schedules:apply", {"schedules": [{**MONTHLY, "id": "theirs"}], "owner": "team"})

    bad = api.post("/v1/schedules:apply", {"schedules": [one, {**two, "cron": "x"}]})
    assert (bad.code, bad.json["errors"][0]["pointer"]) == ("422 invalid_cron", "/schedules/1/cron")
    dry = api.post("/v1/schedules:apply", {"schedules": [one, two], "prune": True, "dry_run": True}).json
    assert dry == {"created": ["one", "two"], "updated": [], "unchanged": [], "pruned": ["old"], "other": []}
    assert {item["id"] for item in api.get("/v1/schedules").json["items"]} == {"old", "by-hand", "theirs"}
    done = api.post("/v1/schedules:apply", {"schedules": [one, two], "prune": True}).json
    assert done == dry
    again = api.post("/v1/schedules:apply", {"schedules": [one, two], "prune": True}).json
    assert again == {"created": [], "updated": [], "unchanged": ["one", "two"], "pruned": [], "other": []}
    found = {item["id"]: item["owner"] for item in api.get("/v1/schedules").json["items"]}
    assert found == {"by-hand": None, "one": "apply", "theirs": "team", "two": "apply"}


def test_a_calendar_moves_the_runs_that_leave_it_out(api: ApiServer) -> None:
    assert api.put("/v1/calendars/in", {"dates": ["2090-12-25", "*-01-26"]}).status == 200
    body = {"cron": "0 9 26 1 *", "task": TASK, "exclude": {"calendars": ["in"]}}
    assert api.put("/v1/schedules/republic", body).code == "422 never_fires"
    assert api.put("/v1/schedules/republic", {**body, "cron": "0 9 26 1,2 *"}).status == 201
    assert api.get("/v1/calendars/in").json == {"name": "in", "dates": ["*-01-26", "2090-12-25"]}
    assert api.get("/v1/calendars").json == {"in": ["*-01-26", "2090-12-25"]}
    assert api.put("/v1/calendars/in", {"dates": ["2090-13-25"]}).json["errors"][0]["pointer"] == "/dates/0"
    assert api.call("DELETE", "/v1/calendars/in").status == 204
    assert api.call("DELETE", "/v1/calendars/in").code == "404 calendar_not_found"


def test_a_schedule_that_is_deleted_is_gone(api: ApiServer) -> None:
    api.put("/v1/schedules/monthly", MONTHLY)

    assert api.call("DELETE", "/v1/schedules/monthly").status == 204
    assert api.call("DELETE", "/v1/schedules/monthly").code == "404 schedule_not_found"
