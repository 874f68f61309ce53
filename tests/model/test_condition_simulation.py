"""The simulation of tasks with conditions, in short: seeds hold, and planted bugs are found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from redsched.embedded import EmbeddedServer
from tests.simulation import conditions
from tests.simulation.bugs import Bug
from tests.simulation.condition_bugs import BUGS
from tests.support.lua_builds import Build, Line

SEEDS = 15


@pytest.fixture(scope="module")
def line(valkey_server: EmbeddedServer) -> Iterator[Line]:
    """A connection to a database of the simulation's own."""
    connection = Line(valkey_server.port, db=10)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def text(valkey_server: EmbeddedServer) -> Iterator[redis.Redis]:
    """The same database, with replies as text."""
    with redis.Redis(port=valkey_server.port, db=10, decode_responses=True, protocol=2) as connection:
        yield connection


def test_no_seed_breaks_a_promise(line: Line, text: redis.Redis) -> None:
    build = Build.load(line, "conditions")

    runs = sum(conditions.simulate(line, text, build, seed) for seed in range(SEEDS))

    assert runs > 5 * SEEDS, "the seeds must start tasks to prove anything"


@pytest.mark.parametrize("seed", [1494, 1846])
def test_a_task_ends_though_the_call_that_took_it_out_of_its_digest_stopped(
    line: Line, text: redis.Redis, seed: int
) -> None:
    assert conditions.simulate(line, text, Build.load(line, "conditions"), seed) > 0


@pytest.mark.parametrize(("first", "bug"), BUGS, ids=lambda value: value.name if isinstance(value, Bug) else "")
def test_a_planted_bug_is_found_within_20_seeds(line: Line, text: redis.Redis, first: int, bug: Bug) -> None:
    build = Build.load(line, "conditionbug", bug.changes())

    failure = conditions.first_failure(line, text, build, iter(range(first, first + 20)))

    assert failure is not None, f"nothing noticed that {bug.name}"
    print(f"{bug.name}: {failure}")
