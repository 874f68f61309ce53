"""Leases: renews what a worker holds, tells Redis what has begun, and stops what can no longer be sure of its lease.

Before something starts that has waited for a while, Redis is asked: it may have been cancelled, or be another worker's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.elapsed import elapsed
from redsched.engine.loop import Loop, cancelled
from redsched.engine.observer import Observer
from redsched.engine.worker.claims import Claims
from redsched.engine.worker.held import FRESH, Held, Why
from redsched.eventloop import own_task
from redsched.model.errors import RedschedError
from redsched.model.vocabulary import MAX_BATCH
from redsched.wire import protocol

log = logging.getLogger("redsched.worker")
BEAT = 1.0  # seconds between renewals, so that a cancelled task hears of it soon; never later than a third of the lease
MOST_ASKED = 2  # times that a slot asks before a start; then it starts, for a loop that is slow must go on
TOLD_AFTER = 0.05  # seconds of a run after which Redis is told that it has begun; what is shorter is told by its settle


class Leases:
    """The leases of a worker's claims."""

    def __init__(self, client: AsyncClient, claims: Claims, lease_ms: int, *, observer: Observer) -> None:
        self._client = client
        self._claims = claims
        self._lease_ms = lease_ms
        self.beat = min(BEAT, lease_ms / 3_000)
        self._timer: asyncio.TimerHandle | None = None
        self._confirming: asyncio.Task[None] | None = None
        self._renewals = Loop("renew", self._renew, observer=observer, log=log)
        self.loops = (self._renewals, Loop("lease", self._watch, observer=observer, log=log))

    async def close(self) -> None:
        """Ask and tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._confirming is not None:
            await cancelled((self._confirming,))

    def ran(self) -> None:
        """A run begins: if it lasts, Redis is told."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOLD_AFTER, self._look)

    def _look(self) -> None:
        self._timer = None
        unnamed = [
            held
            for held in self._claims.held.values()
            if held.context is not None and held.why is None and not held.named
        ]
        if unnamed:
            self._timer = asyncio.get_running_loop().call_later(TOLD_AFTER, self._look)
            if any(map(_lasts, unnamed)):
                self._renewals.nudge()

    async def confirm(self) -> None:
        """Ask whether what waits may still start; what may not has left when this returns. One call for all who ask."""
        if self._confirming is None:
            self._confirming = own_task(self._confirm())
        await asyncio.shield(self._confirming)

    async def _confirm(self) -> None:
        soon = elapsed() + FRESH / 2  # also what would have to be asked about in a moment
        asked = [held for held in self._claims.waiting if held.fresh_until < soon]
        try:
            await self._ask(asked)
            for held in asked:
                held.confirmed()
        except RedschedError:
            await asyncio.sleep(0.1)  # the loops tell of it
        finally:
            self._confirming = None

    async def _renew(self) -> float:
        old = elapsed() - self.beat / 2
        await self._ask(
            [
                held
                for held in self._claims.held.values()
                if held.why is None and (held.renewed_at <= old or _lasts(held))
            ]
        )
        return self.beat

    async def _ask(self, claims: Sequence[Held]) -> None:
        """Renew leases, and tell of those that have begun that they have."""
        for at in range(0, len(claims), MAX_BATCH):
            asked: list[Held] = []
            told: list[Held] = []
            for held in claims[at : at + MAX_BATCH]:
                (asked if held.named or held.begun_at is None else told).append(held)
            sent = elapsed()
            call = protocol.renew(
                self._client.cell,
                [held.started for held in asked],
                begun=[held.started for held in told],
                lease_ms=self._lease_ms,
            )
            words = await self._client.transport.send(call)
            for held in told:
                held.named = True
            for held, word in zip(asked + told, words, strict=True):
                if held.key in self._claims.held:  # not ended meanwhile
                    self._answered(held, word, sent, told)

    def _answered(self, held: Held, word: str, sent: float, told: Sequence[Held]) -> None:
        if word == "lost":
            if held not in told:  # a library that does not know such claims answers so; the next renewal tells
                self._claims.lose(held)
            return
        held.renewed(sent, self._lease_ms / 1_000)
        if word == "cancel" and held.context is None:
            self._claims.give_back(held, "cancelled")
        elif word == "cancel":
            held.stop(Why.CANCEL)

    async def _watch(self) -> float:
        """Stop what was not renewed in time, however long Redis stays away: another worker may have it any moment.
        What waits is asked about before it starts."""
        now = elapsed()
        for held in list(self._claims.held.values()):
            if held.context is not None and now > held.lease_until - self.beat / 2:
                self._claims.lose(held)
        return self.beat / 2 if self._claims.held else self.beat


def _lasts(held: Held) -> bool:
    return held.begun_at is not None and not held.named and held.begun_at <= elapsed() - TOLD_AFTER
