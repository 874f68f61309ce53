"""The simulation of recurring schedules, in short: seeds hold, and planted bugs are found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redsched.embedded import EmbeddedServer
from tests.simulation import schedules
from tests.simulation.calls_and_states import Violation
from tests.support.lua_builds import Build, Line, source

BUGS = {
    "a decision for a slot of the past is carried out": (
        "lib/schedules/fire.lua", "digits(s.f.slot) ~= digits(slot)", "false",
    ),
    "a run beside another is started whatever the policy": (
        "lib/schedules/runs.lua", "policy ~= 'allow_all' and (#s.open > 0", "policy ~= 'allow_all' and (false",
    ),
    "a slot that is skipped is not counted": ("lib/schedules/runs.lua", "'skipped', 1,", "'skipped', 0,"),
}  # fmt: skip


@pytest.fixture(scope="module")
def line(valkey_server: EmbeddedServer) -> Iterator[Line]:
    """A connection to a database of the simulation's own."""
    connection = Line(valkey_server.port, db=8)
    yield connection
    connection.close()


@pytest.mark.parametrize("seed", [0, 1, 2, 5, 10])  # without an outage, with scripts that stop, with outages
def test_every_slot_of_a_day_is_made_once_or_told_of(line: Line, seed: int) -> None:
    build = Build.load(line, "fires")

    made, _ = schedules.simulate(line, build, seed, days=0.7)

    assert made > 100, "a seed must make runs to prove anything"


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(line: Line, name: str) -> None:
    file, right, wrong = BUGS[name]
    assert right in source(file)
    build = Build.load(line, "firesbug", {file: source(file).replace(right, wrong)})

    with pytest.raises(Violation) as failure:
        for seed in (2, 5, 8):
            schedules.simulate(line, build, seed, days=0.5)

    print(f"{name}: {failure.value}")
