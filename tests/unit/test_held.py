"""The last look before a handler: what may still begin, on the loop and in a thread."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from redsched import App
from redsched.client import AsyncClient
from redsched.engine.app import TaskType
from redsched.engine.elapsed import elapsed
from redsched.engine.shared import Shared
from redsched.engine.worker.held import TRUSTED, Held, NotBegun, Why
from redsched.engine.worker.runner import Runner
from redsched.wire.claims import Settlement, Started

SERVER_MS = 1_800_000_000_000


def held(*, ago: float = 0.0, lease_s: float = 30.0, expires_in_ms: int | None = None, type_: str = "t") -> Held:
    """A claim that was sent so many seconds ago; its start-by counts from then."""
    expires = None if expires_in_ms is None else SERVER_MS + expires_in_ms
    started = Started("q", "a", 1, SERVER_MS, type_, b"{}", None, None, None, None, 5, expires, "1.ab")
    return Held(started, sent=elapsed() - ago, server_ms=SERVER_MS, lease_s=lease_s)


def begins(claim: Held) -> bool:
    """Whether its handler may be called."""
    try:
        claim.begin()
    except NotBegun:
        assert claim.begun_at is None
        return False
    assert claim.begun_at is not None
    return True


@pytest.mark.parametrize(("ago", "lease_s", "may"), [(0, 9, True), (4, 9, True), (9, 9, False), (20, 9, False)])
def test_a_lease_counts_from_the_sending_of_the_claim(ago: float, lease_s: float, may: bool) -> None:
    assert begins(held(ago=ago, lease_s=lease_s)) is may


@pytest.mark.parametrize(
    ("ago", "expires_in_ms", "may"),
    [
        (0, 9_000, True),
        (4, 9_000, True),
        (8.9995, 9_000, False),
        (20, 9_000, False),
        (0, 1, False),
        (0, 0, False),
    ],
)
def test_a_start_by_is_that_of_the_servers_clock_at_its_latest(ago: float, expires_in_ms: int, may: bool) -> None:
    assert begins(held(ago=ago, expires_in_ms=expires_in_ms)) is may


def test_what_a_claim_told_of_the_servers_clock_is_not_believed_for_long() -> None:
    day_ms = 86_400_000

    assert begins(held(ago=TRUSTED / 2, expires_in_ms=day_ms))
    assert not begins(held(ago=TRUSTED, expires_in_ms=day_ms))
    assert begins(held(ago=TRUSTED))


@pytest.mark.parametrize("why", [Why.LOST, Why.SHUTDOWN, Why.TIMEOUT])
def test_what_was_stopped_does_not_begin(why: Why) -> None:
    claim = held()

    claim.stop(why)

    assert not begins(claim)


def test_a_renewal_counts_from_its_sending_too() -> None:
    claim = held(ago=50, lease_s=20)
    assert not begins(claim)

    claim.renewed(elapsed() - 10, 20)

    assert begins(claim)


class Ran:
    """An app whose plain functions wait for a word."""

    def __init__(self) -> None:
        self.app, self.names, self.go = App("held"), list[str](), threading.Event()
        self.app.task("first")(self.first)
        self.app.task("second")(self.second)

    def first(self) -> None:
        self.names.append("first")
        assert self.go.wait(60)

    def second(self) -> None:
        self.names.append("second")


async def run(runner: Runner, claim: Held, task_type: TaskType) -> tuple[str, Settlement | None]:
    return await runner.run(claim, task_type, asyncio.current_task())


@pytest.mark.parametrize("cause", ["start-by", "lease", "cancel", "time limit"])
def test_a_plain_function_that_waited_for_a_thread_is_looked_at_in_that_thread(cause: str) -> None:
    async def main() -> list[Any]:
        runner = Runner(1, Shared(AsyncClient.__new__(AsyncClient)), lambda: None)
        busy = asyncio.create_task(run(runner, held(), ran.app.tasks["first"]))
        while not ran.names:
            await asyncio.sleep(0.01)
        claim = held(expires_in_ms=200) if cause == "start-by" else held(lease_s=0.2 if cause == "lease" else 30)
        waits = asyncio.create_task(run(runner, claim, ran.app.tasks["second"]))
        await asyncio.sleep(0.25)
        if cause in ("cancel", "time limit"):
            claim.stop(Why.CANCEL if cause == "cancel" else Why.TIMEOUT)
        ran.go.set()
        answers = [await waits, await busy]
        runner.close()
        return answers

    ran = Ran()
    (name, end), (first, _) = asyncio.run(main())

    assert (name, first) == ("returned", "completed")
    assert end is not None and (end.outcome, end.first) == ("return", "")
    assert ran.names == ["first"]


def test_an_answer_that_came_late_is_asked_for_again_and_the_second_one_counts() -> None:
    claim = held()
    assert elapsed() < claim.fresh_until

    for fresh in (False, True, False, True):
        claim.renewed(elapsed() - 6, 30)  # sent before the process stood still, or to a slow Redis
        claim.confirmed()
        assert (elapsed() < claim.fresh_until) is fresh

    claim.renewed(elapsed() - 6, 30)
    claim.confirmed()
    claim.renewed(elapsed(), 30)
    claim.confirmed()
    claim.renewed(elapsed() - 6, 30)
    claim.confirmed()
    assert elapsed() > claim.fresh_until
