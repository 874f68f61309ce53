"""``redsched worker --processes n``: as one worker, and as n."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import alive, until
from tests.support.workers import SHORT, Site, site_on


@pytest.fixture
def valkey_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The embedded server."""
    with site_on(request, "valkey", tmp_path) as found:
        yield found


def test_processes_share_the_work_and_one_that_dies_is_started_again(valkey_site: Site) -> None:
    pair = valkey_site.worker("--processes", "2", "--lease", SHORT, ready=False)
    until(lambda: sum("worker.started" in line for line in pair.errors) == 2, pair.said)
    victim, other = sorted(pair.family() - {pair.process.pid})
    ids = valkey_site.enqueue("sleep", 80, payload={"seconds": 0.3})
    until(lambda: valkey_site.ledger.runs() or None, pair.said)

    os.kill(victim, signal.SIGKILL)

    pair.wait_for_error("was ended by signal 9; starting it again in 0.5 s")
    until(lambda: all(view.state == "completed" for view in valkey_site.views(ids)) or None, pair.said)
    assert other in alive(pair.family())
    family = pair.family()
    pair.send(signal.SIGTERM)
    assert pair.wait() == 0
    assert not alive(family)
    valkey_site.assert_consistent()


def test_a_burst_of_several_ends_when_all_have_ended(valkey_site: Site) -> None:
    ids = valkey_site.enqueue("note", 300)

    assert valkey_site.worker("-n", "2", "--burst", ready=False).wait() == 0

    assert Counter(view.state for view in valkey_site.views(ids)) == {"completed": 300}
    assert {run.id for run in valkey_site.ledger.runs()} == set(ids)


def test_an_app_that_cannot_be_loaded_starts_none(valkey_site: Site) -> None:
    refused = valkey_site.start("worker", "no.such.module:app", "-n", "2")

    assert refused.wait() == 2
    assert "no.such.module" in refused.said()
