"""ingest: what becomes of the entries of an inbox, whoever wrote them."""

from __future__ import annotations

import pytest

from redsched.wire import protocol
from redsched.wire.mover import Ingest
from tests.support.acts import append, ingest
from tests.support.lua_queue import HOUR, NOW, Queue

THEN = NOW + HOUR


def test_an_entry_becomes_a_task_with_every_option(queue: Queue) -> None:
    append(queue, id="a", due=THEN, type="t", payload="{}", max_attempts=3, key="k", expires_at=THEN + 5)

    assert ingest(queue) == Ingest("q", 1, 0, 0)

    assert queue.places() == {"due": {"a": THEN}}
    assert queue.task("a") == {
        "type": "t",
        "payload": "{}",
        "max_attempts": "3",
        "key": "k",
        "expires_at": str(THEN + 5),
        "created_at": str(NOW),
    }
    assert queue.redis.smembers(queue.key("queues")) == {"q"}
    assert queue.totals() == {"enqueued": 1}
    assert queue.redis.xlen(queue.key("inbox:q")) == 0


def test_without_a_time_it_is_ready_at_once(queue: Queue) -> None:
    append(queue, id="a", type="t", payload="{}", priority="high")

    ingest(queue)

    assert queue.places() == {"ready": {"high": ["a"]}}


def test_a_time_from_now_is_the_servers(queue: Queue) -> None:
    append(queue, id="a", due="+5000", type="t", payload="{}")

    ingest(queue)

    assert queue.places() == {"due": {"a": NOW + 5000}}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "a", "payload": "{}", "key": "k"}, "inbox type:a"),
        ({"id": "a", "type": "t"}, "inbox fields:a"),
        ({"id": "a", "type": "t", "key": "k"}, "inbox payload:a"),
        ({"type": "t", "payload": "{}"}, "inbox id:"),
        ({"id": "a b", "type": "t", "payload": "{}"}, "inbox id:a b"),
        ({"id": "a", "due": "17", "type": "t", "payload": "{}"}, "inbox due:a"),
        ({"id": "a", "type": "t", "payload": "{}", "state": "running"}, "inbox fields:a"),
        ({"id": "a", "type": "t", "payload": "{}", "priority": "urgent"}, "inbox priority:a"),
        ({"id": "a", "type": "t", "payload": "x" * 262_145}, "inbox payload:a"),
        ({"id": "a", "type": "t", "payload": "{}", **{f"f{n}": "" for n in range(40)}}, "inbox fields:a"),
    ],
)
def test_one_that_cannot_be_used_is_set_aside_and_holds_up_nobody(
    queue: Queue, fields: dict[str, str], reason: str
) -> None:
    append(queue, **fields)
    append(queue, id="good", due=THEN, type="t", payload="{}")

    assert ingest(queue) == Ingest("q", 1, 1, 0)

    assert queue.places() == {"due": {"good": THEN}, "quarantine": {reason: NOW}}
    assert queue.totals() == {"enqueued": 1, "quarantined": 1}


def test_a_flood_that_cannot_be_used_is_told_once_a_call_and_reason(queue: Queue) -> None:
    for number in range(30):
        append(queue, id=f"a{number}", due=THEN, type="t", payload="{}", priority="urgent")
        append(queue, id=f"b{number}", due=THEN, payload="{}", keep=1)

    assert ingest(queue) == Ingest("q", 0, 60, 0)

    assert queue.events() == [
        "quarantined a0 reason=inbox priority more=29",
        "quarantined b0 reason=inbox type more=29",
    ]
    assert len(queue.places()["quarantine"]) == queue.totals()["quarantined"] == 60


def test_an_id_of_another_task_is_set_aside_and_that_task_is_untouched(queue: Queue) -> None:
    queue.seed("a", due=THEN)
    task = queue.task("a")
    append(queue, id="a", due=NOW, type="t", payload="another")

    assert ingest(queue) == Ingest("q", 0, 1, 0)

    assert queue.places() == {"due": {"a": THEN}, "quarantine": {"inbox conflict:a": NOW}}
    assert queue.task("a") == task


def test_the_same_task_again_is_made_once(queue: Queue) -> None:
    for _ in range(3):
        append(queue, id="a", due=THEN, type="t", payload="{}")

    assert ingest(queue) == Ingest("q", 1, 0, 0)

    assert queue.places() == {"due": {"a": THEN}}
    assert queue.events() == ["duplicate a state=inbox"] * 2
    assert queue.totals() == {"enqueued": 1}


def test_the_limit_bounds_a_call_over_its_queues_and_the_oldest_go_first(queue: Queue) -> None:
    other = queue.other("r")
    for number in range(3):
        append(queue, id=f"a{number}", due=THEN, type="t", payload="{}")
        append(other, id=f"b{number}", due=THEN, type="t", payload="{}")

    first = queue.send(protocol.ingest([queue.keys, other.keys], limit=4))

    assert first == [Ingest("q", 3, 0, 0), Ingest("r", 1, 0, 2)]
    assert other.places() == {"due": {"b0": THEN}}
    assert queue.send(protocol.ingest([queue.keys, other.keys], limit=4))[1] == Ingest("r", 2, 0, 0)


def test_an_empty_inbox_costs_nothing_and_leaves_no_key(queue: Queue) -> None:
    before = queue.dump()

    assert ingest(queue) == Ingest("q", 0, 0, 0)

    assert queue.dump() == before


def test_a_key_that_is_no_stream_does_not_stop_the_other_queues(queue: Queue) -> None:
    other = queue.other("r")
    append(other, id="b", due=THEN, type="t", payload="{}")
    queue.redis.set(queue.key("inbox:q"), "mine")
    call = protocol.ingest([queue.keys, other.keys])

    reply = call.read(queue.run("ingest", call.keys, [NOW, 100]))

    assert reply == [Ingest("q", 0, 0, 0), Ingest("r", 1, 0, 0)]
    assert queue.redis.get(queue.key("inbox:q")) == "mine"


def test_a_call_takes_at_most_five_hundred(real_queue: Queue) -> None:
    queue = real_queue
    for number in range(501):
        append(queue, id=f"a{number}", due=THEN, type="t", payload="{}")

    assert ingest(queue, limit=5_000) == Ingest("q", 500, 0, 1)


def test_the_longest_payload_is_taken(queue: Queue) -> None:
    append(queue, id="a", due=THEN, type="t", payload="x" * 262_144)

    assert ingest(queue) == Ingest("q", 1, 0, 0)


def test_an_id_of_any_bytes_is_told_cut_and_escaped(queue: Queue) -> None:
    append(queue, id="\x1b]0;owned\x07\n" + "é" * 400, type="t", payload="{}")

    assert ingest(queue).refused == 1

    told = dict(queue.redis.xrevrange(queue.key("events"))[0][1])
    assert told["id"].startswith(r"\x1b]0;owned\x07\x0a\xc3\xa9")
    assert told["id"].isascii() and told["id"].isprintable()
    assert len(told["id"]) <= 4 * 128
