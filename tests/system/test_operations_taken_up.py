"""An operation whose process ends half-way: another goes on, no task is changed twice, and the counts are true."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from redsched import Client, InvalidTask, Operation, RedschedError, Task
from redsched.wire.keys import CellKeys, queue_keys
from tests.support.api_server import ApiServer, call
from tests.support.command_line import Cli
from tests.support.processes import Redsched, until
from tests.support.servers import Store

LATER = 3_000_000_000_000
HOUR = 3_600_000
COUNT = 150
MANY = 6_000
BY = {"action": "reschedule", "search": "tag:m type:remind", "by": "+2h", "dry_run": False, "id": "mine"}


@pytest.fixture
def client(valkey_store: Store) -> Iterator[Client]:
    with valkey_store.client() as made:
        yield made


def fill(client: Client, count: int, queues: int = 2) -> None:
    tasks = [
        Task(type="remind", id=f"o{at}:r", queue=f"q{at % queues}", due=LATER + at, tags=["m"]) for at in range(count)
    ]
    for at in range(0, count, 1_000):
        client.enqueue_many(tasks[at : at + 1_000])


def moved_by(store: Store, client: Client, count: int, queues: int = 2) -> set[float]:
    """By how much tasks were moved, each from its own due time."""
    found: set[float] = set()
    seen = 0
    for queue in (f"q{at}" for at in range(queues)):
        scores = store.redis.zrange(queue_keys(client.cell, queue).due, 0, -1, withscores=True)
        found |= {score - LATER - int(name[1:-2]) for name, score in scores}
        seen += len(scores)
    assert seen == count
    return found


def record_key(client: Client) -> str:
    return CellKeys(client.cell).operation("mine")


def is_silent(store: Store, client: Client) -> None:
    """As if the last step had been over a minute ago."""
    store.redis.hset(record_key(client), "updated_at", store.now_ms() - 60_001)


def cut_off(store: Store, client: Client, action: Any, where: str, **arguments: Any) -> int:
    """An operation that was killed after its second batch, before it noted that; how many it had noted."""
    notes: dict[int, dict[Any, Any]] = {}

    def progress(now: Operation) -> Literal["stopped"] | None:
        if now.done and now.done not in notes:
            notes[now.done] = store.redis.hgetall(record_key(client))
        return "stopped" if len(notes) == 2 else None

    stopped = client.operate(action, where, id="mine", progress=progress, **arguments)
    assert stopped.state == "stopped" and len(notes) == 2
    done = min(notes)
    store.redis.delete(record_key(client))
    store.redis.hset(record_key(client), mapping=notes[done])
    is_silent(store, client)
    return done


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("cancel", {}),
        ("retag", {"add": ["n"]}),
        ("move", {"to": "other"}),
        ("priority", {"priority": "high"}),
        ("drop", {}),
    ],
)
def test_what_was_done_and_not_noted_counts_once(
    valkey_store: Store, client: Client, action: Any, arguments: dict[str, Any]
) -> None:
    fill(client, COUNT)
    if action == "drop":
        client.operate("cancel", "tag:m")
    noted = cut_off(valkey_store, client, action, "tag:m", **arguments)
    stale = client.operation("mine")
    assert stale is not None and (stale.state, stale.done) == ("stale", noted)

    done = client.operate(action, "tag:m", id="mine", **arguments)

    assert (done.state, done.total, done.done, done.changed) == ("completed", COUNT, COUNT, COUNT)
    assert sum(done.answers.values()) == COUNT
    assert client.operation("mine") == done


@pytest.mark.parametrize("action", ["run", "reschedule", "revive"])
def test_what_moves_due_times_counts_once_as_well(valkey_store: Store, client: Client, action: Any) -> None:
    fill(client, 1_000)
    if action == "revive":
        for queue in ("q0", "q1"):
            keys = queue_keys(client.cell, queue)
            for name, score in valkey_store.redis.zrange(keys.due, 0, -1, withscores=True):
                valkey_store.redis.hset(keys.task(name), mapping={"state": "dead", "finished_at": LATER})
                valkey_store.redis.zadd(keys.index("dead"), {name: score})
            valkey_store.redis.delete(keys.due)
    by = {"by": "+2h"} if action == "reschedule" else {}
    cut_off(valkey_store, client, action, "tag:m", **by)

    done = client.operate(action, "tag:m", id="mine", **by)

    assert (done.state, done.total, done.done, done.changed) == ("completed", *[1_000] * 3)
    if action == "reschedule":
        assert moved_by(valkey_store, client, 1_000) == {2 * HOUR}


def test_the_same_call_again_only_answers(valkey_store: Store, client: Client) -> None:
    fill(client, COUNT)
    done = client.operate("reschedule", "tag:m", by="+2h", id="mine")

    assert client.operate("reschedule", "tag:m", by="120m", id="mine") == done

    assert moved_by(valkey_store, client, COUNT) == {2 * HOUR}


@pytest.mark.parametrize(
    ("action", "where", "more"),
    [
        ("run", "tag:m", {}),
        ("reschedule", "tag:n", {"by": "+2h"}),
        ("reschedule", "tag:m", {"by": "+3h"}),
        ("reschedule", "tag:m", {"by": "+2h", "most": 7}),
    ],
)
def test_an_id_is_of_one_operation(
    valkey_store: Store, client: Client, action: Any, where: str, more: dict[str, Any]
) -> None:
    fill(client, COUNT)
    client.operate("reschedule", "tag:m", by="+2h", id="mine")

    with pytest.raises(InvalidTask, match="id: is that of another operation"):
        client.operate(action, where, id="mine", **more)

    assert moved_by(valkey_store, client, COUNT) == {2 * HOUR}


def test_times_count_from_the_first_start(valkey_store: Store, client: Client) -> None:
    begun = valkey_store.now_ms()
    for at, minutes in enumerate((10, 30, 90)):
        client.enqueue("remind", id=f"o{at}:r", queue="q", due=begun + minutes * 60_000, tags=["m"])
    client.operate("cancel", "tag:m due:<1h", id="mine", progress=lambda now: "stopped")
    valkey_store.redis.hincrby(record_key(client), "started_at", -45 * 60_000)

    done = client.operate("cancel", "tag:m due:<1h", id="mine")

    assert (done.total, client.task("o0:r", queue="q").state) == (1, "cancelled")


def test_a_delay_counts_from_the_first_start(valkey_store: Store, client: Client) -> None:
    fill(client, 10)
    client.operate("reschedule", "tag:m", delay="1d", id="mine", progress=lambda now: "stopped")
    kept = client.operation("mine")
    assert kept is not None and kept.started_at is not None and kept.arguments == {"delay_ms": 24 * HOUR}

    client.operate("reschedule", "tag:m", delay="24h", id="mine")

    due = {score for _, score in valkey_store.redis.zrange(queue_keys(client.cell, "q0").due, 0, -1, withscores=True)}
    assert due == {round(kept.started_at.timestamp() * 1_000) + 24 * HOUR}


def test_it_is_aborted_while_it_finds(client: Client) -> None:
    fill(client, 1_200)
    told: list[tuple[str, int]] = []

    def progress(now: Operation) -> None:
        told.append((now.state, now.total))
        if now.total:
            assert client.abort(now.id) in ("abort", "over")

    done = client.operate("cancel", "tag:m", id="mine", progress=progress)

    assert (done.state, done.changed) == ("aborted", 0) and done.total < 1_200
    assert told[0] == ("finding", 0) and told[1][0] == "finding" and 0 < told[1][1] < 1_200
    assert client.operate("cancel", "tag:m", id="mine").state == "aborted", "it is over"


def test_two_processes_do_not_carry_out_the_same(valkey_store: Store, client: Client) -> None:
    fill(client, COUNT)
    seen: list[Operation] = []

    def progress(now: Operation) -> None:
        if now.done and not seen:
            with valkey_store.client() as other:
                seen.append(other.operate("cancel", "tag:m", id="mine"))

    done = client.operate("cancel", "tag:m", id="mine", progress=progress)

    assert (seen[0].state, seen[0].done) == ("running", 25)
    assert (done.state, done.changed) == ("completed", COUNT)


def test_who_was_replaced_stops(valkey_store: Store, client: Client) -> None:
    fill(client, COUNT)
    took: list[Operation] = []

    def progress(now: Operation) -> None:
        if now.done and not took:
            is_silent(valkey_store, client)
            with valkey_store.client() as other:
                took.append(other.operate("cancel", "tag:m", id="mine"))

    done = client.operate("cancel", "tag:m", id="mine", progress=progress)

    assert done == took[0] == client.operation("mine")
    assert (done.state, done.changed, done.answers) == ("completed", COUNT, {"cancelled": COUNT})


def test_a_stale_one_is_aborted_at_once(valkey_store: Store, client: Client) -> None:
    fill(client, COUNT)
    cut_off(valkey_store, client, "cancel", "tag:m")

    assert client.abort("mine") == "aborted"

    kept = client.operation("mine")
    assert kept is not None and kept.state == "aborted"


@contextlib.contextmanager
def broken(store: Store, client: Client) -> Iterator[None]:
    """While the due times of q1 are under a key of another type."""
    due = queue_keys(client.cell, "q1").due
    store.redis.rename(due, due + ":kept")
    store.redis.set(due, "mine")
    yield
    store.redis.rename(due + ":kept", due)


def test_one_that_breaks_off_says_why_and_goes_on(valkey_store: Store, client: Client, cli: Cli) -> None:
    fill(client, COUNT)
    with broken(valkey_store, client):
        code, _, err = cli("bulk", "reschedule", "tag:m", "--by", "+2h", "--id", "mine", "--yes")
        assert code == 1 and "To go on: redsched bulk reschedule tag:m --by +2h --id mine --yes" in err
        with pytest.raises(RedschedError):
            client.operate("reschedule", "tag:m", by="+2h", id="mine")
    kept = client.operation("mine")
    assert kept is not None and (kept.state, kept.changed) == ("failed", COUNT // 2) and kept.error

    done = client.operate("reschedule", "tag:m", by="+2h", id="mine")

    assert (done.state, done.changed, done.error) == ("completed", COUNT, None)
    assert moved_by(valkey_store, client, COUNT) == {2 * HOUR}


def test_what_the_action_is_not_for_is_left_out(client: Client) -> None:
    fill(client, COUNT)
    client.operate("cancel", "tag:m", most=50)

    planned = client.operate("cancel", "tag:m state:scheduled,cancelled", dry_run=True)
    done = client.operate("cancel", "tag:m state:scheduled,cancelled")

    assert (planned.total, planned.states, planned.left_out) == (100, {"scheduled": 100}, {"cancelled": 50})
    assert (done.total, done.changed, done.answers) == (100, 100, {"cancelled": 100})
    assert done.left_out == {"cancelled": 50}


def test_the_last_ones_are_listed(client: Client) -> None:
    fill(client, 3)
    ids = [client.operate("retag", "tag:m", add=[f"t{at}"]).id for at in range(3)]

    assert [one.id for one in client.operations()] == ids[::-1]
    assert [one.id for one in client.operations(limit=1)] == ids[2:]


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def test_the_same_request_at_the_same_time_runs_once(valkey_store: Store, client: Client, api: ApiServer) -> None:
    fill(client, 2_000)
    answers: list[Any] = []
    posts = [threading.Thread(target=lambda: answers.append(api.post("/v1/operations", BY))) for _ in range(6)]
    for post in posts:
        post.start()
    for post in posts:
        post.join()

    assert {answer.status for answer in answers} <= {200, 202}
    assert {answer.headers["location"] for answer in answers} == {"/v1/operations/mine"}
    until(lambda: api.get("/v1/operations/mine").json["state"] == "completed")
    found = api.get("/v1/operations/mine").json
    assert (found["total"], found["changed"], found["answers"]) == (2_000, 2_000, {"rescheduled": 2_000})
    assert moved_by(valkey_store, client, 2_000) == {2 * HOUR}
    assert api.post("/v1/operations", BY).status == 200
    assert api.post("/v1/operations", BY | {"by": "+3h"}).code == "409 operation_exists"
    assert [one["id"] for one in api.get("/v1/operations").json["items"]] == ["mine"]
    assert moved_by(valkey_store, client, 2_000) == {2 * HOUR}


def test_http_answers_at_once_and_tells_of_a_failure(valkey_store: Store, client: Client, api: ApiServer) -> None:
    fill(client, COUNT)
    with broken(valkey_store, client):
        answer = api.post("/v1/operations", BY)
        assert (answer.status, answer.json["state"], answer.json["total"]) == (202, "finding", 0)
        found = until(lambda: one if (one := api.get("/v1/operations/mine").json)["state"] == "failed" else None)
    assert found["changed"] == COUNT // 2 and "is a string" in found["error"]

    assert api.post("/v1/operations", BY).status == 202
    until(lambda: api.get("/v1/operations/mine").json["state"] == "completed")
    assert moved_by(valkey_store, client, COUNT) == {2 * HOUR}


def served(store: Store) -> Redsched:
    assert store.url is not None
    return Redsched("api", "--port", "0", env={"REDSCHED_REDIS_URL": store.url, "REDSCHED_NAMESPACE": store.namespace})


def carried_out_in_part(api: Redsched, body: dict[str, Any]) -> None:
    """Post an operation, and wait until it has changed some."""
    line = api.wait_for_error("api.listening")
    url = next(word for word in line.replace("=", " ").replace('"', " ").split() if word.startswith("http://"))
    headers = {"content-type": "application/json"}
    began = call(url, "POST", "/v1/operations", json.dumps(body).encode(), headers).json
    until(lambda: call(url, "GET", "/v1/operations/mine").json["done"] > began["done"])


def test_an_api_that_ends_in_order_leaves_a_true_count(valkey_store: Store, client: Client) -> None:
    fill(client, MANY)
    body = {"action": "cancel", "search": "tag:m", "dry_run": False, "id": "mine"}
    with served(valkey_store) as api:
        carried_out_in_part(api, body)
        api.send(signal.SIGTERM)
        assert api.wait() == 0, api.said()

    kept = client.operation("mine")
    assert kept is not None and kept.state == "stopped" and 0 < kept.changed < MANY
    cancelled = sum(
        valkey_store.redis.zcard(queue_keys(client.cell, queue).index("finished")) for queue in ("q0", "q1")
    )
    assert kept.changed == kept.done == cancelled
    done = client.operate("cancel", "tag:m", id="mine")
    assert (done.state, done.total, done.changed, done.answers) == ("completed", MANY, MANY, {"cancelled": MANY})


def test_three_kills_move_nothing_twice(valkey_store: Store, client: Client) -> None:
    fill(client, MANY, 100)
    for _ in range(3):
        with served(valkey_store) as api:
            carried_out_in_part(api, BY)
            api.send(signal.SIGKILL)
            api.wait()
        kept = client.operation("mine")
        assert kept is not None and kept.state in ("finding", "running") and 0 < kept.done < MANY
        is_silent(valkey_store, client)

    with ApiServer(valkey_store.url or "", valkey_store.namespace) as other:
        assert other.get("/v1/operations/mine").json["state"] == "stale"
        assert other.post("/v1/operations", BY).status == 202
        until(lambda: other.get("/v1/operations/mine").json["state"] == "completed")

    done = client.operation("mine")
    assert done is not None and (done.total, done.done, done.changed) == (MANY, MANY, MANY)
    assert done.answers == {"rescheduled": MANY}
    assert moved_by(valkey_store, client, MANY, 100) == {2 * HOUR}


def test_the_command_line_goes_on_with_an_operation(valkey_store: Store, client: Client, cli: Cli) -> None:
    fill(client, COUNT)
    cut_off(valkey_store, client, "cancel", "tag:m", reason="closed shop")
    words = ("bulk", "cancel", "tag:m", "--reason", "closed shop")
    assert cli("operation", "show", "mine")[1].splitlines()[-1] == f"stale: 25 of {COUNT} changed (25 cancelled)"

    code, out, err = cli(*words, "--id", "mine", "--yes")

    assert (code, out) == (0, f"completed: {COUNT} of {COUNT} changed ({COUNT} cancelled)\n")
    assert "Operation mine" in err
    assert cli(*words[:3], "--id", "mine", "--yes")[0] == 4, "it is another one"
    assert "mine" in cli("operation", "ls")[1]
    assert json.loads(cli("operation", "ls", "-o", "json")[1])[0]["changed"] == COUNT


def test_the_command_line_says_how_to_go_on(valkey_store: Store, client: Client) -> None:
    fill(client, MANY)
    assert valkey_store.url is not None
    environment = {"REDSCHED_REDIS_URL": valkey_store.url, "REDSCHED_NAMESPACE": valkey_store.namespace}
    with Redsched("bulk", "cancel", "tag:m", "--reason", "closed shop", "--yes", env=environment) as command:
        name = command.wait_for_error("Operation ").split()[-1]
        until(lambda: (found := client.operation(name)) is not None and found.done > 0)
        command.send(signal.SIGINT)
        assert command.wait() == 4
        said = command.said()
    assert f"To go on: redsched bulk cancel tag:m --reason 'closed shop' --yes --id {name}" in said

    kept = client.operation(name)
    assert kept is not None and kept.state == "stopped"
    done = client.operate("cancel", "tag:m", reason="closed shop", id=name)
    assert (done.state, done.changed) == ("completed", MANY)
