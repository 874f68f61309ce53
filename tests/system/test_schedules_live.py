"""Recurring schedules in real time: real movers and workers, one of them killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from redsched.model.schedule import Schedule
from redsched.model.template import TaskTemplate
from tests.support.workers import Site, killed, mover_name, site_on


@pytest.fixture(params=["valkey", "redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


def fired(site: Site, id: str) -> dict[int, int]:
    """How late each slot was fired, ms, by its slot."""
    prefix = site.store.key(f"task:default:{id}@")
    found = {}
    for key in site.store.redis.scan_iter(match=prefix + "*", count=1_000):
        slot = int(key.removeprefix(prefix))
        found[slot] = int(site.store.redis.hget(key, "created_at") or 0) - slot
    return dict(sorted(found.items()))


def test_each_second_is_fired_once_by_two_movers_of_which_one_is_killed(site: Site) -> None:
    movers = {mover_name(mover): mover for mover in (site.mover(), site.mover())}
    site.client.schedules.put(
        Schedule(id="tick", task=TaskTemplate(type="note"), every="1s", overlap="allow_all", catch_up="all")
    )
    site.until(lambda: len(fired(site, "tick")) >= 3 or None)

    acting = site.store.redis.get(site.store.key("mover"))
    assert isinstance(acting, str)
    killed(movers.pop(acting.split()[0]))
    site.until(lambda: len(fired(site, "tick")) >= 6 or None)

    late = fired(site, "tick")
    slots = [*late]
    assert slots == [*range(slots[0], slots[0] + 1_000 * len(slots), 1_000)]
    assert min(late.values()) >= 0 and max(late.values()) < 6_000  # 150 ms on a quiet machine
    view = site.client.schedules.get("tick")
    assert view.counters["fired"] >= len(slots)
    assert sum(view.counters.values()) == view.counters["fired"]
    site.assert_consistent()


def test_a_schedule_put_while_a_mover_sleeps_is_fired_on_time_and_runs_on_a_worker(site: Site) -> None:
    site.worker()
    site.client.schedules.put(Schedule(id="tick", task=TaskTemplate(type="note"), every="1s"))

    site.until_started(2)

    runs = site.ledger.runs("started")
    assert all(run.id.startswith("tick@") for run in runs)
    assert len({run.id for run in runs}) == len(runs)
    late = [run.lateness_ms for run in site.client.schedules.get("tick").recent_runs if run.lateness_ms is not None]
    assert late and min(late) >= 0 and max(late) < 6_000
