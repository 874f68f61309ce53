"""Settlements: how runs ended, in order, until Redis has been told.

One call is bounded in claims and in bytes. What Redis will always refuse is not repeated for ever: the batch is split
until one claim is left. That one is settled without its texts. Where Redis refuses even that, it is given up, and its
lease gives the task back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from redsched.client import AsyncClient
from redsched.model.errors import (
    OutcomeUnknown,
    RedschedError,
    StoreDenied,
    StoreFull,
    StoreReadOnly,
    StoreRefused,
    StoreUnavailable,
)
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, Settlement, claim_key
from redsched.wire.keys import queue_keys
from redsched.wire.redis_errors import Kind, Refused, Unanswered, Unreached, sort_error

log = logging.getLogger("redsched.worker")
MOST = 100  # claims of one call that may answer ``later`` to some; more leave the server idle for longer between calls
MOST_ALONE = 64  # claims of one settle, which carries out all: each may be entered in much
MOST_BYTES = 524_288  # of results and errors in one call; a server may be set to close connections that send 1 MiB
UNANSWERED = 3  # times that one claim gets no answer of a server that answers others, before its texts are left out
PING_S = 2.0
ASIDE_S = 5.0  # seconds between looks at claims that these credentials may not settle
APART_S = 60.0  # seconds until a refused call of both, a settle and a claim, is tried again
LOST_S = 3_600.0  # seconds after which such a claim is given up: the longest lease is over
LATER = "later"  # the word of a claim of which nothing was written: tell of it again
_AWAY = (StoreUnavailable, StoreReadOnly, StoreFull)


class Settlements:
    """A queue of settlements. ``tell`` sends ``batch``; ``answered`` takes it away."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._waiting: deque[Settlement] = deque()
        self._batch: list[Settlement] = []
        self._most = MOST
        self._unanswered = 0  # times in a row, of a batch of one
        self._short: set[str] = set()  # claims that are settled without their texts
        self._aside: list[Settlement] = []  # these credentials may not settle them now
        self._denied: dict[str, float] = {}  # since when, by claim
        self._look_at = 0.0
        self._apart_until = 0.0  # the call of both was refused: an older library has no such verb, or it is not allowed
        self.alone = False  # the last call failed: the next one is sent by itself, so that its answer is its own

    def append(self, end: Settlement) -> None:
        """Tell of this one after those that wait."""
        self._waiting.append(end)

    def extend(self, ends: Sequence[Settlement]) -> None:
        """Tell of these after those that wait."""
        self._waiting.extend(ends)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._batch)

    def left(self) -> list[Settlement]:
        """All of which Redis has not been told."""
        return [*self._batch, *self._waiting, *self._aside]

    def batch(self) -> Sequence[Settlement]:
        """What to send now: the batch that has no answer yet, or the next one."""
        if self._batch:
            return self._batch
        now = time.monotonic()
        if self._aside and now >= self._look_at:
            self._waiting.extend(self._aside)
            self._aside = []
        most = min(self._most, MOST_ALONE) if self.alone or now < self._apart_until else self._most
        waiting, batch, size = self._waiting, self._batch, 0
        while waiting and len(batch) < most:
            end = waiting[0]
            if end.first or end.outcome != "complete":
                size += _size(end)
                if size > MOST_BYTES and batch:
                    break
            batch.append(waiting.popleft())
        return batch

    def answered(self, words: Sequence[str]) -> Sequence[Settlement]:
        """Redis has answered these words to the batch: the next one takes its place, and begins with those that it left
        for later, which are the last. Answers the others."""
        told, self._batch = self._batch, []
        if words[-1] == LATER:
            told, left = told[: words.index(LATER)], told[words.index(LATER) :]
            self._waiting.extendleft(reversed(left))
        self._most, self._unanswered, self.alone = min(MOST, self._most * 4), 0, False
        if self._denied or self._short:
            for end in told:
                self._forget(end)
        return told

    async def tell(
        self, claim: Callable[[], Call[Claimed] | None] = lambda: None
    ) -> tuple[Sequence[str], Claimed | None]:
        """Send the batch and, in the same call, a claim. Answers the words of the batch, none where it has to be
        sent in another way, and the claim's answer.

        Raises:
            RedschedError: Redis is away; the same claims are to be told of later.
        """
        cell, transport = self._client.cell, self._client.transport
        apart = self.alone or time.monotonic() < self._apart_until
        with_it = None if apart else claim()
        is_alone = with_it is None and (apart or len(self._batch) <= MOST_ALONE)
        try:
            if is_alone:
                call = protocol.settle(cell, self._batch)
                return await transport.send(call, retry_for=0.0 if self.alone else None), None
            claims = self._no_claim() if with_it is None else with_it
            words, claimed = await transport.send(protocol.settle_and_claim(cell, self._batch, claims))
            return words, None if with_it is None else claimed
        except RedschedError as error:
            if not is_alone and isinstance(error, StoreDenied | StoreRefused):
                self._apart_until = time.monotonic() + APART_S
            if not await self._trouble(error):
                raise
            return (), None

    def _no_claim(self) -> Call[Claimed]:
        """A claim of no task: with it, more claims can be told of in one call than ``settle`` may be given."""
        queue = queue_keys(self._client.cell, self._batch[0].queue)
        return protocol.claim([queue], consumer="none", count=0, lease_ms=1_000)

    async def _trouble(self, error: RedschedError) -> bool:
        """The call with the batch failed. True: send what ``batch`` answers now. False: Redis is away, so wait."""
        first, self.alone = not self.alone, True
        if len(self._batch) > MOST_ALONE:
            self._put_back()
        if isinstance(error, _AWAY):
            return False
        if first:
            return True
        if isinstance(error, OutcomeUnknown) and not await self._answers_others():
            return False
        if len(self._batch) > 1:
            self._most = max(1, len(self._batch) // 4)
            self._put_back()
            return True
        (end,) = self._batch
        if isinstance(error, StoreDenied):
            self._put_aside(end, error)
            return True
        if isinstance(error, OutcomeUnknown):
            self._unanswered += 1
            if self._unanswered < UNANSWERED:
                return False
        self._unanswered = 0
        self._shorten(end, error)
        return True

    def _put_back(self) -> None:
        self._waiting.extendleft(reversed(self._batch))
        self._batch = []

    def _put_aside(self, end: Settlement, error: RedschedError) -> None:
        """Rights may come back; meanwhile those of other queues go on."""
        self._batch, now = [], time.monotonic()
        if now - self._denied.setdefault(_key(end), now) > LOST_S:
            self._forget(end)
            _dropped(end, error)
            return
        if not self._aside:
            self._look_at = now + ASIDE_S
            log.warning("answers.denied", extra=_about(end, error))
        self._aside.append(end)

    def _shorten(self, end: Settlement, error: RedschedError) -> None:
        """A result or an error that Redis refuses must not make the task run again; a claim that it refuses does."""
        short = _without_texts(end)
        if _key(end) in self._short or short == end:
            self._forget(end)
            self._batch = []
            _dropped(end, error)
            return
        log.error("answers.shortened", extra=_about(end, error))
        self._short.add(_key(end))
        self._batch = [short]

    def _forget(self, end: Settlement) -> None:
        self._short.discard(_key(end))
        self._denied.pop(_key(end), None)

    async def _answers_others(self) -> bool:
        try:
            await self._client.transport.command("PING", timeout=PING_S)
        except (Unreached, Unanswered):
            return False
        except Refused as refused:
            return sort_error(str(refused)) not in (Kind.REPEAT, Kind.READ_ONLY)
        return True


def _key(end: Settlement) -> str:
    return claim_key(end.queue, end.task_id, end.token)


def _size(end: Settlement) -> int:
    first = len(end.first) if isinstance(end.first, bytes | str) else 8
    return first + len(end.error) + len(end.traceback)


def _without_texts(end: Settlement) -> Settlement:
    if end.outcome == "complete":
        return msgspec.structs.replace(end, first="")
    if not end.error and not end.traceback:
        return end
    return msgspec.structs.replace(end, error="SettleRefused: Redis did not take the error's text", traceback="")


def _dropped(end: Settlement, error: RedschedError) -> None:
    log.error("answers.dropped", extra=_about(end, error) | {"n": 1, "tasks": end.task_id})


def _about(end: Settlement, error: RedschedError) -> dict[str, object]:
    found: dict[str, object] = {"queue": end.queue, "task_id": end.task_id, "outcome": end.outcome}
    return found | {"error": str(getattr(error, "problem", error))[:200]}
