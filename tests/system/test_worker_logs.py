"""What a worker's process logs of its runs: what their handlers log, each line with its task, and how they ended."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redsched import App, Worker
from redsched.observe import logs
from tests.support.workers import Site, site_on

own = logging.getLogger("shop")


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("redsched")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def logged(site: Site, app: App, level: str) -> list[dict[str, Any]]:
    """What a worker of the app logs until its tasks have run."""
    out = io.StringIO()
    logs.configure(level, "json", out)
    assert asyncio.run(asyncio.wait_for(Worker(app, site.settings(), burst=True).run(), 60)) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]


def shop() -> App:
    app = App("shop")

    async def child(note: str) -> None:
        own.info(note)

    @app.task("send")
    async def send() -> None:
        own.info("begins")
        await asyncio.sleep(0)
        await asyncio.create_task(child("goes on"))

    @app.task("send.sync")
    def send_sync() -> None:
        own.info("in a thread")

    return app


def test_a_handlers_own_lines_name_its_task_wherever_it_logs_them(site: Site) -> None:
    (first, second) = site.enqueue("send", 2)
    (in_thread,) = site.enqueue("send.sync", 1)

    lines = [line for line in logged(site, shop(), "info") if line["logger"] == "shop"]

    found = sorted((line["event"], line["task_id"], line["type"], line["attempt"]) for line in lines)
    expected = [(text, task_id, "send", 1) for task_id in (first, second) for text in ("begins", "goes on")]
    assert found == sorted([*expected, ("in a thread", in_thread, "send.sync", 1)])


def test_a_completed_task_is_told_of_where_everything_is(site: Site) -> None:
    ids = site.enqueue("send", 3)
    told = [line for line in logged(site, shop(), "debug") if line["event"] == "task.completed"]
    assert sorted(line["task_id"] for line in told) == sorted(ids)
    assert {line["level"] for line in told} == {"debug"}

    site.enqueue("send", 1)
    assert "task.completed" not in [line["event"] for line in logged(site, shop(), "info")]
