"""Verbs that stop before one of their writes: once repeated, or their tasks judged, nothing is left or missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.wire import dead_letters, protocol
from redsched.wire.call import Call
from redsched.wire.claims import Settlement
from redsched.wire.keys import CellKeys
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue


def ended(queue: Queue, task_id: str, outcome: str = "complete", **fields: str) -> None:
    """A task that has run."""
    queue.enqueue((task_id, 0, fields))
    queue.promote()
    (started,) = queue.claim().tasks
    queue.settle(started, outcome)


def attend(queue: Queue, now: int = NOW) -> None:
    """All that the mover has to look at."""
    for _ in range(5):
        queue.attend(now=now)


def follow_one_that_has_ended(queue: Queue) -> Call[Any]:
    """More parents for a child, one of which has ended; the child is confirmed only after that."""
    queue.seed("live", due=NOW + HOUR)
    queue.plan("child", {"hold": {"token": "t", "within": HOUR}, "after": {"ids": ["live"], "otherwise": "run"}})
    ended(queue, "over")
    return protocol.follow(queue.keys, "child", ["over"])


def test_a_child_is_told_of_a_parent_that_had_ended_wherever_its_following_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, follow_one_that_has_ended):
        assert here.send(call) == "followed"
        attend(here)
        here.send(protocol.confirm(here.keys, ["child"], "t", action="confirm"))
        here.send(protocol.cancel(here.keys, ["live"]))
        attend(here)

        assert here.task("child")["state"] in ("ready", "scheduled")


def enqueue_after_one_that_has_ended(queue: Queue) -> Call[Any]:
    """A child of a parent that has ended."""
    ended(queue, "over")
    plan = '{"after":{"ids":["over"]}}'
    words = [0, 1, "child", 0, 4, "type", "t", "payload", "{}", "request", "r", "conditions", plan]
    return Call("enqueue", [queue.keys.due], words, lambda reply: reply)


@pytest.mark.parametrize("repeated", [True, False])
def test_a_child_runs_after_a_parent_that_had_ended_wherever_its_enqueue_stopped(queue: Queue, repeated: bool) -> None:
    for here, call in each_stop(queue, enqueue_after_one_that_has_ended):
        if repeated:
            here.run(call.verb, call.keys, [NOW, *call.args[1:]])
        for _ in range(3):
            here.attend(now=NOW + 2_000)
            here.promote(now=NOW + 2_000)

        if here.task("child"):
            assert here.task("child")["state"] == "ready"


def told_of_an_end(queue: Queue) -> Call[Any]:
    """The attend that tells a child that its only parent has completed."""
    queue.seed("parent")
    queue.plan("child", {"after": {"ids": ["parent"]}})
    queue.promote()
    (parent,) = queue.claim().tasks
    queue.settle(parent, "complete")
    return protocol.attend(CellKeys(queue.cell), 64)


def test_a_child_goes_on_wherever_the_telling_of_its_parents_end_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, told_of_an_end):
        here.send(call)
        here.promote()

        assert here.task("child")["state"] == "ready"


OLD = {"cancel_on": ["old"], "wait_for": {"all": ["other"]}, "unique": {"key": "k", "mode": "keep_last"}}


def update(queue: Queue, task_id: str, conditions: dict[str, Any]) -> Call[Any]:
    """Other conditions for a task."""
    return protocol.update(queue.keys, [task_id], {"conditions": conditions}, max_payload=99)


def other_conditions(queue: Queue) -> Call[Any]:
    """Others for one that is entered at facts, in a line and at a parent."""
    queue.seed("parent", due=NOW + HOUR)
    queue.plan("a", OLD | {"after": {"ids": ["parent"]}})
    return update(queue, "a", {"cancel_on": ["new"]})


@pytest.mark.parametrize("repeated", [True, False])
def test_nothing_is_left_of_old_conditions_wherever_an_update_stopped(queue: Queue, repeated: bool) -> None:
    for here, call in each_stop(queue, other_conditions):
        if repeated:
            assert here.send(call) == {"a": "updated"}
        for _ in range(3):
            here.promote()
        names = [key.removeprefix(here.key("")) for key in here.dump()]
        entered = [name for name in names if name.partition(":")[0] in ("listeners", "line", "unique")]
        if json.loads(here.task("a")["conditions"]) == {"cancel_on": ["new"]}:
            assert entered == ["listeners:new"]
        else:
            assert not repeated
            assert entered == ["line:q:~k", "listeners:old", "listeners:other", "unique:q:k"]
        here.emit("new")
        here.emit("old")
        assert here.task("a")["state"] == "cancelled"


def test_conditions_that_cannot_be_entered_leave_nothing(queue: Queue) -> None:
    queue.plan("a", {"unique": {"key": "k"}}, due=NOW + HOUR)
    queue.plan("b", {}, due=NOW + HOUR)

    queue.send(update(queue, "b", {"cancel_on": ["x"], "unique": {"key": "k"}}))

    assert queue.redis.exists(queue.key("listeners:x")) == 0


def test_a_dead_task_with_other_parents_forgets_those_that_it_had(queue: Queue) -> None:
    ended(queue, "failed", "dead")
    ended(queue, "well")
    queue.plan("child", {"after": {"ids": ["failed"], "otherwise": "run"}})
    attend(queue)
    queue.promote()
    (child,) = queue.claim().tasks
    queue.settle(child, "dead")

    queue.send(update(queue, "child", {"after": {"ids": ["well"]}}))
    queue.send(protocol.revive(queue.keys, ["child"], delay="0s"))
    for _ in range(3):
        attend(queue)
        queue.promote()

    assert queue.task("child")["state"] == "ready"


def dead_letter(queue: Queue) -> Call[Any]:
    """The end of one that listens."""
    queue.plan("a", {"cancel_on": ["x"]})
    (started,) = queue.claim().tasks
    end = Settlement("q", "a", started.token, "dead", "")
    return protocol.settle(queue.cell, [end])


def test_a_revived_task_listens_wherever_its_end_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, dead_letter):
        here.run(call.verb, call.keys, [NOW, *call.args[1:]])
        here.run("revive", [here.keys.due], [NOW, 0, "a"])
        here.promote()
        if here.task("a")["state"] == "ready":
            assert here.emit("x").heard == 1
            assert here.task("a")["state"] == "cancelled"


def dropped(queue: Queue) -> Call[Any]:
    """The drop of one that others came after."""
    ended(queue, "a", "dead")
    queue.plan("child", {"after": {"ids": ["a"], "otherwise": "wait"}})
    attend(queue)
    return dead_letters.drop(queue.keys, ["a"])


def test_nothing_is_left_of_a_task_wherever_its_drop_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, dropped):
        here.send(call)
        attend(here)

        assert not [key for key in here.dump() if key.endswith(("dead:q", ":a", "children:q:a/gone"))]
        assert here.task("child")["state"] == "cancelled"


def told_of_a_failure(queue: Queue) -> Call[Any]:
    """The attend that cancels a child, as its parent has failed."""
    queue.seed("parent")
    queue.plan("child", {"after": {"ids": ["parent"]}})
    queue.promote()
    (parent,) = queue.claim().tasks
    queue.settle(parent, "dead")
    return protocol.attend(CellKeys(queue.cell), 64)


def test_a_child_ends_wherever_the_telling_of_its_parents_failure_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, told_of_a_failure):
        here.send(call)

        assert here.task("child")["state"] == "cancelled"


def cancelled_first(queue: Queue) -> Call[Any]:
    """The cancel of one that is set aside by a pause; its caller dies."""
    queue.plan("a", {"fifo": True}, key="k", due=NOW + 1)
    queue.send(protocol.pause(queue.keys, "queue", reason="", until=None))
    queue.promote(now=NOW + 1)
    return protocol.cancel(queue.keys, ["a"])


def test_one_that_a_pause_set_aside_goes_on_wherever_a_cancel_stopped_for_good(queue: Queue) -> None:
    for here, _ in each_stop(queue, cancelled_first):
        here.send(protocol.resume(here.keys, "queue"))
        attend(here)
        here.promote(now=NOW + 1)

        assert here.task("a")["state"] in ("ready", "cancelled")


def cancelled_aside(queue: Queue) -> Call[Any]:
    """The cancel of a plain task that is set aside by a pause; its caller dies."""
    queue.enqueue(("a", NOW + 1, {}))
    queue.send(protocol.pause(queue.keys, "queue", reason="", until=None))
    queue.promote(now=NOW + 1)
    return protocol.cancel(queue.keys, ["a"])


def test_nothing_is_left_of_one_that_a_pause_set_aside_wherever_its_cancel_stopped_for_good(queue: Queue) -> None:
    for here, _ in each_stop(queue, cancelled_aside):
        here.send(protocol.resume(here.keys, "queue"))
        attend(here)
        here.promote(now=NOW + 1)
        for started in here.claim(now=NOW + 1).tasks:
            here.settle(started, "complete", now=NOW + 1)
        here.send(protocol.sweep([here.keys]), now=NOW + 2 * HOUR)

        assert (here.places(), here.task("a"), here.redis.exists(here.key("stopped:q:queue"))) == ({}, {}, 0)


def revived_in_vain(queue: Queue) -> Call[Any]:
    """The revival of one whose unique key another has by now."""
    queue.plan("a", {"unique": {"key": "k"}, "cancel_on": ["x"]})
    (started,) = queue.claim().tasks
    queue.settle(started, "dead")
    queue.plan("b", {"unique": {"key": "k"}})
    queue.claim()
    return protocol.revive(queue.keys, ["a"], delay="0s")


@pytest.mark.parametrize("repeated", [True, False])
def test_a_revived_task_does_not_run_beside_another_of_its_key_wherever_that_stopped(
    queue: Queue, repeated: bool
) -> None:
    for here, call in each_stop(queue, revived_in_vain):
        if repeated:
            here.send(call)
        here.promote()

        assert here.task("a")["state"] in ("skipped", "dead")


def revived(queue: Queue) -> Call[Any]:
    """The revival of one that is due later and listens."""
    queue.plan("a", {"cancel_on": ["x"]})
    (started,) = queue.claim().tasks
    queue.settle(started, "dead")
    return protocol.revive(queue.keys, ["a"], delay="5s")


def test_a_revived_task_listens_wherever_its_revival_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, revived):
        here.send(call)
        here.emit("x")

        assert here.task("a")["reason"] == "event x"


def closes(queue: Queue) -> Call[Any]:
    """The promote that closes a digest one of whose tasks is to be looked at again later."""
    again = {"unless": {"fact": "x"}, "otherwise": {"again": 1000}}
    for name, more in (("a", {}), ("b", again)):
        queue.plan(name, {"digest": {"key": "k", "grace": 1000}} | more)
    queue.redis.set(queue.key("fact:x"), "1")
    queue.now += 1_000
    return protocol.promote([queue.keys], mover="m")


def test_one_that_is_looked_at_again_later_goes_on_wherever_the_closing_of_its_digest_stopped(queue: Queue) -> None:
    for here, _ in each_stop(queue, closes):
        here.redis.delete(here.key("fact:x"))
        for now in range(NOW + 1_000, NOW + 12_000, 1_000):
            here.attend(now=now)
            here.promote(now=now)
            for task in here.claim(now=now).tasks:
                here.settle(task, "complete", now=now)

        assert here.task("b")["state"] in ("completed", "skipped")


def called_off(queue: Queue) -> Call[Any]:
    """The cancel of one that waits in a digest; its caller dies."""
    for name in "ab":
        queue.plan(name, {"digest": {"key": "k", "grace": 1000}})
    return protocol.cancel(queue.keys, ["b"])


def turned_down(queue: Queue) -> Call[Any]:
    """The claim of one that may not run now and is looked at again a second later."""
    queue.plan("b", {"unless": {"fact": "x"}, "otherwise": {"again": 1000}})
    queue.redis.set(queue.key("fact:x"), "1")
    return protocol.claim([queue.keys], consumer="w", count=10, lease_ms=HOUR)


@pytest.mark.parametrize("scene", [called_off, turned_down])
def test_a_task_is_not_lost_wherever_a_call_that_nobody_repeats_stopped(queue: Queue, scene: Any) -> None:
    for here, _ in each_stop(queue, scene):
        here.redis.delete(here.key("fact:x"))
        for now in range(NOW, NOW + 6_000, 1_000):
            here.attend(now=now)
            here.promote(now=now)
            for task in here.claim(now=now).tasks:
                here.settle(task, "complete", now=now)

        assert here.task("b")["state"] in ("completed", "skipped", "cancelled")


def rejected_when_due(queue: Queue) -> Call[Any]:
    """The promote of a task written with plain commands whose unique key another has."""
    queue.plan("b", {"unique": {"key": "k"}})
    queue.claim()
    queue.seed("a", conditions='{"unique":{"key":"k"}}')
    return protocol.promote([queue.keys], mover="m")


def test_a_task_that_is_rejected_when_it_is_due_never_runs_wherever_that_stopped(queue: Queue) -> None:
    for here, call in each_stop(queue, rejected_when_due):
        here.send(call)

        assert here.task("a")["state"] == "skipped"


@pytest.mark.parametrize("back", ["reap", "return"])
def test_one_that_was_called_off_is_in_no_run_wherever_the_end_of_a_claim_in_vain_stopped(
    queue: Queue, back: str
) -> None:
    late = NOW + 2 * HOUR

    def scene(here: Queue) -> Call[Any]:
        for name in "abc":
            here.plan(name, {"digest": {"key": "k", "grace": 1_000}, "cancel_on": [f"off-{name}"]}, payload=f'"{name}"')
        for _ in range(4):
            here.promote(now=NOW + 1_000)
        (started,) = here.claim(now=NOW + 1_000).tasks
        here.emit("off-b", now=NOW + 1_001)
        here.now = late
        if back == "reap":
            return protocol.reap([here.keys], limit=100)
        return protocol.settle(here.cell, [Settlement("q", started.id, started.token, "return")])

    for here, call in each_stop(queue, scene):
        here.send(call, now=late)
        found = []
        for _ in range(6):
            here.attend(now=late)
            here.promote(now=late)
            found += here.claim(now=late).tasks
        assert [json.loads(started.payload)["items"] for started in found] == [["a", "c"]]


def test_a_plain_task_keeps_its_payload_until_it_has_ended(queue: Queue) -> None:
    def scene(here: Queue) -> Call[Any]:
        started = here.running("a", payload='{"n":1}')
        return protocol.settle(here.cell, [Settlement("q", started.id, started.token, "complete")])

    for here, call in each_stop(queue, scene):
        task = here.task("a")
        assert task["state"] == "completed" or task["payload"] == '{"n":1}'

        here.send(call)

        assert here.task("a")["state"] == "completed"
