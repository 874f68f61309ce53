"""One worker or mover as a process: its event loop, its signals, and its metrics beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from redsched.eventloop import loop_factory
from redsched.observe.listen import serve_metrics
from redsched.observe.metrics import PrometheusObserver
from redsched.settings import Settings


class Stoppable(Protocol):
    """A worker or a mover."""

    async def run(self) -> int | None:
        """Until stopped; an exit code, None for 0."""

    def stop(self) -> None:
        """Gracefully; a second call at once."""


def run(settings: Settings, observer: PrometheusObserver, build: Callable[[], Stoppable]) -> None:
    """Run a worker or mover to its end; SystemExit with its exit code when that is not 0.

    A handler that ignores its end would keep the process for ever, so the process ends without it.
    """
    stragglers = 0

    async def until_stopped() -> int:
        nonlocal stragglers
        async with _metrics(settings, observer):
            runs = build()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, runs.stop)
            code = await runs.run() or 0
            stragglers = getattr(runs, "stragglers", 0)
            return code

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        code = runner.run(until_stopped())
        if stragglers:  # leaving this block would wait for them
            logging.getLogger("redsched.worker").warning("worker.abandoned", extra={"runs": stragglers})
            logging.shutdown()
            os._exit(code)
    if code:
        raise SystemExit(code)


@asynccontextmanager
async def _metrics(settings: Settings, observer: PrometheusObserver) -> AsyncIterator[None]:
    """Serve the metrics meanwhile, where a port is given; a port in use is told before anything runs."""
    if not settings.metrics_port:
        yield
        return
    ready = asyncio.Event()
    serving = asyncio.create_task(
        serve_metrics(observer, host=settings.metrics_host, port=settings.metrics_port, on_ready=lambda _: ready.set())
    )
    started = asyncio.create_task(ready.wait())
    await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        started.cancel()
        serving.result()
    try:
        yield
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
