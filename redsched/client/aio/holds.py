"""The verbs of a client about tasks that wait to be confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from redsched.client.aio.places import AsyncPlaces
from redsched.client.aio.task_types import AsyncTypes
from redsched.client.aio.transport import AsyncTransport
from redsched.client.requests import Duration, single
from redsched.model.answers import AbandonAnswer, ConfirmAnswer
from redsched.model.enqueued import Held
from redsched.model.task import Options
from redsched.wire import protocol
from redsched.wire.ids import nonce


class AsyncHolds(AsyncTypes, AsyncPlaces):
    """A part of ``AsyncClient``."""

    transport: AsyncTransport

    async def hold(
        self, type: str, payload: Any = None, *, within: Duration = "30s", **options: Unpack[Options]
    ) -> Held:
        """Create a task that waits to be confirmed, and expires after ``within``: write it before you commit to your
        database, and ``confirm`` it afterwards with the token that comes back.

        Raises:
            As ``enqueue``.
        """
        token = nonce()
        task = self._held(type, payload, within, token, options)
        made = single(await self.submit([task]))
        return Held(made.id, made.queue, made.status, made.durability, made.other, token)

    async def confirm(
        self, ids: str | Sequence[str], token: str, *, queue: str | None = None
    ) -> dict[str, ConfirmAnswer]:
        """Let held tasks go: id -> ``confirmed``, ``refused`` (another token), ``missing``, or the state of one that
        has ended. ``queue``: as in ``cancel``."""
        return await self._by_queue(
            ids, queue, lambda keys, some: protocol.confirm(keys, some, token, action="confirm")
        )

    async def abandon(
        self, ids: str | Sequence[str], token: str, *, queue: str | None = None
    ) -> dict[str, AbandonAnswer]:
        """Cancel held tasks: id -> ``abandoned``, ``requested`` (its time was over and it runs by now: it is asked to
        stop), ``refused`` (another token, or confirmed), ``missing``, or the state of one that has ended.
        ``queue``: as in ``cancel``."""
        return await self._by_queue(
            ids, queue, lambda keys, some: protocol.confirm(keys, some, token, action="abandon")
        )
