"""A ``Context`` without a worker, for a test that calls a handler as the function that it is."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import msgspec

from redsched.client import AsyncClient, Client
from redsched.engine.context import Context
from redsched.engine.steps_kept import does_not_fit
from redsched.model.duration import instant_ms
from redsched.model.errors import LeaseLost
from redsched.model.workflows import Kin
from redsched.wire.claims import MAX_PROGRESS_BYTES, MAX_STEP_BYTES, MAX_STEPS, Started, Step, check_step
from redsched.wire.codec import json_bytes

T = TypeVar("T")


class DirectContext(Context):
    """A run that no server knows of.

    ``progressed``: what the handler told with ``progress``, the first one first. ``steps``: by name, what is kept of
    the steps that it took with ``once``; give them to the context of the next run.
    """

    __slots__ = ("_clients", "_parents", "_state", "progressed", "steps")

    def __init__(
        self,
        started: Started,
        parents: Sequence[Kin],
        state: Any,
        client: AsyncClient | None,
        client_sync: Client | None,
    ) -> None:
        super().__init__(started, cast(Any, None))  # not asked by what is replaced here
        self.progressed: list[Any] = []
        self._parents = list(parents)
        self._state = state
        self.steps: dict[str, Any] = {}
        self._clients = client, client_sync

    @property
    def state(self) -> Any:
        """The state that the context was made with."""
        return self._state

    @property
    def client(self) -> AsyncClient:
        """The client that the context was made with."""
        return self._given(self._clients[0], "client")

    @property
    def client_sync(self) -> Client:
        """The client of threads that the context was made with."""
        return self._given(self._clients[1], "client_sync")

    @staticmethod
    def _given(client: T | None, name: str) -> T:
        if client is None:
            raise RuntimeError(f"this context has no {name}: make_context({name}=...) gives it one")
        return client

    async def progress(self, value: Any) -> None:
        """Note the value.

        Raises:
            InvalidTask: it is no JSON, or more than 64 KiB of it; nothing was noted.
            LeaseLost: ``lease_lost`` is true; nothing was noted.
        """
        self.progress_sync(value)

    def progress_sync(self, value: Any) -> None:
        """``progress`` for handlers that are plain functions."""
        json_bytes("progress", value, MAX_PROGRESS_BYTES)
        if self.lease_lost:
            raise LeaseLost(self.id, self.attempt)
        self.progressed.append(value)

    async def _step(self, step: str, value: bytes = b"") -> Step:
        check_step(step)
        if self.lease_lost:
            raise LeaseLost(self.id, self.attempt)
        if step in self.steps:
            return Step("kept", self.cancel_requested, json_bytes("steps", self.steps[step], MAX_STEP_BYTES))
        held = sum(len(name) + len(json_bytes("steps", kept, MAX_STEP_BYTES)) for name, kept in self.steps.items())
        if len(self.steps) >= MAX_STEPS or held + len(step) + len(value) > MAX_STEP_BYTES:
            raise does_not_fit(step, value)
        if value:
            self.steps[step] = msgspec.json.decode(value)
        return Step("kept" if value else "open", self.cancel_requested, value)

    async def _here(self, asked: Coroutine[Any, Any, T]) -> T:
        return await asked

    def _wait(self, asked: Coroutine[Any, Any, T], name: str) -> T:
        try:
            asked.send(None)
        except StopIteration as end:
            found: T = end.value
            return found
        raise RuntimeError(f"{name}_sync waits for what a context of a direct call has not")

    async def parents(self) -> list[Kin]:
        """The parents that the context was made with."""
        return list(self._parents)

    def parents_sync(self) -> list[Kin]:
        """``parents`` for handlers that are plain functions."""
        return list(self._parents)


def make_context(
    type: str = "test",
    *,
    id: str = "test",
    queue: str = "default",
    attempt: int = 1,
    max_attempts: int = 5,
    due_at: datetime | int | str | None = None,
    expires_at: datetime | int | str | None = None,
    headers: Mapping[str, str] | None = None,
    content_type: str | None = None,
    traceparent: str | None = None,
    parents: Sequence[Kin] = (),
    steps: Mapping[str, Any] | None = None,
    state: Any = None,
    client: AsyncClient | None = None,
    client_sync: Client | None = None,
    lease_lost: bool = False,
    cancel_requested: bool = False,
) -> DirectContext:
    """A context with which a test calls a handler itself: ``await send_otp(make_context(attempt=3), phone="+1")``.

    ``due_at`` None is now. ``parents``: what ``ctx.parents()`` answers.
    ``steps``: by name, what earlier runs have kept with ``ctx.once``. ``state``,
    ``client`` and ``client_sync`` are those of the context, a test's own stand-ins or clients among them.

    Raises:
        ValueError: ``due_at`` or ``expires_at`` is no instant.
    """
    started = Started(
        queue=queue,
        id=id,
        attempt=attempt,
        due_at=instant_ms(datetime.now(UTC) if due_at is None else due_at),
        type=type,
        payload=b"null",
        timeout_ms=None,
        headers=None if headers is None else msgspec.json.encode(dict(headers)),
        traceparent=traceparent,
        content_type=content_type,
        max_attempts=max_attempts,
        expires_at=None if expires_at is None else instant_ms(expires_at),
        token=f"{attempt}.test",
    )
    context = DirectContext(started, parents, state, client, client_sync)
    context.steps = dict(steps or {})
    context.lease_lost, context.cancel_requested = lease_lost, cancel_requested
    return context
