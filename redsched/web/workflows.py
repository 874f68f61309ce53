"""The endpoints of workflows. The body of ``POST /v1/workflows`` may be long: then it is read a task at a time, and no
further than it may be long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.model.errors import InvalidTask
from redsched.model.task import Task
from redsched.steps import workflows
from redsched.steps.workflows import MOST_TASKS
from redsched.web import bodies
from redsched.web.http import (
    Endpoints,
    Json,
    flag_of,
    limit_of,
    parameters,
    queue_if_named,
    traceparent_of,
)
from redsched.web.idempotency import once
from redsched.web.pieces import Pieces, TooLong
from redsched.web.problems import Problem
from redsched.web.strict import ready
from redsched.web.task_body import TaskBody
from redsched.wire.idempotency import identified


class WorkflowBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"chain": [tasks]}``, or ``{"group": [tasks], "then": task}``."""

    chain: list[TaskBody] | None = None
    group: list[TaskBody] | None = None
    then: TaskBody | None = None
    on: Literal["success", "failure", "either"] = "success"
    otherwise: Literal["cancel", "skip", "run", "wait"] = "cancel"


DECODER = msgspec.json.Decoder(WorkflowBody)


def decode(raw: bytes, longest: int) -> WorkflowBody:
    """The body, whose tasks have at most ``longest`` bytes each.

    Raises:
        Problem: malformed_json, unknown_field, validation_failed, batch_too_large or payload_too_large.
    """
    if len(raw) <= bodies.SMALL_BODY:
        return bodies.decode(DECODER, raw)
    reader, texts = Pieces(raw, longest), dict[bytes, bytes]()
    lists: dict[str, list[TaskBody]] = {}
    at = ""
    try:
        reader.take(b"{", "at the beginning")
        while reader.next() != b"}":
            if texts:
                reader.take(b",", f"or '}}' after {at}")
            name = reader.value("a name")
            at = str(msgspec.json.decode(name))[:100]
            reader.take(b":", f"after {at}")
            if name in texts:
                raise Problem("malformed_json", f"the name {at!r} is twice in one object; nothing was written")
            if at in ("chain", "group") and reader.next() == b"[":
                lists[at], texts[name] = _members(reader, at), b"[]"
            else:
                texts[name] = reader.value(at)
        reader.take(b"}", "at the end")
    except TooLong:
        detail = f"{at}: a value is longer than {longest} bytes; nothing was written"
        raise Problem("payload_too_large", detail) from None
    reader.end()
    body = bodies.decode(DECODER, b"{" + b",".join(name + b":" + text for name, text in texts.items()) + b"}")
    return msgspec.structs.replace(body, **lists)


def _members(reader: Pieces, name: str) -> list[TaskBody]:
    found: list[TaskBody] = []
    for part in reader.items(name):
        if len(found) == MOST_TASKS:
            detail = f"{name} has more than {MOST_TASKS} tasks; nothing was written"
            raise Problem("batch_too_large", detail)
        try:
            found.append(bodies.decode(bodies.TASK, part))
        except Problem as problem:
            where = f"/{name}/{len(found)}"
            errors = [msgspec.structs.replace(one, pointer=where + (one.pointer or "")) for one in problem.errors]
            raise Problem(problem.code, f"{name}[{len(found)}]: {problem.detail}", errors=errors) from None
    return found


def tasks_of(given: Sequence[TaskBody], traceparent: str | None, key: str | None) -> list[Task]:
    """The tasks, with ids made from the idempotency key if there is one."""
    made = [one.task(traceparent) for one in given]
    return made if key is None else [identified(task, key, at) for at, task in enumerate(made)]


def _placed(error: InvalidTask, body: WorkflowBody) -> InvalidTask:
    """The error of a task, by where that is in the body."""
    name, given = "group" if body.chain is None else "chain", body.chain or body.group or []
    if error.index is None:
        field = name if error.field == "tasks" else error.field
    else:
        field = f"{name}[{error.index}]" if error.index < len(given) else "then"
        field += f".{error.field}" if error.field else ""
    return InvalidTask(field, error.problem, code=error.code)


class WorkflowsApi(Endpoints):
    """``/v1/workflows``, and what comes before and after one task."""

    def routes(self) -> list[Route]:
        """The routes, each method of a path apart."""
        return [
            Route("/v1/workflows", self.workflow, methods=["POST"]),
            Route("/v1/workflows/{id}", self.act, methods=["POST"]),
            Route("/v1/tasks/{id}/tree", self.tree, methods=["GET"]),
            Route("/v1/tasks/{id}/parents", self.parents, methods=["GET"]),
        ]

    async def workflow(self, request: Request) -> Response:
        """201 with an answer for each task, the joining one last."""
        raw = await self._raw(request, self._settings.max_body_bytes)
        strict = flag_of(parameters(request, "strict"), "strict")
        body = await self._aside.run(len(raw), decode, raw, self._task_limit)
        if (body.chain is None) == (body.group is None) or (body.group is None) != (body.then is None):
            raise Problem("validation_failed", "give chain, or group and then; nothing was written")
        given = [*(body.chain or body.group or []), *([body.then] if body.then is not None else [])]

        async def act(key: str | None) -> Response:
            try:
                return await make(key)
            except InvalidTask as error:
                raise _placed(error, body) from None

        async def make(key: str | None) -> Response:
            trace, client = traceparent_of(request), self._client
            tasks = await self._aside.run(len(raw), tasks_of, given, trace, key)
            await ready(client, self._aside, len(raw), tasks, strict)
            tasks = client.known_types.placed(await client.with_former_queues(tasks))
            if body.chain is not None:
                steps = workflows.chain(client.cell, client.enqueuing, tasks, body.otherwise)
            else:
                made = tasks[:-1], tasks[-1], body.on, body.otherwise
                steps = workflows.group(client.cell, client.enqueuing, *made)
            return Json(await self._aside.talk(len(raw), client, steps), 201)

        return await once(request, self._client, raw, act)

    async def act(self, request: Request) -> Response:
        """``POST /v1/workflows/{id}:cancel``, by the id of any of its tasks: how many were cancelled;
        202 where some run and were asked to stop."""
        task_id, _, verb = request.path_params["id"].rpartition(":")
        if verb != "cancel" or not task_id:
            raise Problem(
                "not_found", "a workflow is acted on by :cancel after the id of a task of it; nothing was done"
            )
        queue = queue_if_named(parameters(request, "queue"))
        body = await self._body(request, bodies.CANCEL)
        reason = body.reason if body is not None else ""
        done = await self._client.cancel_workflow(task_id, queue=queue, reason=reason)
        return Json(done, 202 if done.requested else 200)

    async def tree(self, request: Request) -> Response:
        """A task and those that come after it."""
        given = parameters(request, "queue", "limit")
        queue, limit = queue_if_named(given), limit_of(given, 200)
        return Json(await self._client.tree(request.path_params["id"], queue=queue, limit=limit))

    async def parents(self, request: Request) -> Response:
        """The tasks that it comes after, with their results."""
        queue = queue_if_named(parameters(request, "queue"))
        return Json({"items": await self._client.parents(request.path_params["id"], queue=queue, stored=True)})
