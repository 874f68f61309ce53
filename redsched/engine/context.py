"""What a handler is told about the run that it is: annotate a parameter with ``Context`` to get it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from redsched.client import AsyncClient, Client
from redsched.engine import forks
from redsched.engine.shared import Shared
from redsched.model.duration import instant
from redsched.model.errors import LeaseLost
from redsched.model.workflows import Kin
from redsched.wire import protocol
from redsched.wire.claims import Started
from redsched.wire.keys import queue_keys

T = TypeVar("T")


class Context:
    """One run of a task. ``token`` names it: pass it, or ``id``, on as an idempotency key."""

    __slots__ = ("_shared", "_started", "cancel_requested", "lease_lost")

    def __init__(self, started: Started, shared: Shared) -> None:
        self._started = started
        self._shared = shared
        self.lease_lost = False  # another worker may run the task by now: stop
        self.cancel_requested = False  # somebody asked the task to stop

    @property
    def id(self) -> str:
        """The task's id."""
        return self._started.id

    @property
    def queue(self) -> str:
        """The queue that it is in."""
        return self._started.queue

    @property
    def type(self) -> str:
        """The task's type."""
        return self._started.type

    @property
    def attempt(self) -> int:
        """1 for the first run. A run that a crash cut short counts if Redis had heard that it had begun: after 50 ms or
        later where a coroutine blocks the event loop. At most two in a row do not count."""
        return self._started.attempt

    @property
    def max_attempts(self) -> int:
        """After how many attempts the task is dead."""
        return self._started.max_attempts

    @property
    def token(self) -> str:
        """Names this claim; no other run of any task has it."""
        return self._started.token

    @property
    def due_at(self) -> datetime:
        """When this run was due, UTC."""
        return instant(self._started.due_at)

    @property
    def expires_at(self) -> datetime | None:
        """The start-by, UTC; None without one."""
        return None if self._started.expires_at is None else instant(self._started.expires_at)

    @property
    def headers(self) -> dict[str, str]:
        """What the producer sent beside the payload."""
        return {} if self._started.headers is None else msgspec.json.decode(self._started.headers, type=dict[str, str])

    @property
    def content_type(self) -> str:
        """Of the payload, as the producer named it; a payload that is not JSON reaches the handler as bytes."""
        return self._started.content_type or "application/json"

    @property
    def traceparent(self) -> str | None:
        """The producer's W3C trace context."""
        return self._started.traceparent

    @property
    def state(self) -> Any:
        """What the application's lifespan gave: one object for all runs of a worker; None without a lifespan."""
        return self._shared.state

    @property
    def client(self) -> AsyncClient:
        """The worker's own client, for coroutines on its event loop. Do not close it."""
        return self._shared.client

    @property
    def client_sync(self) -> Client:
        """A client for handlers that are plain functions, one for all runs of a worker. Do not close it.

        Raises:
            RuntimeError: asked for on the event loop, which its calls would block: use ``client``.
        """
        if threading.get_ident() == self._shared.thread:
            raise RuntimeError("the calls of client_sync would block the event loop here: use client, and await it")
        return self._shared.client_sync

    async def progress(self, value: Any) -> None:
        """Store a JSON value that ``show`` tells while the task runs; at most 64 KiB.

        Raises:
            LeaseLost: the task is not this run's any more; nothing was written.
        """
        started = self._started
        call = protocol.progress(queue_keys(self.client.cell, started.queue), started.id, started.token, value)
        answer = await self._here(self.client.transport.send(call))
        if answer == "lost":
            self.lease_lost = True
            raise LeaseLost(self.id, self.attempt)
        if answer == "cancel":
            self.cancel_requested = True

    def progress_sync(self, value: Any) -> None:
        """``progress`` for handlers that are plain functions (they run in a thread).

        Raises:
            RuntimeError: called on the event loop, which it would block for ever.
        """
        self._wait(self.progress(value), "progress")

    async def parents(self) -> list[Kin]:
        """The tasks that this one comes after, with what they returned: up to 8 KiB of JSON each."""
        return await self._here(self.client.parents(self.id, queue=self.queue))

    def parents_sync(self) -> list[Kin]:
        """``parents`` for handlers that are plain functions.

        Raises:
            RuntimeError: called on the event loop, which it would block for ever.
        """
        return self._wait(self.parents(), "parents")

    async def _here(self, asked: Coroutine[Any, Any, T]) -> T:
        """Ask on the worker's loop, to which its connections belong: a handler may run another loop in its thread."""
        self._require_worker(asked)
        if asyncio.get_running_loop() is self._shared.loop:
            return await asked
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._shared.loop))

    @staticmethod
    def _require_worker(asked: Coroutine[Any, Any, Any]) -> None:
        if forks.here.in_child:
            asked.close()
            raise RuntimeError("a forked process has no connection of the worker's: ask in the handler itself")

    def _wait(self, asked: Coroutine[Any, Any, T], name: str) -> T:
        if threading.get_ident() == self._shared.thread:
            asked.close()
            raise RuntimeError(f"{name}_sync would wait for itself here: await {name}")
        self._require_worker(asked)
        return asyncio.run_coroutine_threadsafe(asked, self._shared.loop).result()
