"""enqueue through both clients: every option, every answer, and every field that cannot be used."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from redsched import Exponential, Fixed, Task
from redsched.model.errors import InvalidTask, TaskConflict
from redsched.model.task import TaskView
from tests.support.clients import Connect, Face
from tests.support.servers import Store

DUE = datetime(2030, 1, 31, 9, 0, 0, 123_000, tzinfo=timezone(timedelta(hours=1)))
OPTIONS: dict[str, Any] = {
    "queue": "mail", "id": "order-42:remind", "due": DUE, "priority": "low", "max_attempts": 7,
    "retry": Exponential(base="1s", factor=3, max="1m", jitter=0.5), "timeout": "90s",
    "expires_at": DUE + timedelta(hours=1), "key": "customer-7", "tags": ["a", "\u00e9"], "headers": {"x": "y"},
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "retention": timedelta(days=1),
    "keep": True, "request": "r-1",
}  # fmt: skip
PAYLOAD = {"to": "\u00e9@example.com", "n": [1, 2.5, None, {"deep": True}]}


def test_every_option_is_read_back_as_it_was_given(client: Face) -> None:
    enqueued = client.enqueue("mail.send", PAYLOAD, **OPTIONS)

    assert (enqueued.id, enqueued.queue, enqueued.status) == ("order-42:remind", "mail", "created")
    view = client.task("order-42:remind", queue="mail")
    assert view.created_at is not None
    assert view == TaskView(
        id="order-42:remind",
        queue="mail",
        state="scheduled",
        type="mail.send",
        payload=PAYLOAD,
        priority="low",
        max_attempts=7,
        retry="exponential 1000 3 60000 0.5",
        timeout_ms=90_000,
        due_at=DUE,
        created_at=view.created_at,
        expires_at=DUE + timedelta(hours=1),
        key="customer-7",
        tags=["a", "\u00e9"],
        headers={"x": "y"},
        traceparent=OPTIONS["traceparent"],
        retention_ms=86_400_000,
        keep=True,
        request="r-1",
    )


def test_a_task_with_nothing_but_a_type_is_ready_with_the_defaults(client: Face, store: Store) -> None:
    task_id = client.enqueue("log").id

    view = client.task(task_id)
    assert (view.state, view.payload, view.queue, view.priority, view.attempt) == (
        "ready",
        None,
        "default",
        "normal",
        0,
    )
    assert abs(view.due_at.timestamp() * 1_000 - store.now_ms()) < 5_000
    stored = store.redis.hgetall(store.key(f"task:default:{task_id}"))
    assert stored.keys() == {"type", "payload", "submitted", "created_at", "state", "entry", "due_at"}


@pytest.mark.parametrize(
    "payload", [None, True, 0, -1.5, "", "text", [], [1, [2]], {}, {"a": None}, "\u2028\U0001f600", 2**60]
)
def test_a_payload_reaches_the_worker_as_it_was(valkey_store: Store, connect: Connect, payload: Any) -> None:
    client = connect(valkey_store)
    task_id = client.enqueue("t", payload).id

    (started,) = client.start()

    assert started.id == task_id
    assert client.task(task_id).payload == payload


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({"delay": timedelta(minutes=1)}, 60_000, 60_000),
        ({"delay": "60s"}, 60_000, 60_000),
        ({"delay": "1m"}, 60_000, 60_000),
        ({"due": "2030-01-31T09:00:00Z"}, None, 1_896_080_400_000),
        ({"due": 1_896_080_400_000}, None, 1_896_080_400_000),
        ({"due": datetime(2030, 1, 31, 9, tzinfo=UTC)}, None, 1_896_080_400_000),
    ],
)
def test_a_due_time_may_be_given_in_every_form(
    valkey_store: Store, connect: Connect, options: dict[str, Any], low: int | None, high: int
) -> None:
    before = valkey_store.now_ms()
    task_id = connect(valkey_store).enqueue("t", **options).id

    score = valkey_store.redis.zscore(valkey_store.key("due:default"), task_id)
    if low is None:
        assert score == high
    else:
        assert before + low <= score <= valkey_store.now_ms() + high


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("options", [{"due": 0}, {"due": LONG_AGO}, {"delay": "0s"}, {}], ids=str)
def test_now_and_the_past_are_ready_at_once(valkey_store: Store, connect: Connect, options: dict[str, Any]) -> None:
    client = connect(valkey_store)

    assert client.task(client.enqueue("t", **options).id).state == "ready"


@pytest.mark.parametrize(
    ("retry", "wire"),
    [
        (timedelta(seconds=5), "fixed 5000"),
        (Fixed("1m"), "fixed 60000"),
        (["1ms", "2s", timedelta(seconds=3)], "list 1 2000 3000"),
        (Exponential(), "exponential 5000 2 3600000 0.2"),
    ],
)
def test_a_retry_policy_may_be_given_in_every_form(
    valkey_store: Store, connect: Connect, retry: Any, wire: str
) -> None:
    client = connect(valkey_store)

    assert client.task(client.enqueue("t", retry=retry).id).retry == wire


def test_a_start_by_counts_from_the_servers_clock(valkey_store: Store, connect: Connect) -> None:
    client = connect(valkey_store)
    before = valkey_store.now_ms()

    view = client.task(client.enqueue("t", delay="1m", expires_in="2m").id)

    assert before + 120_000 <= view.expires_at.timestamp() * 1_000 <= valkey_store.now_ms() + 120_000


def test_an_id_that_is_taken_is_existing_or_a_conflict(client: Face, store: Store) -> None:
    assert client.enqueue("t", 1, id="a", delay="1h").status == "created"
    before = store.redis.hgetall(store.key("task:default:a"))

    assert client.enqueue("t", 1, id="a").status == "existing"
    with pytest.raises(TaskConflict, match=r"'a' in queue 'default'.*nothing was written") as caught:
        client.enqueue("t", 2, id="a")

    assert (caught.value.task_id, caught.value.queue) == ("a", "default")
    assert store.redis.hgetall(store.key("task:default:a")) == before
    assert client.enqueue("t", 2, id="a", queue="other").status == "created"


def test_a_repeat_with_the_same_request_is_answered_as_the_first_call_was(client: Face) -> None:
    for _ in range(2):
        assert client.enqueue("t", 1, id="a", request="r1").status == "created"
    assert client.enqueue("t", 1, id="a", request="r2").status == "existing"

    assert client.stats(["default"])[0].totals["enqueued"] == 1


def test_ids_that_are_made_here_name_their_cell_and_sort_by_their_time(client: Face) -> None:
    first = client.enqueue("t").id
    rest = [one.id for one in client.enqueue_many([Task(type="t")] * 50)]

    assert all(re.fullmatch(r"0-[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", task_id) for task_id in [first, *rest])
    assert len({first, *rest}) == 51
    assert all(first[:14] <= task_id[:14] for task_id in rest)


def test_a_batch_answers_for_each_task_in_order(client: Face, store: Store) -> None:
    client.enqueue("t", 1, id="a")
    tasks = [
        Task(type="t", payload=1, id="a"),
        Task(type="t", payload=2, id="a"),
        Task(type="t", id="b", queue="other"),
        Task(type="t", id="c", delay="1h"),
        Task(type="t", id="c", delay="2h"),
    ]

    answers = client.enqueue_many(tasks)

    assert [(one.id, one.queue, one.status) for one in answers] == [
        ("a", "default", "existing"),
        ("a", "default", "conflict"),
        ("b", "other", "created"),
        ("c", "default", "created"),
        ("c", "default", "existing"),
    ]
    assert client.queues() == ["default", "other"]
    assert store.redis.zcard(store.key("due:default")) == 1


def test_a_thousand_tasks_fit_one_call(client: Face) -> None:
    assert {one.status for one in client.enqueue_many([Task(type="t", delay="1h")] * 1_000)} == {"created"}

    assert client.stats(["default"])[0].scheduled == 1_000


NAIVE = datetime(2030, 1, 1)
BAD: list[tuple[dict[str, Any], str]] = [
    ({"type": ""}, "type"), ({"type": "a b"}, "type"), ({"type": "t" * 101}, "type"), ({"type": 5}, "type"),
    ({"type": "-t"}, "type"), ({"type": "t\u00e9"}, "type"), ({"type": "t\n"}, "type"), ({"type": None}, "type"),
    ({"payload": object()}, "payload"), ({"payload": {"x": "x" * 262_144}}, "payload"),
    ({"payload": {1: {2, object()}}}, "payload"),
    ({"payload": "\ud800"}, "payload"),
    ({"queue": ""}, "queue"), ({"queue": "a:b"}, "queue"), ({"queue": "q" * 101}, "queue"), ({"queue": b"q"}, "queue"),
    ({"queue": "{rs}"}, "queue"), ({"queue": 7}, "queue"),
    ({"id": ""}, "id"), ({"id": "a b"}, "id"), ({"id": ":a"}, "id"), ({"id": "i" * 129}, "id"), ({"id": 7}, "id"),
    ({"id": "a\n"}, "id"), ({"id": b"a"}, "id"),
    ({"due": NAIVE}, "due"), ({"due": "2030-01-01T00:00:00"}, "due"), ({"due": "tomorrow"}, "due"),
    ({"due": True}, "due"),
    ({"due": 1_900_000_000}, "due"), ({"due": 1_900_000_000_000_000}, "due"), ({"due": -1}, "due"),
    ({"due": 1.5e12}, "due"),
    ({"due": datetime(2400, 1, 1, tzinfo=UTC)}, "due"), ({"due": datetime(1, 1, 1, tzinfo=UTC)}, "due"),
    ({"due": [1]}, "due"),
    ({"due": 0, "delay": 5}, "delay"), ({"delay": -1}, "delay"), ({"delay": timedelta(seconds=-1)}, "delay"),
    ({"delay": "soon"}, "delay"), ({"delay": timedelta(days=366)}, "delay"), ({"delay": True}, "delay"),
    ({"delay": 1.5}, "delay"), ({"delay": "9" * 300 + "d"}, "delay"),
    ({"priority": "urgent"}, "priority"), ({"priority": 1}, "priority"), ({"priority": None}, "priority"),
    ({"max_attempts": 0}, "max_attempts"), ({"max_attempts": 1_001}, "max_attempts"),
    ({"max_attempts": True}, "max_attempts"),
    ({"max_attempts": "3"}, "max_attempts"), ({"max_attempts": 2.0}, "max_attempts"),
    ({"retry": Exponential(factor=11)}, "retry"), ({"retry": Exponential(jitter=-0.1)}, "retry"),
    ({"retry": "often"}, "retry"),
    ({"retry": []}, "retry"), ({"retry": [1] * 101}, "retry"), ({"retry": Fixed("x")}, "retry"),
    ({"retry": 5}, "retry"),
    ({"retry": Exponential(factor=float("nan"))}, "retry"), ({"retry": Exponential(base="2h", max="1h")}, "retry"),
    ({"timeout": 0}, "timeout"), ({"timeout": "25h"}, "timeout"), ({"timeout": "x"}, "timeout"),
    ({"timeout": -5}, "timeout"),
    ({"expires_at": NAIVE}, "expires_at"), ({"expires_at": 0}, "expires_at"),
    ({"expires_at": 1_900_000_000}, "expires_at"),
    ({"expires_in": "0s"}, "expires_in"), ({"delay": "2h", "expires_in": "1h"}, "expires_in"),
    ({"delay": "2h", "expires_in": "2h"}, "expires_in"), ({"due": DUE, "expires_at": DUE}, "expires_at"),
    ({"due": DUE, "expires_in": "1h"}, "expires_in"),  # the server tells
    ({"delay": "1h", "expires_at": 1_700_000_000_000}, "expires_at"),  # and here
    ({"expires_in": -1}, "expires_in"), ({"expires_at": DUE, "expires_in": 5}, "expires_in"),
    ({"key": ""}, "key"), ({"key": "a b"}, "key"), ({"key": "k" * 129}, "key"), ({"key": 5}, "key"),
    ({"key": "\u00e9"}, "key"),
    ({"tags": "text"}, "tags"), ({"tags": ["x"] * 17}, "tags"), ({"tags": [""]}, "tags"), ({"tags": [1]}, "tags"),
    ({"tags": ["x" * 129]}, "tags"), ({"tags": 5}, "tags"), ({"tags": ["\u20ac" * 128] * 16}, "tags"),
    ({"headers": [1]}, "headers"), ({"headers": {"a": 1}}, "headers"), ({"headers": {1: "a"}}, "headers"),
    ({"headers": {"a": "x" * 65_536}}, "headers"), ({"headers": "text"}, "headers"),
    ({"traceparent": ""}, "traceparent"), ({"traceparent": "t" * 129}, "traceparent"),
    ({"traceparent": "a\nb"}, "traceparent"),
    ({"retention": -1}, "retention"), ({"retention": timedelta(days=366)}, "retention"),
    ({"retention": "x"}, "retention"),
    ({"request": ""}, "request"), ({"request": "a b"}, "request"), ({"request": "r" * 129}, "request"),
    ({"color": "red"}, "color"), ({"state": "ready"}, "state"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "field"), BAD, ids=[f"{field}-{number}" for number, (_, field) in enumerate(BAD)])
def test_a_field_that_cannot_be_used_is_named_and_nothing_is_written(
    valkey_store: Store, connect: Connect, bad: dict[str, Any], field: str
) -> None:
    client = connect(valkey_store)

    with pytest.raises(InvalidTask, match=r"; nothing was written$") as caught:
        client.enqueue(**({"type": "t"} | bad))

    assert (caught.value.field, caught.value.index) == (field, None)
    assert str(caught.value).startswith(f"{field}: ")
    assert valkey_store.keys() == []


def test_a_task_of_a_batch_that_is_due_after_it_expires_is_named_by_its_place(client: Face, store: Store) -> None:
    for bad in ({"due": DUE, "expires_in": "1h"}, {"delay": "2h", "expires_in": "1h"}):
        tasks = [
            Task(type="t", headers={"a": "b"}, expires_in="1m"),
            Task(type="t", expires_at=DUE),
            Task(type="t", **bad),
        ]

        with pytest.raises(InvalidTask) as caught:
            client.enqueue_many(tasks)

        where = (
            "tasks[2].expires_in: must reach beyond the due time: the task is due after it expires; nothing was written"
        )
        assert str(caught.value) == where
        assert (caught.value.field, caught.value.index) == ("expires_in", 2)
    assert store.keys() == []


def test_one_bad_task_of_a_batch_is_named_by_its_place_and_nothing_is_written(client: Face, store: Store) -> None:
    tasks = [Task(type="t"), Task(type="t", id="a"), Task(type="t", due=NAIVE)]

    with pytest.raises(InvalidTask, match=r"^tasks\[2\]\.due: .*nothing was written$") as caught:
        client.enqueue_many(tasks)

    assert (caught.value.field, caught.value.index) == ("due", 2)
    assert store.keys() == []


@pytest.mark.parametrize("size", [0, 1_001])
def test_a_batch_of_a_wrong_size_is_refused(valkey_store: Store, connect: Connect, size: int) -> None:
    with pytest.raises(InvalidTask, match="nothing was written") as caught:
        connect(valkey_store).enqueue_many([Task(type="t")] * size)

    assert (caught.value.field, caught.value.code) == ("tasks", "batch_too_large")
    assert valkey_store.keys() == []


def test_an_oversized_payload_has_a_code_of_its_own(valkey_store: Store, connect: Connect) -> None:
    client = connect(valkey_store)
    client.enqueue("t", "x" * (262_144 - 2))

    with pytest.raises(InvalidTask) as caught:
        client.enqueue("t", "x" * (262_144 - 1))

    assert (caught.value.field, caught.value.code) == ("payload", "payload_too_large")


def test_what_only_the_server_refuses_names_the_field_too(valkey_store: Store, connect: Connect) -> None:
    """The clients check everything first; a call that slips through is refused whole by the script."""
    from redsched.wire import protocol
    from redsched.wire.call import Call
    from redsched.wire.cells import Cell

    client = connect(valkey_store)
    call = protocol.enqueue(
        Cell(valkey_store.namespace), [Task(type="t"), Task(type="t", priority="low")], max_payload=99
    )
    words = ["urgent" if word == "low" else word for word in call.args]

    with pytest.raises(InvalidTask, match="nothing was written") as caught:
        client.send(Call("enqueue", call.keys, words, call.read))

    assert (caught.value.field, caught.value.index) == ("priority", 1)
    assert valkey_store.keys() == []
