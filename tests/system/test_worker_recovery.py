"""A worker goes on by itself when what it stands on is taken away: data, scripts, groups, streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.servers import Store, connect, start_redis7, start_redis8, start_valkey, start_without_functions
from tests.support.workers import Site

SERVERS = {
    "valkey": start_valkey,
    "redis": start_redis7,
    "redis8": start_redis8,
    "valkey-scripts": start_without_functions,
}


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that only these tests use, with one worker that lives through all of them."""
    directory = tmp_path_factory.mktemp("own")
    server = SERVERS[request.param](directory)
    with Site(Store(request.param, connect(server.url), url=server.url), directory) as found:
        worker = found.worker()
        yield found
        assert worker.process.poll() is None, worker.said()
        assert not [line for line in worker.errors if "Traceback" in line or "worker.failed" in line], worker.said()
    server.stop()


def flush_all(server: redis.Redis, site: Site) -> None:
    server.flushall()


def forget_scripts(server: redis.Redis, site: Site) -> None:
    server.execute_command("SCRIPT", "FLUSH")
    if site.store.kind != "valkey-scripts":
        server.execute_command("FUNCTION", "FLUSH")


def destroy_groups(server: redis.Redis, site: Site) -> None:
    for suffix in ("", ":high", ":low"):
        server.xgroup_destroy(site.store.key(f"ready:default{suffix}"), "workers")


def delete_streams(server: redis.Redis, site: Site) -> None:
    server.delete(*(site.store.key(f"ready:default{suffix}") for suffix in ("", ":high", ":low")))


def delete_consumers(server: redis.Redis, site: Site) -> None:
    for name in site.consumers():
        server.xgroup_delconsumer(site.store.key("ready:default"), "workers", name)


def cut_connections(server: redis.Redis, site: Site) -> None:
    server.execute_command("CLIENT", "KILL", "TYPE", "NORMAL")
    server.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")


TROUBLES = [flush_all, forget_scripts, destroy_groups, delete_streams, delete_consumers, cut_connections]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_worker_that_waits_goes_on_after(site: Site, trouble: Callable[[redis.Redis, Site], None]) -> None:
    assert site.run("note").state == "completed"  # whatever the test before did is over

    trouble(site.store.redis, site)

    ready_at_once = [site.client.enqueue("note", priority=priority) for priority in ("high", "normal", "low")]
    later = [site.client.enqueue("note", delay="100ms")]
    for made in ready_at_once + later:
        assert site.until_state(made.id).state == "completed"
        assert site.ledger.of(made.id) == ["started"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_worker_that_is_busy_goes_on_after(
    site: Site, tmp_path: Path, trouble: Callable[[redis.Redis, Site], None]
) -> None:
    gate = tmp_path / "gate"
    running = site.enqueue("gated", 16, payload={"path": str(gate)})
    for task_id in running:
        site.until_state(task_id, "running")

    trouble(site.store.redis, site)

    after = site.enqueue("note", 50)
    gate.touch()
    for task_id in after:
        assert site.until_state(task_id).state == "completed"
        assert site.ledger.of(task_id) == ["started"]
    site.until(lambda: all(site.ledger.of(task_id) == ["started", "ended"] for task_id in running))
    if trouble is not flush_all:
        assert {site.until_state(task_id).state for task_id in running} == {"completed"}


def test_ready_tasks_of_a_destroyed_group_run_exactly_once(site: Site) -> None:
    site.enqueue("sleep", 16, payload={"seconds": 0.2})
    waiting = site.enqueue("note", 100)

    destroy_groups(site.store.redis, site)

    views = [site.until_state(task_id) for task_id in waiting]
    assert {(view.state, view.attempt) for view in views} == {("completed", 1)}
    assert Counter(run.id for run in site.ledger.runs() if run.id in waiting) == Counter(waiting)


@pytest.mark.parametrize(("type_", "end"), [("fail", "dead"), ("add", "completed"), ("until.cancelled", "cancelled")])
def test_a_foreign_key_where_a_tasks_outcome_belongs_holds_up_nobody(site: Site, type_: str, end: str) -> None:
    payload = {"a": 1} if type_ == "add" else {}
    site.store.redis.set(site.store.key(f"outcome:default:in-the-way-{type_}"), "somebody else's")

    made = site.client.enqueue(type_, payload, id=f"in-the-way-{type_}", max_attempts=1)
    assert site.run("note").state == "completed"
    if type_ == "until.cancelled":
        site.until(lambda: site.client.task(made.id).progress)
        site.client.cancel(made.id)

    assert site.until_state(made.id).state == end
