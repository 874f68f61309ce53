"""Epoch: notices that a namespace was emptied (flushed, or its server restarted without its data).

Redsched goes on then, but never silently: the tasks are gone.
"""

from __future__ import annotations

import logging

from redsched.client import AsyncClient
from redsched.engine.observer import Observer
from redsched.steps import install as installing

log = logging.getLogger("redsched.mover")


class Epoch:
    """The epoch that this mover has seen last; each emptied namespace gets another one."""

    def __init__(self, client: AsyncClient, observer: Observer) -> None:
        self._client = client
        self._observer = observer
        self.seen: str | None = None

    async def look(self) -> None:
        """Compare it with the one that is there."""
        epoch = await self._client.transport.steps("epoch", installing.epoch(self._client.cell_keys))
        if epoch is None:
            return
        if self.seen is not None and epoch != self.seen:
            log.critical("store.emptied", extra={"namespace": self._client.settings.namespace, "epoch": epoch})
            self._observer.redis_error("emptied")
        self.seen = epoch
