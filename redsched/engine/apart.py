"""Apart: one call for many queues, and each by itself where Redis refuses them together.

One queue whose keys are of a wrong type, say, must not hold up those that share its call. It is told of once, kept out
of their calls, and tried by itself now and then until it is well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from redsched.engine.observer import Observer
from redsched.model.errors import StoreError
from redsched.transport import AsyncTransport
from redsched.wire.keys import QueueKeys
from redsched.wire.protocol import Call

T = TypeVar("T")
log = logging.getLogger("redsched.mover")
REFUSED = 5.0  # seconds until a queue is tried again that Redis refused


class Apart:
    """Sends one verb; ``refused`` says from when (monotonic) each queue is tried again that Redis refused."""

    def __init__(self, verb: str, transport: AsyncTransport, observer: Observer) -> None:
        self._verb = verb
        self._transport = transport
        self._observer = observer
        self.refused: dict[str, float] = {}

    async def send(self, queues: Sequence[QueueKeys], make: Callable[[Sequence[QueueKeys]], Call[T]]) -> list[T]:
        """The answers about those queues that Redis does not refuse.

        Raises:
            RedschedError: Redis did not answer, or refused for a reason that is no queue's own; try all again.
        """
        together = [keys for keys in queues if keys.queue not in self.refused]
        now = time.monotonic()
        alone = [keys for keys in queues if self.refused.get(keys.queue, now + 1) <= now]
        answers: list[T] = []
        if together:
            try:
                answers.append(await self._transport.send(make(together)))
            except StoreError as error:
                if type(error) is not StoreError:
                    raise
                alone += together
        for keys in alone:
            try:
                answers.append(await self._transport.send(make([keys])))
            except StoreError as error:
                if type(error) is not StoreError:
                    raise
                self._refuse(keys.queue, error)
            else:
                self.refused.pop(keys.queue, None)
        return answers

    def _refuse(self, queue: str, error: StoreError) -> None:
        if queue not in self.refused:
            log.error(f"{self._verb}.refused", extra={"queue": queue, "error": str(error)})
        self.refused[queue] = time.monotonic() + REFUSED
        self._observer.redis_error("store")
