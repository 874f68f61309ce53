"""A marked payload and marked secrets go through a whole run; no log, error or process title may show a mark."""

from __future__ import annotations

import asyncio
import enum
import json
import secrets
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from redsched import (
    App,
    Client,
    Dead,
    InvalidTask,
    Reject,
    Retry,
    RetryLater,
    Settings,
    Stop,
    Task,
)
from redsched.model.errors import StoreDenied, StoreError
from tests.support.api_server import ApiServer, call
from tests.support.processes import Redsched, until
from tests.support.servers import Store

PAYLOAD, PASSWORD, TOKEN = (f"canary-{word}-{secrets.token_hex(4)}" for word in ("payload", "password", "token"))
CANARIES = (PAYLOAD, PASSWORD, TOKEN)
app = App(name="canary")


@app.task("take")
async def take(a: Any, b: int) -> Any:
    """Gives back what it got, so that the result is marked, too."""
    return [a, b]


@app.task("quote")
async def quote(a: str, b: int) -> None:
    """Fails as much of Python does: with the value in the text."""
    {}[a] if b else int(a)


class Colour(enum.Enum):
    """Values that a payload may have."""

    RED = "red"


@app.task("paint", unknown="refuse")
async def paint(colour: Colour) -> None:
    """Takes few values."""


@app.task("paint.any")
async def paint_any(colour: Colour) -> None:
    """Takes few values, and leaves out what else there is."""


@app.task("choose")
async def choose(how: str, text: str) -> Any:
    """Ends as it is told, with the text wherever one can be given."""
    match how:
        case "reject":
            raise Reject(text, reason=text)
        case "reject with a colon":
            raise Reject(f"{text}: no")
        case "dead":
            return Dead(text, text, text)
        case "retry":
            return Retry(f"{text}: later", timedelta(milliseconds=10))
        case "retry later":
            raise RetryLater(text, delay=timedelta(milliseconds=10))
        case "stop":
            raise Stop(text)
        case "exit":
            raise SystemExit(text)
        case "result":
            return {text: object()}
        case "task":
            asyncio.get_running_loop().create_task(fail(text))
            await asyncio.sleep(0.01)
        case "callback":
            asyncio.get_running_loop().call_soon(int, text)
        case "exit from a callback":
            asyncio.get_running_loop().call_soon(sys.exit, text)
        case "long name":
            raise type(f"Odd{how.title().replace(' ', '')}", (Exception,), {})(text)


async def fail(text: str) -> None:
    """As a task that nobody waits for."""
    raise ValueError(text)


WAYS = ("reject", "reject with a colon", "dead", "retry", "retry later", "stop", "exit", "result", "task", "callback",
        "exit from a callback", "long name")  # fmt: skip


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_the_logs_of_a_worker_say_where_and_of_what_kind_and_no_value(valkey_store: Store, log_format: str) -> None:
    assert valkey_store.url is not None
    environment = {
        "REDSCHED_REDIS_URL": valkey_store.url,
        "REDSCHED_NAMESPACE": valkey_store.namespace,
        "REDSCHED_LOG_LEVEL": "debug",
        "REDSCHED_LOG_FORMAT": log_format,
    }
    tasks = [Task(type="choose", payload={"how": how, "text": PAYLOAD}, max_attempts=2, retry=["10ms"]) for how in WAYS]
    tasks += [
        Task(type="paint", payload={"colour": PAYLOAD}, id="value"),
        Task(type="paint", payload={"colour": "red", PAYLOAD: 1}, id="key"),
        Task(type="paint.any", payload={"colour": "red", PAYLOAD: 1}, id="other-key"),
        Task(type="take", payload={"a": 1, "b": {PAYLOAD: PAYLOAD}}, id="typed"),
    ]
    with valkey_store.client() as client:
        made = [answer.id for answer in client.enqueue_many(tasks)]
        with Redsched("worker", "tests.system.test_canary:app", "--burst", env=environment) as worker:
            assert worker.wait() == 0, worker.said()
        views = list(client.show(made).values())

    assert {view.state for view in views if view} == {"completed", "dead", "cancelled"}
    told = worker.said().replace('\\"', '"')
    for kind in (
        "Invalid enum value - at `$.colour`",
        "Object contains unknown field - at `$`",
        "task.unknown_fields",
        "Expected `int`, got `object` - at `$.b`",
        "Reject",
        "RetryLater",
        "SystemExit",
        "OddLongName",
        "loop.error",
        "handler.exited",
    ):
        assert kind in told, kind
    clean(worker.said())
    found = {view.id: view for view in views if view}
    assert PAYLOAD in str(found["value"].error) and PAYLOAD in str(found["key"].error)  # the task has them


def clean(text: str) -> None:
    """None of the marks is in the text."""
    found = [canary for canary in CANARIES if canary in text]
    assert found == [], next(line for line in text.splitlines() if found[0] in line)


@pytest.fixture
def url(valkey_store: Store) -> Iterator[str]:
    """The server under a user whose password is marked."""
    user = f"{valkey_store.namespace}-u"
    valkey_store.redis.execute_command("ACL", "SETUSER", user, "on", f">{PASSWORD}", "~*", "&*", "+@all")
    assert valkey_store.url is not None
    yield valkey_store.url.replace("redis://", f"redis://{user}:{PASSWORD}@")
    valkey_store.redis.acl_deluser(user)


def test_a_run_with_every_way_to_fail_leaves_no_mark(valkey_store: Store, url: str) -> None:
    environment = {
        "REDSCHED_REDIS_URL": url,
        "REDSCHED_NAMESPACE": valkey_store.namespace,
        "REDSCHED_API_TOKEN": TOKEN,
        "REDSCHED_LOG_LEVEL": "debug",
        "REDSCHED_LOG_FORMAT": "json",
        "REDSCHED_API_PORT": "0",
    }
    marked = {"a": PAYLOAD, "b": 1}
    with (
        valkey_store.client() as client,
        Redsched("worker", "tests.system.test_canary:app", env=environment) as worker,
        Redsched("api", env=environment) as api,
    ):
        address = until(lambda: next((line for line in list(api.errors) if "api.listening" in line), None), api.said)
        base = "http://" + address.split("http://")[1].split()[0].strip('",}')
        client.enqueue_many(
            [
                Task(type="take", payload={"a": PAYLOAD, "b": 1}, id="good", headers={"code": PAYLOAD}),
                Task(type="quote", payload=marked, id="raises", max_attempts=2, retry=["10ms"]),
                Task(type="take", payload={"a": PAYLOAD}, id="shape", max_attempts=1),
                Task(type="take", payload={"a": 1, "b": PAYLOAD}, id="typed", max_attempts=1),
                Task(type="unknown", payload=marked, id="unhandled"),
                Task(type="take", payload=marked, id="expired", expires_at=1_000_000_000_000),
            ]
        )
        raw = {"type": "take", "payload": '{"a": "' + PAYLOAD}
        valkey_store.redis.hset(valkey_store.key("task:default:broken"), mapping=raw)
        valkey_store.redis.hset(valkey_store.key("task:default:odd"), mapping=raw | {"priority": "urgent"})
        valkey_store.redis.zadd(valkey_store.key("due:default"), {"broken": 0, "odd": 0, "a b": 0})
        authorized = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        answers = [
            call(base, "POST", "/v1/tasks", body, headers)
            for headers in (authorized, authorized | {"authorization": f"Bearer {TOKEN}x"})
            for body in (
                json.dumps({"type": "add", "payload": marked, "priority": "urgent"}).encode(),
                json.dumps({"type": "a b", "payload": marked}).encode(),
                json.dumps({"type": "add", "payload": marked, "retry": {"kind": "odd"}}).encode(),
                b'{"type":"add","payload":{"x":1,"x":"' + PAYLOAD.encode() + b'"}}',
                b'{"type":"add","payload":"' + PAYLOAD.encode(),
                json.dumps([PAYLOAD]).encode(),
            )
        ]
        states = until(
            lambda: (
                found
                if (
                    found := [
                        view.state if view else ""
                        for view in client.show(
                            ["good", "raises", "shape", "typed", "expired", "odd", "broken"]
                        ).values()
                    ]
                )
                == ["completed", "dead", "dead", "dead", "expired", "dead", "dead"]
                else None
            ),
            lambda: str(client.show(["good", "raises", "shape", "typed", "expired", "odd", "broken"])) + worker.said(),
        )
        assert states
        for answer in answers:
            assert answer.status in (400, 401, 422), answer.body
            clean(answer.body.decode())
        for process in (worker, api):
            for pid in process.family():
                clean(Path(f"/proc/{pid}/cmdline").read_bytes().decode())
            process.send(15)
            process.wait()
    clean(worker.said())
    clean(api.said())
    assert "task.dead" in worker.said() and "task.unhandled" in worker.said()


def test_errors_of_the_client_hold_neither_payload_nor_password(url: str, valkey_store: Store) -> None:
    wrong = url.replace(PASSWORD, PASSWORD + "x")
    with Client(wrong, namespace=valkey_store.namespace) as client, pytest.raises(StoreDenied) as denied:
        client.enqueue("t", {"code": PAYLOAD})
    away = Settings(redis_url=f"redis://u:{PASSWORD}@127.0.0.1:1/0", retry_for_ms=0)
    with Client(settings=away) as client, pytest.raises(StoreError) as gone:
        client.enqueue("t", {"code": PAYLOAD})
    with Client(url, namespace=valkey_store.namespace) as client:
        with pytest.raises(InvalidTask) as invalid:
            client.enqueue("t", {"code": PAYLOAD, "other": object()})
        with pytest.raises(InvalidTask) as large:
            client.enqueue("t", PAYLOAD * 100_000)

    for caught in (denied, gone, invalid, large):
        clean(str(caught.value) + repr(caught.value) + str(caught.value.__cause__))


def test_the_command_line_shows_no_password(url: str) -> None:
    with Redsched("-r", f"redis://u:{PASSWORD}@127.0.0.1:1/0", "queue", "ls") as away:
        assert away.wait() == 5
    with Redsched("-r", url.replace(PASSWORD, PASSWORD + "x"), "-v", "queue", "ls") as denied:
        assert denied.wait() != 0
    with Redsched("-r", f"http://u:{PASSWORD}@h", "queue", "ls") as odd:
        assert odd.wait() == 2
    for ended in (away, denied, odd):
        clean(ended.said())


def test_http_refuses_names_given_twice_and_nesting_without_end(valkey_store: Store) -> None:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as api:
        for body in (
            b'{"type":"t","type":"u"}',
            b'{"type":"t","payload":{"a":1,"a":2}}',
            b'{"type":"t","payload":[{"a":1,"a":1}]}',
            b'{"type":"t","payload":' + b"[" * 65 + b"]" * 65 + b"}",
        ):
            answer = api.post("/v1/tasks", body)
            assert answer.code == "422 validation_failed", body
            assert "nothing was written" in answer.json["detail"]
        for number in (b"NaN", b"1e999", b"-Infinity", b"9" * 5_000):
            assert api.post("/v1/tasks", b'{"type":"t","payload":' + number + b"}").status in (400, 422)
        batch = api.post("/v1/tasks:batch", b'[{"type":"t","id":"a"},{"type":"t","id":"b","id":"c"},{"type":"t"}]').json
        assert [result["status"] for result in batch["results"]] == ["created", "invalid", "created"]
    assert valkey_store.redis.exists(valkey_store.key("task:default:b"), valkey_store.key("task:default:c")) == 0
