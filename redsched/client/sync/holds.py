# Made by tools/unasync.py from redsched/client/aio/holds.py: change that, then `make sync-client`.
"""The verbs of a client about tasks that wait to be confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from redsched.client.requests import Duration, id_list, single
from redsched.client.sync.task_types import Types
from redsched.client.sync.transport import Transport
from redsched.model.answers import AbandonAnswer, ConfirmAnswer
from redsched.model.enqueued import Held
from redsched.model.task import Options
from redsched.steps.batches import in_parts
from redsched.wire import protocol
from redsched.wire.ids import nonce


class Holds(Types):
    """A part of ``Client``."""

    transport: Transport

    def hold(self, type: str, payload: Any = None, *, within: Duration = "30s", **options: Unpack[Options]) -> Held:
        """Create a task that waits to be confirmed, and expires after ``within``: write it before you commit to your
        database, and ``confirm`` it afterwards with the token that comes back.

        Raises:
            As ``enqueue``.
        """
        token = nonce()
        task = self._held(type, payload, within, token, options)
        made = single(self.submit([task]))
        return Held(made.id, made.queue, made.status, made.durability, made.other, token)

    def confirm(self, ids: str | Sequence[str], token: str, *, queue: str = "default") -> dict[str, ConfirmAnswer]:
        """Let held tasks go: id -> ``confirmed``, ``refused`` (another token), ``missing``, or the state of one that
        has ended."""
        keys = self._keys(queue)
        steps = in_parts(id_list(ids), lambda some: protocol.confirm(keys, some, token, action="confirm"))
        return self.transport.converse(steps)

    def abandon(self, ids: str | Sequence[str], token: str, *, queue: str = "default") -> dict[str, AbandonAnswer]:
        """Cancel held tasks: id -> ``abandoned``, ``requested`` (its time was over and it runs by now: it is asked to
        stop), ``refused`` (another token, or confirmed), ``missing``, or the state of one that has ended."""
        keys = self._keys(queue)
        steps = in_parts(id_list(ids), lambda some: protocol.confirm(keys, some, token, action="abandon"))
        return self.transport.converse(steps)
