"""How a worker ends: by signal, with the grace it is given, or by itself with ``--burst``."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from redsched import Task
from tests.support.workers import Site, site_on


@pytest.fixture(params=["valkey", "redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


@pytest.fixture
def valkey_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The same on one server, for what does not depend on it."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def test_sigterm_under_load_finishes_what_runs_and_hands_back_the_rest(site: Site) -> None:
    worker = site.worker("-c", "8", "--grace", "20s")
    ids = site.enqueue("sleep", 2_000, payload={"seconds": 0.01}, max_attempts=1)
    site.until_started(200)

    worker.send(signal.SIGTERM)
    assert worker.wait() == 0

    views = site.views(ids)
    states = Counter(view.state for view in views)
    assert set(states) == {"completed", "ready"}
    assert {(view.state, view.attempt) for view in views} == {("completed", 1), ("ready", 0)}
    assert len(site.ledger.runs("started")) == len(site.ledger.runs("ended")) == states["completed"]
    assert site.consumers() == []
    site.assert_consistent()

    assert site.worker("--burst", "-c", "200").wait() == 0
    assert Counter(run.id for run in site.ledger.runs("ended")) == Counter(ids)


def test_sigterm_hands_back_what_outlives_the_grace_without_using_its_attempt(site: Site) -> None:
    worker = site.worker("-c", "50", "--grace", "100ms")
    ids = site.enqueue("sleep", 50, payload={"seconds": 60}, max_attempts=1)
    site.until_started(50)

    worker.send(signal.SIGTERM)
    assert worker.wait() == 0

    assert {(view.state, view.attempt) for view in site.views(ids)} == {("ready", 0)}
    assert site.consumers() == []
    site.assert_consistent()


def test_a_second_sigterm_does_not_wait_for_the_grace(valkey_site: Site) -> None:
    worker = valkey_site.worker("--grace", "1h")
    made = valkey_site.client.enqueue("sleep", {"seconds": 600})
    valkey_site.until_state(made.id, "running")

    worker.send(signal.SIGTERM)
    worker.wait_for_error("worker.draining")
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0
    assert valkey_site.until_state(made.id, "ready").attempt == 0


def test_sigint_stops_like_sigterm(valkey_site: Site) -> None:
    worker = valkey_site.worker()

    worker.send(signal.SIGINT)

    assert worker.wait() == 0
    assert valkey_site.consumers() == []


@pytest.mark.parametrize(("type_", "state"), [("sleep.sync", "ready"), ("stubborn", "running")])
def test_a_handler_that_ignores_its_end_does_not_keep_the_process(valkey_site: Site, type_: str, state: str) -> None:
    worker = valkey_site.worker("--grace", "100ms")
    made = valkey_site.client.enqueue(type_, {"seconds": 600}, timeout="1h", max_attempts=2)
    quick = valkey_site.run("note")
    valkey_site.until_state(made.id, "running")

    worker.send(signal.SIGTERM)

    assert worker.wait() == 0  # long before the handler would end
    assert any("worker.abandoned" in line for line in worker.errors)
    assert quick.state == "completed"
    assert valkey_site.views([made.id])[0].state == state  # its lease gives away what could not be handed back
    assert valkey_site.consumers() == []


def test_threads_that_ignore_their_time_limit_do_not_stop_the_worker_for_good(valkey_site: Site) -> None:
    valkey_site.worker("-c", "2")
    stuck = valkey_site.enqueue("sleep.sync", 2, payload={"seconds": 1.5}, timeout="50ms", max_attempts=1)
    rest = valkey_site.enqueue("note.sync", 40)

    views = [valkey_site.until_state(task_id) for task_id in stuck + rest]

    assert [view.state for view in views] == ["dead"] * 2 + ["completed"] * 40
    notes = [run.note for run in valkey_site.ledger.runs() if run.id in rest or run.note == "ended"]
    assert notes[0] == "ended"  # no task ran beside two threads that were still busy


def test_a_burst_ends_by_itself_with_everything_done(site: Site) -> None:
    ids = site.enqueue("note", 300) + site.enqueue("note.sync", 50) + site.enqueue("fail", 5, max_attempts=1)
    later = site.client.enqueue("note", delay="1h")

    assert site.worker("--burst", ready=False).wait() == 0

    assert Counter(view.state for view in site.views(ids)) == {"completed": 350, "dead": 5}
    assert site.until_state(later.id, "scheduled").attempt == 0
    assert site.consumers() == []
    site.assert_consistent()


def test_a_burst_over_nothing_ends_at_once(valkey_site: Site) -> None:
    assert valkey_site.worker("--burst", ready=False).wait() == 0


def test_high_priority_runs_before_normal_before_low(site: Site) -> None:
    ids = {priority: site.enqueue("note", 5, priority=priority) for priority in ("low", "normal", "high")}

    assert site.worker("--burst", "-c", "1", "--prefetch", "0", ready=False).wait() == 0

    order = [run.id for run in site.ledger.runs()]
    assert order == ids["high"] + ids["normal"] + ids["low"]


def test_one_worker_serves_several_queues_with_the_first_ones_first(site: Site) -> None:
    queues = [f"q{number}" for number in range(20)]  # more than one call takes
    ids = [made.id for made in site.client.enqueue_many([Task(type="note", queue=q, id=f"on-{q}") for q in queues])]

    worker = site.worker("-q", ",".join(queues), "-c", "4")
    for queue in queues:
        assert site.until_state(f"on-{queue}", queue=queue).state == "completed"
    later = [site.client.enqueue("note", queue=queue, delay="50ms", id=f"later-{queue}").id for queue in queues]
    for queue in queues:
        assert site.until_state(f"later-{queue}", queue=queue).state == "completed"

    assert Counter(run.id for run in site.ledger.runs()) == Counter(ids + later)
    site.until(lambda: not any(map(site.unread, queues)))  # one that is on its way would be left to a mover
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert [site.consumers(queue) for queue in queues] == [[]] * 20
