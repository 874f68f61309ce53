"""An event with many listeners reaches them all though its emitter dies. ``tests.stress.fan_out`` has the figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stress.fan_out import KINDS, OTHER, fan_out
from tests.support.workers import Site, site_on


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "redis", tmp_path) as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_every_listener_is_told_though_the_emitter_dies(site: Site, kind: str) -> None:
    site.worker("-q", f"{OTHER},default", "-c", "32")
    runs = KINDS[kind][2]

    told = fan_out(site, 600, kind, 120, quiet=0.2)

    assert {run.id for run in site.ledger.runs("started")} & set(told.ids) == (set(told.ids) if runs else set())
    site.assert_consistent()
