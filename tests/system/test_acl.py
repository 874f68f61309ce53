"""The seven Redis users of ``redsched acl print``: what each may do, and what it may not, on real servers."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from redsched import App, Client, Settings
from redsched.engine.mover import Mover
from redsched.engine.worker import Worker
from redsched.model.errors import StoreDenied
from redsched.model.task import Task
from redsched.wire import acl, scripts
from tests.support import servers
from tests.support.calls import CALLS
from tests.support.processes import Redsched
from tests.support.servers import FIXTURES, Store

QUEUE = "q"


@dataclass
class Users:
    """A namespace of a server with a user for each role; the Lua is there, as the deployer left it."""

    store: Store

    def name(self, role: str) -> str:
        return acl.user_of(role, self.store.namespace, [QUEUE])

    def make(self) -> None:
        for role in acl.ROLES:
            line = acl.role(role, self.store.namespace, [QUEUE]).line(self.name(role))
            self.store.redis.execute_command(*line.replace(f">{acl.SECRET}", f">pw-{role}").split())

    def remove(self) -> None:
        self.store.redis.acl_deluser(*map(self.name, acl.ROLES))

    def url(self, role: str) -> str:
        """The server's URL with the credentials of a role."""
        assert self.store.url is not None
        return f"redis://{self.name(role)}:pw-{role}@127.0.0.1:{urlsplit(self.store.url).port}/0"

    def connect(self, role: str) -> redis.Redis:
        return servers.connect(self.url(role))

    def client(self, role: str, **options: Any) -> Client:
        return Client(self.url(role), namespace=self.store.namespace, **options)

    def settings(self, role: str, **changes: Any) -> Settings:
        return Settings(redis_url=self.url(role), namespace=self.store.namespace, queues=(QUEUE,), **changes)

    def key(self, name: str) -> str:
        return self.store.key(name)


@pytest.fixture(params=["redis", "redis8", "valkey"])
def users(request: pytest.FixtureRequest) -> Iterator[Users]:
    """On Redis 7.0 and 8.2 and Valkey 9.1."""
    server = request.getfixturevalue(FIXTURES[request.param])
    store = Store(request.param, servers.connect(server.url), url=server.url)
    with store.client() as client:
        client.install()
    made = Users(store)
    made.make()
    yield made
    made.remove()
    store.clear()
    store.redis.close()


def denied(connection: redis.Redis, *command: Any) -> str:
    """The refusal of a command; fails where it is carried out."""
    try:
        answer = connection.execute_command(*command)
    except (redis.exceptions.NoPermissionError, redis.ResponseError) as error:
        text = str(error).lower()
        assert "permission" in text or "can't" in text or "acl" in text or "can not" in text, f"{command}: {error}"
        return text
    raise AssertionError(f"{command} was carried out: {answer!r}")


# The forbidden of every role but the one that needs it: arbitrary code, the server itself, other tenants.
FORBIDDEN: list[tuple[Any, ...]] = [
    ("EVAL", "return 1", 0), ("FUNCTION", "FLUSH"), ("FUNCTION", "DELETE", scripts.LIBRARY), ("SCRIPT", "FLUSH"),
    ("CONFIG", "SET", "maxmemory", "1"), ("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("SCAN", 0), ("MONITOR",),
    ("SHUTDOWN",), ("ACL", "LIST"), ("ACL", "SETUSER", "mallory"), ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"), ("REPLICAOF", "NO", "ONE"), ("RESTORE", "x", 0, ""),
    ("MIGRATE", "127.0.0.1", 1, "x", 0, 1),
    ("SWAPDB", 0, 1), ("SAVE",), ("SLOWLOG", "GET"), ("EXPIRE", "{ns}:task:q:1", 1), ("RENAME", "{ns}:due:q", "x"),
    ("XSETID", "{ns}:ready:q", "9-9"), ("PUBLISH", "__redis__:invalidate", "x"), ("PSUBSCRIBE", "*"),
]  # fmt: skip


@pytest.mark.parametrize("role", [role for role in acl.ROLES if role != "deployer"])
def test_no_role_of_a_program_may_touch_the_server_or_run_code_of_its_own(users: Users, role: str) -> None:
    with users.connect(role) as connection:
        for command in FORBIDDEN:
            denied(
                connection,
                *(word.replace("ns", users.store.namespace) if isinstance(word, str) else word for word in command),
            )


@pytest.mark.parametrize("role", ["producer-raw", "producer", "planner", "inbox", "worker", "observer"])
def test_no_role_reaches_another_queue_or_another_namespace(users: Users, role: str) -> None:
    with users.connect(role) as connection:
        for prefix in (users.key(""), "{other}:"):
            for queue in ("r", QUEUE + "x"):
                denied(connection, "HSET", f"{prefix}task:{queue}:1", "type", "t")
                denied(connection, "ZADD", f"{prefix}due:{queue}", 0, "1")
                denied(connection, "XADD", f"{prefix}inbox:{queue}", "*", "id", "1")
                denied(connection, "HGETALL", f"{prefix}task:{queue}:1")
                denied(connection, "HGETALL", f"{prefix}stats:{queue}")
                denied(
                    connection,
                    "FCALL",
                    "rs1_enqueue",
                    1,
                    f"{prefix}due:{queue}",
                    0,
                    1,
                    "1",
                    0,
                    2,
                    "type",
                    "t",
                    "payload",
                    "{}",
                )
        denied(connection, "SET", "elsewhere", "x")
    assert users.store.redis.exists("{other}:due:r", "elsewhere") == 0


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
        assert client.enqueue("t", 1, queue=QUEUE, id="gone", expires_at=1_000_000_000_000, retention=0).id == "gone"
        assert client.enqueue("t", 1, queue=QUEUE, id="past", expires_at=1_000_000_000_000).id == "past"
        assert client.ping().build == scripts.BUILD
        with pytest.raises(StoreDenied):
            client.stats([QUEUE])
        with pytest.raises(StoreDenied):
            client.list(QUEUE)
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


app = App(name="acl")


@app.task("send", queue=QUEUE)
async def send(value: int) -> int:
    """Completes."""
    return value + 1


@app.task("fail", queue=QUEUE)
async def fail() -> None:
    """Fails."""
    raise ValueError("it broke")


async def _life(users: Users) -> Worker:
    """Enqueue, claim, run, settle, retry, renew and cancel, all as the worker's user; two movers, one beside it."""
    worker = Worker(app, users.settings("worker", lease_ms=6_000), mover=False)
    mover = Mover(users.settings("worker"), at_home=[QUEUE])
    moving, working = asyncio.create_task(mover.run()), asyncio.create_task(worker.run())
    try:
        from redsched import AsyncClient

        async with AsyncClient(settings=users.settings("worker")) as client:
            await client.enqueue("send", {"value": 1}, queue=QUEUE, id="now")
            await client.enqueue("send", {"value": 1}, queue=QUEUE, id="soon", delay=200)
            await client.enqueue("fail", queue=QUEUE, id="fails", max_attempts=2, retry=[10])
            await client.enqueue("send", {"value": 1}, queue=QUEUE, id="far", delay="1h")
            users.store.redis.xadd(users.key("inbox:q"), {"id": "letter", "type": "send", "payload": '{"value":5}'})
            async with asyncio.timeout(60):
                while True:
                    found = await client.show(["now", "soon", "fails", "letter"], queue=QUEUE)
                    if [view.state if view else "" for view in found.values()] == [
                        "completed",
                        "completed",
                        "dead",
                        "completed",
                    ]:
                        break
                    await asyncio.sleep(0.02)
            assert await client.cancel("far", queue=QUEUE) == {"far": "cancelled"}
            assert await client.revive("fails", queue=QUEUE, delay="1h") == {"fails": "revived"}
            assert await client.reschedule("fails", queue=QUEUE, delay="2h") == {"fails": "rescheduled"}
            assert await client.update("fails", queue=QUEUE, key="k") == {"fails": "updated"}
            assert await client.cancel("fails", queue=QUEUE) == {"fails": "cancelled"}
            assert await client.drop(["far", "now"], queue=QUEUE) == {"far": "dropped", "now": "dropped"}
            assert (await client.quarantined(QUEUE)).items == []
            assert [stats.queue for stats in await client.stats([QUEUE])] == [QUEUE]
            assert mover.standing.armed, "CLIENT TRACKING is refused"
        assert all(loop.healthy for loop in (mover.promotions.loop, mover.discovery.loop, worker._trips))
    finally:
        worker.stop()
        mover.stop()
        await asyncio.gather(moving, working)
    return worker


def test_the_whole_life_of_tasks_runs_as_the_worker(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    before = len(users.store.redis.acl_log())

    asyncio.run(_life(users))

    refused = [
        entry
        for entry in users.store.redis.acl_log()[: max(0, len(users.store.redis.acl_log()) - before)]
        if entry["username"] == users.name("worker") and entry["object"] != "scan"
    ]
    assert refused == []
    assert [line for line in caplog.messages if "refused" in line or "interrupted" in line or "blind" in line] == []


def test_a_worker_process_runs_as_the_worker(users: Users) -> None:
    arguments = ("--namespace", users.store.namespace, "worker", "tests.apps.ledger:app", "-q", QUEUE, "--burst")
    with users.client("producer") as client:
        client.enqueue("add", {"a": 1, "b": 2}, queue=QUEUE, id="a")
    with Redsched("-r", users.url("worker"), *arguments) as process:
        assert process.wait(60) == 0, process.said()
    with users.client("observer") as client:
        assert client.task("a", queue=QUEUE).result == {"sum": 3}


def test_the_worker_may_not_forge_time_or_rewrite_the_contract(users: Users) -> None:
    with users.connect("worker") as connection:
        denied(connection, "HSET", users.key("meta"), "virtual_clock", "1")
        denied(connection, "FUNCTION", "LOAD", "REPLACE", "#!lua name=redsched1\nreturn 1")
        denied(connection, "SUBSCRIBE", "elsewhere")
        denied(connection, "DEL", users.key("due:q"))


def test_a_worker_that_may_not_put_the_schedule_of_another_queue_works_all_the_same(users: Users) -> None:
    planned = App()
    planned.task("elsewhere", queue="other", every="1h")(fail)
    planned.task("send", queue=QUEUE, every="1h")(send)
    with users.client("worker") as client:
        made = client.enqueue("send", {"value": 1}, queue=QUEUE)
        asyncio.run(asyncio.wait_for(Worker(planned, users.settings("worker"), burst=True).run(), 60))

        assert client.task(made.id, queue=QUEUE).state == "completed"
        assert [view.schedule.id for view in client.schedules.list().items] == ["send"]


def test_the_worker_does_everything_with_schedules_and_the_observer_looks(users: Users) -> None:
    schedules, due, now = users.key("schedules"), users.key("due:q"), "0"
    spec = '{"every":[{"every":60000}],"overlap":"terminate_other"}'
    put = ("rs1_put_schedule", 1, due, now, "s", "", spec, "type", "send", "payload", "1")
    writes: list[tuple[Any, ...]] = [
        put,
        ("rs1_fire", 1, due, now, 1, "s", "1", "", "every", "", 0, "", 1, 1_000_000_000_000, 1_000_000_000_000),
        ("rs1_trigger", 1, due, now, "s", "", ""),
        ("rs1_pause_schedule", 1, schedules, now, "s", "", 0),
        ("rs1_resume_schedule", 1, schedules, now, "s"),
        ("rs1_put_calendar", 1, schedules, "de", "[]"),
        ("rs1_drop_schedule", 1, schedules, now, "s"),
    ]
    reads: list[tuple[Any, ...]] = [
        ("rs1_due_schedules", 1, schedules, now, 10),
        ("rs1_show_schedules", 1, schedules, now, "", 10),
        ("rs1_calendars", 1, schedules),
    ]
    with users.connect("worker") as worker, users.connect("observer") as observer:
        for command in writes:
            denied(observer, "FCALL", *command)
            assert worker.execute_command("FCALL", *command)
            for look in reads:
                observer.execute_command("FCALL_RO", *look)
        assert worker.execute_command("FCALL", *put)[0] == "created"
        assert observer.hgetall(users.key("schedule:s"))["task:type"] == "send"
        for key in ("schedules", "schedule:s", "calendars"):
            denied(observer, "UNLINK", users.key(key))
    for role in ("producer", "producer-raw", "inbox"):
        with users.connect(role) as connection:
            denied(connection, "FCALL", *put)
            for command in (
                ("HSET", "schedule:s", "spec", "x"),
                ("HGETALL", "schedule:s"),
                ("HGETALL", "calendars"),
                ("ZADD", "schedules", 0, "s"),
                ("HSET", "calendars", "de", "[]"),
            ):
                denied(connection, command[0], users.key(str(command[1])), *command[2:])
    assert users.store.redis.exists(schedules, users.key("schedule:s"), users.key("calendars")) == 3


def test_the_observer_reads_everything_and_changes_nothing(users: Users) -> None:
    with users.client("worker") as client:
        client.enqueue("t", {"code": 1}, queue=QUEUE, id="a", delay="1h")
    with users.client("observer") as client:
        assert client.task("a", queue=QUEUE).payload == {"code": 1}
        assert [view.id for view in client.list(QUEUE).items] == ["a"]
        assert client.stats(client.queues())[0].scheduled == 1
        assert client.quarantined(QUEUE).items == []
        assert client.ping().role == "master"
        for act in (client.cancel, client.revive, client.drop, client.requeue):
            with pytest.raises(StoreDenied):
                act("a", queue=QUEUE)
        with pytest.raises(StoreDenied):
            client.enqueue("t", queue=QUEUE)
    with users.connect("observer") as connection:
        assert connection.hgetall(users.key("task:q:a"))["type"] == "t"
        assert connection.zcard(users.key("due:q")) == 1
        for command in (
            ("HSET", "task:q:a", "f", "v"),
            ("ZADD", "due:q", 0, "b"),
            ("XADD", "events", "*", "a", "b"),
            ("DEL", "task:q:a"),
            ("ZREM", "due:q", "a"),
            ("SADD", "queues", "z"),
            ("UNLINK", "due:q"),
        ):
            denied(connection, command[0], users.key(command[1]), *command[2:])
        denied(connection, "FCALL", "rs1_cancel", 1, users.key("due:q"), 0, "", "a")
        denied(connection, "FCALL_RO", "rs1_cancel", 1, users.key("due:q"), 0, "", "a")


def test_the_observer_has_no_command_that_writes(users: Users) -> None:
    named = [name for name in acl.role("observer", "n", [QUEUE]).commands if not name.startswith("fcall")]
    found = users.store.redis.execute_command("COMMAND", "INFO", *named)

    flags = found if isinstance(found, dict) else {row[0]: row[2] for row in found}
    writers = [name for name, row in flags.items() if "write" in (row["flags"] if isinstance(row, dict) else row)]
    assert writers == []


def test_the_deployer_installs_and_sees_no_task(users: Users) -> None:
    users.store.redis.hset(users.key("task:q:1"), mapping={"type": "t", "payload": "{}"})
    with users.client("deployer") as client:
        assert client.install().build == scripts.BUILD
        with pytest.raises(StoreDenied):
            client.task("1", queue=QUEUE)
        with pytest.raises(StoreDenied):
            client.enqueue("t", queue=QUEUE)
    with users.connect("deployer") as connection:
        assert connection.execute_command("ACL", "WHOAMI") == users.name("deployer")
        for command in (
            ("HGETALL", users.key("task:q:1")),
            ("FLUSHALL",),
            ("KEYS", "*"),
            ("EVAL", "return 1", 0),
            ("ACL", "SETUSER", "x"),
            ("FUNCTION", "FLUSH"),
        ):
            denied(connection, *command)


def test_without_the_library_a_locked_down_role_says_so_and_writes_nothing(tmp_path: Path) -> None:
    server = servers.start_redis7(tmp_path)
    try:
        users = Users(Store("redis", servers.connect(server.url), url=server.url, namespace=f"t{secrets.token_hex(4)}"))
        users.make()
        with users.client("producer") as client, pytest.raises(StoreDenied):
            client.enqueue("t", queue=QUEUE)
        assert users.store.keys() == []
        with users.client("deployer") as client:
            client.install()
        with users.client("producer") as client:
            assert client.enqueue("t", queue=QUEUE).status == "created"
    finally:
        server.stop()


def test_a_wrong_password_is_an_error_that_does_not_show_it(users: Users) -> None:
    url = users.url("worker").replace("pw-worker", "canary-7f3a")
    with Client(url, namespace=users.store.namespace) as client, pytest.raises(StoreDenied) as caught:
        client.enqueue("t", queue=QUEUE)
    assert "canary" not in str(caught.value) + repr(caught.value)


def test_print_gives_a_line_for_each_role_or_for_one(users: Users) -> None:
    with Redsched("--namespace", "shop", "acl", "print", "--queue", "otp", "--queue", "mail") as printed:
        assert printed.wait(60) == 0
    lines = [line for line in printed.lines if line.startswith("ACL SETUSER shop-")]
    assert [line.split()[2] for line in lines] == [acl.user_of(role, "shop", ["otp", "mail"]) for role in acl.ROLES]
    assert all(" >SECRET " in line and " -@all " in line for line in lines)
    assert "%W~{shop}:inbox:otp %W~{shop}:inbox:mail" in lines[3]
    with Redsched("acl", "print", "--role", "inbox", "-o", "json") as printed:
        assert printed.wait(60) == 0
    assert "rs-default-inbox" in "".join(printed.lines)


def test_every_command_in_the_lua_is_a_literal_that_the_roles_are_made_of() -> None:
    for verb in scripts.verbs():
        text = scripts.script(verb)
        others = re.findall(r"redis\.p?call\((?!')[^)]*\)?", text)
        assert [call for call in others if call != "redis.pcall(...)"] == [], verb  # a wrapper's, whose callers say it
    assert {"zrem", "xgroup|create", "hset", "time"} <= acl.commands_of("promote")
    assert {*acl._OF_CONDITIONS} <= acl._functions().keys(), "one has another name by now"


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


NAMESPACE_WIDE = {"reserve", "answer"}
EVENTS = {"emit", "attend"}
SCHEDULES = {"due_schedules", "pause_schedule", "resume_schedule", "replan_schedules", "drop_schedule",
             "show_schedules", "put_calendar", "calendars"}  # fmt: skip
RULES = {"put_rule", "drop_rule", "rules"}
PRODUCER = {"enqueue", "settle", "renew", "reschedule", "update", "progress", "revive", "show", "confirm", "follow"}
PLANNER = PRODUCER | {"reap", "cancel", "list", "drop", "inspect", "resume"}
# role -> the functions that it reaches for its own queue, and those for which no queue is asked; all else, and all
# of another queue, is refused
REACHES: dict[str, tuple[set[str], set[str]]] = {
    "producer-raw": (set(), set()),
    "inbox": (set(), set()),
    "deployer": (set(), set()),
    "producer": (PRODUCER, NAMESPACE_WIDE),
    "planner": (PLANNER, NAMESPACE_WIDE | EVENTS),
    "worker": (set(CALLS) - {"repair"}, NAMESPACE_WIDE | EVENTS | SCHEDULES | RULES),
    "observer": (
        {"show", "list", "stats", "inspect", "kin", "paused", "explain"},
        {"due_schedules", "show_schedules", "calendars", "rules"},
    ),
}


def reached(users: Users, connection: redis.Redis, verb: str, queue: str) -> bool:
    """Whether the user is let through to the function, whatever it then says."""
    call = CALLS[verb](1)
    spelled = [str(key).replace("{rs}", f"{{{users.store.namespace}}}") for key in call.keys]
    keys = [re.sub(f":due:{QUEUE}$", f":due:{queue}", key) for key in spelled]
    args = {"pause_schedule": [*call.args[:-1], 0], "trigger": call.args[:4]}.get(verb, call.args)
    for word in ("FCALL_RO", "FCALL"):
        try:
            connection.execute_command(word, scripts.PREFIX + verb, len(keys), *keys, *args)
        except redis.exceptions.NoPermissionError:
            continue
        except redis.ResponseError as error:
            if str(error).startswith("RS_"):
                return True
        else:
            return True
    return False


@pytest.mark.parametrize("role", acl.ROLES)
def test_each_role_reaches_these_functions_for_its_own_queue_and_none_for_another(users: Users, role: str) -> None:
    with users.store.client() as client:
        for queue in (QUEUE, "r"):
            for task_id in ("a", "b"):
                client.enqueue("t", queue=queue, id=task_id)
    own, any_queue = REACHES[role]
    with users.connect(role) as connection:
        found = {queue: {verb for verb in CALLS if reached(users, connection, verb, queue)} for queue in (QUEUE, "r")}

    assert sorted(found[QUEUE] ^ (own | any_queue)) == []
    assert sorted(found["r"] ^ any_queue) == []


@pytest.mark.parametrize("role", acl.ROLES)
def test_each_role_has_what_ordinary_clients_send_to_connect(users: Users, role: str) -> None:
    with users.connect(role) as connection:
        for command in (("PING",), ("CLIENT", "SETNAME", "x"), ("CLIENT", "ID"), ("INFO",), ("SELECT", "1")):
            connection.execute_command(*command)


def test_a_raw_producer_may_write_a_hash_in_the_old_way(users: Users) -> None:
    with users.connect("producer-raw") as connection:
        connection.execute_command("HMSET", users.key("task:q:1"), "type", "t", "payload", "{}")


def test_a_worker_in_another_language_may_end_its_blocking_read(users: Users) -> None:
    with users.connect("worker") as reader, users.connect("worker") as other:
        assert other.execute_command("CLIENT", "UNBLOCK", reader.client_id()) == 0  # it does not block now


def test_the_worker_works_in_another_database_than_0(users: Users) -> None:
    settings = Settings(
        redis_url=users.url("worker").replace("/0", "/5"), namespace=users.store.namespace, queues=(QUEUE,)
    )
    with Client(settings=settings) as client:
        made = client.enqueue("send", 2, queue=QUEUE)

        assert asyncio.run(asyncio.wait_for(Worker(app, settings, burst=True).run(), 60)) == 0

        assert client.task(made.id, queue=QUEUE).result == 3
    with servers.connect(str(users.store.url).replace("/0", "/5")) as connection:
        connection.flushdb()


def test_the_line_of_a_role_says_what_it_can_do_beyond_its_purpose() -> None:
    said = {role: acl.role(role, "rs", [QUEUE]).summary for role in acl.ROLES}
    assert "trim" in said["inbox"] and "end it" in said["inbox"]
    assert "overwrite" in said["producer-raw"] and "fact" in said["producer-raw"]
    assert "of the namespace" in said["worker"]
