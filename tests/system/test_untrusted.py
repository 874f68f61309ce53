"""Whatever anybody writes into Redis: a good task beside it runs, no process ends, and every list can be read."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from redsched import App, Settings
from redsched.cli.main import main
from redsched.engine.mover import Mover
from redsched.engine.worker import Worker
from tests.support.api_server import ApiServer
from tests.support.garbage import GOOD, HURT, Garbage, fields, keys
from tests.support.servers import Store

SECONDS = float(os.environ.get("REDSCHED_TEST_UNTRUSTED_SECONDS", "8"))  # of the random part
SEED = int(os.environ.get("REDSCHED_TEST_UNTRUSTED_SEED", "1"))
PATIENCE = 30.0  # seconds that a good task may take on a busy machine; the figure to reach is one
STRIKES = 6  # between two good tasks
READS = ("/v1/queues", f"/v1/queues/{GOOD}", f"/v1/queues/{HURT}", "/v1/schedules", "/v1/schedules/n1", "/v1/rules",
         "/v1/rules/n1", "/v1/calendars", f"/v1/queues/{GOOD}/paused", f"/v1/queues/{HURT}/paused", "/metrics",
         *(f"/v1/tasks?queue={queue}&state={state}" for queue in (GOOD, HURT)
           for state in ("scheduled", "held", "ready", "running", "completed", "dead")),
         *(f"/v1/tasks/t1{what}?queue={queue}" for queue in (GOOD, HURT)
           for what in ("", "/explain", "/tree", "/parents")))  # fmt: skip
COMMANDS = (("queue", "ls"), ("schedule", "ls"), ("rule", "ls"), ("calendar", "ls"), ("dead", "ls", "-q", GOOD),
            ("quarantine", "ls", "-q", GOOD), ("task", "ls", "-q", GOOD), ("task", "show", "t1", "-q", GOOD),
            ("dead", "ls", "-q", HURT), ("schedule", "show", "n1"), ("doctor",))  # fmt: skip
app = App()


@app.task("note")
async def note(**given: Any) -> None:
    """Does nothing."""


def test_the_tables_of_the_contract_are_read_whole() -> None:
    found = keys()

    assert {
        "task:<queue>:<id>",
        "ready:<queue>:low",
        "running:<queue>",
        "stats:<queue>:<minute>",
        "mover",
        "agenda",
        "rules:<event>",
        "items:<queue>:<digest>",
        "calendars",
        "held:<queue>",
    } <= set(found)
    assert len(found) == len(set(found)) > 35
    assert {"conditions", "into", "entry", "bound", "retry"} <= set(fields("## The task's hash"))
    assert {"spec", "slot", "buffer", "recent", "paused_until"} <= set(fields("### Its hash"))


def settings_of(store: Store, directory: Path, *queues: str) -> Settings:
    return Settings(
        redis_url=store.url or "",
        namespace=store.namespace,
        queues=queues or (GOOD,),
        data_dir=str(directory),
        lease_ms=6_000,
    )


def good_task(store: Store, task_id: str) -> None:
    store.redis.hset(store.key(f"task:{GOOD}:{task_id}"), mapping={"type": "note", "payload": "{}"})
    store.redis.zadd(store.key(f"due:{GOOD}"), {task_id: store.now_ms() + 20})


async def has_run(store: Store, task_id: str) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if store.redis.hget(store.key(f"task:{GOOD}:{task_id}"), "state") == "completed":
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.fixture(params=[0, 1])
def seed(request: pytest.FixtureRequest) -> int:
    return SEED + int(request.param)


@pytest.mark.timeout(SECONDS + 120)
def test_garbage_in_any_key_stops_nothing_beside_it(valkey_store: Store, tmp_path: Path, seed: int) -> None:
    store = valkey_store
    garbage = Garbage(store.redis, store.namespace, seed)

    async def scenario(api: ApiServer) -> None:
        worker = Worker(app, settings_of(store, tmp_path, HURT, GOOD))
        mover = Mover(settings_of(store, tmp_path))
        parts = [asyncio.create_task(worker.run()), asyncio.create_task(mover.run())]
        good_task(store, "first")
        while not await has_run(store, "first"):  # until the worker has started
            pass
        ends, number = time.monotonic() + SECONDS / 2, 0
        while time.monotonic() < ends:
            number += 1
            del garbage.told[:]
            for task_id in ("t1", "t2"):
                for queue in (GOOD, HURT):
                    store.redis.unlink(store.key(f"task:{queue}:{task_id}"))
                    store.redis.hset(store.key(f"task:{queue}:{task_id}"), mapping={"type": "note", "payload": "{}"})
            for _ in range(STRIKES):
                garbage.strike()
            good_task(store, f"good{number}")
            assert await has_run(store, f"good{number}"), f"seed {seed}, round {number}: {garbage.told}"
            assert not any(part.done() for part in parts), f"seed {seed}, round {number}: {garbage.told}"
            path = READS[number % len(READS)]
            answer = await asyncio.to_thread(api.get, path)
            assert answer.status < 500, f"{path}: {answer.status} {answer.body[:300]!r}; seed {seed}: {garbage.told}"
            if number % 7 == 0:
                store.clear()
        worker.stop()
        mover.stop()
        assert await parts[0] == 0
        await parts[1]

    assert store.url is not None
    with ApiServer(store.url, store.namespace) as api:
        asyncio.run(scenario(api))


def test_every_list_shows_what_it_can(valkey_store: Store) -> None:
    store = valkey_store
    assert store.url is not None
    garbage = Garbage(store.redis, store.namespace, SEED)
    with ApiServer(store.url, store.namespace) as api:
        api.get("/v1/queues")
        for number in range(8):
            for _ in range(60):
                garbage.strike()
            for path in READS:
                answer = api.get(path)
                assert answer.status < 500, f"{path}: {answer.status} {answer.body[:300]!r}, {garbage.told}"
            for command in COMMANDS if number == 7 else ():
                words = ["-r", store.url, "--namespace", store.namespace, *command]
                result = CliRunner().invoke(main, words)
                assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exception)
                assert result.exit_code in (0, 1, 3, 4, 6) and "Traceback" not in result.output, command


BAD_SCHEDULES: dict[str, dict[str, Any]] = {
    "window": {"spec": '{"every":[{"every":1000}],"catch_up_window":"soon"}'},
    "negative": {"spec": '{"every":[{"every":1000}],"catch_up_window":-1}'},
    "deep-payload": {"spec": '{"every":[{"every":1000}]}', "task:payload": "[" * 3_000 + "]" * 3_000},
    "deep-spec": {"spec": "[" * 100_000},
    "far": {"spec": '{"every":[{"every":1000}]}', "slot": "9" * 15, "recent": "999999999999999/999999999999999"},
    "bytes": {"spec": b"\xff\xfe"},
}


def test_schedules_that_cannot_be_used_are_paused_and_shown_and_the_others_fire(
    valkey_store: Store, tmp_path: Path
) -> None:
    store = valkey_store
    plain = {"queue": GOOD, "rev": "1", "task:type": "note", "task:payload": "{}", "changed_at": str(store.now_ms())}
    for name, given in (BAD_SCHEDULES | {"well": {"spec": '{"every":[{"every":1000}]}'}}).items():
        store.redis.hset(store.key(f"schedule:{name}"), mapping={**plain, **given})
        store.redis.zadd(store.key("schedules"), {name: 0})
    store.redis.hset(store.key("rules"), "broken", "e")
    store.redis.hset(store.key("rules:e"), "broken", "[" * 5_000)

    found = store.keys

    async def scenario() -> None:
        worker = Worker(app, settings_of(store, tmp_path))
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(60):
            while not any(key.startswith(store.key(f"task:{GOOD}:well@")) for key in found()):
                await asyncio.sleep(0.02)
        good_task(store, "good")
        assert await has_run(store, "good")
        worker.stop()
        assert await running == 0

    asyncio.run(scenario())
    paused = {name: store.redis.hget(store.key(f"schedule:{name}"), "paused") or "" for name in BAD_SCHEDULES}
    assert {name for name, why in paused.items() if why.startswith("malformed: ")} >= {
        "window",
        "negative",
        "deep-spec",
        "bytes",
    }
    assert store.url is not None
    with ApiServer(store.url, store.namespace) as api:
        shown: dict[str, Any] = {}
        cursor: str | None = ""
        while cursor is not None:  # a page ends sooner where its schedules take long
            page = api.get("/v1/schedules" + (f"?cursor={cursor}" if cursor else "")).json
            shown |= {one["id"]: one["problem"] for one in page["items"]}
            cursor = page["next_cursor"]
        assert shown.keys() == BAD_SCHEDULES.keys() | {"well"}
        assert shown["well"] is None and all(shown[name] for name in ("window", "negative", "deep-spec", "bytes"))
        (rule,) = api.get("/v1/rules").json["items"]
        assert (rule["id"], rule["on"]) == ("broken", "e") and rule["problem"]


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\xff garbage",
        b"[" * 100_000,
        b'{"queue":"a b","task_id":"t","token":"1.a","outcome":"complete","first":"","error":"","traceback":""}',
        b'{"queue":"q","task_id":"t","token":"1.a","outcome":"explode","first":"","error":"","traceback":""}',
    ],
    ids=["bytes", "deep", "no queue", "no outcome"],
)
def test_a_file_of_garbage_does_not_end_the_worker_that_finds_it(
    valkey_store: Store, tmp_path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(app, settings_of(valkey_store, tmp_path), burst=True)
    folder = tmp_path / "spool"
    folder.mkdir()

    async def leave_garbage() -> None:
        async with valkey_store.async_client() as client:
            await worker._spool.identify(client)

    asyncio.run(leave_garbage())
    worker._spool.path.write_bytes(line + b"\n")

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(asyncio.wait_for(worker.run(), 60)) == 0

    assert [record.message for record in caplog.records] == ["answers.malformed"]
    assert list(folder.iterdir()) == []
