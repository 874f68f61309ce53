"""The endpoints of events and of the rules that follow them."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.model.duration import span_of
from redsched.model.events import Rule
from redsched.web import bodies
from redsched.web.http import Endpoints, Json, flag_of, limit_of, parameters
from redsched.web.idempotency import once
from redsched.web.problems import Problem
from redsched.web.strict import rule_ready


class EventBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"event": "payment.captured", "subject": "order-42", "data": {...}, "ttl": "1d", "id": "evt-7"}``."""

    event: str
    subject: str = ""
    data: msgspec.Raw = None  # type: ignore[assignment]
    ttl: int | str | None = None
    id: str | None = None


class RuleBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule; its id is in the path."""

    on: str
    task: bodies.TemplateBody
    delay: int | str | None = None
    task_id: str | None = None
    bind: dict[str, str] | None = None


EVENT = msgspec.json.Decoder(EventBody)
RULE = msgspec.json.Decoder(RuleBody)


class EventsApi(Endpoints):
    """``/v1/events`` and ``/v1/rules``."""

    def routes(self) -> list[Route]:
        """The routes, each method of a path apart."""
        return [
            Route("/v1/events", self.emit, methods=["POST"]),
            Route("/v1/rules", self.rules, methods=["GET"]),
            Route("/v1/rules/{id}", self.rule, methods=["GET"]),
            Route("/v1/rules/{id}", self.put_rule, methods=["PUT"]),
            Route("/v1/rules/{id}", self.drop_rule, methods=["DELETE"]),
        ]

    async def emit(self, request: Request) -> Response:
        """200: the event is recorded, and what hangs on it is decided."""
        raw = await self._raw(request, 2 * bodies.SMALL_BODY)
        parameters(request)
        body = await self._aside.decode(EVENT, raw)

        async def act(key: str | None) -> Response:
            event_id = body.id if key is None else body.id or key[:32]
            return Json(
                await self._client.emit(body.event, body.subject, body.data, ttl=span_of(body.ttl), id=event_id)
            )

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
        raw = await self._raw(request, self._task_limit)
        body = await self._aside.decode(RULE, raw)
        strict = flag_of(parameters(request, "strict"), "strict")
        rule = Rule(id=request.path_params["id"], **msgspec.structs.asdict(body))
        if strict:
            await rule_ready(self._client, self._aside, len(raw), rule)
        word = await self._client.put_rule(rule)
        headers = {"location": f"/v1/rules/{quote(rule.id, safe='@+')}"}
        return Json({"id": rule.id, "status": word}, 201 if word == "created" else 200, headers)

    async def drop_rule(self, request: Request) -> Response:
        """Remove a rule: answers 204. The tasks that it made stay."""
        parameters(request)
        if not await self._client.drop_rule(request.path_params["id"]):
            raise _no_rule(request.path_params["id"])
        return Response(status_code=204)


def _no_rule(rule_id: str) -> Problem:
    return Problem("rule_not_found", f"no rule {rule_id!r}")
