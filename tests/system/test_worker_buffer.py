"""What a worker holds beside what it runs: nothing of it begins that is over, cancelled or somebody else's."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched import App, Task
from redsched.engine.worker import Worker
from redsched.engine.worker.held import FRESH
from redsched.engine.worker.trips import MOST_CLAIMED, MOST_UNTOLD
from tests.support.processes import Redsched
from tests.support.workers import SHORT, Site, killed, site_on

SLOTS, BEHIND, FEWEST = 8, 24, 4
ROUNDS = 20


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "redis", tmp_path) as found:
        yield found


class Full:
    """A worker with a task in each slot until ``open``, and with others of its tasks waiting behind those.

    A worker holds as many ahead as it runs in a twentieth of a second, and on a machine that stands still at the wrong
    moment none. So the tasks are put in again until it holds some, and those are ``behind``.
    """

    def __init__(self, site: Site, directory: Path, *, lease: str = "20s", **options: Any) -> None:
        """``options`` are those of the tasks behind."""
        self.site = site
        self.worker: Redsched = site.worker("-c", str(SLOTS), "--lease", lease)
        for number in range(ROUNDS):
            self._gate = directory / f"gate-{number}"
            quick = [Task(type="note", id=f"quick-{number}-{n}") for n in range(300)]  # so that it holds many ahead
            gated = {"path": str(self._gate)}
            slots = [Task(type="gated", id=f"slot-{number}-{n}", payload=gated, max_attempts=1) for n in range(SLOTS)]
            behind = [Task(type="note", id=f"behind-{number}-{n}", max_attempts=1, **options) for n in range(BEHIND)]
            self.sleeping = [answer.id for answer in site.client.enqueue_many(quick + slots + behind)][300:-BEHIND]
            site.until(lambda: set(self.sleeping) <= {run.id for run in site.ledger.runs()})
            site.until_begun(self.sleeping)
            self.behind = [view.id for view in site.views(str(task.id) for task in behind) if view.state == "running"]
            if len(self.behind) >= FEWEST:
                return
            self.open()
            site.until(lambda: not {"ready", "running"} & set(site.depths()))
        raise AssertionError(f"the worker never held {FEWEST} tasks beside those that ran")

    def open(self) -> None:
        """Let the tasks in the slots end."""
        self._gate.touch()

    def begun(self) -> set[str]:
        """Of the tasks behind, those that its handlers were called for."""
        return {run.id for run in self.site.ledger.runs() if run.pid == self.worker.process.pid} & set(self.behind)

    def states(self, ids: list[str]) -> set[tuple[str, int]]:
        """In which states these are, after how many attempts."""
        return {(view.state, view.attempt) for view in self.site.views(ids)}


def test_a_killed_worker_uses_up_the_attempts_of_what_it_ran_and_not_of_what_waited(site: Site, tmp_path: Path) -> None:
    full = Full(site, tmp_path, lease=SHORT)

    killed(full.worker)
    site.worker()
    site.until(lambda: full.states(full.behind) == {("completed", 1)})
    site.until(lambda: full.states(full.sleeping) == {("dead", 1)})

    assert {view.reason for view in site.views(full.sleeping)} == {"lease"}
    assert full.begun() == set()
    site.assert_consistent()


def test_what_waits_past_its_start_by_expires_and_uses_no_attempt(site: Site, tmp_path: Path) -> None:
    full = Full(site, tmp_path, expires_in="4s")

    last = max(view.expires_at for view in site.views(full.behind) if view.expires_at is not None)
    site.until(lambda: site.store.now_ms() / 1_000 > last.timestamp())
    full.open()
    site.until(lambda: full.states(full.sleeping) == {("completed", 1)})
    site.until(lambda: full.states(full.behind) == {("expired", 0)})

    assert full.begun() == set()
    site.assert_consistent()


def test_what_is_cancelled_while_it_waits_does_not_begin(site: Site, tmp_path: Path) -> None:
    full = Full(site, tmp_path)

    assert set(site.client.cancel(full.behind).values()) == {"requested"}
    site.until(lambda: full.states(full.behind) == {("cancelled", 0)})
    full.open()
    site.until(lambda: full.states(full.sleeping) == {("completed", 1)})

    assert full.begun() == set()
    site.assert_consistent()


def test_what_is_cancelled_while_its_worker_stands_still_does_not_begin(site: Site, tmp_path: Path) -> None:
    full = Full(site, tmp_path)
    running, last = site.store.key("running:default"), full.behind[-1]
    claimed = site.store.redis.zscore(running, last) or 0.0
    site.until(lambda: (site.store.redis.zscore(running, last) or 0.0) > claimed + 500)  # it waited, and was renewed
    full.worker.send(signal.SIGSTOP)
    try:
        assert set(site.client.cancel(full.behind).values()) == {"requested"}
        full.open()  # every slot is free as soon as the worker goes on
        time.sleep(2 * FRESH)  # until then what it last heard from Redis counts
    finally:
        full.worker.send(signal.SIGCONT)

    site.until(lambda: full.states(full.behind) == {("cancelled", 0)})

    assert full.begun() == set()
    site.assert_consistent()


def test_a_worker_that_stood_still_beyond_its_lease_begins_nothing_that_it_held(site: Site, tmp_path: Path) -> None:
    full = Full(site, tmp_path, lease=SHORT)
    half = len(full.behind) // 2
    cancelled, rest = full.behind[:half], full.behind[half:]
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


def test_a_worker_whose_tasks_end_faster_than_it_can_tell_of_claims_no_more(site: Site) -> None:
    app, running, count = App(), list[int](), 0

    @app.task("quick")
    async def quick() -> None:
        nonlocal count
        count += 1
        if count % 250 == 0:
            running.append(site.store.redis.zcard(site.store.key("running:default")))

    site.client.install()
    for _ in range(10):
        site.client.enqueue_many([Task(type="quick") for _ in range(1_000)])
    asyncio.run(Worker(app, site.settings(), burst=True).run())

    assert count == 10_000
    assert max(running) <= MOST_UNTOLD + 2 * MOST_CLAIMED  # what it would run again if its process were lost
