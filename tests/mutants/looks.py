"""What may notice a mutant: each test of the Lua, seeds of the simulations, calls that stop half-way. One look each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import redis

from redsched.embedded import EmbeddedServer
from redsched.wire import scripts
from tests.simulation import conditions, halfway, tasks
from tests.simulation.calls_and_states import Violation
from tests.support import lua_connections, servers
from tests.support.lua_builds import Build, Line

ROOT = Path(__file__).resolve().parents[2]
COLLECTED = [ROOT / "tests" / "lua", ROOT / "tests" / "model"]
SEEDS, TOGETHER, CONDITION_SEEDS = 106, 5, 60
DB = 5
# of the tests of the model: not those of the helpers, and not what the simulations' seeds look at already
_MODEL = (
    "test_digest_halfway.py::test_no_stop",
    "test_schedule_simulation.py::test_every_slot",
    "test_schedule_writers.py::",
    "test_doctor_damage.py::test_the_doctor",  # every third seed: the others are on other servers
)


@dataclass(frozen=True)
class Look:
    """One way to notice a mutant."""

    name: str
    item: pytest.Item | None = None
    run: Callable[[Stage], str | None] | None = None  # answers what it noticed


@dataclass(frozen=True)
class Stage:
    """A server with the Lua that is looked at, as the library itself and as a build that can be stopped."""

    line: Line
    text: redis.Redis

    @classmethod
    def of(cls, server: EmbeddedServer) -> Stage:
        """Load the Lua as ``scripts`` has it now. Raises Refused where it cannot be loaded."""
        line = Line(server.port, db=DB)
        line("FUNCTION", "LOAD", "REPLACE", scripts.library())
        return cls(line, redis.Redis(port=server.port, db=DB, decode_responses=True, protocol=2))

    @cached_property
    def build(self) -> Build:
        """A build that can be stopped before a write."""
        return Build.load(self.line, "mutant")


def pytest_arguments() -> list[str]:
    """What pytest is asked, so that it collects all tests among which ``looks`` chooses, and prints nothing."""
    quiet = ("no:terminal", "no:xdist", "no:cacheprovider", "no:logging", "no:faulthandler")
    ours = ["-o", "addopts=", "--import-mode=importlib"]  # without the terminal there is no -q
    return [*ours, "-s", *(word for name in quiet for word in ("-p", name)), *map(str, COLLECTED)]


def looks(items: Sequence[pytest.Item]) -> list[Look]:
    """All of them, of the tests that pytest has collected."""
    made = [Look(_name(item), item) for item in items if _is_wanted(item)]
    for first in range(0, SEEDS, TOGETHER):
        made.append(Look(f"simulation {first}", run=_simulation(range(first, min(first + TOGETHER, SEEDS)))))
    made += [Look(f"simulation of conditions {seed}", run=_conditions(seed)) for seed in range(CONDITION_SEEDS)]
    made += [Look(f"stopped half-way: {name}", run=_halfway(name)) for name in halfway.SCENARIOS]
    return made


def _name(item: pytest.Item) -> str:
    return item.nodeid.removeprefix("tests/")


def _is_wanted(item: pytest.Item) -> bool:
    if "/model/" in item.nodeid:
        mine = "doctor_damage" not in item.nodeid or int(item.nodeid[item.nodeid.index("[") + 1 : -1]) % 3 == 0
        return mine and any(name in item.nodeid for name in _MODEL)
    full = "test_full" in item.nodeid  # the builds differ where memory is full
    return "valkey-functions" in item.nodeid or (full and "valkey-scripts" in item.nodeid)


def has_record(look: Look) -> bool:
    """Whether its blocks can be written down: on a full server, scripts cannot."""
    return "valkey-scripts" not in look.name


def _simulation(seeds: range) -> Callable[[Stage], str | None]:
    return lambda stage: tasks.first_failure(stage.line, stage.build, iter(seeds))


def _conditions(seed: int) -> Callable[[Stage], str | None]:
    return lambda stage: conditions.first_failure(stage.line, stage.text, stage.build, iter((seed,)))


def _halfway(name: str) -> Callable[[Stage], str | None]:
    def run(stage: Stage) -> str | None:
        try:
            halfway.stops(stage.line, stage.build, name)
        except Violation as failure:
            return str(failure)
        return None

    return run


class Failures:
    """A pytest plugin that keeps what failed since it was asked last."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest."""
        if report.failed and not self.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            lines = (crash.message if crash else str(report.longrepr)).split("\n")
            self.failed = f"{report.when}: {lines[0]}" if report.when != "call" else lines[0] or "failed"

    def taken(self) -> str:
        """The failure, which is forgotten."""
        failed, self.failed = self.failed, ""
        return failed


def run_all(plan: Sequence[Look], stage: Stage, failures: Failures) -> Iterator[tuple[Look, str]]:
    """Run each in turn, for as long as it is asked; what it noticed, or nothing."""
    following = _following(plan)
    for look, item in zip(plan, following, strict=True):
        noticed = _run(look, item, stage, failures)
        if noticed and not _run(look, item, stage, failures):
            noticed = ""  # a machine that is busy may fail a test as well; a mutant does it each time
        yield look, noticed


def _following(plan: Sequence[Look]) -> list[pytest.Item | None]:
    """For each look the next test of pytest's, which keeps what the two have in common."""
    found: list[pytest.Item | None] = []
    following: pytest.Item | None = None
    for look in reversed(plan):
        found.append(following)
        following = look.item or following
    return found[::-1]


def _run(look: Look, following: pytest.Item | None, stage: Stage, failures: Failures) -> str:
    try:
        if look.item is not None:
            look.item.ihook.pytest_runtest_protocol(item=look.item, nextitem=following)
            return failures.taken()[:200]
        assert look.run is not None
        return (look.run(stage) or "")[:200]
    except Exception as error:  # a mutant may answer what no reader expects
        return f"{type(error).__name__}: {error}"[:200]


def use(server: EmbeddedServer) -> None:
    """In a child: tests use this server, and find the Lua loaded, of scripts only what they call."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    load = lua_connections.load

    def functions_only(connection: redis.Redis) -> None:
        if "scripts" in os.environ.get("PYTEST_CURRENT_TEST", ""):
            load(connection)

    servers.start_valkey = lambda _: contextlib.nullcontext(server)  # type: ignore[assignment,return-value]
    lua_connections.load = functions_only
