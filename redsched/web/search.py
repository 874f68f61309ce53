"""The endpoints that look for tasks in all queues: ``/v1/search`` and ``/v1/subjects``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.model.errors import InvalidTask
from redsched.web.http import Endpoints, Json, limit_of, parameters
from redsched.web.problems import parameter_problem


class SearchApi(Endpoints):
    """``/v1/search`` and ``/v1/subjects``."""

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/search", self.search, methods=["GET"]),
            Route("/v1/subjects/{subject}", self.subject, methods=["GET"]),
        ]

    async def search(self, request: Request) -> Response:
        """One page of the tasks for which all words of ``q`` hold: ``?q=order-42 state:waiting``."""
        given = parameters(request, "q", "limit", "cursor", "scan")
        if given.get("scan", "false") not in ("true", "false"):
            raise parameter_problem("scan", "must be true or false")
        try:
            found = await self._client.search(
                given.get("q", ""),
                limit=limit_of(given, 50),
                cursor=given.get("cursor") or None,
                scan=given.get("scan") == "true",
            )
        except InvalidTask as error:
            raise _refused(error) from None
        return Json(found)

    async def subject(self, request: Request) -> Response:
        """All about a subject: its tasks in every state and queue, facts, lines, locks, schedules and events."""
        parameters(request)
        try:
            return Json(await self._client.subject(request.path_params["subject"]))
        except InvalidTask as error:
            raise _refused(error, "subject") from None


def _refused(error: InvalidTask, field: str = "q") -> Exception:
    if error.field == "cursor":
        return parameter_problem("cursor", error.problem, code="bad_cursor")
    problem = error.problem if error.field == "search" else f"{error.field}: {error.problem}"
    return parameter_problem(field, problem)
