"""Asked: what a handler asks of Redis while it runs, by way of its context."""

from __future__ import annotations

from typing import Any

from redsched.client import AsyncClient
from redsched.model.happening import Kin
from redsched.wire import protocol
from redsched.wire.keys import queue_keys
from redsched.wire.protocol import Started


class Asked:
    """The client, for one run at a time."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def progress(self, started: Started, value: Any) -> str:
        """Store what the run tells of itself: stored, cancel or lost."""
        call = protocol.progress(queue_keys(self._client.cell, started.queue), started.id, started.token, value)
        return await self._client.transport.send(call)

    async def parents(self, started: Started) -> list[Kin]:
        """The tasks that the run's comes after."""
        return await self._client.parents(started.id, queue=started.queue)
