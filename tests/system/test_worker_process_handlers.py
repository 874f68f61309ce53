"""``@app.task(..., process=True)``: handlers that compute run in processes, which a stopped run takes with it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from redsched import App, CallNext, Context, Fixed, TaskView, Worker
from redsched.observe import logs
from redsched.testing import TestClient
from tests.apps import computing
from tests.support.processes import until
from tests.support.workers import FINAL, Site, killed, site_on


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def ended(views: Sequence[TaskView]) -> bool:
    return all(view.state in FINAL for view in views)


def work(
    site: Site,
    ids: list[str],
    until: Callable[[Sequence[TaskView]], bool] = ended,
    app: App = computing.app,
    **settings: Any,
) -> list[TaskView]:
    """Run a worker until this is so of these tasks."""

    async def main() -> int:
        worker = Worker(app, site.settings(**settings))
        running = asyncio.create_task(worker.run())
        while not until(site.views(ids)):
            await asyncio.sleep(0.02)
        worker.stop()
        return await running

    assert asyncio.run(asyncio.wait_for(main(), 100)) == 0
    return site.views(ids)


def runs(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def both(ledger: Path) -> list[int]:
    """The pids that ``spin`` told, once it has."""
    return [int(word) for word in ledger.read_text().split()] if ledger.exists() else []


def test_runs_follow_one_another_in_processes_of_the_worker(site: Site) -> None:
    ids = [site.enqueue("add", 1, payload={"a": number})[0] for number in range(8)]
    views = work(site, ids, concurrency=2)
    results: list[dict[str, int]] = [view.result for view in views]  # type: ignore[misc]
    assert [result["sum"] for result in results] == list(range(1, 9))
    pids = {result["pid"] for result in results}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2
    assert not any(runs(pid) for pid in pids)  # they end with their worker


def test_a_handler_sees_its_task_and_what_it_logs_is_the_workers(site: Site) -> None:
    task_id, after = site.enqueue("look", 2, headers={"tenant": "a"})
    root, levels, out = logging.getLogger(), logging.getLogger().level, io.StringIO()
    handlers, ours = list(root.handlers), logging.getLogger("redsched").level
    logs.configure("info", "json", out)
    try:
        views = work(site, [task_id, after], concurrency=1)
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels)
        logging.getLogger("redsched").setLevel(ours)
    ((mark, pid, *found), (other_mark, other_pid, *_)) = (view.result for view in views)  # type: ignore[misc]
    assert (mark, other_mark, pid) == ("unset", "unset", other_pid)
    assert found == [task_id, "default", "look", 1, {"tenant": "a"}, "1", True]
    lines = [json.loads(text) for text in out.getvalue().splitlines()]
    (line,) = [line for line in lines if line["logger"] == "computing" and line["task_id"] == task_id]
    assert (line["event"], line["level"], line["task_id"], line["type"]) == ("looks", "info", task_id, "look")


@pytest.mark.parametrize(
    ("how", "state", "error"),
    [
        ("raise", "dead", "ValueError: of the handler"),
        ("reject", "dead", "never"),
        ("snooze", "scheduled", None),
        ("outcome", "scheduled", None),
        ("retry", "dead", "later"),
        ("completed", "completed", None),
        ("negative", "dead", "ValueError: "),
        ("no JSON", "completed", None),
        ("generator", "dead", "TypeError: the handler returned a generator"),
        ("state", "dead", "RuntimeError: the state is of the worker's process"),
        ("client", "dead", "RuntimeError: the client is of the worker's process"),
        ("fork", "completed", None),
        ("thread", "dead", "RuntimeError: only the handler's own thread can ask the worker"),
        ("exit", "dead", "SystemExit: 3"),
        ("die", "dead", "ProcessDied: the handler's process ended with exit code 3, and the handler had not"),
        ("kill", "dead", "ProcessDied: the handler's process was ended by SIGKILL"),
        ("segfault", "dead", "ProcessDied: the handler's process was ended by SIGSEGV"),
    ],
)
def test_a_run_ends_as_its_handler_does_and_a_crash_is_a_failed_attempt(
    site: Site, how: str, state: str, error: str | None
) -> None:
    ids = [*site.enqueue("end", 1, payload={"how": how}, max_attempts=1), *site.enqueue("add", 1, payload={"a": 1})]

    def settled(views: Sequence[TaskView]) -> bool:
        return not any(view.state in ("ready", "running") for view in views)

    view, after = work(site, ids, settled, concurrency=1)
    assert view.state == state
    assert (view.error or "").startswith(error or "") and (view.error is None) == (error is None)
    assert view.result == {"completed": [1, 2], "fork": 0}.get(how)
    assert after.state == "completed"  # the worker goes on
    if how == "raise":
        assert "in end" in (view.traceback or "")
    if how == "reject":
        assert view.reason == "no such order"


def test_a_payload_that_does_not_fit_is_dead_and_bytes_cross_as_they_are(site: Site) -> None:
    (bad,) = site.enqueue("add", 1, payload={"a": "x"})
    raw = {"type": "bytes", "payload": bytes(range(256)), "content_type": "application/octet-stream"}
    site.store.redis.hset(site.store.key("task:default:good"), mapping=raw)
    site.store.redis.zadd(site.store.key("due:default"), {"good": 0})
    first, second = work(site, [bad, "good"])
    assert (first.state, first.reason) == ("dead", "payload")
    assert second.result == 256


def test_its_context_asks_the_worker_for_progress_steps_and_parents(site: Site, tmp_path: Path) -> None:
    ledger = tmp_path / "charges"
    parent = site.client.enqueue("add", {"a": 1}).id
    task = site.client.enqueue("ask", {"ledger": str(ledger)}, after=[parent], retry=Fixed("0s"))
    (view,) = work(site, [task.id])
    assert (view.result, view.progress) == (["charge of attempt 1", [parent]], {"step": 1})
    assert ledger.read_text() == "charged\n"


@pytest.mark.parametrize("way", ["time limit", "cancel", "stop"])
def test_a_run_that_is_stopped_takes_its_process_and_what_that_started_with_it(
    site: Site, tmp_path: Path, way: str
) -> None:
    ledger = tmp_path / "pids"
    limit = "6s" if way == "time limit" else "1h"
    site.enqueue("add", 1, payload={"a": 1})  # it runs first, so that the limit does not count the start of the process
    (task_id,) = site.enqueue("spin", 1, payload={"ledger": str(ledger)}, timeout=limit, max_attempts=1)
    found: list[int] = []

    def told(views: Sequence[TaskView]) -> bool:
        found[:] = both(ledger)
        if found and way == "cancel" and not views[0].cancel_requested and views[0].state == "running":
            site.client.cancel(task_id)
        return (bool(found) and way == "stop") or ended(views)

    (view,) = work(site, [task_id], told, shutdown_grace_ms=100, concurrency=1)
    assert view.state == {"time limit": "dead", "cancel": "cancelled", "stop": "ready"}[way]
    assert (view.error or "").startswith("TimeLimit" if way == "time limit" else "")
    assert len(found) == 2
    until(lambda: not any(map(runs, found)), lambda: str(found))


def test_processes_end_with_a_worker_that_is_killed_and_stay_when_a_service_manager_tells_all_to_stop(
    site: Site, tmp_path: Path
) -> None:
    worker = site.start("worker", "tests.apps.computing:app", "--grace", "30s")
    worker.wait_for_error("worker.started")
    ledgers = [tmp_path / "short", tmp_path / "long"]
    short, _ = (
        site.enqueue("spin", 1, payload={"ledger": str(path), "seconds": seconds}, timeout="1h", max_attempts=1)[0]
        for path, seconds in zip(ledgers, (3.0, 3_600.0), strict=True)
    )
    pids = [until(lambda path=path: both(path), lambda: "no pid") for path in ledgers]  # type: ignore[misc]
    for pid, _ in pids:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    assert site.until_state(short).state == "completed"

    killed(worker)
    long_pid, its_child = pids[1]
    until(lambda: not runs(long_pid), lambda: str(long_pid))
    with contextlib.suppress(ProcessLookupError):
        os.kill(its_child, signal.SIGKILL)


def test_middleware_is_around_it_in_the_worker(site: Site) -> None:
    app, seen = App("shop"), list[Any]()
    app.task("end", process=True)(computing.end)

    @app.middleware
    async def note(ctx: Context, call_next: CallNext) -> Any:
        try:
            return await call_next()
        except Exception as error:
            seen.append((type(error).__name__, str(error)))
            raise

    work(site, site.enqueue("end", 1, payload={"how": "raise"}, max_attempts=1), app=app)
    assert seen == [("ValueError", "of the handler")]


def test_what_no_process_could_find_or_run_is_refused_when_it_is_registered() -> None:
    app = App("shop")

    async def coroutine() -> None: ...

    def local() -> None: ...

    def of_the_program() -> None: ...

    of_the_program.__module__, of_the_program.__qualname__ = "__main__", "of_the_program"
    for function, problem in (
        (coroutine, "process=True is for plain functions"),
        (local, "has to import the function by its name"),
        (partial(computing.add, a=1), "has to import the function by its name"),
        (of_the_program, "has to import the function by its name"),
    ):
        with pytest.raises(TypeError, match=problem):
            app.task("a", process=True)(function)
    assert app.tasks == {}
    assert computing.add.task(a=1).payload == {"a": 1}
    assert computing.look.task().payload == {}  # the context is not the producer's to give


def test_a_test_client_runs_it_in_a_process_too() -> None:
    with TestClient(computing.app) as client:
        client.enqueue("add", {"a": 4})
        (run,) = client.run_due()
        assert run.result["sum"] == 5
        assert runs(run.result["pid"])
    assert not runs(run.result["pid"])
