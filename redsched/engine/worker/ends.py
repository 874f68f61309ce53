"""Ends: how runs ended, until Redis has been told; then the log is told what became of each task."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence

from redsched.client import AsyncClient
from redsched.engine.worker.settlements import Settlements
from redsched.model.errors import RedschedError
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, Settlement, claim_key

log = logging.getLogger("redsched.worker")


class Ends:
    """The ends of one worker's runs, in order. Its length is how many Redis has yet to be told of."""

    def __init__(self, client: AsyncClient, nudge: Callable[[], None]) -> None:
        """``nudge`` is told that there is an end to send."""
        self._client = client
        self._settlements = Settlements(client)
        self._nudge = nudge
        self._names: dict[str, str] = {}  # of outcomes for the log, by claim; ``completed`` is not noted
        self.append = self._settlements.append  # tell Redis of this one too, with the next call that is sent anyway
        self.left = self._settlements.left

    def __len__(self) -> int:
        return len(self._settlements)

    def add(self, end: Settlement, name: str) -> None:
        """A run ended, with an outcome of this name: tell Redis with the next round trip."""
        self._settlements.append(end)
        if name != "completed":
            self._names[claim_key(end.queue, end.task_id, end.token)] = name
        self._nudge()

    def has_batch(self) -> bool:
        """Whether there is something to send now: take it up."""
        return bool(self._settlements.batch())

    async def tell(self, claim: Callable[[], Call[Claimed] | None]) -> Claimed | None:
        """Send the batch and, in the same call, a claim; answers the claim's answer.

        Raises:
            RedschedError: Redis is away; the same claims are to be told of later.
        """
        words, claimed = await self._settlements.tell(claim)
        if words:
            ends = self._settlements.answered(words)
            words = words[: len(ends)]
            self._log(ends, await self._states(ends, words) if "already" in words else words)
        return claimed

    async def _states(self, ends: Sequence[Settlement], words: Sequence[str]) -> Sequence[str]:
        """The words, with the state of the task in place of ``already``: an earlier call ended the claim, and its
        answer was lost. Where the state cannot be read, ``already`` stays."""
        unknown: dict[str, list[str]] = defaultdict(list)
        for end, word in zip(ends, words, strict=True):
            if word == "already" and end.outcome != "complete":
                unknown[end.queue].append(end.task_id)
        found: dict[tuple[str, str], str] = {}
        with contextlib.suppress(RedschedError):  # Redis knows of the ends; only the log lacks something
            for queue, ids in unknown.items():
                shown = await self._client.show(ids, queue=queue)
                found |= {(queue, task_id): view.state for task_id, view in shown.items() if view is not None}

        def state(end: Settlement, word: str) -> str:
            if word != "already":
                return word
            return "completed" if end.outcome == "complete" else found.get((end.queue, end.task_id), word)

        return [state(end, word) for end, word in zip(ends, words, strict=True)]

    def _log(self, ends: Sequence[Settlement], words: Sequence[str]) -> None:
        names, tells_all = self._names, log.isEnabledFor(logging.DEBUG)
        for end, word in zip(ends, words, strict=True):
            if word == "completed" and not names and not tells_all:
                continue
            name = names.pop(claim_key(end.queue, end.task_id, end.token), end.outcome)
            told = {"queue": end.queue, "task_id": end.task_id, "token": end.token, "state": word}
            if word == "completed":
                log.debug("task.completed", extra=told)
            elif word == "lost":
                log.warning("task.lost", extra=told)
            elif word == "dead" or end.outcome == "dead":
                log.error("task.dead", extra=told | {"outcome": name, "error": end.kind})
            elif end.outcome == "retry":
                log.warning("task.retried", extra=told | {"outcome": name, "error": end.kind})
            else:
                log.info(f"task.{name}", extra=told)
