"""The endpoints of queues: their figures, pauses and limits."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.model.duration import span_of
from redsched.model.errors import InvalidTask
from redsched.model.task_types import GivenDefaults
from redsched.model.views import QueueStats
from redsched.steps.queues import is_queue, some_queues
from redsched.web import bodies
from redsched.web.body_parts import RetryBody, policy_of
from redsched.web.http import (
    Endpoints,
    Json,
    limit_of,
    named_queue,
    parameters,
    queue_of,
)
from redsched.web.problems import Problem, parameter_problem
from redsched.wire.codec import is_name


class Items(msgspec.Struct):
    """One page of queues."""

    items: list[QueueStats]
    next_cursor: str | None = None


class PauseBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"type": "email.send", "reason": "provider down", "until": "..."}``; without type and key, the whole queue.
    ``force``: also a queue that nobody has seen."""

    type: str | None = None
    key: str | None = None
    reason: str = ""
    until: int | str | None = None
    force: bool = False


class PauseAllBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"reason": "database moves", "until": "..."}``; the reason must be given."""

    reason: str = ""
    until: int | str | None = None


class LimitBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"most_finished": 500000, "most_dead": "none"}``; null for the default."""

    most_finished: int | str | msgspec.UnsetType | None = msgspec.UNSET
    most_dead: int | str | msgspec.UnsetType | None = msgspec.UNSET


class DefaultsBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"max_attempts": 2, "retry": {"kind": "fixed", "delay": "5s"}, "retention": null}``; null takes one back."""

    max_attempts: int | msgspec.UnsetType | None = msgspec.UNSET
    retry: RetryBody | msgspec.UnsetType | None = msgspec.UNSET
    timeout: int | str | msgspec.UnsetType | None = msgspec.UNSET
    expires_in: int | str | msgspec.UnsetType | None = msgspec.UNSET
    retention: int | str | msgspec.UnsetType | None = msgspec.UNSET
    key: str | msgspec.UnsetType | None = msgspec.UNSET

    def given(self) -> GivenDefaults:
        """What the body says; raises ValueError."""
        found: dict[str, Any] = {name: value for name, value in msgspec.structs.asdict(self).items()}
        found = {name: value for name, value in found.items() if value is not msgspec.UNSET}
        for name in found.keys() & {"timeout", "expires_in", "retention"}:
            found[name] = span_of(found[name])
        if "retry" in found:
            found["retry"] = policy_of(found["retry"])
        return cast(GivenDefaults, found)


DEFAULTS = msgspec.json.Decoder(DefaultsBody)
LIMIT = msgspec.json.Decoder(LimitBody)
PAUSE = msgspec.json.Decoder(PauseBody)
PAUSE_ALL = msgspec.json.Decoder(PauseAllBody)


class QueuesApi(Endpoints):
    """``/v1/queues``."""

    def routes(self) -> list[Route]:
        """The routes, each method of a path apart."""
        return [
            Route("/v1/queues", self.queues, methods=["GET"]),
            Route("/v1/queues:pause", self.pause_all, methods=["POST"]),
            Route("/v1/queues:resume", self.resume_all, methods=["POST"]),
            Route("/v1/timeline", self.timeline, methods=["GET"]),
            Route("/v1/queues/{queue}", self.queue, methods=["GET"]),
            Route("/v1/queues/{queue}/paused", self.paused, methods=["GET"]),
            Route("/v1/queues/{queue}", self.act, methods=["POST"]),
            Route("/v1/queues/{queue}", self.limit, methods=["PATCH"]),
            Route("/v1/queues/{queue}/defaults", self.defaults, methods=["GET"]),
            Route("/v1/queues/{queue}/defaults", self.set_defaults, methods=["PATCH"]),
        ]

    async def queues(self, request: Request) -> Response:
        """Depths of the queues, in order of their names."""
        given = parameters(request, "limit", "cursor")
        limit, after = limit_of(given, 100), given.get("cursor", "")
        if after and not is_name(after):
            raise parameter_problem("cursor", "is not one that a page answered", code="bad_cursor")
        names = await self._client.converse("queues", some_queues(self._client.cell_keys, after, limit + 1))
        stats = await self._client.stats(names[:limit]) if names else []
        return Json(Items(stats, names[limit - 1] if len(names) > limit else None))

    async def queue(self, request: Request) -> Response:
        """Depths of one queue."""
        name = named_queue(request.path_params["queue"])
        parameters(request)
        if not await self._client.converse("queues", is_queue(self._client.cell_keys, name)):
            raise Problem("queue_not_found", f"no queue {name!r}")
        (stats,) = await self._client.stats([name])
        return Json(stats)

    async def timeline(self, request: Request) -> Response:
        """What queues did in the last hour, and what is due; of one queue or of all."""
        given = parameters(request, "queue", "past", "ahead", "step", "types")
        if given.get("types", "false") not in ("true", "false"):
            raise parameter_problem("types", "must be true or false")
        try:
            found = await self._client.timeline(
                queue_of(given) if "queue" in given else None,
                past=span_of(given.get("past", "1h")),
                ahead=span_of(given.get("ahead", "1h")),
                step=span_of(given.get("step", "5m")),
                types=given.get("types") == "true",
            )
        except InvalidTask as error:
            raise parameter_problem(error.field, error.problem) from None
        return Json(found)

    async def paused(self, request: Request) -> Response:
        """What is paused in a queue."""
        parameters(request)
        return Json({"items": await self._client.paused(named_queue(request.path_params["queue"]))})

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
        await self._client.pause(
            queue, type=body.type, key=body.key, reason=body.reason, until=body.until, force=body.force
        )
        return Json({"queue": queue, "status": "paused"})

    async def pause_all(self, request: Request) -> Response:
        """Every queue at once, also those that are not known yet."""
        parameters(request)
        body = await self._body(request, PAUSE_ALL) or PauseAllBody()
        await self._client.pause_all(reason=body.reason, until=body.until)
        return Json({"status": "paused"})

    async def resume_all(self, request: Request) -> Response:
        """Every queue that is not paused by itself."""
        parameters(request)
        await self._body(request, bodies.NOTHING)
        return Json({"status": "resumed" if await self._client.resume_all() else "active"})

    async def defaults(self, request: Request) -> Response:
        """What a queue gives to tasks that say nothing themselves and whose type says nothing."""
        parameters(request)
        return Json(await self._client.defaults(named_queue(request.path_params["queue"])))

    async def set_defaults(self, request: Request) -> Response:
        """Change some of it."""
        queue = named_queue(request.path_params["queue"])
        parameters(request)
        body = bodies.decode(DEFAULTS, await self._raw(request, bodies.SMALL_BODY))
        return Json(await self._client.defaults(queue, **body.given()))

    async def limit(self, request: Request) -> Response:
        """How many finished and dead tasks a queue keeps."""
        queue = named_queue(request.path_params["queue"])
        parameters(request)
        body = bodies.decode(LIMIT, await self._raw(request, bodies.SMALL_BODY))
        return Json(await self._client.limit(queue, **msgspec.to_builtins(body)))
