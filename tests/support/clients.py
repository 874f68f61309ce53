"""Both clients behind one face, and what a worker does with the tasks that they enqueue."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from redsched.client import AsyncClient, Client
from redsched.testing.clock import at_time
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Settlement, Started
from redsched.wire.keys import queue_keys

T = TypeVar("T")


class Face:
    """A client whose methods wait, whether it is the synchronous or the asynchronous one."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client
        self._runner = asyncio.Runner() if isinstance(client, AsyncClient) else None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if self._runner is None or not inspect.iscoroutinefunction(method):
            return method
        return lambda *args, **options: self._runner.run(method(*args, **options))

    def over_transport(self, method: str, *given: Any, **options: Any) -> Any:
        """What a method of its transport answers."""
        found = getattr(self.client.transport, method)(*given, **options)
        return found if self._runner is None else self._runner.run(found)

    def send(self, call: Call[T]) -> T:
        """Send a call of the protocol, as the engine does."""
        return self.over_transport("send", call)  # type: ignore[no-any-return]

    def start(self, queue: str = "default", *, now: int = 0, count: int = 100) -> list[Started]:
        """Promote and claim: what a mover and a worker do. ``now`` needs the namespace's virtual clock."""
        keys = queue_keys(Cell(self.client.settings.namespace), queue)
        self.send(at_time(protocol.promote([keys], mover="m"), now))
        return self.send(at_time(protocol.claim([keys], consumer="w", count=count, lease_ms=30_000), now)).tasks

    def settle(self, started: Started, outcome: str, first: Any = "", error: str = "") -> str:
        """End a claim."""
        end = Settlement(started.queue, started.id, started.token, outcome, first, error)
        return self.send(protocol.settle(Cell(self.client.settings.namespace), [end]))[0]

    def close(self) -> None:
        """Close the client, and its event loop."""
        if self._runner is None:
            self.client.close()
        else:
            self._runner.run(self.client.close())
            self._runner.close()


Connect = Callable[..., Face]  # the fixture of that name: makes a client over a store or an address
