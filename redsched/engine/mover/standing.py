"""Standing: what all actors of a mover go by. Whether it acts, whether it is told of writes, what time the server has.

One mover of a cell acts, as the answer to each promote says. That is a saving only; no correctness rests on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from redsched.wire.ids import nonce

log = logging.getLogger("redsched.mover")
STANDBY = 0.15  # seconds that a mover which stands by leaves to the acting one
JUMP = 2.0  # seconds by which the server's clock may leave ours before leases are not trusted
SLOW = JUMP / 4  # seconds; an answer that took longer tells nothing of the clock


class Standing:
    """Where one mover stands. ``acting``: it is the one that follows writes; ``armed``: it is told of them."""

    def __init__(self, *, acting: bool = True, armed: bool = False) -> None:
        self.name = nonce()  # by which promote tells movers apart
        self.acting = acting
        self.armed = armed
        self._answered = asyncio.Event()
        self._offset: float | None = None  # server seconds less monotonic seconds
        self._successors: list[Callable[[], None]] = []

    def when_it_takes_over(self, act: Callable[[], None]) -> None:
        """Call ``act`` each time that this mover becomes the acting one."""
        self._successors.append(act)

    def hear_acting(self, acting: bool) -> None:
        """Redis said whether this mover acts."""
        self._answered.set()
        if self.acting != acting:
            self.acting = acting
            log.debug("mover.acting" if acting else "mover.standby", extra={"mover": self.name})
            for act in self._successors if acting else ():
                act()

    async def wait_for_answer(self, seconds: float) -> None:
        """Wait until Redis has said once whether this mover acts, but no longer than so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # wait_for may swallow a cancel
                await self._answered.wait()

    @property
    def patience(self) -> float:
        """Seconds that it leaves to the acting mover; none if that is itself."""
        return 0.0 if self.acting else STANDBY

    # the server's clock

    def hear_clock(self, server_ms: int, asked: float) -> bool:
        """The answer to a call made at ``asked`` has come with the server's time; whether that clock has jumped."""
        if self._offset is not None and time.monotonic() - asked >= SLOW:
            return False
        offset = server_ms / 1_000 - halfway(asked)
        jumped = self._offset is not None and abs(offset - self._offset) > JUMP
        if jumped:
            log.warning("clock.jumped", extra={"seconds": round(offset - (self._offset or 0.0), 3)})
        self._offset = offset
        return jumped

    def to_local(self, server_ms: int) -> float:
        """A moment of the server's clock in monotonic seconds."""
        return server_ms / 1_000 - (self._offset or 0.0)

    def seconds_until(self, moment: int, *, now: int, at: float) -> float:
        """How long to sleep until a moment (ms) of the server's clock, which was ``now`` at our time ``at``; a mover
        that stands by sleeps a little longer."""
        return max(0.0, at + (moment - now) / 1_000 - time.monotonic() + self.patience)


def halfway(asked: float) -> float:
    """When the server looked at its clock for the answer, come just now, to a call made at ``asked``: about
    half-way."""
    return (asked + time.monotonic()) / 2
