"""The worker and the mover in Node under ``examples/node``: no process of redsched runs beside them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.servers import Store

EXAMPLES = Path(__file__).parents[2] / "examples" / "node"
PATIENCE = 60.0  # seconds, on a busy machine


@pytest.fixture
def node(valkey_store: Store, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts one of the programs; all that still run are killed at the end."""
    program_of_node = servers.require("node")
    for program in EXAMPLES.glob("*.mjs"):
        shutil.copy(program, tmp_path)
    (tmp_path / "node_modules").symlink_to(servers.NODE_DIR / "node_modules")
    running: list[subprocess.Popen[bytes]] = []
    settings = {"REDIS_URL": valkey_store.url or "", "NAMESPACE": valkey_store.namespace, "LEASE_MS": "4000"}

    def start(program: str) -> subprocess.Popen[bytes]:
        running.append(
            subprocess.Popen([program_of_node, program], cwd=tmp_path, env={**os.environ, **settings}, stdout=output)
        )
        return running[-1]

    with valkey_store.client() as client:
        client.install()
    with (tmp_path / "output").open("wb") as output:
        yield start
        for process in running:
            process.kill()
            process.wait()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state(store: Store, task_id: str) -> str | None:
    found: str | None = store.redis.hget(store.key(f"task:default:{task_id}"), "state")
    return found


def raw(store: Store, task_id: str, type_: str, *, delay_ms: int = 0, payload: str = "{}", **fields: str) -> None:
    mapping = {"type": type_, "payload": payload, **fields}
    store.redis.hset(store.key(f"task:default:{task_id}"), mapping=mapping)
    store.redis.zadd(store.key("due:default"), {task_id: store.now_ms() + delay_ms})


def test_they_run_what_is_due_try_again_what_fails_and_stop_when_they_are_asked(
    node: Callable[[str], subprocess.Popen[bytes]], valkey_store: Store
) -> None:
    mover, worker = node("mover.mjs"), node("worker.mjs")
    raw(valkey_store, "now", "log")
    raw(valkey_store, "later", "sleep", delay_ms=700, payload='{"ms":200}')
    raw(valkey_store, "bad", "sleep", payload='{"ms":"soon"}')
    raw(valkey_store, "fails", "fail", retry="fixed 200", max_attempts="2")
    valkey_store.redis.xadd(valkey_store.key("inbox:default"), {"id": "appended", "type": "log", "payload": "1"})

    ends = {"now": "completed", "later": "completed", "bad": "dead", "fails": "dead", "appended": "completed"}
    until(lambda: {name: state(valkey_store, name) for name in ends} == ends)

    assert valkey_store.redis.hget(valkey_store.key("task:default:fails"), "attempt") == "2"
    for process in (worker, mover):
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_what_a_killed_worker_held_runs_in_another_after_its_lease(
    node: Callable[[str], subprocess.Popen[bytes]], valkey_store: Store
) -> None:
    node("mover.mjs")
    worker = node("worker.mjs")
    raw(valkey_store, "long", "sleep", payload='{"ms":3000}')
    begun = valkey_store.key("task:default:long")
    until(lambda: valkey_store.redis.hget(begun, "begun") is not None)
    worker.kill()

    node("worker.mjs")

    until(lambda: state(valkey_store, "long") == "completed")
    assert valkey_store.redis.hget(begun, "attempt") == "2"
