"""Orphans: ready tasks whose entry is gone from its stream (XDEL, XTRIM or DEL by hand); no worker would get them.

No index names them. So each round judges the tasks among the next thousand keys of a SCAN, in calls of a millisecond;
one that is still stranded in the same way a round later gets an entry again. Any other fault is left to the doctor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from redsched.client import AsyncClient
from redsched.engine.isolation import is_its_own
from redsched.model.errors import StoreDenied, StoreError
from redsched.steps import doctor as doctor_steps
from redsched.wire import doctor
from redsched.wire.call import Call
from redsched.wire.codec import is_name, text_of
from redsched.wire.doctor import MENDED, PAGE, Fault
from redsched.wire.keys import QueueKeys, queue_keys

T = TypeVar("T")
log = logging.getLogger("redsched.mover")
PAUSE = 0.02  # seconds between calls
READY = b"hash|ready|"  # how the mark of a ready task begins


class Orphans:
    """Goes round the keys of a cell for ever, one step at a time."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._cursor = b"0"
        self._suspects: list[Fault] = []

    async def step(self) -> bool:
        """Mend those of the last step that are stranded still, then look for others; whether there are any."""
        before, self._suspects = set(self._suspects), []
        again = before.intersection(await self._judge((fault.queue, fault.name) for fault in before))
        for keys, ids in self._pages((fault.queue, fault.name) for fault in again):
            for at in range(0, len(ids), MENDED):
                some = [("task", task_id) for task_id in ids[at : at + MENDED]]
                if await self._send(doctor.repair(keys, some)) is not None:
                    log.warning("tasks.stranded", extra={"queue": keys.queue, "n": len(some)})
        try:
            steps = doctor_steps.scan(self._client.cell_keys, self._cursor)
            self._cursor, names = await self._client.transport.steps("scan", steps)
        except StoreDenied:
            return False  # these credentials may not look around
        found = (name.split(b":", 2) for name in names if name.startswith(b"task:") and name.count(b":") > 1)
        self._suspects = await self._judge((text_of(queue), task_id) for _, queue, task_id in found)
        return bool(self._suspects)

    async def _judge(self, tasks: Iterable[tuple[str, bytes]]) -> list[Fault]:
        found: list[Fault] = []
        for keys, ids in self._pages(tasks):
            at = 0
            while at < len(ids):
                page = await self._send(doctor.inspect(keys, "tasks", names=ids[at:]))
                faults = [] if page is None else page.faults
                found += [fault for fault in faults if fault.rule == "unindexed" and fault.mark.startswith(READY)]
                at += int(page.cursor) if page is not None and page.cursor else len(ids)  # fewer where they take long
        return found

    async def _send(self, call: Call[T]) -> T | None:
        """None where Redis refuses: a key of the queue is of a wrong type, say, or another user's."""
        await asyncio.sleep(PAUSE)
        try:
            return await self._client.transport.send(call)
        except StoreError as error:
            if not is_its_own(error):
                raise
            return None

    def _pages(self, tasks: Iterable[tuple[str, bytes]]) -> Iterator[tuple[QueueKeys, list[bytes]]]:
        by_queue: dict[str, list[bytes]] = defaultdict(list)
        for queue, task_id in tasks:
            by_queue[queue].append(task_id)
        for queue, ids in by_queue.items():
            for at in range(0, len(ids) if is_name(queue) else 0, PAGE):
                yield queue_keys(self._client.cell, queue), ids[at : at + PAGE]
