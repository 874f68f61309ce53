"""How much put_types, types and defaults take, to the last one that they promise to take."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.lua_queue import NOW, Queue

LATEST = 4_000_000_000_000


def put(queue: Queue, *types: str, version: str = "1", worker: str = "w", started: int = 5) -> Any:
    """The version that rules, and a word for each type: a name, its queue, defaults and schema."""
    reply = queue.run("put_types", [queue.key("types")], [NOW, "shop", version, worker, started, *types])
    return [word.decode() for word in reply]


def types(queue: Queue, schemas: int, *names: str) -> Any:
    """What is told of these."""
    return queue.run("types", [queue.key("types")], [NOW, "", 200, schemas, *names])[1:]


def test_a_call_puts_up_to_50_types(queue: Queue) -> None:
    words = [word for number in range(50) for word in (f"t{number}", "q", "", "")]

    assert put(queue, *words) == ["1", *["put"] * 50]


def test_a_schema_has_up_to_65536_bytes(queue: Queue) -> None:
    schema = '"' + "x" * 65_534 + '"'

    assert put(queue, "t", "q", "", schema) == ["1", "put"]

    assert types(queue, 1, "t")[0][3] == schema.encode()


@pytest.mark.parametrize("version", ["1.2.3.4.5.6.7.8", ".".join(["1234567"] * 7 + ["12345678"])])
def test_a_version_has_up_to_8_numbers_and_64_bytes(queue: Queue, version: str) -> None:
    assert put(queue, version=version) == [version]


def test_a_worker_that_started_at_the_same_time_is_no_later_one(queue: Queue) -> None:
    assert put(queue, "t", "q", "", "") == ["1", "put"]

    assert put(queue, "t", "r", "", "", worker="v") == ["1", "put"]
    assert put(queue, "t", "q", "", "", started=4) == ["1", "older"]


def test_who_lives_is_forgotten_with_the_last_that_was_heard(queue: Queue) -> None:
    put(queue)

    assert 0 < queue.redis.pttl(queue.key("live:shop/1")) <= 90_000


@pytest.mark.parametrize(("schemas", "most"), [(0, 1_000), (1, 20)])
def test_no_more_types_are_told_than_a_call_may_ask_for(queue: Queue, schemas: int, most: int) -> None:
    put(queue, "t", "q", "", "{}")

    assert len(types(queue, schemas, *["t"] * most)) == len(types(queue, schemas, *["t"] * (most + 1))) == most


def test_a_start_by_that_a_type_gives_is_no_later_than_any_time(queue: Queue) -> None:
    put(queue, "t", "q", '["expires_at","+60000"]', "")

    queue.enqueue(("a", LATEST - 60_001, {}), ("b", LATEST - 59_999, {}))

    assert [queue.task(task_id)["expires_at"] for task_id in "ab"] == [str(LATEST - 1), str(LATEST)]
