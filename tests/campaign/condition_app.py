"""Who takes part in the campaign of conditions beside its producers: workers whose handlers write the ledger, and a
listener that writes down the decisions that Redis tells of."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from datetime import timedelta
from typing import Any

import redis

from redsched.engine.app import App
from redsched.engine.context import Context
from redsched.model.outcome import Reject, RetryLater, SnoozeFor
from redsched.torture import services
from redsched.torture.history import Journal
from redsched.torture.plan import Plan
from tests.campaign.condition_ledger import line

KIND, PLAIN = "conditions.run", "conditions.plain"  # a coroutine; a function in a thread
FIELDS = ("event", "id", "queue")


def application(journal: Journal) -> App:
    """Handlers that write their start before anything else, then do what their payload says, then write their end."""
    app = App("conditions")

    def start(ctx: Context, tags: list[str]) -> None:
        more = {"tags": tags} if tags else {}
        journal.write_all((line("start", id=ctx.id, token=ctx.token, attempt=ctx.attempt, more=more),))

    def end(ctx: Context, word: str) -> None:
        journal.write_all((line("end", id=ctx.id, token=ctx.token, word=word),))

    @app.task(KIND)
    async def run(
        ctx: Context,
        tag: str = "",
        ms: int = 0,
        fail: int = 0,
        snooze: int = 0,
        reject: bool = False,
        block: int = 0,
        items: list[dict[str, Any]] | None = None,
        **rest: Any,
    ) -> str:
        start(ctx, [tag] if items is None else [item.get("tag", "") for item in items])
        if ms:
            await asyncio.sleep(ms / 1_000)
        if block and ctx.attempt == 1:
            time.sleep(block / 1_000)  # holds up its whole worker, beyond its lease
        if ctx.attempt <= fail:
            end(ctx, "retry")
            raise RetryLater("asked for")
        if snooze and random.random() < 0.5:
            end(ctx, "snooze")
            raise SnoozeFor(timedelta(milliseconds=snooze))
        end(ctx, "reject" if reject else "complete")
        if reject:
            raise Reject("asked for")
        return tag

    @app.task(PLAIN)
    def plain(ctx: Context, tag: str = "", ms: int = 0, **rest: Any) -> None:
        start(ctx, [tag])
        time.sleep(ms / 1_000)
        end(ctx, "complete")

    return app


def worker(name: str, plan: Plan) -> None:
    """A worker with its mover."""
    services.worker(name, plan, application)


def listener(name: str, plan: Plan) -> None:
    """Writes down what the stream of events tells, however often it is cut off."""
    journal, key, last, over = Journal(plan.folder, name), f"{{{plan.settings.namespace}}}:events", "0", []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    connection = redis.Redis.from_url(plan.settings.redis_url, decode_responses=True, protocol=2, socket_timeout=3.0)
    while True:
        found: Any = []
        with contextlib.suppress(redis.RedisError, OSError):
            found = connection.xread({key: last}, count=1_000, block=100)
            if not found and over:
                return
        for _, entries in found:
            journal.write_all(
                line(
                    "told",
                    id=fields.get("id", ""),
                    word=fields.get("event", ""),
                    server_ms=int(at.partition("-")[0]),
                    more={name: value for name, value in fields.items() if name not in FIELDS},
                )
                for at, fields in entries
            )
            last = entries[-1][0]
        if not found:
            time.sleep(0.02)
