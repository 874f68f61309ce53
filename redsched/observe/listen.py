"""uvicorn as a coroutine: it takes no signals, exits no process, and stops in order when cancelled.

Also the small server of a worker's metrics. The port is bound before anything starts, so that a port in use
is an ``InvalidSetting`` and port 0 has a number that can be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Literal

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST

from redsched.eventloop import own_task
from redsched.model.errors import InvalidSetting
from redsched.observe import connections
from redsched.observe.access import Access, is_loopback
from redsched.observe.metrics import PrometheusObserver

log = logging.getLogger("redsched.observe")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Listener(uvicorn.Server):
    """One uvicorn server on one bound socket."""

    def __init__(
        self,
        application: Application,
        bound: socket.socket,
        *,
        grace_ms: int,
        lifespan: Literal["on", "off"],
        on_ready: Callable[[str], None],
        limits: connections.Limits = connections.USUAL,
    ) -> None:
        self.gate = connections.Gate(limits)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a line for each bad request would fill the log
        super().__init__(
            uvicorn.Config(
                application,
                http=connections.protocol(self.gate),
                ws="none",
                backlog=connections.BACKLOG,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan=lifespan,
                timeout_graceful_shutdown=max(1, grace_ms // 1_000),
            )
        )
        self._bound = bound
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever runs the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then tell the address."""
        await super().startup(sockets=sockets)
        self._on_ready(url_of(self._bound))

    def stop(self) -> None:
        """Accept nothing more and finish what was accepted; a second call drops it."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def listen(self) -> None:
        """Serve until ``stop``, or until cancelled, which stops it in order as well."""
        serving = own_task(self.serve(sockets=[self._bound]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.stop()
            await serving
            raise


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """A socket bound to ``host``; port 0 takes a free one.

    Raises:
        InvalidSetting: the port is in use, or the address is not of this machine; names ``setting``.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        taken = error.errno == errno.EADDRINUSE
        problem = f"port {port} of {host} is in use" if taken else f"{host}:{port}: {error.strerror}"
        raise InvalidSetting(setting, problem) from None
    return bound


def url_of(bound: socket.socket) -> str:
    """The http URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve_metrics(
    observer: PrometheusObserver,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None] | None = None,
    *,
    token: str = "",
) -> None:
    """Serve ``/metrics`` (and ``/livez``) of this process until cancelled; ``on_ready`` gets the URL.

    Raises:
        InvalidSetting: the port cannot be bound, or the address can be reached by other machines and there is no token.
    """
    if not token and not is_loopback(host):
        problem = f"{host!r} can be reached by other machines; set REDSCHED_METRICS_TOKEN, or listen on 127.0.0.1"
        raise InvalidSetting("metrics_host", problem)
    bound = bind(host, port, setting="metrics_port")
    access = Access([token], address=host, named="REDSCHED_METRICS_TOKEN")

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = access.refuse(scope["method"], scope["path"], dict(scope["headers"]))
        if refusal is not None:
            status, kind = 401 if refusal.code.endswith("_key") else 403, "text/plain; charset=utf-8"
            body = f"{refusal.code}: {refusal.detail}\n".encode()
        elif scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD"):
            status, kind, body = 200, CONTENT_TYPE_LATEST, await asyncio.to_thread(observer.render)
        elif scope["path"] == "/livez" and scope["method"] in ("GET", "HEAD"):
            status, kind, body = 200, "text/plain; charset=utf-8", b"ok\n"
        else:
            status, kind, body = 404, "text/plain; charset=utf-8", b"GET /metrics or /livez\n"
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def ready(url: str) -> None:
        log.info("metrics.listening", extra={"url": f"{url}/metrics"})
        if on_ready is not None:
            on_ready(url)

    await Listener(application, bound, grace_ms=1_000, lifespan="off", on_ready=ready).listen()
