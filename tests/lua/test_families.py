"""Parents that were never made, that are gone, or that would come after their own children."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.wire import protocol
from tests.support.lua_queue import HOUR, NOW, Queue

UNIQUE = {"unique": {"key": "u"}}


def after(*ids: str, **more: Any) -> dict[str, str]:
    """The fields of a task that comes after others."""
    return {"conditions": json.dumps({"after": {"ids": ids, **more}})}


def settle_all(queue: Queue, outcome: str = "complete", *, now: int = NOW) -> list[str]:
    """Promote, claim and end what there is, and tell those that come after it; the ids."""
    queue.promote(now=now)
    started = queue.claim(now=now).tasks
    for task in started:
        queue.settle(task, outcome, "7" if outcome == "complete" else "why", now=now)
    queue.attend(now=now)
    return [task.id for task in started]


def states(queue: Queue, *ids: str) -> list[str]:
    """Of these tasks, each with its reason where it has one."""
    found = [queue.task(task_id) for task_id in ids]
    return [" ".join(filter(None, (one.get("state", "scheduled"), one.get("reason")))) if one else "" for one in found]


def test_a_chain_whose_first_task_is_rejected_never_starts(queue: Queue) -> None:
    queue.plan("holder", UNIQUE, due=NOW + HOUR)

    answers = queue.enqueue(("a", 0, {"conditions": json.dumps(UNIQUE)}), ("b", 0, after("a")), ("c", 0, after("b")))
    queue.attend()

    assert answers == ["rejected holder", "created", "created"]
    assert states(queue, "a", "b", "c") == ["", "cancelled after q/a rejected", "cancelled after q/b cancelled"]
    assert settle_all(queue) == []


@pytest.mark.parametrize(
    ("on", "otherwise", "state"),
    [
        ("success", "cancel", "cancelled after q/a rejected"),
        ("success", "skip", "skipped after q/a rejected"),
        ("success", "wait", "cancelled after q/a rejected"),
        ("success", "run", "held"),
        ("failure", "cancel", "held"),
        ("either", "cancel", "held"),
    ],
)
def test_a_child_counts_a_rejected_parent_as_failed_and_waits_for_the_others(
    queue: Queue, on: str, otherwise: str, state: str
) -> None:
    queue.plan("holder", UNIQUE, due=NOW + HOUR)
    queue.plan("slow", {}, due=NOW + 1000)

    queue.enqueue(
        ("a", 0, {"conditions": json.dumps(UNIQUE)}), ("b", 0, after("a", "slow", on=on, otherwise=otherwise))
    )

    assert states(queue, "b") == [state]
    assert settle_all(queue, now=NOW + 1000) == ["slow"]
    assert settle_all(queue, now=NOW + 1000) == (["b"] if state == "held" else [])
    kin = queue.send(protocol.kin(queue.keys, "b", "parents")).items
    assert sorted((one.id, one.state) for one in kin) == [("a", "rejected"), ("slow", "completed")]


def test_a_task_that_was_merged_has_ended_without_completing_for_those_after_it(queue: Queue) -> None:
    digest = {"conditions": '{"digest":{"key":"d","grace":1000}}'}
    queue.enqueue(("first", 0, digest))

    answers = queue.enqueue(("a", 0, digest), ("b", 0, after("a")), ("c", 0, after("a", on="either")))
    queue.attend()
    assert answers == ["merged first", "created", "created"]
    assert states(queue, "b", "c") == ["held", "held"]
    assert settle_all(queue, now=NOW + 1000) == ["first"]
    queue.attend(now=NOW + 1000)

    assert states(queue, "a", "b", "c") == ["skipped merged into first", "cancelled after q/a skipped", "scheduled"]


@pytest.mark.parametrize("at", range(3))
def test_a_chain_is_made_whole_or_not_at_all(queue: Queue, at: int) -> None:
    queue.plan("xyz"[at], {}, due=NOW + HOUR, payload='"other"')
    queue.plan("kept", {}, due=NOW + HOUR)
    before = queue.dump()

    answers = queue.enqueue(("x", 0, {}), ("y", 0, after("x", "kept")), ("z", 0, after("y")), ("kept", NOW + HOUR, {}))

    assert answers == [*(["refused " + "xyz"[at]] * at), "conflict", *(["refused " + "xyz"[at]] * (2 - at)), "existing"]
    assert queue.dump() == before


def test_what_has_nothing_to_do_with_a_family_in_conflict_is_made(queue: Queue) -> None:
    queue.plan("x", {}, due=NOW + HOUR, payload='"other"')

    answers = queue.enqueue(("x", 0, {}), ("y", 0, after("x")), ("free", 0, {}), ("child", 0, after("free")))

    assert answers == ["conflict", "refused x", "created", "created"]
    assert settle_all(queue) == ["free"]
    assert settle_all(queue) == ["child"]


def test_a_task_cannot_come_after_itself(queue: Queue) -> None:
    queue.redis.hset(queue.keys.task("a"), "type", "t")  # a hash that no index knows
    queue.broken.add("a")
    words = (1, "a", 0, 3, "type", "t", "payload", "{}", "conditions", '{"after":{"ids":["q/a"]}}')

    assert "RS_INVALID 1 conditions name the task itself" in queue.refused("enqueue", 0, *words)


def test_a_task_whose_parent_vanished_before_it_was_entered_never_runs(queue: Queue) -> None:
    """As a call leaves it that stopped half-way."""
    queue.plan("slow", {}, due=NOW + 1000)
    queue.seed("b", bound="t", created_at=str(NOW), **after("nobody", "slow"))
    queue.seed("raw", **after("nobody", "slow"))

    queue.promote()

    assert states(queue, "b", "raw") == ["cancelled after q/nobody gone", "dead malformed"]


@pytest.mark.parametrize(("otherwise", "runs"), [("wait", False), ("cancel", False), ("skip", False), ("run", True)])
@pytest.mark.parametrize("told_first", [True, False])
def test_the_child_of_a_dead_task_is_told_of_its_end_though_another_has_its_id(
    queue: Queue, otherwise: str, runs: bool, told_first: bool
) -> None:
    queue.plan("a", {})
    queue.plan("b", {"after": {"ids": ["a"], "otherwise": otherwise}})
    (a,) = queue.claim().tasks
    queue.settle(a, "dead", "why")
    if told_first:
        queue.attend()
    queue.run("drop", [queue.keys.due], [NOW, "task", "a"])
    queue.plan("a", {}, due=NOW + HOUR)
    queue.plan("c", {"after": {"ids": ["a"]}})

    queue.attend()

    assert settle_all(queue) == (["b"] if runs else [])
    end = "completed" if runs else "skipped" if otherwise == "skip" else "cancelled"
    assert states(queue, "b")[0].split()[0] == end
    assert states(queue, "c") == ["held"]
    assert settle_all(queue, now=NOW + HOUR) == ["a"]
    assert settle_all(queue, now=NOW + HOUR) == ["c"]


def test_children_of_two_tasks_that_had_one_id_are_all_told(queue: Queue) -> None:
    for child in "xy":
        queue.plan("a", {}, due=NOW + HOUR)
        queue.plan(child, {"after": {"ids": ["a"], "on": "either"}})
        queue.run("cancel", [queue.keys.due], [NOW, "", "a"])
        queue.run("drop", [queue.keys.due], [NOW, "task", "a"])
    assert queue.redis.zrange(queue.key("children:q:a/gone"), 0, -1) == ["q/x", "q/y"]

    queue.attend()

    assert sorted(settle_all(queue)) == ["x", "y"]
    assert not [key for key in queue.dump() if ":children:" in key]


def test_a_parent_that_completed_and_was_removed_has_completed_for_who_was_not_told(queue: Queue) -> None:
    queue.plan("a", {})
    queue.plan("b", {"after": {"ids": ["a"]}})
    queue.promote()
    (a,) = queue.claim().tasks
    queue.settle(a, "complete", "7")
    queue.run("drop", [queue.keys.due], [NOW, "task", "a"])
    queue.plan("a", {}, due=NOW + HOUR)

    queue.attend()

    assert settle_all(queue) == ["b"]


def test_an_end_that_was_taken_back_is_not_told_as_the_end_that_came_later(queue: Queue) -> None:
    queue.plan("a", {})
    queue.plan("b", {"after": {"ids": ["a"]}})
    (a,) = queue.claim().tasks
    queue.settle(a, "dead", "why")
    queue.run("revive", [queue.keys.due], [NOW, 0, "a"])
    queue.promote()
    (a,) = queue.claim().tasks
    queue.settle(a, "complete", "7")

    queue.attend()

    assert settle_all(queue) == ["b"]


def update(queue: Queue, task_id: str, value: str, field: str = "conditions") -> Any:
    """Give a task other conditions, or another key."""
    return queue.run("update", [queue.keys.due], [NOW, 1, field, value, task_id])


def circle_of(queue: Queue, task_id: str, value: str, field: str = "conditions") -> None:
    """The same would make a circle: it is refused and nothing is written."""
    assert f"RS_INVALID 1 {field} name a task that comes after this one" in queue.refused(
        "update", NOW, 1, field, value, task_id
    )


def test_an_update_cannot_make_a_circle(queue: Queue) -> None:
    queue.plan("a", {}, due=NOW + HOUR)
    queue.plan("b", {"after": {"ids": ["a"]}})
    queue.enqueue(("c", 0, after("q/b"), 2))
    queue.plan("d", {"after": {"ids": ["r/c"]}})

    for names in ('"a"', '"q/a"', '"b"', '"r/c"', '"d"', '"d","b"'):
        circle_of(queue, "a", f'{{"after":{{"ids":[{names}]}}}}')
    circle_of(queue, "d", '{"after":{"ids":["d"]}}')
    assert update(queue, "d", '{"after":{"ids":["a","b"]}}') == [b"updated"]

    assert settle_all(queue, now=NOW + HOUR) == ["a"]
    assert settle_all(queue, now=NOW + HOUR) == ["b"]
    assert settle_all(queue, now=NOW + HOUR) == ["d"]


def test_one_that_is_dead_cannot_come_after_who_waits_for_its_revival(queue: Queue) -> None:
    queue.plan("a", {})
    queue.plan("b", {"after": {"ids": ["a"], "otherwise": "wait"}})
    settle_all(queue, "dead")

    circle_of(queue, "a", '{"after":{"ids":["b"]}}')


def test_two_in_one_line_cannot_wait_for_each_other(queue: Queue) -> None:
    fifo = {"fifo": True}
    queue.plan("p", {}, due=NOW + HOUR)
    queue.plan("b", {}, due=NOW + HOUR, key="k")
    queue.plan("a", {**fifo, "after": {"ids": ["b"]}}, key="k")

    circle_of(queue, "b", json.dumps(fifo))  # it would stand behind a, who comes after it
    assert update(queue, "a", json.dumps({**fifo, "after": {"ids": ["b", "p"]}})) == [b"updated"]
    assert update(queue, "b", json.dumps({})) == [b"updated"]


def test_more_parents_cannot_make_a_circle(queue: Queue) -> None:
    queue.plan("p", {}, due=NOW + HOUR)
    queue.plan("a", {"hold": {"token": "t"}, "after": {"ids": ["p"]}, "fifo": True}, key="k")
    queue.plan("b", {"after": {"ids": ["a"]}}, due=NOW + HOUR)
    queue.plan("behind", {"fifo": True}, due=NOW + HOUR, key="k")
    queue.plan("c", {"after": {"ids": ["behind"]}})

    for names in (["a"], ["q/a"], ["b"], ["p", "b"], ["behind"], ["c"]):
        assert "RS_INVALID 1 after names a task that comes after this one" in queue.refused("follow", "a", *names)


def test_raw_tasks_in_a_circle_end(queue: Queue) -> None:
    ring = {"a": "b", "b": "c", "c": "a", "self": "self", "first": "second"}
    for name, parent in ring.items():
        queue.seed(name, **after(parent))
    queue.seed("second", key="k", conditions='{"fifo":true}')
    queue.seed("first", key="k", conditions='{"fifo":true,"after":{"ids":["second"]}}')

    queue.promote()
    for _ in range(4):
        queue.attend()

    assert {name: queue.task(name)["state"] for name in ring} == {
        "a": "cancelled",
        "b": "dead",
        "c": "cancelled",
        "self": "dead",
        "first": "cancelled",
    }
    assert states(queue, "b", "self", "second") == ["dead malformed"] * 3


def test_what_cannot_be_told_to_be_no_circle_is_refused(real_queue: Queue) -> None:
    queue = real_queue
    queue.enqueue(("t0", NOW + HOUR, {}), *((f"t{at}", 0, after(f"t{at - 1}")) for at in range(1, 900)))
    queue.enqueue(*((f"t{at}", 0, after(f"t{at - 1}")) for at in range(900, 1100)))
    queue.enqueue(("x", NOW + HOUR, {}), ("y", NOW + HOUR, after("x")))

    circle_of(queue, "x", '{"after":{"ids":["t1099"]}}')
    assert update(queue, "x", '{"after":{"ids":["t900"]}}') == [b"updated"]
    assert update(queue, "y", '{"after":{"ids":["t1099"]}}') == [b"updated"]  # nobody comes after it


def test_a_child_is_told_of_a_removed_parent_though_others_of_its_id_are_being_told(queue: Queue) -> None:
    for child in ("z", "b"):
        queue.plan("a", {}, due=NOW + HOUR)
        queue.plan(child, {"after": {"ids": ["a"]}})
        queue.run("cancel", [queue.keys.due], [NOW, "", "a"])
        queue.run("drop", [queue.keys.due], [NOW, "task", "a"])
        if child == "z":
            queue.attend(limit=2)

    for _ in range(3):
        queue.attend()

    assert [queue.task(child)["state"] for child in ("z", "b")] == ["cancelled", "cancelled"]
    assert queue.redis.exists(queue.key("children:q:a/gone")) == 0


def test_a_child_that_came_after_a_revival_is_told_of_the_second_end(queue: Queue) -> None:
    queue.seed("a")
    for child in ("y", "z"):
        queue.plan(child, {"after": {"ids": ["a"], "otherwise": "wait"}})
    queue.promote()
    for round in (1, 2):
        (a,) = queue.claim().tasks
        queue.settle(a, "dead")
        if round == 1:
            queue.attend(limit=2)
            queue.run("revive", [queue.keys.due], [NOW, 0, "a"])
            queue.plan("b", {"after": {"ids": ["a"]}})
            queue.promote()

    for _ in range(3):
        queue.attend()

    assert queue.task("b")["state"] == "cancelled"
