"""The schedules that task types carry: put by each worker that starts, unless it is told not to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched import App
from redsched.engine.worker import Worker
from tests.support.workers import Site, site_on

HERE = "tests.system.test_worker_schedules:app"
app = App()


@app.task("beat", every="1h", time_zone="Asia/Kolkata", schedule={"id": "heart"})
def beat() -> None:
    """The handler of a type that carries a schedule."""


@pytest.fixture
def valkey_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The embedded server."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def stored(site: Site) -> dict[str, int]:
    """Revisions by id."""
    return {view.schedule.id: view.rev for view in site.client.schedules.list().items}


def test_each_worker_that_starts_puts_the_same_schedule_once(valkey_site: Site) -> None:
    assert valkey_site.start("worker", HERE, "-n", "2", "--burst").wait() == 0
    assert valkey_site.start("worker", HERE, "--burst").wait() == 0

    assert stored(valkey_site) == {"heart": 1}
    view = valkey_site.client.schedules.get("heart")
    assert (view.schedule.task.type, view.schedule.time_zone, view.state) == ("beat", "Asia/Kolkata", "active")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_no_schedules_puts_none(valkey_site: Site, processes: str) -> None:
    assert valkey_site.start("worker", HERE, "--burst", "--no-schedules", "-n", processes).wait() == 0

    assert stored(valkey_site) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "no name"},
        {"exclude": {"calendars": ["none"]}},
        {"payload": "x" * 2_000_000},
    ],
)
def test_a_schedule_that_is_refused_holds_nothing_up(valkey_site: Site, wrong: dict[str, Any]) -> None:
    mixed = App()
    mixed.task("first", every="1h", schedule=wrong)(beat)
    mixed.task("second", every="1h")(beat)

    async def once() -> None:
        await asyncio.wait_for(Worker(mixed, valkey_site.settings(), burst=True).run(), 60)

    made = valkey_site.client.enqueue("second")
    asyncio.run(once())

    assert stored(valkey_site) == {"second": 1}
    assert valkey_site.until_state(made.id).state == "completed"
