"""One run of a handler in a test: what it was called with, how it ended, and which exception it raised."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from redsched.engine.app import TaskType
from redsched.engine.context import Context
from redsched.engine.elapsed import elapsed
from redsched.engine.handler import Handler, is_json
from redsched.engine.middleware import CallNext
from redsched.engine.worker.held import Held
from redsched.engine.worker.runner import Runner
from redsched.eventloop import own_task
from redsched.model.outcome import Outcome, OutcomeChosen
from redsched.wire.claims import Settlement, Started, claim_key

ERRORS = frozenset(("failed", "timeout"))  # outcomes that no handler chooses
LEASE_MS = 3_600_000


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a task, as it ended.

    ``outcome``: ``completed``, ``failed``, ``timeout``, ``dead``, ``snoozed``, ``cancelled``, ``returned``, ``lost``;
    ``unhandled`` where the app has no handler of the type. ``state``: what became of the task, such as ``scheduled``
    where it is retried. ``exception``: what the handler raised, as the object.
    """

    id: str
    queue: str
    type: str
    payload: Any  # decoded JSON; bytes where the content type is another one
    attempt: int
    at: datetime
    outcome: str
    state: str
    result: Any = None
    error: str = ""
    exception: BaseException | None = None


class RunFailed(Exception):
    """A run ended in an error that no handler raised: its payload does not fit, its time was over, or its type has no
    handler in the app. The task was settled as in production."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"task {run.id!r} of type {run.type!r}: {run.outcome}: {run.error}")
        self.run = run


class Seen:
    """What a handler did in one run, as far as its caller sees it."""

    def __init__(self) -> None:
        self.exception: BaseException | None = None
        self.chose = False  # whether it returned or raised an outcome

    def raised(self, error: BaseException) -> None:
        """It raised this; what a middleware raises instead comes later, and counts."""
        self.exception, self.chose = error, issubclass(type(error), OutcomeChosen)

    def returned(self, result: Any) -> Any:
        """It returned this, which is handed on; a middleware may have caught what its handler raised."""
        self.exception = None
        self.chose = isinstance(result, Outcome)
        return result


class Outermost:
    """Middleware around that of the app: what it sees is how a run ended."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    @contextlib.contextmanager
    def watching(self, started: Started) -> Iterator[Seen]:
        """Note what becomes of this run."""
        key = claim_key(started.queue, started.id, started.token)
        seen = self._seen[key] = Seen()
        try:
            yield seen
        finally:
            del self._seen[key]

    async def __call__(self, ctx: Context, call_next: CallNext) -> Any:
        """Run what it is around, and note what that comes to."""
        seen = self._seen[claim_key(ctx.queue, ctx.id, ctx.token)]
        try:
            return seen.returned(await call_next())
        except BaseException as error:
            seen.raised(error)
            raise


class Ended(msgspec.Struct, frozen=True):
    """How a handler's run ended; ``settlement``: None where the task is not this run's any more."""

    outcome: str
    settlement: Settlement | None
    seen: Seen
    has_begun: bool

    @property
    def error(self) -> str:
        """The text that the task is stored with."""
        return "" if self.settlement is None else self.settlement.error

    @property
    def is_error(self) -> bool:
        """Whether it ended otherwise than its handler chose."""
        if self.outcome == "dead":
            return not self.has_begun
        return self.outcome in ERRORS and not (self.seen.chose and self.outcome != "timeout")

    @property
    def result(self) -> Any:
        """What a completed run is stored with; None for any other."""
        end = self.settlement
        if end is None or end.outcome != "complete" or not isinstance(end.first, bytes):
            return None
        return msgspec.json.decode(end.first) if end.first else None


async def run_handler(runner: Runner, outermost: Outermost, started: Started, task_type: TaskType) -> Ended:
    """Run it as a worker does, with the worker's own Runner, on an asyncio task of its own."""
    held = Held(started, sent=elapsed(), server_ms=0, lease_s=LEASE_MS / 1_000)
    held.start_until = math.inf  # the claim has looked at the start-by, and the clock stands still
    with outermost.watching(started) as seen:
        observed = msgspec.structs.replace(task_type, handler=_observed(task_type.handler, seen))
        outcome, settlement = await own_task(_in_slot(runner, held, observed))
    return Ended(outcome, settlement, seen, held.begun_at is not None)


async def _in_slot(runner: Runner, held: Held, task_type: TaskType) -> tuple[str, Settlement | None]:
    try:
        return await runner.run(held, task_type, asyncio.current_task())
    except GeneratorExit as error:
        return runner.cut_off(held, error)


def _observed(handler: Handler, seen: Seen) -> Handler:
    """The handler, which tells what it does."""
    function = handler.function

    @functools.wraps(function)
    async def coroutine(**arguments: Any) -> Any:
        try:
            return seen.returned(await function(**arguments))
        except BaseException as error:
            seen.raised(error)
            raise

    @functools.wraps(function)
    def plain(**arguments: Any) -> Any:
        try:
            return seen.returned(function(**arguments))
        except BaseException as error:
            seen.raised(error)
            raise

    found = copy.copy(handler)
    found.function = coroutine if handler.is_async else plain
    return found


def payload_of(started: Started) -> Any:
    """The payload as people read it; bytes where it is no JSON."""
    if started.content_type is None or is_json(started.content_type):
        try:
            return msgspec.json.decode(started.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return started.payload
    return started.payload
