"""Handlers for the tests of workers. Each run notes what it did in a ledger: one line, one system call, never torn."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import threading
import time
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from redsched import (
    App,
    Cancelled,
    Completed,
    Context,
    Dead,
    Fixed,
    Reject,
    Retry,
    RetryLater,
    Snooze,
    SnoozeFor,
    Stop,
)
from redsched.model import trace

LEDGER = "TEST_LEDGER"
app = App(name="tests")


class Run(NamedTuple):
    """One line of the ledger."""

    id: str
    attempt: int
    pid: int
    note: str


class Ledger:
    """What the handlers of all workers of a test have noted so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def runs(self, note: str | None = None) -> list[Run]:
        """The lines in the order in which they were written; those with this note."""
        lines = (line.split(" ", 3) for line in self.path.read_text().splitlines())
        found = [Run(words[0], int(words[1]), int(words[2]), words[3]) for words in lines]
        return [run for run in found if note is None or run.note == note]

    def of(self, task_id: str) -> list[str]:
        """The notes of one task."""
        return [run.note for run in self.runs() if run.id == task_id]


@functools.cache
def _ledger() -> int:
    return os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def note(ctx: Context, text: str = "started") -> None:
    """Append one line."""
    os.write(_ledger(), f"{ctx.id} {ctx.attempt} {os.getpid()} {text}\n".encode())


@app.task("note")
async def note_run(ctx: Context, **anything: Any) -> None:
    note(ctx)


@app.task("note.sync")
def note_run_sync(ctx: Context) -> None:
    note(ctx)


@app.task("add")
async def add(a: int, b: int = 1) -> dict[str, int]:
    return {"sum": a + b}


@app.task("typed")
async def typed(ctx: Context, phone: str, codes: list[int]) -> None:
    note(ctx)


@app.task("flaky", retry=Fixed("50ms"), max_attempts=50)
async def flaky(ctx: Context, **anything: Any) -> str:
    """Fails in one of ten attempts, always in the same ones."""
    note(ctx)
    if zlib.crc32(f"{ctx.id} {ctx.attempt}".encode()) % 10 == 0:
        raise RuntimeError("this attempt fails")
    note(ctx, "ended")
    return ctx.id


@app.task("charge", retry=Fixed("20ms"))
async def charge(ctx: Context, dies: str) -> str:
    """Takes two steps; the first run is killed ``after`` the second one, or ``within`` it."""
    note(ctx)
    run = Ledger(Path(os.environ[LEDGER])).of(ctx.id).count("started")

    def provider(step: str) -> str:
        note(ctx, step)
        if dies == "within" and step == "mail" and run == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{step} of run {run}"

    told = [await ctx.once(step, functools.partial(provider, step)) for step in ("charge", "mail")]
    if dies == "after" and run == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return ", ".join(told)


@app.task("fail", retry=Fixed("20ms"))
async def fail(ctx: Context, times: int = 1_000) -> str:
    note(ctx)
    if ctx.attempt <= times:
        raise ConnectionError("the provider is down")
    return "sent"


@app.task("sleep")
async def sleep(ctx: Context, seconds: float, pad: str = "") -> None:
    note(ctx)
    await asyncio.sleep(seconds)
    note(ctx, "ended")


@app.task("gated")
async def gated(ctx: Context, path: str) -> None:
    """Ends once the file is there: as soon as a test wants it, however slow the machine is."""
    note(ctx)
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    note(ctx, "ended")


@app.task("sleep.sync")
def sleep_sync(ctx: Context, seconds: float) -> None:
    note(ctx)
    time.sleep(seconds)
    note(ctx, "ended")


def _raise(error: BaseException) -> Any:
    raise error


_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
OUTCOMES: dict[str, Callable[[], Any]] = {
    "completed": lambda: Completed({"n": 1}),
    "retry": lambda: Retry(error="not yet", delay=_HOUR),
    "snooze": lambda: Snooze(_HOUR),
    "dead": lambda: Dead("no_such_phone", "550 unknown"),
    "cancelled": lambda: Cancelled("by itself"),
    "raise retry": lambda: _raise(RetryLater("not yet", delay=_HOUR)),
    "raise snooze": lambda: _raise(SnoozeFor(_HOUR)),
    "raise dead": lambda: _raise(Reject("550 unknown", reason="no_such_phone")),
    "raise cancelled": lambda: _raise(Stop("by itself")),
    # what no handler should do, and some do
    "negative delay": lambda: Retry(error="soon", delay=-_SECOND),
    "endless snooze": lambda: Snooze(timedelta(days=400)),
    "error that is no text": lambda: Dead("odd", 550),  # type: ignore[arg-type]
    "exit": lambda: _raise(SystemExit(3)),
    "stop iteration": lambda: next(iter(())),
    "leaked cancel": lambda: _raise(asyncio.CancelledError()),
    "unprintable": lambda: _raise(Unprintable()),
    "unwritable result": lambda: {1, object()},
}


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("not even that")


@app.task("outcome")
async def outcome(kind: str) -> Any:
    return OUTCOMES[kind]()


@app.task("outcome.sync")
def outcome_sync(kind: str) -> Any:
    return OUTCOMES[kind]()


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    return call


@app.task("wrapped")
@_wrapped
async def wrapped(ctx: Context) -> str:
    note(ctx)
    return "awaited"


@app.task("snooze.once")
async def snooze_once(ctx: Context) -> None:
    note(ctx)
    if len(Ledger(Path(os.environ[LEDGER])).of(ctx.id)) == 1:
        raise SnoozeFor(timedelta(milliseconds=20))


@app.task("until.cancelled")
async def until_cancelled(ctx: Context) -> None:
    note(ctx)
    await ctx.progress({"step": "waiting"})
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note(ctx, f"cancelled, requested {ctx.cancel_requested}")
        raise


@app.task("until.cancelled.sync")
def until_cancelled_sync(ctx: Context) -> None:
    note(ctx)
    ctx.progress_sync({"step": "waiting"})
    while not ctx.cancel_requested:
        time.sleep(0.01)
    note(ctx, "saw the request")
    raise Stop


@app.task("stubborn")
async def stubborn(ctx: Context, seconds: float) -> None:
    """Goes on however often it is cancelled."""
    note(ctx)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(end - time.monotonic())
        except asyncio.CancelledError:
            note(ctx, "ignored a cancel")
    note(ctx, "ended")


@app.task("swallow")
async def swallow(ctx: Context) -> str:
    """Makes the best of being cancelled."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "what there was"
    return "everything"


@app.task("progress.blocking")
async def progress_blocking(ctx: Context) -> None:
    ctx.progress_sync(1)


_barrier = threading.Barrier(4, timeout=60)


@app.task("meet.sync")
def meet(ctx: Context) -> None:
    """Ends when four of its kind run at the same time."""
    _barrier.wait()


def _trace_of(ctx: Context) -> dict[str, Any]:
    context = trace.current()
    return {"trace": context and context.traceparent, "given": ctx.traceparent, "headers": ctx.headers}


@app.task("traced")
async def traced(ctx: Context) -> dict[str, Any]:
    return _trace_of(ctx)


@app.task("traced.sync")
def traced_sync(ctx: Context) -> dict[str, Any]:
    return _trace_of(ctx)


@app.task("about")
async def about(ctx: Context) -> dict[str, Any]:
    return {
        "id": ctx.id,
        "queue": ctx.queue,
        "type": ctx.type,
        "attempt": ctx.attempt,
        "max_attempts": ctx.max_attempts,
        "due_at": ctx.due_at.isoformat(),
        "expires_at": ctx.expires_at and ctx.expires_at.isoformat(),
    }
