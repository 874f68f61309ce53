"""Slots: runs what a worker holds, as many claims at a time as it may, oldest first.

A slot is an asyncio task. Runs that never wait follow one another in it. A run that waited, or whose handler took hold
of the task, is its last: what that handler left there must hit no other run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from redsched.engine.app import TaskType
from redsched.engine.elapsed import elapsed
from redsched.engine.worker.claims import Claims
from redsched.engine.worker.held import about
from redsched.engine.worker.leases import MOST_ASKED, Leases
from redsched.engine.worker.run_metrics import RunMetrics
from redsched.engine.worker.runner import Runner
from redsched.engine.worker.teardown import CutOff
from redsched.eventloop import own_task
from redsched.wire.claims import Settlement

log = logging.getLogger("redsched.worker")
TURN = 0.002  # seconds that handlers which never wait may hold the loop in one go


class Slots:
    """The slots of one worker.

    ``broken`` gets the exception of a slot that breaks. That is an error of ours: the worker ends with it, rather than
    run on with one slot less.
    """

    def __init__(
        self,
        types: Mapping[str, TaskType],
        claims: Claims,
        leases: Leases,
        runner: Runner,
        run_metrics: RunMetrics,
        *,
        most: int,
        end: Callable[[Settlement, str], None],
        nudge: Callable[[], None],
    ) -> None:
        """``most``: runs at a time. ``end`` is told how a run ended, ``nudge`` that one ended without a settlement."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = 0  # runs, in all
        self.clock_offset = 0.0  # server ms less those of ``elapsed``
        self._types = types
        self._claims = claims
        self._leases = leases
        self._runner = runner
        self._run_metrics = run_metrics
        self._most = most
        self._end = end
        self._nudge = nudge
        self._turn = 0.0  # when the slots last let others run

    @property
    def unfilled(self) -> int:
        """Slots that have yet to take a run."""
        return len(self.tasks) - (len(self._claims.held) - len(self._claims.waiting))

    def room(self, ahead: int) -> int:
        """How many more claims fit if so many are held ahead of those that run. A batch takes the place of one."""
        extra = self._runner.batches.extra - len(self._runner.stragglers)
        return self._most + ahead + extra - len(self._claims.held)

    def tell(self) -> None:
        """Tell the observer of the runs since the last time."""
        self._run_metrics.tell(self._most, len(self.tasks))

    def open(self) -> None:
        """Begin as many as there is something to run for."""
        free = self._most + self._runner.batches.extra - len(self.tasks) - len(self._runner.stragglers)
        for _ in range(min(free, len(self._claims.waiting))):
            slot = own_task(self._slot())
            self.tasks.add(slot)
            slot.add_done_callback(self._slot_ended)

    def _slot_ended(self, slot: asyncio.Task[None]) -> None:
        if not slot.cancelled() and (error := slot.exception()) is not None and not self.broken.done():
            self.broken.set_exception(error)

    async def _slot(self) -> None:
        """Run what is in the buffer, one after the other."""
        slot = asyncio.current_task()
        try:
            with CutOff():
                await self._run_buffer(slot)
        finally:
            # here and not in a callback: whoever looks at the slots next must not count one that has ended
            self.tasks.discard(slot)
            if not self._runner.closed:
                self.open()

    async def _run_buffer(self, slot: asyncio.Task[None] | None) -> None:
        waiting, asked = self._claims.waiting, 0
        while waiting:
            held, began = waiting[0], elapsed()
            if began > held.fresh_until and asked < MOST_ASKED:
                asked += 1
                await self._leases.confirm()
                continue
            asked, started = 0, waiting.popleft().started
            late_ms = began * 1_000 + self.clock_offset - started.due_at
            self._run_metrics.started(started.queue, started.type, started.attempt, late_ms)
            self._leases.ran()
            try:
                outcome, end = await self._runner.run(held, self._types[started.type], slot)
            except GeneratorExit as error:
                outcome, end = self._runner.cut_off(held, error)
            now = elapsed()
            self._claims.held.pop(held.key, None)
            self._run_metrics.finished(started.queue, started.type, outcome, now - began)
            self.ended += 1
            if end is None:
                log.warning("task.lost", extra=about(started))
                self._nudge()
            else:
                self._end(end, outcome)
            if held.suspended:
                return  # the handler has had this asyncio task: what it left there is no other run's
            if self._runner.stragglers and len(self.tasks) + len(self._runner.stragglers) > self._most:
                return
            if now - self._turn > TURN:  # of all slots together, or each would take one
                await asyncio.sleep(0)
                self._turn = elapsed()
