"""Every Redis key redsched uses, in one place.

All keys of a cell share one hash tag, so one script may touch them all, on a single server or in a cluster. Scripts
get the due keys of their queues and derive the rest, as ``lua/lib/core/keys.lua`` says.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from redsched.wire.cells import Cell

PRIORITIES = ("high", "normal", "low")
GROUP = "workers"


class CellKeys(msgspec.Struct, frozen=True):
    """The keys of one cell that belong to no queue."""

    cell: Cell

    @property
    def prefix(self) -> str:
        """What each key of the cell begins with."""
        return f"{{{self.cell.tag}}}:"

    @property
    def due_prefix(self) -> str:
        """What the due keys of all queues begin with: the one tracking prefix of a mover."""
        return self.prefix + "due:"

    @property
    def inbox_prefix(self) -> str:
        """What the inboxes of all queues begin with."""
        return self.prefix + "inbox:"

    @property
    def queues(self) -> str:
        """Set of the names of all queues seen."""
        return self.prefix + "queues"

    @property
    def events(self) -> str:
        """Capped stream of decisions."""
        return self.prefix + "events"

    @property
    def meta(self) -> str:
        """Hash: contract, cells, epoch."""
        return self.prefix + "meta"

    @property
    def mover(self) -> str:
        """String: which mover is acting."""
        return self.prefix + "mover"

    @property
    def durable(self) -> str:
        """String: what was written last to wait for its replicas; its value means nothing."""
        return self.prefix + "durable"

    @property
    def types(self) -> str:
        """Hash: type -> its queue, and whose it is."""
        return self.prefix + "types"

    @property
    def defaults(self) -> str:
        """Hash: type -> what it gives to its tasks, as a JSON list of field, value, ..."""
        return self.prefix + "defaults"

    @property
    def schemas(self) -> str:
        """Hash: type -> JSON Schema of its payloads."""
        return self.prefix + "schemas"

    @property
    def apps(self) -> str:
        """Zset: application/version -> when one of its workers was heard last, ms."""
        return self.prefix + "apps"

    def live(self, version: str) -> str:
        """Zset of the workers of an application/version: when each was heard last, ms."""
        return f"{self.prefix}live:{version}"

    def owned(self, owner: str) -> str:
        """Set of the schedules of an owner."""
        return f"{self.prefix}owned:{owner}"

    @property
    def schedules(self) -> str:
        """Zset: schedule -> when it is looked at next, ms."""
        return self.prefix + "schedules"

    @property
    def agenda(self) -> str:
        """Zset: what movers have to look at -> when, ms."""
        return self.prefix + "agenda"

    @property
    def sweeps(self) -> str:
        """Zset: queue -> when it is swept next, ms."""
        return self.prefix + "sweeps"

    @property
    def paused(self) -> str:
        """Hash: ``all`` -> until when every queue is paused, since when, and why."""
        return self.prefix + "paused"

    @property
    def rules(self) -> str:
        """Hash: rule -> the event that it is about; its definition is in the hash of the event's rules."""
        return self.prefix + "rules"

    def operation(self, operation_id: str) -> str:
        """Hash: what a change of many tasks has done so far."""
        return f"{self.prefix}operation:{operation_id}"

    @property
    def operations(self) -> str:
        """Zset: the last changes of many tasks -> when each began, ms."""
        return self.prefix + "operations"

    @property
    def forgotten(self) -> str:
        """Zset: ``<queue>/<id>`` of a task that a sweep removed -> when, ms."""
        return self.prefix + "forgotten"

    @property
    def indexed(self) -> str:
        """String: it is there once a task of the namespace has had tags or a key."""
        return self.prefix + "indexed"

    @property
    def emitted(self) -> str:
        """Set of the names of events that were emitted, up to 1000."""
        return self.prefix + "emitted"

    def tagged(self, tag: str) -> str:
        """Zset: the tasks that have a tag, ``<queue>/<id>``."""
        return f"{self.prefix}tagged:{tag}"

    def keyed(self, key: str) -> str:
        """Zset: the tasks that have a key, ``<queue>/<id>``."""
        return f"{self.prefix}keyed:{key}"

    def about(self, subject: str) -> str:
        """Zset: the tasks whose ids begin with a subject and a colon, ``<queue>/<id>``."""
        return f"{self.prefix}about:{subject}"

    def fact(self, name: str) -> str:
        """What is known of an event, or whatever a client put there."""
        return f"{self.prefix}fact:{name}"

    @property
    def calendars(self) -> str:
        """Hash: name -> JSON list of dates."""
        return self.prefix + "calendars"

    def schedule(self, schedule_id: str) -> str:
        """Hash: one schedule."""
        return f"{self.prefix}schedule:{schedule_id}"

    def answer(self, digest: str) -> str:
        """Hash: the answer to a request with an idempotency key, by the key's digest."""
        return f"{self.prefix}answer:{digest}"

    def queue_of(self, due_key: str) -> str | None:
        """The queue whose due key this is; None for any other key."""
        return due_key.removeprefix(self.due_prefix) if due_key.startswith(self.due_prefix) else None

    def inbox_of(self, key: str) -> str | None:
        """The queue whose inbox this is; None for any other key."""
        return key.removeprefix(self.inbox_prefix) if key.startswith(self.inbox_prefix) else None


class QueueKeys(msgspec.Struct, frozen=True):
    """The keys of one queue in one cell. Build it with ``queue_keys``, which keeps it."""

    cell: Cell
    queue: str
    due: str  # zset: id -> due time, ms
    ready: str  # stream of the normal priority

    def stream(self, priority: str) -> str:
        """The ready stream of a priority."""
        return self.ready if priority == "normal" else f"{self.ready}:{priority}"

    def task(self, task_id: str) -> str:
        """Hash: one task."""
        return f"{{{self.cell.tag}}}:task:{self.queue}:{task_id}"

    def outcome(self, task_id: str) -> str:
        """Hash: what the runs of a task left behind."""
        return f"{{{self.cell.tag}}}:outcome:{self.queue}:{task_id}"

    def index(self, place: str) -> str:
        """Zset of a place: held, running, finished, dead or quarantine."""
        return f"{{{self.cell.tag}}}:{place}:{self.queue}"


@lru_cache(maxsize=65_536)
def queue_keys(cell: Cell, queue: str) -> QueueKeys:
    """The keys of a queue."""
    return QueueKeys(cell=cell, queue=queue, due=f"{{{cell.tag}}}:due:{queue}", ready=f"{{{cell.tag}}}:ready:{queue}")
