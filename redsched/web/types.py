"""The endpoints of the types of tasks: what workers have put of them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.web.http import Endpoints, Json, limit_of, parameters
from redsched.web.problems import Problem, parameter_problem
from redsched.wire.codec import is_name
from redsched.wire.task_types import MOST_SHOWN


class TypesApi(Endpoints):
    """``/v1/types``."""

    def routes(self) -> list[Route]:
        """The routes, each method of a path apart."""
        return [
            Route("/v1/types", self.list, methods=["GET"]),
            Route("/v1/types/{name}", self.show, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        """One page of types by name, without the schemas of their payloads."""
        given = parameters(request, "limit", "cursor")
        cursor = given.get("cursor")
        if cursor is not None and not is_name(cursor):
            raise parameter_problem("cursor", "is not one of ours", code="bad_cursor")
        return Json(await self._client.types(limit=min(limit_of(given, 100), MOST_SHOWN), cursor=cursor))

    async def show(self, request: Request) -> Response:
        """One type, with the JSON Schema of its payloads."""
        parameters(request)
        name = request.path_params["name"]
        found = await self._client.type(name) if is_name(name) else None
        if found is None:
            raise Problem("type_not_found", "no worker has put a type of this name")
        return Json(found)
