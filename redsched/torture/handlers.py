"""The handlers of a run: they note their start before anything else, and then behave as their payload says."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta

from redsched.engine.app import App
from redsched.engine.context import Context
from redsched.model.outcome import RetryLater, SnoozeFor
from redsched.torture.history import Journal

KIND = "torture.run"
PLAIN = "torture.plain"  # a handler without async, in a thread


def application(journal: Journal) -> App:
    """Handlers that note their start before anything else, and then behave as their payload says."""
    app = App("torture")

    @app.task(KIND)
    async def run(ctx: Context, ms: int = 0, retry: int = 0, snooze: int = 0) -> None:
        journal.write("start", id=ctx.id, token=ctx.token, attempt=ctx.attempt)
        if ms:
            await asyncio.sleep(ms / 1_000)
        if ctx.attempt <= retry:
            raise RetryLater("asked for")
        if snooze and random.random() < 0.5:
            raise SnoozeFor(timedelta(milliseconds=snooze))

    @app.task(PLAIN)
    def plain(ctx: Context, ms: int = 0) -> None:
        journal.write("start", id=ctx.id, token=ctx.token, attempt=ctx.attempt)
        time.sleep(ms / 1_000)

    return app
