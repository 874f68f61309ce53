"""Some seeds of the model in which writers of a schedule meet every moment of a slot."""

from __future__ import annotations

import pytest

from redsched.embedded import EmbeddedServer
from tests.simulation.schedule_writers import campaign


@pytest.mark.parametrize("first", [0, 370, 968])
def test_each_slot_is_made_or_counted_whoever_writes_and_what_is_shown_happens(
    valkey_server: EmbeddedServer, first: int
) -> None:
    made, failures = campaign(valkey_server.url, range(first, first + 6))

    assert failures == []
    assert made > 100


def test_slots_that_wait_for_runs_are_made_whoever_writes_meanwhile(valkey_server: EmbeddedServer) -> None:
    made, failures = campaign(valkey_server.url, range(4), "buffer_all")

    assert failures == []
    assert made > 100
