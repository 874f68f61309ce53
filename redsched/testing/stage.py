"""Stage: does at each moment of a test what the movers and one worker do in production, by the same verbs, and takes
the clock from one moment at which something is due to the next.

Tasks run one at a time, in the order in which they became due. What becomes of a task is decided by the scripts alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

from redsched.client import Client
from redsched.engine.app import App
from redsched.engine.lifespan import Lifespan
from redsched.engine.middleware import Middleware
from redsched.engine.mover.firing import Schedules
from redsched.engine.mover.standing import Standing
from redsched.engine.observer import Silent
from redsched.engine.shared import Shared
from redsched.engine.worker.held import returned
from redsched.engine.worker.runner import Runner
from redsched.model.current_run import is_of_the_application
from redsched.model.duration import instant
from redsched.steps import queues as queue_steps
from redsched.testing import looks
from redsched.testing.clients import ClockedAsyncClient, no_wait
from redsched.testing.clock import VirtualClock
from redsched.testing.looks import Agenda
from redsched.testing.runs import LEASE_MS, Outermost, Run, RunFailed, payload_of, run_handler
from redsched.wire import protocol
from redsched.wire.claims import Settlement, Started
from redsched.wire.keys import QueueKeys, queue_keys

MOVER = CONSUMER = "testing"
QUEUES_A_CALL = 16
BATCH = 500  # tasks that one call promotes at most
THREADS = 16
MOST_CLAIMED = 250  # tasks of one call
MOST_ROUNDS = 1_000  # looks at one moment in which no handler runs
TURN_S = 0.002  # real seconds between two looks of a wait whether another has let time go on


class TooManyRuns(Exception):
    """More handlers were to run in one call than the client's ``max_runs``. One may enqueue itself without a delay."""


class Stage:
    """The movers and the worker of one test."""

    def __init__(
        self,
        app: App,
        client: ClockedAsyncClient,
        client_sync: Client,
        clock: VirtualClock,
        *,
        raise_errors: bool,
        max_runs: int,
    ) -> None:
        self.runs: list[Run] = []
        self.busy = self._closed = False
        self._app = app
        self._client = client
        self._clock = clock
        self._raise_errors = raise_errors
        self._max_runs = max_runs
        self._left = 0  # runs until this call ends with an error
        self._queues: dict[str, QueueKeys] = {name: queue_keys(client.cell, name) for name in app.queues}
        self._unhandled: set[tuple[str, str]] = set()  # tasks, by queue and id, whose type has no handler here
        self._firing = Schedules(client, Standing(), Silent())
        self._client_sync = client_sync
        self._outermost = Outermost()
        self._lifespan: Lifespan | None = None
        self._runner: Runner | None = None

    async def close(self) -> None:
        """Let go of the threads of handlers, and leave the app's lifespan."""
        self.busy = self._closed = True  # what the lifespan enqueues as it closes runs no more
        if self._runner is not None:
            self._runner.close()
        if self._lifespan is not None:
            await self._lifespan.leave()

    async def _ready(self) -> Runner:
        """What runs handlers; before the first one it enters the app's lifespan."""
        if self._runner is None:
            shared = Shared(self._client, lambda: self._client_sync)
            lifespan = Lifespan(self._app.opens_lifespan, self._client)
            shared.state = await lifespan.enter()
            middleware: tuple[Middleware, ...] = (
                (self._outermost, *self._app.middlewares) if self._app.middlewares else ()
            )
            self._lifespan, self._runner = lifespan, Runner(THREADS, shared, lambda: None, middleware)
            self._runner.batches.lingers = False
        return self._runner

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[int]:
        """Only one call at a time moves the clock or runs what is due. Gives how many had run before."""
        if self.busy:
            raise RuntimeError("a handler runs: only after its end may the clock move or another task run")
        self.busy, self._left = True, self._max_runs
        try:
            yield len(self.runs)
        finally:
            self.busy = False

    async def run_due(self) -> list[Run]:
        """Run what is due now, and what becomes due by that; answers these runs."""
        with self._at_work() as before:
            await self._finish_moment()
            return self.runs[before:]

    async def advance_to(self, until: int, *, run: bool) -> list[Run]:
        """Move the clock to a time in ms; answers what ran. ``run`` False: as if no mover and no worker were there."""
        with self._at_work() as before:
            if run:
                await self._finish_moment()
                while (at := (await self._look()).next) is not None and at <= until:
                    await self._move(at)
                    await self._finish_moment()
            await self._move(until)
            if run:
                await self._sweep()
            return self.runs[before:]

    async def go_on(self, until: int) -> None:
        """Do the next thing for somebody who waits: what is due now or, where nothing is, what comes next, up to a time
        in ms. Of several that wait at once one moves the clock, and the others look again.

        Raises:
            RuntimeError: a handler waits, and nothing else runs before it ends.
        """
        if is_of_the_application():
            raise no_wait()
        if self.busy and not self._closed:
            while self.busy and not self._closed:
                await asyncio.sleep(TURN_S)
            return
        with self._at_work() as before:
            await self._finish_moment()
            if len(self.runs) > before:
                return
            at = (await self._look()).next
            await self._move(until if at is None else min(at, until))
            await self._finish_moment()

    async def _move(self, at: int) -> None:
        passed = at - self._clock.now_ms
        self._clock.now_ms = at
        if passed:
            steps = looks.age(self._client.cell_keys, list(self._queues.values()), passed)
            await self._client.converse("age", steps)

    async def _look(self) -> Agenda:
        keys = self._client.cell_keys
        _, due, inboxes = await self._client.converse("scan", queue_steps.scan_due(keys, "0", BATCH))
        for name in (*await self._client.queues(), *due, *inboxes):
            self._queues.setdefault(name, queue_keys(self._client.cell, name))
        unhandled = Counter(queue for queue, _ in self._unhandled)
        steps = looks.agenda(keys, list(self._queues.values()), self._clock.now_ms, unhandled)
        return await self._client.converse("agenda", steps)

    async def _finish_moment(self) -> None:
        """Do everything that is to be done at this time."""
        rounds = 0
        while rounds < MOST_ROUNDS:
            found = await self._look()
            moved = await self._keep_time(found)
            if await self._run_one():
                rounds = 0
            elif not moved:
                return
            rounds += 1
        raise RuntimeError(f"{MOST_ROUNDS} looks did not finish what is due at {self._clock.now.isoformat()}")

    async def _keep_time(self, found: Agenda) -> bool:
        """What movers do; whether that changed anything."""
        send, keys, moved = self._client.transport.send, self._client.cell_keys, False
        if found.has_sweeps:  # first: what is gone by now must not be seen
            await self._sweep()
        if found.has_schedules:
            moved |= await self._fire()
        if found.has_items:
            moved |= (await send(protocol.attend(keys, BATCH))).done > 0
        for some in _in_parts(found.leases):
            moved |= any(queue.moved for queue in (await send(protocol.reap(some, limit=BATCH))).queues)
        for some in _in_parts(found.inboxes):
            moved |= any(one.created or one.refused for one in await send(protocol.ingest(some)))
        for some in _in_parts(found.due):
            moved |= (await send(protocol.promote(some, mover=MOVER, limit=BATCH))).moved > 0
        return moved

    async def _fire(self) -> bool:
        """Fire schedules as a mover does; whether their times of the next look are others now."""
        before = await self._next_schedules()
        await self._firing.step()
        return before != await self._next_schedules()

    async def _next_schedules(self) -> object:
        return await self._client.transport.command("ZRANGE", self._client.cell_keys.schedules, 0, -1, "WITHSCORES")

    async def _sweep(self) -> None:
        """Remove what is past its retention."""
        more = True
        while more:
            noted = await self._client.converse("sweeps", queue_steps.sweeps(self._client.cell_keys, BATCH))
            queues = [queue_keys(self._client.cell, name) for name, at in noted if at <= self._clock.now_ms]
            swept = [await self._client.transport.send(protocol.sweep(some)) for some in _in_parts(queues)]
            more = any(one.removed for one in swept)

    async def _run_one(self) -> bool:
        """Claim one task, or as many as a batch of the app takes, and run them; whether there was one, or may be one
        still."""
        runner = await self._ready()
        count = max((one.handler.size for one in self._app.tasks.values()), default=1)
        for some in _in_parts(list(self._queues.values())):
            claimed = await self._client.transport.send(
                protocol.claim(some, consumer=CONSUMER, count=min(count, MOST_CLAIMED), lease_ms=LEASE_MS)
            )
            waiting = list(claimed.tasks)
            try:
                while waiting:
                    await self._run(runner, self._together(waiting))
            finally:
                for started in waiting:
                    await self._settle(returned(started))
            if claimed.tasks or claimed.more:
                return True
        return False

    def _together(self, waiting: list[Started]) -> list[Started]:
        """Take the first out of ``waiting``, and those that run in a batch with it."""
        task_type = self._app.tasks.get(waiting[0].type)
        size = 1 if task_type is None else task_type.handler.size
        found = [started for started in waiting if started.type == waiting[0].type][:size]
        waiting[:] = [started for started in waiting if started not in found]
        return found

    async def _run(self, runner: Runner, some: list[Started]) -> None:
        """Run one task, or several of one type in a batch."""
        task_type = self._app.tasks.get(some[0].type)
        if task_type is None:
            await self._give_back(some[0])
            return
        if self._left < len(some):
            for started in some:
                await self._settle(returned(started))
            raise TooManyRuns(f"{self._max_runs} handlers ran by {self._clock.now.isoformat()}, and more is due")
        self._left -= len(some)
        ends = await asyncio.gather(*(run_handler(runner, self._outermost, one, task_type) for one in some))
        problems: list[BaseException] = []
        for started, ended in zip(some, ends, strict=True):
            state = "lost" if ended.settlement is None else await self._settle(ended.settlement)
            exception = ended.seen.exception
            run = self._note(started, ended.outcome, state, ended.error, ended.result, exception)
            if ended.is_error:
                problems.append(RunFailed(run) if exception is None or ended.outcome == "timeout" else exception)
        if self._raise_errors and problems:
            raise problems[0]

    async def _give_back(self, started: Started) -> None:
        """As a worker that has no handler of the type; told once for each task."""
        state = await self._settle(returned(started, "unhandled"))
        if (started.queue, started.id) in self._unhandled:
            return
        self._unhandled.add((started.queue, started.id))
        known = ", ".join(sorted(self._app.tasks)) or "none"
        problem = f"app {self._app.name!r} has no handler of this type; it has {known}"
        run = self._note(started, "unhandled", state, problem, None, None)
        if self._raise_errors:
            raise RunFailed(run)

    async def _settle(self, end: Settlement) -> str:
        return (await self._client.transport.send(protocol.settle(self._client.cell, [end])))[0]

    def _note(
        self, started: Started, outcome: str, state: str, error: str, result: object, exception: BaseException | None
    ) -> Run:
        run = Run(
            id=started.id,
            queue=started.queue,
            type=started.type,
            payload=payload_of(started),
            attempt=started.attempt,
            at=instant(self._clock.now_ms),
            outcome=outcome,
            state=state,
            result=result,
            error=error,
            exception=exception,
        )
        self.runs.append(run)
        return run


def _in_parts(queues: Sequence[QueueKeys]) -> Iterator[Sequence[QueueKeys]]:
    for at in range(0, len(queues), QUEUES_A_CALL):
        yield queues[at : at + QUEUES_A_CALL]
