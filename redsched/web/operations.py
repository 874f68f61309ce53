"""``/v1/operations``: change all tasks that a search names, while others look on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.client import AsyncClient
from redsched.model.vocabulary import MOST_OPERATED, OPERATION_GOES_ON, OPERATION_IS_OVER, ManyAction
from redsched.settings import Settings
from redsched.steps.operation_record import Operation
from redsched.web import bodies
from redsched.web.aside import Aside
from redsched.web.http import Endpoints, Json, limit_of, naming, parameters
from redsched.web.problems import Problem
from redsched.wire import changes

log = logging.getLogger("redsched.api")
MOST_AT_ONCE = 4  # operations of one process
STOP_S = 10.0  # how long the end of the process waits for the present calls of its operations


class OperationBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"action": "reschedule", "search": "tag:m:1 type:remind", "by": "+2h", "dry_run": false}``.

    ``id``: the caller's own; the same request with it again is the same operation."""

    action: str
    search: str
    id: str | None = None
    dry_run: bool = True
    max: int = MOST_OPERATED
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


class Operations(msgspec.Struct):
    """The last operations."""

    items: list[Operation]


class OperationsApi(Endpoints):
    """``/v1/operations``. A dry run is the default: nothing changes unless the request says ``"dry_run": false``."""

    def __init__(self, settings: Settings, client: AsyncClient, aside: Aside) -> None:
        super().__init__(settings, client, aside)
        self._running: dict[asyncio.Task[Operation], str] = {}  # with their ids
        self._is_ending = False

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/operations", self.listed, methods=["GET"]),
            Route("/v1/operations", self.start, methods=["POST"]),
            Route("/v1/operations/{id}", self.show, methods=["GET"]),
            Route("/v1/operations/{id}", self.act, methods=["POST"]),
        ]

    async def close(self) -> None:
        """Have the operations of this process stop after their present calls; their records say ``stopped``."""
        self._is_ending = True
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_S)
        for running in list(self._running):
            running.cancel()

    @naming(most="max", operation="id")
    async def start(self, request: Request) -> Response:
        """202 with the operation, which goes on after the answer; 200 with what it would change, for a dry run, and
        with what it has changed, for a repeat of one that is over."""
        parameters(request)
        body = bodies.decode(_BODY, await self._raw(request, bodies.SMALL_BODY))
        given = {name: value for name in _ARGUMENTS if (value := getattr(body, name)) is not None}
        action = cast(ManyAction, body.action)
        options: dict[str, Any] = {"most": body.max, "scan": body.scan, **given}
        if body.dry_run:
            return Json(await self._client.operate(action, body.search, dry_run=True, **options))
        operation_id = body.id if body.id is not None else changes.new_operation()
        await self._check_room(operation_id)
        begun: asyncio.Future[Operation] = asyncio.get_running_loop().create_future()

        def told(now: Operation) -> Literal["stopped"] | None:
            if not begun.done():
                begun.set_result(now)
            return "stopped" if self._is_ending else None

        steps = self._client.operate(action, body.search, id=operation_id, progress=told, **options)
        running = asyncio.create_task(steps)
        self._running[running] = operation_id
        running.add_done_callback(lambda task: self._over(task, begun))
        await asyncio.wait({running, begun}, return_when=asyncio.FIRST_COMPLETED)
        now = begun.result() if begun.done() else running.result()  # or raises what is wrong with the request
        status = 200 if now.state in OPERATION_IS_OVER else 202
        return Json(now, status, {"location": f"/v1/operations/{now.id}"})

    async def _check_room(self, operation_id: str) -> None:
        """Whether this process may carry out one more, where the request does not only repeat one.

        Raises:
            Problem: invalid_state.
        """
        if len({operation_id, *self._running.values()}) <= MOST_AT_ONCE:
            return
        known = await self._client.operation(operation_id)
        if known is None or known.state not in (*OPERATION_GOES_ON, *OPERATION_IS_OVER):
            raise Problem("invalid_state", f"{MOST_AT_ONCE} operations run in this process; nothing was done")

    def _over(self, task: asyncio.Task[Operation], begun: asyncio.Future[Operation]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None and begun.done():
            log.warning("operation.failed", extra={"operation": begun.result().id, "error": str(error)})

    async def listed(self, request: Request) -> Response:
        """The last operations, the newest first."""
        given = parameters(request, "limit")
        return Json(Operations(await self._client.operations(limit=limit_of(given, 20))))

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

    async def _known(self, operation_id: str) -> Operation:
        found = await self._client.operation(operation_id)
        if found is None:
            raise Problem("not_found", "there is no such operation, or it ended over a day ago")
        return found
