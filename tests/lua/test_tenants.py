"""An event whose listeners and rules lie in queues of several Redis users: who may write a queue tells them there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis

from redsched.wire import acl
from tests.support.lua_queue import DAY, HOUR, NOW, Queue

NAMES = ("q", "r")
EACH = 40  # listeners of each queue: more than an emit tells itself
CONDITIONS: list[tuple[dict[str, Any], str]] = [
    ({"cancel_on": ["x"]}, "cancelled"),
    ({"wait_for": {"all": ["x"]}}, "scheduled"),
    ({"wait_for": {"any": ["x", "y"]}}, "scheduled"),  # looked at one by one
]


@dataclass
class Tenants:
    """Two queues of one namespace, each with users of its own."""

    queue: Queue
    users: dict[tuple[str, str], Queue]  # by queue and role: the queue as that user sees it

    def listen(self, name: str, conditions: dict[str, Any], count: int = 1, now: int = NOW, first: str = "t") -> None:
        """So many tasks of a queue with these conditions, due in an hour."""
        words = ("type", "t", "payload", "{}", "conditions", json.dumps(conditions))
        tasks = [word for at in range(count) for word in (1, f"{first}{at:02}", NOW + HOUR, 3, *words)]
        self.queue.run("enqueue", [self.queue.other(name).keys.due], [now, *tasks])

    def emit(self, name: str, *, event_id: str = "e1", now: int = NOW) -> list[Any]:
        """The reply to an event that the planner of a queue tells of; its fact is gone afterwards."""
        found = self.users[name, "planner"].run("emit", [self.queue.key("fact:x")], [now, "1", 1_000, event_id])
        self.queue.redis.delete(self.queue.key("fact:x"))
        return list(found)

    def attend(self, name: str, *, now: int = NOW, calls: int = 20) -> int:
        """Let the worker of a queue look at the agenda; how many items it left at last."""
        for _ in range(calls):
            found = self.users[name, "worker"].run("attend", [self.queue.key("agenda")], [now, 20])
        return int(found[3])

    def states(self, name: str) -> set[str | None]:
        """The states of all tasks of a queue."""
        pattern = self.queue.other(name).keys.task("*")
        return {self.queue.redis.hget(key, "state") for key in self.queue.redis.scan_iter(match=pattern)}

    def left(self) -> int:
        """How many keys an event has left behind."""
        return int(self.queue.redis.exists(self.queue.key("agenda"), self.queue.key("cursors")))


@pytest.fixture
def tenants(real_queue: Queue) -> Iterator[Tenants]:
    """On each server, under each build."""
    users, connections = {}, []
    options = real_queue.raw.connection_pool.connection_kwargs
    for name in NAMES:
        for role in ("planner", "worker"):
            user = f"{real_queue.namespace}-{name}-{role}"
            line = acl.role(role, real_queue.namespace, [name]).line(user).replace(f">{acl.SECRET}", ">pw")
            real_queue.redis.execute_command(*line.split(), "+evalsha", f"%R~{real_queue.key('meta')}", "+hget")
            login = {"username": user, "password": "pw", "protocol": 2}
            connections.append(redis.Redis(host=options["host"], port=options["port"], **login))
            users[name, role] = replace(real_queue.other(name), raw=connections[-1])
    yield Tenants(real_queue, users)
    for connection in connections:
        connection.close()
    real_queue.redis.acl_deluser(*(f"{real_queue.namespace}-{name}-{role}" for name, role in users))


def others(name: str) -> str:
    return NAMES[1 - NAMES.index(name)]


@pytest.mark.parametrize("emitter", NAMES)
@pytest.mark.parametrize(("conditions", "state"), CONDITIONS)
def test_an_event_tells_its_few_listeners_of_the_other_queue_as_soon_as_their_mover_looks(
    tenants: Tenants, conditions: dict[str, Any], state: str, emitter: str
) -> None:
    for name in NAMES:
        tenants.listen(name, conditions, 2)

    assert tenants.emit(emitter) == [2, 1]
    assert tenants.states(emitter) == {state}

    assert tenants.attend(emitter) == 1  # it may not, and leaves it for the other, as often as it looks
    assert tenants.attend(others(emitter), calls=1) == 0
    assert tenants.states(others(emitter)) == {state}
    assert tenants.left() == 0


@pytest.mark.parametrize("acting", NAMES)
@pytest.mark.parametrize(("conditions", "state"), CONDITIONS)
def test_whichever_mover_looks_first_many_listeners_of_both_queues_are_told_once(
    tenants: Tenants, conditions: dict[str, Any], state: str, acting: str
) -> None:
    for name in NAMES:
        tenants.listen(name, conditions, EACH)
    assert tenants.emit("q") == [0, 1]

    assert tenants.attend(acting) == 1
    assert tenants.states(acting) == {state}
    assert tenants.attend(others(acting), calls=5) == 0

    assert tenants.states(others(acting)) == {state}
    assert tenants.left() == 0
    word = "cancelled" if state == "cancelled" else "released"
    told = [
        (fields["queue"], fields["id"])
        for _, fields in tenants.queue.redis.xrange(tenants.queue.key("events"))
        if fields["event"] == word
    ]
    assert sorted(told) == [(name, f"t{at:02}") for name in NAMES for at in range(EACH)]


@pytest.mark.parametrize("count", [2, EACH])
def test_an_event_is_not_given_up_while_somebody_may_still_tell_it(tenants: Tenants, count: int) -> None:
    tenants.listen("r", {"cancel_on": ["x"]}, count)
    tenants.emit("q")

    for days in range(4):
        assert tenants.attend("q", now=NOW + days * DAY) == 1
    tenants.attend("r", now=NOW + 4 * DAY)

    assert tenants.states("r") == {"cancelled"}
    assert tenants.left() == 0


def test_of_two_events_the_later_one_counts_for_who_came_in_between(tenants: Tenants) -> None:
    tenants.listen("r", {"cancel_on": ["x"]}, 2)
    tenants.emit("q")
    tenants.listen("r", {"cancel_on": ["x"]}, first="u", now=NOW + 5_000)
    tenants.emit("q", event_id="e2", now=NOW + 6_000)
    tenants.listen("r", {"cancel_on": ["x"]}, first="v", now=NOW + 7_000)

    tenants.attend("r", now=NOW + 8_000)

    cancelled = {
        task_id
        for task_id in ("t00", "t01", "u00", "v00")
        if tenants.queue.other("r").task(task_id).get("state") == "cancelled"
    }
    assert cancelled == {"t00", "t01", "u00"}


def test_a_listener_whose_queue_has_a_key_of_a_wrong_type_is_told_however_late_that_is_put_right(
    real_queue: Queue,
) -> None:
    tenants = Tenants(real_queue, {(name, role): real_queue for name in NAMES for role in ("planner", "worker")})
    tenants.listen("r", {"cancel_on": ["x"]}, 2)
    real_queue.redis.set(real_queue.key("finished:r"), "of another type")
    tenants.emit("q")

    for days in range(3):
        tenants.attend("q", now=NOW + days * DAY)
    real_queue.redis.delete(real_queue.key("finished:r"))
    tenants.attend("q", now=NOW + 3 * DAY)

    assert tenants.states("r") == {"cancelled"}
    assert tenants.left() == 0


def test_a_rule_makes_its_task_in_a_queue_that_only_another_user_may_write(tenants: Tenants) -> None:
    for number in range(3):
        for name in NAMES:
            rule = {"queue": name, "fields": {"type": "t", "payload": "{}"}, "bind": {"data": "data"}}
            tenants.queue.redis.hset(tenants.queue.key("rules:x"), f"{name}{number}", json.dumps(rule))

    heard, more, *made = tenants.emit("q")
    assert (heard, more, sorted(made)) == (0, 1, [b"q/q0:e1", b"q/q1:e1", b"q/q2:e1"])
    assert tenants.attend("q", now=NOW + 2 * DAY) == 1
    assert tenants.attend("r", calls=2) == 0

    for name in NAMES:
        payloads = [tenants.queue.other(name).task(f"{name}{number}:e1")["payload"] for number in range(3)]
        assert payloads == ['{"data":1}'] * 3
    assert tenants.left() == 0
    assert not any(
        fields["event"] == "rule_failed" for _, fields in tenants.queue.redis.xrange(tenants.queue.key("events"))
    )


def test_a_call_leaves_at_most_128_items_to_others_and_says_that_more_may_follow(tenants: Tenants) -> None:
    queue = tenants.queue
    over = {f"key:k{at}": "1 1 over" for at in range(170)}
    queue.redis.hset(queue.key("paused:r"), mapping=over)
    queue.redis.zadd(queue.key("agenda"), {f"resume/r/{what}": 0 for what in over})
    worker = tenants.users["q", "worker"]

    assert worker.run("attend", [queue.key("agenda")], [NOW, 500])[3] == 128
    assert worker.run("attend", [queue.key("agenda")], [NOW, 500, 128])[3] == 42
