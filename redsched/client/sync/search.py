# Made by tools/unasync.py from redsched/client/aio/search.py: change that, then `make sync-client`.
"""The verbs of a client that look for tasks in all queues."""

from __future__ import annotations

from collections.abc import Sequence

from redsched.client.requests import Verbs
from redsched.client.sync.transport import Transport
from redsched.model.errors import InvalidTask
from redsched.model.search import Found, Search, Subject, search_of
from redsched.steps import search as searching
from redsched.steps.queues import queues
from redsched.wire.search import is_indexed


class Finding(Verbs):
    """A part of ``Client``."""

    transport: Transport

    def search(
        self,
        where: str | Sequence[str] | Search,
        *,
        limit: int = 50,
        cursor: str | None = None,
        scan: bool = False,
    ) -> Found:
        """One page of the tasks that ``where`` chooses, of all queues: ``search("order-42 tag:vip state:waiting")``.

        A tag, a key, a subject or an id is looked up; any other search goes through the queues, page by page. A page
        looks at some thousands of tasks at most, so it may have fewer items than ``limit`` and still not be the last.
        ``scan``: go through the queues in any case, for a task that plain commands wrote is in no key of its tags
        until it is due.

        Raises:
            InvalidTask: names the word that cannot be used.
        """
        if not 1 <= limit <= 1_000:
            raise InvalidTask("limit", f"{limit} is outside 1..1000")
        asked = search_of(where)
        names: list[str] = []
        if not is_indexed(asked) or (scan and asked.id is None):
            all_queues = queues(self._cell_keys)
            names = [asked.queue] if asked.queue else self.transport.steps("queues", all_queues)
            if not names:
                return Found([])
        steps = searching.search(self._cell_keys, asked, names, limit=limit, cursor=cursor)
        return self.transport.converse(steps)

    def subject(self, name: str) -> Subject:
        """All that is known about a subject, such as ``order-42``: the tasks whose ids begin with ``order-42:``, those
        that bear its name or have it as their key, in every state and queue, and their facts, lines, locks, schedules
        and last events.

        Raises:
            InvalidTask: no subject can have this name.
        """
        return self.transport.converse(searching.subject(self._cell_keys, name))
