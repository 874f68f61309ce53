"""Movers as processes: how one takes over from another, and what an idle system costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workers import Site, killed, mover_name, site_on


@pytest.fixture(params=["valkey", "redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


def acting_mover(site: Site) -> str | None:
    """The name of the mover that acts; its build follows it in the key."""
    value = site.store.redis.get(site.store.key("mover"))
    return value.split()[0] if value else None


def test_a_mover_that_stands_by_takes_over_from_one_that_is_killed(site: Site) -> None:
    movers = {mover_name(mover): mover for mover in (site.mover(), site.mover())}
    begin = site.store.now_ms() + 200
    ids = [site.client.enqueue("note", due=begin + 20 * number, id=f"at-{number}").id for number in range(60)]
    site.until(lambda: site.depths().get("ready", 0) >= 20 or None)

    acting = acting_mover(site)
    assert isinstance(acting, str)
    killed(movers.pop(acting))
    site.until_depths(ready=60)

    (other,) = movers
    site.until(lambda: acting_mover(site) == other or None)
    due_at = {view.id: view.due_at for view in site.views(ids)}
    late = {}
    for entry, fields in site.store.redis.xrange(site.store.key("ready:default")):
        due = due_at[fields["id"]]
        assert due is not None
        late[fields["id"]] = int(entry.split("-")[0]) - due.timestamp() * 1_000
    assert set(late) == set(ids)
    assert max(late.values()) < 6_000  # 150 ms on a machine with nothing else to do
    site.assert_consistent()


def test_a_mover_ends_on_sigterm_with_status_0(site: Site) -> None:
    mover = site.mover()

    mover.process.terminate()

    assert mover.wait() == 0


def commands(site: Site, seconds: float) -> list[str]:
    """What clients send meanwhile."""
    sent = []
    with site.store.redis.monitor() as monitor:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if monitor.connection.can_read(timeout=max(end - time.monotonic(), 0)):
                line = monitor.next_command()
                if line["client_type"] != "lua":
                    sent.append(line["command"])
    return sent


def test_an_idle_worker_with_its_mover_sends_less_than_two_commands_a_second(site: Site) -> None:
    site.worker()
    assert site.run("note").state == "completed"
    site.until(lambda: any("t" in client["flags"] for client in site.store.redis.client_list()) or None)
    site.until(lambda: len(commands(site, 0.5)) <= 2)  # what follows the start is not what is measured

    sent = commands(site, 4)
    if len(sent) >= 8:  # a connection that stood still for seconds is made anew
        sent = commands(site, 4)

    assert 2 <= len(sent) < 8, sent
