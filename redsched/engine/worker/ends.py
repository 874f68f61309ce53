"""Ends: how runs ended, until Redis has been told; then the log is told what became of each task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from redsched.client import AsyncClient
from redsched.engine.worker.settlements import Settlements
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, Settlement

log = logging.getLogger("redsched.worker")


class Ends:
    """The ends of one worker's runs, in order. Its length is how many Redis has yet to be told of."""

    def __init__(self, client: AsyncClient, nudge: Callable[[], None]) -> None:
        """``nudge`` is told that there is an end to send."""
        self._settlements = Settlements(client)
        self._nudge = nudge
        self._names: dict[str, str] = {}  # of outcomes for the log, by token and id; ``completed`` is not noted
        self.append = self._settlements.append  # tell Redis of this one too, with the next call that is sent anyway
        self.left = self._settlements.left

    def __len__(self) -> int:
        return len(self._settlements)

    def add(self, end: Settlement, name: str) -> None:
        """A run ended, with an outcome of this name: tell Redis with the next round trip."""
        self._settlements.append(end)
        if name != "completed":
            self._names[end.token + end.task_id] = name
        self._nudge()

    def has_batch(self) -> bool:
        """Whether there is something to send now: take it up."""
        return bool(self._settlements.batch())

    async def tell(self, claim: Callable[[], Call[Claimed] | None]) -> Claimed | None:
        """Send the batch and, in the same call, a claim; answers the claim's answer.

        Raises:
            RedschedError: Redis is away; the same batch is to be sent later.
        """
        words, claimed = await self._settlements.tell(claim)
        if words:
            self._log(self._settlements.answered(), words)
        return claimed

    def _log(self, ends: Sequence[Settlement], words: Sequence[str]) -> None:
        names = self._names
        for end, word in zip(ends, words, strict=True):
            if word == "completed" and not names:
                continue
            name = names.pop(end.token + end.task_id, end.outcome)
            if word == "completed":
                continue
            told = {"queue": end.queue, "task_id": end.task_id, "token": end.token, "state": word}
            if word == "lost":
                log.warning("task.lost", extra=told)
            elif word == "dead":
                log.error("task.dead", extra=told | {"outcome": name, "error": end.kind})
            elif end.outcome == "retry":
                log.warning("task.retried", extra=told | {"outcome": name, "error": end.kind})
            else:
                log.info(f"task.{name}", extra=told)
