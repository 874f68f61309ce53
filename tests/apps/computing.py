"""Handlers that run in processes of their own."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from redsched import App, Completed, Context, Reject, Retry, Snooze, SnoozeFor

app = App("computing")
mark = ContextVar("mark", default="unset")
log = logging.getLogger("computing")


@app.task("add", process=True)
def add(a: int, b: int = 1) -> dict[str, int]:
    return {"sum": a + b, "pid": os.getpid()}


@app.task("look", process=True)
def look(ctx: Context) -> list[Any]:
    log.info("looks", extra={"not": "sent"})
    before = mark.get()
    mark.set("of another run")
    return [
        before,
        os.getpid(),
        ctx.id,
        ctx.queue,
        ctx.type,
        ctx.attempt,
        ctx.headers,
        ctx.token.partition(".")[0],
        "redsched" in sys.modules,
    ]


@app.task("bytes", process=True)
def of_bytes(data: bytes) -> int:
    return len(data)


@app.task("end", process=True)
def end(ctx: Context, how: str) -> Any:
    match how:
        case "raise":
            raise ValueError("of the handler")
        case "reject":
            raise Reject("never", reason="no such order")
        case "snooze":
            raise SnoozeFor("1h")
        case "outcome":
            return Snooze("1h")
        case "retry":
            return Retry("later", delay="1h")
        case "completed":
            return Completed([1, 2])
        case "negative":
            return Snooze("-1s")
        case "no JSON":
            return object()
        case "generator":
            return (x for x in "ab")
        case "state":
            return ctx.state
        case "client":
            return ctx.client_sync
        case "fork":
            if os.fork() == 0:
                return "of a child"
            return os.waitstatus_to_exitcode(os.wait()[1])
        case "thread":
            with ThreadPoolExecutor(1) as pool:
                pool.submit(ctx.progress_sync, 1).result()
        case "exit":
            sys.exit(3)
        case "die":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)


@app.task("ask", process=True)
def ask(ctx: Context, ledger: str) -> Any:
    ctx.progress_sync({"step": 1})

    def call() -> str:
        with Path(ledger).open("a") as file:
            file.write("charged\n")
        return f"charge of attempt {ctx.attempt}"

    found = ctx.once_sync("charge", call)
    if ctx.attempt == 1:
        os._exit(1)
    return [found, [kin.id for kin in ctx.parents_sync()]]


@app.task("spin", process=True)
def spin(ledger: str, seconds: float = 3_600) -> None:
    """Computes, with a child of its own, and tells both pids."""
    with subprocess.Popen(["sleep", "3600"]) as child:
        Path(ledger).write_text(f"{os.getpid()} {child.pid}")
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            pass
        child.kill()
