"""What both clients do before they send: settings, keys, and the calls that take more than one line to build."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from redsched.client.known_types import KnownTypes
from redsched.model.answers import UpdateAnswer
from redsched.model.condition import Hold, fact_name
from redsched.model.duration import span_ms
from redsched.model.enqueued import Enqueued
from redsched.model.errors import InvalidTask, StoreError, StoreUnavailable, TaskConflict
from redsched.model.new_task import new_task
from redsched.model.refused import kind_and_length
from redsched.model.task import Changes, Options, Task
from redsched.model.views import QueueStats
from redsched.model.vocabulary import Durability
from redsched.settings import Settings
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.codec import check_name
from redsched.wire.durability import with_durability
from redsched.wire.keys import CellKeys, QueueKeys, queue_keys
from redsched.wire.redis_errors import only_reads
from redsched.wire.timeline import Window

Duration = timedelta | str


def id_list(ids: str | Sequence[str]) -> Sequence[str]:
    """One id as a list of one."""
    return (ids,) if isinstance(ids, str) else ids


def single(answers: list[Enqueued]) -> Enqueued:
    """The answer for one task; raises TaskConflict."""
    if answers[0].status == "conflict":
        raise TaskConflict(answers[0].id, answers[0].queue)
    return answers[0]


def told_of(error: StoreError, verb: str) -> StoreError:
    """The same error as one of the verb that somebody called: a call before it has met it."""
    reads = only_reads(verb)
    if isinstance(error, StoreUnavailable):
        return StoreUnavailable(verb, error.problem, reads=reads, url=error.url)
    return type(error)(verb, error.problem, reads=reads)


def given_ms(field: str, value: Duration) -> int:
    """A duration in ms; raises InvalidTask with the name of the argument."""
    try:
        return span_ms(value)
    except ValueError as error:
        raise InvalidTask(field, str(error)) from None


def window_of(past: Duration, ahead: Duration, step: Duration) -> Window:
    """The window of a timeline; raises InvalidTask."""
    made = Window(given_ms("past", past), given_ms("ahead", ahead), given_ms("step", step))
    made.check()
    return made


class Verbs:
    """The part of a client that needs no connection."""

    def __init__(
        self, redis_url: str | None, namespace: str | None, settings: Settings | None, strict: bool = False
    ) -> None:
        found = Settings.load(redis_url=redis_url, namespace=namespace) if settings is None else settings
        changed = {"redis_url": redis_url, "namespace": namespace} if settings is not None else {}
        self.settings = msgspec.structs.replace(found, **{k: v for k, v in changed.items() if v is not None})
        self.cell = Cell(self.settings.namespace)
        self._cell_keys = CellKeys(self.cell)
        self.known_types = KnownTypes(strict)

    @property
    def cell_keys(self) -> CellKeys:
        """The keys of this client's cell that belong to no queue."""
        return self._cell_keys

    def _keys(self, queue: str) -> QueueKeys:
        return queue_keys(self.cell, check_name("queue", queue))

    @staticmethod
    def _task(type_: str, payload: Any, options: Options) -> Task:
        return new_task(type_, payload, options)

    @staticmethod
    def _submitted(given: Sequence[Any], options: dict[str, Any]) -> tuple[Task, Durability | None]:
        """What the arguments of ``enqueue`` say: the task, and how durable it is to be."""
        first, *rest = given or (options.pop("type", None),)
        if isinstance(first, str):
            durability = options.pop("durability", None)
            payload = rest.pop(0) if rest else options.pop("payload", None)
            if rest:
                raise InvalidTask("payload", "is one value; give the fields of the task by their names")
            return new_task(first, payload, options), durability
        if isinstance(first, Task):
            durability = options.pop("durability", None)
            if rest or options:
                problem = "enqueue takes a Task as it is, with durability at most; give the rest to the Task"
                raise InvalidTask(next(iter(options), "payload"), problem)
            return first, durability
        if callable(make := getattr(first, "task", None)):
            return make(*rest, **options), None
        raise InvalidTask("type", f"{kind_and_length(first)} is no type's name, Task or function of @app.task")

    def _expected(self, event: str, subject: str, within: Duration, type_: str, payload: Any, options: Options) -> Task:
        """The task that runs unless the event comes first."""
        if "due" in options or "delay" in options:
            raise InvalidTask("within", "takes the place of due and delay")
        given_ms("within", within)
        given = options.get("cancel_on") or ()
        names = [given] if isinstance(given, str) else list(given)
        cancel_on = [fact_name(event, subject), *names]
        return self._task(type_, payload, {**options, "delay": within, "cancel_on": cancel_on})

    def _held(self, type_: str, payload: Any, within: Duration, token: str, options: Options) -> Task:
        """The task that waits to be confirmed."""
        given_ms("within", within)
        return self._task(type_, payload, {**options, "hold": Hold(token=token, within=within)})

    def enqueuing(self, tasks: Sequence[Task], durability: str | None = None) -> Call[list[Enqueued]]:
        """The call of ``enqueue_many``, for who builds it elsewhere than where it is sent; ``learn`` comes first."""
        call = protocol.enqueue(
            self.cell, tasks, queues=self.known_types.queues, max_payload=self.settings.max_payload_bytes
        )
        wait_ms = min(self.settings.durability_wait_ms, self.settings.redis_timeout_ms * 4 // 5)
        return with_durability(call, durability or self.settings.durability, self._cell_keys, wait_ms=wait_ms)

    def _update(self, fields: Changes, keys: QueueKeys, ids: Sequence[str]) -> Call[dict[str, UpdateAnswer]]:
        return protocol.update(keys, ids, fields, max_payload=self.settings.max_payload_bytes)

    def _stats(self, queues: Sequence[str]) -> list[Call[list[QueueStats]]]:
        keys = [self._keys(queue) for queue in queues]
        return [protocol.stats(keys[at : at + 100]) for at in range(0, len(keys), 100)]
