# Made by tools/unasync.py from redsched/client/aio/dead_letters.py: change that, then `make sync-client`.
"""The verbs of a client about what went wrong: dead tasks and the quarantine, a few by their ids or all that match."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from redsched.client.requests import Duration, id_list
from redsched.client.sync.places import Places
from redsched.client.sync.transport import Transport
from redsched.model.answers import DropAnswer, RequeueAnswer, ReviveAnswer
from redsched.model.vocabulary import Action
from redsched.steps import batches
from redsched.steps.bulk import MAX_BULK, Bulk, Filter, bulk, clock
from redsched.wire import dead_letters, protocol
from redsched.wire.dead_letters import QuarantinePage


class DeadLetters(Places):
    """A part of ``Client``."""

    transport: Transport

    def revive(
        self,
        ids: str | Sequence[str],
        *,
        queue: str | None = None,
        due: datetime | int | str | None = None,
        delay: Duration | None = None,
    ) -> dict[str, ReviveAnswer]:
        """Run dead tasks again: id -> ``revived``, ``expires`` (its start-by lies before that time; nothing was
        written), ``missing``, ``moved`` (to another queue) or the state of one that is not dead.
        ``queue``: as in ``cancel``."""
        return self._by_queue(ids, queue, lambda keys, some: protocol.revive(keys, some, due=due, delay=delay))

    def drop(self, ids: str | Sequence[str], *, queue: str | None = None) -> dict[str, DropAnswer]:
        """Remove dead or finished tasks: id -> ``dropped``, ``missing`` or the state of one that still lives.
        ``queue``: as in ``cancel``."""
        return self._by_queue(ids, queue, dead_letters.drop)

    def bulk(
        self,
        action: Action,
        *,
        queue: str = "default",
        where: Filter | None = None,
        dry_run: bool = False,
        most: int = MAX_BULK,
    ) -> Bulk:
        """``revive``, ``drop`` or ``cancel`` every task that ``where`` names, at most ``most``; dead ones unless it
        says otherwise. A dry run only tells how many there are. Repeat it while ``more`` is true."""
        now_ms = self.transport.steps("bulk", clock())
        steps = bulk(self._keys(queue), action, where or Filter(), now_ms=now_ms, dry_run=dry_run, most=most)
        return self.transport.converse(steps)

    def quarantined(self, queue: str = "default", *, limit: int = 50, cursor: str | None = None) -> QuarantinePage:
        """One page of what was set aside in a queue, and why."""
        return self.transport.send(dead_letters.quarantined(self._keys(queue), limit=limit, cursor=cursor))

    def requeue(
        self,
        ids: str | Sequence[str],
        *,
        queue: str = "default",
        due: datetime | int | str | None = None,
        delay: Duration | None = None,
    ) -> dict[str, RequeueAnswer]:
        """Schedule ids of the quarantine whose hashes are good now: id -> ``requeued``, ``expires`` (its start-by lies
        before that time; it stays there), ``missing``, ``no hash``, ``wrong type`` or the state of a task that has its
        place."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: dead_letters.requeue(keys, some, due=due, delay=delay))
        return self.transport.converse(steps)

    def drop_quarantined(self, members: Sequence[bytes], *, queue: str = "default") -> int:
        """Forget members of the quarantine, as ``quarantined`` told them; answers how many were there."""
        return self.transport.send(dead_letters.drop_quarantined(self._keys(queue), members))
