"""The event and the due time in the same millisecond: a recorded skip or cancel means that no handler ever started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stress.event_race import race
from tests.support.workers import Site, site_on


@pytest.fixture(params=["redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


def test_a_task_either_starts_or_never_does_whenever_its_event_comes(site: Site) -> None:
    site.worker("-c", "64")
    site.mover()

    result = race(site, 5_000)

    assert result.violations == []
    assert sum(result.ends.values()) == 5_000
    assert result.ends.keys() >= {"race completed", "race cancelled", "race skipped"}
    site.assert_consistent()
