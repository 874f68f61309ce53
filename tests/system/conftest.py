"""What tests of schedules share: a namespace with a virtual clock, one mover and one worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.schedule_clock import Stage, stage_on


@pytest.fixture(params=["valkey", "redis", "redis8"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A namespace with a virtual clock."""
    with stage_on(request, request.param) as found:
        yield found


@pytest.fixture
def one(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same on the embedded server only, for what does not depend on the server."""
    with stage_on(request, "valkey") as found:
        yield found
