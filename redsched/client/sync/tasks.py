# Made by tools/unasync.py from redsched/client/aio/tasks.py: change that, then `make sync-client`.
"""The verbs of a client about tasks: create them, change them by their ids, and show what is known of them."""

from __future__ import annotations

import builtins
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Unpack, overload

from redsched.client.requests import Duration, given_ms, id_list, single
from redsched.client.sync import runtime
from redsched.client.sync.places import Places
from redsched.client.sync.task_types import Types
from redsched.client.sync.transport import Transport
from redsched.client.wanted import MOST_MOVES, Wanted
from redsched.model.answers import CancelAnswer, RescheduleAnswer, UpdateAnswer
from redsched.model.enqueued import Enqueued
from redsched.model.errors import TaskNotEnded
from redsched.model.explain import Explanation, explained
from redsched.model.submittable import Given, Submittable
from redsched.model.task import Changes, Options, Task, TaskView
from redsched.model.views import Page
from redsched.model.vocabulary import DEFAULT_QUEUE, Durability, Listed
from redsched.steps import batches
from redsched.steps.places import Place
from redsched.wire import protocol

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0  # between two looks at a task that somebody waits for


class Tasks(Types, Places):
    """A part of ``Client``.

    Where a verb on tasks that exist is not told their ``queue``, it looks for their ids in all queues. That takes one
    round trip more for each hundred ids (and for each 500 queues); a queue that is named takes none.
    """

    transport: Transport

    @overload
    def enqueue(
        self, type: str, payload: Any = None, *, durability: Durability | None = None, **options: Unpack[Options]
    ) -> Enqueued: ...

    @overload
    def enqueue(self, type: Task, /, *, durability: Durability | None = None) -> Enqueued: ...

    @overload
    def enqueue(self, type: Submittable[Given], /, *args: Given.args, **kwargs: Given.kwargs) -> Enqueued: ...

    def enqueue(self, *args: Any, **options: Any) -> Enqueued:  # type: ignore[misc] # mypy reads no ParamSpec here
        """Create one task: ``enqueue("otp.send", {"phone": ...}, delay="5m")``, a ``Task``, or ``enqueue(send_otp,
        phone=...)``.

        After a type's name come the payload and the fields of ``Task``. A function of ``@app.task`` comes with its own
        arguments; ``send_otp.options(delay="5m")`` in its place says the fields of the task, and what is not said is as
        the decorator says.

        ``durability``, after a name or a ``Task``: ``memory``, ``fsync`` or ``replicas:n`` (up to 99, of which a type
        checker knows 5); None: what the settings say. The answer tells what was reached.

        Raises:
            NotDurable: stored, but not as durably as asked.
            InvalidTask: a field cannot be used; nothing was written.
            TaskConflict: the id belongs to another task; nothing was written.
            StoreError: Redis refused; nothing was written.
            OutcomeUnknown: no answer came; repeat with the same id or request.
        """
        task, durability = self._submitted(args, options)
        return single(self.enqueue_many([task], durability=durability))

    def enqueue_many(self, tasks: Sequence[Task], *, durability: Durability | None = None) -> builtins.list[Enqueued]:
        """Create 1..1000 tasks in one atomic call; a conflict is a status here, not an error.

        Raises:
            InvalidTask: also where several tasks come to more than 2 MiB of payloads, 64 KiB of different conditions or
                2000 facts; nothing was written. Send fewer at a time.
        """
        return self.submit(tasks, durability)

    def cancel(
        self, ids: str | Sequence[str], *, queue: str | None = None, reason: str = ""
    ) -> dict[str, CancelAnswer]:
        """Stop tasks: id -> ``cancelled``, ``requested`` (it runs and is asked to stop), ``moved`` (to another queue:
        name that, or none), ``finished`` or ``missing``.

        ``queue``: where they are; None: all queues are looked through, which takes one round trip more.

        Raises:
            TaskInSeveralQueues: no queue was named, and several have a task of this id; nothing changed.
        """
        return self._by_queue(ids, queue, lambda keys, some: protocol.cancel(keys, some, reason=reason))

    def reschedule(
        self,
        ids: str | Sequence[str],
        *,
        queue: str | None = None,
        due: datetime | int | str | None = None,
        delay: Duration | None = None,
    ) -> dict[str, RescheduleAnswer]:
        """Give waiting tasks another due time: id -> ``rescheduled``, ``expires`` (its start-by lies before that time;
        nothing was written), ``running``, ``moved`` (to another queue), ``finished`` or ``missing``.
        ``queue``: as in ``cancel``."""
        return self._by_queue(ids, queue, lambda keys, some: protocol.reschedule(keys, some, due=due, delay=delay))

    def update(
        self, ids: str | Sequence[str], *, queue: str | None = None, **fields: Unpack[Changes]
    ) -> dict[str, UpdateAnswer]:
        """Change fields of tasks that wait or are dead: id -> ``updated``, ``expires`` (its new start-by lies before it
        is due; nothing was written), ``running``, ``moved`` (to another queue), ``finished`` or ``missing``.
        ``queue``: as in ``cancel``."""
        return self._by_queue(ids, queue, partial(self._update, fields))

    def show(
        self, ids: str | Sequence[str], *, queue: str | None = None, stored: bool = False
    ) -> dict[str, TaskView | None]:
        """Everything known of 1..100 tasks; ``stored``: payload, headers, tags, conditions, progress and result are
        ``msgspec.Raw``, byte for byte as they are stored. ``queue``: as in ``cancel``."""
        wanted = id_list(ids)
        if queue is not None:
            return self.transport.converse(batches.show(self._keys(queue), wanted, stored=stored))
        protocol.show(self._keys(DEFAULT_QUEUE), wanted)  # what cannot be used is refused before anything is sent
        found: dict[str, TaskView | None] = {}
        for name, some in (self._apart(wanted, "show")).items():
            found |= self.transport.converse(batches.show(self._keys(name), some, stored=stored))
        return {one: found[one] for one in wanted}

    def task(self, id: str, *, queue: str | None = None, stored: bool = False) -> TaskView:
        """Everything known of one task, as ``show`` tells it. ``queue``: as in ``cancel``.

        Raises:
            TaskNotFound: there is none. ``removed`` says whether there was one up to a day ago.
            TaskInSeveralQueues: no queue was named, and several have a task of this id.
        """
        return self._shown(id, self._place(id, queue, "show"), stored)

    def _shown(self, id: str, place: Place, stored: bool) -> TaskView:
        views = self.transport.converse(batches.show(self._keys(place.queue), [id], stored=stored))
        if (view := views[id]) is None:
            raise place.not_found(id)
        return view

    def wait(self, id: str, timeout: timedelta | str, *, queue: str | None = None) -> Any:
        """What a task returned, as soon as it has completed: None where that is nothing, or too long to be kept.

        Redis is asked again after 20 ms at first, and after a second at last. A task that is moved to another queue is
        waited for there. A task whose ``retention`` is 0, or over, is gone with its result: give it one that is longer
        than anybody waits. ``queue``: as in ``cancel``; all queues are looked through once.

        Raises:
            TaskNotCompleted: it is dead, expired, cancelled or skipped.
            TaskNotEnded: it has not ended within ``timeout`` (``"30s"`` or ``timedelta(seconds=30)``); it goes on.
            TaskRemoved: it has ended and was removed meanwhile. What it returned is not known; do not submit it again.
            TaskNotFound: nothing is known of it. It may have ended, and its retention may be over.
        """
        deadline = self._clock_ms() + given_ms("timeout", timeout)
        pause, wanted = FIRST_PAUSE_S, Wanted(id, self._place(id, queue, "show"))
        while True:
            try:
                return self._result(wanted)
            except TaskNotEnded:
                left = deadline - self._clock_ms()
                if left <= 0:
                    raise
            self._pause(min(pause, left / 1_000), left)
            pause = min(pause * 1.5, LONGEST_PAUSE_S)

    def _result(self, wanted: Wanted) -> Any:
        """What the task returned, in whichever queue it is by now."""
        for _ in range(MOST_MOVES):
            views = self.transport.converse(batches.show(self._keys(wanted.queue), [wanted.id]))
            if not wanted.is_elsewhere(views[wanted.id]):
                break
        return wanted.result()

    def _clock_ms(self) -> int:
        """By the clock that a wait goes by, which has no date."""
        return time.monotonic_ns() // 1_000_000

    def _pause(self, seconds: float, left: int) -> None:
        """Let time pass between two looks of a wait that ends in ``left`` ms."""
        runtime.sleep(seconds)

    def list(
        self,
        queue: str = "default",
        *,
        state: Listed = "scheduled",
        type: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """One page of the tasks of a queue that are in a state."""
        call = protocol.list_tasks(self._keys(queue), state=state, type_=type, limit=limit, cursor=cursor)
        return self.transport.send(call)

    def explain(self, id: str, *, queue: str | None = None) -> Explanation:
        """Why a task has not run, when it will, or why it never will; raises TaskNotFound where nothing is known of
        it. ``queue``: as in ``cancel``."""
        place = self._place(id, queue, "explain")
        found = explained(self.transport.send(protocol.explain(self._keys(place.queue), id)))
        if found.code == "unknown":
            raise place.not_found(id)
        return found
