"""Workflows and lines of keys under random kills; the long form is ``python -m tests.stress.flows``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stress import flows
from tests.support.workers import Site, site_on


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, "redis", tmp_path) as found:
        yield found


def test_order_holds_while_workers_and_movers_are_killed(site: Site) -> None:
    flows.run(site, length=30, size=505, keys=20, each=15, every=0.8, seconds=180, tell=False)

    site.assert_consistent()
