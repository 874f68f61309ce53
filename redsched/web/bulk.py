"""``POST /v1/tasks:bulk``: revive, drop or cancel all tasks of a queue that a filter names, or only count them."""

from __future__ import annotations

from typing import cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.client import AsyncClient
from redsched.model.duration import span_of
from redsched.model.vocabulary import DEFAULT_QUEUE, Action
from redsched.settings import Settings
from redsched.steps.bulk import Filter
from redsched.web import bodies
from redsched.web.http import Json, naming, parameters
from redsched.web.idempotency import once

MOST = 1_000  # tasks one request acts on unless it says otherwise


class FilterBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which tasks; what is left out is not asked."""

    state: str = "dead"
    type: str | None = None
    reason: str | None = None
    older_than: int | str | None = None


class BulkBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"queue": "otp", "filter": {"reason": "attempts"}, "action": "revive", "dry_run": false}``."""

    action: str
    filter: FilterBody
    queue: str = DEFAULT_QUEUE
    dry_run: bool = True
    max: int = MOST


_BODY = msgspec.json.Decoder(BulkBody)


class BulkEndpoint:
    """The endpoint. A dry run is the default: nothing changes unless the request says ``"dry_run": false``."""

    def __init__(self, settings: Settings, client: AsyncClient) -> None:
        self._settings = settings
        self._client = client

    def routes(self) -> list[Route]:
        """The route."""
        return [Route("/v1/tasks:bulk", self.bulk, methods=["POST"])]

    @naming(most="max", where="filter")
    async def bulk(self, request: Request) -> Response:
        """200 with how many matched, how many were changed, and the ids of the first of them.

        A repeat with the same Idempotency-Key is told the same and changes nothing; where the first one broke off, it
        goes on with the rest.
        """
        parameters(request)
        bodies.media_type(request, bodies.JSON)
        raw = await bodies.read_body(request, bodies.SMALL_BODY, self._settings.max_body_bytes)
        body = bodies.decode(_BODY, raw)
        return await once(request, self._client, raw, lambda _: self._act(body))

    async def _act(self, body: BulkBody) -> Response:
        wanted = body.filter
        done = await self._client.bulk(
            cast(Action, body.action),
            queue=body.queue,
            where=Filter(
                state=wanted.state, type=wanted.type, reason=wanted.reason, older_than=span_of(wanted.older_than)
            ),
            dry_run=body.dry_run,
            most=body.max,
        )
        return Json(done)
