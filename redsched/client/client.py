"""The client for threads."""

from __future__ import annotations

import builtins
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from redsched.client.events import EventVerbs
from redsched.client.requests import id_list, single
from redsched.client.schedules import Schedules
from redsched.client.transport import Transport
from redsched.model.enqueued import Enqueued
from redsched.model.errors import TaskNotFound
from redsched.model.task import Changes, Options, Task, TaskView
from redsched.model.views import Page, QueueStats
from redsched.settings import Settings
from redsched.steps import batches
from redsched.steps import install as installing
from redsched.steps import queues as queue_steps
from redsched.steps.bulk import MAX_BULK, Bulk, Filter, bulk, clock
from redsched.steps.exchange import Mode
from redsched.steps.install import Installed, ServerInfo
from redsched.wire import dead_letters, doctor, protocol
from redsched.wire.dead_letters import QuarantinePage
from redsched.wire.queues import Limits

T = TypeVar("T")


def found_in(views: dict[str, TaskView | None], task_id: str, queue: str) -> TaskView:
    view = views[task_id]
    if view is None:
        raise TaskNotFound(task_id, queue)
    return view


class Client(EventVerbs):
    """Submits and inspects tasks. Thread-safe; close it, or use it in a ``with`` block.

    ``redis_url`` and ``namespace`` override the settings; without settings the environment is read.
    ``redis`` takes a ``redis.Redis`` made elsewhere (RESP2, no decoding) in place of a URL.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        namespace: str | None = None,
        settings: Settings | None = None,
        name: str = "client",
        redis: Any = None,
    ) -> None:
        super().__init__(redis_url, namespace, settings)
        self._transport = Transport(self.settings, name, redis)
        self.schedules = Schedules(self, self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def enqueue(
        self, type: str, payload: Any = None, *, durability: str | None = None, **options: Unpack[Options]
    ) -> Enqueued:
        """Create one task; ``options`` are the fields of ``Task``.

        ``durability``: ``memory``, ``fsync`` or ``replicas:n``; None: what the settings say. The answer tells what
        was reached.

        Raises:
            NotDurable: stored, but not as durably as asked.
            InvalidTask: a field cannot be used; nothing was written.
            TaskConflict: the id belongs to another task; nothing was written.
            StoreError: Redis refused; nothing was written.
            OutcomeUnknown: no answer came; repeat with the same id or request.
        """
        return single(self.enqueue_many([self._task(type, payload, options)], durability=durability))

    def enqueue_many(self, tasks: Sequence[Task], *, durability: str | None = None) -> builtins.list[Enqueued]:
        """Create 1..1000 tasks in one atomic call; a conflict is a status here, not an error.

        Raises:
            InvalidTask: also where several tasks come to more than 2 MiB of payloads, 64 KiB of different conditions or
                2000 facts; nothing was written. Send fewer at a time.
        """
        return self._transport.send(self._enqueue(tasks, durability))

    def cancel(self, ids: str | Sequence[str], *, queue: str = "default", reason: str = "") -> dict[str, str]:
        """Stop tasks: id -> ``cancelled``, ``requested`` (it runs and is asked to stop), ``finished`` or
        ``missing``."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: protocol.cancel(keys, some, reason=reason))
        return self._transport.converse(steps)

    def reschedule(
        self, ids: str | Sequence[str], *, queue: str = "default", due: Any = None, delay: Any = None
    ) -> dict[str, str]:
        """Give waiting tasks another due time: id -> ``rescheduled``, ``running``, ``finished`` or ``missing``."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: protocol.reschedule(keys, some, due=due, delay=delay))
        return self._transport.converse(steps)

    def update(self, ids: str | Sequence[str], *, queue: str = "default", **fields: Unpack[Changes]) -> dict[str, str]:
        """Change fields of tasks that wait or are dead: id -> ``updated``, ``running``, ``finished`` or ``missing``."""
        steps = batches.in_parts(id_list(ids), lambda some: self._update(queue, some, fields))
        return self._transport.converse(steps)

    def revive(
        self, ids: str | Sequence[str], *, queue: str = "default", due: Any = None, delay: Any = None
    ) -> dict[str, str]:
        """Run dead tasks again: id -> ``revived``, ``missing`` or the state of one that is not dead."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: protocol.revive(keys, some, due=due, delay=delay))
        return self._transport.converse(steps)

    def drop(self, ids: str | Sequence[str], *, queue: str = "default") -> dict[str, str]:
        """Remove dead or finished tasks: id -> ``dropped``, ``missing`` or the state of one that still lives."""
        keys = self._keys(queue)
        return self._transport.converse(batches.in_parts(id_list(ids), lambda some: dead_letters.drop(keys, some)))

    def bulk(
        self,
        action: str,
        *,
        queue: str = "default",
        where: Filter | None = None,
        dry_run: bool = False,
        most: int = MAX_BULK,
    ) -> Bulk:
        """``revive``, ``drop`` or ``cancel`` every task that ``where`` names, at most ``most``; dead ones unless it
        says otherwise. A dry run only tells how many there are. Repeat it while ``more`` is true."""
        now_ms = self._transport.steps("bulk", clock())
        steps = bulk(self._keys(queue), action, where or Filter(), now_ms=now_ms, dry_run=dry_run, most=most)
        return self._transport.converse(steps)

    def quarantined(self, queue: str = "default", *, limit: int = 50, cursor: str | None = None) -> QuarantinePage:
        """One page of what was set aside in a queue, and why."""
        return self._transport.send(dead_letters.quarantined(self._keys(queue), limit=limit, cursor=cursor))

    def requeue(
        self, ids: str | Sequence[str], *, queue: str = "default", due: Any = None, delay: Any = None
    ) -> dict[str, str]:
        """Schedule ids of the quarantine whose hashes are good now: id -> ``requeued``, ``missing``, ``no hash``,
        ``wrong type`` or the state of a task that has its place."""
        keys = self._keys(queue)
        steps = batches.in_parts(id_list(ids), lambda some: dead_letters.requeue(keys, some, due=due, delay=delay))
        return self._transport.converse(steps)

    def drop_quarantined(self, members: Sequence[bytes], *, queue: str = "default") -> int:
        """Forget members of the quarantine, as ``quarantined`` told them; answers how many were there."""
        return self._transport.send(dead_letters.drop_quarantined(self._keys(queue), members))

    def limit(self, queue: str = "default", **caps: int | str | None) -> Limits:
        """Set how many finished and dead tasks a queue keeps, by ``most_finished`` and ``most_dead``: a number,
        ``"none"``, or None for the default. Answers what holds now; without any it changes nothing."""
        return self._transport.send(protocol.limit(self._keys(queue), caps))

    def show(
        self, ids: str | Sequence[str], *, queue: str = "default", stored: bool = False
    ) -> dict[str, TaskView | None]:
        """Everything known of 1..100 tasks; ``stored``: payload, headers, tags, conditions, progress and result are
        ``msgspec.Raw``, byte for byte as they are stored."""
        return self._transport.converse(batches.show(self._keys(queue), id_list(ids), stored=stored))

    def task(self, id: str, *, queue: str = "default", stored: bool = False) -> TaskView:
        """Everything known of one task, as ``show`` tells it; raises TaskNotFound."""
        return found_in(self.show(id, queue=queue, stored=stored), id, queue)

    def list(
        self,
        queue: str = "default",
        *,
        state: str = "scheduled",
        type: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """One page of the tasks of a queue that are in a state."""
        call = protocol.list_tasks(self._keys(queue), state=state, type_=type, limit=limit, cursor=cursor)
        return self._transport.send(call)

    def queues(self) -> builtins.list[str]:
        """The names of all queues seen, sorted."""
        return self._transport.steps("queues", queue_steps.queues(self._cell_keys))

    def stats(self, queues: Sequence[str]) -> builtins.list[QueueStats]:
        """Depths, ages and totals of queues."""
        return [stats for call in self._stats(queues) for stats in self._transport.send(call)]

    def inspect(self, queue: str, what: str, *, cursor: bytes = b"", names: Sequence[bytes] = ()) -> doctor.Inspected:
        """Which of a page of tasks, entries or keys break a rule (lua/inspect.lua)."""
        return self._transport.send(doctor.inspect(self._keys(queue), what, cursor=cursor, names=names))

    def repair(self, queue: str, faults: Sequence[tuple[str, bytes]]) -> builtins.list[str]:
        """Mend up to 500 things that ``inspect`` found broken; each is judged again (lua/repair.lua)."""
        return self._transport.send(doctor.repair(self._keys(queue), faults))

    def converse(self, verb: str, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of ``wire.doctor``; its commands are sent once."""
        return self._transport.steps(verb, steps)

    @property
    def mode(self) -> Mode:
        """How verbs are called on this server, as far as that is known."""
        return self._transport.mode

    def ping(self) -> ServerInfo:
        """What the server is; raises StoreError at once where it cannot be reached."""
        return self._transport.steps("ping", installing.ping(self._transport.mode))

    def install(self) -> Installed:
        """Load the Lua, write the namespace's meta hash, and raise the listpack setting where that is allowed."""
        return self._transport.steps("install", installing.install(self._transport.mode, self._cell_keys))
