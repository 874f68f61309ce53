"""Each error of a request names a member of its body, or a parameter of its query, as the request has it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api_server import Answer, ApiServer
from tests.support.servers import Store

TASK = {"type": "t"}
TASK_FIELDS = ("type", "queue", "max_attempts", "retry", "timeout", "expires_in", "key", "tags", "headers", "retention")
OF_A_TASK = tuple(f"task.{name}" for name in (*TASK_FIELDS, "conditions", "priority"))
WRONG = ["", "\x01 no", "soon", -5, 10**17, 0.5, [], ["x", 5], {}, True, "x" * 5_000, None]
# method, path, a body that is taken, members of which each gets every wrong value in turn
BODIES: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    ("POST", "/v1/tasks", TASK, (*TASK_FIELDS, "id", "due", "delay", "expires_at", "request", "conditions", "expect")),
    ("POST", "/v1/tasks/a:cancel?queue=default", {}, ("reason",)),
    ("POST", "/v1/tasks/a:reschedule?queue=default", {}, ("due", "delay")),
    ("POST", "/v1/tasks/a:revive?queue=default", {}, ("due", "delay")),
    ("POST", "/v1/tasks/a:confirm?queue=default", {}, ("token",)),
    ("POST", "/v1/tasks:bulk", {"action": "cancel", "filter": {}}, ("action", "filter", "queue", "dry_run", "max")),
    (
        "POST",
        "/v1/tasks:bulk",
        {"action": "revive", "filter": {}},
        ("filter.state", "filter.type", "filter.older_than"),
    ),
    (
        "POST",
        "/v1/operations",
        {"action": "retag", "search": "x"},
        ("action", "search", "max", "scan", "add", "remove"),
    ),
    ("POST", "/v1/operations", {"action": "reschedule", "search": "x"}, ("due", "delay", "by")),
    ("POST", "/v1/operations", {"action": "cancel", "search": "x"}, ("reason", "priority")),
    ("POST", "/v1/operations", {"action": "priority", "search": "x"}, ("priority",)),
    ("POST", "/v1/operations", {"action": "move", "search": "x"}, ("to",)),
    ("POST", "/v1/operations", {"action": "revive", "search": "x"}, ("due", "delay")),
    ("POST", "/v1/events", {"event": "paid"}, ("event", "subject", "data", "ttl", "id")),
    ("PUT", "/v1/rules/r", {"on": "paid", "task": TASK}, ("on", "task", "delay", "task_id", "bind", *OF_A_TASK)),
    ("POST", "/v1/queues/q:pause", {"force": True}, ("type", "key", "reason", "until", "force")),
    ("POST", "/v1/queues/q:resume", {}, ("type", "key")),
    ("POST", "/v1/queues:pause", {"reason": "x"}, ("reason", "until")),
    ("PATCH", "/v1/queues/q", {}, ("most_finished", "most_dead")),
    ("PATCH", "/v1/queues/q/defaults", {}, ("max_attempts", "retry", "timeout", "expires_in", "retention", "key")),
    ("POST", "/v1/workflows", {"chain": [TASK, TASK]}, ("chain", "group", "then", "on", "otherwise")),
    ("POST", "/v1/workflows", {"chain": [TASK, TASK]}, tuple(f"chain.1.{name}" for name in TASK_FIELDS)),
    ("POST", "/v1/workflows", {"group": [TASK, TASK], "then": TASK}, tuple(f"then.{name}" for name in TASK_FIELDS)),
    ("PUT", "/v1/schedules/s", {"every": "1h", "task": TASK}, ("every", "time_zone", "start", "end", "max_runs")),
    ("PUT", "/v1/schedules/s", {"every": "1h", "task": TASK}, ("jitter", "overlap", "catch_up", "exclude", *OF_A_TASK)),
    ("PUT", "/v1/schedules/s", {"cron": "* * * * *", "task": TASK}, ("cron", "description", "catch_up_window")),
    ("PATCH", "/v1/schedules/known", {}, ("every", "end", "overlap", "task")),
    ("POST", "/v1/schedules/known:pause", {}, ("reason", "until")),
    ("POST", "/v1/schedules/known:trigger", {}, ("overlap",)),
    ("POST", "/v1/schedules/known:backfill", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, ("from",)),
    ("POST", "/v1/schedules/known:backfill", {"from": "2026-01-01T00:00:00Z", "dry_run": True}, ("to", "overlap")),
    ("POST", "/v1/schedules:preview", {"every": "1h"}, ("from", "count", "every", "time_zone")),
    ("POST", "/v1/schedules:apply", {"schedules": []}, ("schedules", "owner", "prune", "dry_run")),
    ("PUT", "/v1/calendars/c", {"dates": []}, ("dates",)),
]
QUERIES: list[tuple[str, tuple[str, ...]]] = [
    ("/v1/tasks", ("queue", "state", "type", "limit", "cursor")),
    ("/v1/tasks/a", ("queue",)),
    ("/v1/tasks/a/explain", ("queue",)),
    ("/v1/tasks/a/tree", ("queue", "limit")),
    ("/v1/queues", ("limit", "cursor")),
    ("/v1/timeline", ("queue", "past", "ahead", "step", "types")),
    ("/v1/rules", ("limit", "cursor")),
    ("/v1/types", ("limit", "cursor")),
    ("/v1/schedules", ("limit", "cursor")),
    ("/v1/search", ("q", "limit", "cursor", "scan")),
]


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    """A server with one schedule."""
    with ApiServer(valkey_store.url or "", valkey_store.namespace) as api:
        assert api.put("/v1/schedules/known", {"every": "1h", "task": TASK}).status == 201
        yield api


def with_member(body: Any, path: str, value: Any) -> Any:
    """The body with another value there."""
    made = at = copy.deepcopy(body)
    *before, last = path.split(".")
    for step in before:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[last] = value
    return made


def members(body: Any, at: str = "") -> set[str]:
    """The pointers of all that is in a body."""
    inside = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return {at}.union(*(members(value, f"{at}/{name}") for name, value in inside))


def may_have(path: str) -> set[str]:
    """The pointers of what bodies of requests there may have."""
    return {"/" + field.replace(".", "/") for _, one, _, fields in BODIES if one == path for field in fields}


def named(answer: Answer) -> list[tuple[str, str, str]]:
    """Pointer, parameter and detail of each error of a refused request."""
    if answer.status not in (400, 409, 413, 422):
        assert answer.status < 405, answer.body
        return []
    errors = answer.json.get("errors", [])
    return [(one.get("pointer", ""), one.get("parameter", ""), answer.json["detail"]) for one in errors]


@pytest.mark.parametrize(("method", "path", "body", "fields"), BODIES)
def test_an_error_names_a_member_of_the_body(
    api: ApiServer, method: str, path: str, body: dict[str, Any], fields: tuple[str, ...]
) -> None:
    refused = 0
    for field in fields:
        for value in WRONG:
            given = with_member(body, field, value)
            for pointer, parameter, detail in named(api.put(path, given, method=method)):
                refused += 1
                missing = pointer.rpartition("/")[0] if "is required" in detail else pointer
                assert not parameter and missing in members(given) | may_have(path), (
                    field,
                    value,
                    pointer,
                    parameter,
                    detail,
                )
                last = pointer.rpartition("/")[2]
                assert last.isdigit() or last in detail or not last, (field, value, pointer, detail)
    assert refused


@pytest.mark.parametrize(("path", "parameters"), QUERIES)
def test_an_error_names_a_parameter_of_the_query(api: ApiServer, path: str, parameters: tuple[str, ...]) -> None:
    count = 0
    for parameter in parameters:
        told = [
            one
            for value in ("\x01 no", "soon", "-5", "0.5", "x" * 2_000, "\u0663")
            for one in named(api.get(f"{path}?{parameter}={quote(value)}"))
        ]
        assert {(pointer, name) for pointer, name, _ in told} <= {("", parameter)}, told
        count += len(told)
    assert count
