"""The deterministic simulation, in short: seeds hold, a seed replays exactly, and planted bugs are found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redsched.embedded import EmbeddedServer
from tests.simulation import halfway, tasks
from tests.simulation.bugs import BUGS, Bug
from tests.support.lua_builds import Build, Line

SEEDS = 120
PARTS = 2


@pytest.fixture(scope="module")
def line(valkey_server: EmbeddedServer) -> Iterator[Line]:
    """A connection to a database of the simulation's own."""
    connection = Line(valkey_server.port, db=9)
    yield connection
    connection.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_promise(line: Line, part: int) -> None:
    build = Build.load(line, f"sim{part}")

    runs = sum(tasks.simulate(line, build, seed)[1] for seed in range(part, SEEDS, PARTS))

    assert runs > SEEDS, "the seeds must start tasks to prove anything"


def test_a_seed_replays_exactly(line: Line) -> None:
    build = Build.load(line, "simreplay")

    for seed in (3, 6, 12):
        assert tasks.simulate(line, build, seed) == tasks.simulate(line, build, seed)


@pytest.mark.parametrize("name", halfway.SCENARIOS)
def test_a_script_that_stops_before_any_of_its_writes_loses_nothing(line: Line, name: str) -> None:
    assert halfway.stops(line, Build.load(line, "simhalf"), name) >= 2


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found_within_500_seeds(line: Line, bug: Bug) -> None:
    build = Build.load(line, "simbug", bug.changes())

    failure = tasks.first_failure(line, build, iter(range(500)))

    assert failure is not None, f"nothing noticed that {bug.name}"
    print(f"{bug.name}: {failure}")
