"""Conditions of a task: what it waits for, hangs on, is cancelled by; decided where it is due, on what is so then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.lua_queue import HOUR, NOW, Queue

PAID = "paid:order-1"


def test_a_reminder_is_skipped_where_the_payment_came_first(queue: Queue) -> None:
    queue.plan("a", {"unless": {"fact": PAID}}, due=NOW + HOUR)
    queue.emit("paid", "order-1", now=NOW + 1)

    queue.promote(now=NOW + HOUR)

    task = queue.task("a")
    assert (task["state"], task["reason"]) == ("skipped", f"unless {PAID}")
    assert queue.claim(now=NOW + HOUR).tasks == []


def test_a_reminder_runs_where_no_payment_came(queue: Queue) -> None:
    queue.plan("a", {"unless": {"fact": PAID}}, due=NOW + HOUR)

    queue.promote(now=NOW + HOUR)

    assert [task.id for task in queue.claim(now=NOW + HOUR).tasks] == ["a"]


def test_a_payment_between_ready_and_start_still_skips_it(queue: Queue) -> None:
    queue.plan("a", {"unless": {"fact": PAID}})
    assert queue.task("a")["state"] == "ready"
    queue.emit("paid", "order-1")

    assert queue.claim().tasks == []
    assert queue.task("a")["state"] == "skipped"


@pytest.mark.parametrize("first", ["event", "task"])
def test_an_event_cancels_whether_it_comes_before_the_task_or_after(queue: Queue, first: str) -> None:
    if first == "event":
        queue.emit("paid", "order-1")
    queue.plan("a", {"cancel_on": [PAID]}, due=NOW + HOUR)
    if first == "task":
        assert queue.emit("paid", "order-1").heard == 1

    task = queue.task("a")
    assert (task["state"], task["reason"]) == ("cancelled", f"event {PAID}")
    assert queue.key(f"listeners:{PAID}") not in queue.dump()


def test_a_running_task_is_asked_to_stop(queue: Queue) -> None:
    queue.plan("a", {"cancel_on": [PAID]})
    (started,) = queue.claim().tasks

    queue.emit("paid", "order-1")

    assert queue.task("a")["cancel_requested"] == f"event {PAID}"
    assert queue.settle(started, "complete") == "completed"


@pytest.mark.parametrize("first", ["event", "task"])
def test_a_task_waits_for_its_event_and_its_delay_counts_from_there(queue: Queue, first: str) -> None:
    if first == "event":
        queue.emit("shipped", "order-1")
    queue.plan("a", {"wait_for": {"all": ["shipped:order-1"]}}, due="+5000")
    if first == "task":
        assert queue.task("a")["blocked"] == "facts"
        queue.emit("shipped", "order-1", now=NOW + 1000)

    expected = NOW + (5000 if first == "event" else 6000)
    assert queue.places() == {"due": {"a": expected}}
    queue.promote(now=expected)
    assert queue.task("a")["state"] == "ready"


@pytest.mark.parametrize(("then", "state"), [("run", "ready"), ("expire", "expired")])
def test_what_it_waits_for_does_not_come(queue: Queue, then: str, state: str) -> None:
    queue.plan("a", {"wait_for": {"all": ["x", "y"], "within": HOUR, "then": then}})
    queue.emit("x")
    assert queue.attend().next_look == NOW + HOUR

    queue.attend(now=NOW + HOUR)
    queue.promote(now=NOW + HOUR)

    assert queue.task("a")["state"] == state


def test_a_raw_task_waits_too(queue: Queue) -> None:
    queue.seed("a", conditions='{"wait_for":{"any":["x","y"]}}')
    queue.promote()
    assert queue.task("a")["state"] == "held"

    queue.emit("y")
    queue.promote()

    assert queue.task("a")["state"] == "ready"


COMPARISONS: list[tuple[str, dict[str, Any], bool]] = [
    ("captured", {"equals": "captured"}, True),
    ('"captured"', {"equals": "captured"}, True),
    ("5", {"equals": 5}, True),
    ("5", {"equals": "5"}, True),
    ("5", {"less": 5}, False),
    ("5", {"less": 6, "greater": 4}, True),
    ("many", {"greater": 4}, False),
    ('{"status":"open","total":{"cents":1234567890123456}}', {"field": "status", "in": ["open", "new"]}, True),
    ('{"total":{"cents":1000}}', {"field": "total.cents", "greater": 999}, True),
    ('{"status":"open"}', {"field": "state", "exists": False}, True),
    ('{"status":"open"}', {"field": "state"}, False),
    ("true", {"equals": True}, True),
]


@pytest.mark.parametrize(("value", "test", "holds"), COMPARISONS)
def test_facts_are_compared(queue: Queue, value: str, test: dict[str, Any], holds: bool) -> None:
    queue.redis.set(queue.key("fact:f"), value)
    queue.plan("a", {"only_if": {"fact": "f", **test}})

    assert queue.task("a")["state"] == ("ready" if holds else "skipped")


def test_a_hash_is_a_fact_too_and_all_and_any_nest(queue: Queue) -> None:
    queue.redis.hset(queue.key("fact:payment"), "status", "captured")
    inner = {"any": [{"fact": "nothing"}, {"fact": "payment", "field": "status", "equals": "captured"}]}
    queue.plan("a", {"only_if": {"all": [inner, {"fact": "payment"}]}})

    assert queue.task("a")["state"] == "ready"


def test_a_task_that_must_not_run_yet_is_looked_at_again_and_skipped_in_the_end(queue: Queue) -> None:
    queue.plan("a", {"only_if": {"fact": "open"}, "otherwise": {"again": 1000, "within": 2500}})
    assert queue.places() == {"due": {"a": NOW + 1000}}

    queue.promote(now=NOW + 1000)
    assert queue.places() == {"due": {"a": NOW + 2000}}
    queue.promote(now=NOW + 3000)

    assert queue.task("a")["reason"] == "only_if open"
    assert queue.events() == [
        f"deferred a due={NOW + 1000}",
        f"deferred a due={NOW + 2000}",
        "skipped a reason=only_if open",
    ]


@pytest.mark.parametrize(
    "conditions",
    [
        "[]",
        "[1]",
        "nonsense",
        '{"what":1}',
        '{"unless":{"fact":"a b"}}',
        '{"unless":{"fact":"a","less":"1"}}',
        '{"wait_for":{}}',
        '{"wait_for":{"all":["a"],"any":["b"]}}',
        '{"after":{"ids":[]}}',
        '{"fifo":true}',
        '{"unique":{"key":"k","release":"ttl"}}',
        '{"late":{"a":1}}',
        '{"cancel_on":[]}',
        '{"unless":{"all":[{"all":[{"all":[{"all":[{"fact":"a"}]}]}]}]}}',
        '{"hold":{"token":""}}',
        '{"unless":null}',
        '{"digest":{"key":"k","size":0}}',
    ],
)
def test_conditions_that_cannot_be_used_are_refused_and_make_a_raw_task_dead(queue: Queue, conditions: str) -> None:
    if conditions != "[]":
        words = (1, "b", 0, 3, "type", "t", "payload", "{}", "conditions", conditions)
        assert "RS_INVALID 1 conditions" in queue.refused("enqueue", 0, *words)
        queue.seed("a", conditions=conditions)
        queue.promote()
        assert queue.task("a")["reason"] == "malformed"


def test_a_payload_is_completed_when_it_is_due_and_stays_so(real_queue: Queue) -> None:
    queue = real_queue  # the fake one cannot read such a long number
    late = {"total": {"fact": "invoice", "field": "total"}, "name": {"fact": "name"}}
    late["lang"] = {"fact": "none", "default": "en"}
    queue.plan("a", {"late": late}, due=NOW + 5, payload='{"id": 12345678901234567890, "total": 0, "tags": []}')
    queue.redis.set(queue.key("fact:invoice"), '{"total": 19.90}')
    queue.redis.set(queue.key("fact:name"), "Ada")

    queue.promote(now=NOW + 5)
    queue.redis.set(queue.key("fact:name"), "Eve")

    (started,) = queue.claim(now=NOW + 5).tasks
    assert started.payload == b'{"id":12345678901234567890,"tags":[],"lang":"en","name":"Ada","total":19.90}'
    queue.settle(started, "retry", 0, now=NOW + 5)
    queue.promote(now=NOW + 5)
    assert queue.claim(now=NOW + 5).tasks[0].payload == started.payload


LONG = 123456789012345678  # a double makes ...680 of it


@pytest.mark.parametrize(
    ("fact", "test", "holds"),
    [
        (str(LONG), {"equals": LONG}, True),
        (str(LONG + 2), {"equals": LONG}, False),
        (str(LONG), {"in": [1, LONG + 2]}, False),
        (str(LONG + 2), {"in": [1, LONG + 2]}, True),
        (str(LONG), {"less": LONG + 1}, True),
        (str(LONG + 1), {"less": LONG + 1}, False),
        (str(LONG + 1), {"greater": LONG}, True),
        (str(LONG), {"greater": LONG}, False),
        (str(-LONG - 1), {"less": -LONG}, True),
        (str(-LONG), {"less": -LONG}, False),
        (str(-LONG), {"less": 5}, True),
        ("9007199254740993", {"equals": 9007199254740992}, False),
        (str(LONG), {"greater": 5.5}, True),
        ("9223372036854775807", {"greater": 9223372036854775806}, True),
        ("1e30", {"less": 10**31}, True),
        ("7", {"less": LONG}, True),
        ("1e17", {"equals": 10**17}, True),
        ("100000000000000000", {"equals": 10**17}, True),
        ("1.0", {"equals": 1}, True),
        (str(LONG), {"equals": float(LONG)}, True),
        (str(LONG + 2), {"in": [float(LONG)]}, True),
        (str(LONG), {"less": float(LONG)}, False),
        (str(LONG), {"greater": float(LONG)}, False),
        (str(-LONG), {"equals": float(-LONG)}, True),
        (str(LONG + 100), {"greater": float(LONG)}, True),
        (str(LONG), {"less": 1e300}, True),
        (str(10**400), {"equals": 1e300}, False),
        ("9007199254740993", {"equals": 9007199254740992.0}, True),
        ("9007199254740993.0", {"equals": 2**53}, True),
        ("01067", {"equals": 1067}, False),
        ("01067", {"equals": "01067"}, True),
        ("0x1F", {"greater": 1}, False),
        ("nan", {"greater": -1}, False),
        ("inf", {"greater": 1}, False),
        ("1e999", {"greater": 1}, False),
        ("+5", {"equals": 5}, False),
        (" 5 ", {"equals": 5}, True),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_numbers_are_compared_as_they_are_written(
    queue: Queue, fact: str, test: dict[str, Any], holds: bool, inside: bool
) -> None:
    if inside and fact in ("01067", "0x1F", "nan", "inf", "1e999", "+5"):
        fact = json.dumps(fact)  # else the whole is no JSON
    queue.redis.set(queue.key("fact:x"), f'{{"n":{fact},"m":"{LONG}"}}' if inside else fact)
    where = {"fact": "x", "field": "n"} if inside else {"fact": "x"}

    queue.plan("a", {"only_if": where | test})

    assert queue.task("a")["state"] == ("ready" if holds else "skipped")


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("01067", "01067"),
        ("+4915112345", "+4915112345"),
        ("0x1F", "0x1F"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("1.", "1."),
        ("-.5", "-.5"),
        (".5", ".5"),
        ("1e", "1e"),
        ("- 1", "- 1"),
        ("1,2", "1,2"),
        ("", ""),
        ("1],[2", "1],[2"),
        ('{"a":01}', '{"a":01}'),
        ("[1,nan]", "[1,nan]"),
        ('{"a":[{"b":0x1F}]}', '{"a":[{"b":0x1F}]}'),
        ('"a\tb"', '"a\tb"'),
        ("[1e999]", "[1e999]"),
        ("tru", "tru"),
        (b"\xff", "\ufffd"),
        (b'"\xe4"', '"\ufffd"'),
        ("\u20ac", "\u20ac"),
        ("True", "True"),
        ("12", 12),
        ("-0.5e-3", -0.0005),
        ("1E+2", 100.0),
        ("0", 0),
        ("-0", 0),
        ("true", True),
        ("null", None),
        ('"x"', "x"),
        (' {"a" : [1, 2.50, "01 nan \\" ]"]} ', {"a": [1, 2.5, '01 nan " ]']}),
        ("[]", []),
        ('"\\u20ac"', "\u20ac"),
    ],
)
def test_what_is_no_json_is_written_into_a_payload_as_text(queue: Queue, fact: str | bytes, value: Any) -> None:
    queue.redis.set(queue.key("fact:x"), fact)

    queue.plan("a", {"late": {"x": {"fact": "x"}}})

    assert json.loads(queue.task("a")["payload"]) == {"x": value}


@pytest.mark.parametrize("text", ["12", "01067", "true", '"x"', "nan", "[1]"])
def test_the_field_of_a_hash_is_text(queue: Queue, text: str) -> None:
    queue.redis.hset(queue.key("fact:x"), "f", text)

    queue.plan("a", {"late": {"x": {"fact": "x", "field": "f"}}})

    assert json.loads(queue.task("a")["payload"]) == {"x": text}


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (10**17, "100000000000000000"),
        (LONG, str(LONG)),
        (-LONG, str(-LONG)),
        (0.1, "0.1"),
        (1.5e200, "1.5e+200"),
        (5, "5"),
        (10**30, str(10**30)),
        ("nan", '"nan"'),
    ],
)
def test_a_default_is_written_as_it_was_given(queue: Queue, default: Any, text: str) -> None:
    queue.plan("a", {"late": {"x": {"fact": "x", "default": default}}})

    assert queue.task("a")["payload"] == f'{{"x":{text}}}'


def test_long_digits_in_the_texts_of_a_plan_stay_texts(queue: Queue) -> None:
    queue.redis.set(queue.key("fact:x"), json.dumps(f'say "{LONG}", 1'))

    queue.plan("a", {"only_if": {"fact": "x", "equals": f'say "{LONG}", 1'}, "late": {"n": {"fact": "x"}}})

    assert json.loads(queue.task("a")["payload"]) == {"n": f'say "{LONG}", 1'}


@pytest.mark.parametrize("data", ["01067", "nan", '{"n":0x1F}', '"a\nb"', '"\udcff"', "1,2", "", "[1e999]"])
def test_data_of_an_event_that_is_no_json_is_refused(queue: Queue, data: str) -> None:
    before = queue.dump()

    with pytest.raises(Exception, match="RS_INVALID 1 data must be JSON"):
        queue.run("emit", [queue.key("fact:x")], [NOW, data.encode(errors="surrogateescape"), 60_000, "e1"])

    assert queue.dump() == before


def test_what_a_rule_binds_is_written_as_it_stands_in_the_event(queue: Queue) -> None:
    rule = {"queue": "q", "bind": {"n": "data.n", "all": "data"}, "fields": {"type": "t", "payload": "{}"}}
    queue.run("put_rule", [queue.key("rules")], [NOW, "r", "x", json.dumps(rule)])
    data = '{"n":1234567890123456789,"m":1.0}'

    queue.run("emit", [queue.key("fact:x")], [NOW, data, 60_000, "e1"])

    assert queue.task("r:e1")["payload"] == f'{{"all":{data},"n":1234567890123456789}}'


def test_the_wait_of_a_raw_task_ends_as_long_after_it_was_first_looked_at(queue: Queue) -> None:
    queue.seed("a", conditions='{"wait_for":{"all":["x","y"],"within":3600000}}')
    queue.promote()
    assert queue.places()["held"] == {"a": NOW + HOUR}

    queue.emit("x", now=NOW + HOUR // 2)

    assert queue.places()["held"] == {"a": NOW + HOUR}
    assert queue.task("a")["created_at"] == str(NOW)


@pytest.mark.parametrize(("length", "answer"), [(1_024, "created"), (1_025, "")])
def test_a_text_with_which_a_fact_is_compared_has_at_most_1024_bytes(queue: Queue, length: int, answer: str) -> None:
    plan = {"unless": {"fact": "x", "equals": "v" * length}}
    if answer:
        assert queue.plan("a", plan) == answer
    else:
        words = (0, 1, "a", 0, 3, "type", "t", "payload", "{}", "conditions", json.dumps(plan))
        assert queue.refused("enqueue", *words).startswith("RS_INVALID 1 conditions")


@pytest.mark.parametrize(("more", "state"), [(0, "ready"), (1, "dead")])
def test_a_payload_that_facts_complete_has_at_most_256_kib(queue: Queue, more: int, state: str) -> None:
    whole = '{"pad":"","n":7}'
    payload = '{"pad":"' + "x" * (262_144 - len(whole) + more) + '"}'
    queue.redis.set(queue.key("fact:n"), 7)

    queue.seed("a", conditions='{"late":{"n":{"fact":"n"}}}', payload=payload)
    queue.promote()

    assert queue.task("a")["state"] == state
    assert state == "dead" or len(queue.task("a")["payload"]) == 262_144
