"""What only a newer redsched knows: no script of today lets such a task run, and none loses it.

A newer one is another tree with more members, of which ``later`` and a new ``then`` stand here. What it has made looks
to these scripts like a task of theirs, with ``created_at``, whose conditions they do not know.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.model.explain import explained
from redsched.wire import doctor, protocol
from redsched.wire.keys import CellKeys
from tests.support.lua_queue import DAY, HOUR, LEASE, NOW, Queue

LATER = {"later": {"than": "ever"}}
UNKNOWN: list[dict[str, Any]] = [
    LATER, {"unless": {"fact": "is"}} | LATER, {"only_if": {"fact": "is", "about": 1}}, {"only_if": {"none": []}},
    {"otherwise": "shrug"}, {"unique": {"key": "k", "mode": "newest"}}, {"wait_for": {"any": ["f"], "then": "ask"}},
]  # fmt: skip


def newer(queue: Queue, task_id: str, conditions: dict[str, Any], *, due: int = NOW, **fields: Any) -> None:
    """A task that a newer redsched made."""
    queue.seed(task_id, due=due, created_at=NOW - HOUR, conditions=json.dumps(conditions), **fields)


def newer_held(queue: Queue, task_id: str, conditions: dict[str, Any], blocked: str, **fields: Any) -> None:
    """The same, once it is held and entered."""
    named = {"state": "held", "blocked": blocked, "bound": "p", "due_at": NOW} | fields
    newer(queue, task_id, conditions, **named)
    queue.redis.zrem(queue.keys.due, task_id)
    queue.redis.zadd(queue.key("held:q"), {task_id: 4e12})


def become_known(queue: Queue, task_id: str, conditions: dict[str, Any]) -> None:
    """The next look is that of a redsched that knows what it asks for."""
    queue.redis.hset(queue.keys.task(task_id), "conditions", json.dumps(conditions))


def test_one_that_a_script_made_is_looked_at_again_and_never_runs(queue: Queue) -> None:
    for number, conditions in enumerate(UNKNOWN):
        newer(queue, f"t{number}", conditions)
    queue.seed("good")

    assert queue.promote().moved == 1

    ids = [f"t{number}" for number in range(len(UNKNOWN))]
    assert queue.places() == {"ready": {"normal": ["good"]}, "due": dict.fromkeys(ids, NOW + 5_000)}
    assert queue.events() == [f"postponed {task_id} reason=newer due={NOW + 5_000}" for task_id in ids]
    looks, now = [], NOW + 5_000
    while now < NOW + 300_000:
        looks.append(now - NOW)
        queue.promote(now=now)
        now = int(queue.redis.zscore(queue.keys.due, "t0"))
    assert looks == [5_000, 10_000, 20_000, 40_000, 80_000, 140_000, 200_000, 260_000]
    assert len(queue.events()) == len(UNKNOWN)
    become_known(queue, "t0", {"unless": {"fact": "is"}})
    queue.promote(now=now)
    assert queue.task("t0")["state"] == "ready"


@pytest.mark.parametrize("conditions", UNKNOWN)
def test_one_of_a_raw_producer_is_malformed(queue: Queue, conditions: dict[str, Any]) -> None:
    queue.seed("a", conditions=json.dumps(conditions))

    queue.promote()

    assert queue.task("a")["reason"] == "malformed"


@pytest.mark.parametrize(
    "conditions", ['{"unless":5}', "[1]", "no json", '{"later":1,"unless":5}', '{"digest":{"key":7}}']
)
def test_what_no_redsched_can_use_is_malformed_whoever_made_it(queue: Queue, conditions: str) -> None:
    queue.seed("a", created_at=NOW - HOUR, conditions=conditions)

    queue.promote()

    assert queue.task("a")["reason"] == "malformed"


def test_enqueue_refuses_what_it_does_not_know(queue: Queue) -> None:
    words = [NOW, 1, "a", 0, 3, "type", "t", "payload", "{}", "conditions", json.dumps(LATER)]

    assert queue.refused("enqueue", *words) == "RS_INVALID 1 conditions hold a member that is unknown"


def test_a_claim_leaves_one_whose_conditions_are_to_be_asked_once_more(queue: Queue) -> None:
    queue.plan("a", {"unless": {"fact": "is"}})
    queue.plan("b", {"unless": {"fact": "is"}})
    become_known(queue, "a", {"unless": {"fact": "is"}} | LATER)

    assert [started.id for started in queue.claim().tasks] == ["b"]

    assert queue.task("a")["state"] == "scheduled"
    assert queue.places()["due"] == {"a": NOW + 5_000}


def test_a_claim_does_not_run_one_whose_conditions_were_spoilt(queue: Queue) -> None:
    queue.plan("a", {"unless": {"fact": "is"}})
    queue.redis.hset(queue.keys.task("a"), "conditions", "no json")

    assert queue.claim().tasks == []

    assert queue.task("a")["reason"] == "malformed"


@pytest.mark.parametrize("outcome", ["retry", "snooze", "return"])
def test_a_run_that_goes_on_is_decided_by_one_that_knows(queue: Queue, outcome: str) -> None:
    queue.plan("a", {"unless": {"fact": "is"}}, retry="fixed 0")
    (started,) = queue.claim().tasks
    become_known(queue, "a", {"unless": {"fact": "is"}} | LATER)

    queue.settle(started, outcome, 0 if outcome == "snooze" else "")
    queue.promote()

    assert queue.claim().tasks == []
    assert queue.places() == {"due": {"a": NOW + 5_000}}


def test_what_is_known_of_it_still_ends_it(queue: Queue) -> None:
    newer(queue, "a", {"cancel_on": ["paid:o"]} | LATER, due=NOW + DAY, bound="p")
    queue.redis.zadd(queue.key("listeners:paid:o"), {"q/a": 0})

    queue.emit("paid", "o")

    assert queue.task("a")["reason"] == "event paid:o"
    assert not queue.redis.exists(queue.key("listeners:paid:o"), queue.key("agenda"))


def test_one_that_heard_what_it_waits_for_is_due_and_then_left(queue: Queue) -> None:
    newer_held(queue, "a", {"wait_for": {"any": ["paid:o"]}} | LATER, "facts")
    queue.redis.zadd(queue.key("listeners:paid:o"), {"q/a": 0})

    queue.emit("paid", "o")
    queue.promote()

    assert queue.places() == {"due": {"a": NOW + 5_000}}


def test_an_event_is_told_again_until_one_that_knows_has_told_it(queue: Queue) -> None:
    newer_held(queue, "a", {"wait_for": {"any": ["paid:o"], "then": "ask"}}, "facts")
    queue.redis.zadd(queue.key("listeners:paid:o"), {"q/a": 0})

    queue.emit("paid", "o")
    assert queue.redis.zrange(queue.key("agenda"), 0, -1, withscores=True) == [("listeners/q/paid:o", NOW + 60_000)]
    queue.attend(now=NOW + 60_000)
    assert queue.redis.zrange(queue.key("agenda"), 0, -1, withscores=True) == [("listeners/q/paid:o", NOW + 120_000)]
    become_known(queue, "a", {"wait_for": {"any": ["paid:o"]}})
    queue.attend(now=NOW + 120_000)

    assert list(queue.places()) == ["due"]
    assert not queue.redis.exists(queue.key("agenda"))


def test_a_child_is_told_again_until_one_that_knows_has_told_it(queue: Queue) -> None:
    queue.seed("p")
    queue.plan("a", {"after": {"ids": ["p"]}})
    become_known(queue, "a", {"after": {"ids": ["p"], "otherwise": "ask"}})

    queue.promote()
    queue.settle(queue.claim().tasks[0], "complete")
    queue.attend()
    assert queue.redis.zscore(queue.key("agenda"), "ended/completed/q/p") == NOW + 5_000
    become_known(queue, "a", {"after": {"ids": ["p"]}})
    queue.attend(now=NOW + 5_000)

    assert list(queue.places()) == ["finished", "due"] or list(queue.places()) == ["due", "finished"]
    assert not queue.redis.exists(queue.key("agenda"))


def test_one_that_ends_here_leaves_all_that_is_known_of_its_ties(queue: Queue) -> None:
    queue.plan("a", {"cancel_on": ["x"], "fifo": True, "unique": {"key": "u"}}, key="k")
    (started,) = queue.claim().tasks
    become_known(queue, "a", {"cancel_on": ["x"], "fifo": True, "unique": {"key": "u"}} | LATER)

    queue.settle(started, "complete")

    assert not queue.redis.exists(queue.key("listeners:x"), queue.key("line:q:k"), queue.key("unique:q:u"))


def test_it_can_be_updated_cancelled_and_confirmed(queue: Queue) -> None:
    for task_id in ("updated", "cancelled"):
        queue.plan(task_id, {"cancel_on": ["x"]}, due=NOW + DAY)
        become_known(queue, task_id, {"cancel_on": ["x"]} | LATER)
    queue.plan("confirmed", {"hold": {"token": "c"}})
    become_known(queue, "confirmed", {"hold": {"token": "c"}} | LATER)

    call = protocol.update(queue.keys, ["updated"], {"conditions": {"unless": "f"}}, max_payload=99)
    assert queue.send(call) == {"updated": "updated"}
    assert queue.send(protocol.cancel(queue.keys, ["cancelled"])) == {"cancelled": "cancelled"}
    assert list(queue.send(protocol.confirm(queue.keys, ["confirmed"], "c", action="confirm")).values()) == [
        "confirmed"
    ]

    assert not queue.redis.exists(queue.key("listeners:x"))
    queue.promote()
    assert queue.places()["due"] == {"updated": NOW + DAY, "confirmed": NOW + 5_000}


def test_a_state_that_is_unknown_is_left_where_it_is(queue: Queue) -> None:
    queue.seed("made", created_at=NOW, state="parked")
    queue.seed("raw", state="parked")
    queue.broken.add("made")

    queue.promote()

    assert queue.task("made") == {
        "type": "t",
        "payload": "{}",
        "created_at": str(NOW),
        "state": "parked",
        "postponed": str(NOW),
    }
    assert queue.redis.zscore(queue.keys.due, "made") == NOW + 5_000
    assert queue.task("raw")["reason"] == "malformed"


def test_the_doctor_and_explain_say_that_a_newer_one_must_decide(real_queue: Queue) -> None:
    queue = real_queue
    newer(queue, "due", LATER)
    newer_held(queue, "held", {"hold": {"token": "c"}} | LATER, "limit")
    newer(queue, "first", {"lane": "k"}, due=NOW + DAY, key="k", bound="p")
    queue.redis.zadd(queue.key("line:q:k"), {"first": 1})
    queue.promote()

    look = doctor.inspect(queue.keys, "tasks", names=[b"due", b"held", b"first"])
    found = look.read(queue.run("inspect", look.keys, [NOW, *look.args[1:]])).faults
    assert [(fault.name, fault.rule) for fault in found] == [(b"due", "newer"), (b"held", "newer"), (b"first", "newer")]
    keys = doctor.inspect(queue.keys, "keys", names=[b"line:q:k"])
    assert keys.read(queue.run("inspect", keys.keys, [NOW, *keys.args[1:]])).faults == []
    assert explained(queue.send(protocol.explain(queue.keys, "due"))).code == "needs_newer"


def test_a_rule_makes_a_task_that_only_a_newer_one_can_decide(queue: Queue) -> None:
    rule = {
        "queue": "q",
        "bind": {"of": "subject"},
        "fields": {"type": "t", "payload": "{}", "conditions": json.dumps(LATER)},
    }
    queue.redis.hset(queue.key("rules:paid"), "r", json.dumps(rule))
    queue.redis.hset(queue.key("rules"), "r", "paid")

    assert queue.emit("paid", "o").made == ["q/r:e1"]
    assert queue.emit("paid", "o").made == []
    queue.promote()

    assert queue.places() == {"due": {"r:e1": NOW + 5_000}}
    assert queue.task("r:e1")["payload"] == '{"of":"o"}'


def test_lease_and_agenda_outlive_an_older_mover(queue: Queue) -> None:
    queue.redis.zadd(CellKeys(queue.cell).agenda, {"later/q/a": NOW, "later": NOW})

    queue.attend(now=NOW + LEASE)

    assert queue.redis.zrange(queue.key("agenda"), 0, -1) == ["later/q/a"]
