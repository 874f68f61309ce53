"""The watchdog tells of a loop that stands still, and where it stands."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from redsched.engine.watchdog import Watchdog


def blocks_the_loop(watchdog: Watchdog) -> None:
    deadline = time.monotonic() + 60
    while watchdog.stalls == 0:
        assert time.monotonic() < deadline


def test_a_handler_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with Watchdog(0.6) as watchdog:
            await asyncio.sleep(0.1)
            blocks_the_loop(watchdog)
            async with asyncio.timeout(60):
                while not any(record.message == "loop.resumed" for record in caplog.records):
                    await asyncio.sleep(0.05)

    with caplog.at_level(logging.WARNING, "redsched.worker"):
        asyncio.run(main())

    stalled = [record for record in caplog.records if record.message == "loop.stalled"]
    # a busy machine may hold up the loop once more, elsewhere
    assert ["blocks_the_loop" in vars(record)["stack"] for record in stalled].count(True) == 1


def test_a_loop_that_turns_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with Watchdog(5.0) as watchdog:
            await asyncio.sleep(1.2)
            assert watchdog.stalls == 0

    asyncio.run(main())
    assert not caplog.records
