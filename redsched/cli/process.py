"""One worker or mover as a process: its event loop, its signals, and its metrics beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from redsched.cli.waiting import reached
from redsched.engine import forks
from redsched.engine.ending import frames_of, kind_of
from redsched.eventloop import loop_factory
from redsched.observe.listen import serve_metrics
from redsched.observe.metrics import PrometheusObserver
from redsched.settings import Settings

log = logging.getLogger("redsched.worker")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
PYTHONS = signal.default_int_handler


class Stoppable(Protocol):
    """A worker or a mover."""

    async def run(self) -> int | None:
        """Until stopped; an exit code, None for 0."""

    def stop(self) -> None:
        """Gracefully; a second call at once."""


def run(
    settings: Settings,
    observer: PrometheusObserver,
    build: Callable[[], Stoppable],
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Wait for Redis, then run a worker or mover to its end; SystemExit with its exit code when that is not 0.
    ``report`` is told when it has ``begun``, and when it has ``ended`` by itself.

    A handler that ignores its end would keep the process for ever, so the process ends without it.
    """
    stragglers = 0
    usual = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    async def until_stopped() -> int:
        nonlocal stragglers
        async with _metrics(settings, observer):
            runs = build()
            loop, stopping = asyncio.get_running_loop(), asyncio.Event()

            def stop() -> None:
                stopping.set()
                runs.stop()

            for number in STOP_SIGNALS:
                loop.add_signal_handler(number, stop)
            forks.own_signals(loop, usual)
            report("begun")
            if not await reached(settings, stopping):
                return 0
            code = await runs.run() or 0
            stragglers = getattr(runs, "stragglers", 0)
            return code

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.get_loop().set_exception_handler(_unhandled)
        code = _until_done(runner.get_loop(), until_stopped())
        report("ended")
        if stragglers:  # leaving this block would wait for them
            log.warning("worker.abandoned", extra={"runs": stragglers})
            _end_children()
            logging.shutdown()
            os._exit(code)
    forks.disown_signals()
    if code:
        raise SystemExit(code)


def _until_done(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, int]) -> int:
    """Run the loop until ``main`` has ended, whatever else stops the loop.

    asyncio ends its loop where a task or a callback raises SystemExit or KeyboardInterrupt. Those are of handlers: the
    signals are handled here and raise nothing. The task that raised it keeps it, and tells whoever waits for the task.
    """
    task = loop.create_task(main)
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit) as error:
            by_python = isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is PYTHONS
            if forks.here.loop is None or by_python:
                raise  # a signal that is not handled here yet, or no more
            log.error("handler.exited", extra={"error": kind_of(error), "at": _where(error)})
    return task.result()


def _unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a task that a handler left behind raised: asyncio would log its text, which may quote a payload."""
    error = context.get("exception")
    message = str(context.get("message", ""))  # that of a callback has its arguments
    told: dict[str, object] = {"problem": message if message.replace(" ", "").isalpha() else message[:21]}
    if isinstance(error, BaseException):
        told |= {"error": kind_of(error), "at": _where(error)}
    log.error("loop.error", extra=told)


def _where(error: BaseException) -> str:
    """The last places in the code that an error came through."""
    frames = traceback.extract_tb(frames_of(error))[-3:]
    return ", ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)


def _end_children() -> None:
    """End what abandoned handlers started by multiprocessing: their tasks run again elsewhere."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        for child in multiprocessing.active_children():
            child.terminate()


@asynccontextmanager
async def _metrics(settings: Settings, observer: PrometheusObserver) -> AsyncIterator[None]:
    """Serve the metrics meanwhile, where a port is given; a port in use is told before anything runs."""
    if not settings.metrics_port:
        yield
        return
    ready = asyncio.Event()
    serving = asyncio.create_task(
        serve_metrics(observer, host=settings.metrics_host, port=settings.metrics_port, on_ready=lambda _: ready.set(),
                      token=settings.metrics_token)
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
