"""Verbs on tasks that are not told a queue find it by the ids, through every door."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from redsched import App, Client, Task, TaskInSeveralQueues, TaskNotFound
from redsched.testing import TestClient
from redsched.testing.clock import at_time
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.search import find_ids
from tests.support.acl_users import Users
from tests.support.api_server import ApiServer
from tests.support.app_types import put_types
from tests.support.servers import Store

app = App("places")


@app.task("otp.send", queue="otp")
def send_otp(phone: str) -> str:
    return phone


@pytest.fixture
def client(valkey_store: Store) -> Iterator[Client]:
    """A client of a namespace in which the type of the app has been put."""
    with valkey_store.client() as made:
        put_types(made, app)
        yield made


def calls(store: Store) -> int:
    """Calls of functions so far."""
    stats = store.redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("fcall", "fcall_ro"))


def left_behind(store: Store, client: Client, queue: str, task_id: str, to: str) -> None:
    """What a move leaves in the old queue."""
    keys = queue_keys(client.cell, queue)
    fields = {"type": "t", "state": "skipped", "reason": f"moved to {to}", "finished_at": "5"}
    store.redis.hset(keys.task(task_id), mapping=fields)
    store.redis.zadd(keys.index("finished"), {task_id: 4_000_000_000_000})
    store.redis.sadd(client.cell_keys.queues, queue)


def test_a_task_of_a_type_is_changed_without_its_queue(client: Client) -> None:
    assert client.enqueue(send_otp.options(id="a", delay="1h"), "+49").queue == "otp"

    assert client.queue_of("a") == "otp"
    assert (client.task("a").queue, client.explain("a").code) == ("otp", "due_later")
    assert client.reschedule("a", delay="2h") == {"a": "rescheduled"}
    assert client.update("a", priority="high") == {"a": "updated"}
    shown = client.show(["a", "nobody"])
    assert shown["a"] is not None and shown["a"].priority == "high" and shown["nobody"] is None
    assert client.cancel("a") == {"a": "cancelled"}
    assert client.revive("a") == {"a": "cancelled"}
    assert client.drop("a") == {"a": "dropped"}


def test_held_tasks_and_workflows_are_found_too(client: Client) -> None:
    held = client.hold("otp.send", "+49", id="h")
    assert client.confirm("h", held.token) == {"h": "confirmed"}
    other = client.hold("otp.send", "+49", id="i")
    assert client.abandon("i", other.token) == {"i": "abandoned"}
    client.chain([Task(type="otp.send", id="p", delay="1h"), Task(type="otp.send", id="c")])
    assert [one.id for one in client.tree("p").children] == ["c"]
    assert [one.id for one in client.parents("c")] == ["p"]
    assert client.cancel_workflow("c").cancelled == 2


def test_each_of_many_ids_is_looked_for_and_answered_in_order(client: Client) -> None:
    for queue in ("default", "mail", "otp"):
        client.enqueue_many([Task(type="t", id=f"{queue}{at}", queue=queue, delay="1h") for at in range(70)])
    ids = [f"{queue}{at}" for at in range(70) for queue in ("otp", "default", "nobody", "mail")]

    found = client.cancel([*ids, "otp0"])

    assert list(found) == ids
    assert found == {one: "missing" if one.startswith("nobody") else "cancelled" for one in ids}


def test_a_queue_that_is_named_takes_no_round_trip_more_and_another_takes_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.enqueue_many([Task(type="t", id=f"t{at}", queue="q", delay="1h") for at in range(20)])
    trips: list[int] = []
    send = client.transport._trips

    def counted(commands: Sequence[Any], timeout: float | None = None) -> list[Any]:
        trips.append(len(commands))
        return send(commands, timeout)

    monkeypatch.setattr(client.transport, "_trips", counted)
    for ids, queue, taken in (
        (["t0"], "q", [1]),
        (["t1"], None, [1, 1]),
        ([f"t{at}" for at in range(2, 20)], None, [18, 1]),
    ):
        trips.clear()
        assert set(client.cancel(ids, queue=queue).values()) == {"cancelled"}
        assert trips == taken


def test_an_id_of_several_queues_is_refused_with_their_names(client: Client) -> None:
    for queue in ("default", "mail"):
        client.enqueue("t", id="two", queue=queue, delay="1h")
    client.enqueue("t", id="one", queue="mail", delay="1h")

    for verb in (client.cancel, client.show, client.drop, client.queue_of, client.task, client.explain, client.tree):
        with pytest.raises(TaskInSeveralQueues, match="several queues have a task 'two': default, mail") as caught:
            verb("two")
        assert (caught.value.task_id, caught.value.queues) == ("two", ["default", "mail"])
    with pytest.raises(TaskInSeveralQueues):
        client.cancel(["one", "two"])
    assert client.task("one").state == client.task("two", queue="mail").state == "scheduled"
    assert client.cancel("two", queue="mail") == {"two": "cancelled"}


def test_what_a_move_left_behind_does_not_count(client: Client, valkey_store: Store) -> None:
    client.enqueue("t", id="m", queue="new", delay="1h")
    left_behind(valkey_store, client, "old", "m", "new")
    left_behind(valkey_store, client, "gone", "n", "nowhere")

    assert client.queue_of("m") == "new"
    assert client.cancel("m") == {"m": "cancelled"}
    assert client.task("n").reason == "moved to nowhere"


def test_what_is_not_there_is_told_of_all_queues_and_of_those_that_had_it(client: Client, valkey_store: Store) -> None:
    client.enqueue("t", id="mine", queue="mail")
    client.cancel("mine", queue="mail")
    keys = queue_keys(client.cell, "mail")
    valkey_store.redis.zadd(keys.index("finished"), {"mine": 1})
    client.transport.send(protocol.sweep([keys]))

    for verb in (client.task, client.explain, client.queue_of):
        with pytest.raises(TaskNotFound, match="task 'mine' had ended, and was removed: queue 'mail' at ") as caught:
            verb("mine")
        assert list(caught.value.removed) == ["mail"]
        with pytest.raises(TaskNotFound, match=r"no task 'nobody' in any queue$"):
            verb("nobody")
    assert client.cancel(["mine", "nobody"]) == {"mine": "missing", "nobody": "missing"}
    with pytest.raises(TaskNotFound, match=r"no task 'nobody' in any queue; nothing changed$"):
        client.cancel_workflow("nobody")


def test_a_task_of_plain_commands_is_found_though_nobody_knows_its_queue_yet(
    client: Client, valkey_store: Store
) -> None:
    keys = queue_keys(client.cell, "default")
    valkey_store.redis.hset(keys.task("raw"), mapping={"type": "t", "payload": "{}"})
    valkey_store.redis.zadd(keys.due, {"raw": 3_900_000_000_000})

    assert client.queue_of("raw") == "default"
    assert client.cancel("raw") == {"raw": "cancelled"}


def test_more_queues_than_one_page_has_are_looked_through(client: Client) -> None:
    for at in range(1_200):
        client.transport.command("SADD", client.cell_keys.queues, f"q{at}")
    ids = [f"x{at}" for at in range(0, 1_200, 50)]
    client.enqueue_many([Task(type="t", id=one, queue=f"q{one[1:]}", delay="1h") for one in ids])

    assert client.cancel([*ids, "z"]) == {**dict.fromkeys(ids, "cancelled"), "z": "missing"}
    assert client.queue_of("x50") == "q50"


def test_what_cannot_be_used_is_refused_before_anything_is_sent(client: Client, valkey_store: Store) -> None:
    begun = calls(valkey_store)
    for act in (
        lambda: client.cancel("a b"),
        lambda: client.reschedule("a"),
        lambda: client.show([f"t{at}" for at in range(101)]),
        lambda: client.cancel([]),
    ):
        with pytest.raises(Exception, match="nothing was written"):
            act()
    assert calls(valkey_store) == begun


def test_who_may_not_look_through_all_queues_means_default(users: Users) -> None:
    prefix = users.key("")
    name = users.name("producer")
    keys = (f"~{prefix}*:default", f"~{prefix}*:default:*", *(f"%W~{prefix}{key}" for key in ("events", "queues")))
    users.store.redis.execute_command("ACL", "SETUSER", name, "resetkeys", *keys, f"%W~{prefix}sweeps", "+@all")
    with users.client("producer") as client:
        client.enqueue("t", {}, id="a", queue="default", delay="1h")
        assert client.show("a")["a"] is not None
        with pytest.raises(TaskNotFound, match="in queue 'default'"):
            client.task("nobody")


def test_the_clock_of_a_test_counts_for_ids_that_are_looked_for() -> None:
    with TestClient(app) as client:
        client.enqueue(send_otp.options(id="a", delay="1h"), "+49")
        client.enqueue(send_otp.options(id="b", delay="1h"), "+49")
        assert client.cancel("a") == {"a": "cancelled"}
        client.advance(minutes=30)
        assert client.show(["a", "b"])["a"] is not None
        client.advance(minutes=30)
        assert client.wait("b", "1s") == "+49"
        client.enqueue(send_otp.options(id="a", delay="1h"), "+49")
        client.cancel("a")
        assert {one: view and view.state for one, view in client.show(["a", "b"]).items()} == {
            "a": "cancelled",
            "b": "completed",
        }


def test_each_call_of_a_round_trip_is_made_at_the_time_of_a_test() -> None:
    call = at_time(find_ids(CellKeys(Cell("rs")), {"a": "", "b": ""}), 5)

    assert [call.args[0], *(one.args[0] for one in call.chain if isinstance(one, Call))] == [5, 5]


@pytest.fixture
def api(valkey_store: Store, client: Client) -> Iterator[ApiServer]:
    with ApiServer(valkey_store.url or "", valkey_store.namespace) as server:
        yield server


def test_over_http_the_queue_may_be_left_out(api: ApiServer, client: Client) -> None:
    made = api.post("/v1/tasks", {"type": "otp.send", "payload": "+49", "id": "a", "delay": "1h"})
    assert made.headers["location"] == "/v1/tasks/a?queue=otp"
    assert api.get("/v1/tasks/a").json["queue"] == "otp"
    assert api.get("/v1/tasks/a/explain").json["code"] == "due_later"
    assert api.get("/v1/tasks/a/tree").json["queue"] == "otp"
    assert api.get("/v1/tasks/a/parents").json == {"items": []}
    assert api.post("/v1/tasks/a:cancel", {"reason": "no"}).json == {"id": "a", "queue": "otp", "status": "cancelled"}
    client.enqueue("t", id="a", queue="mail", delay="1h")
    for answer in (api.get("/v1/tasks/a"), api.post("/v1/tasks/a:cancel", {}), api.post("/v1/workflows/a:cancel", {})):
        assert answer.code == "409 in_several_queues"
        assert "mail, otp" in answer.json["detail"]
    assert api.post("/v1/tasks/a:cancel?queue=mail", {}).json["queue"] == "mail"
    missing = api.post("/v1/tasks/nobody:cancel", {})
    assert missing.code == "404 task_not_found"
    assert missing.json["detail"] == "no task 'nobody' in any queue; nothing changed"
    assert api.get("/v1/tasks/nobody").json["detail"] == "no task 'nobody' in any queue"


def test_on_the_command_line_the_queue_may_be_left_out(client: Client, cli: Any) -> None:
    cli("task", "add", "otp.send", "-p", '"+49"', "--id", "a", "--in", "1h")
    assert cli("task", "reschedule", "a", "--in", "2h")[:2] == (0, "rescheduled a\n")
    assert cli("task", "tree", "a")[0] == 0
    assert cli("workflow", "cancel", "a")[1] == "1 cancelled, 0 asked to stop, 0 had ended\n"
    client.enqueue("t", id="a", queue="mail", delay="1h")
    for command in ("cancel", "run", "revive", "tree", "show", "explain"):
        code, _, err = cli("task", command, "a")
        assert (code, err) == (1, "Several queues have a task a: mail, otp. Say which with -q.\n")
    assert cli("task", "cancel", "a", "-q", "mail")[:2] == (0, "cancelled a\n")
    assert cli("dead", "revive", "nobody")[2] == "Not there, in no queue: nobody\n"
    assert cli("dead", "drop", "--all", "--yes", "-o", "json")[0] == 0


def test_dead_tasks_are_revived_without_their_queue(client: Client, cli: Any) -> None:
    client.enqueue("t", id="d", queue="mail")
    keys = queue_keys(client.cell, "mail")
    client.transport.send(protocol.promote([keys], mover="m"))
    [started] = client.transport.send(protocol.claim([keys], consumer="w", count=1, lease_ms=30_000)).tasks
    end = protocol.settle(client.cell, [_dead(started)])
    assert client.transport.send(end) == ["dead"]

    assert json.loads(cli("dead", "show", "d", "-o", "json")[1])["queue"] == "mail"
    assert cli("dead", "revive", "d")[:2] == (0, "revived d\n")


def _dead(started: Any) -> Any:
    from redsched.wire.claims import Settlement

    return Settlement(started.queue, started.id, started.token, "dead", "no", "no")
