"""The Redis users of ``redsched acl print``, on real servers: what none may do, what each reaches, who installs."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import pytest
import redis

from redsched import Client
from redsched.model.errors import StoreDenied
from redsched.wire import acl, lua_commands, scripts
from tests.support import servers
from tests.support.acl_users import QUEUE, Users, denied
from tests.support.calls import CALLS
from tests.support.processes import Redsched
from tests.support.servers import Store

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


def test_print_gives_a_line_for_each_role_or_for_one() -> None:
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
    assert {"zrem", "xgroup|create", "hset", "time"} <= lua_commands.commands_of("promote")
    assert {*acl._OF_CONDITIONS} <= lua_commands.functions().keys(), "one has another name by now"


NAMESPACE_WIDE = {"reserve", "answer", "types"}
APPS = {"put_types", "keep_schedules"}
EVENTS = {"emit", "attend"}
SCHEDULES = {"due_schedules", "pause_schedule", "resume_schedule", "replan_schedules", "drop_schedule",
             "show_schedules", "put_calendar", "calendars"}  # fmt: skip


SEARCH = {"find", "about"}
RULES = {"put_rule", "drop_rule", "rules"}
PRODUCER = {
    "retag",
    "shift",
    "enqueue",
    "enqueue_run",
    "list",
    "inspect",
    "settle",
    "renew",
    "reschedule",
    "update",
    "progress",
    "once",
    "revive",
    "show",
    "confirm",
    "follow",
}
PLANNER = PRODUCER | {"reap", "cancel", "list", "drop", "inspect", "resume"}
# role -> the functions that it reaches for its own queue, and those for which no queue is asked; all else, and all
# of another queue, is refused
REACHES: dict[str, tuple[set[str], set[str]]] = {
    "producer-raw": (set(), set()),
    "inbox": (set(), set()),
    "deployer": (set(), set()),
    "producer": (PRODUCER, NAMESPACE_WIDE),
    "planner": (PLANNER, NAMESPACE_WIDE | EVENTS | {"rules"}),
    "worker": (set(CALLS) - {"move"}, NAMESPACE_WIDE | EVENTS | SCHEDULES | RULES | SEARCH | APPS | {"operate"}),
    "observer": (
        {"show", "list", "stats", "timeline", "inspect", "kin", "paused", "explain"},
        {"due_schedules", "show_schedules", "calendars", "rules", "types"} | SEARCH,
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


def test_the_line_of_a_role_says_what_it_can_do_beyond_its_purpose() -> None:
    said = {role: acl.role(role, "rs", [QUEUE]).summary for role in acl.ROLES}
    assert "trim" in said["inbox"] and "end it" in said["inbox"]
    assert "overwrite" in said["producer-raw"] and "fact" in said["producer-raw"]
    assert "of the namespace" in said["worker"]
