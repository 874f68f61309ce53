"""What the code of an application says of its types and schedules, put into Redis by each worker that runs it.

Of several versions the newest with a live worker rules. A worker tells every 30 s that it lives; Redis takes one for
dead that was not heard for 90 s. The version that rules then puts its own definitions again, so that a rollback works.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.app import App, TaskType
from redsched.engine.loop import Loop
from redsched.engine.observer import Observer
from redsched.model.errors import InvalidSchedule, InvalidTask, RedschedError, StoreDenied, StoreRefused
from redsched.wire import protocol, schedules
from redsched.wire.task_types import MOST_PUT, NO_VERSION, TypePut, TypesPut, defaults_of

log = logging.getLogger("redsched.worker")
HEARTBEAT_S = 30.0


class Definitions:
    """The definitions of one worker's application. ``with_schedules``: whether the worker puts schedules, too."""

    def __init__(
        self, client: AsyncClient, app: App, consumer: str, *, with_schedules: bool, observer: Observer
    ) -> None:
        self.loop = Loop("types", self.step, observer=observer, log=log)
        self._client = client
        self._app = app
        self._consumer = consumer
        self._started = time.time_ns() // 1_000_000
        self._with_schedules = with_schedules
        self._rules: bool | None = None  # whether this version did when it was heard last; None: it is not told yet
        self._denied = False
        self._changed: Sequence[str] = ()  # what another version has changed, when this one put all again last

    async def put(self) -> None:
        """Put all of it, as far as no newer version rules."""
        try:
            ruling, _ = await self._put_types()
        except (StoreDenied, StoreRefused) as error:  # rights, or a library, of an older version
            log.warning("types.refused", extra={"app": self._app.name, "error": str(error)})
            self._denied, ruling = True, self._version
        self._rules = ruling == self._version
        if not self._rules:
            log.warning("app.older", extra={"app": self._app.name, "version": self._app.version, "newer": ruling})
        if self._with_schedules:
            await self._put_schedules()

    async def step(self) -> float | None:
        """Tell that the worker lives, and put all again where this version has begun to rule, also where a newer one
        came and went since the last time."""
        if self._denied:
            return HEARTBEAT_S
        before = self._rules
        ruling, took_over = await self._put_types(again=True)
        self._rules = ruling == self._version
        changed = await self._changed_schedules() if self._rules else ()
        came_and_went, self._changed = bool(changed) and changed != self._changed, changed
        if self._rules and (took_over or came_and_went or not before):
            log.info("app.rules", extra={"app": self._app.name, "version": self._app.version})
            if self._with_schedules:
                await self._put_schedules()
        return HEARTBEAT_S

    async def leave(self) -> None:
        """Tell that the worker ends: an older version rules from now on, if it was the last of this one."""
        if self._denied or self._rules is None:
            return
        call = protocol.put_types(self._client.cell_keys, self._app.name, self._app.version, self._consumer, 0)
        with contextlib.suppress(RedschedError):  # it is then taken for dead after a while
            await self._client.transport.send(call, retry_for=0)

    @property
    def _version(self) -> str:
        return self._app.version or NO_VERSION

    async def _send(self, types: Sequence[TypePut]) -> TypesPut:
        return await self._client.transport.send(
            protocol.put_types(
                self._client.cell_keys, self._app.name, self._app.version, self._consumer, self._started, types
            )
        )

    async def _put_types(self, *, again: bool = False) -> tuple[str, bool]:
        """Answers the version that rules, and whether a type was not as this worker says. ``again``: what was refused
        has been told."""
        made = [type_put(one) for one in self._app.tasks.values()]
        ruling, took_over = "", False
        for at in range(0, max(len(made), 1), MOST_PUT):
            some = made[at : at + MOST_PUT]
            before = await self._queues(some)
            found = await self._send(some)
            ruling, took_over = found.ruling, took_over or "put" in found.words
            for one, word in zip(some, found.words, strict=True):
                if word == "put" and (former := before.get(one.name, one.queue)) != one.queue:
                    told = {"type": one.name, "app": self._app.name, "from": former, "to": one.queue}
                    log.warning("type.queue_changed", extra=told)
                if word.startswith(("other", "full")) and not again:
                    _, _, owner = word.partition(" ")
                    problem = f"it belongs to app {owner}, of which a worker lives" if owner else "there are too many"
                    log.error("type.refused", extra={"type": one.name, "app": self._app.name, "error": problem})
        return ruling, took_over

    async def _queues(self, types: Sequence[TypePut]) -> dict[str, str]:
        """The queues that types have so far, as far as they are known."""
        try:
            call = protocol.types(self._client.cell_keys, [one.name for one in types])
            return {one.name: one.queue for one in (await self._client.transport.send(call)).items} if types else {}
        except (StoreDenied, StoreRefused):
            return {}

    async def _changed_schedules(self) -> Sequence[str]:
        """Schedules of the code that another version of the app put last, or left out: it came and went meanwhile."""
        app = self._app
        if app.version is None or not self._with_schedules or not app.schedules:
            return ()
        ids = [schedule.id for schedule in app.schedules]
        call = schedules.keep_schedules(self._client.cell_keys, app.name, app.version, "changed", ids)
        return (await self._client.transport.send(call)).left_out

    async def _put_schedules(self) -> None:
        """Put those of the code; one that is there already stays. One that is over, say, holds up nothing."""
        app = self._app
        owner = None if app.version is None else app.name
        if owner is None and not self._rules:
            return  # without a version the scripts cannot tell that these are older
        for schedule in app.schedules:
            try:
                answer = await self._client.schedules.put(schedule, owner=owner, owner_version=app.version)
            except (InvalidSchedule, InvalidTask, StoreDenied) as error:
                log.error("schedule.refused", extra={"schedule": schedule.id, "error": str(error)})
            else:
                level = logging.WARNING if answer.status == "other" else logging.INFO
                log.log(
                    level, "schedule.put", extra={"schedule": answer.id, "status": answer.status, "rev": answer.rev}
                )
        if app.version is None or not self._rules:
            return  # who has no version does not know whether others are newer
        ids = [schedule.id for schedule in app.schedules]
        left_out = await self._client.schedules.keep(app.name, ids, version=app.version, drop=app.prune)
        for schedule_id in left_out:
            word = "dropped" if app.prune else "paused"
            log.warning(
                f"schedule.{word}", extra={"schedule": schedule_id, "app": app.name, "reason": "not in its code"}
            )


def type_put(one: TaskType) -> TypePut:
    """What is put of a type."""
    return TypePut(one.name, one.queue, defaults_of(one.sample), one.handler.schema())
