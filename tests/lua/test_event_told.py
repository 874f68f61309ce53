"""An event reaches all who listened when it came, each once, whatever becomes of its fact and of others' keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.wire import events
from redsched.wire.keys import CellKeys
from tests.support.lua_queue import HOUR, NOW, Queue

MANY = 70
LISTENING: list[tuple[dict[str, Any], str, str]] = [
    ({"cancel_on": ["x"]}, "cancelled", "cancelled"),
    ({"wait_for": {"all": ["x"]}}, "scheduled", "released"),
    ({"wait_for": {"any": ["x", "y"]}}, "scheduled", "released"),  # looked at one by one
    ({"wait_for": {"all": ["x"]}, "cancel_on": ["y"]}, "scheduled", "released"),
]


def listeners(queue: Queue, conditions: dict[str, Any], count: int = MANY) -> None:
    """So many tasks with these conditions, due in an hour."""
    words = {"conditions": json.dumps(conditions)}
    queue.enqueue(*((f"t{at:03}", NOW + HOUR, words) for at in range(count)))


def told(queue: Queue, event: str) -> list[str]:
    """The ids that an event was told of, sorted."""
    return sorted(words.split()[1] for words in queue.events() if words.startswith(f"{event} "))


def work_off(queue: Queue, limit: int = 20, **options: Any) -> int:
    """Attend until nothing is left to do now; how many calls that took."""
    for call in range(1, 100):
        found = queue.attend(limit=limit, **options)
        if found.next_look is None or found.next_look > found.now:
            return call
    raise AssertionError("attend finds no end")


@pytest.mark.parametrize(("conditions", "state", "event"), LISTENING)
def test_all_are_told_once_though_the_fact_expired_meanwhile(
    queue: Queue, conditions: dict[str, Any], state: str, event: str
) -> None:
    listeners(queue, conditions)
    assert queue.emit("x", ttl="1s").more
    queue.attend(limit=20)
    queue.redis.delete(queue.key("fact:x"))  # as its time to live ends
    queue.plan("u", conditions, due=NOW + HOUR, now=NOW + 5_000)  # it came after the event, and after its fact

    assert work_off(queue, now=NOW + 5_000) > 2

    assert {queue.task(f"t{at:03}")["state"] for at in range(MANY)} == {state}
    assert told(queue, event) == [f"t{at:03}" for at in range(MANY)]
    assert "u" not in told(queue, event)
    assert queue.key("cursors") not in queue.dump()
    assert queue.redis.exists(queue.key("agenda")) == 0


def test_listeners_are_told_by_a_call_that_has_spent_its_work_on_other_items_before(queue: Queue) -> None:
    listeners(queue, {"cancel_on": ["x"]})
    queue.emit("x")
    others = {f"newer/{at}": -1.0 for at in range(10)}
    queue.redis.zadd(queue.key("agenda"), others)

    queue.attend(limit=len(others) + 1)
    assert told(queue, "cancelled") == ["t000"]
    work_off(queue)

    assert told(queue, "cancelled") == [f"t{at:03}" for at in range(MANY)]


def test_the_same_event_again_meanwhile_tells_those_who_came_in_between(queue: Queue) -> None:
    listeners(queue, {"cancel_on": ["x"]})
    queue.emit("x", ttl="1s")
    queue.attend(limit=20)
    queue.redis.delete(queue.key("fact:x"))
    queue.plan("u", {"cancel_on": ["x"]}, due=NOW + HOUR, now=NOW + 5_000)
    queue.emit("x", ttl="1s", event_id="e2", now=NOW + 6_000)
    queue.redis.delete(queue.key("fact:x"))

    work_off(queue, now=NOW + 7_000)

    assert told(queue, "cancelled") == [*(f"t{at:03}" for at in range(MANY)), "u"]


def spoil(queue: Queue, *places: str) -> None:
    """Keys of another queue that hold what they must not."""
    for place in places:
        queue.redis.set(queue.key(f"{place}:bad"), "of another type")


def put_rule(queue: Queue, name: str, *, home: str = "q", **members: Any) -> None:
    """A rule of the event x as anybody may write it."""
    fields = {"type": "t", "payload": "{}"} | members.pop("fields", {})
    queue.redis.hset(queue.key("rules:x"), name, json.dumps({"queue": home, "fields": fields, **members}))


@pytest.mark.parametrize("place", ["due", "ready", "stats"])
def test_a_rule_whose_queue_has_a_key_of_a_wrong_type_holds_up_neither_rules_nor_listeners(
    real_queue: Queue, place: str
) -> None:
    queue = real_queue
    spoil(queue, place)
    put_rule(queue, "a", home="bad", due="+1000" if place == "due" else "0")
    put_rule(queue, "b")
    words = ("type", "t", "payload", "{}", "conditions", '{"wait_for":{"all":["x"]}}')
    queue.run("enqueue", [queue.keys.due], [NOW, 1, "waits", 0, 3, *words])

    heard, more, *made = queue.run("emit", [queue.key("fact:x")], [NOW, "1", 60_000, "e1"])

    assert (heard, more) == (1, 0)
    assert b"q/b:e1" in made
    assert queue.task("waits")["state"] in ("scheduled", "ready")
    if place != "stats":  # that one only counts
        assert [words.split()[1] for words in raw_events(queue) if words.startswith("rule_failed")] == ["a"]


def raw_events(queue: Queue) -> list[str]:
    """Names and ids of the events."""
    return [f"{fields['event']} {fields['id']}" for _, fields in queue.redis.xrange(queue.key("events"))]


@pytest.mark.parametrize("count", [3, MANY])
def test_a_listener_whose_queue_has_a_key_of_a_wrong_type_holds_up_no_other_and_is_told_when_it_is_well(
    real_queue: Queue, count: int
) -> None:
    queue = real_queue
    listeners(queue, {"cancel_on": ["x"]}, count)
    words = ("type", "t", "payload", "{}", "conditions", '{"cancel_on":["x"]}')
    queue.run("enqueue", [queue.other("bad").keys.due], [NOW, 1, "a", NOW + HOUR, 3, *words])
    spoil(queue, "finished")

    queue.run("emit", [queue.key("fact:x")], [NOW, "1", 1_000, "e1"])
    queue.redis.delete(queue.key("fact:x"))
    for _ in range(30):
        queue.run("attend", [queue.key("agenda")], [NOW, 20])

    assert {queue.redis.hget(queue.keys.task(f"t{at:03}"), "state") for at in range(count)} == {"cancelled"}
    queue.redis.delete(queue.key("finished:bad"))
    for _ in range(30):
        queue.run("attend", [queue.key("agenda")], [NOW + 61_000, 20])
    assert queue.redis.hget(queue.other("bad").keys.task("a"), "state") == "cancelled"
    assert queue.redis.exists(queue.key("agenda"), queue.key("cursors"), queue.key("listeners:x")) == 0


def test_an_event_with_large_rules_is_worked_off_in_small_calls_each_rule_once(queue: Queue) -> None:
    for at in range(60):
        put_rule(queue, f"r{at:02}", fields={"headers": json.dumps({"long": "x" * 20_000})}, bind={"all": "data"})

    found = queue.emit("x", data="d" * 5_000)
    assert found.more and 0 < len(found.made) < 60
    queue.redis.delete(queue.key("fact:x"))
    assert 1 < work_off(queue) < 60

    assert told(queue, "rule_failed") == []
    assert queue.totals()["enqueued"] == 60
    assert json.loads(queue.task("r59:e1")["payload"]) == {"all": "d" * 5_000}
    assert queue.redis.exists(queue.key("agenda"), queue.key("cursors")) == 0


def test_a_payload_that_an_event_would_make_too_long_is_told_and_holds_up_nothing(queue: Queue) -> None:
    put_rule(queue, "a", bind={f"m{at}": "data" for at in range(32)})
    put_rule(queue, "b", bind={"m": "data"})

    assert queue.emit("x", data="d" * 60_000).made == ["q/b:e1"]

    assert [words for words in queue.events() if words.startswith("rule_failed")] == [
        "rule_failed a reason=payload is too long"
    ]


@pytest.mark.parametrize("data", ["", "{", "paid", '{"a":1}}', "1,2", '{"a":}'])
def test_what_is_no_json_is_no_data_of_an_event(queue: Queue, data: str) -> None:
    put_rule(queue, "a")
    before = queue.dump()

    with pytest.raises(Exception, match="RS_INVALID 1 data must be JSON"):
        queue.run("emit", [queue.key("fact:x")], [NOW, data, 60_000, "e1"])

    assert queue.dump() == before


def test_the_protocol_sends_json_for_any_data(queue: Queue) -> None:
    for at, data in enumerate([None, 0, "", "text", [1], {"a": None}]):
        queue.send(events.emit(CellKeys(queue.cell), f"e{at}", "", data=data, ttl=None, event_id="i"))
        assert json.loads(queue.redis.get(queue.key(f"fact:e{at}")) or "") == data
