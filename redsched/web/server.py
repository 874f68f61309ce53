"""The HTTP interface as a process: refuses an open address without a token, tells its port, stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from redsched.client import AsyncClient
from redsched.eventloop import loop_factory
from redsched.observe.connections import Limits
from redsched.observe.listen import Listener, bind
from redsched.observe.metrics import PrometheusObserver
from redsched.settings import Settings
from redsched.web.app import create_app
from redsched.web.auth import check_bind

log = logging.getLogger("redsched.api")

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(
    settings: Settings,
    client: AsyncClient | None = None,
    *,
    observer: PrometheusObserver | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve on ``api_host``:``api_port`` until SIGTERM, SIGINT or cancelled; port 0 takes a free one.

    Requests that were accepted are finished, for up to the shutdown grace; a second signal drops them. The URL is
    logged as ``api.listening`` and given to ``on_ready``. In a thread other than the main one signals are left alone.

    Raises:
        InvalidSetting: an address beyond loopback without a token, or a port that cannot be bound.
    """
    check_bind(settings)
    bound = bind(settings.api_host, settings.api_port, setting="api_port")

    def ready(url: str) -> None:
        log.info("api.listening", extra={"url": url})
        if on_ready is not None:
            on_ready(url)

    app = create_app(settings, client, observer)
    limits = Limits(
        connections=settings.api_max_connections,
        a_peer=settings.api_max_connections_a_peer,
        head_s=settings.api_head_timeout_ms / 1_000,
    )
    grace_ms = settings.shutdown_grace_ms
    listener = Listener(app, bound, grace_ms=grace_ms, lifespan="on", on_ready=ready, limits=limits)
    with _stopped_by_signals(listener):
        await listener.listen()
    log.info("api.stopped")


def run(settings: Settings) -> None:
    """``serve`` in an event loop of its own: uvloop's where it is installed.

    Raises:
        InvalidSetting: as ``serve``.
    """
    _share_interpreter()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(settings))


def _share_interpreter() -> None:
    """Let the threads that decode and compute hold up the event loop as little as can be.

    They hand the interpreter over after a millisecond. A large body costs few garbage collections, and none of them
    looks at what was loaded before.
    """
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@contextlib.contextmanager
def _stopped_by_signals(listener: Listener) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, listener.stop)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
