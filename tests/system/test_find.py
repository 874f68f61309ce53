"""Looking for tasks in all queues, by Python, HTTP and the command line, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from redsched import Client, Task
from redsched.model.errors import InvalidTask
from redsched.model.schedule import Schedule
from redsched.model.search import Found, Search
from redsched.model.template import TaskTemplate
from redsched.wire import protocol
from redsched.wire.claims import Settlement
from redsched.wire.keys import queue_keys
from tests.support.api_server import ApiServer
from tests.support.command_line import Cli
from tests.support.servers import Store


@pytest.fixture
def client(valkey_store: Store) -> Iterator[Client]:
    with valkey_store.client() as made:
        made.enqueue_many(
            [
                Task(
                    type="remind", id="order-42:remind", queue="mail", delay="1h", tags=["m:1"], unless="paid:order-42"
                ),
                Task(type="bill", id="order-42:bill", delay="2h", tags=["m:1"], key="order-42", fifo=True),
                Task(type="ship", id="order-42", queue="ship", unique="order-42", delay="1d"),
                Task(type="remind", id="order-7:remind", queue="mail", delay="3h", tags=["m:1"]),
            ]
        )
        yield made


@pytest.fixture
def api(valkey_store: Store, client: Client) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def every(client: Client, where: str | Search, **options: Any) -> list[str]:
    """All pages, as ``<queue>/<id>``."""
    names: list[str] = []
    page: Found | None = None
    while page is None or page.next_cursor:
        page = client.search(where, cursor=page and page.next_cursor, **options)
        assert len(page.items) <= options.get("limit", 50)
        names += (f"{item.queue}/{item.id}" for item in page.items)
    return names


def test_all_queues_are_searched(client: Client) -> None:
    assert every(client, "tag:m:1") == ["default/order-42:bill", "mail/order-42:remind", "mail/order-7:remind"]
    assert every(client, "tag:m:1 type:remind due:<2h") == ["mail/order-42:remind"]
    assert every(client, "order-42:bill") == every(client, "key:order-42") == ["default/order-42:bill"]


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_a_search_that_no_key_answers_goes_through_the_queues(client: Client, limit: int) -> None:
    client.enqueue("remind", id="now", queue="other")

    assert every(client, "type:remind", limit=limit) == ["mail/order-42:remind", "mail/order-7:remind", "other/now"]
    assert every(client, "type:remind queue:mail due:>2h", limit=limit) == ["mail/order-7:remind"]
    assert every(client, "state:ready", limit=limit) == ["other/now"]


def test_a_scan_finds_tasks_of_plain_commands_that_wait(client: Client, valkey_store: Store) -> None:
    keys = queue_keys(client.cell, "mail")
    valkey_store.redis.hset(keys.task("raw:1"), mapping={"type": "t", "payload": "{}", "tags": '["m:1"]'})
    valkey_store.redis.zadd(keys.due, {"raw:1": 3_900_000_000_000})

    assert "mail/raw:1" not in every(client, "tag:m:1")
    assert set(every(client, "tag:m:1", scan=True)) == {*every(client, "tag:m:1"), "mail/raw:1"}


def test_a_page_of_a_search_is_bounded_though_nothing_matches(client: Client) -> None:
    for _ in range(3):
        client.enqueue_many([Task(type="t", tags=["many"], delay="1h") for _ in range(1_000)])
    client.enqueue_many([Task(type="last", tags=["many"], delay="1h", id="zz")])

    page = client.search("tag:many type:last")

    assert page.items == [] and page.next_cursor and page.looked < 3_000
    assert every(client, "tag:many type:last") == ["default/zz"]


def test_a_search_that_is_none_names_its_word(client: Client) -> None:
    with pytest.raises(InvalidTask, match="tga: is no name; did you mean tag:"):
        client.search("tga:x")
    with pytest.raises(InvalidTask, match="cursor"):
        client.search("tag:x", cursor="nonsense")


def test_all_about_a_subject_is_on_one_page(client: Client) -> None:
    client.emit("paid", "order-42", {"amount": 5})
    client.emit("paid", "order-7")
    client.schedules.put(Schedule(id="order-42", cron="0 9 * * *", task=TaskTemplate(type="t")))

    about = client.subject("order-42")

    assert {(task.queue, task.id) for task in about.tasks} == {
        ("mail", "order-42:remind"),
        ("default", "order-42:bill"),
        ("ship", "order-42"),
    }
    assert [(fact.name, fact.value) for fact in about.facts] == [("paid:order-42", '{"amount":5}')]
    assert [(line.queue, line.name, line.first, line.tasks) for line in about.lines] == [
        ("default", "order-42", "order-42:bill", 1)
    ]
    assert [(lock.queue, lock.key, lock.task) for lock in about.locks] == [("ship", "order-42", "order-42")]
    assert [(one.id, one.paused) for one in about.schedules] == [("order-42", None)]
    assert [(event.event, event.id) for event in about.events] == [
        ("schedule_put", "order-42"),
        ("emitted", "paid:order-42"),
    ]
    assert not about.more


def test_a_task_that_was_removed_differs_from_one_that_never_was(client: Client, valkey_store: Store) -> None:
    made = client.enqueue("t", queue="mail")
    client.cancel(["order-7:remind", made.id], queue="mail")
    keys = queue_keys(client.cell, "mail")
    valkey_store.redis.zadd(keys.index("finished"), {"order-7:remind": 1, made.id: 1})
    client.transport.send(protocol.sweep([keys]))

    assert list(client.search("id:order-7:remind").forgotten) == ["mail"]
    assert client.search("id:nobody") == client.search(f"id:{made.id}") == Found([], None, 0)


def test_http_tells_the_same(api: ApiServer, client: Client) -> None:
    found = api.get(f"/v1/search?q={quote('tag:m:1 type:remind')}&limit=1")
    assert found.status == 200
    assert [item["id"] for item in found.json["items"]] == ["order-42:remind"]
    following = api.get(f"/v1/search?q={quote('tag:m:1 type:remind')}&cursor={found.json['next_cursor']}")
    assert [item["id"] for item in following.json["items"]] == ["order-7:remind"]

    about = api.get("/v1/subjects/order-42")
    assert about.status == 200 and len(about.json["tasks"]) == 3

    for path, code in [
        ("/v1/search?q=tga:x", "bad_filter"),
        ("/v1/search?q=tag:x&cursor=x", "bad_cursor"),
        ("/v1/search?q=tag:x&scan=1", "bad_filter"),
        ("/v1/search?limit=0", "bad_filter"),
        ("/v1/subjects/a:b", "bad_filter"),
        ("/v1/search?q=type:a%20type:b", "bad_filter"),
    ]:
        refused = api.get(path)
        assert (refused.status, refused.json["code"]) == (400, code), path


@pytest.mark.usefixtures("client")
def test_the_command_line_finds_tasks(cli: Cli) -> None:
    code, out, _ = cli("find", "tag:m:1", "type:remind", "due:<2h")
    assert code == 0 and "order-42:remind" in out and "order-7" not in out

    code, out, _ = cli("find", "tag:m:1", "-n", "1", "-o", "json")
    assert (code, [item["id"] for item in json.loads(out)["items"]]) == (0, ["order-42:bill"])

    assert cli("find", "tag:nobody")[2] == "No such task.\n"
    assert cli("find", "tga:x")[0] == 2


def test_the_command_line_shows_all_about_a_subject(cli: Cli, client: Client) -> None:
    client.emit("paid", "order-42", 5)

    code, out, _ = cli("find", "order-42")

    assert code == 0
    for part in (
        "order-42:remind",
        "order-42:bill",
        "ship",
        "fact     paid:order-42 5",
        "line     order-42",
        "lock     ",
    ):
        assert part in out
    assert cli("find", "nobody")[2] == "Nothing is known about nobody.\n"


def test_task_show_finds_the_queue(cli: Cli, client: Client) -> None:
    code, out, _ = cli("task", "show", "order-42:remind", "-o", "json")
    assert (code, json.loads(out)["queue"]) == (0, "mail")

    client.enqueue("t", id="order-42:remind", queue="other", delay="1h")
    assert cli("task", "show", "order-42:remind")[2] == (
        "Several queues have a task order-42:remind: mail, other. Say which with -q.\n"
    )
    assert cli("task", "show", "nobody")[0] == 3


def test_task_show_says_that_a_task_was_removed(cli: Cli, client: Client, valkey_store: Store) -> None:
    client.cancel("order-7:remind", queue="mail")
    keys = queue_keys(client.cell, "mail")
    valkey_store.redis.zadd(keys.index("finished"), {"order-7:remind": 1})
    client.transport.send(protocol.sweep([keys]))

    code, _, err = cli("task", "show", "order-7:remind")

    assert code == 3 and "Task order-7:remind had ended, and was removed: queue mail" in err


def test_task_show_lists_the_steps_that_once_keeps_and_dead_show_only_their_names(cli: Cli, client: Client) -> None:
    keys = queue_keys(client.cell, "steps")
    client.enqueue("t", queue="steps", id="stepped")
    claim = protocol.claim([keys], consumer="w", count=1, lease_ms=30_000)
    (started,) = client.transport.send(claim).tasks
    client.transport.send(protocol.once(keys, "stepped", started.token, "charge", b'{"card":"4111"}'))

    shown = cli("task", "show", "stepped")[1]
    assert "charge" in shown and "ago)" in shown and '{"card":"4111"}' in shown

    client.transport.send(protocol.settle(client.cell, [Settlement("steps", "stepped", started.token, "dead", "x")]))
    hidden, bare = cli("dead", "show", "stepped")[1], cli("dead", "show", "stepped", "--reveal")[1]
    assert "charge" in hidden and "15 bytes; --reveal shows them" in hidden and "4111" not in hidden
    assert "4111" in bare
    assert "4111" not in cli("dead", "show", "stepped", "-o", "json")[1]


def test_events_are_shown_without_milliseconds(cli: Cli, client: Client) -> None:
    client.reschedule("order-42:remind", queue="mail", due=1893456000000)

    shown, told = cli("find", "order-42")[1], cli("task", "explain", "order-42:remind")[1]

    assert "rescheduled order-42:remind due=2030-01-01T00:00:00Z" in shown
    assert "rescheduled due 2030-01-01T00:00:00Z" in told
    assert "1893456000000" not in shown + told
    assert '"due": "1893456000000"' in cli("find", "order-42", "-o", "json")[1]
