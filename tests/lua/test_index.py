"""Where a task is found: by its tags, its key and its subject, from when it is made until it is removed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.model.events import Rule
from redsched.model.template import TaskTemplate
from redsched.wire import dead_letters, protocol
from redsched.wire.call import Call
from redsched.wire.keys import CellKeys
from tests.oracles import contract_index
from tests.support.acts import append, update
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.repairs import faults, mend, mends, rules
from tests.support.timetable import Timetable

ID, KEY = "order-42:remind", "m"
TAGS = '["shop:1","vip"]'
FIELDS = {"tags": TAGS, "key": KEY}
EVERYWHERE = {name: [f"q/{ID}"] for name in ("about:order-42", "keyed:m", "tagged:shop:1", "tagged:vip")}


def index(queue: Queue) -> dict[str, list[str]]:
    """Key -> whom it names."""
    found = {}
    for kind in ("about", "keyed", "tagged"):
        for key in queue.redis.scan_iter(match=queue.key(f"{kind}:*"), count=1_000):
            found[key.removeprefix(queue.key(""))] = queue.redis.zrange(key, 0, -1)
    return dict(sorted(found.items()))


@pytest.mark.parametrize("due", [0, NOW + HOUR])
def test_a_task_is_found_by_its_tags_its_key_and_its_subject(queue: Queue, due: int) -> None:
    queue.enqueue((ID, due, FIELDS))

    assert index(queue) == EVERYWHERE


def test_a_task_without_any_of_them_is_in_no_key(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}), ("order-42", NOW + HOUR, {"max_attempts": "3"}), ("b", 0, {"tags": "[]"}))
    queue.seed("raw")
    queue.promote()

    assert index(queue) == {}


@pytest.mark.parametrize("fields", [{}, {"request": "r"}, {"keep": "1"}])
def test_subjects_of_many_tasks_of_a_call(queue: Queue, fields: dict[str, str]) -> None:
    queue.enqueue(("a:1", 0, fields), ("b", 0, fields), ("a:2:x", NOW + HOUR, fields), ("c:", NOW + HOUR, fields))

    assert index(queue) == {"about:a": ["q/a:1", "q/a:2:x"], "about:c": ["q/c:"]}


def test_a_task_with_conditions_is_found_and_one_that_was_rejected_is_not(queue: Queue) -> None:
    plan = FIELDS | {"conditions": '{"unique":{"key":"u"}}'}

    assert queue.enqueue((ID, NOW + HOUR, plan), ("other:1", 0, plan)) == ["created", f"rejected {ID}"]

    assert index(queue) == EVERYWHERE


def test_a_task_of_an_inbox_is_found(queue: Queue) -> None:
    append(queue, id=ID, due="+5", type="t", payload="{}", **FIELDS)
    queue.send(protocol.ingest([queue.keys]))

    assert index(queue) == EVERYWHERE


def test_the_runs_of_a_schedule_are_found(times: Timetable) -> None:
    times.planned(NOW, **FIELDS)
    times.run(NOW)

    run = [f"q/s@{NOW}"]
    assert index(times.queue) == {"keyed:m": run, "tagged:shop:1": run, "tagged:vip": run}


def test_the_task_of_a_rule_is_found(queue: Queue) -> None:
    task = TaskTemplate(type="t", queue="q", tags=["of:{subject}"])
    queue.send(protocol.put_rule(CellKeys(queue.cell), Rule(id="r", on="paid", task=task), max_payload=99))
    queue.emit("paid", "order-42")

    assert index(queue) == {"about:r": ["q/r:e1"], "tagged:of:order-42": ["q/r:e1"]}


def test_a_raw_task_is_found_once_it_is_due(queue: Queue) -> None:
    queue.seed(ID, due=NOW + HOUR, **FIELDS)
    queue.promote()
    assert index(queue) == {}

    queue.promote(now=NOW + HOUR)

    assert index(queue) == EVERYWHERE


@pytest.mark.parametrize("fields", [{"priority": "urgent"}, {"expires_at": str(NOW - 1)}, {"retry": "never"}])
def test_a_raw_task_that_ends_when_it_is_due_is_found(queue: Queue, fields: dict[str, str]) -> None:
    queue.seed(ID, **FIELDS, **fields)
    queue.promote()

    assert index(queue) == EVERYWHERE


@pytest.mark.parametrize("text", ["nonsense", '{"a":"b"}', "3", '["", 5]', "null", '[["x"]]'])
def test_tags_of_a_raw_producer_that_are_none(queue: Queue, text: str) -> None:
    queue.seed(ID, tags=text)
    queue.promote()

    assert index(queue) == {"about:order-42": [f"q/{ID}"]}


def test_the_first_16_tags_of_512_bytes_count_once_each(queue: Queue) -> None:
    tags = ["x" * 513, "é" * 256, "b", "b", *(f"t{at}" for at in range(20))]
    queue.enqueue(("a", 0, {"tags": json.dumps(tags, ensure_ascii=False)}))

    assert set(index(queue)) == {f"tagged:{tag}" for tag in ["é" * 256, "b", *(f"t{at}" for at in range(14))]}


def end(queue: Queue, outcome: str = "complete", **fields: str) -> None:
    """A task that has run."""
    queue.enqueue((ID, 0, FIELDS | fields))
    (started,) = queue.claim().tasks
    queue.settle(started, outcome)


@pytest.mark.parametrize("outcome", ["complete", "dead"])
@pytest.mark.parametrize("more", [{}, {"conditions": '{"cancel_on":["f"]}'}])
def test_it_is_found_until_a_sweep_removes_it(queue: Queue, outcome: str, more: dict[str, str]) -> None:
    end(queue, outcome, **more)
    assert index(queue) == EVERYWHERE

    queue.send(protocol.sweep([queue.keys]), now=NOW + 31 * 24 * HOUR)

    assert index(queue) == {}


def test_it_is_found_until_it_is_dropped(queue: Queue) -> None:
    end(queue)

    queue.send(dead_letters.drop(queue.keys, [ID]))

    assert index(queue) == {}


@pytest.mark.parametrize("outcome", ["complete", "cancelled"])
def test_a_task_that_is_removed_at_its_end_is_not_found(queue: Queue, outcome: str) -> None:
    end(queue, outcome, retention_ms="0")

    assert queue.task(ID) == {} and index(queue) == {}


def test_a_task_whose_start_by_had_passed_is_not_found_without_retention(queue: Queue) -> None:
    queue.enqueue((ID, NOW - 5, FIELDS | {"retention_ms": "0", "expires_at": str(NOW - 1)}))

    assert queue.task(ID) == {} and index(queue) == {}


def test_an_update_moves_a_task_to_its_new_tags_and_key(queue: Queue) -> None:
    queue.enqueue((ID, NOW + HOUR, FIELDS))

    assert update(queue, [ID], tags='["vip","new"]', key="n") == ["updated"]

    assert set(index(queue)) == {"about:order-42", "keyed:n", "tagged:new", "tagged:vip"}


def test_an_update_without_tags_and_key_takes_it_out(queue: Queue) -> None:
    queue.enqueue((ID, NOW + HOUR, FIELDS))

    assert update(queue, [ID], tags="", key="") == ["updated"]

    assert set(index(queue)) == {"about:order-42"}


@pytest.mark.parametrize("task_id", ["a:1@5", "a:day@t1800000000000", f"a:x-{'0' * 12}7{'0' * 19}"])
def test_an_id_that_looks_as_if_redsched_had_made_it_is_swept_from_its_subject(queue: Queue, task_id: str) -> None:
    queue.enqueue((task_id, NOW + HOUR, {}))
    assert index(queue) == {"about:a": [f"q/{task_id}"]}
    queue.send(protocol.cancel(queue.keys, [task_id]))
    queue.send(protocol.sweep([queue.keys]), now=NOW + 31 * 24 * HOUR)

    assert index(queue) == {}


@pytest.mark.parametrize("verb", ["enqueue", "update", "sweep", "promote"])
def test_keys_of_a_wrong_type_change_nothing_for_a_task(queue: Queue, verb: str) -> None:
    for name in EVERYWHERE:
        queue.redis.set(queue.key(name), "mine")
    keys = [queue.keys.due]

    if verb == "promote":
        queue.seed(ID, due=NOW + HOUR, **FIELDS)
    else:
        words = [
            NOW,
            1,
            ID,
            NOW + HOUR,
            4,
            "type",
            "t",
            "payload",
            "{}",
            *(word for pair in FIELDS.items() for word in pair),
        ]
        assert queue.run("enqueue", keys, words) == [b"created"]
    assert queue.task(ID)["type"] == "t"
    if verb == "update":
        assert queue.run("update", keys, [NOW, 1, "tags", '["x"]', ID]) == [b"updated"]
    elif verb == "promote":
        assert queue.run("promote", keys, [NOW + HOUR, 10, "m"])[2] == 1
    elif verb == "sweep":
        queue.run("cancel", keys, [NOW, "", ID])
        assert queue.run("sweep", keys, [NOW + 2 * HOUR, 10]) == [1, 0]


def enqueued(queue: Queue) -> Call[Any]:
    """One task that has everything."""
    words = [0, 1, ID, 0, 4, "type", "t", "payload", "{}", "tags", TAGS, "key", KEY]
    return Call("enqueue", [queue.keys.due], words, lambda reply: reply)


def swept(queue: Queue) -> Call[Any]:
    """A sweep of one that has ended."""
    end(queue, retention_ms="1")
    queue.now += 5
    return protocol.sweep([queue.keys])


def dropped(queue: Queue) -> Call[Any]:
    """A drop of one that has ended."""
    end(queue, **{"conditions": '{"cancel_on":["f"]}'})
    return dead_letters.drop(queue.keys, [ID])


def retagged(queue: Queue) -> Call[Any]:
    """Other tags."""
    queue.enqueue((ID, NOW + HOUR, FIELDS))
    return protocol.update(queue.keys, [ID], {"tags": ["vip", "new"]}, max_payload=99)


@pytest.mark.parametrize("scene", [enqueued, retagged])
def test_a_task_is_found_wherever_its_writing_stopped(queue: Queue, scene: Any) -> None:
    for here, call in each_stop(queue, scene):
        if here.task(ID):
            assert "unfindable" not in rules(here, ID)
        here.send(call)
        assert set(contract_index.names(ID, here.task(ID))) <= set(index(here))


@pytest.mark.parametrize("scene", [swept, dropped])
def test_nothing_is_left_of_a_task_wherever_its_removal_stopped(queue: Queue, scene: Any) -> None:
    for here, call in each_stop(queue, scene):
        here.send(call)
        assert here.task(ID) == {} and index(here) == {}


def test_the_doctor_enters_a_task_that_is_not_found(queue: Queue) -> None:
    queue.enqueue((ID, NOW + HOUR, FIELDS))
    queue.redis.delete(queue.key("about:order-42"), queue.key("tagged:vip"))

    assert mends(queue, "task", ID, "unfindable") == "scheduled"

    assert index(queue) == EVERYWHERE


def test_a_raw_task_that_waits_need_not_be_found(queue: Queue) -> None:
    queue.seed(ID, due=NOW + HOUR, **FIELDS)

    assert faults(queue) == set()


def test_the_doctor_takes_out_whoever_is_gone_or_has_other_tags(queue: Queue) -> None:
    ids = [f"t{at:03}" for at in range(250)]
    queue.enqueue(*((task_id, NOW + HOUR, {"tags": '["x"]'}) for task_id in ids))
    stray = ("q/gone", "q/t001:x", "nobody", "two words/a", "q/", "other/t001")
    queue.redis.zadd(queue.key("tagged:x"), dict.fromkeys(stray, 0) | {"q/t249": 7})
    queue.broken.add("nobody")
    named = {f"stale:{member} tagged:x" for member in (*stray, "q/t249")}

    assert faults(queue) == {("key", name, "stale_index") for name in named}
    words = mend(queue, *(("key", name) for name in sorted(named)))

    assert sorted(words) == ["dropped"] * len(stray) + ["kept"]
    assert faults(queue) == set()
    assert queue.redis.zcard(queue.key("tagged:x")) == 250
