"""The other verbs through both clients: what each answers, and what the next look shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redsched import Exponential, Task
from redsched.model.errors import InvalidTask, TaskNotFound
from redsched.steps import install as installing
from redsched.wire import scripts
from tests.support.clients import Connect, Face
from tests.support.servers import Store

DUE = datetime(2030, 1, 31, 9, tzinfo=UTC)


def seed(client: Face) -> None:
    """One task in each state that a client can bring about."""
    client.enqueue_many([Task(type="t", id=name) for name in ("completed", "dead", "running")])
    started = {one.id: one for one in client.start()}
    assert client.settle(started["completed"], "complete", '{"n":1}') == "completed"
    assert client.settle(started["dead"], "dead", "rejected", "no such account") == "dead"
    client.enqueue_many(
        [
            Task(type="t", id="scheduled", due=DUE),
            Task(type="t", id="cancelled", due=DUE),
            Task(type="u", id="ready", priority="high"),
        ]
    )
    client.cancel("cancelled", reason="paid")


ALL = ["scheduled", "ready", "running", "completed", "cancelled", "dead", "nobody"]


def test_cancel_answers_for_each_id(client: Face) -> None:
    seed(client)

    assert client.cancel(ALL) == {
        "scheduled": "cancelled",
        "ready": "cancelled",
        "running": "requested",
        "completed": "finished",
        "cancelled": "cancelled",
        "dead": "finished",
        "nobody": "missing",
    }

    assert client.cancel("nobody") == {"nobody": "missing"}
    views = client.show(["scheduled", "running", "cancelled"])
    assert [views[name].state for name in views] == ["cancelled", "running", "cancelled"]
    assert (views["running"].cancel_requested, views["cancelled"].reason) == (True, "paid")


def test_reschedule_answers_for_each_id(client: Face) -> None:
    seed(client)
    then = DUE + timedelta(days=1)

    assert client.reschedule(ALL, due=then) == {
        "scheduled": "rescheduled",
        "ready": "rescheduled",
        "running": "running",
        "completed": "finished",
        "cancelled": "finished",
        "dead": "finished",
        "nobody": "missing",
    }

    assert [view.due_at for view in client.show(["scheduled", "ready"]).values()] == [then, then]
    assert client.reschedule("scheduled", delay="1h") == {"scheduled": "rescheduled"}
    assert client.reschedule("scheduled", due=0) == {"scheduled": "rescheduled"}
    assert [one.id for one in client.start()] == ["scheduled"]


def test_update_answers_for_each_id(client: Face) -> None:
    seed(client)

    assert client.update(ALL, payload={"new": 1}, priority="low") == {
        "scheduled": "updated",
        "ready": "updated",
        "running": "running",
        "completed": "finished",
        "cancelled": "finished",
        "dead": "updated",
        "nobody": "missing",
    }

    for view in client.show(["scheduled", "ready", "dead"]).values():
        assert (view.payload, view.priority) == ({"new": 1}, "low")


def test_update_changes_every_field_and_takes_each_back(client: Face) -> None:
    client.enqueue("t", 1, id="a", due=DUE)
    before = client.task("a")

    client.update(
        "a",
        payload=[1],
        priority="high",
        max_attempts=9,
        retry=Exponential(),
        timeout="5s",
        expires_at=DUE + timedelta(hours=1),
        key="k",
        tags=["x"],
        headers={"h": "1"},
        retention="1d",
        keep=True,
    )
    view = client.task("a")
    assert (view.payload, view.priority, view.max_attempts, view.timeout_ms, view.expires_at) == (
        [1],
        "high",
        9,
        5_000,
        DUE + timedelta(hours=1),
    )
    assert (view.retry, view.key, view.tags, view.headers, view.retention_ms, view.keep) == (
        "exponential 5000 2 3600000 0.2",
        "k",
        ["x"],
        {"h": "1"},
        86_400_000,
        True,
    )

    client.update(
        "a",
        payload=1,
        priority=None,
        max_attempts=None,
        retry=None,
        timeout=None,
        expires_at=None,
        key=None,
        tags=None,
        headers=None,
        retention=None,
        keep=False,
    )
    assert client.task("a") == before


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "fields"),
        ({"type": "u"}, "type"),
        ({"id": "b"}, "id"),
        ({"request": "r"}, "request"),
        ({"due": DUE}, "due"),
        ({"color": "red"}, "color"),
        ({"priority": "urgent"}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"payload": object()}, "payload"),
        ({"payload": "x" * 300_000}, "payload"),
        ({"retry": "x"}, "retry"),
        ({"expires_at": datetime(2030, 1, 1)}, "expires_at"),
        ({"tags": "x"}, "tags"),
        ({"headers": {"a": 1}}, "headers"),
    ],
)
def test_update_refuses_what_it_cannot_change(
    valkey_store: Store, connect: Connect, fields: dict[str, Any], field: str
) -> None:
    client = connect(valkey_store)
    client.enqueue("t", 1, id="a", due=DUE)
    before = client.task("a")

    with pytest.raises(InvalidTask, match="nothing was written") as caught:
        client.update("a", **fields)

    assert caught.value.field == field
    assert client.task("a") == before


def test_revive_answers_for_each_id(client: Face) -> None:
    seed(client)

    assert client.revive(ALL) == {name: name for name in ALL if name not in ("dead", "nobody")} | {
        "dead": "revived",
        "nobody": "missing",
    }

    view = client.task("dead")
    assert (view.state, view.attempt, view.reason) == ("scheduled", 0, None)
    assert view.history is not None and view.history[0].error == "no such account"
    assert client.revive("dead", due=DUE) == {"dead": "scheduled"}


def test_show_tells_everything_of_each_task(client: Face) -> None:
    seed(client)

    views = client.show(ALL)

    assert {name: view and view.state for name, view in views.items()} == {
        name: name if name != "nobody" else None for name in ALL
    }
    assert views["completed"].result == {"n": 1}
    assert (views["dead"].reason, views["dead"].error) == ("rejected", "no such account")
    assert views["running"].lease_until > views["running"].started_at
    assert client.task("scheduled").due_at == DUE
    with pytest.raises(TaskNotFound, match=r"no task 'nobody' in any queue$") as caught:
        client.task("nobody")
    assert (caught.value.task_id, caught.value.queue) == ("nobody", None)
    with pytest.raises(TaskNotFound, match=r"no task 'nobody' in queue 'default'$") as caught:
        client.task("nobody", queue="default")
    assert (caught.value.task_id, caught.value.queue) == ("nobody", "default")


def test_list_pages_through_each_state(client: Face) -> None:
    seed(client)

    for state in ("scheduled", "ready", "running", "completed", "cancelled", "dead"):
        page = client.list(state=state)
        assert ([item.id for item in page.items], page.next_cursor) == ([state], None)
        assert page.items[0].state == state
    assert {item.id for item in client.list(state="finished").items} == {"completed", "cancelled"}
    assert client.list(state="ready", type="t").items == []
    assert [item.id for item in client.list(state="ready", type="u").items] == ["ready"]
    assert client.list("other").items == []


@pytest.mark.parametrize("state", ["scheduled", "ready", "finished"])
def test_the_cursor_of_a_page_leads_to_the_next(client: Face, state: str) -> None:
    due = DUE if state == "scheduled" else 0
    names = [f"a{number:02}" for number in range(25)]
    client.enqueue_many([Task(type="t", id=name, due=due) for name in names])
    if state == "finished":
        while some := client.start():  # a slow server ends a claim before it has all
            for started in some:
                client.settle(started, "complete")

    found, cursor = [], None
    while True:
        page = client.list(state=state, limit=10, cursor=cursor)
        found += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert " " not in cursor, "a cursor stands in a URL"

    assert sorted(found) == names
    assert found == names or state == "finished"


def test_stats_count_each_state(client: Face) -> None:
    seed(client)

    here, empty = client.stats(["default", "other"])

    assert (here.queue, here.scheduled, here.ready, here.running, here.finished, here.dead) == (
        "default",
        1,
        1,
        1,
        2,
        1,
    )
    assert (here.held, here.quarantined, here.next_due) == (0, 0, DUE)
    assert here.oldest_due_age_ms is not None
    assert here.totals["enqueued"] == 6
    assert (empty.queue, empty.scheduled, empty.totals) == ("other", 0, {})
    assert client.stats([]) == []
    assert len(client.stats([f"q{number}" for number in range(101)])) == 101


def test_queues_are_told_in_order(client: Face) -> None:
    assert client.queues() == []

    client.enqueue_many([Task(type="t", queue=name) for name in ("b", "a", "b")])

    assert client.queues() == ["a", "b"]


def test_install_loads_the_lua_and_writes_what_a_foreign_producer_reads_once(client: Face, store: Store) -> None:
    installed = client.install()

    assert installed.mode == ("scripts" if store.kind == "valkey-scripts" else "functions")
    assert installed.build == scripts.BUILD
    assert installed.listpack in ("raised", "already", "refused")
    if store.url:
        assert installed.listpack != "refused"
        assert int(store.redis.config_get("hash-max-listpack-value")["hash-max-listpack-value"]) >= 1_024
        assert installed.server.startswith(store.program)
    meta = store.redis.hgetall(store.key("meta"))
    assert meta | {"epoch": ""} == {"contract": "1", "cells": "1", "tags": store.namespace, "epoch": ""}

    assert client.install().listpack != "raised"
    assert store.redis.hgetall(store.key("meta")) == meta, "a second install leaves it as it was"


def test_ping_tells_what_the_server_is(client: Face, store: Store) -> None:
    client.install()

    about = client.ping()

    assert about.build == (None if store.kind == "valkey-scripts" else scripts.BUILD)
    if store.url:
        assert (about.server, about.role, about.mode) == (store.program, "master", "standalone")
        assert (about.maxmemory_policy, about.aof) == ("noeviction", "yes")
        assert about.version[0].isdigit()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.cancel("a b"),
        lambda client: client.cancel([]),
        lambda client: client.cancel(["a"] * 1_001),
        lambda client: client.cancel("a", queue="no good"),
        lambda client: client.show(["a"] * 101),
        lambda client: client.show([]),
        lambda client: client.show(""),
        lambda client: client.task("a", queue=""),
        lambda client: client.reschedule("a"),
        lambda client: client.reschedule("a", due=0, delay="5ms"),
        lambda client: client.reschedule("a", due=datetime(2030, 1, 1)),
        lambda client: client.revive("a", delay="soon"),
        lambda client: client.list(state="gone"),
        lambda client: client.list(limit=0),
        lambda client: client.list(limit=1_001),
        lambda client: client.list(cursor="*"),
        lambda client: client.list(type="no good"),
        lambda client: client.stats(["no good"]),
        lambda client: client.list("no good"),
        lambda client: client.update("", payload=1),
    ],
    ids=range(20),
)
def test_arguments_that_cannot_be_used_are_named_before_anything_is_sent(
    valkey_store: Store, connect: Connect, call: Any
) -> None:
    with pytest.raises(InvalidTask):
        call(connect(valkey_store))

    assert valkey_store.keys() == []


def test_namespaces_do_not_see_each_other(valkey_store: Store, connect: Connect) -> None:
    one, two = (
        connect(valkey_store.url, namespace=valkey_store.namespace),
        connect(valkey_store.url, namespace=valkey_store.namespace + ".2"),
    )
    one.enqueue("t", id="a")

    assert two.show("a") == {"a": None}
    assert two.queues() == []
    assert two.start() == []


def test_a_namespace_whose_meta_is_of_another_type_tells_no_epoch_and_goes_on(store: Store) -> None:
    store.redis.set(store.key("meta"), "mine")

    with store.client() as client:
        assert client.converse("epoch", installing.epoch(client.cell_keys)) is None
        assert client.enqueue("t").status == "created"
