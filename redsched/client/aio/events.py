"""The verbs of a client about events and the rules that follow them."""

from __future__ import annotations

from typing import Any, Unpack

from redsched.client.aio.task_types import AsyncTypes
from redsched.client.aio.transport import AsyncTransport
from redsched.client.requests import Duration, single
from redsched.model.answers import RuleAnswer
from redsched.model.enqueued import Enqueued
from redsched.model.events import Emitted, Rule, RulePage
from redsched.model.task import Options
from redsched.wire import events


class AsyncEvents(AsyncTypes):
    """A part of ``AsyncClient``."""

    transport: AsyncTransport

    async def emit(
        self, event: str, subject: str = "", data: Any = None, *, ttl: Duration | None = None, id: str | None = None
    ) -> Emitted:
        """Record that something happened: its fact ``<event>:<subject>`` is there for ``ttl`` (a day), tasks that wait
        for it go on, those that it cancels are cancelled, rules make their tasks; all in one step.

        ``data``: at most 64 KiB of JSON, for conditions and payloads. ``id``: of the event; the same again makes no
        task of a rule twice.

        Raises:
            InvalidTask: a field cannot be used; nothing was written.
        """
        call = events.emit(self.cell_keys, event, subject, data=data, ttl=ttl, event_id=id)
        return await self.transport.send(call)

    async def expect(
        self, event: str, subject: str, within: Duration, type: str, payload: Any = None, **options: Unpack[Options]
    ) -> Enqueued:
        """Run a task unless an event comes first, ``within`` from now; one that has come already counts.

        Raises:
            As ``enqueue``.
        """
        task = self._expected(event, subject, within, type, payload, options)
        return single(await self.submit([task]))

    async def put_rule(self, rule: Rule) -> RuleAnswer:
        """Create or replace a rule: ``created``, ``updated`` or ``unchanged``. Every event from now on follows it.

        Raises:
            InvalidTask: a field cannot be used, or the client is strict and the task is one that it refuses; nothing
                was written.
        """
        call = events.put_rule(self.cell_keys, rule, max_payload=self.settings.max_payload_bytes)
        if self.known_types.strict:
            await self.transport.converse(
                self.known_types.ask_and_check_template(self.cell_keys, rule.task, rule.bind or ())
            )
        return await self.transport.send(call)

    async def rule(self, id: str, *, stored: bool = False) -> Rule | None:
        """A rule; None where there is none. ``stored``: its payload is ``msgspec.Raw``, byte for byte as it is
        stored."""
        page = await self.transport.send(events.rules(self.cell_keys, [id], stored=stored))
        return page.items[0] if page.items else None

    async def rules(self, *, limit: int = 100, cursor: str | None = None, stored: bool = False) -> RulePage:
        """One page of the rules; ``stored``: as ``rule``."""
        return await self.transport.send(events.rules(self.cell_keys, cursor=cursor, limit=limit, stored=stored))

    async def drop_rule(self, id: str) -> bool:
        """Remove a rule; the tasks that it made stay. False where there is none."""
        return await self.transport.send(events.drop_rule(self.cell_keys, id))
