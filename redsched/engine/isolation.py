"""Isolation: one call for many queues or schedules, and one call for each where Redis refuses them together.

If a queue's keys are of a wrong type, or these credentials may not touch them, the others that share its call must not
wait. The log tells of it once. It is kept out of their calls and tried by itself now and then, until Redis accepts it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from redsched.client.aio.transport import AsyncTransport
from redsched.engine.observer import Observer
from redsched.model.errors import StoreDenied, StoreError, StoreRefused
from redsched.wire.call import Call
from redsched.wire.keys import QueueKeys

T = TypeVar("T")
Item = TypeVar("Item")
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

    @property
    def over(self) -> list[str]:
        """Those to be tried again now."""
        return [name for name in self.until if not self.waits(name)]

    @property
    def soonest(self) -> float:
        """Seconds until the first is to be tried again; infinite where Redis refuses none."""
        return max(0.0, min(self.until.values(), default=float("inf")) - time.monotonic())

    async def answer(self, name: str, sent: Awaitable[T]) -> T | None:
        """What Redis answers about it alone; None where Redis refuses it.

        Raises:
            RedschedError: Redis did not answer, or refused for a reason that concerns others as well.
        """
        try:
            found = await sent
        except StoreError as error:
            if not is_its_own(error):
                raise
            self.refuse(name, error)
            return None
        self.accept(name)
        return found

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


class Isolation(Generic[Item]):
    """Sends one verb about many things, each of which has a name; ``refusals`` says which of them Redis refuses."""

    def __init__(self, transport: AsyncTransport, refusals: Refusals, name: Callable[[Item], str]) -> None:
        self._transport = transport
        self._name = name
        self.refusals = refusals

    async def send(
        self, items: Sequence[Item], make: Callable[[Sequence[Item]], Call[T]]
    ) -> list[tuple[Sequence[Item], T]]:
        """The answers about those that Redis does not refuse, each with the things that it is about.

        Raises:
            RedschedError: Redis did not answer, or refused for a reason that concerns all; try all again.
        """
        refused = self.refusals.until
        together, alone = list(items), list[Item]()
        if refused:
            together = [item for item in items if self._name(item) not in refused]
            over = self.refusals.over
            alone = [item for item in items if self._name(item) in over]
        answers: list[tuple[Sequence[Item], T]] = []
        if together:
            try:
                answers.append((together, await self._transport.send(make(together))))
            except StoreError as error:
                if not is_its_own(error):
                    raise
                alone += together
        for item in alone:
            found = await self.refusals.answer(self._name(item), self._transport.send(make([item])))
            if found is not None:
                answers.append(([item], found))
        return answers


def isolated_queues(verb: str, transport: AsyncTransport, observer: Observer) -> Isolation[QueueKeys]:
    """Isolation of a mover's verb that takes queues."""
    return Isolation(transport, Refusals(verb, observer, logging.getLogger("redsched.mover")), lambda keys: keys.queue)
