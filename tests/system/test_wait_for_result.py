"""``client.wait``: of a task that was moved to another queue, and of one that is gone with its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redsched import (
    App,
    AsyncClient,
    Client,
    Settings,
    TaskNotCompleted,
    TaskNotEnded,
    TaskNotFound,
    TaskRemoved,
    Worker,
)
from redsched.client.wanted import MOST_MOVES
from tests.support.servers import Store

app = App("shop")
ID = "order-42:remind"


@app.task("remind")
async def remind(order: str = "42") -> str:
    return f"reminded of {order}"


@pytest.fixture
def client(valkey_store: Store) -> Iterator[Client]:
    with valkey_store.client() as made:
        yield made


def settings(store: Store, *queues: str) -> Settings:
    assert store.url
    return Settings(redis_url=store.url, namespace=store.namespace, queues=queues or ("default",))


class Waiter(AsyncClient):
    """A client for which something happens between its first look and the second."""

    def __init__(self, store: Store, happens: Callable[[AsyncClient], Any]) -> None:
        super().__init__(settings=settings(store))
        self._happens: Callable[[AsyncClient], Any] | None = happens

    async def _pause(self, seconds: float, left: int) -> None:
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens(self)
        await super()._pause(seconds, left)


def waited(store: Store, happens: Callable[[AsyncClient], Any], **options: Any) -> Any:
    """What ``wait`` answers where this happens after it has seen the task."""

    async def main() -> Any:
        async with Waiter(store, happens) as client:
            return await client.wait(ID, "60s", **options)

    return asyncio.run(asyncio.wait_for(main(), 90))


def move(client: Client, *queues: str) -> None:
    for queue in queues:
        assert client.operate("move", ID, to=queue).answers == {"moved": 1}


def note(store: Store, queue: str, to: str) -> None:
    """What a move leaves, written by somebody else."""
    store.redis.hset(
        store.key(f"task:{queue}:{ID}"), mapping={"type": "t", "state": "skipped", "reason": f"moved to {to}"}
    )


def test_a_task_that_was_moved_twice_is_waited_for_where_it_is(client: Client, valkey_store: Store) -> None:
    client.enqueue("remind", id=ID, queue="old")
    move(client, "mail", "third")

    for queue in ("old", "mail"):
        with pytest.raises(TaskNotEnded, match=r"in queue 'third' has not ended in time: it is \w+, and goes on"):
            client.wait(ID, "0s", queue=queue)
    asyncio.run(Worker(app, settings(valkey_store, "third"), burst=True).run())
    assert [client.wait(ID, "1s", queue=queue) for queue in ("old", "mail", "third", None)] == ["reminded of 42"] * 4


@pytest.mark.parametrize("options", [{}, {"queue": "old"}])
def test_a_task_that_is_moved_while_somebody_waits_is_waited_for_in_its_new_queue(
    client: Client, valkey_store: Store, options: dict[str, Any]
) -> None:
    async def happens(waiting: AsyncClient) -> None:
        await waiting.operate("move", ID, to="mail")
        await Worker(app, settings(valkey_store, "mail"), burst=True).run()

    client.enqueue("remind", id=ID, queue="old")

    assert waited(valkey_store, happens, **options) == "reminded of 42"


def test_notes_that_lead_in_a_circle_or_to_no_queue_end_the_wait(client: Client, valkey_store: Store) -> None:
    note(valkey_store, "a", "b")
    note(valkey_store, "b", "a")
    note(valkey_store, "c", "no queue")

    with pytest.raises(TaskNotCompleted, match=r"it is skipped \(moved to [ab]\)"):
        client.wait(ID, "1s", queue="a")
    with pytest.raises(TaskNotCompleted, match=r"it is skipped \(moved to no queue\)"):
        client.wait(ID, "1s", queue="c")


def test_a_way_through_many_queues_is_followed(client: Client, valkey_store: Store) -> None:
    for number in range(MOST_MOVES - 1):
        note(valkey_store, f"q{number}", f"q{number + 1}")
    client.enqueue("remind", id=ID, queue=f"q{MOST_MOVES - 1}", delay="1h")

    with pytest.raises(TaskNotEnded, match=f"in queue 'q{MOST_MOVES - 1}'"):
        client.wait(ID, "0s", queue="q0")


@pytest.mark.parametrize("options", [{}, {"queue": "default"}])
def test_a_result_that_is_gone_with_its_task_is_no_task_that_never_was(
    client: Client, valkey_store: Store, options: dict[str, Any]
) -> None:
    async def happens(waiting: AsyncClient) -> None:
        await Worker(app, settings(valkey_store), burst=True).run()

    client.enqueue("remind", id=ID, retention="0s")

    with pytest.raises(TaskRemoved) as caught:
        waited(valkey_store, happens, **options)

    assert isinstance(caught.value, TaskNotFound)
    assert str(caught.value) == (
        f"task '{ID}' in queue 'default' has ended and was removed: its retention is 0; how it ended is not known, and "
        "it may well have completed"
    )


def test_a_task_that_somebody_dropped_while_another_waits_is_removed(client: Client, valkey_store: Store) -> None:
    async def happens(waiting: AsyncClient) -> None:
        await waiting.cancel(ID)
        await waiting.drop(ID)

    client.enqueue("remind", id=ID, delay="1h")

    with pytest.raises(TaskRemoved, match="its retention is over, or somebody dropped it; how it ended is not known"):
        waited(valkey_store, happens)


@pytest.mark.parametrize(("queue", "where"), [(None, "any queue"), ("default", "queue 'default'")])
def test_a_task_that_was_never_seen_may_have_ended(client: Client, queue: str | None, where: str) -> None:
    with pytest.raises(TaskNotFound) as caught:
        client.wait("nobody", "1s", queue=queue)

    assert not isinstance(caught.value, TaskRemoved)
    assert str(caught.value) == (
        f"no task 'nobody' in {where}; a task that has ended is not found either, once its retention is over"
    )
