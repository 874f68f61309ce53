"""Wakeups: carries out the entries of ``{rs}:agenda`` when their times come. Tasks wait there for other things than
their due times: the end of a hold, an event with many listeners, a task that they come after, the end of a pause.

Every call is small, so that other tasks are not late for it. Any number of movers may do it, the script is the only
lock; one that stands by gives the acting one a moment.
"""

from __future__ import annotations

import asyncio
import logging
import time

from redsched.client import AsyncClient
from redsched.engine.loop import Loop
from redsched.engine.mover.standing import STANDBY, Standing, halfway
from redsched.engine.observer import Observer
from redsched.wire import protocol

log = logging.getLogger("redsched.mover")
IDLE = 30.0
PAUSE = 0.001  # seconds between calls while there is more: others come in between
BLIND = 0.1  # seconds between looks without tracking
PAGE_LEFT = 128  # so many left in one call: there may be more behind them


class Wakeups:
    """The loop ``attend``."""

    def __init__(self, client: AsyncClient, standing: Standing, observer: Observer) -> None:
        self._client = client
        self._standing = standing
        self.loop = Loop("attend", self.step, observer=observer, log=log)
        self._later: asyncio.TimerHandle | None = None
        self._skip = 0  # items that these credentials may not carry out: they stay for a mover that may

    def written(self) -> None:
        """Somebody wrote the agenda: look now, or, where another mover acts, in a moment, as it may be gone."""
        if self._standing.acting:
            self.loop.nudge()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(STANDBY, self._look_later)

    def _look_later(self) -> None:
        self._later = None
        self.loop.nudge()

    async def step(self) -> float:
        """Look once; answers the seconds until the next look."""
        asked = time.monotonic()
        found = await self._client.transport.send(protocol.attend(self._client.cell_keys, skip=self._skip))
        at = halfway(asked)
        self._skip = self._skip + found.left if found.left >= PAGE_LEFT else 0
        if self._skip:
            return PAUSE
        wait = IDLE if self._standing.armed else BLIND
        if found.next_look is not None:
            wait = min(wait, self._standing.seconds_until(found.next_look, now=found.now, at=at))
        if found.done and found.next_look is not None and found.next_look <= found.now:
            return PAUSE
        return wait
