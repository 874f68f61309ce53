"""A transport that writes down what the server answered to the calls of a worker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from redsched.client.aio.transport import AsyncTransport
from redsched.engine.worker.settlements import LATER
from redsched.settings import Settings
from redsched.torture.history import Event, Journal
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, SettleAndClaim

T = TypeVar("T")
WORDS_A_SETTLEMENT = 7


class RecordingTransport(AsyncTransport):
    """Writes down what the server answered to claim and settle; changes nothing."""

    def __init__(self, settings: Settings, name: str, journal: Journal) -> None:
        super().__init__(settings, name)
        self._journal = journal
        self._noted: deque[Call[Any]] = deque(maxlen=16)
        self._begun: deque[tuple[Call[Any], float]] = deque(maxlen=64)

    async def send(self, call: Call[T], *, retry_for: float | None = None) -> T:
        """As AsyncTransport."""
        sent = self._begin(call)
        answer = await super().send(call, retry_for=retry_for)
        self._note(call, sent, answer)
        return answer

    def _begin(self, call: Call[Any]) -> float:
        """When this call was sent for the first time: it may have been carried out then."""
        for begun, at in self._begun:
            if begun is call:
                return at
        now = time.monotonic()
        self._begun.append((call, now))
        if isinstance(call, SettleAndClaim) and call.claim is not None:
            self._begun.append((call.claim, now))  # it may be sent again by itself
        # before it leaves: it may be carried out and never answered
        self._journal.write_all(
            Event(now, "settle", phase="invoke", id=task_id, token=token, asked=asked)
            for task_id, token, asked in _settlements(call)
        )
        return now

    def _note(self, call: Call[Any], sent: float, answer: Any) -> None:
        now = time.monotonic()
        if any(call is noted for noted in self._noted):
            return
        self._noted.append(call)
        if isinstance(call, SettleAndClaim):
            words, claimed = answer
            self._note_settled(call, sent, now, words)
            self._note_claimed(sent, now, claimed)
        elif call.verb == "claim":
            self._note_claimed(sent, now, answer)
        elif call.verb == "settle":
            self._note_settled(call, sent, now, answer)

    def _note_claimed(self, sent: float, now: float, claimed: Claimed) -> None:
        self._journal.write_all(
            Event(
                now,
                "claim",
                phase="ok",
                id=started.id,
                token=started.token,
                attempt=started.attempt,
                sent=sent,
                server_ms=claimed.now,
                due_ms=started.due_at,
                expires_ms=started.expires_at or 0,
            )
            for started in claimed.tasks
        )

    def _note_settled(self, call: Call[Any], sent: float, now: float, words: Sequence[str]) -> None:
        self._journal.write_all(
            Event(now, "settle", phase="ok", sent=sent, word=word, id=task_id, token=token, asked=asked)
            for word, (task_id, token, asked) in zip(words, _settlements(call), strict=True)
            if word != LATER
        )


def _settlements(call: Call[Any]) -> list[tuple[str, str, str]]:
    """Id, token and outcome of each claim that a call ends."""
    if isinstance(call, SettleAndClaim):
        return [(end.task_id, end.token, end.outcome) for end in call.ends]
    if call.verb != "settle":
        return []
    starts = range(1, len(call.args), WORDS_A_SETTLEMENT)
    return [(str(call.args[at + 1]), str(call.args[at + 2]), str(call.args[at + 3])) for at in starts]
