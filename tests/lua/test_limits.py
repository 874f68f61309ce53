"""What one task may ask for, so that no call takes long: refused at its enqueue, malformed where it was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from redsched.model.condition import Conditions, of_json
from redsched.model.errors import InvalidTask
from redsched.model.events import Rule
from redsched.model.template import TaskTemplate
from redsched.wire import events
from redsched.wire.condition_words import wire_conditions
from redsched.wire.keys import CellKeys
from tests.support.lua_queue import NOW, Queue

Given = dict[str, Any]


def facts_asked(count: int) -> Given:
    """A test of so many facts."""
    return {"any": [{"fact": f"f{at}"} for at in range(count)]}


WITHIN: list[Given] = [
    {"unless": facts_asked(32)},
    {"unless": facts_asked(16), "only_if": facts_asked(16)},
    {"unless": {"all": [facts_asked(16), {"any": [facts_asked(8), facts_asked(8)]}]}},
    {"only_if": {"fact": "f"}, "otherwise": {"again": 1_000}},
    {"late": {f"m{at}": {"fact": "f"} for at in range(32)}},
]
BEYOND: list[tuple[Given, str, str]] = [
    ({"unless": facts_asked(17), "only_if": facts_asked(16)}, "hold more than 32 tests", "conditions.unless"),
    ({"only_if": {"all": [facts_asked(32), {"fact": "g"}]}}, "hold more than 32 tests", "conditions.only_if"),
    ({"unless": {"any": [facts_asked(31)] * 32}}, "hold more than 32 tests", "conditions.unless"),
    (
        {"only_if": {"fact": "f"}, "otherwise": {"again": 999}},
        "hold a otherwise that cannot be used",
        "conditions.otherwise.again",
    ),
    ({"late": {f"m{at}": {"fact": "f"} for at in range(33)}}, "hold a late that cannot be used", "conditions.late"),
]


@pytest.mark.parametrize("conditions", WITHIN, ids=range(len(WITHIN)))
def test_a_plan_within_the_limits_is_taken_by_scripts_and_client_alike(queue: Queue, conditions: Given) -> None:
    assert queue.plan("a", conditions, due=NOW + 1_000) == "created"
    assert wire_conditions(of_json(conditions)).keys() == conditions.keys()


@pytest.mark.parametrize(("conditions", "why", "field"), BEYOND, ids=range(len(BEYOND)))
def test_a_plan_beyond_the_limits_is_refused_where_it_is_written(
    queue: Queue, conditions: Given, why: str, field: str
) -> None:
    text = json.dumps(conditions)
    words = (1, "b", 0, 3, "type", "t", "payload", "{}", "conditions", text)
    assert f"RS_INVALID 1 conditions {why}" in queue.refused("enqueue", 0, *words)
    with pytest.raises(InvalidTask) as caught:
        wire_conditions(Conditions(**of_json(conditions)))
    assert caught.value.field == field

    queue.seed("a", conditions=text)  # as plain commands, or a release before these limits, wrote it
    queue.promote()
    assert queue.task("a")["reason"] == "malformed"


def test_a_rule_binds_to_32_members_and_no_more(queue: Queue) -> None:
    def put(count: int) -> str:
        bind = {f"m{at}": "subject" for at in range(count)}
        template = TaskTemplate(type="t", queue="q", payload={})
        rule = Rule(id="a", on="x", task=template, bind=bind)
        return queue.send(events.put_rule(CellKeys(queue.cell), rule, max_payload=99))

    assert put(32) == "created"
    with pytest.raises(InvalidTask) as caught:
        put(33)
    assert caught.value.field == "bind"
    line = json.dumps({"fields": {"type": "t", "payload": "{}"}, "bind": {f"m{at}": "subject" for at in range(33)}})
    with pytest.raises(Exception, match="RS_INVALID 1 rule cannot be used"):
        queue.run("put_rule", [queue.key("rules")], [NOW, "b", "x", line])


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ({}, True),
        ({"exists": False}, False),
        ({"equals": "x" * 1_000}, False),
        ({"greater": 1}, False),
        ({"in": ["x"]}, False),
        ({"field": "a"}, False),
        ({"field": "a", "exists": False}, True),
    ],
)
@pytest.mark.parametrize("kind", ["text", "hash"])
def test_of_a_fact_longer_than_64_kib_only_that_it_is_there_counts(
    queue: Queue, kind: str, test: Given, holds: bool
) -> None:
    if kind == "text":
        queue.redis.set(queue.key("fact:f"), json.dumps({"a": "x" * 65_536}))
    else:
        queue.redis.hset(queue.key("fact:f"), mapping={"a": "x" * 65_537})
    queue.plan("a", {"only_if": {"fact": "f", **test}})

    assert queue.task("a")["state"] == ("ready" if holds else "skipped")


def test_a_fact_of_64_kib_is_read(queue: Queue) -> None:
    text = json.dumps({"a": "x" * 65_526})
    assert len(text) == 65_536 - 1
    queue.redis.set(queue.key("fact:f"), text)
    queue.plan("a", {"only_if": {"fact": "f", "field": "a"}, "late": {"whole": {"fact": "f"}}})

    assert len(queue.task("a")["payload"]) > 65_536


def test_a_task_reads_64_kib_of_members_whatever_its_neighbours_read(queue: Queue) -> None:
    for name in ("f", "g", "h"):
        queue.redis.set(queue.key(f"fact:{name}"), json.dumps({"a": 1, "pad": name * 30_000}))
    plan = {"only_if": {"all": [{"fact": name, "field": "a", "equals": 1} for name in ("f", "g")]}}
    greedy = {"only_if": {"all": [{"fact": name, "field": "a", "equals": 1} for name in ("f", "g", "h")]}}
    for task_id, conditions in (("a", plan), ("b", greedy), ("c", plan)):
        queue.seed(task_id, conditions=json.dumps(conditions))

    queue.promote()

    assert [queue.task(task_id)["state"] for task_id in "abc"] == ["ready", "skipped", "ready"]


def test_many_tests_of_one_fact_read_it_once(real_queue: Queue) -> None:
    queue = real_queue
    queue.redis.set(queue.key("fact:f"), json.dumps({f"m{at}": at for at in range(32)}))
    plan = {"only_if": {"all": [{"fact": "f", "field": f"m{at}", "equals": at} for at in range(32)]}}
    for at in range(20):
        queue.seed(f"t{at}", conditions=json.dumps(plan))

    before = reads(queue)
    queue.promote(limit=500)

    assert len(queue.places()["ready"]["normal"]) == 20
    assert reads(queue) - before == 1


def reads(queue: Queue) -> int:
    """How often the server read a fact."""
    return int(queue.redis.info("commandstats").get("cmdstat_getrange", {"calls": 0})["calls"])


def words(count: int, **fields: str) -> list[Any]:
    """So many tasks of enqueue; the payload or the conditions of each may name its number as {at}."""
    found: list[Any] = [0]
    for at in range(count):
        named = {"type": "t", "payload": "{}"} | {name: text.replace("{at}", str(at)) for name, text in fields.items()}
        found += (1, f"t{at}", NOW + 1_000, len(named), *(word for pair in named.items() for word in pair))
    return found


TWO_MIB = json.dumps("x" * 262_142)  # an eighth of it
LONG_PLAN = json.dumps({"cancel_on": ["f{at}:" + "x" * 240] * 15})  # about 4 KB
TOO_HEAVY: list[tuple[int, dict[str, str], str]] = [
    (9, {"payload": TWO_MIB}, "9 payload comes to more than 2 MiB with the others of the call"),
    (19, {"conditions": LONG_PLAN}, "19 conditions come to more than 64 KiB with the others of the call"),
    (
        126,
        {"conditions": json.dumps({"cancel_on": [f"f{at}" for at in range(16)]})},
        "126 conditions name more than 2000 facts with the others of the call",
    ),
]


@pytest.mark.parametrize(("count", "fields", "why"), TOO_HEAVY, ids=["payload", "conditions", "facts"])
def test_what_is_too_much_for_one_call_is_refused_before_anything_is_written(
    queue: Queue, count: int, fields: dict[str, str], why: str
) -> None:
    assert f"RS_INVALID {why}" in queue.refused("enqueue", *words(count, **fields))
    assert {*queue.run("enqueue", [queue.keys.due], words(count - 2, **fields))} == {b"created"}


def test_a_single_task_may_be_larger_than_what_several_may_be_together(queue: Queue) -> None:
    assert queue.run("enqueue", [queue.keys.due], words(1, payload=json.dumps("x" * 3_000_000))) == [b"created"]


def test_many_tasks_of_the_same_conditions_count_them_once(queue: Queue) -> None:
    plan = json.dumps({"unless": {"any": [{"fact": "f", "equals": "x" * 100}] * 20}})
    assert {*queue.run("enqueue", [queue.keys.due], words(100, conditions=plan))} == {b"created"}


def test_due_tasks_whose_conditions_read_much_are_left_to_promote(queue: Queue) -> None:
    queue.redis.mset({queue.key(f"fact:f{at}"): json.dumps({"pad": f"{at} " * 8_000, "m": at}) for at in range(40)})
    plans = [json.dumps({"late": {"m": {"fact": f"f{at}", "field": "m"}}}) for at in range(40)]

    queue.enqueue(*((f"t{at}", 0, {"conditions": plans[at]}) for at in range(40)))

    places = queue.places()
    assert 0 < len(places["ready"]["normal"]) < 10 and len(places["due"]) + len(places["ready"]["normal"]) == 40
    while queue.promote(limit=500).moved:
        pass
    assert len(queue.places()["ready"]["normal"]) == 40
    assert {json.loads(queue.task(f"t{at}")["payload"])["m"] for at in range(40)} == {*range(40)}


def with_conditions(queue: Queue, *plans: str) -> list[str]:
    """Create tasks with these conditions, as texts, in one call."""
    return queue.enqueue(*((f"t{at}", NOW + 5, {"conditions": plan}) for at, plan in enumerate(plans)))


def padded(number: int, size: int) -> str:
    """Conditions of so many bytes, unlike those of another number."""
    text = json.dumps({"unless": {"fact": f"x{number}"}})
    return text + " " * (size - len(text))


def test_the_tasks_of_a_call_name_two_thousand_facts_together(real_queue: Queue) -> None:
    plan = json.dumps({"cancel_on": [f"e{at}" for at in range(16)]})

    assert with_conditions(real_queue, *[plan] * 125) == ["created"] * 125
    with pytest.raises(redis.ResponseError, match="RS_INVALID 126 conditions name more than 2000 facts"):
        with_conditions(real_queue, *[plan] * 126)


def test_the_conditions_of_a_call_come_to_64_kib_together(real_queue: Queue) -> None:
    plans = [padded(at, 128 + 8_192) for at in range(8)]

    assert with_conditions(real_queue, *plans) == ["created"] * 8
    with pytest.raises(redis.ResponseError, match="RS_INVALID 9 conditions come to more than 64 KiB"):
        with_conditions(real_queue, *plans, padded(8, 129))


def test_the_tasks_of_a_call_name_a_thousand_parents_together(real_queue: Queue) -> None:
    parents = [f"p{at}" for at in range(100)]
    real_queue.enqueue(*((parent, NOW + 5, {}) for parent in parents))
    plan = json.dumps({"after": {"ids": parents}})

    assert with_conditions(real_queue, *[plan] * 10) == ["created"] * 10
    with pytest.raises(redis.ResponseError, match="RS_INVALID 11 conditions name more than 1000 tasks in one call"):
        with_conditions(real_queue, *[plan] * 10, json.dumps({"after": {"ids": ["p0"]}}))


def test_a_due_time_of_1973_is_one_and_an_earlier_one_is_not(queue: Queue) -> None:
    assert queue.enqueue(("a", 10**11, {})) == ["created"]
    with pytest.raises(redis.ResponseError, match="RS_INVALID 1 due"):
        queue.enqueue(("b", 10**11 - 1, {}))


def test_a_key_that_has_to_be_unique_has_at_most_128_letters(queue: Queue) -> None:
    assert queue.plan("a", {"unique": {"key": "k" * 128}}) == "created"
    with pytest.raises(redis.ResponseError, match="RS_INVALID 1 conditions"):
        queue.plan("b", {"unique": {"key": "k" * 129}})


def test_an_update_names_at_most_sixteen_fields(queue: Queue) -> None:
    queue.seed("a", due=NOW + 5)

    assert queue.run("update", [queue.keys.due], [NOW, 16, *["key", "k"] * 16, "a"]) == [b"updated"]
    with pytest.raises(redis.ResponseError, match="RS_INVALID 1 n must be 1 to 16"):
        queue.run("update", [queue.keys.due], [NOW, 17, *["key", "k"] * 17, "a"])


def test_a_lease_that_ends_never_is_told_as_a_number_that_a_reply_can_hold(queue: Queue) -> None:
    queue.broken.add("a")
    queue.redis.zadd(queue.key("running:q"), {"a": 1e300})

    assert queue.promote().queues[0].next_lease == 9 * 10**15


def test_a_look_at_rules_by_their_names_takes_a_thousand(queue: Queue) -> None:
    queue.send(
        events.put_rule(
            CellKeys(queue.cell),
            Rule(id="last", on="x", task=TaskTemplate(type="t", queue="q", payload={})),
            max_payload=99,
        )
    )
    names = [f"none{at}" for at in range(1_000)]

    def found(*ids: str) -> int:
        return len(queue.run("rules", [queue.key("rules")], ["", 10, *ids])) - 1

    assert found(*names[1:], "last") == 1
    assert found(*names, "last") == 0


def test_an_event_has_at_most_a_hundred_rules(queue: Queue) -> None:
    def put(number: int) -> str:
        rule = Rule(id=f"r{number}", on="x", task=TaskTemplate(type="t", queue="q", payload={}))
        return queue.send(events.put_rule(CellKeys(queue.cell), rule, max_payload=99))

    assert {put(number) for number in range(100)} == {"created"}
    with pytest.raises(redis.ResponseError, match="RS_INVALID 1 on has 100 rules already"):
        put(100)
    assert put(99) == "unchanged"
