"""A deploy that gives a type another queue makes no task a second time: the same call with the same id, and without a
queue, finds the one of before, through every door.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from redsched import App, Client, Task, TaskConflict
from redsched.cli.main import main
from redsched.engine.app_types import type_put
from redsched.wire import protocol
from redsched.wire.keys import queue_keys
from tests.support.acl_users import QUEUE, Users
from tests.support.api_server import ApiServer
from tests.support.servers import Store


def of_version(version: str, queue: str) -> App:
    """The application, whose type has this queue in this version."""
    made = App("reminders", version=version)
    made.task("rem.send", queue=queue)(lambda order: order)
    made.task("same", queue="qs")(lambda order: order)
    return made


class Deploys:
    """Each version of the application is the only one that lives, from when it is deployed on."""

    def __init__(self, store: Store) -> None:
        self.store, self._started = store, 5
        self._live: App | None = None

    def deploy(self, version: str, queue: str) -> Client:
        """A client that was made after this version's worker started, and that of the version before ended."""
        with self.store.client() as client:
            for app, started in ((self._live, 0), (made := of_version(version, queue), self._started)):
                types = [type_put(one) for one in app.tasks.values()] if app is not None and started else []
                if app is not None:
                    client.transport.send(
                        protocol.put_types(client.cell_keys, app.name, app.version, "w", started, types)
                    )
        self._live, self._started = made, self._started + 1
        return self.store.client()

    def places(self, task_id: str) -> list[str]:
        """The queues that have a task of this id."""
        keys = self.store.redis.keys(self.store.key(f"task:*:{task_id}"))
        return sorted(key.removeprefix(self.store.key("task:")).removesuffix(f":{task_id}") for key in keys)


@pytest.fixture
def deploys(valkey_store: Store) -> Deploys:
    return Deploys(valkey_store)


def counted(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands each round trip of the client has from now on."""
    trips: list[int] = []
    send = client.transport._trips

    def counting(commands: Sequence[Any], timeout: float | None = None) -> list[Any]:
        trips.append(len(commands))
        return send(commands, timeout)

    monkeypatch.setattr(client.transport, "_trips", counting)
    return trips


def test_the_same_call_after_a_deploy_and_after_a_rollback_finds_the_task(deploys: Deploys) -> None:
    with deploys.deploy("1.0", "qa") as client:
        assert client.enqueue("rem.send", {"order": 1}, id="order-1:rem").status == "created"
    for version, queue in (("2.0", "qb"), ("1.0", "qa"), ("2.0", "qb")):
        with deploys.deploy(version, queue) as client:
            again = client.enqueue("rem.send", {"order": 1}, id="order-1:rem")
            assert (again.status, again.queue) == ("existing", "qa")
            new = client.enqueue("rem.send", {"order": 2}, id=f"new-{version}:rem")
            assert new.queue == {"1.0": "qa", "2.0": "qb"}[version]
            with pytest.raises(TaskConflict):
                client.enqueue("rem.send", {"order": 3}, id="order-1:rem")
    assert deploys.places("order-1:rem") == ["qa"]
    assert (deploys.places("new-1.0:rem"), deploys.places("new-2.0:rem")) == (["qa"], ["qb"])


def test_a_task_that_has_ended_is_found_and_one_that_is_forgotten_is_not(deploys: Deploys) -> None:
    with deploys.deploy("1", "qa") as client:
        client.enqueue("rem.send", id="ended")
        client.cancel("ended", queue="qa")
    with deploys.deploy("2", "qb") as client:
        assert client.enqueue("rem.send", id="ended").status == "existing"
        client.drop("ended", queue="qa")
        deploys.store.redis.delete(deploys.store.key("task:qa:ended"))
        made = client.enqueue("rem.send", id="ended")
        assert (made.status, made.queue) == ("created", "qb")


def test_only_a_caller_without_a_queue_and_with_an_id_means_the_former_queue(deploys: Deploys) -> None:
    with deploys.deploy("1", "qa") as client:
        client.enqueue("rem.send", id="a")
        client.enqueue("other", id="o", queue="qa")
    with deploys.deploy("2", "qb") as client:
        named = client.enqueue("rem.send", id="a", queue="qb")
        assert (named.status, named.queue) == ("created", "qb")
        assert client.enqueue("rem.send").queue == "qb"
        assert client.enqueue("rem.send", id="o").queue == "qb"  # there it is a task of another type


def test_what_was_moved_is_found_where_it_is_now(deploys: Deploys) -> None:
    with deploys.deploy("1", "qa") as client:
        for task_id in ("a", "b", "c"):
            client.enqueue("rem.send", id=task_id, delay="1h")
        for to, ids in (("qb", ["a"]), ("qc", ["b", "c"])):
            client.transport.send(protocol.move(queue_keys(client.cell, "qa"), ids, to=to))
    deploys.store.redis.delete(deploys.store.key("task:qc:c"))
    with deploys.deploy("2", "qb") as client:
        found = [client.enqueue("rem.send", id=task_id, delay="1h") for task_id in ("a", "b", "c")]
        assert [(one.status, one.queue) for one in found] == [
            ("existing", "qb"),
            ("existing", "qc"),
            ("existing", "qa"),
        ]


def test_many_tasks_cost_one_round_trip_more_and_types_that_stayed_none(
    deploys: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"t{at}" for at in range(600)]
    tasks = [Task(type="rem.send", id=one) for one in ids] + [Task(type="rem.send"), Task(type="same", id="t1")]
    with deploys.deploy("1", "qa") as client:
        client.enqueue_many(tasks[:500])
    with deploys.deploy("2", "qb") as client:
        client.enqueue("rem.send")
        client.enqueue("same")
        trips = counted(client, monkeypatch)
        answers = client.enqueue_many(tasks)
        assert trips == [6, 1]
        assert [one.status for one in answers] == ["existing"] * 500 + ["created"] * 102
        assert [one.queue for one in answers] == ["qa"] * 500 + ["qb"] * 101 + ["qs"]
        trips.clear()
        client.enqueue("same", id="u")
        client.enqueue("rem.send")
        client.enqueue("rem.send", id="u", queue="qa")
        assert trips == [1, 1, 1]


def test_streams_and_workflows_find_them(deploys: Deploys) -> None:
    tasks = [Task(type="rem.send", id=f"s{at}") for at in range(7)]
    chain = [Task(type="rem.send", id="first", delay="1h"), Task(type="rem.send", id="second")]
    with deploys.deploy("1", "qa") as client:
        client.enqueue_many(tasks[:5])
        client.chain(chain)
    with deploys.deploy("2", "qb") as client:
        done = client.enqueue_stream(tasks, run="again", batch=3)
        assert (done.at, done.answers) == (7, {"existing": 5, "created": 2})
        assert [(one.status, one.queue) for one in client.chain(chain)] == [("existing", "qa")] * 2
    assert [deploys.places(f"s{at}") for at in (0, 4, 5)] == [["qa"], ["qa"], ["qb"]]


@pytest.fixture
def api(valkey_store: Store) -> Iterator[Callable[[], ApiServer]]:
    yield lambda: ApiServer(valkey_store.url or "", valkey_store.namespace)


def test_over_http_each_request_finds_them(deploys: Deploys, api: Callable[[], ApiServer]) -> None:
    one, other = ({"type": "rem.send", "payload": {"order": at}, "id": f"h{at}"} for at in (1, 2))
    chain = {"chain": [{**one, "id": "c1", "delay": "1h"}, {**other, "id": "c2"}]}
    deploys.deploy("1.0", "qa").close()
    with api() as server:
        assert server.post("/v1/tasks", one).json["queue"] == "qa"
        assert server.post("/v1/workflows", chain).status == 201
        keyed = server.post("/v1/tasks", {"type": "rem.send"}, {"idempotency-key": "k"}).json
    for version, queue in (("2.0", "qb"), ("1.0", "qa")):
        deploys.deploy(version, queue).close()
        deploys.store.redis.delete(*deploys.store.redis.keys(deploys.store.key("answer:*")))
        with api() as server:
            again = server.post("/v1/tasks", one)
            assert (again.status, again.json["status"], again.json["queue"]) == (200, "existing", "qa")
            repeat = server.post("/v1/tasks", {"type": "rem.send"}, {"idempotency-key": "k"}).json
            assert (repeat["id"], repeat["queue"]) == (keyed["id"], "qa")
            batch = server.post("/v1/tasks:batch", [one, {**one, "id": f"n{version}"}]).json["results"]
            assert [result["status"] for result in batch] == ["existing", "created"]
            assert [made["queue"] for made in server.post("/v1/workflows", chain).json] == ["qa", "qa"]
    assert (deploys.places("h1"), deploys.places("n2.0"), deploys.places("n1.0")) == (["qa"], ["qb"], ["qa"])


def test_on_the_command_line_they_are_found(deploys: Deploys, tmp_path: Path) -> None:
    store, listed = deploys.store, tmp_path / "tasks.jsonl"
    listed.write_text("".join(json.dumps({"type": "rem.send", "id": f"l{at}"}) + "\n" for at in range(3)))
    environment = {"REDSCHED_REDIS_URL": store.url or "", "REDSCHED_NAMESPACE": store.namespace}

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, list(arguments), env=environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    deploys.deploy("1.0", "qa").close()
    assert run("task", "add", "rem.send", "--id", "cli") == "created cli in queue qa\n"
    run("task", "add-many", str(listed), "--run", "one")
    for version, queue in (("2.0", "qb"), ("1.0", "qa")):
        deploys.deploy(version, queue).close()
        assert run("task", "add", "rem.send", "--id", "cli") == "existing cli in queue qa\n"
        run("task", "add-many", str(listed), "--run", f"again-{queue}")
    assert [deploys.places(one) for one in ("cli", "l0", "l2")] == [["qa"]] * 3
    assert "former_queues" in run("type", "show", "rem.send")


def test_a_producer_of_few_rights_finds_them_in_its_queues(users: Users) -> None:
    deploys = Deploys(users.store)
    deploys.deploy("1", QUEUE).close()
    with users.client("producer") as client:
        client.enqueue("rem.send", id="a")
    deploys.deploy("2", "mail").close()
    with users.client("producer") as client:
        again = client.enqueue("rem.send", id="a")
        assert (again.status, again.queue) == ("existing", QUEUE)
    deploys.deploy("3", QUEUE).close()
    with users.client("producer") as client:  # which may not look into mail
        assert [client.enqueue("rem.send", id=one).status for one in "ab"] == ["existing", "created"]
