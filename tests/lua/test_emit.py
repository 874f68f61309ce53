"""Events: what they make by rules, many listeners in small calls, and conditions that come by other ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from redsched.model.events import Rule
from redsched.model.explain import explained
from redsched.model.template import TaskTemplate
from redsched.wire import events, protocol
from redsched.wire.call import Call
from redsched.wire.keys import CellKeys
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue


def rule(queue: Queue, **more: Any) -> str:
    """A rule of the queue."""
    template = TaskTemplate(type="t", queue="q", **more.pop("task", {}))
    made = Rule(**{"id": "dun", "on": "failed", "task": template, **more})
    return queue.send(events.put_rule(CellKeys(queue.cell), made, max_payload=1000))


def test_an_event_is_a_fact_for_a_while(queue: Queue) -> None:
    found = queue.emit("paid", "order-1", {"total": 5}, ttl="1h")

    assert (found.fact, found.heard, found.more, found.made) == ("paid:order-1", 0, False, [])
    assert queue.redis.get(queue.key("fact:paid:order-1")) == '{"total":5}'
    assert 3_500_000 < queue.redis.pttl(queue.key("fact:paid:order-1")) <= HOUR
    assert raw_events(queue) == ["emitted paid:order-1"]


def test_a_rule_makes_a_task_of_each_event(queue: Queue) -> None:
    bind = {"order": "subject", "total": "data.total", "all": "data"}
    conditions = {"unless": {"fact": "paid:{subject}"}}
    task = {"payload": {"text": "pay {subject}", "total": 0}, "key": "{subject}", "conditions": conditions}
    assert rule(queue, delay="1h", task_id="dun:{subject}", bind=bind, task=task) == "created"

    assert queue.emit("failed", "order-1", {"total": 19.90}).made == ["q/dun:order-1"]

    made = queue.task("dun:order-1")
    payload = {"text": "pay {subject}", "total": 19.9, "order": "order-1", "all": {"total": 19.9}}
    assert json.loads(made["payload"]) == payload
    assert made["key"] == "order-1"
    assert json.loads(made["conditions"])["unless"]["fact"] == "paid:order-1"
    assert queue.places() == {"due": {"dun:order-1": NOW + HOUR}}


def test_the_same_event_again_makes_no_second_task_and_another_does(queue: Queue) -> None:
    rule(queue)
    assert queue.emit("failed", "order-1", event_id="e1").made == ["q/dun:e1"]
    assert queue.emit("failed", "order-1", event_id="e1").made == []
    assert queue.emit("failed", "order-1", event_id="e2").made == ["q/dun:e2"]
    assert queue.totals()["enqueued"] == 2


def test_a_rule_moves_to_another_event_and_goes(queue: Queue) -> None:
    rule(queue)
    assert rule(queue) == "unchanged"
    assert rule(queue, on="refused") == "updated"
    assert queue.emit("failed", "x", event_id="1").made == []
    assert queue.emit("refused", "x", event_id="2").made == ["q/dun:2"]
    (found,) = queue.send(events.rules(CellKeys(queue.cell))).items
    assert (found.id, found.on, found.task.type) == ("dun", "refused", "t")

    assert queue.send(events.drop_rule(CellKeys(queue.cell), "dun"))
    assert queue.emit("refused", "x", event_id="3").made == []
    assert not [key for key in queue.dump() if ":rules" in key]


def test_a_rule_whose_task_cannot_be_made_holds_up_nothing(queue: Queue) -> None:
    rule(queue, id="a")
    queue.redis.hset(queue.key("rules:failed"), "b", '{"fields":{"type":"no name"}}')
    queue.redis.hset(queue.key("rules:failed"), "c", "nonsense")

    assert queue.emit("failed", "x").made == ["q/a:e1"]
    assert sum(event.startswith("rule_failed") for event in raw_events(queue)) == 2


def rules_of(queue: Queue, cursor: str, limit: int) -> list[Any]:
    """A page of the rules."""
    return list(queue.run("rules", [queue.key("rules")], [cursor, limit]))


def test_a_page_of_rules_is_small_though_the_server_would_answer_all_of_them_at_once(real_queue: Queue) -> None:
    queue = real_queue
    names = [f"r{at:03}" for at in range(512)]  # more than that are no small hash
    queue.redis.hset(queue.key("rules"), mapping=dict.fromkeys(names, "x"))
    queue.redis.hset(queue.key("rules:x"), mapping=dict.fromkeys(names, "{}"))

    cursor, *found = rules_of(queue, "", 10)

    assert [rule[0].decode() for rule in found] == names[:10]
    assert rules_of(queue, cursor, 10)[1][0] == b"r010"


def test_an_event_with_more_than_64_kib_of_data_is_refused(queue: Queue) -> None:
    words = [NOW, json.dumps("x" * (65_537 - 2)), 60_000, "e1"]

    with pytest.raises(redis.ResponseError, match="RS_INVALID 1 data is too long"):
        queue.run("emit", [queue.key("fact:x")], words)


def test_a_member_of_64_kib_of_data_can_be_compared(real_queue: Queue) -> None:
    queue = real_queue
    queue.plan("a", {"only_if": {"fact": "x", "field": "m", "equals": 1}}, due=NOW + 1)
    data = '{"m":1,"pad":"' + "x" * (65_536 - 16) + '"}'
    assert len(data) == 65_536

    queue.run("emit", [queue.key("fact:x")], [NOW, data, 60_000, "e1"])
    queue.promote(now=NOW + 1)

    assert queue.task("a")["state"] == "ready"


def put_on_another_event(queue: Queue) -> Call[Any]:
    """The put of a rule that followed another event."""
    rule(queue)
    made = Rule(id="dun", on="refused", task=TaskTemplate(type="t", queue="q"))
    return events.put_rule(CellKeys(queue.cell), made, max_payload=1000)


def test_a_rule_that_moved_follows_no_old_event_wherever_the_first_try_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, put_on_another_event):
        here.send(call)

        assert here.emit("failed", "x", event_id="1").made == []
        assert here.emit("refused", "x", event_id="2").made == ["q/dun:2"]
        assert here.send(events.drop_rule(CellKeys(here.cell), "dun"))
        assert not [key for key in here.dump() if ":rules" in key]


def test_a_rule_can_move_away_from_a_key_of_a_wrong_type(queue: Queue) -> None:
    call = put_on_another_event(queue)
    queue.redis.delete(queue.key("rules:failed"))
    queue.redis.set(queue.key("rules:failed"), "mine")

    assert queue.run(call.verb, call.keys, [NOW, *call.args[1:]]) == b"updated"

    assert queue.redis.getdel(queue.key("rules:failed")) == "mine"
    assert queue.emit("refused", "x").made == ["q/dun:e1"]


def raw_events(queue: Queue) -> list[str]:
    """Names and ids of the events."""
    return [f"{fields['event']} {fields['id']}" for _, fields in queue.redis.xrange(queue.key("events"))]


@pytest.mark.parametrize("conditions", [{"cancel_on": ["x"]}, {"wait_for": {"all": ["x"]}}])
def test_an_event_with_many_listeners_is_worked_off_in_small_calls(queue: Queue, conditions: Any) -> None:
    words = {"conditions": json.dumps(conditions)}
    queue.enqueue(*((f"t{at:03}", NOW + HOUR, words) for at in range(150)))

    found = queue.emit("x", ttl="1m")
    assert (found.heard, found.more) == (0, True)
    assert 0 < queue.redis.pttl(queue.key("fact:x")) <= 60_000
    done = [queue.attend(limit=50).done for _ in range(4)]

    assert done[:3] == [50, 50, 50]
    states = {queue.redis.hget(queue.keys.task(f"t{at:03}"), "state") for at in range(150)}
    assert states == {"cancelled" if "cancel_on" in conditions else "scheduled"}
    assert queue.attend().next_look is None
    assert queue.key("cursors") not in queue.dump()


@pytest.mark.parametrize("listeners", [2, 40])
def test_no_ready_task_starts_after_the_event_that_cancels_it(queue: Queue, listeners: int) -> None:
    words = {"conditions": json.dumps({"cancel_on": ["x", "y"]})}
    queue.enqueue(*((f"t{at:02}", 0, words) for at in range(listeners)))
    assert queue.task("t00")["state"] == "ready"
    assert queue.emit("y").more == (listeners > 32)

    assert queue.claim(count=50).tasks == []

    assert {queue.task(f"t{at:02}")["state"] for at in range(listeners)} == {"cancelled"}
    assert queue.task("t00")["reason"] == "event y"
    assert queue.totals()["cancelled"] == listeners


def test_a_task_of_a_schedule_may_have_conditions(queue: Queue) -> None:
    queue.emit("closed")
    spec = '{"every":[{"every":60000}],"overlap":"skip"}'
    words = ("s", "", spec, "type", "t", "payload", "{}", "conditions", '{"unless":{"fact":"closed"}}')
    queue.run("put_schedule", [queue.keys.due], [NOW, *words])
    queue.run("trigger", [queue.keys.due], [NOW, "s", "", ""])
    queue.check()

    queue.promote()

    assert queue.task(f"s@t{NOW}")["state"] == "skipped"


def test_an_inbox_takes_conditions(queue: Queue) -> None:
    entry = {"id": "a", "type": "t", "payload": "{}", "conditions": '{"wait_for":{"all":["x"]}}'}
    queue.redis.xadd(queue.key("inbox:q"), entry)

    queue.run("ingest", [queue.keys.due], [NOW, 10])
    queue.check()

    assert queue.task("a")["blocked"] == "facts"


def update(queue: Queue, conditions: str) -> str:
    """Give task a other conditions."""
    (word,) = queue.run("update", [queue.keys.due], [NOW, 1, "conditions", conditions, "a"])
    queue.check()
    return str(word.decode())


def test_other_conditions_take_the_place_of_the_old_ones(queue: Queue) -> None:
    queue.plan("a", {"wait_for": {"all": ["x"]}})
    assert update(queue, '{"wait_for":{"all":["y"]}}') == "updated"
    queue.promote()
    assert queue.task("a")["state"] == "held"
    queue.emit("x")
    assert queue.task("a")["state"] == "held"
    queue.emit("y")
    queue.promote()
    assert queue.task("a")["state"] == "ready"

    update(queue, '{"unless":{"fact":"y"}}')
    queue.promote()
    assert queue.task("a")["state"] == "skipped"


@pytest.mark.parametrize(
    ("conditions", "state"), [({"cancel_on": ["x"]}, "cancelled"), ({"wait_for": {"any": ["x"]}}, "ready")]
)
def test_an_event_that_came_before_new_conditions_counts_though_it_is_forgotten(
    queue: Queue, conditions: dict[str, Any], state: str
) -> None:
    queue.plan("a", {"cancel_on": ["y"]}, due=NOW + HOUR)
    queue.emit("x")
    assert update(queue, json.dumps(conditions)) == "updated"
    queue.redis.delete(queue.key("fact:x"))

    queue.promote(now=NOW + HOUR)

    assert queue.task("a")["state"] == state


def test_an_event_counts_that_comes_between_new_conditions_and_the_due_time(queue: Queue) -> None:
    queue.plan("a", {"cancel_on": ["y"]}, due=NOW + HOUR)
    update(queue, '{"wait_for":{"any":["x"]}}')
    assert queue.task("a")["state"] == "held"
    queue.emit("x")
    queue.redis.delete(queue.key("fact:x"))

    assert queue.places() == {"due": {"a": NOW + HOUR}}


def test_a_crowd_that_other_things_tie_is_told_one_by_one(queue: Queue) -> None:
    for at in range(40):
        more = ({}, {"fifo": True}, {"hold": {"token": "t"}}, {"wait_for": {"any": ["y"]}})[at % 4]
        queue.plan(f"t{at:02}", {"cancel_on": ["x"], **more}, due=NOW + HOUR, key="k")

    assert queue.emit("x").more
    done = [queue.attend(limit=21).done for _ in range(5)]

    assert done == [21, 21, 21, 7, 0]  # 10 that count one and 30 that count two
    assert {queue.task(f"t{at:02}")["state"] for at in range(40)} == {"cancelled"}
    assert queue.totals()["cancelled"] == 40
    ended = sorted(told.split()[1] for told in queue.events() if told.startswith("cancelled"))
    assert ended == [f"t{at:02}" for at in range(40)]


def test_a_crowd_that_is_due_is_ready_at_once_where_nothing_is_left_to_be_decided(queue: Queue) -> None:
    wait = {"wait_for": {"all": ["x"]}}
    kinds: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {"priority": "high"}, "ready"),
        ({}, {"type": "stopped"}, "held"),
        ({}, {"expires_at": NOW + 20}, "expired"),
        ({"unless": {"fact": "x"}}, {}, "skipped"),
        ({}, {"due": f"+{HOUR}"}, "scheduled"),
        ({}, {"due": NOW + HOUR}, "scheduled"),
    ]
    for at in range(42):
        more, fields, _ = kinds[at % 6]
        queue.plan(f"t{at:02}", {**wait, **more}, **fields)
    queue.send(protocol.pause(queue.keys, "type:stopped", reason="", until=None))
    later = NOW + 20

    assert queue.emit("x", now=later).more
    while queue.attend(limit=20, now=later).done:
        pass

    assert [queue.task(f"t{at:02}")["state"] for at in range(6)] == ["ready"] + ["scheduled"] * 5
    assert queue.places()["ready"] == {"high": [f"t{at:02}" for at in range(0, 42, 6)]}
    assert queue.task("t00") | {"entry": ""} == {
        "type": "t",
        "payload": "{}",
        "priority": "high",
        "conditions": json.dumps(wait),
        "created_at": str(NOW),
        "bound": "p",
        "state": "ready",
        "entry": "",
        "due_at": str(later),
        "heard": "1",
    }
    assert queue.totals()["promoted"] == 7
    assert f"released t00 after=facts due={later}" in queue.events()
    queue.promote(now=later, limit=500)
    assert [queue.task(f"t{at:02}")["state"] for at in range(6)] == [state for _, _, state in kinds]
    assert len(queue.claim(50, now=later).tasks) == 7


def test_a_task_whose_conditions_are_taken_away_runs(queue: Queue) -> None:
    queue.plan("a", {"cancel_on": ["x"]}, due=NOW + HOUR)
    queue.plan("b", {"fifo": True}, key="k")
    update(queue, "")
    queue.emit("x")

    assert queue.places()["due"] == {"a": NOW + HOUR}


def why(queue: Queue, task_id: str = "a", *, now: int = NOW) -> tuple[str, str]:
    """The code and the sentence of explain."""
    found = explained(queue.send(protocol.explain(queue.keys, task_id), now=now))
    return found.code, found.text


def test_explain_says_why_a_task_has_not_run(queue: Queue) -> None:
    queue.promote()
    queue.plan("later", {}, due=NOW + HOUR)
    queue.plan("facts", {"wait_for": {"all": ["x", "y"], "within": HOUR}})
    queue.plan("first", {"fifo": True}, key="k", due=NOW + HOUR)
    queue.plan("second", {"fifo": True}, key="k")
    queue.plan("child", {"after": {"ids": ["later"]}})
    queue.plan("held", {"hold": {"token": "t"}})

    assert why(queue, "later") == ("due_later", "later is scheduled: it is due at 2027-01-15 09:00:00 UTC, in 60 min.")
    assert why(queue, "facts")[1] == "facts is held: it waits for x, y, at the latest until 2027-01-15 09:00:00 UTC."
    assert why(queue, "second")[1] == "second is held: it stands in the line of key k: first is first, 1 are before it."
    assert "comes after 1 task(s) that have not ended, such as q/later" in why(queue, "child")[1]
    assert why(queue, "held")[0] == "unconfirmed"
    assert why(queue, "nobody")[0] == "unknown"


def test_explain_says_what_will_become_of_a_task_as_things_are_now(queue: Queue) -> None:
    queue.emit("paid", "1")
    queue.plan("paid", {"unless": {"fact": "paid:1"}}, due=NOW + HOUR)
    queue.plan("other", {"unless": {"fact": "paid:2"}}, due=NOW + HOUR)
    queue.plan("only", {"only_if": {"fact": "paid:2"}}, due=NOW + HOUR)
    queue.plan("again", {"unless": {"fact": "paid:1"}, "otherwise": {"again": 60_000}}, due=NOW + HOUR)
    queue.seed("late", due=NOW + HOUR, expires_at=str(NOW + 5))

    names = ("paid", "other", "only", "late")
    found = {name: explained(queue.send(protocol.explain(queue.keys, name))) for name in names}

    assert {name: (told.code, told.runs_at is None) for name, told in found.items()} == {
        "paid": ("will_be_skipped", True),
        "other": ("due_later", False),
        "only": ("will_be_skipped", True),
        "late": ("will_expire", True),
    }
    assert found["late"].text.endswith("passes before it is due at 2027-01-15 09:00:00 UTC.")
    assert why(queue, "again")[0] == "due_later"


def test_explain_says_why_a_task_never_will(queue: Queue) -> None:
    queue.emit("paid", "1")
    queue.plan("skipped", {"unless": {"fact": "paid:1"}})
    queue.plan("cancelled", {"cancel_on": ["paid:1"]})
    queue.seed("broken", conditions="nonsense")
    queue.promote()

    code, text = why(queue, "skipped")
    assert code == "skipped"
    assert text.endswith("it was not to run where there is paid:1, and there was.")
    assert why(queue, "cancelled")[1].endswith("the event paid:1 called it off.")
    assert "a field of it cannot be used" in why(queue, "broken")[1]


def test_explain_tells_of_a_pause_and_of_what_was_decided(queue: Queue) -> None:
    queue.send(protocol.pause(queue.keys, "type:t", reason="provider down", until=None))
    queue.seed("a")
    queue.promote()

    code, text = why(queue)
    assert code == "paused"
    assert "type t is paused since" in text
    assert "(provider down)" in text
    queue.send(protocol.resume(queue.keys, "type:t"))
    queue.attend()
    found = explained(queue.send(protocol.explain(queue.keys, "a")))
    assert found.code == "due_now"
    assert "released after pause:type:t" in found.events[0]
