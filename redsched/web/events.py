"""The endpoints of events, rules, pauses and workflows, and what is told of one task: each calls one method of the
client."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.client import AsyncClient
from redsched.model.rule import Rule
from redsched.settings import Settings
from redsched.steps import workflow
from redsched.web import bodies, workflows
from redsched.web.api import Json, limit_of, named_queue, parameters, queue_of, traceparent_of
from redsched.web.aside import Aside
from redsched.web.idempotency import once
from redsched.web.problems import Problem


class EventBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"event": "payment.captured", "subject": "order-42", "data": {...}, "ttl": "1d", "id": "evt-7"}``."""

    event: str
    subject: str = ""
    data: msgspec.Raw = None  # type: ignore[assignment]
    ttl: int | str | None = None
    id: str | None = None


class PauseBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"type": "email.send", "reason": "provider down", "until": "..."}``; without type and key, the whole queue."""

    type: str | None = None
    key: str | None = None
    reason: str = ""
    until: int | str | None = None


class LimitBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"most_finished": 500000, "most_dead": "none"}``; null for the default."""

    most_finished: int | str | msgspec.UnsetType | None = msgspec.UNSET
    most_dead: int | str | msgspec.UnsetType | None = msgspec.UNSET


class RuleBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule; its id is in the path."""

    on: str
    task: bodies.TemplateBody
    delay: int | str | None = None
    task_id: str | None = None
    bind: dict[str, str] | None = None


EVENT = msgspec.json.Decoder(EventBody)
LIMIT = msgspec.json.Decoder(LimitBody)
PAUSE = msgspec.json.Decoder(PauseBody)
RULE = msgspec.json.Decoder(RuleBody)


class EventsApi:
    """What the endpoints share."""

    def __init__(self, settings: Settings, client: AsyncClient, aside: Aside) -> None:
        self._settings = settings
        self._client = client
        self._aside = aside

    def routes(self) -> list[Route]:
        """The routes, each method of a path apart."""
        return [
            Route("/v1/events", self.emit, methods=["POST"]),
            Route("/v1/rules", self.rules, methods=["GET"]),
            Route("/v1/rules/{id}", self.rule, methods=["GET"]),
            Route("/v1/rules/{id}", self.put_rule, methods=["PUT"]),
            Route("/v1/rules/{id}", self.drop_rule, methods=["DELETE"]),
            Route("/v1/workflows", self.workflow, methods=["POST"]),
            Route("/v1/tasks/{id}/explain", self.explain, methods=["GET"]),
            Route("/v1/tasks/{id}/tree", self.tree, methods=["GET"]),
            Route("/v1/tasks/{id}/parents", self.parents, methods=["GET"]),
            Route("/v1/queues/{queue}/paused", self.paused, methods=["GET"]),
            Route("/v1/queues/{queue}", self.act, methods=["POST"]),
            Route("/v1/queues/{queue}", self.limit, methods=["PATCH"]),
        ]

    async def _raw(self, request: Request, most: int) -> bytes:
        bodies.media_type(request, bodies.JSON)
        return await bodies.read_body(request, most, self._settings.max_body_bytes)

    async def emit(self, request: Request) -> Response:
        """200: the event is recorded, and what hangs on it is decided."""
        raw = await self._raw(request, 2 * bodies.SMALL_BODY)
        parameters(request)
        body = await self._aside.decode(EVENT, raw)

        async def act(key: str | None) -> Response:
            event_id = body.id if key is None else body.id or key[:32]
            return Json(await self._client.emit(body.event, body.subject, body.data, ttl=body.ttl, id=event_id))

        return await once(request, self._client, raw, act)

    async def rules(self, request: Request) -> Response:
        """One page of the rules."""
        given = parameters(request, "limit", "cursor")
        limit = limit_of(given, 100)
        return Json(await self._client.rules(limit=limit, cursor=given.get("cursor"), stored=True))

    async def rule(self, request: Request) -> Response:
        """One rule."""
        parameters(request)
        found = await self._client.rule(request.path_params["id"], stored=True)
        if found is None:
            raise _no_rule(request.path_params["id"])
        return Json(found)

    async def put_rule(self, request: Request) -> Response:
        """201 for a new rule, 200 for one that was there."""
        raw = await self._raw(request, self._settings.max_payload_bytes + bodies.SMALL_BODY)
        body = await self._aside.decode(RULE, raw)
        parameters(request)
        rule = Rule(id=request.path_params["id"], **msgspec.structs.asdict(body))
        word = await self._client.put_rule(rule)
        headers = {"location": f"/v1/rules/{quote(rule.id, safe='@+')}"}
        return Json({"id": rule.id, "status": word}, 201 if word == "created" else 200, headers)

    async def drop_rule(self, request: Request) -> Response:
        """204; the tasks that it made stay."""
        parameters(request)
        if not await self._client.drop_rule(request.path_params["id"]):
            raise _no_rule(request.path_params["id"])
        return Response(status_code=204)

    async def workflow(self, request: Request) -> Response:
        """201 with an answer for each task, the joining one last."""
        raw = await self._raw(request, self._settings.max_body_bytes)
        parameters(request)
        longest = self._settings.max_payload_bytes + bodies.SMALL_BODY
        body = await self._aside.run(len(raw), workflows.decode, raw, longest)
        if (body.chain is None) == (body.group is None) or (body.group is None) != (body.then is None):
            raise Problem("validation_failed", "give chain, or group and then; nothing was written")
        given = [*(body.chain or body.group or []), *([body.then] if body.then is not None else [])]

        async def act(key: str | None) -> Response:
            trace, client = traceparent_of(request), self._client
            tasks = await self._aside.run(len(raw), workflows.tasks, given, trace, key)
            if body.chain is not None:
                steps = workflow.chain(client.cell, client.enqueuing, tasks, body.otherwise)
            else:
                made = tasks[:-1], tasks[-1], body.on, body.otherwise
                steps = workflow.group(client.cell, client.enqueuing, *made)
            return Json(await self._aside.talk(len(raw), client, steps), 201)

        return await once(request, self._client, raw, act)

    async def explain(self, request: Request) -> Response:
        """Why a task has not run, in a sentence and as data."""
        queue = queue_of(parameters(request, "queue"))
        return Json(await self._client.explain(request.path_params["id"], queue=queue))

    async def tree(self, request: Request) -> Response:
        """A task and those that come after it."""
        given = parameters(request, "queue", "limit")
        queue, limit = queue_of(given), limit_of(given, 200)
        return Json(await self._client.tree(request.path_params["id"], queue=queue, limit=limit))

    async def parents(self, request: Request) -> Response:
        """The tasks that it comes after, with their results."""
        queue = queue_of(parameters(request, "queue"))
        return Json({"items": await self._client.parents(request.path_params["id"], queue=queue, stored=True)})

    async def paused(self, request: Request) -> Response:
        """What is paused in a queue."""
        parameters(request)
        return Json({"items": await self._client.paused(named_queue(request.path_params["queue"]))})

    async def limit(self, request: Request) -> Response:
        """How many finished and dead tasks a queue keeps."""
        queue = named_queue(request.path_params["queue"])
        parameters(request)
        body = bodies.decode(LIMIT, await self._raw(request, bodies.SMALL_BODY))
        return Json(await self._client.limit(queue, **msgspec.to_builtins(body)))

    async def act(self, request: Request) -> Response:
        """``POST /v1/queues/{queue}:pause`` and ``:resume``."""
        queue, _, verb = request.path_params["queue"].rpartition(":")
        if verb not in ("pause", "resume") or not queue:
            raise Problem("not_found", "a queue is acted on by :pause, :resume after its name; nothing was done")
        named_queue(queue)
        parameters(request)
        most, drain = bodies.SMALL_BODY, self._settings.max_body_bytes
        body = await bodies.read_optional(request, PAUSE, most, drain) or PauseBody()
        if verb == "resume":
            resumed = await self._client.resume(queue, type=body.type, key=body.key)
            return Json({"queue": queue, "status": "resumed" if resumed else "active"})
        await self._client.pause(queue, type=body.type, key=body.key, reason=body.reason, until=body.until)
        return Json({"queue": queue, "status": "paused"})


def _no_rule(rule_id: str) -> Problem:
    return Problem("rule_not_found", f"no rule {rule_id!r}")
