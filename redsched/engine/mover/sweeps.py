"""Sweeps: has what is past its retention removed where there is something, as the scripts note it in ``sweeps``.

The acting mover sweeps; one that stands by does only what is late, as the acting one may not be allowed to. The
acting one also sweeps each queue that it knows once an hour, whatever is noted: an older library notes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from functools import partial

from redsched.client import AsyncClient
from redsched.engine.isolation import Refusals, isolated_queues
from redsched.engine.loop import Loop
from redsched.engine.mover.known_queues import KnownQueues, Round
from redsched.engine.mover.standing import Standing
from redsched.engine.observer import Observer
from redsched.steps import queues as queue_steps
from redsched.wire import protocol
from redsched.wire.keys import QueueKeys, queue_keys

log = logging.getLogger("redsched.mover")
QUEUES_A_CALL = 16
PAGE = 256  # queues of one look
EVERY = 10.0
AGAIN = 0.005  # while there is more: about 20,000 removed a second, and most of the server's time left to others
LATE = 30.0  # seconds after which one that does not act sweeps
ROUND_S = 3_600.0  # seconds in which each queue is swept once at least


class Sweeps:
    """The loop ``sweep``."""

    def __init__(self, client: AsyncClient, queues: KnownQueues, standing: Standing, observer: Observer) -> None:
        self._client = client
        self._queues = queues
        self._standing = standing
        self._sweeps = isolated_queues("sweep", client.transport, observer)
        self._lists = Refusals("sweeps", observer, log, "key")
        self._more: list[QueueKeys] = []
        self._sweep = partial(protocol.sweep, forgotten=client.settings.forgotten_ids)
        self._round = Round(queues)
        self.loop = Loop("sweep", self.step, observer=observer, log=log)

    async def step(self) -> float:
        """Sweep what is due; answers the seconds until the next look."""
        todo = self._more or [queue_keys(self._client.cell, name) for name in await self._due()]
        self._more = []
        calls = 0
        for at in range(0, len(todo), QUEUES_A_CALL):
            some = todo[at : at + QUEUES_A_CALL]
            answers = await self._sweeps.send(some, self._sweep)
            calls += len(answers)
            if any(swept.more for _, swept in answers):
                self._more += some
            await asyncio.sleep(0)
        return AGAIN if self._more or (calls and len(todo) >= PAGE) else EVERY

    async def _due(self) -> Iterable[str]:
        """Those that are noted, and the next of the round."""
        found = dict.fromkeys(await self._noted())
        if self._standing.acting:
            share = math.ceil(len(self._queues) * EVERY / ROUND_S)
            found.update(dict.fromkeys(self._round.take(share)))
        return found

    async def _noted(self) -> list[str]:
        now = time.monotonic() - (0.0 if self._standing.acting else LATE)
        keys = self._client.cell_keys
        sent = self._client.transport.steps("sweeps", queue_steps.sweeps(keys, PAGE))
        noted = await self._lists.answer(keys.sweeps, sent) or ()  # the round finds them as well
        return [queue for queue, at in noted if self._standing.to_local(at) <= now]
