"""``Idempotency-Key``: a repeated request is answered as the first one was, and makes nothing new.

409 while the first one is under way, 422 where the key came with another body. Only answers of requests that did
something are kept; one that was refused may be corrected and sent again with the same key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from redsched.client import AsyncClient
from redsched.web.problems import Problem
from redsched.wire import idempotency

LONG = 65_536  # bytes whose digest is not made on the event loop
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def once(
    request: Request, client: AsyncClient, raw: bytes, act: Callable[[str | None], Awaitable[Response]]
) -> Response:
    """Run ``act`` (given the digest of the key, None without one), or answer what it answered the first time.

    Raises:
        Problem: bad_idempotency_key, idempotency_in_flight, idempotency_key_reused.
    """
    given = request.headers.get("idempotency-key")
    if given is None:
        return await act(None)
    if _KEY.fullmatch(given) is None:
        raise Problem("bad_idempotency_key", "it must be 1 to 255 printable ASCII characters; nothing was done")
    key = idempotency.digest(request.url.path.encode(), given.encode())
    if len(raw) > LONG:
        body = await asyncio.to_thread(idempotency.digest, request.scope["query_string"], raw)
    else:
        body = idempotency.digest(request.scope["query_string"], raw)
    found = await client.transport.send(idempotency.reserve(client.cell_keys, key, body))
    if found.word == "other":
        raise Problem("idempotency_key_reused", "this Idempotency-Key came with another body before; nothing was done")
    if found.word == "in flight":
        raise Problem(
            "idempotency_in_flight",
            "the first request with this Idempotency-Key is under way; nothing was done",
            headers={"retry-after": "1"},
        )
    if found.word == "done":
        headers = {"idempotent-replayed": "true", "content-type": "application/json"}
        return Response(found.body, found.status, headers | ({"location": found.location} if found.location else {}))
    ttl_ms = client.settings.idempotency_ttl_ms
    try:
        response = await act(key)
    except BaseException:
        await client.transport.send(idempotency.answer(client.cell_keys, key, body, status=None, ttl_ms=ttl_ms))
        raise
    await client.transport.send(
        idempotency.answer(
            client.cell_keys,
            key,
            body,
            status=response.status_code,
            location=response.headers.get("location", ""),
            text=bytes(response.body),
            ttl_ms=ttl_ms,
        )
    )
    return response
