"""Loop: one way to repeat a step. It owns the pace, the cancelling, the progress and the log line of a failure."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redsched.engine.observer import Observer
from redsched.model.errors import RedschedError, StoreError

FIRST_PAUSE = 0.1  # seconds after a failed step; doubles up to LONGEST_PAUSE
LONGEST_PAUSE = 2.0


class Loop:
    """Runs ``step`` again and again until it is cancelled or ``step`` answers None.

    ``step`` answers the seconds to wait at most before the next one; ``nudge`` ends the wait early. A step that fails
    is told in one log line when the trouble begins and in one when it ends, and is repeated with growing pauses.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float | None]],
        *,
        observer: Observer,
        log: logging.Logger,
        nudged: asyncio.Event | None = None,
    ) -> None:
        """``nudged``: the event that ``nudge`` sets, where others are given it before the loop is made."""
        self.name = name
        self._step = step
        self._observer = observer
        self._log = log
        self._nudged = nudged or asyncio.Event()
        self.healthy = True

    def nudge(self) -> None:
        """Take the next step at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Take steps until one answers None."""
        pause = FIRST_PAUSE
        while True:
            self._nudged.clear()
            try:
                wait = await self._step()
            except RedschedError as error:
                if self.healthy:
                    self.healthy = False
                    self._log.warning(f"{self.name}.interrupted", extra={"error": str(error)})
                self._observer.redis_error("store" if isinstance(error, StoreError) else "unknown")
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            if not self.healthy:
                self.healthy, pause = True, FIRST_PAUSE
                self._log.warning(f"{self.name}.resumed")
            self._observer.progressed(self.name)
            if wait is None:
                return
            if wait > 0 and not self._nudged.is_set():
                await self._wait(wait)

    async def _wait(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._nudged.set)
        try:
            await self._nudged.wait()
        finally:
            timer.cancel()


async def cancelled(tasks: Sequence[asyncio.Task[Any]]) -> int:
    """Cancel them; answers how many go on in spite of it."""
    if not tasks:
        return 0
    for task in tasks:
        task.cancel()
    ended, stubborn = await asyncio.wait(tasks, timeout=1.0)
    await asyncio.gather(*ended, return_exceptions=True)
    return len(stubborn)
