"""The simulation of tasks with conditions, in short: seeds hold, and planted bugs are found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from redsched.embedded import EmbeddedServer
from tests.model import planned_simulation
from tests.model.planted import Bug
from tests.model.store import Build, Line

SEEDS = 15
BUGS = (
    Bug("promote does not look at cancel_on", "lib/wait.lua", "if fact then return", "if false then return"),
    Bug("an event does not tell who is held", "lib/heard.lua", "elseif state == 'held' then", "elseif false then"),
    Bug("the line is not looked at", "lib/planned.lua", "not is_first_in_lines(q, id, plan, f.key)", "false"),
    Bug("a failed parent counts as done", "lib/heard.lua", "local failed, after = state ~= 'completed'",
        "local failed, after = false"),
    Bug("a pause does not hold what is ready", "lib/start.lua", "local stop = stopped_by(q, found[3], id, now)",
        "local stop = nil"),
    Bug("a lock is not let go", "lib/tie.lua", "unique.release ~= 'ttl' and", "false and"),
    Bug("listeners stay", "lib/tie.lua",
        "soft('ZREM', q.prefix .. 'listeners:' .. name, q.name .. '/' .. id)", "soft('EXISTS', q.prefix)"),
)  # fmt: skip


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
    build = Build.load(line, "planned")

    runs = sum(planned_simulation.simulate(line, text, build, seed) for seed in range(SEEDS))

    assert runs > 5 * SEEDS, "the seeds must start tasks to prove anything"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found_within_60_seeds(line: Line, text: redis.Redis, bug: Bug) -> None:
    build = Build.load(line, "plannedbug", bug.changes())

    failure = planned_simulation.first_failure(line, text, build, iter(range(60)))

    assert failure is not None, f"nothing noticed that {bug.name}"
    print(f"{bug.name}: {failure}")
