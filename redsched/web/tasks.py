"""The endpoints of tasks: each reads its request, calls one method of the client and writes JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.client import AsyncClient
from redsched.model.duration import span_of
from redsched.model.errors import InvalidState, InvalidTask, TaskConflict, TaskNotFound
from redsched.model.task import Task
from redsched.model.vocabulary import STATES, Listed
from redsched.observe.metrics import PrometheusObserver
from redsched.settings import Settings
from redsched.web import bodies
from redsched.web.aside import Aside
from redsched.web.batch import Batch
from redsched.web.http import (
    Endpoints,
    Json,
    durability_of,
    flag_of,
    limit_of,
    parameters,
    queue_if_named,
    queue_of,
    traceparent_of,
)
from redsched.web.idempotency import once
from redsched.web.problems import Problem, parameter_problem
from redsched.web.strict import ready
from redsched.wire.idempotency import identified

LISTED = frozenset((*STATES, "finished"))


class TasksApi(Endpoints):
    """``/v1/tasks``."""

    def __init__(self, settings: Settings, client: AsyncClient, observer: PrometheusObserver, aside: Aside) -> None:
        super().__init__(settings, client, aside)
        self._observer = observer
        self._actions = {
            "cancel": self.cancel,
            "reschedule": self.reschedule,
            "run": self.run,
            "revive": self.revive,
            "drop": self.drop,
            "confirm": self.confirm,
            "abandon": self.abandon,
        }

    def routes(self) -> list[Route]:
        """The routes, each method of a path apart."""
        return [
            Route("/v1/tasks", self.create, methods=["POST"]),
            Route("/v1/tasks", self.list, methods=["GET"]),
            Route("/v1/tasks:batch", self.create_batch, methods=["POST"]),
            Route("/v1/tasks/{id}", self.show, methods=["GET"]),
            Route("/v1/tasks/{id}", self.act, methods=["POST"]),
            Route("/v1/tasks/{id}/explain", self.explain, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """201 for a new task, 200 for a repeated one."""
        bodies.media_type(request, bodies.JSON)
        given = parameters(request, "durability", "strict")
        durability, strict = durability_of(given), flag_of(given, "strict")
        raw = await bodies.read_body(request, self._task_limit, self._settings.max_body_bytes)
        task = (await self._aside.decode(bodies.TASK, raw)).task(traceparent_of(request))
        await ready(self._client, self._aside, len(raw), [task], strict)
        return await once(request, self._client, raw, lambda key: self._create(task, len(raw), key, durability))

    async def _create(self, task: Task, size: int, key: str | None, durability: str | None) -> Response:
        if key is not None:
            task = identified(task, key, 0)
        try:
            tasks = await self._client.with_former_queues([task])
            call = await self._aside.run(size, self._client.enqueuing, tasks, durability)
            (answer,) = await self._client.transport.send(call)
        except InvalidTask as error:
            raise InvalidTask(error.field, error.problem, code=error.code) from None  # no batch, so no index
        if answer.status in ("conflict", "refused"):
            raise TaskConflict(answer.id, answer.queue)
        if answer.status != "created":
            return Json(answer)
        self._observer.enqueued(answer.queue, task.type, 1, "http")
        return Json(answer, 201, {"location": location(answer.id, answer.queue)})

    async def create_batch(self, request: Request) -> Response:
        """200 with a result for each task; ``?atomic=true`` writes nothing where one is invalid."""
        given = parameters(request, "atomic", "durability", "strict")
        durability, atomic, strict = durability_of(given), flag_of(given, "atomic"), flag_of(given, "strict")
        kind = bodies.media_type(request, bodies.JSON, bodies.NDJSON)
        raw = await bodies.read_body(request, self._settings.max_body_bytes, self._settings.max_body_bytes)
        read = bodies.decode_lines if kind == bodies.NDJSON else bodies.decode_array
        items = await self._aside.run(len(raw), read, raw, self._task_limit)

        async def write(key: str | None) -> Response:
            size = len(raw)
            batch = await self._aside.run(size, Batch, items, traceparent_of(request), self._settings, key)
            await batch.learn(self._client, self._aside, size, strict)
            answer = await batch.enqueue(self._client, self._aside, size, atomic=atomic, durability=durability)
            for (queue, type), created in batch.created.items():
                self._observer.enqueued(queue, type, created, "http")
            return Json(answer)

        return await once(request, self._client, raw, write)

    async def show(self, request: Request) -> Response:
        """One task; without ``queue`` it is looked for in all queues."""
        queue = queue_if_named(parameters(request, "queue"))
        return Json(await self._client.task(request.path_params["id"], queue=queue, stored=True))

    async def list(self, request: Request) -> Response:
        """One page of a queue's tasks in one state."""
        given = parameters(request, "queue", "state", "type", "limit", "cursor")
        state = given.get("state", "scheduled")
        if state not in LISTED:
            raise parameter_problem("state", f"must be one of {', '.join(sorted(LISTED))}")
        try:
            page = await self._client.list(
                queue_of(given),
                state=cast(Listed, state),
                type=given.get("type"),
                limit=limit_of(given, 50),
                cursor=given.get("cursor"),
            )
        except InvalidTask as error:
            code = "bad_cursor" if error.field == "cursor" else "bad_filter"
            raise parameter_problem(error.field, error.problem, code=code) from None
        return Json(page)

    async def explain(self, request: Request) -> Response:
        """Why a task has not run, in a sentence and as data."""
        queue = queue_if_named(parameters(request, "queue"))
        return Json(await self._client.explain(request.path_params["id"], queue=queue))

    async def act(self, request: Request) -> Response:
        """``POST /v1/tasks/{id}:{verb}``. Ids may hold colons: what follows the last one is the verb. Without ``queue``
        the task is looked for in all queues."""
        task_id, _, verb = request.path_params["id"].rpartition(":")
        action = self._actions.get(verb)
        if action is None or not task_id:
            verbs = ", ".join(f":{name}" for name in self._actions)
            raise Problem("not_found", f"a task is acted on by {verbs} after its id; nothing was done")
        queue = queue_if_named(parameters(request, "queue"))
        if queue is None:
            try:
                queue = await self._client.queue_of(task_id)
            except TaskNotFound as error:
                raise TaskNotFound(task_id, None, removed=error.removed) from None
        return await action(request, task_id, queue)

    async def cancel(self, request: Request, task_id: str, queue: str) -> Response:
        """200 when cancelled, 202 when a running task was asked to stop."""
        body = await self._body(request, bodies.CANCEL)
        reason = body.reason if body is not None else ""
        outcome = (await self._client.cancel(task_id, queue=queue, reason=reason))[task_id]
        _require(outcome, ("cancelled", "requested"), task_id, queue, "cancel")
        return Json(acted(task_id, queue, outcome), 202 if outcome == "requested" else 200)

    async def reschedule(self, request: Request, task_id: str, queue: str) -> Response:
        """Another due time for a task that has not started."""
        body = await self._body(request, bodies.WHEN)
        if body is None or (body.due is None) == (body.delay is None):
            raise Problem("validation_failed", "give either due or delay; nothing changed")
        outcome = (await self._client.reschedule(task_id, queue=queue, due=body.due, delay=span_of(body.delay)))[
            task_id
        ]
        _require(outcome, ("rescheduled",), task_id, queue, "reschedule")
        return Json(acted(task_id, queue, outcome))

    async def run(self, request: Request, task_id: str, queue: str) -> Response:
        """Make the task due now."""
        await self._body(request, bodies.NOTHING)
        outcome = (await self._client.reschedule(task_id, queue=queue, due=0))[task_id]
        _require(outcome, ("rescheduled",), task_id, queue, "run")
        return Json(acted(task_id, queue, outcome))

    async def revive(self, request: Request, task_id: str, queue: str) -> Response:
        """A dead task waits again, with its attempts given back."""
        body = await self._body(request, bodies.WHEN)
        due, delay = (None, None) if body is None else (body.due, span_of(body.delay))
        outcome = (await self._client.revive(task_id, queue=queue, due=due, delay=delay))[task_id]
        _require(outcome, ("revived",), task_id, queue, "revive")
        return Json(acted(task_id, queue, outcome))

    async def drop(self, request: Request, task_id: str, queue: str) -> Response:
        """A dead or finished task is forgotten."""
        await self._body(request, bodies.NOTHING)
        outcome = (await self._client.drop(task_id, queue=queue))[task_id]
        _require(outcome, ("dropped",), task_id, queue, "drop")
        return Json(acted(task_id, queue, outcome))

    async def confirm(self, request: Request, task_id: str, queue: str) -> Response:
        """A task that was submitted as held may run."""
        token = await self._token(request)
        return _confirmed((await self._client.confirm(task_id, token, queue=queue))[task_id], task_id, queue, "confirm")

    async def abandon(self, request: Request, task_id: str, queue: str) -> Response:
        """A task that was submitted as held never will."""
        token = await self._token(request)
        return _confirmed((await self._client.abandon(task_id, token, queue=queue))[task_id], task_id, queue, "abandon")

    async def _token(self, request: Request) -> str:
        body = await self._body(request, bodies.TOKEN)
        if body is None:
            raise Problem("validation_failed", "give its token; nothing changed")
        return body.token


def location(task_id: str, queue: str) -> str:
    """The path of a task, with its queue: another queue may have a task of the same id."""
    return f"/v1/tasks/{quote(task_id, safe=':@+')}?queue={quote(queue, safe='')}"


def acted(task_id: str, queue: str, outcome: str) -> dict[str, str]:
    """The answer of an action."""
    return {"id": task_id, "queue": queue, "status": outcome}


def _confirmed(outcome: str, task_id: str, queue: str, verb: str) -> Response:
    if outcome == "refused":
        raise Problem("invalid_state", "its token is another, or it does not wait for one; nothing changed")
    _require(outcome, ("confirmed", "abandoned", "requested"), task_id, queue, verb)
    return Json(acted(task_id, queue, outcome), 202 if outcome == "requested" else 200)


def _require(outcome: str, done: Iterable[str], task_id: str, queue: str, verb: str) -> None:
    if outcome == "missing":
        raise TaskNotFound(task_id, queue)
    if outcome == "expires":
        problem = f"cannot {verb} task {task_id!r} in queue {queue!r}: its start-by lies before that time"
        raise Problem("would_expire", f"{problem}; nothing changed")
    if outcome not in done:
        raise InvalidState(task_id, queue, outcome, verb)
