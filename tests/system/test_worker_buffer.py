"""What a worker holds beside what it runs: nothing of it begins that is over, cancelled or somebody else's."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched import Task
from tests.system.processes import Redsched
from tests.system.workers import Site, killed, site_on

SLOTS, BEHIND = 8, 24


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "redis", tmp_path) as found:
        yield found


class Full:
    """A worker whose slots sleep and whose buffer holds tasks behind those."""

    def __init__(self, site: Site, seconds: float, *, lease: str = "20s", **options: Any) -> None:
        """``seconds`` is for how long they sleep; ``options`` are those of the tasks behind."""
        self.site = site
        self.worker: Redsched = site.worker("-c", str(SLOTS), "--lease", lease)
        sleep = {"seconds": seconds}
        tasks = [Task(type="note", id=f"fast-{n}") for n in range(700)]  # so that it holds many ahead
        tasks += [Task(type="sleep", id=f"slot-{n}", payload=sleep, max_attempts=1) for n in range(SLOTS)]
        tasks += [Task(type="note", id=f"behind-{n}", max_attempts=1, **options) for n in range(BEHIND)]
        site.client.enqueue_many(tasks)
        self.sleeping = [f"slot-{n}" for n in range(SLOTS)]
        self.behind = [f"behind-{n}" for n in range(BEHIND)]
        site.until(lambda: set(self.sleeping) <= {run.id for run in site.ledger.runs()})
        site.until(self._holds)
        site.until_begun(self.sleeping)

    def _holds(self) -> bool:
        return all(view.state == "running" for view in self.site.views(self.behind))

    def begun(self) -> set[str]:
        """Of the tasks behind, those that its handlers were called for."""
        return {run.id for run in self.site.ledger.runs() if run.pid == self.worker.process.pid} & set(self.behind)

    def states(self, ids: list[str]) -> set[tuple[str, int]]:
        """In which states these are, after how many attempts."""
        return {(view.state, view.attempt) for view in self.site.views(ids)}


def test_a_killed_worker_uses_up_the_attempts_of_what_it_ran_and_not_of_what_waited(site: Site) -> None:
    full = Full(site, 60, lease="2s")

    killed(full.worker)
    site.worker()
    site.until(lambda: full.states(full.behind) == {("completed", 1)})
    site.until(lambda: full.states(full.sleeping) == {("dead", 1)})

    assert {view.reason for view in site.views(full.sleeping)} == {"lease"}
    assert full.begun() == set()
    site.assert_consistent()


def test_what_waits_past_its_start_by_expires_and_uses_no_attempt(site: Site) -> None:
    full = Full(site, 8, expires_in="6s")

    site.until(lambda: full.states(full.sleeping) == {("completed", 1)})
    site.until(lambda: full.states(full.behind) == {("expired", 0)})

    assert full.begun() == set()
    site.assert_consistent()


def test_what_is_cancelled_while_it_waits_does_not_begin(site: Site) -> None:
    full = Full(site, 4)

    assert set(site.client.cancel(full.behind).values()) == {"requested"}
    site.until(lambda: full.states(full.behind) == {("cancelled", 0)})

    assert full.begun() == set()
    site.until(lambda: full.states(full.sleeping) == {("completed", 1)})
    site.assert_consistent()


def test_what_is_cancelled_while_its_worker_stands_still_does_not_begin(site: Site) -> None:
    full = Full(site, 5)
    slept = time.monotonic() + 5
    running, last = site.store.key("running:default"), full.behind[-1]
    claimed = site.store.redis.zscore(running, last) or 0.0
    site.until(lambda: (site.store.redis.zscore(running, last) or 0.0) > claimed + 1_500)  # it waited, and was renewed
    full.worker.send(signal.SIGSTOP)
    try:
        assert set(site.client.cancel(full.behind).values()) == {"requested"}
        site.until(lambda: time.monotonic() > slept)  # every slot is free as soon as the worker goes on
    finally:
        full.worker.send(signal.SIGCONT)

    site.until(lambda: full.states(full.behind) == {("cancelled", 0)})

    assert full.begun() == set()
    site.assert_consistent()


def test_a_worker_that_stood_still_beyond_its_lease_begins_nothing_that_it_held(site: Site) -> None:
    full = Full(site, 4, lease="2s")
    cancelled, rest = full.behind[: BEHIND // 2], full.behind[BEHIND // 2 :]
    full.worker.send(signal.SIGSTOP)
    try:
        site.client.cancel(cancelled)
        site.worker()
        site.until(lambda: full.states(cancelled) == {("cancelled", 0)} and full.states(rest) == {("completed", 1)})
    finally:
        full.worker.send(signal.SIGCONT)

    def is_decided(one: str) -> bool:
        return one in full.begun() or any(f"task_id={one} " in f"{line} " for line in full.worker.errors)

    site.until(lambda: all(map(is_decided, full.behind)))
    site.until(lambda: full.states(full.sleeping) == {("dead", 1)})

    assert full.begun() == set()
    site.assert_consistent()


def test_a_worker_with_free_places_goes_on_claiming_where_a_claim_had_to_stop(site: Site) -> None:
    worker = site.worker("-c", "12")
    pads = {"seconds": 30, "pad": "x" * 150_000}  # a claim stops at 1 MiB of payloads

    ids = site.enqueue("sleep", 12, payload=pads)

    site.until_begun(ids)  # at once, and not when the first of them end
    killed(worker)
