"""Task types for a first look: ``log``, ``sleep`` and ``fail``. ``redsched up`` runs them when it is given no app."""

from __future__ import annotations

import asyncio
import logging

from redsched.engine.app import App
from redsched.engine.context import Context

log = logging.getLogger("redsched.builtin")
app = App(name="builtin")


@app.task("log")
async def log_text(ctx: Context, text: str = "") -> None:
    """Write ``text`` to the worker's log."""
    log.info("builtin.log", extra={"queue": ctx.queue, "task_id": ctx.id, "attempt": ctx.attempt, "text": text})


@app.task("sleep")
async def sleep(ctx: Context, seconds: float = 1.0) -> None:
    """Take this long."""
    await asyncio.sleep(seconds)


@app.task("fail")
async def fail(ctx: Context, error: str = "asked to fail", times: int = 0) -> None:
    """Fail the first ``times`` attempts; 0 means every one."""
    if times == 0 or ctx.attempt <= times:
        raise RuntimeError(error)
