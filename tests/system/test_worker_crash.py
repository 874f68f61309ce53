"""What a crash may cost: a lease's time and a second run of what was in flight. Never a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from redsched import StoreError, TaskView
from redsched.embedded import EmbeddedServer
from tests.support.servers import Store, connect, start_valkey
from tests.support.workers import SHORT, Site, killed, site_on


@pytest.fixture(params=["valkey", "redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


@pytest.fixture
def own_server(data_dir: Path) -> Iterator[EmbeddedServer]:
    """A server that only this test uses, and may kill."""
    with start_valkey(data_dir) as server:
        yield server


def states(views: list[TaskView]) -> Counter[str]:
    """How many are in which state."""
    return Counter(view.state for view in views)


def test_200_tasks_in_flight_in_a_killed_worker_all_complete_elsewhere_after_their_lease(site: Site) -> None:
    first = site.worker("-c", "200", "--lease", SHORT)
    ids = site.enqueue("sleep", 200, payload={"seconds": 3}, retry=["1h"], max_attempts=2)
    site.until_begun(ids)

    killed(first)
    site.worker("-c", "200", "--lease", SHORT)
    site.until_depths(finished=200)

    views = site.views(ids)
    assert states(views) == {"completed": 200}
    assert {view.attempt for view in views} == {2}
    assert {(a.attempt, a.outcome) for view in views for a in view.history or ()} == {(1, "lease")}
    assert Counter(run.id for run in site.ledger.runs("ended")) == Counter(ids)
    site.assert_consistent()


def test_a_worker_killed_under_load_costs_no_task_and_repeats_only_what_it_held(site: Site) -> None:
    doomed, movers = site.worker("-c", "32", "--no-mover", "--lease", SHORT), [site.mover(), site.mover()]
    other = site.worker("-c", "32", "--no-mover", "--lease", SHORT)
    ids = site.enqueue("sleep", 1_500, payload={"seconds": 0.02}, retry=["10ms"], delay="100ms")
    site.until_started(300)

    killed(doomed)
    killed(movers[0])
    held = [view.id for view in site.views(ids) if view.state == "running" and view.worker in site.names_of(doomed)]
    site.until_depths(finished=1_500)

    views = {view.id: view for view in site.views(ids)}
    assert states(list(views.values())) == {"completed": 1_500}
    runs = Counter(run.id for run in site.ledger.runs("started"))
    assert {task_id for task_id, n in runs.items() if n > 1} <= set(held)
    assert {task_id for task_id, view in views.items() if view.attempt > 1} <= set(held)  # those that had begun
    assert {run.pid for run in site.ledger.runs() if run.attempt > 1} <= {other.process.pid}
    site.assert_consistent()


def test_two_workers_and_two_movers_run_every_task_exactly_once(site: Site) -> None:
    for _ in range(2):
        site.worker("-c", "16", "--no-mover")
        site.mover()
    ids = site.enqueue("note", 1_000, payload={"n": 1}) + site.enqueue("note", 1_000, delay="300ms")
    site.until_depths(finished=2_000)

    assert Counter(run.id for run in site.ledger.runs()) == Counter(ids)
    assert {view.attempt for view in site.views(ids)} == {1}
    assert len({run.pid for run in site.ledger.runs()}) == 2
    site.assert_consistent()


def test_a_killed_server_that_comes_back_has_every_acknowledged_task_run(
    own_server: EmbeddedServer, tmp_path: Path
) -> None:
    with Site(Store("valkey", connect(own_server.url), url=own_server.url), tmp_path) as site:
        connect(own_server.url).config_set("appendfsync", "always")
        worker = site.worker("-c", "16", REDSCHED_RETRY_FOR="300ms")
        ids = site.enqueue("sleep", 300, payload={"seconds": 0.02}, retry=["10ms"])
        ids += site.enqueue("note", 100, delay="2s")
        site.until_started(50)

        own_server.kill()
        worker.wait_for_error("claim.interrupted")
        worker.wait_for_error("promote.interrupted")
        with pytest.raises(StoreError):
            site.client.ping()
        own_server.restart()
        worker.wait_for_error("claim.resumed")
        worker.wait_for_error("promote.resumed")
        site.until_depths(finished=400)

        assert states(site.views(ids)) == {"completed": 400}
        assert worker.process.poll() is None
        site.assert_consistent()


def test_tasks_whose_lease_is_lost_are_told_so_and_do_not_settle(site: Site) -> None:
    worker = site.worker("-c", "4")
    made = site.client.enqueue("until.cancelled", retry=["1h"])
    site.until_state(made.id, "running")
    site.until(lambda: site.client.task(made.id).progress)  # the handler waits, and calls Redis no more
    site.until_begun([made.id])

    with site.store.redis.pipeline() as over:  # in one go, before its worker can renew it
        over.zadd(site.store.key("running:default"), {made.id: 1})
        over.fcall("rs1_reap", 1, site.store.key("due:default"), 0, 10)
        over.execute()
    site.until(lambda: site.ledger.of(made.id)[2:])  # due at once: nothing says that the task was to blame

    assert worker.wait_for_error("task.lost")
    view = site.until_state(made.id, "running")
    assert (view.attempt, [a.outcome for a in view.history or ()]) == (2, ["lease"])
    assert sorted(site.ledger.of(made.id)) == ["cancelled, requested False", "started", "started"]
