# Made by tools/unasync.py from redsched/client/aio/task_types.py: change that, then `make sync-client`.
"""The verbs of a client about the types of tasks, and what it knows of them before it enqueues."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redsched.client.requests import Verbs, told_of
from redsched.client.sync.transport import Transport
from redsched.model.enqueued import Enqueued
from redsched.model.errors import OutcomeUnknown, StoreDenied, StoreError, StoreRefused, StoreUnavailable
from redsched.model.task import Task
from redsched.model.task_types import TypePage, TypeView
from redsched.wire import protocol


class Types(Verbs):
    """A part of ``Client``."""

    transport: Transport

    def types(self, *, limit: int = 100, cursor: str | None = None) -> TypePage:
        """One page of 1..200 of the types that workers have put, by name."""
        return self.transport.send(protocol.types(self.cell_keys, cursor=cursor, limit=limit))

    def type(self, name: str) -> TypeView | None:
        """What workers have put of one type, with the JSON Schema of its payloads; None where no worker has."""
        page = self.transport.send(protocol.types(self.cell_keys, [name], schemas=True))
        return page.items[0] if page.items else None

    def learn(self, tasks: Sequence[Task], *, schemas: bool = False) -> bool:
        """Get to know the types of tasks, as far as their queues are needed, or with ``schemas`` the schemas of their
        payloads too, and that was not done some seconds ago. Answers whether Redis was asked."""
        names = self.known_types.to_ask(tasks, time.monotonic(), schemas=schemas)
        if names:
            self.transport.converse(self.known_types.ask(self.cell_keys, names, schemas=schemas))
        return bool(names)

    def check_types(self, tasks: Sequence[Task]) -> None:
        """Refuse what a strict client refuses.

        Raises:
            InvalidTask: a type is unknown or a payload does not fit it; nothing was written.
            InvalidSetting: jsonschema is not installed.
        """
        self.transport.converse(self.known_types.ask_and_check(self.cell_keys, tasks))

    def submit(self, tasks: Sequence[Task], durability: str | None = None) -> list[Enqueued]:
        """What ``enqueue_many`` does. A field that cannot be used is refused before anything is sent."""
        call = self.enqueuing(tasks, durability)
        asked = self.before_enqueue(tasks)
        found = self.with_former_queues(tasks)
        if asked or found is not tasks:
            call = self.enqueuing(found, durability)
        return self.transport.send(call)

    def before_enqueue(self, tasks: Sequence[Task]) -> bool:
        """What comes before each enqueue: ``check_types`` of a strict client, ``learn`` of any other. Answers whether
        Redis was asked.

        What goes wrong is told as an error of the enqueue, of which nothing has been written yet.
        """
        try:
            if not self.known_types.strict:
                return self.learn(tasks)
            self.check_types(tasks)
            return True
        except (StoreDenied, StoreRefused) as error:
            # who may not read types, or finds a server with an older library, goes without
            if self.known_types.strict:
                raise told_of(error, "enqueue") from None
            return False
        except StoreError as error:
            raise told_of(error, "enqueue") from None
        except OutcomeUnknown as error:
            raise StoreUnavailable("enqueue", error.problem) from None

    def placed(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks with the queues of their types, where they name none and those are known."""
        self.before_enqueue(tasks)
        return self.known_types.placed(self.with_former_queues(tasks))

    def with_former_queues(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """The tasks, after ``before_enqueue``: one whose id is in a queue that its type had before names that queue, so
        that the same call finds the task that it made before a deploy."""
        try:
            return self.transport.converse(self.known_types.find_former(self.cell_keys, tasks))
        except StoreError as error:
            raise told_of(error, "enqueue") from None
        except OutcomeUnknown as error:
            raise StoreUnavailable("enqueue", error.problem) from None
