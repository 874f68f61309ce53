"""One worker or mover as a process: its event loop, its signals, and its metrics beside it."""

from __future__ import annotations

import asyncio
import logging
import signal
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Any, Protocol

from redsched.cli.deadline import Deadline, leave
from redsched.cli.waiting import reached
from redsched.engine import forks
from redsched.engine.ending import frames_of, kind_of
from redsched.eventloop import loop_factory, own_task
from redsched.observe.listen import serve_metrics
from redsched.observe.metrics import PrometheusObserver
from redsched.settings import Settings

log = logging.getLogger("redsched.worker")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
KEEP_S = 1.0  # seconds between looks whether a handler has taken a signal


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

    A handler that ignores its end would keep the process for ever, so the process ends without it. What handlers have
    left behind has until the end of the grace.
    """
    stragglers = 0
    deadline = Deadline(settings.shutdown_grace_ms / 1_000)
    usual = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    async def until_stopped() -> int:
        nonlocal stragglers
        async with _metrics(settings, observer):
            runs = build()
            loop, stopping = asyncio.get_running_loop(), asyncio.Event()

            def stop() -> None:
                stopping.set()
                runs.stop()

            forks.own_signals(loop, usual)
            _StopSignals(loop, stop, deadline.signalled).keep()
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
            logging.shutdown()
            leave(code)
        deadline.ended(code)
    forks.disown_signals()
    if code:
        raise SystemExit(code)


def _until_done(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, int]) -> int:
    """Run the loop until ``main`` has ended, whatever else stops the loop.

    asyncio ends its loop where a task or a callback raises SystemExit or KeyboardInterrupt. Those are of handlers: the
    signals are handled here and raise nothing. The task that raised it keeps it, and tells whoever waits for the task.
    """
    task = own_task(main, loop)
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit) as error:
            if forks.here.loop is None:
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


class _StopSignals:
    """Has the signals stop the worker, and takes them back where a handler has taken them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None], at_once: Callable[[], None]) -> None:
        """``at_once`` is called while the event loop stands still, too."""
        self._loop = loop
        self._stop = stop
        self._at_once = at_once
        self._own: dict[int, Any] = {}

    def keep(self) -> None:
        """Now, and every second from now on."""
        for number in STOP_SIGNALS:
            if number not in self._own or signal.getsignal(number) is not self._own[number]:
                if number in self._own:
                    log.warning("signal.taken_back", extra={"signal": signal.Signals(number).name})
                self._take(number)
        self._loop.call_later(KEEP_S, self.keep)

    def _take(self, number: int) -> None:
        self._loop.add_signal_handler(number, self._stop)
        of_loop = signal.getsignal(number)

        def came(number: int, frame: FrameType | None) -> None:
            self._at_once()
            if callable(of_loop):
                of_loop(number, frame)

        self._own[number] = came
        signal.signal(number, came)
        signal.siginterrupt(number, False)


@asynccontextmanager
async def _metrics(settings: Settings, observer: PrometheusObserver) -> AsyncIterator[None]:
    """Serve the metrics meanwhile, where a port is given; a port in use is told before anything runs."""
    if not settings.metrics_port:
        yield
        return
    ready = asyncio.Event()
    serving = own_task(
        serve_metrics(
            observer,
            host=settings.metrics_host,
            port=settings.metrics_port,
            on_ready=lambda _: ready.set(),
            token=settings.metrics_token,
        )
    )
    started = own_task(ready.wait())
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
