"""Isolation: one call for many queues, and each by itself where Redis refuses them together.

One queue whose keys are of a wrong type, or which these credentials may not touch, must not hold up those that share
its call. It is told of once, kept out of their calls, and tried by itself now and then until it is well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from redsched.client.async_transport import AsyncTransport
from redsched.engine.observer import Observer
from redsched.model.errors import StoreDenied, StoreError, StoreRefused
from redsched.wire.call import Call
from redsched.wire.keys import QueueKeys

T = TypeVar("T")
REFUSED = 5.0  # seconds until a queue is tried again that Redis refused
LONGEST = 300.0  # seconds at most until one whose keys we may not touch: it doubles, for rights change seldom


def is_its_own(error: StoreError) -> bool:
    """Whether an error may be about the keys of one queue or schedule of a call, so that others need not wait."""
    if isinstance(error, StoreDenied):
        return not error.problem.startswith(("NOAUTH", "WRONGPASS"))
    return isinstance(error, StoreRefused)


class Refusals:
    """Queues, say, that Redis refuses: from when (monotonic) each is tried again. ``field`` names them in the log."""

    def __init__(self, verb: str, observer: Observer, log: logging.Logger, field: str = "queue") -> None:
        self._verb = verb
        self._observer = observer
        self._log = log
        self._field = field
        self._pauses: dict[str, float] = {}
        self.until: dict[str, float] = {}

    def waits(self, name: str) -> bool:
        """Whether it is not to be tried yet."""
        return self.until.get(name, 0.0) > time.monotonic()

    def refuse(self, name: str, error: StoreError) -> None:
        """Redis refused it: one line in the log when that begins, and a pause."""
        if name not in self.until:
            self._log.error(f"{self._verb}.refused", extra={self._field: name, "error": str(error)})
        pause = min(2 * self._pauses.get(name, 0.0), LONGEST) if isinstance(error, StoreDenied) else 0.0
        self._pauses[name] = max(pause, REFUSED)
        self.until[name] = time.monotonic() + self._pauses[name]
        self._observer.redis_error("store")

    def accept(self, name: str) -> None:
        """Redis did not refuse it."""
        self._pauses.pop(name, None)
        if self.until.pop(name, None) is not None:
            self._log.warning(f"{self._verb}.accepted", extra={self._field: name})

    def keep(self, names: Sequence[str]) -> None:
        """Forget all others: they are gone."""
        for name in self.until.keys() - set(names):
            del self.until[name]
            self._pauses.pop(name, None)


class Isolation:
    """Sends one verb; ``refused`` says from when (monotonic) each queue is tried again that Redis refused."""

    def __init__(
        self, verb: str, transport: AsyncTransport, observer: Observer, log: logging.Logger | None = None
    ) -> None:
        self._transport = transport
        self._refusals = Refusals(verb, observer, log or logging.getLogger("redsched.mover"))

    @property
    def refused(self) -> dict[str, float]:
        """From when (monotonic) each queue is tried again that Redis refused."""
        return self._refusals.until

    async def send(self, queues: Sequence[QueueKeys], make: Callable[[Sequence[QueueKeys]], Call[T]]) -> list[T]:
        """The answers about those queues that Redis does not refuse.

        Raises:
            RedschedError: Redis did not answer, or refused for a reason that is no queue's own; try all again.
        """
        together = [keys for keys in queues if keys.queue not in self.refused]
        alone = [keys for keys in queues if keys.queue in self.refused and not self._refusals.waits(keys.queue)]
        answers: list[T] = []
        if together:
            try:
                answers.append(await self._transport.send(make(together)))
            except StoreError as error:
                if not is_its_own(error):
                    raise
                alone += together
        for keys in alone:
            try:
                answers.append(await self._transport.send(make([keys])))
            except StoreError as error:
                if not is_its_own(error):
                    raise
                self._refusals.refuse(keys.queue, error)
            else:
                self._refusals.accept(keys.queue)
        return answers
