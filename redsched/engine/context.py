"""What a handler is told about the run that it is: annotate a parameter with ``Context`` to get it."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, overload

import msgspec

from redsched.client import AsyncClient, Client
from redsched.engine import forks
from redsched.engine.shared import Calls, Joins, Shared
from redsched.engine.steps_kept import does_not_fit, kept_text, kept_value
from redsched.eventloop import own_task
from redsched.model.duration import instant
from redsched.model.errors import LeaseLost
from redsched.model.workflows import Kin
from redsched.wire import protocol
from redsched.wire.claims import Started, Step, check_step
from redsched.wire.keys import queue_keys

T = TypeVar("T")
KEEP_TRYING_S = 3_600.0  # the longest lease: a step that was taken is kept once Redis is back
LAST_WORDS_S = 2.0  # in which a run that is stopped may still keep a step


class Context:
    """One run of a task. ``token`` names it: pass it, or ``id``, on as an idempotency key."""

    __slots__ = ("_shared", "_started", "_taken", "cancel_requested", "lease_lost")

    def __init__(self, started: Started, shared: Shared) -> None:
        self._started = started
        self._shared = shared
        self._taken: set[str] | None = None  # steps that are being taken now
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

    @property
    def batches(self) -> Joins:
        """The batches of this worker; what runs a task of one asks them."""
        if self._shared.batches is None:
            raise RuntimeError("a context without a worker has no batches: call the batch handler itself, with a list")
        return self._shared.batches

    @property
    def processes(self) -> Calls:
        """The processes of this worker; what runs a handler there asks them."""
        if self._shared.processes is None:
            raise RuntimeError("a context without a worker has no processes: call the handler itself")
        return self._shared.processes

    @property
    def started(self) -> Started:
        """What the claim told of the task."""
        return self._started

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

    @overload
    async def once(self, step: str, call: Callable[[], Any], *, returns: builtins.type[T]) -> T: ...

    @overload
    async def once(self, step: str, call: Callable[[], Any]) -> Any: ...

    async def once(self, step: str, call: Callable[[], Any], *, returns: Any = Any) -> Any:
        """Call ``call`` unless an earlier run of this task has; answers what it returned, then or now.

        ``call`` takes no arguments. What it returns, or what comes of awaiting that, is kept with the task as JSON,
        under the name ``step``. The answer is read from that JSON, in the run that called it too: as ``returns``, or as
        plain dicts, lists, texts and numbers. A call that raises keeps nothing, and the next run calls again.

        A step stays done over retries, snoozes and ``revive``, and goes with the task. If the process or Redis is lost
        between the end of the call and the keeping of its answer, the next run calls again: give the provider an
        idempotency key that is the same in every run, such as ``f"{ctx.id}:charge"``.

        Raises:
            InvalidTask: ``step`` is no name; nothing was called.
            LeaseLost: the task is not this run's any more; nothing was called, or nothing was kept.
            Reject: a task keeps 100 steps and 64 KiB of them, and this one does not fit; what it returned is no JSON;
                or what is kept is no ``returns``. Another run could not help, so the task is dead.
        """
        with self._taking(step):
            found = await self._here(self._step(step))
            if found.word != "kept":
                result = call()
                if inspect.isawaitable(result):
                    result = await result
                keeping = own_task(self._here(self._step(step, kept_text(step, result))))
                try:
                    found = await asyncio.shield(keeping)
                except asyncio.CancelledError:  # at the time limit, say: what was done must not be forgotten
                    await asyncio.wait((keeping,), timeout=LAST_WORDS_S)
                    raise
                finally:
                    keeping.cancel()
            return kept_value(step, found.value, returns)

    @overload
    def once_sync(self, step: str, call: Callable[[], Any], *, returns: builtins.type[T]) -> T: ...

    @overload
    def once_sync(self, step: str, call: Callable[[], Any]) -> Any: ...

    def once_sync(self, step: str, call: Callable[[], Any], *, returns: Any = Any) -> Any:
        """``once`` for handlers that are plain functions; ``call`` runs in the handler's thread.

        Raises:
            RuntimeError: called on the event loop, which it would block for ever.
        """
        with self._taking(step):
            found = self._wait(self._step(step), "once")
            if found.word != "kept":
                found = self._wait(self._step(step, kept_text(step, call())), "once")
            return kept_value(step, found.value, returns)

    @contextmanager
    def _taking(self, step: str) -> Iterator[None]:
        """One call of a step at a time."""
        check_step(step)
        taken = self._taken = set() if self._taken is None else self._taken
        if step in taken:
            raise RuntimeError(f"step {step!r} is being taken in this run already; give each step a name of its own")
        taken.add(step)
        try:
            yield
        finally:
            taken.discard(step)

    async def take_step(self, step: str, value: bytes) -> Step:
        """What ``once`` asks Redis, for a handler in another process."""
        return await self._step(step, value)

    async def _step(self, step: str, value: bytes = b"") -> Step:
        """Look up a step, or keep what it returned, however long Redis stays away: the lease ends the waiting."""
        keys = queue_keys(self.client.cell, self.queue)
        call = protocol.once(keys, self.id, self.token, step, value)
        found = await self.client.transport.send(call, retry_for=KEEP_TRYING_S if value else None)
        if found.word == "lost":
            self.lease_lost = True
            raise LeaseLost(self.id, self.attempt)
        if found.word == "full":
            raise does_not_fit(step, value)
        self.cancel_requested |= found.asked
        return found

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
