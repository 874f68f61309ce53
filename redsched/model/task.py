# Made by `make fields` from redsched/model/fields.py; change that.
"""What a task is: ``Task`` is what a producer asks for, ``TaskView`` what is known of one.

Nothing here is checked on creation; ``redsched.wire.field_words`` checks a task where it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

import msgspec

from redsched.model.condition import After, Again, Conditions, Digest, Hold, Source, Test, Unique, WaitFor, gather
from redsched.model.outcome import Attempt
from redsched.model.retry import RetryPolicy
from redsched.model.vocabulary import DEFAULT_QUEUE, Priority, State


class Task(msgspec.Struct, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A task to enqueue. Only ``type`` is required.

    ``payload`` is anything that JSON can hold: an object becomes the handler's keyword arguments, any other
    value its one positional. Give ``due`` (an aware datetime or ms since the epoch; the past means now) or
    ``delay``, not both; neither means now. ``expires_at``/``expires_in`` is the start-by: past it the task never
    starts. ``id`` (1..128 of ``[A-Za-z0-9._@+:-]``) makes enqueue idempotent; without one redsched makes one.
    ``request`` is the caller's own token: a repeated call with it is answered as the first one was.
    ``conditions``: what it waits for, hangs on, comes after or is merged with. Its members may be given one by one in
    its place, ``Task(type="remind", unless="paid:42")``, and are then read in ``conditions``.
    """

    type: str
    payload: Any = None
    queue: str = DEFAULT_QUEUE
    id: str | None = None
    due: datetime | int | str | None = None
    delay: timedelta | int | str | None = None
    priority: Priority = "normal"
    max_attempts: int | None = None
    retry: RetryPolicy | Sequence[timedelta | int | str] | timedelta | str | None = None
    timeout: timedelta | int | str | None = None
    expires_at: datetime | int | str | None = None
    expires_in: timedelta | int | str | None = None
    key: str | None = None
    tags: Sequence[str] | None = None
    headers: Mapping[str, str] | None = None
    traceparent: str | None = None
    retention: timedelta | int | str | None = None
    keep: bool = False
    request: str | None = None
    conditions: Conditions | Mapping[str, Any] | None = None
    wait_for: WaitFor | str | Sequence[str] | Mapping[str, Any] | None = None
    unless: Test | None = None
    only_if: Test | None = None
    otherwise: Literal["skip"] | Again | Mapping[str, Any] | None = None
    cancel_on: str | Sequence[str] | None = None
    late: Mapping[str, Source] | None = None
    fifo: bool = False
    unique: Unique | str | Mapping[str, Any] | None = None
    digest: Digest | str | Mapping[str, Any] | None = None
    hold: Hold | Mapping[str, Any] | None = None
    after: After | str | Sequence[str] | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Raises InvalidTask: ``conditions`` and its members are both given."""
        if (
            self.wait_for is not None
            or self.unless is not None
            or self.only_if is not None
            or self.otherwise is not None
            or self.cancel_on is not None
            or self.late is not None
            or self.fifo
            or self.unique is not None
            or self.digest is not None
            or self.hold is not None
            or self.after is not None
        ):
            gather(self)


class Changes(TypedDict, total=False):
    """The fields of ``Task`` that can be changed while a task waits or is dead; None: back to the default."""

    payload: Any
    priority: Priority | None
    max_attempts: int | None
    retry: RetryPolicy | Sequence[timedelta | int | str] | timedelta | str | None
    timeout: timedelta | int | str | None
    expires_at: datetime | int | str | None
    expires_in: timedelta | int | str | None
    key: str | None
    tags: Sequence[str] | None
    headers: Mapping[str, str] | None
    retention: timedelta | int | str | None
    keep: bool
    conditions: Conditions | Mapping[str, Any] | None


class Options(TypedDict, total=False):
    """The fields of ``Task`` beside type and payload, and those of ``Conditions``, for keyword arguments."""

    queue: str
    id: str | None
    due: datetime | int | str | None
    delay: timedelta | int | str | None
    priority: Priority
    max_attempts: int | None
    retry: RetryPolicy | Sequence[timedelta | int | str] | timedelta | str | None
    timeout: timedelta | int | str | None
    expires_at: datetime | int | str | None
    expires_in: timedelta | int | str | None
    key: str | None
    tags: Sequence[str] | None
    headers: Mapping[str, str] | None
    traceparent: str | None
    retention: timedelta | int | str | None
    keep: bool
    request: str | None
    conditions: Conditions | Mapping[str, Any] | None
    wait_for: WaitFor | str | Sequence[str] | Mapping[str, Any] | None
    unless: Test | None
    only_if: Test | None
    otherwise: Literal["skip"] | Again | Mapping[str, Any] | None
    cancel_on: str | Sequence[str] | None
    late: Mapping[str, Source] | None
    fifo: bool
    unique: Unique | str | Mapping[str, Any] | None
    digest: Digest | str | Mapping[str, Any] | None
    hold: Hold | Mapping[str, Any] | None
    after: After | str | Sequence[str] | Mapping[str, Any] | None


class TaskView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one task now. Times are aware UTC datetimes; durations milliseconds."""

    id: str
    queue: str
    state: State
    type: str
    payload: Any = None
    content_type: str | None = None
    priority: str = "normal"
    attempt: int = 0
    max_attempts: int | None = None
    retry: str | None = None
    timeout_ms: int | None = None
    due_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    lease_until: datetime | None = None
    key: str | None = None
    tags: list[str] | None = None
    headers: dict[str, str] | None = None
    traceparent: str | None = None
    retention_ms: int | None = None
    keep: bool = False
    request: str | None = None
    worker: str | None = None
    reason: str | None = None
    schedule: str | None = None  # that made it, for this planned time (None: it was triggered)
    slot: datetime | None = None
    conditions: Any = None  # durations in whole ms
    blocked: str | None = None  # what a held task waits for: confirm, facts, parents, line, digest, pause:<what>
    cancel_requested: bool = False
    progress: Any = None
    result: Any = None
    not_json: list[str] | None = None  # of payload, conditions, progress, result: is no JSON, so shown as text
    error: str | None = None
    traceback: str | None = None
    history: list[Attempt] | None = None
