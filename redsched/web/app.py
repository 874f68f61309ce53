"""The Starlette application: routes, and the edge that every request passes.

The edge gives a request its id, judges who asks, turns every error into a problem and counts what was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redsched.client import AsyncClient
from redsched.model.errors import OutcomeUnknown, RedschedError, StoreError
from redsched.observe.metrics import PrometheusObserver
from redsched.settings import Settings
from redsched.web import bodies
from redsched.web.aside import Aside
from redsched.web.auth import Guard
from redsched.web.bulk import BulkEndpoint
from redsched.web.events import EventsApi
from redsched.web.health import Health
from redsched.web.operations import OperationsApi
from redsched.web.problems import UNEXPECTED, Problem, of_error
from redsched.web.queues import QueuesApi
from redsched.web.schedules import SchedulesApi
from redsched.web.search import SearchApi
from redsched.web.tasks import TasksApi
from redsched.web.types import TypesApi
from redsched.web.workflows import WorkflowsApi
from redsched.wire import scripts

log = logging.getLogger("redsched.api")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:@/+=-]{1,128}")
MOST_HEADERS = 100
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def create_app(
    settings: Settings, client: AsyncClient | None = None, observer: PrometheusObserver | None = None
) -> Starlette:
    """The HTTP interface as an ASGI application.

    Without a ``client`` it makes one and closes it at shutdown; one that is given stays the caller's.
    """
    used = AsyncClient(settings=settings, name="api") if client is None else client
    counted = PrometheusObserver() if observer is None else observer

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(scripts.library)  # takes a fraction of a second, which no request shall wait for
        try:
            yield
        finally:
            await operations.close()
            aside.close()
            if client is None:
                await used.close()

    async def on_error(request: Request, error: Exception) -> Response:
        if isinstance(error, StoreError | OutcomeUnknown):
            counted.redis_error(of_error(error).code)
        problem, request_id = _problem_of(request, error), request.scope["request_id"]
        if problem.status >= 500:
            log.warning("api.failed", extra={"code": problem.code, "error": str(error), "request_id": request_id})
        return problem.response(request_id)

    guard, aside = Guard(settings), Aside()
    operations = OperationsApi(settings, used, aside)
    parts = (
        TasksApi(settings, used, counted, aside),
        TypesApi(settings, used, aside),
        QueuesApi(settings, used, aside),
        SearchApi(settings, used, aside),
        operations,
        BulkEndpoint(settings, used),
        SchedulesApi(settings, used, aside),
        EventsApi(settings, used, aside),
        WorkflowsApi(settings, used, aside),
        Health(used, counted, guard),
    )
    app = Starlette(
        routes=[route for part in parts for route in part.routes()],
        middleware=[Middleware(Edge, guard=guard, observer=counted)],
        exception_handlers={Problem: on_error, RedschedError: on_error, HTTPException: on_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class Edge:
    """The first and last to see a request."""

    def __init__(self, app: ASGIApp, guard: Guard, observer: PrometheusObserver) -> None:
        self._app = app
        self._guard = guard
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"request-id")
        request_id = given if given is not None and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8).encode()
        scope["request_id"] = request_id.decode()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"request-id", request_id))
            await send(message)

        method: str = scope["method"]
        try:
            problem = self._guard.refuse(method, scope["path"], headers)
            if len(scope["headers"]) > MOST_HEADERS:
                detail = f"{MOST_HEADERS} headers are taken; nothing was done"
                problem = Problem("headers_too_large", detail, headers={"connection": "close"})
            if problem is None:
                await self._app(scope, receive, answer)
            else:
                await problem.response(scope["request_id"])(scope, receive, answer)
        except ClientDisconnect:
            status = 499  # as nginx counts it: nobody was there to be answered
        except Exception:
            facts = {"request_id": scope["request_id"], "method": method, "path": scope["path"]}
            log.exception("api.error", extra=facts)
            if status:
                raise  # half an answer went out: let the server cut the connection
            internal = Problem("internal", UNEXPECTED)
            await internal.response(scope["request_id"])(scope, receive, answer)
        finally:
            bodies.release(scope)
            route = scope.get("route")
            pattern = route.path if isinstance(route, Route) else "unmatched"
            self._observer.http(method if method in _METHODS else "OTHER", pattern, status, time.perf_counter() - began)


def _problem_of(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RedschedError):
        return of_error(error)
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = {
            method
            for route in request.app.routes
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
        listed = ", ".join(sorted(allowed))
        return Problem("method_not_allowed", f"the method is not one of {listed}", headers={"allow": listed})
    if error.status_code == 404:
        return Problem("not_found", "nothing is at this path")
    return Problem("internal", UNEXPECTED)
