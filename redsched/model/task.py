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
from redsched.model.outcome import Attempt, KeptStep
from redsched.model.retry import RetryPolicy
from redsched.model.vocabulary import Priority, State


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
    """Which handler runs it: a name."""
    payload: Any = None
    """What the handler gets."""
    queue: str | None = None
    """Which queue it is in: a name. Without it: the queue of its type, or ``default`` where no worker has said which
    that is."""
    id: str | None = None
    """Its name within the queue, by which a repeated call is known. Without it: redsched makes one."""
    due: datetime | int | str | None = None
    """When it is to run. Without it: now."""
    delay: timedelta | str | None = None
    """How long from now it is to run."""
    priority: Priority = "normal"
    """``high``, ``normal`` or ``low``. Without it: ``normal``."""
    max_attempts: int | None = None
    """How many attempts it has. Without it: 5."""
    retry: RetryPolicy | Sequence[timedelta | str] | timedelta | str | None = None
    """How long to wait before each attempt after the first. Without it: exponential: base 5000 ms, factor 2, max
    3600000 ms, jitter 0.2."""
    timeout: timedelta | str | None = None
    """Time limit of one run. Without it: 60000 ms, or what the worker's handler says."""
    expires_at: datetime | int | str | None = None
    """Start-by: past it the task never starts; it must lie after the due time."""
    expires_in: timedelta | str | None = None
    """Start-by, as a duration from now, also where ``due`` or ``delay`` is given; it must reach beyond the due time."""
    key: str | None = None
    """Whose line ``fifo`` means, and what ``pause`` may be about."""
    tags: Sequence[str] | None = None
    """Texts for people; the clients take up to 16, of 1 to 128 characters."""
    headers: Mapping[str, str] | None = None
    """Texts by name, for the handler."""
    traceparent: str | None = None
    """W3C trace context."""
    retention: timedelta | str | None = None
    """How long the id and the result stay known after the end; 0: they are removed at once. Without it: 3600000 ms."""
    keep: bool = False
    """Whether payload and headers stay after completion."""
    request: str | None = None
    """The caller's own token: a repeated call with it is answered as the first one was."""
    conditions: Conditions | Mapping[str, Any] | None = None
    """What it waits for, hangs on, comes after or is merged with."""
    wait_for: WaitFor | str | Sequence[str] | Mapping[str, Any] | None = None
    """The facts that it is held for: one, all of several, or as ``WaitFor`` says."""
    unless: Test | None = None
    """A test of facts that must not hold when it is due; where it holds, ``otherwise`` says what becomes of it."""
    only_if: Test | None = None
    """A test of facts that must hold when it is due; where it does not, ``otherwise`` says what becomes of it."""
    otherwise: Literal["skip"] | Again | Mapping[str, Any] | None = None
    """What becomes of it where ``unless`` or ``only_if`` says no: it is skipped, or looked at ``Again``."""
    cancel_on: str | Sequence[str] | None = None
    """The facts each of which cancels it while it has not started, and asks it to stop while it runs."""
    late: Mapping[str, Source] | None = None
    """Members of the payload that are filled in from facts when it is due."""
    fifo: bool = False
    """Whether tasks with its ``key`` run one at a time, in the order of their submission."""
    unique: Unique | str | Mapping[str, Any] | None = None
    """A key that one task of the queue has at a time, and what becomes of a second one."""
    digest: Digest | str | Mapping[str, Any] | None = None
    """A key whose tasks are merged into one."""
    hold: Hold | Mapping[str, Any] | None = None
    """It is held until it is confirmed; ``client.hold`` sets this."""
    after: After | str | Sequence[str] | Mapping[str, Any] | None = None
    """The tasks that have to end before it runs; ``client.chain`` and ``client.group`` set this."""

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
    retry: RetryPolicy | Sequence[timedelta | str] | timedelta | str | None
    timeout: timedelta | str | None
    expires_at: datetime | int | str | None
    expires_in: timedelta | str | None
    key: str | None
    tags: Sequence[str] | None
    headers: Mapping[str, str] | None
    retention: timedelta | str | None
    keep: bool
    conditions: Conditions | Mapping[str, Any] | None


class Options(TypedDict, total=False):
    """The fields of ``Task`` beside type and payload, and those of ``Conditions``, for keyword arguments."""

    queue: str | None
    id: str | None
    due: datetime | int | str | None
    delay: timedelta | str | None
    priority: Priority
    max_attempts: int | None
    retry: RetryPolicy | Sequence[timedelta | str] | timedelta | str | None
    timeout: timedelta | str | None
    expires_at: datetime | int | str | None
    expires_in: timedelta | str | None
    key: str | None
    tags: Sequence[str] | None
    headers: Mapping[str, str] | None
    traceparent: str | None
    retention: timedelta | str | None
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
    priority: Priority = "normal"
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
    steps: list[KeptStep] | None = None
