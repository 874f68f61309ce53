"""Verbs about many ids go in several small calls, however many a caller names; nobody notices but the server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from redsched.client import Client
from redsched.model.errors import InvalidTask
from redsched.model.task import Task
from redsched.steps.batches import A_CALL
from tests.support.servers import Store

COUNT = 201
Act = Callable[[Client, list[str]], dict[str, str]]
ACTS: dict[str, tuple[Act, str]] = {
    "cancel": (lambda client, ids: client.cancel(ids, queue="default"), "cancelled"),
    "reschedule": (lambda client, ids: client.reschedule(ids, queue="default", delay="2h"), "rescheduled"),
    "update": (lambda client, ids: client.update(ids, queue="default", priority="high"), "updated"),
    "revive": (lambda client, ids: client.revive(ids, queue="default"), "scheduled"),
    "drop": (lambda client, ids: client.drop(ids, queue="default"), "scheduled"),
    "requeue": (lambda client, ids: client.requeue(ids), "missing"),
    "confirm": (lambda client, ids: client.confirm(ids, "t", queue="default"), "refused"),
}


def calls(store: Store) -> int:
    """Calls of our verbs that the server has counted."""
    stats = store.redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("fcall", "fcall_ro", "evalsha"))


@pytest.mark.parametrize("verb", ACTS)
def test_many_ids_go_in_small_calls_and_each_has_its_answer(real_store: Store, verb: str) -> None:
    act, word = ACTS[verb]
    with real_store.client() as client:
        ids = [one.id for one in client.enqueue_many([Task(type="t", delay="1h") for _ in range(COUNT)])]
        before = calls(real_store)

        answers = act(client, ids)

        assert answers == dict.fromkeys(ids, word) and [*answers] == ids
        assert calls(real_store) - before == -(-COUNT // A_CALL[verb])


def test_many_ids_that_are_looked_for_come_a_hundred_a_round_trip(real_store: Store) -> None:
    with real_store.client() as client:
        ids = [one.id for one in client.enqueue_many([Task(type="t", delay="1h") for _ in range(COUNT)])]
        before = calls(real_store)

        assert client.reschedule(ids, delay="2h") == dict.fromkeys(ids, "rescheduled")

        assert calls(real_store) - before == COUNT + -(-COUNT // A_CALL["reschedule"])


@pytest.mark.parametrize("verb", ACTS)
def test_an_id_that_cannot_be_used_is_refused_before_the_first_call(real_store: Store, verb: str) -> None:
    with real_store.client() as client:
        ids = [one.id for one in client.enqueue_many([Task(type="t", delay="1h") for _ in range(COUNT)])]
        before = calls(real_store)

        with pytest.raises((InvalidTask, ValueError)):
            ACTS[verb][0](client, [*ids, "no id"])

        assert calls(real_store) == before


def test_what_is_shown_comes_in_calls_of_half_a_mebibyte(real_store: Store) -> None:
    with real_store.client() as client:
        small = [one.id for one in client.enqueue_many([Task(type="t", delay="1h") for _ in range(100)])]
        large = [client.enqueue("t", "x" * 200_000, delay="1h").id for _ in range(20)]
        before = calls(real_store)

        shown = client.show(small, queue="default")
        between = calls(real_store)
        views = client.show(large, queue="default")

        assert [*shown] == small and all(shown.values()) and [*views] == large
        assert between - before == 4  # 4, 16, 64 and the rest
        assert calls(real_store) - between >= 7
        assert all(view is not None and view.payload == "x" * 200_000 for view in views.values())


def test_payloads_that_come_to_more_than_a_call_may_carry_are_refused_by_name(real_store: Store) -> None:
    with real_store.client() as client:
        before = calls(real_store)
        with pytest.raises(InvalidTask) as caught:
            client.enqueue_many([Task(type="t", payload="x" * 250_000) for _ in range(10)])

        assert (caught.value.field, caught.value.index, caught.value.code) == ("payload", 8, "batch_too_large")
        assert calls(real_store) == before


@pytest.mark.parametrize("kind", ["chain", "group"])
def test_a_workflow_too_heavy_for_one_call_is_made_in_several_and_checked_before_the_first(
    real_store: Store, kind: str
) -> None:
    def make(client: Client, tasks: list[Task]) -> list[str]:
        last = Task(type="t", delay="1h")
        made = client.chain([*tasks, last]) if kind == "chain" else client.group(tasks, then=last)
        return [one.status for one in made]

    heavy = [Task(type="t", payload="x" * 250_000, delay="1h") for _ in range(20)]
    with real_store.client() as client:
        client.install()
        with pytest.raises(InvalidTask) as caught:
            make(client, [*heavy[:15], Task(type="no type"), *heavy[15:]])
        assert caught.value.index == 15 and not real_store.redis.keys(real_store.key("task:*"))

        assert make(client, heavy) == ["created"] * 21
        assert client.stats(["default"])[0].held == (20 if kind == "chain" else 1)
