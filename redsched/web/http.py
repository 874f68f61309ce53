"""What the endpoints share: reading a request's parameters and body, and writing JSON."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from redsched.client import AsyncClient
from redsched.model import trace
from redsched.model.duration import is_digits
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.settings import Settings
from redsched.web import bodies
from redsched.web.aside import Aside
from redsched.web.problems import parameter_problem
from redsched.wire.codec import is_name
from redsched.wire.durability import is_durability

MAX_PAGE = 1_000

Api = TypeVar("Api")


class Json(Response):
    """A value as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The value as JSON, encoded by msgspec."""
        return msgspec.json.encode(content)


def naming(
    **names: str,
) -> Callable[[Callable[[Api, Request], Awaitable[Response]]], Callable[[Api, Request], Awaitable[Response]]]:
    """Of an endpoint: errors name a field as the request has it, where the client's argument has another name.
    ``names``: the first step of a field's path, and what it is in the request."""

    def decorate(endpoint: Callable[[Api, Request], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        @functools.wraps(endpoint)
        async def named(self: Api, request: Request) -> Response:
            try:
                return await endpoint(self, request)
            except InvalidTask as error:
                step, dot, rest = error.field.partition(".")
                if step not in names:
                    raise
                field = names[step] + dot + rest
                raise InvalidTask(field, error.problem, index=error.index, code=error.code) from None

        return named

    return decorate


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The query's parameters.

    Raises:
        Problem: bad_filter; one that is not known, or given twice.
    """
    if not request.scope["query_string"]:
        return {}
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            choice = f"; known are {', '.join(known)}" if known else ""
            raise parameter_problem(name[:100], f"is not a parameter of this resource{choice}")
        if name in given:
            raise parameter_problem(name, "is given twice")
        given[name] = value
    return given


def limit_of(given: dict[str, str], default: int) -> int:
    """``limit``.

    Raises:
        Problem: bad_filter.
    """
    text = given.get("limit", str(default))
    if not (is_digits(text) and len(text) <= 4 and 1 <= int(text) <= MAX_PAGE):
        raise parameter_problem("limit", f"must be a whole number of 1..{MAX_PAGE}")
    return int(text)


def queue_of(given: dict[str, str]) -> str:
    """``queue``.

    Raises:
        Problem: bad_filter.
    """
    return named_queue(given.get("queue", DEFAULT_QUEUE))


def queue_if_named(given: dict[str, str]) -> str | None:
    """``queue`` of a task that is looked for in all queues without it.

    Raises:
        Problem: bad_filter.
    """
    return named_queue(given["queue"]) if "queue" in given else None


def named_queue(name: str) -> str:
    """The name of a queue, from the query or the path.

    Raises:
        Problem: bad_filter.
    """
    if not is_name(name):
        problem = f"{kind_and_length(name)} is no name: 1 to 100 of [A-Za-z0-9._@+-], the first a letter or digit"
        raise parameter_problem("queue", problem)
    return name


def flag_of(given: dict[str, str], name: str) -> bool:
    """A parameter that is ``true`` or ``false``, which it is where it is not given.

    Raises:
        Problem: bad_filter.
    """
    if given.get(name, "false") not in ("true", "false"):
        raise parameter_problem(name, "must be true or false")
    return given.get(name) == "true"


def durability_of(given: dict[str, str]) -> str | None:
    """``durability``.

    Raises:
        Problem: bad_filter.
    """
    asked = given.get("durability")
    if asked is not None and not is_durability(asked):
        raise parameter_problem("durability", "must be memory, fsync or replicas:n (n of 1..99)")
    return asked


def traceparent_of(request: Request) -> str | None:
    """The request's own trace, where it is valid."""
    given = request.headers.get("traceparent")
    return given if trace.valid(given) else None


class Endpoints:
    """What the endpoints of one concept have: the settings, the client, and the threads beside the event loop."""

    def __init__(self, settings: Settings, client: AsyncClient, aside: Aside) -> None:
        self._settings = settings
        self._client = client
        self._aside = aside
        self._task_limit = settings.max_payload_bytes + bodies.SMALL_BODY

    async def _body(self, request: Request, decoder: msgspec.json.Decoder[bodies.T]) -> bodies.T | None:
        return await bodies.read_optional(request, decoder, bodies.SMALL_BODY, self._settings.max_body_bytes)

    async def _raw(self, request: Request, most: int) -> bytes:
        bodies.media_type(request, bodies.JSON)
        return await bodies.read_body(request, most, self._settings.max_body_bytes)
