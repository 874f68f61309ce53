"""Applications with versions: of those with a live worker the newest rules, in whatever order their workers start."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from redsched import App, AsyncClient, Worker
from redsched.engine import app_types
from tests.support.workers import Site, site_on


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers tell often that they live, so that a test need not wait."""
    monkeypatch.setattr(app_types, "HEARTBEAT_S", 0.05)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def shop(version: str | None, *, gone: bool = False, prune: bool = False, name: str = "shop") -> App:
    """An application whose type has as many attempts as its version says, and a schedule that one of them lacks."""
    app = App(name, version=version, prune=prune)
    number = int((version or "0").rpartition(".")[2])
    app.task("send", queue=f"v{number}", max_attempts=number + 1, every=f"{number + 1}h")(lambda: None)
    if not gone:
        app.task("remind", every="1h")(lambda: None)
    return app


@contextlib.asynccontextmanager
async def working(site: Site, app: App) -> AsyncIterator[Worker]:
    """A worker of the app that has put its definitions."""
    worker = Worker(app, site.settings(queues=("default",)), mover=False)
    running = asyncio.ensure_future(worker.run())
    try:
        async with asyncio.timeout(30):
            while not site.store.redis.exists(site.store.key(f"live:{app.name}/{app.version or '-'}")):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        yield worker
    finally:
        worker.stop()
        assert await asyncio.wait_for(running, 60) == 0


async def until(site: Site, expected: tuple[int | None, str | None]) -> None:
    """Until the type has so many attempts, and the schedule is as the version says."""
    async with AsyncClient(site.url, namespace=site.store.namespace) as client, asyncio.timeout(30):
        while True:
            view, schedules = await client.type("send"), (await client.schedules.list()).items
            every = {one.schedule.id: one.schedule.every for one in schedules}.get("send")
            if view is not None and (view.max_attempts, every and str(every[0].every)) == expected:
                return
            await asyncio.sleep(0.02)


def stated(site: Site, schedule_id: str) -> tuple[str, str | None, str | None]:
    """State of a schedule, why it is paused, and the version that put it."""
    view = site.client.schedules.get(schedule_id)
    return view.state, view.paused_reason, view.owner_version


@pytest.mark.parametrize("order", [("1.9", "1.10"), ("1.10", "1.9")])
def test_the_newer_one_stands_whichever_starts_first(site: Site, order: tuple[str, str]) -> None:
    async def both() -> None:
        async with working(site, shop(order[0])), working(site, shop(order[1])):
            await asyncio.sleep(0.2)  # several heartbeats of each
            found = site.client.type("send")
            assert found is not None
            assert (found.queue, found.max_attempts, found.version) == ("v10", 11, "1.10")
            assert site.client.enqueue("send").queue == "v10"
            view = site.client.schedules.get("send")
            assert (view.owner, view.owner_version, view.schedule.task.queue) == ("shop", "1.10", "v10")

    asyncio.run(both())


def test_a_worker_that_gives_a_type_another_queue_says_so(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[tuple[str, str, str]]:
        records = [vars(one) for one in caplog.records if one.message == "type.queue_changed"]
        return [(one["type"], one["from"], one["to"]) for one in records]

    async def rolled_back() -> None:
        async with working(site, shop("1")):
            assert told() == []
            async with working(site, shop("2")):
                await asyncio.sleep(0.2)  # several heartbeats of each
                assert told() == [("send", "v1", "v2")]
            async with asyncio.timeout(30):
                while len(told()) < 2:
                    await asyncio.sleep(0.02)
            assert told()[1:] == [("send", "v2", "v1")]

    asyncio.run(rolled_back())


def test_when_the_newer_one_has_ended_the_older_one_stands_again(site: Site) -> None:
    async def rolled_back() -> None:
        async with working(site, shop("1")):
            async with working(site, shop("2", gone=True)):
                await asyncio.sleep(0.2)
                assert stated(site, "remind") == ("paused", "left out of shop 2", "1")
                found = site.client.type("send")
                assert found is not None and found.max_attempts == 3
            async with asyncio.timeout(30):
                while stated(site, "remind") != ("active", None, "1"):
                    await asyncio.sleep(0.02)
            found = site.client.type("send")
            assert found is not None and (found.max_attempts, found.version) == (2, "1")

    asyncio.run(rolled_back())


def test_a_newer_one_that_came_and_went_between_two_heartbeats_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash_loop() -> None:
        monkeypatch.setattr(app_types, "HEARTBEAT_S", 2.0)
        async with working(site, shop("1")):
            async with working(site, shop("2", gone=True)):
                pass
            assert stated(site, "remind")[0] == "paused"
            async with asyncio.timeout(30):
                while stated(site, "remind") != ("active", None, "1"):
                    await asyncio.sleep(0.05)
            found = site.client.type("send")
            assert found is not None and (found.max_attempts, found.version) == (2, "1")

    asyncio.run(crash_loop())


def test_a_newer_one_with_no_type_in_common_that_came_and_went_leaves_the_schedules_of_the_older(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other() -> App:
        app = App("shop", version="2")
        app.task("other", every="1h")(lambda: None)
        app.task("daily.new", every="2h", schedule={"id": "daily"})(lambda: None)
        return app

    async def crash_loop() -> None:
        monkeypatch.setattr(app_types, "HEARTBEAT_S", 0.5)
        app = shop("1")
        app.task("daily", every="1h")(lambda: None)
        async with working(site, app):
            async with working(site, other()):
                pass
            async with asyncio.timeout(30):
                while {stated(site, name) for name in ("remind", "send", "daily")} != {("active", None, "1")}:
                    await asyncio.sleep(0.05)
            assert str(site.client.schedules.get("daily").schedule.task.type) == "daily"
            site.client.schedules.delete("remind")  # by hand: that stays
            await asyncio.sleep(1.2)
            assert "remind" not in {one.schedule.id for one in site.client.schedules.list().items}

    asyncio.run(crash_loop())


def test_a_schedule_that_the_ruling_code_has_not_is_paused_told_of_and_dropped_only_with_prune(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "redsched")

    async def deploys() -> None:
        for version, gone, prune in (("1", False, False), ("2", True, False), ("3", False, False), ("4", True, True)):
            async with working(site, shop(version, gone=gone, prune=prune)):
                await asyncio.sleep(0.1)
            states.append(
                stated(site, "remind")[0] if "remind" in {one.schedule.id for one in listed(site)} else "gone"
            )

    states: list[str] = []
    site.client.schedules.put(site_schedule())
    asyncio.run(deploys())

    assert states == ["active", "paused", "active", "gone"]
    assert {one.schedule.id for one in listed(site)} == {"by-hand", "send"}
    told = [record for record in caplog.records if record.message in ("schedule.paused", "schedule.dropped")]
    assert [(record.message, vars(record)["schedule"]) for record in told] == [
        ("schedule.paused", "remind"),
        ("schedule.dropped", "remind"),
    ]


def listed(site: Site) -> list[object]:
    """All schedules."""
    return list(site.client.schedules.list().items)


def site_schedule() -> object:
    """One that a person has put."""
    from redsched import Schedule, TaskTemplate

    return Schedule(id="by-hand", every="1h", task=TaskTemplate(type="t"))


def test_an_application_without_versions_pauses_nothing(site: Site) -> None:
    async def deploys() -> None:
        async with working(site, shop(None)), working(site, shop(None, gone=True)):
            await asyncio.sleep(0.2)

    asyncio.run(deploys())

    assert stated(site, "remind") == ("active", None, None)


def test_a_type_of_another_application_with_a_live_worker_is_refused_and_told_of(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def both() -> None:
        async with working(site, shop("1")), working(site, shop("9", name="mail")):
            found = site.client.type("send")
            assert found is not None and (found.app, found.version) == ("shop", "1")

    asyncio.run(both())

    refused = {vars(record)["type"] for record in caplog.records if record.message == "type.refused"}
    assert refused == {"send", "remind"}


@pytest.mark.parametrize("version", ["", "v1", "1.", "1..2", "1.2.3.4.5.6.7.8.9", 2, "1,2"])
def test_what_is_no_version_is_refused(version: object) -> None:
    with pytest.raises(Exception, match=r"version: .* is no version: 1 to 8 whole numbers with dots between them"):
        App("shop", version=version)  # type: ignore[arg-type]


def test_a_worker_without_rights_to_types_works_and_says_so(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.store.redis.set(site.store.key("types"), "no hash")
    app = App("shop")
    app.task("send")(lambda: None)
    made = site.client.enqueue("send")

    assert asyncio.run(asyncio.wait_for(Worker(app, site.settings(), burst=True).run(), 60)) == 0

    assert site.client.task(made.id).state == "completed"
    assert "types.refused" in [record.message for record in caplog.records]
