"""A worker that breaks says so and ends; it never runs on with a part of it missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from redsched import App, Worker
from redsched.engine.observer import Silent
from tests.support.workers import Site, site_on

app = App()


@app.task("nothing")
async def nothing() -> None: ...


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


class Broken(Silent):
    """An observer with a fault: what it is called with tells which loop it breaks."""

    def __init__(self, at: str) -> None:
        self.at = at

    def progressed(self, loop: str) -> None:
        if loop == self.at:
            raise ZeroDivisionError(loop)


@pytest.mark.parametrize("loop", ["claim", "renew", "lease", "promote", "sweep", "scan"])
def test_an_error_that_nobody_expected_ends_the_worker_with_a_clear_line(
    site: Site, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(app, site.settings(), observer=Broken(loop))

    assert asyncio.run(asyncio.wait_for(worker.run(), 60)) == 1

    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.message == "worker.failed"
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError


def test_a_stop_before_the_start_ends_it_at_once(site: Site) -> None:
    worker = Worker(app, site.settings())
    worker.stop()

    assert asyncio.run(asyncio.wait_for(worker.run(), 60)) == 0


def test_two_workers_in_one_process_share_the_work(site: Site) -> None:
    ids = site.enqueue("nothing", 200)

    async def main() -> list[int]:
        workers = [Worker(app, site.settings(concurrency=4), burst=True) for _ in range(2)]
        return await asyncio.gather(*(worker.run() for worker in workers))

    assert asyncio.run(asyncio.wait_for(main(), 60)) == [0, 0]
    assert {view.state for view in site.views(ids)} == {"completed"}
