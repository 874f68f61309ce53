"""move: tasks that wait, or are dead, go to another queue with all that is known of them. In their old queue they
leave a note: a skipped task of the same id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from redsched.wire import protocol
from redsched.wire.call import Call
from tests.support.halted import each_stop
from tests.support.lua_queue import DAY, HOUR, KEEP_DEAD, NOW, Queue
from tests.support.repairs import faults, mend

FIELDS = {"tags": '["x"]', "key": "k"}


def move(queue: Queue, *ids: str, to: str = "r") -> dict[str, str]:
    """The words by id."""
    return queue.send(protocol.move(queue.keys, ids, to=to))


def noted(task_id: str, till: int) -> dict[str, Any]:
    """The places of a queue in which nothing but the note of a task is."""
    return {"finished": {task_id: till}}


def found_by(queue: Queue) -> dict[str, list[str]]:
    """Whom the keys of tags, keys and subjects name."""
    names = ("tagged:x", "keyed:k", "about:a")
    return {name: [str(one) for one in queue.redis.zrange(queue.key(name), 0, -1)] for name in names}


def test_a_scheduled_task_keeps_its_due_time_and_all_else(queue: Queue) -> None:
    queue.enqueue(("a:1", NOW + HOUR, FIELDS))
    before = queue.task("a:1")

    assert move(queue, "a:1") == {"a:1": "moved"}

    other = queue.other("r")
    assert (queue.places(), other.places()) == (noted("a:1", NOW + 2 * HOUR), {"due": {"a:1": NOW + HOUR}})
    assert other.task("a:1") == before
    assert found_by(queue) == {"tagged:x": ["r/a:1"], "keyed:k": ["r/a:1"], "about:a": ["q/a:1", "r/a:1"]}
    assert queue.events()[-1] == "moved a:1 to=r"
    assert "r" in queue.redis.smembers(queue.key("queues"))


def test_a_ready_task_is_due_in_the_other_queue(queue: Queue) -> None:
    queue.enqueue(("a", 0, {"priority": "high"}))

    assert move(queue, "a") == {"a": "moved"}

    other = queue.other("r")
    assert (queue.places(), other.places()) == (noted("a", NOW + HOUR), {"due": {"a": NOW}})
    other.promote()
    assert [task.id for task in other.claim().tasks] == ["a"]


def test_a_task_that_a_pause_set_aside_is_due_in_the_other_queue(queue: Queue) -> None:
    queue.run("pause", [queue.keys.due], [NOW, "queue", "", 0])
    queue.enqueue(("a", NOW + 5, {}))
    queue.promote(now=NOW + 5)
    assert queue.task("a")["state"] == "held"

    assert move(queue, "a") == {"a": "moved"}

    assert queue.other("r").places() == {"due": {"a": NOW + 5}}


def test_a_dead_task_stays_dead_with_its_outcome(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}))
    (started,) = queue.claim().tasks
    queue.settle(started, "dead", "bad", "no such phone")

    assert move(queue, "a") == {"a": "moved"}

    other = queue.other("r")
    assert other.places() == {"dead": {"a": NOW + KEEP_DEAD}}
    assert "no such phone" in str(queue.redis.hgetall(other.keys.outcome("a")))
    assert not queue.redis.exists(queue.keys.outcome("a"))


def test_those_that_cannot_be_moved_stay(queue: Queue) -> None:
    queue.running("running")
    queue.enqueue(
        ("over", NOW + HOUR, {}),
        ("conditions", NOW + HOUR, {"conditions": '{"cancel_on":["f"]}'}),
        ("parent", NOW + HOUR, {}),
        ("child", NOW + HOUR, {"conditions": '{"after":{"ids":["parent"]}}'}),
        ("both", NOW + HOUR, {}),
    )
    queue.other("r").seed("both", due=NOW + HOUR)
    queue.send(protocol.cancel(queue.keys, ["over"]))
    before = queue.dump()

    assert move(queue, "running", "over", "conditions", "parent", "child", "both", "nobody") == {
        "running": "running",
        "over": "finished",
        "conditions": "linked",
        "parent": "linked",
        "child": "linked",
        "both": "existing",
        "nobody": "missing",
    }

    assert queue.dump() == before


def test_the_same_call_again_says_that_it_is_done(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))

    assert [move(queue, "a")["a"] for _ in range(2)] == ["moved", "moved"]


@pytest.mark.parametrize("keys", [["q"], ["q", "q"]])
def test_the_other_queue_is_another(queue: Queue, keys: list[str]) -> None:
    with pytest.raises(Exception, match="RS_INVALID 1 queue"):
        queue.run("move", [queue.other(name).keys.due for name in keys], [NOW, "a"])


# --- the note


@pytest.mark.parametrize("request_", [{}, {"request": "once"}])
def test_a_producer_that_repeats_its_call_makes_no_second_task(queue: Queue, request_: dict[str, str]) -> None:
    task = ("a:1", NOW + HOUR, FIELDS | request_)
    queue.enqueue(task)
    move(queue, "a:1")

    assert queue.enqueue(task) == ["created" if request_ else "existing"]
    assert queue.enqueue(("a:1", NOW + HOUR, {"type": "other"}), ("a:1", 0, {})) == ["conflict", "existing"]

    assert queue.places() == noted("a:1", NOW + 2 * HOUR)
    assert queue.other("r").places() == {"due": {"a:1": NOW + HOUR}}


def test_another_payload_is_a_conflict_as_before_the_move(real_queue: Queue) -> None:
    real_queue.enqueue(("a", NOW + HOUR, {"payload": '{"n":1}'}))
    move(real_queue, "a")

    assert real_queue.enqueue(("a", 0, {"payload": '{"n":2}'})) == ["conflict"]
    assert real_queue.enqueue(("a", 0, {"payload": '{"n":1}'})) == ["existing"]


def test_the_note_has_what_tells_of_the_task_and_nothing_else(queue: Queue) -> None:
    queue.enqueue(("a:1", NOW + HOUR, FIELDS | {"request": "once", "headers": '{"h":"1"}', "priority": "high"}))
    queue.now += 5

    move(queue, "a:1")

    assert queue.task("a:1") == {
        "type": "t",
        "state": "skipped",
        "reason": "moved to r",
        "created_at": str(NOW),
        "finished_at": str(NOW + 5),
        "request": "once",
    }
    assert faults(queue) == set()


def test_a_note_counts_in_no_statistic(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))
    before = queue.totals()

    move(queue, "a")

    assert queue.totals() == before


@pytest.mark.parametrize(
    ("due", "fields", "till"),
    [
        (0, {}, NOW + HOUR),
        (NOW + 30 * DAY, {}, NOW + 30 * DAY + HOUR),
        (NOW + 30 * DAY, {"retention_ms": str(2 * DAY)}, NOW + 32 * DAY),
        (NOW + DAY, {"retention_ms": "0"}, NOW + DAY + 60_000),
        (NOW + 1_000 * DAY, {}, NOW + 365 * DAY),
    ],
)
def test_a_note_is_kept_until_the_task_is_due_and_its_retention_has_passed(
    queue: Queue, due: int, fields: dict[str, str], till: int
) -> None:
    queue.enqueue(("a", due, fields))
    move(queue, "a")
    assert queue.places() == noted("a", till) and faults(queue) == set()

    queue.send(protocol.sweep([queue.keys], limit=10), now=till - 1)
    assert queue.enqueue(("a", 0, {}), now=till - 1) == ["existing"]

    queue.send(protocol.sweep([queue.keys], limit=10), now=till)
    assert queue.places() == {} and not queue.redis.exists(queue.keys.task("a"))


def test_the_mover_is_told_that_there_is_something_to_sweep(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))
    queue.redis.delete(queue.key("sweeps"))

    move(queue, "a")

    assert queue.redis.zscore(queue.key("sweeps"), "q") is not None


def test_a_sweep_takes_the_note_out_of_its_subject(queue: Queue) -> None:
    queue.enqueue(("a:1", 0, FIELDS))
    move(queue, "a:1")

    queue.send(protocol.sweep([queue.keys], limit=10), now=NOW + HOUR)

    assert found_by(queue)["about:a"] == ["r/a:1"]


def test_a_task_of_plain_commands_is_not_made_again_by_them(queue: Queue) -> None:
    queue.seed("a:1", due=NOW + HOUR)
    assert move(queue, "a:1") == {"a:1": "moved"}
    assert found_by(queue)["about:a"] == ["q/a:1", "r/a:1"] and faults(queue) == set()

    queue.seed("a:1", due=NOW)
    queue.promote()

    assert queue.places() == noted("a:1", NOW + 2 * HOUR)
    assert queue.events()[-1] == "duplicate a:1 state=skipped"
    assert queue.claim().tasks == []


def test_a_task_that_comes_back_takes_the_place_of_its_note(queue: Queue) -> None:
    queue.enqueue(("a:1", NOW + HOUR, FIELDS))
    task, other = queue.task("a:1"), queue.other("r")
    move(queue, "a:1")

    assert move(other, "a:1", to="q") == {"a:1": "moved"}

    assert (queue.places(), other.places()) == ({"due": {"a:1": NOW + HOUR}}, noted("a:1", NOW + 2 * HOUR))
    assert (queue.task("a:1"), other.task("a:1")["reason"]) == (task, "moved to q")
    assert found_by(queue) == {"tagged:x": ["q/a:1"], "keyed:k": ["q/a:1"], "about:a": ["q/a:1", "r/a:1"]}
    assert move(queue, "a:1") == {"a:1": "moved"}
    assert other.task("a:1") == task


def test_a_task_that_moves_on_leaves_a_note_in_each_queue(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}))
    (started,) = queue.claim().tasks
    queue.settle(started, "dead", "bad", "no such phone")
    move(queue, "a")
    last = queue.other("s")

    assert move(queue.other("r"), "a", to="s") == {"a": "moved"}

    assert [one.task("a")["reason"] for one in (queue, queue.other("r"), last)] == ["moved to r", "moved to s", "bad"]
    assert "no such phone" in str(last.outcome("a"))
    assert (move(queue, "a"), move(queue, "a", to="s")) == ({"a": "moved"}, {"a": "finished"})
    assert last.places() == {"dead": {"a": NOW + KEEP_DEAD}}


def test_a_task_of_the_other_queue_that_was_skipped_does_not_give_way(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}), ("a", NOW, {"conditions": '{"only_if":{"fact":"f"}}'}, 2))
    other = queue.other("r")
    other.promote()
    assert other.task("a")["state"] == "skipped"

    assert move(queue, "a") == {"a": "existing"}

    assert queue.places() == {"due": {"a": NOW + HOUR}}


def test_verbs_for_tasks_say_that_it_was_moved(queue: Queue) -> None:
    queue.enqueue(("a:1", NOW + HOUR, FIELDS))
    move(queue, "a:1")
    before, keys = queue.dump(), queue.keys

    calls: tuple[Call[Any], ...] = (
        protocol.cancel(keys, ["a:1"]),
        protocol.reschedule(keys, ["a:1"], delay="2h"),
        protocol.shift(keys, [("a:1", NOW + HOUR)], by_ms=5),
        protocol.update(keys, ["a:1"], {"priority": "high"}, max_payload=1_000),
        protocol.revive(keys, ["a:1"]),
        protocol.retag(keys, ["a:1"], add=["y"], remove=[]),
    )
    for call in calls:
        assert queue.send(call) == {"a:1": "moved"}, call.verb

    assert queue.send(protocol.requeue(keys, ["a:1"])) == {"a:1": "missing"}
    assert queue.dump() == before


def test_a_note_is_dropped_by_itself(queue: Queue) -> None:
    queue.enqueue(("a:1", NOW + HOUR, FIELDS))
    move(queue, "a:1")

    assert queue.send(protocol.drop(queue.keys, ["a:1"])) == {"a:1": "dropped"}

    assert (queue.places(), queue.other("r").places()) == ({}, {"due": {"a:1": NOW + HOUR}})
    assert {one for names in found_by(queue).values() for one in names} == {"r/a:1"}
    assert queue.enqueue(("a:1", NOW + HOUR, FIELDS)) == ["created"]


def test_no_task_comes_after_a_note(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))
    move(queue, "a")
    after = {"conditions": '{"after":{"ids":["a"]}}'}
    why = "RS_INVALID {} conditions name a task that was moved to another queue; name it there"

    for tasks, at in (([("b", 0, after)], 1), ([("a", NOW + HOUR, {}), ("b", 0, after)], 2)):
        with pytest.raises(Exception, match=why.format(at)):
            queue.enqueue(*tasks)
    assert queue.places() == noted("a", NOW + 2 * HOUR)

    assert queue.enqueue(("b", 0, {"conditions": '{"after":{"ids":["r/a"]}}'})) == ["created"]


def test_a_held_task_does_not_follow_a_note(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}), ("p", NOW + HOUR, {}))
    move(queue, "a")
    queue.plan("b", {"hold": {"token": "x"}, "after": {"ids": ["p"]}})

    refused = queue.refused("follow", "b", "p", "a")

    assert "RS_INVALID 2 after names a task that was moved to another queue; name it there" in refused


# --- stopped half-way


def scheduled(queue: Queue) -> Call[Any]:
    """One that waits."""
    queue.enqueue(("a:1", NOW + HOUR, FIELDS))
    return protocol.move(queue.keys, ["a:1"], to="r")


def ready(queue: Queue) -> Call[Any]:
    """One that is ready."""
    queue.enqueue(("a:1", 0, FIELDS))
    return protocol.move(queue.keys, ["a:1"], to="r")


def dead(queue: Queue) -> Call[Any]:
    """One that is dead, and has an outcome."""
    queue.enqueue(("a:1", 0, FIELDS))
    (started,) = queue.claim().tasks
    queue.settle(started, "dead", "bad", "x")
    return protocol.move(queue.keys, ["a:1"], to="r")


def coming_back(queue: Queue) -> Call[Any]:
    """One of which the other queue has the note."""
    other = queue.other("r")
    other.enqueue(("a:1", NOW + HOUR, FIELDS))
    move(other, "a:1", to="q")
    return protocol.move(queue.keys, ["a:1"], to="r")


SCENES = [scheduled, ready, dead, coming_back]


@pytest.mark.parametrize("scene", SCENES)
def test_wherever_it_stops_the_same_again_goes_on(queue: Queue, scene: Any) -> None:
    for here, call in each_stop(queue, scene):
        assert here.send(call) == {"a:1": "moved"}
        here.promote()
        assert not here.claim().tasks, "an entry of it may be left, which is nobody's"
        other = here.other("r")
        (till,) = here.places()["finished"].values()
        assert here.places() == noted("a:1", till) and till > NOW
        assert here.task("a:1")["reason"] == "moved to r" and not here.redis.exists(here.keys.outcome("a:1"))
        assert here.enqueue(("a:1", NOW + HOUR, FIELDS)) == ["existing"]
        assert found_by(here) == {"tagged:x": ["r/a:1"], "keyed:k": ["r/a:1"], "about:a": ["q/a:1", "r/a:1"]}
        assert list(other.places()) == ["dead" if scene is dead else "due"]
        assert other.task("a:1").get("state", "scheduled") == ("dead" if scene is dead else "scheduled")
        assert faults(here) == set()


@pytest.mark.parametrize("scene", SCENES)
def test_wherever_it_stops_the_doctor_leaves_one_task_that_can_run(queue: Queue, scene: Any) -> None:
    for here, _ in each_stop(queue, scene):
        homes = (here, replace(here, name="r"))
        for home in homes:
            mend(home, *{(kind, name) for kind, name, _ in faults(home)})
        assert [faults(home) for home in homes] == [set(), set()]
        states = [task.get("state", "scheduled") for home in homes if (task := home.task("a:1"))]
        assert [state for state in states if state != "skipped"] in (["scheduled"], ["ready"], ["dead"])
