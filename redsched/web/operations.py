"""``/v1/operations``: change all tasks that a search names, while others look on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.client import AsyncClient
from redsched.model.errors import InvalidTask
from redsched.model.vocabulary import ManyAction
from redsched.settings import Settings
from redsched.steps import operations
from redsched.web import bodies
from redsched.web.aside import Aside
from redsched.web.http import Endpoints, Json, parameters
from redsched.web.problems import Problem
from redsched.wire import changes

log = logging.getLogger("redsched.api")
MOST_AT_ONCE = 4  # operations of one process


class OperationBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"action": "reschedule", "search": "tag:m:1 type:remind", "by": "+2h", "dry_run": false}``."""

    action: str
    search: str
    dry_run: bool = True
    max: int = operations.MOST
    scan: bool = False
    reason: str | None = None
    due: int | str | None = None
    delay: str | None = None
    by: str | None = None
    priority: str | None = None
    add: list[str] | None = None
    remove: list[str] | None = None
    to: str | None = None


_BODY = msgspec.json.Decoder(OperationBody)
_ARGUMENTS = ("reason", "due", "delay", "by", "priority", "add", "remove", "to")


class OperationsApi(Endpoints):
    """``/v1/operations``. A dry run is the default: nothing changes unless the request says ``"dry_run": false``."""

    def __init__(self, settings: Settings, client: AsyncClient, aside: Aside) -> None:
        super().__init__(settings, client, aside)
        self._running: dict[str, asyncio.Task[Any]] = {}

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/operations", self.start, methods=["POST"]),
            Route("/v1/operations/{id}", self.show, methods=["GET"]),
            Route("/v1/operations/{id}", self.act, methods=["POST"]),
        ]

    async def start(self, request: Request) -> Response:
        """202 with the operation that now runs; 200 with what it would change, for a dry run."""
        parameters(request)
        body = bodies.decode(_BODY, await self._raw(request, bodies.SMALL_BODY))
        given = {name: value for name in _ARGUMENTS if (value := getattr(body, name)) is not None}
        action = cast(ManyAction, body.action)
        options: dict[str, Any] = {"most": body.max, "scan": body.scan, **given}
        if body.dry_run:
            return Json(await self._client.operate(action, body.search, dry_run=True, **options))
        if len(self._running) >= MOST_AT_ONCE:
            raise Problem("invalid_state", f"{MOST_AT_ONCE} operations run in this process; nothing was done")
        found = asyncio.Event()
        operation_id = changes.new_operation()
        last: list[operations.Operation] = []

        def told(now: operations.Operation) -> None:
            last[:] = [now]
            if now.state != "planned":
                found.set()

        steps = self._client.operate(action, body.search, id=operation_id, progress=told, **options)
        running = self._running[operation_id] = asyncio.create_task(steps)
        running.add_done_callback(lambda task: self._over(operation_id, task))
        waiting = asyncio.create_task(found.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        now = running.result() if running.done() else last[0]  # or raises what is wrong with it
        return Json(now, 202, {"location": f"/v1/operations/{operation_id}"})

    def _over(self, operation_id: str, task: asyncio.Task[Any]) -> None:
        self._running.pop(operation_id, None)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, InvalidTask):
            log.warning("operation.failed", extra={"operation": operation_id, "error": str(error)})

    async def show(self, request: Request) -> Response:
        """What it has done so far."""
        parameters(request)
        return Json(await self._known(request.path_params["id"]))

    async def act(self, request: Request) -> Response:
        """``POST /v1/operations/{id}:abort``: it stops after its present call."""
        operation_id, _, verb = request.path_params["id"].rpartition(":")
        if verb != "abort" or not operation_id:
            raise Problem("not_found", "an operation is acted on by :abort after its id; nothing was done")
        parameters(request)
        await self._known(operation_id)
        return Json({"id": operation_id, "status": await self._client.abort(operation_id)}, 202)

    async def _known(self, operation_id: str) -> operations.Operation:
        found = await self._client.operation(operation_id)
        if found is None:
            raise Problem("not_found", "there is no such operation, or it ended over a day ago")
        return found
