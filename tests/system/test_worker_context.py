"""Each run has a context of its own: nothing that a handler sets there reaches another run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from redsched import Worker
from tests.apps import hostile
from tests.support.workers import Site, site_on


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def results(site: Site, type_: str, count: int = 40) -> list[object]:
    """What so many runs in few slots returned, under load: those that follow each other share whatever is shared."""
    ids = site.enqueue(type_, count)
    worker = Worker(hostile.app, site.settings(concurrency=2), burst=True)
    assert asyncio.run(asyncio.wait_for(worker.run(), 60)) == 0
    return [view.result for view in site.views(ids)]


@pytest.mark.parametrize("type_", ["context", "context.late", "context.sync"])
def test_variables_and_the_precision_of_decimals_end_with_their_run(site: Site, type_: str) -> None:
    found = {"mark": "unset", "precision": 28} | ({"child": "of another run"} if type_ == "context.late" else {})

    assert results(site, type_) == [found] * 40


def test_what_the_program_set_before_its_worker_reaches_every_run(site: Site) -> None:
    token = hostile.mark.set("of the program")
    try:
        assert [result["mark"] for result in results(site, "context", 4)] == ["of the program"] * 4  # type: ignore[index]
    finally:
        hostile.mark.reset(token)


def test_a_run_that_waits_has_an_asyncio_task_of_its_own(site: Site) -> None:
    assert results(site, "own.task") == [True] * 40
