"""What all runs of one worker share: its clients, its event loop, and what the application's lifespan gave it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol

from redsched.client import AsyncClient, Client


class Joins(Protocol):
    """The batches of a worker."""

    async def join(self, context: Any, batch: Any, payload: Any) -> Any:
        """What comes of a task in a batch."""


class Calls(Protocol):
    """The processes of a worker."""

    async def call(self, context: Any, handler: Any) -> Any:
        """What a handler comes to in a process."""


class Shared:
    """Made on the worker's event loop. ``state`` is set before the first run begins."""

    __slots__ = ("_client_sync", "_lock", "_make_client", "batches", "client", "loop", "processes", "state", "thread")

    def __init__(self, client: AsyncClient, make_client: Callable[[], Client] | None = None) -> None:
        """``make_client``: how the client of threads is made, if a handler asks for it; it is the maker's to close."""
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()  # of the loop
        self.state: Any = None
        self.batches: Joins | None = None  # these two are set by what runs handlers
        self.processes: Calls | None = None
        self._make_client = make_client
        self._client_sync: Client | None = None
        self._lock = threading.Lock()

    @property
    def client_sync(self) -> Client:
        """The client of all threads, made when it is first asked for: most workers need none."""
        with self._lock:
            if self._client_sync is None:
                make = self._make_client
                self._client_sync = Client(settings=self.client.settings, name="worker") if make is None else make()
            return self._client_sync

    def close(self) -> None:
        """Close the client of threads, where it was made here."""
        if self._client_sync is not None and self._make_client is None:
            self._client_sync.close()
