"""Changing all tasks that a search names, by Python, HTTP and the command line, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from redsched import Client, InvalidTask, Operation, Task
from redsched.wire.keys import queue_keys
from tests.support.api_server import ApiServer
from tests.support.command_line import Cli
from tests.support.processes import until
from tests.support.servers import Store

LATER = 3_000_000_000_000
HOUR = 3_600_000
COUNT = 450


@pytest.fixture
def client(valkey_store: Store) -> Iterator[Client]:
    """450 reminders of merchant M in two queues, and one of another."""
    with valkey_store.client() as made:
        tasks = [
            Task(type="remind", id=f"o{at}:r", queue=f"q{at % 2}", due=LATER + at, tags=["merchant:M"])
            for at in range(COUNT)
        ]
        made.enqueue_many([*tasks, Task(type="remind", id="x:r", queue="q0", due=LATER, tags=["merchant:N"])])
        yield made


def due(store: Store, client: Client) -> dict[str, float]:
    """Id -> due time, of both queues."""
    found: dict[str, float] = {}
    for queue in ("q0", "q1"):
        scores = store.redis.zrange(queue_keys(client.cell, queue).due, 0, -1, withscores=True)
        found |= {(name.decode() if isinstance(name, bytes) else name): at for name, at in scores}
    return found


@pytest.mark.parametrize("where", ["tag:merchant:M type:remind", "queue:q0 state:scheduled"])
def test_every_reminder_of_a_merchant_is_moved_by_two_hours(valkey_store: Store, client: Client, where: str) -> None:
    before = due(valkey_store, client)

    done = client.operate("reschedule", where, by="+2h")

    chosen = (
        {f"o{at}:r" for at in range(COUNT)} if "tag" in where else {f"o{at}:r" for at in range(0, COUNT, 2)} | {"x:r"}
    )
    assert (done.state, done.total, done.done, done.changed) == ("completed", *[len(chosen)] * 3)
    assert done.answers == {"rescheduled": len(chosen)}
    after = due(valkey_store, client)
    assert after == {name: at + (2 * HOUR if name in chosen else 0) for name, at in before.items()}
    kept = client.operation(done.id)
    assert kept is not None and (kept.state, kept.changed, kept.answers) == ("completed", len(chosen), done.answers)


def test_the_start_by_moves_with_the_due_time(client: Client, cli: Cli) -> None:
    """Postponed by two hours means the whole time in which it may start."""
    client.enqueue("remind", id="s:r", due=LATER, expires_at=LATER + HOUR, tags=["some"])

    assert client.operate("reschedule", "tag:some", by="+2h").answers == {"rescheduled": 1}

    view = client.task("s:r")
    assert view.due_at is not None and view.expires_at is not None
    assert view.due_at.timestamp() * 1_000 == LATER + 2 * HOUR
    assert view.expires_at.timestamp() * 1_000 == LATER + 3 * HOUR
    assert "The start-by moves with it" in " ".join(cli("bulk", "reschedule", "--help")[1].split())


def test_tasks_that_would_expire_are_counted_and_stay(client: Client, cli: Cli) -> None:
    client.enqueue("remind", id="s:r", due=LATER, expires_at=LATER + HOUR, tags=["some"])
    client.enqueue("remind", id="t:r", due=LATER, tags=["some"])

    code, out, _ = cli("bulk", "reschedule", "tag:some", "--at", "2096-01-01T00:00:00Z", "--dry-run")
    assert (code, out.splitlines()[:2]) == (
        0,
        ["2 tasks would be changed", "  1 of them would not: its start-by lies before that time"],
    )
    for arguments in ({"by": "+2h"}, {"delay": "1d"}):
        assert client.operate("reschedule", "tag:some", dry_run=True, **arguments).answers == {}
    assert client.operate("reschedule", "tag:some", dry_run=True, by="-1d", id="x").answers == {}

    code, out, _ = cli("bulk", "reschedule", "tag:some", "--at", "2096-01-01T00:00:00Z", "--yes")

    assert (code, out) == (
        0,
        "completed: 1 of 2 changed (1 expires, 1 rescheduled)\n"
        "expires: its start-by lies before that time; nothing was written.\n",
    )
    view = client.task("s:r")
    assert view.due_at is not None and view.due_at.timestamp() * 1_000 == LATER


def test_a_dry_run_counts_and_changes_nothing(valkey_store: Store, client: Client) -> None:
    before = due(valkey_store, client)

    found = client.operate("cancel", "tag:merchant:M", dry_run=True)

    assert (found.state, found.total, len(found.sample), found.changed) == ("planned", COUNT, 20, 0)
    assert client.operation(found.id) is None
    assert due(valkey_store, client) == before


def test_no_more_are_changed_than_is_asked_for(client: Client) -> None:
    done = client.operate("cancel", "tag:merchant:M", most=30)

    assert (done.total, done.changed, done.more) == (30, 30, True)
    assert client.operate("cancel", "tag:merchant:M", dry_run=True).total == COUNT - 30


def test_each_action_changes_what_it_names(client: Client) -> None:
    assert client.operate("retag", "id:o1:r", add=["vip"], remove=["merchant:M"]).changed == 1
    assert client.task("o1:r", queue="q1").tags == ["vip"]
    assert client.operate("priority", "tag:vip", priority="high").changed == 1
    assert client.task("o1:r", queue="q1").priority == "high"
    assert client.operate("move", "tag:vip", to="other").changed == 1
    assert client.task("o1:r", queue="other").state == "scheduled"
    assert client.operate("run", "tag:vip").changed == 1
    assert client.operate("reschedule", "tag:vip", delay="1h").changed == 1
    assert client.operate("cancel", "tag:vip", reason="closed").changed == 1
    assert client.task("o1:r", queue="other").reason == "closed"
    assert client.operate("drop", "tag:vip").changed == 1
    assert client.search("tag:vip").items == []


def test_dead_tasks_are_revived(valkey_store: Store, client: Client) -> None:
    keys = queue_keys(client.cell, "q0")
    valkey_store.redis.hset(keys.task("x:r"), mapping={"state": "dead", "finished_at": LATER})
    valkey_store.redis.zrem(keys.due, "x:r")
    valkey_store.redis.zadd(keys.index("dead"), {"x:r": LATER})

    assert client.operate("revive", "tag:merchant:N").answers == {"revived": 1}


def test_an_abort_leaves_a_true_count(valkey_store: Store, client: Client) -> None:
    told: list[Operation] = []

    def progress(now: Operation) -> None:
        told.append(now)
        if now.done and len(told) == 4:
            assert client.abort(now.id) == "abort"

    done = client.operate("cancel", "tag:merchant:M", progress=progress)

    assert done.state == "aborted" and 0 < done.changed < COUNT
    assert len(due(valkey_store, client)) == COUNT + 1 - done.changed
    kept = client.operation(done.id)
    assert kept is not None and (kept.state, kept.changed) == ("aborted", done.changed)
    assert [client.abort(done.id), client.abort("nobody")] == ["over", "missing"]


def test_whoever_looks_on_may_stop_it(client: Client) -> None:
    done = client.operate("cancel", "tag:merchant:M", progress=lambda now: now.done > 0)

    assert (done.state, done.done) == ("aborted", 25)


def test_an_operation_that_breaks_off_says_so(client: Client) -> None:
    def progress(now: Operation) -> None:
        if now.done:
            raise RuntimeError("full")

    with pytest.raises(RuntimeError):
        client.operate("cancel", "tag:merchant:M", id="mine", progress=progress)

    kept = client.operation("mine")
    assert kept is not None and (kept.state, kept.changed) == ("failed", 25)


@pytest.mark.parametrize(
    ("action", "where", "arguments", "problem"),
    [
        ("erase", "tag:x", {}, "action: must be one of"),
        ("cancel", "", {}, "search: chooses everything"),
        ("cancel", "tga:x", {}, "did you mean tag:"),
        ("cancel", "tag:x", {"by": "+2h"}, "by: is not for cancel, which takes reason"),
        ("reschedule", "tag:x", {}, "due: give one of due, delay and by"),
        ("reschedule", "tag:x", {"by": "2 parsecs"}, "by: "),
        ("reschedule", "tag:x", {"by": "0s"}, "by: must be something"),
        ("reschedule", "tag:x", {"by": 5}, "by: is a bare number"),
        ("priority", "tag:x", {"priority": "urgent"}, "priority: must be one of"),
        ("retag", "tag:x", {}, "add: give 1 to 16 tags"),
        ("retag", "tag:x", {"add": "vip"}, "add: must be a list"),
        ("move", "tag:x", {}, "to: "),
        ("move", "tag:x", {"queue": "q"}, "queue: is not for move: to names the queue that they go to, and queue:NAME"),
        ("cancel", "due:<5", {}, "due:5 is a bare number"),
        ("cancel", "tag:x", {"most": 0}, "most: 0 is outside"),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: Client, action: Any, where: str, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidTask) as raised:
        client.operate(action, where, **arguments)

    assert problem in str(raised.value)


def test_the_command_line_says_that_the_target_of_a_move_is_to(cli: Cli) -> None:
    for option in ("--queue", "-q"):
        status, _, told = cli("bulk", "move", "tag:x", option, "other")
        assert status == 2
        assert "The queue that they go to is --to QUEUE. Where they are is a word: queue:NAME." in told
    assert "--queue" not in cli("bulk", "move", "--help")[1]


def test_the_command_line_asks_and_then_moves(cli: Cli, client: Client, valkey_store: Store) -> None:
    before = due(valkey_store, client)
    words = ("bulk", "reschedule", "tag:merchant:M", "type:remind", "--by", "-30m")

    code, out, err = cli(*words, stdin="n\n")
    assert code == 1 and f"reschedule {COUNT} tasks?" in err and due(valkey_store, client) == before

    code, out, err = cli(*words, "--dry-run")
    assert code == 0 and out.startswith(f"{COUNT} tasks would be changed")

    code, out, err = cli(*words, "--yes")
    assert (code, out) == (0, f"completed: {COUNT} of {COUNT} changed ({COUNT} rescheduled)\n")
    assert due(valkey_store, client)["o0:r"] == LATER - HOUR // 2

    code, out, err = cli("bulk", "move", "tag:merchant:N", "--to", "other", "-y", "-o", "json")
    done = json.loads(out)
    assert (code, done["changed"]) == (0, 1)
    assert "completed: 1 of 1 changed (1 moved)" in cli("operation", "show", done["id"])[1]
    assert cli("operation", "abort", done["id"])[1] == f"over {done['id']}\n"
    assert cli("operation", "show", "nobody")[0] == cli("operation", "abort", "nobody")[0] == 3
    assert cli("bulk", "retag", "tag:x", "-y")[0] == 2


def test_http_starts_one_and_shows_it(valkey_store: Store, client: Client) -> None:
    assert valkey_store.url is not None
    body: dict[str, Any] = {"action": "reschedule", "search": "tag:merchant:M", "by": "+2h"}
    with ApiServer(valkey_store.url, valkey_store.namespace) as api:
        dry = api.post("/v1/operations", body)
        assert (dry.status, dry.json["total"], dry.json["state"]) == (200, COUNT, "planned")

        started = api.post("/v1/operations", body | {"dry_run": False})
        assert (started.status, started.json["state"]) == (202, "finding")
        where = started.headers["location"]
        until(lambda: api.get(where).json["state"] == "completed")
        assert api.get(where).json["changed"] == COUNT

        assert api.post(where + ":abort").json["status"] == "over"
        assert [api.get("/v1/operations/nobody").status, api.post(where + ":stop").status] == [404, 404]
        for wrong in ({"action": "erase"}, {"search": "tga:x"}, {"search": ""}, {"by": "soon"}):
            assert api.post("/v1/operations", body | wrong | {"dry_run": False}).status == 422, wrong
