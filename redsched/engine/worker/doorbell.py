"""Doorbell: the one blocking read of a worker. What it delivers is handed to the next claim, which starts it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from redsched.client import AsyncClient
from redsched.engine.isolation import Refusals
from redsched.engine.worker.groups import join
from redsched.eventloop import own_task
from redsched.model.errors import RedschedError
from redsched.wire.claims import Bell
from redsched.wire.codec import text_of
from redsched.wire.keys import GROUP, PRIORITIES, QueueKeys
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

log = logging.getLogger("redsched.worker")
BLOCK_MS = 10_000
PATIENCE = 5.0  # seconds beyond BLOCK_MS after which the answer is taken for lost


class Doorbell:
    """Waits for an entry in the ready streams of some queues, at most once at a time."""

    def __init__(
        self,
        client: AsyncClient,
        queues: Sequence[QueueKeys],
        consumer: str,
        rung: Callable[[list[Bell]], None],
        refusals: Refusals,
    ) -> None:
        self._client = client
        self._queues = queues
        self._rung = rung
        self._consumer = consumer
        self._streams = {keys.stream(p): (keys.queue, p) for p in PRIORITIES for keys in queues}
        self._refusals = refusals
        self._reading: asyncio.Task[None] | None = None
        self._mending = False  # refused, and told of it

    def listen(self) -> None:
        """Start waiting, unless it waits already; ``rung`` is called once, with nothing when the time is up."""
        if self._reading is None or self._reading.done():
            self._reading = own_task(self._read())

    async def close(self) -> None:
        """Stop waiting. An entry that was on its way is taken over by a mover after a second."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        asked = time.monotonic()
        bells: list[Bell] = []
        try:
            reply = await self._wait()
            for stream, entries in reply or ():
                queue, priority = self._streams[text_of(stream)]
                for at, fields in entries:
                    task_id = text_of(fields[1]) if fields and len(fields) > 1 else ""
                    bells.append(Bell(queue, f"{priority}/{text_of(at)}", task_id))
            if not bells and time.monotonic() - asked < 0.05:
                await asyncio.sleep(0.1)  # a server that does not block
            self._mending = False
        except Refused as refused:
            await self._mend(str(refused))
        except (Unreached, Unanswered, RedschedError):
            await asyncio.sleep(0.2)  # the claim that follows tells of it, and waits for Redis
        except Exception:
            log.exception("bell.failed")  # an answer that makes no sense: without a bell, the claims go on
            await asyncio.sleep(1.0)
        self._reading = None
        self._rung(bells)

    async def _wait(self) -> Any:
        """The answer of the blocking read, over the streams of those queues that Redis does not refuse."""
        if self._refusals.over:
            refused = [keys for keys in self._queues if keys.queue in self._refusals.until]
            await join(self._client, refused, self._refusals)
        streams = [name for name, (queue, _) in self._streams.items() if queue not in self._refusals.until]
        block_ms = max(100, int(min(self._refusals.soonest * 1_000, BLOCK_MS)))
        if not streams:
            await asyncio.sleep(block_ms / 1_000)
            return None
        words = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, "BLOCK", block_ms, "STREAMS", *streams)
        wait = block_ms / 1_000 + PATIENCE
        return await self._client.transport.command(*words, *(">" for _ in streams), timeout=wait)

    async def _mend(self, problem: str) -> None:
        """The streams or their groups are gone (flushed, or a stream was deleted): make them again."""
        if not self._mending:
            log.warning("bell.refused", extra={"error": problem})
        self._mending = True
        await asyncio.sleep(0.2)
        with contextlib.suppress(RedschedError):
            await join(self._client, self._queues, self._refusals)
