"""Batches: tasks of one type that wait for one another for a moment and then run together.

Each task keeps its run: its lease, time limit, middleware, context and end are its own. In that run it waits here for
what its batch says of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any

from redsched.engine.batch import Batch, outcomes_of
from redsched.engine.context import Context
from redsched.engine.ending import frames_of
from redsched.engine.worker.handler_calls import call_plain
from redsched.eventloop import own_task
from redsched.model import current_run


class Member:
    """One task of a batch. ``answer`` gets what is said of it: a value, or an exception with where it was raised."""

    __slots__ = ("answer", "context", "payload")

    def __init__(self, context: Context, payload: Any) -> None:
        self.context = context
        self.payload = payload
        self.answer: asyncio.Future[tuple[Any, TracebackType | None]] = asyncio.get_running_loop().create_future()


class Group:
    """One batch, while it collects and while it runs."""

    def __init__(self) -> None:
        self.members: list[Member] = []  # that are waited for
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None  # once it runs


class Batches:
    """The batches of one worker.

    ``extra``: how many tasks are in them beside the first of each, since a batch takes the place of one run.
    ``lingers``: whether a batch that is not full waits for tasks that are not there yet.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        fresh: Callable[[], contextvars.Context],
        straggle: Callable[[Future[Any]], None],
        grown: Callable[[], None],
    ) -> None:
        """``fresh`` makes the context of a run; ``straggle`` is told of a thread that nobody waits for any more, and
        ``grown`` that there is place for another task."""
        self.extra = 0
        self.lingers = True
        self.tasks: set[asyncio.Task[None]] = set()
        self._pool = pool
        self._fresh = fresh
        self._straggle = straggle
        self._grown = grown
        self._open: dict[int, Group] = {}  # those that collect, by what they are batches of

    async def join(self, context: Context, batch: Batch, payload: Any) -> Any:
        """Wait for the others and for the batch; answers what it said of this task, or raises that."""
        group = self._open.get(id(batch))
        if group is None:
            group = self._open[id(batch)] = Group()
            group.timer = asyncio.get_running_loop().call_later(
                batch.linger_s if self.lingers else 0, self._start, batch, group
            )
        member = Member(context, payload)
        group.members.append(member)
        if len(group.members) > 1:
            self.extra += 1
        if len(group.members) >= batch.size:
            self._start(batch, group)
        self._grown()
        try:
            said, at = await member.answer
        except asyncio.CancelledError:  # the run of this task is stopped
            await self._leave(batch, group, member)
            raise
        if isinstance(said, BaseException):
            raise said.with_traceback(at)
        return said

    async def _leave(self, batch: Batch, group: Group, member: Member) -> None:
        self._remove(group, member)
        if group.members:
            return
        if group.task is not None:
            group.task.cancel()
            await asyncio.wait((group.task,))
        elif self._open.get(id(batch)) is group:
            del self._open[id(batch)]
            if group.timer is not None:
                group.timer.cancel()

    def _remove(self, group: Group, member: Member) -> None:
        if member in group.members:
            group.members.remove(member)
            if group.members:
                self.extra -= 1

    def _start(self, batch: Batch, group: Group) -> None:
        if group.timer is not None:
            group.timer.cancel()
        del self._open[id(batch)]
        group.task = own_task(self._run(batch, group), context=self._fresh())
        self.tasks.add(group.task)
        group.task.add_done_callback(self.tasks.discard)

    async def _run(self, batch: Batch, group: Group) -> None:
        current_run.begin_application()
        members = list(group.members)
        try:
            said = outcomes_of(await self._call(batch, [(one.context, one.payload) for one in members]), len(members))
        except BaseException as error:
            said = [error] * len(members)
        for member, one in zip(members, said, strict=True):
            self._remove(group, member)
            if not member.answer.done():
                member.answer.set_result((one, frames_of(one) if isinstance(one, BaseException) else None))

    async def _call(self, batch: Batch, items: list[tuple[Context, Any]]) -> Any:
        if batch.is_async:
            return await batch.function(items)
        call = partial(call_plain, _nothing, partial(batch.function, items))
        future = self._pool.submit(contextvars.copy_context().run, call)
        try:
            result, problem = await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            if not future.cancel() and not future.done():
                self._straggle(future)
            raise
        if problem is not None:
            raise RuntimeError("the handler raised StopIteration") if type(problem) is StopIteration else problem
        return await result if inspect.isawaitable(result) else result


def _nothing() -> None:
    """What is done before the call, in runs that have begun."""
