"""Dead letters and the quarantine from the outside: client, command line and HTTP, over real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from redsched import Client, InvalidTask
from redsched.cli.main import main
from redsched.steps.bulk import Filter
from redsched.wire import protocol
from redsched.wire.claims import Settlement, Started
from tests.support.api_server import JSON, ApiServer
from tests.support.consistency import assert_consistent
from tests.support.servers import Store

DAY_MS = 86_400_000


@pytest.fixture
def client(valkey_store: Store) -> Iterator[Client]:
    """A client of a fresh namespace."""
    with valkey_store.client() as made:
        yield made
    assert_consistent(valkey_store.redis, valkey_store.namespace)


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    """The HTTP interface over the same namespace."""
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def kill(client: Client, *ids: str, type: str = "mail", reason: str = "attempts", age_ms: int = 0) -> None:
    """Tasks that died of ``reason``, ``age_ms`` ago."""
    for task_id in ids:
        client.enqueue(type, {"to": task_id}, id=task_id)
    keys = client._keys("default")

    def claim() -> list[Started]:
        call = protocol.claim([keys], consumer="w", count=len(ids), lease_ms=30_000)
        return client.transport.send(call).tasks

    while tasks := claim():
        for one in tasks:
            end = Settlement("default", one.id, one.token, "dead", reason, "Boom: it broke", "Traceback ...\nBoom")
            client.transport.send(protocol.settle(client.cell, [end]))


def aged(store: Store, task_id: str, age_ms: int) -> None:
    """Move a death into the past."""
    ended = store.now_ms() - age_ms
    store.redis.hset(store.key(f"task:default:{task_id}"), "finished_at", ended)
    store.redis.zadd(store.key("dead:default"), {task_id: ended + 30 * DAY_MS})


def cli(store: Store, *arguments: str, input: str | None = None) -> Result:
    """``redsched ...`` in this process."""
    assert store.url is not None
    return CliRunner().invoke(main, ["-r", store.url, "--namespace", store.namespace, *arguments], input=input)


def states(client: Client, *ids: str) -> list[str]:
    """What each task is now; ``-`` for none."""
    return [view.state if view else "-" for view in client.show(ids).values()]


def test_a_bulk_call_acts_on_exactly_what_its_filter_names(client: Client, valkey_store: Store) -> None:
    kill(client, "a1", "a2", reason="attempts")
    kill(client, "b1", reason="rejected")
    kill(client, "c1", type="sms", reason="attempts")
    aged(valkey_store, "a2", 3_600_000)

    dry = client.bulk("revive", where=Filter(reason="attempts", type="mail"), dry_run=True)
    assert (dry.matched, dry.changed, sorted(dry.sample), dry.dry_run) == (2, 0, ["a1", "a2"], True)
    assert states(client, "a1", "a2", "b1", "c1") == ["dead"] * 4

    old = client.bulk("drop", where=Filter(older_than=timedelta(minutes=30)))
    assert (old.matched, old.changed, old.answers, old.sample) == (1, 1, {"dropped": 1}, ["a2"])

    done = client.bulk("revive", where=Filter(reason="attempts", type="mail"))
    assert (done.matched, done.changed, done.answers, done.more) == (1, 1, {"revived": 1}, False)
    assert states(client, "a1", "a2", "b1", "c1") == ["scheduled", "-", "dead", "dead"]


def test_a_bulk_call_over_many_deaths_of_one_millisecond_misses_none_and_is_bounded(
    client: Client, valkey_store: Store
) -> None:
    ids = [f"t{number}" for number in range(1_203)]
    for at in range(0, len(ids), 600):
        kill(client, *ids[at : at + 600])
    valkey_store.redis.zadd(
        valkey_store.key("dead:default"), dict.fromkeys(ids, valkey_store.now_ms() + 30 * DAY_MS), xx=True
    )

    first = client.bulk("drop", most=1_000)
    assert (first.matched, first.changed, first.more) == (1_000, 1_000, True)
    second = client.bulk("drop", most=1_000)
    assert (second.matched, second.changed, second.more) == (203, 203, False)

    assert client.list(state="dead").items == []


def test_waiting_tasks_can_be_cancelled_by_a_filter(client: Client) -> None:
    for number in range(3):
        client.enqueue("mail", number, id=f"m{number}", delay="1h")
    client.enqueue("sms", 1, id="s", delay="1h")

    done = client.bulk("cancel", where=Filter(state="scheduled", type="mail"))

    assert (done.changed, states(client, "m0", "m2", "s")) == (3, ["cancelled", "cancelled", "scheduled"])


@pytest.mark.parametrize(
    ("action", "where", "most", "field"),
    [
        ("erase", Filter(), 10, "action"),
        ("revive", Filter(state="completed"), 10, "where.state"),
        ("drop", Filter(state="running"), 10, "where.state"),
        ("drop", Filter(), 0, "most"),
        ("drop", Filter(), 10_001, "most"),
        ("drop", Filter(older_than="soon"), 10, "where.older_than"),
        ("drop", Filter(type="a b"), 10, "where.type"),
    ],
)
def test_a_bulk_call_that_makes_no_sense_is_refused(
    client: Client, action: str, where: Filter, most: int, field: str
) -> None:
    kill(client, "a")

    with pytest.raises(InvalidTask) as caught:
        client.bulk(action, where=where, most=most)

    assert (caught.value.field, states(client, "a")) == (field, ["dead"])


def test_the_asynchronous_client_does_the_same(client: Client, valkey_store: Store) -> None:
    kill(client, "a", "b")

    async def act() -> None:
        async with valkey_store.async_client() as other:
            assert (await other.bulk("drop", dry_run=True)).matched == 2
            assert await other.drop("a") == {"a": "dropped"}
            assert (await other.bulk("revive")).sample == ["b"]
            assert (await other.quarantined()).items == []
            assert await other.requeue("a") == {"a": "missing"}
            assert await other.drop_quarantined([b"missing:a"]) == 0

    asyncio.run(act())
    assert states(client, "a", "b") == ["-", "scheduled"]


def test_the_command_line_lists_shows_revives_and_drops_dead_letters(client: Client, valkey_store: Store) -> None:
    kill(client, "a", reason="rejected")
    kill(client, "b", "c")

    listed = cli(valkey_store, "dead", "ls", "--reason", "rejected")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["ID", "a"]
    aged(valkey_store, "c", 7_200_000)
    old = json.loads(cli(valkey_store, "dead", "ls", "--older-than", "1h", "-o", "json").stdout)
    assert [task["id"] for task in old["items"]] == ["c"]
    aged(valkey_store, "c", 0)
    shown = cli(valkey_store, "dead", "show", "a").stdout
    assert "Boom: it broke" in shown and "Traceback" in shown and "rejected" in shown
    history = json.loads(cli(valkey_store, "dead", "show", "a", "-o", "json").stdout)["history"]
    assert [(run["attempt"], run["outcome"], run["error"], run["worker"]) for run in history] == [
        (1, "dead", "Boom: it broke", "w")
    ]

    assert cli(valkey_store, "dead", "revive", "a").stdout == "revived a\n"
    assert cli(valkey_store, "dead", "show", "a").exit_code == 4
    assert cli(valkey_store, "dead", "drop", "a").exit_code == 4
    assert cli(valkey_store, "dead", "drop", "none").exit_code == 3
    assert cli(valkey_store, "dead", "drop").exit_code == 2
    assert cli(valkey_store, "dead", "drop", "b", "--all").exit_code == 2
    assert cli(valkey_store, "dead", "drop", "--all", "--dry-run").stdout == "2 of 2 would be changed\n"
    assert cli(valkey_store, "dead", "drop", "--all", input="n\n").exit_code == 1
    assert states(client, "a", "b", "c") == ["scheduled", "dead", "dead"]
    assert cli(valkey_store, "dead", "drop", "--all", input="y\n").stdout == "2 of 2 dropped\n"
    assert cli(valkey_store, "dead", "revive", "--older-than", "1s", "--yes").stdout == "0 of 0 revived\n"
    assert states(client, "a", "b", "c") == ["scheduled", "-", "-"]


def test_the_command_line_mends_the_quarantine(client: Client, valkey_store: Store) -> None:
    store = valkey_store
    store.redis.hset(store.key("task:default:late"), mapping={"type": "t", "payload": "{}"})
    members = {"missing:late": 1.8e12, "missing:ghost": 1.8e12, b"bad id:\xff": 1.8e12, "bad time:x": 1.8e12}
    store.redis.zadd(store.key("quarantine:default"), members)

    listed = cli(store, "quarantine", "ls")
    assert all(word in listed.stdout for word in ("late", "ghost", "bad id", "bad time"))
    assert cli(store, "quarantine", "requeue", "late", "--in", "1h").stdout == "requeued late\n"
    assert cli(store, "quarantine", "requeue", "ghost").exit_code == 4
    assert cli(store, "quarantine", "drop", "ghost").stdout == "1 of 1 dropped\n"
    assert cli(store, "quarantine", "drop", "ghost").exit_code == 3
    assert cli(store, "quarantine", "drop", "--reason", "bad id", "--yes").stdout == "1 of 1 dropped\n"
    assert cli(store, "quarantine", "drop", "--all", "--dry-run").stdout == "1 would be dropped\n"
    assert cli(store, "quarantine", "drop", "--all", input="y\n").stdout == "1 of 1 dropped\n"

    assert states(client, "late") == ["scheduled"]
    assert client.quarantined().items == []


def test_http_counts_first_and_changes_only_when_told(client: Client, api: ApiServer) -> None:
    kill(client, "a", "b")
    kill(client, "c", reason="rejected")
    ask = {"filter": {"reason": "attempts"}, "action": "drop"}

    dry = api.post("/v1/tasks:bulk", ask).json
    assert (dry["matched"], dry["changed"], sorted(dry["sample"]), dry["dry_run"]) == (2, 0, ["a", "b"], True)
    assert states(client, "a", "b", "c") == ["dead"] * 3

    done = api.post("/v1/tasks:bulk", ask | {"dry_run": False, "max": 1}).json
    assert (done["matched"], done["changed"], done["more"]) == (1, 1, True)
    again = api.post("/v1/tasks:bulk", ask | {"dry_run": False}).json
    assert (again["changed"], again["answers"], again["more"]) == (1, {"dropped": 1}, False)
    assert states(client, "a", "b", "c") == ["-", "-", "dead"]


def test_a_bulk_request_with_an_idempotency_key_acts_once(client: Client, api: ApiServer) -> None:
    kill(client, "a", "b")
    ask = {"filter": {}, "action": "revive", "dry_run": False, "max": 1}
    key = JSON | {"idempotency-key": "revive-7"}

    first, second = (api.post("/v1/tasks:bulk", ask, headers=key) for _ in range(2))

    assert first.json["changed"] == 1 and second.body == first.body
    assert "idempotent-replayed" not in first.headers and second.headers["idempotent-replayed"] == "true"
    assert sorted(states(client, "a", "b")) == ["dead", "scheduled"]
    assert api.post("/v1/tasks:bulk", ask | {"max": 2}, headers=key).code == "422 idempotency_key_reused"


def test_dead_tasks_whose_start_by_has_passed_are_counted_and_not_revived(
    client: Client, api: ApiServer, valkey_store: Store
) -> None:
    kill(client, "a", "b", "c")
    for task_id in "bc":
        valkey_store.redis.hset(valkey_store.key(f"task:default:{task_id}"), "expires_at", "1700000000000")

    dry = client.bulk("revive", dry_run=True, most=1)
    assert (dry.matched, dry.answers, dry.sample, dry.more) == (3, {"expires": 2}, ["a"], False)
    told = cli(valkey_store, "dead", "revive", "--all", "--dry-run").stdout
    assert told == "1 of 3 would be changed; 2 would expire, for their start-by has passed\n"
    named = cli(valkey_store, "dead", "revive", "b")
    assert (named.exit_code, named.stdout) == (4, "expires b\n")
    assert named.stderr == "Nothing changed: b would expire, for its start-by lies before that time\n"

    done = api.post("/v1/tasks:bulk", {"filter": {}, "action": "revive", "dry_run": False}).json
    assert (done["changed"], done["answers"]) == (1, {"expires": 2, "revived": 1})
    assert states(client, "a", "b", "c") == ["scheduled", "dead", "dead"]

    assert client.update("b", expires_in="1h") == {"b": "updated"}
    assert client.revive("b") == {"b": "revived"}


def test_http_drops_one_dead_task_and_no_living_one(client: Client, api: ApiServer) -> None:
    kill(client, "a")
    client.enqueue("t", id="lives", delay="1h")

    assert api.post("/v1/tasks/a:drop").json == {"id": "a", "queue": "default", "status": "dropped"}
    assert api.post("/v1/tasks/a:drop").code == "404 task_not_found"
    assert api.post("/v1/tasks/lives:drop").code == "409 invalid_state"
    assert states(client, "a", "lives") == ["-", "scheduled"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"action": "drop"}, "422 validation_failed"),
        ({"action": "erase", "filter": {}}, "422 validation_failed"),
        ({"action": "drop", "filter": {"state": "running"}}, "422 validation_failed"),
        ({"action": "drop", "filter": {"stat": "dead"}}, "422 unknown_field"),
        ({"action": "drop", "filter": {}, "max": 100_000}, "422 validation_failed"),
        ({"action": "drop", "filter": {}, "dry_run": "no"}, "422 validation_failed"),
        (b'{"action":"drop","filter":{},"dry_run":true,"dry_run":false}', "422 validation_failed"),
    ],
)
def test_http_refuses_a_bulk_request_that_makes_no_sense(
    client: Client, api: ApiServer, body: object, code: str
) -> None:
    kill(client, "a")

    assert api.post("/v1/tasks:bulk", body).code == code

    assert states(client, "a") == ["dead"]


def test_dead_letters_beyond_age_and_count_go_in_bounded_steps_and_are_counted(
    client: Client, valkey_store: Store
) -> None:
    kill(client, *(f"t{number}" for number in range(40)))
    for number in range(10):
        aged(valkey_store, f"t{number}", 31 * DAY_MS)
    keys = client._keys("default")
    client.limit(most_dead=20)

    swept = [client.transport.send(protocol.sweep([keys], limit=8)) for _ in range(5)]

    assert [(step.removed, step.more) for step in swept] == [(8, True), (8, True), (4, False), (0, False), (0, False)]
    left = client.list(state="dead", limit=100).items
    assert len(left) == client.stats(["default"])[0].dead == 20
    totals = client.stats(["default"])[0].totals
    assert (totals["dead"], totals["dead_evicted"]) == (40, 10)


def test_the_payload_of_a_dead_letter_is_shown_when_that_is_asked_for(client: Client, valkey_store: Store) -> None:
    client.enqueue("mail", {"code": "canary-1"}, id="a", headers={"authorization": "canary-2"})
    keys = client._keys("default")
    (started,) = client.transport.send(protocol.claim([keys], consumer="w", count=1, lease_ms=30_000)).tasks
    end = Settlement("default", "a", started.token, "dead", "rejected", "Boom")
    client.transport.send(protocol.settle(client.cell, [end]))

    for form in ((), ("-o", "json")):
        hidden = cli(valkey_store, "dead", "show", "a", *form)
        assert hidden.exit_code == 0 and "canary" not in hidden.output and "Boom" in hidden.output
        assert "19 bytes; --reveal shows them" in hidden.output
        revealed = cli(valkey_store, "dead", "show", "a", "--reveal", *form)
        assert "canary-1" in revealed.output and "canary-2" in revealed.output
