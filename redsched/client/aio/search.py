"""The verbs of a client that look for tasks in all queues, and change those that a search names."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from redsched.client.aio.transport import AsyncTransport
from redsched.client.requests import Verbs
from redsched.model.answers import AbortAnswer
from redsched.model.errors import InvalidTask, RedschedError
from redsched.model.search import Found, Search, Subject, search_of
from redsched.model.vocabulary import MOST_OPERATED, ManyAction
from redsched.steps import operations
from redsched.steps import search as searching
from redsched.steps.doctor import ask
from redsched.steps.operation_record import Operation, operation_of
from redsched.steps.operations import Tell
from redsched.steps.queues import queues
from redsched.wire import changes
from redsched.wire.codec import check_name, text_of
from redsched.wire.search import is_indexed


class AsyncFinding(Verbs):
    """A part of ``AsyncClient``."""

    transport: AsyncTransport

    async def search(
        self,
        where: str | Sequence[str] | Search,
        *,
        limit: int = 50,
        cursor: str | None = None,
        scan: bool = False,
    ) -> Found:
        """One page of the tasks that ``where`` chooses, of all queues: ``search("order-42 tag:vip state:waiting")``.

        A tag, a key, a subject or an id is looked up; any other search goes through the queues, page by page. A page
        looks at about 500 tasks at most, so it may have fewer items than ``limit`` and still not be the last.
        ``scan``: go through the queues in any case, for a task that plain commands wrote is in no key of its tags
        until it is due.

        Raises:
            InvalidTask: names the word that cannot be used.
        """
        if not 1 <= limit <= 1_000:
            raise InvalidTask("limit", f"{limit} is outside 1..1000")
        asked = search_of(where)
        names = await self._gone_through(asked, scan)
        if names == []:
            return Found([])
        steps = searching.search(self._cell_keys, asked, names or (), limit=limit, cursor=cursor)
        return await self.transport.converse(steps)

    async def _gone_through(self, asked: Search, scan: bool) -> list[str] | None:
        """The queues that a search goes through; None where it looks something up."""
        if is_indexed(asked) and not (scan and asked.id is None):
            return None
        if asked.queue is not None:
            return [asked.queue]
        return await self.transport.steps("queues", queues(self._cell_keys))

    async def operate(
        self,
        action: ManyAction,
        where: str | Sequence[str] | Search,
        *,
        dry_run: bool = False,
        most: int = MOST_OPERATED,
        scan: bool = False,
        id: str | None = None,
        progress: Tell | None = None,
        **arguments: Any,
    ) -> Operation:
        """Change all tasks that ``where`` chooses: ``operate("reschedule", "tag:m:1 type:remind", by="+2h")``.

        ``cancel`` (``reason``), ``run``, ``drop``, ``revive`` (``due``, ``delay``), ``reschedule`` (``due``, ``delay``,
        or ``by``: each from its own due time, and its start-by moves with it), ``priority`` (``priority``), ``retag``
        (``add``, ``remove``: lists) and ``move`` (``to``: a queue). Where the search names no states, those that the
        action is for are chosen; tasks in other states are left out (``left_out``).

        First all are found, then they are changed in small calls. ``progress`` is called after each call with what is
        done so far; where it answers true, no other call follows. Others read it with ``operation(id)``, and stop it
        with ``abort(id)``. A dry run only finds. A task that somebody changed meanwhile keeps that; ``answers`` says
        how many had which answer. ``expires``: the task would be due only after its start-by, so nothing was written.

        ``id`` makes a repeat safe: the same call with the same id is one operation, which changes no task twice. Where
        that is over or another process carries it out, the call only answers what it has done. Where it broke off or
        was stopped (``progress`` answers ``"stopped"``), the call goes on with it.

        Raises:
            InvalidTask: action, arguments or search cannot be used, or the id is that of another operation; nothing was
                done.
        """
        if not 1 <= most <= MOST_OPERATED:
            raise InvalidTask("most", f"{most} is outside 1..{MOST_OPERATED}")
        asked = search_of(where)
        carrying = operations.Carrying(
            self._cell_keys,
            asked,
            action,
            arguments,
            operation_id=check_name("id", id) if id is not None else changes.new_operation(),
            most=most,
            scan=scan,
            max_payload=self.settings.max_payload_bytes,
            tell=progress,
        )
        if asked == Search():
            raise InvalidTask("search", "chooses everything; name at least one thing, such as queue:default")
        carrying.names = await self._gone_through(asked, scan) or ()
        if dry_run:
            return await self.transport.converse(carrying.plan(await self._now_ms()))
        try:
            return await self.transport.converse(carrying.steps())
        except Exception as error:
            if carrying.is_begun:
                with contextlib.suppress(RedschedError):
                    await self.transport.send(carrying.failed(error))
            raise

    async def operation(self, id: str) -> Operation | None:
        """What an operation has done so far, for a day after its last step; None where none is known."""
        found = await self._operations([check_name("operation", id)])
        return found[0] if found else None

    async def operations(self, *, limit: int = 20) -> list[Operation]:
        """The last operations, the newest first, for a day after their last steps."""
        if not 1 <= limit <= 1_000:
            raise InvalidTask("limit", f"{limit} is outside 1..1000")
        command = ("ZRANGE", self._cell_keys.operations, 0, limit - 1, "REV")
        (names,) = _answered(await self.transport.steps("operations", ask(command)))
        return await self._operations([text_of(name) for name in names])

    async def _operations(self, ids: Sequence[str]) -> list[Operation]:
        """Those of them that are known."""
        commands = [("HGETALL", self._cell_keys.operation(one)) for one in ids]
        time, *records = _answered(await self.transport.steps("operation", ask(("TIME",), *commands)))
        now_ms = int(time[0]) * 1_000 + int(time[1]) // 1_000
        found = (operation_of(one, changes.record_of(flat), now_ms) for one, flat in zip(ids, records, strict=True))
        return [one for one in found if one is not None]

    async def _now_ms(self) -> int:
        (time,) = _answered(await self.transport.steps("time", ask(("TIME",))))
        return int(time[0]) * 1_000 + int(time[1]) // 1_000

    async def abort(self, id: str) -> AbortAnswer:
        """Have an operation stop after its present call (``abort``); one that no process carries out ends at once
        (``aborted``). ``over``: it had ended; ``missing``: there is none."""
        step = await self.transport.send(changes.operate(self._cell_keys, id, "abort"))
        return step.word  # type: ignore[return-value]

    async def subject(self, name: str) -> Subject:
        """All that is known about a subject, such as ``order-42``: the tasks whose ids begin with ``order-42:``, those
        that bear its name or have it as their key, in every state and queue, and their facts, lines, locks, schedules
        and last events.

        Raises:
            InvalidTask: no subject can have this name.
        """
        return await self.transport.converse(searching.subject(self._cell_keys, name))


def _answered(replies: list[Any]) -> list[Any]:
    """The replies; raises what a command was refused for."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
