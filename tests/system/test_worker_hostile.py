"""Whatever a handler does is one failed attempt of one task: the worker, its neighbours and the pool go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from redsched import Task, TaskView
from tests.apps.forks import FORKS
from tests.apps.hostile import AWAITABLE, BREAKS, LEFT, RAISES
from tests.support.processes import Redsched, alive, descendants, until
from tests.support.workers import Site, site_on

APP = "tests.apps.hostile:app"
WITHOUT_UVLOOP = Path(__file__).parents[1] / "support" / "without_uvloop"
LOOPS = ["asyncio", "uvloop"]
ERRORS = {
    "panic": "Panic: rust", "group": "BaseExceptionGroup: several (2 sub-exceptions)",
    "groups in groups": "BaseExceptionGroup: further in", "interrupt": "KeyboardInterrupt: by hand",
    "exit 2": "SystemExit: 2", "generator exit": "GeneratorExit: by hand", "recursion": "RecursionError",
    "memory": "MemoryError: all of it", "unreadable": "Unreadable", "no outcome": "AttributeError",
    "generator": "TypeError: the handler returned a generator",
    "async generator": "TypeError: the handler returned an async generator",
    "coroutine": "TypeError: the handler returned a coroutine", "lazy map": "TypeError: the handler returned a map",
    "lazy starmap": "TypeError: the handler returned a starmap: nothing was run",
    "lazy zip": "TypeError: the handler returned a zip", "async iterator": "TypeError: the handler returned a Ticks",
    "uncalled": "TypeError: the handler returned a function",
    "uncalled partial": "TypeError: the handler returned a partial",
    "thread's future": "TypeError: the handler returned a Future: it has not ended",
    "asyncio task": "TypeError: the handler returned a Task: it has not ended",
    "asyncio future": "TypeError: the handler returned a Future: it has not ended",
    "awaitable": "TypeError: the handler returned a coroutine: nothing was run",
    "gather": "SystemExit: 2", "task group": "KeyboardInterrupt: in a child", "thread": "SystemExit: 2",
    "callback": "RuntimeError: went on", "forgotten child": "RuntimeError: went on",
    "loop stop": "RuntimeError: went on", "own cancel": "CancelledError: by hand",
    "own cancel, then the end": "CancelledError", "child's generator exit": "GeneratorExit",
    "uncancel": "RuntimeError: went on", "late cancel": "RuntimeError: went on",
    "cancel all": "RuntimeError: went on", "wait for all": "RuntimeError: went on",
}  # fmt: skip
FOUND = {
    "fork": -15, "spawn": -15, "loop": 42, "pool": [1, 2], "executor": [1, 2], "os.fork": 0, "os.fork, raising": 1,
    "os.fork, SIGTERM": -15, "subprocess": -15,
}  # fmt: skip


@pytest.fixture(scope="module", params=LOOPS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Redsched]]:
    """One worker process of one slot for the tests of this file: what one task leaves behind, the next would meet."""
    with site_on(request, "valkey", tmp_path_factory.mktemp("hostile")) as site:
        yield site, started(site, request.param, "-c", "1")


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def started(site: Site, loop: str, *arguments: str) -> Redsched:
    """A worker of these handlers on this event loop."""
    without = {} if loop == "uvloop" else {"PYTHONPATH": f"{WITHOUT_UVLOOP}:{os.getcwd()}"}
    worker = site.start("worker", APP, "-q", "default", *arguments, **without)
    worker.wait_for_error("worker.started")
    assert f"loop={loop}" in worker.wait_for_error("worker.starting")
    return worker


def assert_goes_on(site: Site, worker: Redsched) -> None:
    """The same process runs the next task."""
    assert site.run("add", 1).result == 2
    assert worker.process.poll() is None
    assert not any("worker.draining" in line or "worker.failed" in line for line in worker.errors)


def failed(site: Site, type_: str, kind: str) -> TaskView:
    """The task after its only attempt."""
    view = site.run(type_, {"kind": kind}, max_attempts=1)
    assert (view.state, view.reason, view.attempt) == ("dead", "attempts", 1)
    return view


@pytest.mark.parametrize("kind", RAISES)
@pytest.mark.parametrize("type_", ["raises", "raises.late", "raises.sync"])
def test_what_a_handler_raises_is_the_error_of_its_task(shared: tuple[Site, Redsched], type_: str, kind: str) -> None:
    site, worker = shared
    if (type_, kind) == ("raises.sync", "coroutine"):
        pytest.skip("a plain function may return a coroutine: it is awaited")

    assert (failed(site, type_, kind).error or "").startswith(ERRORS[kind])

    assert_goes_on(site, worker)


@pytest.mark.parametrize("kind", AWAITABLE)
def test_what_a_coroutine_returns_without_awaiting_it_has_not_ended(shared: tuple[Site, Redsched], kind: str) -> None:
    site, worker = shared

    assert (failed(site, "returns.awaitable", kind).error or "").startswith(ERRORS[kind])

    assert_goes_on(site, worker)


@pytest.mark.parametrize("kind", ["file", "cursor"])
def test_a_file_or_a_cursor_that_is_returned_fails_nothing(shared: tuple[Site, Redsched], kind: str) -> None:
    site, _ = shared

    assert site.run("returns.done", {"kind": kind}, max_attempts=1).state == "completed"


@pytest.mark.parametrize("kind", BREAKS)
def test_what_a_handler_does_to_the_event_loop_is_the_error_of_its_task(
    shared: tuple[Site, Redsched], kind: str
) -> None:
    site, worker = shared

    assert (failed(site, "breaks", kind).error or "").startswith(ERRORS[kind])

    assert site.run("sleeps", 0.1).result == "slept"  # a cancel that was left behind would have hit it
    assert site.run("add", 1, delay="10ms").result == 2  # the mover goes on as well
    assert_goes_on(site, worker)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handler_that_cancels_all_asyncio_tasks_costs_its_neighbours_nothing(site: Site, loop: str) -> None:
    worker = started(site, loop, "-c", "4")
    neighbours = [site.client.enqueue("sleeps", 2, max_attempts=1).id for _ in range(2)]
    site.until_begun(neighbours)

    failed(site, "breaks", "cancel all")

    assert {site.until_state(neighbour).result for neighbour in neighbours} == {"slept"}
    assert_goes_on(site, worker)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_handler_that_never_waits_leaves_on_its_asyncio_task_hits_no_other_run(site: Site, loop: str) -> None:
    tasks = [Task(type="add", payload=1) for _ in range(700)]  # so that it holds many ahead
    tasks += [Task(type="cancels.later"), Task(type="sleeps", payload=0.3, id="next", max_attempts=1)]
    site.client.enqueue_many(tasks)

    started(site, loop, "-c", "1")

    assert site.until_state("next").result == "slept"


@pytest.mark.parametrize("how", FORKS)
@pytest.mark.parametrize("type_", ["forks", "forks.sync"])
def test_a_process_that_a_handler_starts_has_its_own_signals_and_is_no_second_worker(
    shared: tuple[Site, Redsched], type_: str, how: str
) -> None:
    site, worker = shared

    view = site.run(type_, {"how": how}, max_attempts=1)

    assert (view.state, view.result) == ("completed", FOUND[how])
    assert_goes_on(site, worker)
    site.assert_consistent()


def test_a_thread_with_a_loop_of_its_own_asks_on_the_loop_of_the_worker(shared: tuple[Site, Redsched]) -> None:
    site, worker = shared

    view = site.run("progress.elsewhere", max_attempts=1)

    assert (view.state, view.progress) == ("completed", {"step": 1})
    assert_goes_on(site, worker)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_child_that_outlives_its_worker_still_ends_by_sigterm(site: Site, loop: str) -> None:
    worker = started(site, loop)
    site.client.enqueue("orphan")
    (child,) = until(lambda: descendants(worker.process.pid), worker.said)

    worker.process.kill()
    worker.process.wait()
    os.kill(child, 15)

    until(lambda: not alive([child]), worker.said)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_that_gives_up_a_run_ends_the_processes_of_that_run(site: Site, loop: str) -> None:
    worker = started(site, loop, "--grace", "100ms")
    site.client.enqueue("orphan")
    (child,) = until(lambda: descendants(worker.process.pid), worker.said)

    worker.send(15)

    assert worker.wait() == 0
    until(lambda: not alive([child]), worker.said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_signal_stops_a_worker_whose_handlers_have_stopped_its_loop(site: Site, loop: str, number: int) -> None:
    worker = started(site, loop)
    for kind in ("gather", "loop stop"):
        failed(site, "breaks", kind)

    worker.send(number)

    assert worker.wait() == 0
    assert any("worker.stopped" in line for line in worker.errors)


def test_a_stopped_worker_ends_whatever_its_handlers_left_behind(site: Site) -> None:
    """A worker for each, all at once: each gives up after five seconds."""
    queues = {kind: kind.replace(" ", "-") for kind in (*LEFT, "to.thread", "blocks")}
    workers = {kind: site.start("worker", APP, "-q", queue, "--grace", "100ms") for kind, queue in queues.items()}
    families = {}
    for kind, worker in workers.items():
        assert "loop=uvloop" in worker.wait_for_error("worker.starting")
        queue, left = queues[kind], kind in LEFT
        made = site.client.enqueue(*(("leaves", {"kind": kind}) if left else (kind,)), queue=queue, max_attempts=1)
        state = "running" if kind == "blocks" else "dead" if kind == "to.thread" else "completed"
        site.until_state(made.id, state, queue=queue)
        families[kind] = worker.family()

    for worker in workers.values():
        worker.send(15)

    assert {kind: worker.wait() for kind, worker in workers.items()} == dict.fromkeys(workers, 0) | {"blocks": 1}
    for kind, worker in workers.items():
        assert any("worker.left_behind" in line for line in worker.errors), kind
        until(lambda family=families[kind]: not alive(family), worker.said)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_signal_that_a_handler_took_is_taken_back(site: Site, loop: str) -> None:
    worker = started(site, loop)
    site.run("takes.sigterm")
    worker.wait_for_error("signal.taken_back")

    worker.send(15)

    assert worker.wait() == 0
    assert any("worker.stopped" in line for line in worker.errors)


@pytest.mark.parametrize("how", ["0", "2", "segfault"])
def test_a_handler_that_ends_its_process_costs_the_pool_that_process_only(site: Site, how: str) -> None:
    pool = site.start("worker", APP, "-q", "default", "--lease", "1s", "-n", "2")
    until(lambda: sum("worker.started" in line for line in pool.errors) == 2, pool.said)

    view = site.run("ends", {"how": how}, retry=["10ms"])

    assert view.result == "a later process"
    until(lambda: sum("worker.started" in line for line in pool.errors) == 3, pool.said)
    assert pool.process.poll() is None
    pool.send(15)
    assert pool.wait() == 0


def test_a_burst_in_a_pool_is_not_over_where_a_handler_ended_its_process_with_0(site: Site) -> None:
    made = site.client.enqueue("ends", {"how": "0"}, retry=["10ms"])

    assert site.start("worker", APP, "-q", "default", "--lease", "1s", "-n", "2", "--burst").wait() == 0

    assert site.client.task(made.id).state == "completed"
