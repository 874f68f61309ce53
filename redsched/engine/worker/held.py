"""Held: one claim that a worker holds, and the last look at it before its handler begins.

All times are those of ``elapsed``. They count from the sending of the call that Redis answered, since Redis counts from
a later moment: so a lease or a start-by never ends earlier for Redis than it does here.
"""

from __future__ import annotations

import asyncio
import enum
import math

from redsched.engine.context import Context
from redsched.engine.elapsed import elapsed
from redsched.wire.claims import Settlement, Started, claim_key

FRESH = 0.25  # seconds for which an answer of Redis tells whether a claim that waits may still start
TRUSTED = 10.0  # seconds for which one answer tells the server's clock: it may be set meanwhile


class Why(enum.Enum):
    """Why a run was stopped from outside."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    LOST = "lost"
    SHUTDOWN = "shutdown"


class NotBegun(Exception):
    """The handler was not called: its lease or its start-by is over, or it was stopped before."""


class Held:
    """A claim that this worker holds: waiting in its buffer, or running."""

    __slots__ = ("begun_at", "context", "fresh_until", "key", "lease_until", "named", "renewed_at", "slow_answers",
                 "start_until", "started", "suspended", "task", "why")  # fmt: skip

    def __init__(self, started: Started, *, sent: float, server_ms: int, lease_s: float) -> None:
        """``sent``: when the claim was sent that Redis answered at ``server_ms`` of its own clock."""
        self.started = started
        self.key = claim_key(started.queue, started.id, started.token)
        self.renewed_at = sent
        self.lease_until = sent + lease_s
        self.fresh_until = sent + FRESH  # after that Redis is asked before it starts
        self.start_until = math.inf
        if started.expires_at is not None:  # server_ms is cut to whole ms, so that Redis may be one further
            self.start_until = sent + min((started.expires_at - server_ms - 1) / 1_000, TRUSTED)
        self.slow_answers = 0  # in a row: each was no longer fresh when it came
        self.begun_at: float | None = None
        self.named = False  # Redis was told that it has begun
        self.context: Context | None = None  # once it runs
        self.task: asyncio.Task[None] | None = None  # the slot that runs it, while it may be cancelled
        self.suspended = False  # whether the task of the slot was this run's alone
        self.why: Why | None = None

    def renewed(self, sent: float, lease_s: float) -> None:
        """Redis said that the claim is still this worker's."""
        self.renewed_at, self.lease_until, self.fresh_until = sent, sent + lease_s, sent + FRESH

    def confirmed(self) -> None:
        """Redis was asked before the start, and the answer is here. One that took long may be of before this process
        stood still. Two of them in a row mean a slow Redis: the second counts as fresh."""
        now = elapsed()
        self.slow_answers = self.slow_answers + 1 if now > self.fresh_until else 0
        if self.slow_answers > 1:
            self.slow_answers, self.fresh_until = 0, now + FRESH

    def begin(self) -> None:
        """Call this immediately before the handler, on the loop or in its thread.

        Raises:
            NotBegun: the handler must not be called.
        """
        # first the mark, then the look: whoever stops it writes ``why`` first and then reads the mark
        now = self.begun_at = elapsed()
        if self.why is not None or now >= self.lease_until or now >= self.start_until:
            self.begun_at = None
            raise NotBegun

    def stop(self, why: Why) -> None:
        """Stop the run from outside; the first reason counts. A plain function goes on in its thread."""
        if self.context is not None:
            self.context.lease_lost |= why is Why.LOST
            self.context.cancel_requested |= why is Why.CANCEL
        if self.why is None and (why is not Why.CANCEL or self.task is not None):
            self.why = why
            if self.task is not None:
                self.task.cancel()


def returned(started: Started, why: str = "") -> Settlement:
    """Give a claim back: ready again at once, or after a while when ``why`` is ``unhandled``."""
    return Settlement(started.queue, started.id, started.token, "return", why)


def about(started: Started) -> dict[str, object]:
    """What a log line tells of a run."""
    return {"queue": started.queue, "task_id": started.id, "type": started.type, "attempt": started.attempt}
