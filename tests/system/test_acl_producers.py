"""The Redis users that add tasks: producers by plain commands or by function, planners, and the inbox."""

from __future__ import annotations

import pytest

from redsched.model.errors import StoreDenied
from redsched.model.task import Task
from redsched.wire import scripts
from tests.support.acl_users import QUEUE, Users, denied


def test_a_raw_producer_adds_tasks_and_sees_none(users: Users) -> None:
    with users.connect("producer-raw") as connection:
        with connection.pipeline(transaction=True) as pipe:
            pipe.hset(users.key("task:q:1"), mapping={"type": "t", "payload": "{}"})
            pipe.zadd(users.key("due:q"), {"1": 0}, nx=True)
            assert pipe.execute() == [2, 1]
        assert connection.execute_command("HSETNX", users.key("task:q:1"), "key", "k") == 1
        for command in (
            ("HGETALL", "task:q:1"),
            ("HGET", "task:q:1", "payload"),
            ("ZRANGE", "due:q", 0, -1),
            ("DEL", "task:q:1"),
            ("ZREM", "due:q", "1"),
            ("XADD", "inbox:q", "*", "id", "1"),
            ("XADD", "ready:q", "*", "id", "1"),
            ("ZADD", "running:q", 0, "1"),
            ("HSET", "meta", "virtual_clock", "1"),
            ("HDEL", "task:q:1", "type"),
            ("ZSCORE", "due:q", "1"),
            ("GET", "mover"),
            ("SADD", "queues", "z"),
        ):
            denied(connection, command[0], users.key(str(command[1])), *command[2:])
        denied(connection, "FCALL", "rs1_version", 0)


def test_a_producer_enqueues_with_every_answer(users: Users) -> None:
    with users.client("producer") as client:
        assert client.enqueue("t", 1, queue=QUEUE, id="now").status == "created"
        assert client.enqueue("t", 1, queue=QUEUE, id="later", delay="1h", max_attempts=2, key="k").status == "created"
        assert client.enqueue("t", 1, queue=QUEUE, id="high", priority="high").status == "created"
        assert client.enqueue("t", 1, queue=QUEUE, id="now").status == "existing"
        assert client.enqueue("t", 1, queue=QUEUE, id="gone", expires_at=1_000_000_000_000, retention="0s").id == "gone"
        assert client.enqueue("t", 1, queue=QUEUE, id="past", expires_at=1_000_000_000_000).id == "past"
        assert client.ping().build == scripts.BUILD
        with pytest.raises(StoreDenied):
            client.stats([QUEUE])
        assert [view.id for view in client.list(QUEUE).items] == ["later"]  # it reads the tasks of its queues
    with users.store.client() as admin:
        states = {
            task_id: view.state if view else None
            for task_id, view in admin.show(["now", "later", "high", "gone", "past"], queue=QUEUE).items()
        }
    assert states == {"now": "ready", "later": "scheduled", "high": "ready", "gone": None, "past": "expired"}


@pytest.mark.parametrize("role", ["producer", "planner"])
def test_what_a_producer_enqueues_is_counted_and_its_queue_is_entered(users: Users, role: str) -> None:
    with users.client(role) as client:
        client.enqueue_many([Task(type="t", queue=QUEUE), Task(type="t", queue=QUEUE)])

    assert users.store.redis.hget(users.key(f"stats:{QUEUE}"), "enqueued") == "2"
    assert users.store.redis.smembers(users.key("queues")) == {QUEUE}


def test_a_producer_may_not_run_drop_or_forge_what_others_keep(users: Users) -> None:
    with users.connect("producer") as connection:
        for command in (
            ("ZADD", "running:q", 0, "1"),
            ("ZADD", "dead:q", 0, "1"),
            ("XREADGROUP",),
            ("HGETALL", "outcome:q:1"),
            ("XRANGE", "events", "-", "+"),
            ("SMEMBERS", "queues"),
            ("ZRANGE", "finished:q", 0, -1),
            ("GET", "mover"),
            ("HSET", "meta", "virtual_clock", "1"),
            ("XADD", "inbox:q", "*", "id", "1"),
            ("ZREM", "due:q", "1"),
            ("XDEL", "ready:q", "1-1"),
            ("DEL", "task:q:1"),
        ):
            if len(command) > 1:
                denied(connection, command[0], users.key(command[1]), *command[2:])
        denied(connection, "XREADGROUP", "GROUP", "workers", "me", "STREAMS", users.key("ready:q"), ">")


def test_the_inbox_takes_appends_and_nothing_else(users: Users) -> None:
    inbox = users.key("inbox:q")
    with users.connect("inbox") as connection:
        assert connection.execute_command("XADD", inbox, "*", "id", "1", "type", "t", "payload", "{}")
        for command in (("XRANGE", "-", "+"), ("XLEN",), ("XDEL", "1-1"), ("DEL",), ("XGROUP", "CREATE", "g", "$")):
            if command[0] == "XGROUP":
                denied(connection, "XGROUP", "CREATE", inbox, "g", "$")
            else:
                denied(connection, command[0], inbox, *command[1:])
        denied(connection, "XADD", users.key("ready:q"), "*", "id", "1")
        denied(connection, "ZADD", users.key("due:q"), 0, "1")
        denied(connection, "FCALL", "rs1_version", 0)
    assert users.store.redis.xlen(inbox) == 1


def test_a_planner_gives_conditions_emits_and_confirms_and_a_producer_may_not(users: Users) -> None:
    with users.client("planner") as client:
        client.enqueue("t", {}, queue=QUEUE, id="a", delay="1h", unless="paid:1", cancel_on=["void:1"])
        client.enqueue("t", {}, queue=QUEUE, id="b", after=["a"], fifo=True, key="k")
        client.enqueue("t", {}, queue=QUEUE, id="c", unique="k", digest="d")
        held = client.hold("t", {}, queue=QUEUE, id="h")
        assert client.confirm("h", held.token, queue=QUEUE) == {"h": "confirmed"}
        assert client.emit("void", "1").heard == 1
    with users.client("worker") as client:
        assert client.task("a", queue=QUEUE).state == "cancelled"
    with users.client("producer") as client:
        with pytest.raises(StoreDenied):
            client.enqueue("t", {}, queue=QUEUE, id="z", unless="paid:1")
        with pytest.raises(StoreDenied):
            client.emit("paid", "1")
    with users.client("worker") as client:
        assert client.show("z", queue=QUEUE) == {"z": None}


def test_a_raw_producer_may_write_a_hash_in_the_old_way(users: Users) -> None:
    with users.connect("producer-raw") as connection:
        connection.execute_command("HMSET", users.key("task:q:1"), "type", "t", "payload", "{}")
