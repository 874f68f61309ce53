# Made by tools/unasync.py from redsched/client/aio/places.py: change that, then `make sync-client`.
"""How a client finds the queue of a task where the caller names none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from redsched.client.requests import Verbs, id_list, told_of
from redsched.client.sync.transport import Transport
from redsched.model.errors import StoreDenied, StoreError, StoreRefused
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.steps.batches import in_parts
from redsched.steps.places import Place, places
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.keys import QueueKeys

T = TypeVar("T")


class Places(Verbs):
    """A part of ``Client``."""

    transport: Transport

    def queue_of(self, id: str) -> str:
        """The queue in which the task with this id is, whatever its state: one call.

        Raises:
            TaskNotFound: no queue has one.
            TaskInSeveralQueues: more than one queue has one.
        """
        found = self._place(id, None, "show")
        if not found.is_found:  # a queue that nobody has seen yet may have it, of plain commands
            shown = self.transport.send(protocol.show(self._keys(DEFAULT_QUEUE), [id]))
            if shown[id] is None:
                raise found.not_found(id)
        return found.queue

    def _place(self, id: str, queue: str | None, verb: str) -> Place:
        """Where a task is: a queue that is named costs no call."""
        return Place(queue, is_named=True) if queue is not None else (self._places([id], verb))[id]

    def _places(self, ids: Sequence[str], verb: str) -> dict[str, Place]:
        """Where tasks are, for a verb. Who may not look through all queues, or has an older library there, means
        ``default``."""
        try:
            return self.transport.converse(places(self._cell_keys, list(dict.fromkeys(ids))))
        except (StoreDenied, StoreRefused):
            return {one: Place(is_named=True) for one in ids}
        except StoreError as error:
            raise told_of(error, verb) from None

    def _by_queue(
        self,
        ids: str | Sequence[str],
        queue: str | None,
        make: Callable[[QueueKeys, Sequence[str]], Call[dict[str, T]]],
    ) -> dict[str, T]:
        """What the calls answer that ``make`` makes, for tasks of one queue or, with None, of those in which they
        are."""
        wanted = id_list(ids)
        if queue is not None:
            return self.transport.converse(in_parts(wanted, partial(make, self._keys(queue))))
        whole = make(self._keys(DEFAULT_QUEUE), wanted)  # what cannot be used is refused before anything is sent
        found: dict[str, T] = {}
        for name, some in (self._apart(wanted, whole.verb)).items():
            found |= self.transport.converse(in_parts(some, partial(make, self._keys(name))))
        return {one: found[one] for one in wanted}

    def _apart(self, ids: Sequence[str], verb: str) -> dict[str, list[str]]:
        """The ids by the queues in which their tasks are."""
        found = self._places(ids, verb)
        by_queue: dict[str, list[str]] = {}
        for one in ids:
            by_queue.setdefault(found[one].queue, []).append(one)
        return by_queue
