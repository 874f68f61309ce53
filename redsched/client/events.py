"""The verbs of both clients about events, holds, pauses, rules and workflows; ``Client`` and ``AsyncClient`` inherit
them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Unpack

from redsched.client.async_transport import AsyncTransport
from redsched.client.requests import Verbs, id_list, single
from redsched.client.transport import Transport
from redsched.model.condition import Hold, fact_name
from redsched.model.enqueued import Enqueued
from redsched.model.errors import InvalidTask, TaskNotFound
from redsched.model.explain import Explanation, explained
from redsched.model.happening import Branch, Emitted, Kin, Paused
from redsched.model.rule import Rule, RulePage
from redsched.model.task import Options, Task
from redsched.steps import queues as queue_steps
from redsched.steps import workflow
from redsched.steps.batches import in_parts
from redsched.wire import events, protocol, queues
from redsched.wire.ids import nonce

Duration = timedelta | int | str


class Held(Enqueued, frozen=True):
    """A task that waits to be confirmed with ``token``."""

    token: str = ""


class _Shared(Verbs):
    """What both make before they send."""

    def _expected(self, event: str, subject: str, within: Duration, type_: str, payload: Any, options: Options) -> Task:
        if "due" in options or "delay" in options:
            raise InvalidTask("within", "takes the place of due and delay")
        given = options.get("cancel_on") or ()
        names = [given] if isinstance(given, str) else list(given)
        cancel_on = [fact_name(event, subject), *names]
        return self._task(type_, payload, {**options, "delay": within, "cancel_on": cancel_on})

    def _held(self, type_: str, payload: Any, within: Duration, token: str, options: Options) -> Task:
        return self._task(type_, payload, {**options, "hold": Hold(token=token, within=within)})

    def _workflow_enqueue(self, tasks: Sequence[Task]) -> Any:
        return self._enqueue(tasks, None)


class EventVerbs(_Shared):
    """From threads; made by ``Client``."""

    _transport: Transport

    def emit(
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
        return self._transport.send(call)

    def expect(
        self, event: str, subject: str, within: Duration, type: str, payload: Any = None, **options: Unpack[Options]
    ) -> Enqueued:
        """Run a task unless an event comes first, ``within`` from now; one that has come already counts.

        Raises:
            As ``enqueue``.
        """
        task = self._expected(event, subject, within, type, payload, options)
        return single(self._transport.send(self._enqueue([task], None)))

    def hold(self, type: str, payload: Any = None, *, within: Duration = "30s", **options: Unpack[Options]) -> Held:
        """Create a task that waits to be confirmed, and expires after ``within``: write it before you commit to your
        database, and ``confirm`` it afterwards with the token that comes back.

        Raises:
            As ``enqueue``.
        """
        token = nonce()
        task = self._held(type, payload, within, token, options)
        made = single(self._transport.send(self._enqueue([task], None)))
        return Held(made.id, made.queue, made.status, made.durability, made.other, token)

    def confirm(self, ids: str | Sequence[str], token: str, *, queue: str = "default") -> dict[str, str]:
        """Let held tasks go: id -> ``confirmed``, ``refused`` (another token), ``missing``, or the state of one that
        has ended."""
        keys = self._keys(queue)
        steps = in_parts(id_list(ids), lambda some: protocol.confirm(keys, some, token, action="confirm"))
        return self._transport.converse(steps)

    def abandon(self, ids: str | Sequence[str], token: str, *, queue: str = "default") -> dict[str, str]:
        """Cancel held tasks: id -> ``abandoned``, ``requested`` (its time was over and it runs by now: it is asked to
        stop), ``refused`` (another token, or confirmed), ``missing``, or the state of one that has ended."""
        keys = self._keys(queue)
        steps = in_parts(id_list(ids), lambda some: protocol.confirm(keys, some, token, action="abandon"))
        return self._transport.converse(steps)

    def pause(
        self,
        queue: str = "default",
        *,
        type: str | None = None,
        key: str | None = None,
        reason: str = "",
        until: datetime | int | str | None = None,
    ) -> None:
        """Start no more tasks of a queue, or of a type or a key of it, until it is resumed or until then. What runs
        goes on; start-by and quarantine too."""
        what = queues.stop_word(type_=type, key=key)
        self._transport.send(protocol.pause(self._keys(queue), what, reason=reason, until=until))

    def resume(self, queue: str = "default", *, type: str | None = None, key: str | None = None) -> bool:
        """Go on with what was paused; False where it was not."""
        return self._transport.send(protocol.resume(self._keys(queue), queues.stop_word(type_=type, key=key)))

    def paused(self, queues: str | Sequence[str] = "default") -> builtins.list[Paused]:
        """What is paused in 1..100 queues."""
        return self._transport.converse(queue_steps.all_paused([self._keys(queue) for queue in id_list(queues)]))

    def put_rule(self, rule: Rule) -> str:
        """Create or replace a rule: ``created``, ``updated`` or ``unchanged``. Every event from now on follows it.

        Raises:
            InvalidTask: a field cannot be used; nothing was written.
        """
        call = events.put_rule(self.cell_keys, rule, max_payload=self.settings.max_payload_bytes)
        return self._transport.send(call)

    def rule(self, id: str, *, stored: bool = False) -> Rule | None:
        """A rule; None where there is none. ``stored``: its payload is ``msgspec.Raw``, byte for byte as it is
        stored."""
        page = self._transport.send(events.rules(self.cell_keys, [id], stored=stored))
        return page.items[0] if page.items else None

    def rules(self, *, limit: int = 100, cursor: str | None = None, stored: bool = False) -> RulePage:
        """One page of the rules; ``stored``: as ``rule``."""
        return self._transport.send(events.rules(self.cell_keys, cursor=cursor, limit=limit, stored=stored))

    def drop_rule(self, id: str) -> bool:
        """Remove a rule; the tasks that it made stay. False where there is none."""
        return self._transport.send(events.drop_rule(self.cell_keys, id))

    def chain(self, tasks: Sequence[Task], *, otherwise: str = "cancel") -> builtins.list[Enqueued]:
        """Create tasks each of which runs when the one before it has completed; up to 1000 in one atomic call.

        ``otherwise``: what becomes of the rest when one fails, or is not made because another task has its unique key:
        ``cancel``, ``skip``, ``run`` or ``wait``.

        Raises:
            WorkflowIncomplete: some of them were not made.
            As ``enqueue``.
        """
        return self._transport.converse(workflow.chain(self.cell, self._workflow_enqueue, tasks, otherwise))

    def group(
        self, tasks: Sequence[Task], then: Task, *, on: str = "success", otherwise: str = "cancel"
    ) -> builtins.list[Enqueued]:
        """Create tasks that run side by side and one, ``then``, that runs when all of them have ended; its answer is
        the last. More than 500 take several calls: ``then`` is held meanwhile. It expires where they break off, and is
        cancelled where one of them is not made.

        Raises:
            WorkflowIncomplete: some of them were not made.
            As ``enqueue``.
        """
        steps = workflow.group(self.cell, self._workflow_enqueue, tasks, then, on, otherwise)
        return self._transport.converse(steps)

    def parents(self, id: str, *, queue: str = "default", stored: bool = False) -> builtins.list[Kin]:
        """The tasks that one comes after, with their results; ``stored``: as they are stored, ``msgspec.Raw``."""
        return self._transport.converse(workflow.kin(self.cell, queue, id, "parents", stored=stored))

    def tree(self, id: str, *, queue: str = "default", limit: int = 200) -> Branch:
        """A task and those that come after it, at most 1..1000; raises TaskNotFound."""
        return self._transport.converse(workflow.tree(self.cell, queue, id, limit))

    def explain(self, id: str, *, queue: str = "default") -> Explanation:
        """Why a task has not run, when it will, or why it never will; raises TaskNotFound where nothing is known of
        it."""
        found = explained(self._transport.send(protocol.explain(self._keys(queue), id)))
        if found.code == "unknown":
            raise TaskNotFound(id, queue)
        return found


class AsyncEventVerbs(_Shared):
    """From one event loop; made by ``AsyncClient``."""

    transport: AsyncTransport

    async def emit(
        self, event: str, subject: str = "", data: Any = None, *, ttl: Duration | None = None, id: str | None = None
    ) -> Emitted:
        """As ``EventVerbs.emit``."""
        call = events.emit(self.cell_keys, event, subject, data=data, ttl=ttl, event_id=id)
        return await self.transport.send(call)

    async def expect(
        self, event: str, subject: str, within: Duration, type: str, payload: Any = None, **options: Unpack[Options]
    ) -> Enqueued:
        """As ``EventVerbs.expect``."""
        task = self._expected(event, subject, within, type, payload, options)
        return single(await self.transport.send(self._enqueue([task], None)))

    async def hold(
        self, type: str, payload: Any = None, *, within: Duration = "30s", **options: Unpack[Options]
    ) -> Held:
        """As ``EventVerbs.hold``."""
        token = nonce()
        task = self._held(type, payload, within, token, options)
        made = single(await self.transport.send(self._enqueue([task], None)))
        return Held(made.id, made.queue, made.status, made.durability, made.other, token)

    async def confirm(self, ids: str | Sequence[str], token: str, *, queue: str = "default") -> dict[str, str]:
        """As ``EventVerbs.confirm``."""
        keys = self._keys(queue)
        steps = in_parts(id_list(ids), lambda some: protocol.confirm(keys, some, token, action="confirm"))
        return await self.transport.converse(steps)

    async def abandon(self, ids: str | Sequence[str], token: str, *, queue: str = "default") -> dict[str, str]:
        """As ``EventVerbs.abandon``."""
        keys = self._keys(queue)
        steps = in_parts(id_list(ids), lambda some: protocol.confirm(keys, some, token, action="abandon"))
        return await self.transport.converse(steps)

    async def pause(
        self,
        queue: str = "default",
        *,
        type: str | None = None,
        key: str | None = None,
        reason: str = "",
        until: datetime | int | str | None = None,
    ) -> None:
        """As ``EventVerbs.pause``."""
        what = queues.stop_word(type_=type, key=key)
        await self.transport.send(protocol.pause(self._keys(queue), what, reason=reason, until=until))

    async def resume(self, queue: str = "default", *, type: str | None = None, key: str | None = None) -> bool:
        """As ``EventVerbs.resume``."""
        return await self.transport.send(protocol.resume(self._keys(queue), queues.stop_word(type_=type, key=key)))

    async def paused(self, queues: str | Sequence[str] = "default") -> builtins.list[Paused]:
        """As ``EventVerbs.paused``."""
        return await self.transport.converse(queue_steps.all_paused([self._keys(queue) for queue in id_list(queues)]))

    async def put_rule(self, rule: Rule) -> str:
        """As ``EventVerbs.put_rule``."""
        call = events.put_rule(self.cell_keys, rule, max_payload=self.settings.max_payload_bytes)
        return await self.transport.send(call)

    async def rule(self, id: str, *, stored: bool = False) -> Rule | None:
        """As ``EventVerbs.rule``."""
        page = await self.transport.send(events.rules(self.cell_keys, [id], stored=stored))
        return page.items[0] if page.items else None

    async def rules(self, *, limit: int = 100, cursor: str | None = None, stored: bool = False) -> RulePage:
        """As ``EventVerbs.rules``."""
        return await self.transport.send(events.rules(self.cell_keys, cursor=cursor, limit=limit, stored=stored))

    async def drop_rule(self, id: str) -> bool:
        """As ``EventVerbs.drop_rule``."""
        return await self.transport.send(events.drop_rule(self.cell_keys, id))

    async def chain(self, tasks: Sequence[Task], *, otherwise: str = "cancel") -> builtins.list[Enqueued]:
        """As ``EventVerbs.chain``."""
        return await self.transport.converse(workflow.chain(self.cell, self._workflow_enqueue, tasks, otherwise))

    async def group(
        self, tasks: Sequence[Task], then: Task, *, on: str = "success", otherwise: str = "cancel"
    ) -> builtins.list[Enqueued]:
        """As ``EventVerbs.group``."""
        steps = workflow.group(self.cell, self._workflow_enqueue, tasks, then, on, otherwise)
        return await self.transport.converse(steps)

    async def parents(self, id: str, *, queue: str = "default", stored: bool = False) -> builtins.list[Kin]:
        """As ``EventVerbs.parents``."""
        return await self.transport.converse(workflow.kin(self.cell, queue, id, "parents", stored=stored))

    async def tree(self, id: str, *, queue: str = "default", limit: int = 200) -> Branch:
        """As ``EventVerbs.tree``."""
        return await self.transport.converse(workflow.tree(self.cell, queue, id, limit))

    async def explain(self, id: str, *, queue: str = "default") -> Explanation:
        """As ``EventVerbs.explain``."""
        found = explained(await self.transport.send(protocol.explain(self._keys(queue), id)))
        if found.code == "unknown":
            raise TaskNotFound(id, queue)
        return found
