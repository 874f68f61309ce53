"""A key that somebody overwrote with another type: every client says which, and that repeating does not help."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from redsched.cli.main import main
from redsched.engine.isolation import is_its_own
from redsched.model.errors import StoreBroken
from redsched.wire import wrong_type
from tests.support.api_server import ApiServer
from tests.support.clients import Connect
from tests.support.servers import Store

HOUR = {"delay": "1h"}


@pytest.fixture
def api(valkey_store: Store) -> Iterator[ApiServer]:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as server:
        yield server


def test_each_kind_of_key_that_is_asked_for_has_a_type_in_the_lua() -> None:
    types = wrong_type.types()
    assert {*wrong_type.OF_QUEUE, *wrong_type.OF_CELL} <= types.keys()
    assert set(types.values()) == {"string", "hash", "set", "zset", "stream"}
    assert (types["due"], types["ready"], types["meta"]) == ("zset", "stream", "hash")


@pytest.mark.parametrize(
    ("key", "task", "told"),
    [
        ("due:default", HOUR, "the key 'due' of queue 'default' is a string where a sorted set belongs"),
        ("ready:default", {}, "the key 'ready' of queue 'default' is a string where a stream belongs"),
    ],
)
def test_the_api_answers_500_without_a_time_to_repeat_and_names_the_key(
    api: ApiServer, valkey_store: Store, key: str, task: dict[str, str], told: str
) -> None:
    valkey_store.redis.set(valkey_store.key(key), "CANARY")

    answer = api.post("/v1/tasks", {"type": "t", "id": "a", **task})

    assert answer.code == "500 store_broken", answer.json
    assert told in answer.json["detail"]
    assert "redsched doctor" in answer.json["detail"]
    assert "CANARY" not in answer.body.decode()
    assert "retry-after" not in answer.headers


def test_both_clients_name_the_key_and_movers_leave_that_queue_alone(real_store: Store, connect: Connect) -> None:
    client = connect(real_store.url, namespace=real_store.namespace)
    real_store.redis.set(real_store.key("due:q"), "no set")

    with pytest.raises(StoreBroken, match="the key 'due' of queue 'q' is a string") as caught:
        client.enqueue("t", queue="q", delay="1h")

    assert str(caught.value).startswith("enqueue: ")
    assert "nothing was written" in str(caught.value)
    assert is_its_own(caught.value)
    real_store.redis.delete(real_store.key("due:q"))
    assert client.enqueue("t", queue="q", delay="1h").status == "created"


def test_the_command_line_says_so(valkey_store: Store) -> None:
    store = valkey_store
    store.redis.set(store.key("due:default"), "no set")
    given = ["-r", store.url or "", "--namespace", store.namespace, "task", "add", "t", "--in", "1h"]

    ended = CliRunner().invoke(main, given)

    assert ended.exit_code == 1
    assert "the key 'due' of queue 'default' is a string where a sorted set belongs" in ended.stderr
    assert "redsched doctor" in ended.stderr
