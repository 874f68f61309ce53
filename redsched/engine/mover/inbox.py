"""Inboxes: takes what producers that may only append have written, as soon as tracking tells of it.

Any number of movers may do it, the script is the only lock; one that stands by gives the acting one a moment. Where
there is no tracking, the known queues are looked at in turn.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from redsched.client import AsyncClient
from redsched.engine.isolation import Refusals, isolated_queues
from redsched.engine.loop import Loop
from redsched.engine.mover.known_queues import KnownQueues, Round
from redsched.engine.mover.standing import Standing
from redsched.engine.observer import Observer
from redsched.model.errors import StoreBroken
from redsched.steps import doctor as doctor_steps
from redsched.wire import protocol, wrong_type
from redsched.wire.codec import is_name, text_of
from redsched.wire.keys import QueueKeys, queue_keys
from redsched.wire.redis_errors import Refused

log = logging.getLogger("redsched.mover")
QUEUES_A_CALL = 16
BATCH = 100  # entries one call takes at most
DEBOUNCE = 0.003  # seconds in which entries gather
IDLE = 60.0
BLIND = 1.0  # seconds between looks without tracking
LOOK_S = 60.0  # seconds between looks at the type of an inbox in which nothing was found


class Inboxes:
    """The loop ``ingest``."""

    def __init__(self, client: AsyncClient, queues: KnownQueues, standing: Standing, observer: Observer) -> None:
        self._client = client
        self._standing = standing
        self._ingests = isolated_queues("ingest", client.transport, observer)
        self._written: set[str] = set()  # queues whose inbox somebody wrote
        self._foreign = Refusals("ingest", observer, log)  # queues with another program's key where their inbox belongs
        self._looked: set[str] = set()  # queues whose inbox's type was asked for in this minute
        self._look_anew = 0.0  # when the next one begins (monotonic)
        self._round = Round(queues)
        self.loop = Loop("ingest", self.step, observer=observer, log=log)

    def written(self, queues: Iterable[str]) -> None:
        """These may have something in their inboxes."""
        before = len(self._written)
        self._written.update(filter(is_name, queues))
        if len(self._written) > before:
            self.loop.nudge()

    async def step(self) -> float:
        """Take from up to 16 inboxes; answers the seconds until the next look."""
        self._written.update(self._ingests.refusals.over)
        if not self._written:
            if self._standing.armed:
                return self._wait()
            self._written.update(self._round.take(QUEUES_A_CALL))
            if not self._written:
                return BLIND
        await asyncio.sleep(max(DEBOUNCE, self._standing.patience))
        names = [self._written.pop() for _ in range(min(len(self._written), QUEUES_A_CALL))]
        await self._take([queue_keys(self._client.cell, name) for name in names])
        return 0.0 if self._written else self._wait()

    async def _take(self, queues: list[QueueKeys]) -> None:
        try:
            answers = await self._ingests.send(queues, lambda some: protocol.ingest(some, limit=BATCH))
        except BaseException:
            self._written.update(keys.queue for keys in queues)
            raise
        if (now := time.monotonic()) >= self._look_anew:
            self._looked, self._look_anew = set(), now + LOOK_S
        empty = []
        for inbox in (inbox for _, found in answers for inbox in found):
            if inbox.refused:
                log.warning("inbox.refused", extra={"queue": inbox.queue, "n": inbox.refused})
            if inbox.left:
                self._written.add(inbox.queue)
            if inbox.created or inbox.refused or inbox.left:
                self._foreign.accept(inbox.queue)
            elif inbox.queue not in self._looked:
                self._looked.add(inbox.queue)
                empty.append(inbox.queue)
        if empty:
            await self._look_at_types(empty)

    async def _look_at_types(self, queues: list[str]) -> None:
        """Tell the log of inboxes whose key is no stream: the script leaves them alone without a word."""
        keys = [queue_keys(self._client.cell, queue).index("inbox") for queue in queues]
        ask = doctor_steps.ask(*(("TYPE", key) for key in keys))
        for queue, key, reply in zip(queues, keys, await self._client.transport.steps("ingest", ask), strict=True):
            if isinstance(reply, Refused):
                continue  # these credentials may not ask
            if text_of(reply) in ("stream", "none"):
                self._foreign.accept(queue)
            elif queue not in self._foreign.until:
                broken = wrong_type.told({key: (f"the key 'inbox' of queue {queue!r}", "stream")}, [reply])
                self._foreign.refuse(queue, StoreBroken("ingest", broken, broken=broken))

    def _wait(self) -> float:
        """Until one that Redis refused is to be tried again, if there is any."""
        return min(self._ingests.refusals.soonest, IDLE if self._standing.armed else BLIND)
