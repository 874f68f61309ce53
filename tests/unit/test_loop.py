"""Loop: the one way to repeat a step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from redsched.engine import loop as engine
from redsched.engine.loop import Loop
from redsched.engine.observer import Silent
from redsched.model.errors import StoreUnavailable

log = logging.getLogger("redsched.test")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FIRST_PAUSE", 0.001)


def of(answers: Iterator[float | Exception | None]) -> Loop:
    """A loop whose steps answer or raise these."""

    async def step() -> float | None:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Loop("step", step, observer=Silent(), log=log)


def test_it_ends_when_the_step_answers_none() -> None:
    asyncio.run(asyncio.wait_for(of(iter([0.0, 0.001, None])).run(), 60))


def test_a_nudge_ends_the_wait_and_one_during_the_step_is_not_lost() -> None:
    steps: list[str] = []

    async def main() -> None:
        async def step() -> float | None:
            steps.append("step")
            if len(steps) == 1:
                loop.nudge()
            if len(steps) == 2:
                asyncio.get_running_loop().call_later(0.01, loop.nudge)
            return None if len(steps) == 3 else 60.0

        loop = Loop("step", step, observer=Silent(), log=log)
        await asyncio.wait_for(loop.run(), 60)

    asyncio.run(main())
    assert len(steps) == 3


def test_trouble_is_told_once_when_it_begins_and_once_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    trouble = StoreUnavailable("claim", "refused")
    asyncio.run(asyncio.wait_for(of(iter([0.0, trouble, trouble, trouble, 0.0, trouble, None])).run(), 60))

    assert [record.message for record in caplog.records] == ["step.interrupted", "step.resumed"] * 2


def test_an_error_that_is_none_of_ours_ends_it() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(of(iter([0.0, ZeroDivisionError()])).run())
