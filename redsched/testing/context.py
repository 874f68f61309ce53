"""A ``Context`` without a worker, for a test that calls a handler as the function that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from redsched.engine.context import Context
from redsched.model.duration import instant_ms
from redsched.model.errors import LeaseLost
from redsched.model.workflows import Kin
from redsched.wire.claims import MAX_PROGRESS_BYTES, Started
from redsched.wire.codec import json_bytes


class DirectContext(Context):
    """A run that no server knows of. ``progressed``: what the handler told with ``progress``, the first one first."""

    __slots__ = ("_parents", "progressed")

    def __init__(self, started: Started, parents: Sequence[Kin]) -> None:
        super().__init__(started, cast(Any, None), cast(Any, None))  # neither is asked by what is replaced here
        self.progressed: list[Any] = []
        self._parents = list(parents)

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
    lease_lost: bool = False,
    cancel_requested: bool = False,
) -> DirectContext:
    """A context with which a test calls a handler itself: ``await send_otp(make_context(attempt=3), phone="+1")``.

    ``due_at`` None is now. ``parents``: what ``ctx.parents()`` answers.

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
    context = DirectContext(started, parents)
    context.lease_lost, context.cancel_requested = lease_lost, cancel_requested
    return context
