"""Whether this process lives, whether it can serve, and its metrics. All answer in time though Redis hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.client import AsyncClient
from redsched.model.errors import RedschedError
from redsched.model.views import QueueStats
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.observe.metrics import MAX_QUEUES, PrometheusObserver, ServerState
from redsched.steps.bulk import clock
from redsched.steps.queues import some_queues
from redsched.web.auth import Guard
from redsched.web.problems import of_error

PING_S = 1.0  # how long Redis may take to answer a probe
STATS_S = 3.0  # how long it may take to tell the queues' sizes


class Check(msgspec.Struct, omit_defaults=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str = ""


class Readiness(msgspec.Struct, omit_defaults=True):
    """``ready`` or ``not_ready``; the checks that failed, and with ``?verbose`` all of them."""

    status: str
    checks: Sequence[Check] = ()


class Health:
    """The endpoints beside the API."""

    def __init__(self, client: AsyncClient, observer: PrometheusObserver, guard: Guard) -> None:
        self.client = client
        self.observer = observer
        self._guard = guard
        self._rendering = asyncio.Lock()  # one at a time: it takes the interpreter from the event loop

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/livez", self.livez, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def livez(self, request: Request) -> Response:
        """200 while this process serves, Redis or not."""
        return Response(b"ok\n", media_type="text/plain", headers={"cache-control": "no-store"})

    async def readyz(self, request: Request) -> Response:
        """200 where a task could be submitted now, else 503. Where there is a token, only who has it is told why."""
        checks = await self._checks()
        ready = all(check.ok for check in checks)
        shown = checks if "verbose" in request.query_params else [check for check in checks if not check.ok]
        if not self._guard.may_know(dict(request.scope["headers"])):
            shown = []
        return Response(
            msgspec.json.encode(Readiness("ready" if ready else "not_ready", tuple(shown))),
            200 if ready else 503,
            {"cache-control": "no-store"},
            "application/json",
        )

    async def metrics(self, request: Request) -> Response:
        """Prometheus's text; without the queues' sizes while Redis is away."""
        stats: list[QueueStats] | None = None
        server = ServerState(up=False)
        try:
            async with asyncio.timeout(STATS_S):
                server = await self._server()
                names = await self.client.converse("queues", some_queues(self.client.cell_keys, "", MAX_QUEUES))
                stats = await self.client.stats(names) if names else []
        except TimeoutError:
            self.observer.redis_error("timeout")
        except RedschedError as error:
            self.observer.redis_error(of_error(error).code)
        async with self._rendering:
            text = await asyncio.to_thread(self.observer.render, stats, server)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    async def _server(self) -> ServerState:
        """What Redis is like now. Its clock is compared with ours half-way through the round trip."""
        before = time.time()
        server_ms = await self.client.converse("metrics", clock())
        skew = server_ms / 1_000 - (before + time.time()) / 2
        server = await self.client.ping()
        return ServerState(
            up=True, used_memory=server.used_memory, maxmemory=server.maxmemory, clock_skew_s=round(skew, 3)
        )

    async def _checks(self) -> list[Check]:
        try:
            async with asyncio.timeout(PING_S):
                server = await self.client.ping()
                if server.build is None and server.role != "slave":
                    await self.client.stats([DEFAULT_QUEUE])  # loads the Lua, as any verb does
        except TimeoutError:
            return [Check("redis", False, f"no answer within {PING_S:.0f} s")]
        except RedschedError as error:
            return [Check("redis", False, of_error(error).code)]  # its text would tell addresses
        full = bool(server.maxmemory) and (server.used_memory or 0) >= (server.maxmemory or 0)
        return [
            Check("redis", True, f"{server.server} {server.version}".strip()),
            Check("role", server.role in ("master", ""), server.role or "not told"),
            Check("lua", True, "loaded"),
            Check("memory", not full, f"{server.used_memory} of {server.maxmemory or 'unlimited'} bytes are used"),
        ]
