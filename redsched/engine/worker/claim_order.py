"""Claim order: which queues the next claim asks. Pure but for the clock of what Redis refuses.

A claim asks up to 16 queues, a chunk. The chunks take turns until each has had nothing more; then only the doorbell
knows of work. If Redis refuses a claim, the queues of its chunk are asked one by one, and those that it refuses alone
are left out for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redsched.engine.isolation import Refusals
from redsched.model.errors import StoreError
from redsched.wire.claims import Bell
from redsched.wire.keys import QueueKeys

QUEUES_A_CALL = 16


class ClaimOrder:
    """The turns of a worker's queues. ``chunks``: the queues as one call takes them."""

    def __init__(self, queues: Sequence[QueueKeys], refusals: Refusals, nudge: Callable[[], None]) -> None:
        """``nudge`` is told that there may be something to claim."""
        self.chunks = [queues[at : at + QUEUES_A_CALL] for at in range(0, len(queues), QUEUES_A_CALL)]
        self.bells: list[Bell] = []  # what the doorbell was given and no claim has named yet
        self._refusals = refusals
        self._nudge = nudge
        self._turn = 0  # the chunk that is asked next
        self._short = 0  # chunks in a row that had nothing more
        self._asked: Sequence[QueueKeys] = ()  # of the claim that is out
        self._alone: list[QueueKeys] = []  # to be asked one by one

    @property
    def is_exhausted(self) -> bool:
        """Whether no queue had more when it was asked last: the doorbell will tell."""
        return self._short >= len(self.chunks)

    def rung(self, bells: list[Bell]) -> None:
        """The blocking read ended: with entries, or because its time was up. All queues are asked again."""
        self.bells += bells
        self._short = 0
        self._nudge()

    def ask(self) -> tuple[Sequence[QueueKeys], list[Bell]] | None:
        """The queues of the claim to send now and the bells that it hands over; None where there is nothing to ask."""
        if self.bells:
            rung = {bell.queue for bell in self.bells}
            self._turn = next((at for at, chunk in enumerate(self.chunks) if any(k.queue in rung for k in chunk)), 0)
        elif self.is_exhausted:
            return None
        self._asked = self._queues_of_turn()
        if not self._asked:
            self._next_turn()
            return None
        if not self.bells:
            return self._asked, []
        names = {keys.queue for keys in self._asked}
        bells = [bell for bell in self.bells if bell.queue in names]
        self.bells = [bell for bell in self.bells if bell.queue not in names]
        return self._asked, bells

    def answered(self, *, more: bool) -> None:
        """Redis answered the claim; ``more``: there may be more in the same queues."""
        if len(self._asked) == 1:
            self._refusals.accept(self._asked[0].queue)
        if more or self._alone:
            self._short = 0
        else:
            self._next_turn()

    def refused(self, error: StoreError) -> None:
        """Redis refused the claim: its queues are asked one by one, or the one that it asked is left out for a
        while."""
        if len(self._asked) == 1:
            self._refusals.refuse(self._asked[0].queue, error)
        else:
            self._alone += self._asked

    def _queues_of_turn(self) -> Sequence[QueueKeys]:
        """Those of the chunk whose turn it is, or one by itself; none: Redis refuses them all."""
        chunk, refused = self.chunks[self._turn], self._refusals.until
        if refused:
            if not self._alone:
                over = self._refusals.over
                self._alone = [keys for keys in chunk if keys.queue in over]
            chunk = [keys for keys in chunk if keys.queue not in refused]
        return [self._alone.pop()] if self._alone else chunk

    def _next_turn(self) -> None:
        self._short += 1
        self._turn = (self._turn + 1) % len(self.chunks)
