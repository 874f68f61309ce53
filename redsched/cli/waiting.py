"""Waiting for a Redis that is away, or loading its data, when a worker or a mover starts. It says so, and a signal ends
it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from typing import Any

from redsched.client import AsyncClient
from redsched.model.errors import StoreUnavailable
from redsched.redis_url import masked_url
from redsched.settings import Settings
from redsched.steps.exchange import check_version
from redsched.wire.redis_errors import Kind, Refused, Unanswered, Unreached, refusal, sort_error

log = logging.getLogger("redsched.start")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between questions
SAY_EVERY = 30.0  # seconds between log lines


async def reached(settings: Settings, stopping: asyncio.Event) -> bool:
    """Wait until Redis answers, however long that takes; False where a stop was asked meanwhile.

    Raises:
        StoreError: Redis answers and refuses, such as these credentials: waiting would not help.
    """
    async with AsyncClient(settings=settings, name="start") as client:
        pause, said, begun = FIRST_PAUSE, 0.0, time.monotonic()
        while not stopping.is_set():
            problem = await _asked(client, stopping)
            if not problem:
                if said:
                    log.warning("redis.reached", extra={"waited_s": round(time.monotonic() - begun, 1)})
                return not stopping.is_set()
            if not said or time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                log.warning("redis.waiting", extra={"redis": masked_url(settings.redis_url), "error": problem})
            await _first(stopping, asyncio.sleep(pause * (0.5 + random.random())))
            pause = min(pause * 2, LONGEST_PAUSE)
    return False


async def _asked(client: AsyncClient, stopping: asyncio.Event) -> str:
    """Why Redis does not answer; empty where it does, or a stop was asked."""
    try:
        await _first(stopping, client.transport.command("PING"))
        if not stopping.is_set():
            await client.transport.steps("start", check_version())
    except StoreUnavailable as trouble:
        return trouble.problem
    except (Unreached, Unanswered) as trouble:
        return str(trouble) or "no answer"
    except Refused as refused:
        if sort_error(str(refused)) is not Kind.REPEAT:
            raise refusal("ping", str(refused)) from None
        return str(refused)
    return ""


async def _first(stopping: asyncio.Event, work: Coroutine[Any, Any, Any]) -> None:
    """Until the work is done, or a stop is asked; raises what the work raises."""
    working, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((working, stop), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        stop.cancel()
        working.cancel()
        await asyncio.gather(working, stop, return_exceptions=True)
