"""The verbs of events, conditions, order and workflows under hypothesis: what fails comes back as a few calls.

The actors and what must hold are those of the simulation; here hypothesis chooses the actor and all that it draws.
``REDSCHED_TEST_MACHINE=2000x100`` makes it 2,000 examples of 100 steps.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from redsched.embedded import EmbeddedServer
from tests.simulation.condition_draw import THEMES, TICKS, Theme
from tests.simulation.conditions import World
from tests.support.consistency import assert_consistent
from tests.support.lua_builds import Build, Line, clear

DB = 11
EXAMPLES, STEPS = (int(word) for word in os.environ.get("REDSCHED_TEST_MACHINE", "15x40").split("x"))
DECISIONS = ("emit", "unset", "rule", "confirm", "follow", "pause", "cancel", "change", "care")
choices = st.randoms(use_true_random=False)
numbers = itertools.count(50_000_000)


class Conditions(RuleBasedStateMachine):
    """One world; a rule an actor."""

    line: Line
    text: redis.Redis
    build: Build

    @initialize(theme=st.sampled_from(THEMES))
    def begin(self, theme: Theme) -> None:
        """A namespace of its own, in which no call stops half-way."""
        self.world = World(self.line, self.text, self.build, next(numbers), None)
        self.world.halts = self.world.stops = self.world.mends = False
        self.world.theme = theme
        self.world.begin()

    @rule(rng=choices)
    def submit(self, rng: random.Random) -> None:
        """A task with conditions."""
        self.world.rng = rng
        self.world.submit()

    @rule(rng=choices)
    def submit_family(self, rng: random.Random) -> None:
        """Tasks that come after one another."""
        self.world.rng = rng
        self.world.submit_family()

    @rule(rng=choices, which=st.sampled_from(DECISIONS))
    def decide(self, rng: random.Random, which: str) -> None:
        """Somebody does what conditions hang on."""
        self.world.rng = rng
        getattr(self.world, which)()

    @rule(rng=choices)
    def move(self, rng: random.Random) -> None:
        """A mover does one thing."""
        self.world.rng = rng
        self.world.move()

    @rule(rng=choices)
    def work(self, rng: random.Random) -> None:
        """A worker does one thing."""
        self.world.rng = rng
        self.world.work()

    @rule(milliseconds=st.sampled_from(TICKS))
    def wait(self, milliseconds: int) -> None:
        """Time goes by."""
        self.world.now += milliseconds

    @rule(rng=choices)
    def look(self, rng: random.Random) -> None:
        """Somebody asks."""
        self.world.rng = rng
        self.world.look()

    @invariant()
    def indexes_agree(self) -> None:
        """Each task is in one place, and in all that ties it."""
        if hasattr(self, "world"):
            self.world.step += 1
            if self.world.step % 8:
                assert_consistent(self.text, self.world.cell.tag)
            else:
                self.world.check_whole()

    def teardown(self) -> None:
        """All ends, and a sweep leaves nothing but events and statistics."""
        if hasattr(self, "world"):
            self.world.rng = random.Random(1)
            try:
                self.world.drain()
            finally:
                clear(self.line, self.world.cell.tag)


@pytest.fixture
def text(valkey_server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A connection with replies as text, to a database of this test's own."""
    with redis.Redis(port=valkey_server.port, db=DB, decode_responses=True, protocol=2) as connection:
        yield connection


@pytest.mark.timeout(3_600)
def test_any_order_of_calls_keeps_what_conditions_promise(valkey_server: EmbeddedServer, text: redis.Redis) -> None:
    line = Line(valkey_server.port, db=DB)
    build = Build.load(line, "conditionmachine")
    machine = type("Machine", (Conditions,), {"line": line, "text": text, "build": build})
    options = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=EXAMPLES == 15,
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(machine, settings=options)

    line.close()
