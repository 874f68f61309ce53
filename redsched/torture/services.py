"""The processes that serve in a run: workers, movers and the HTTP interface.

They are the product as it is; only the worker's transport also writes down what the server answered.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import msgspec

from redsched.client import AsyncClient
from redsched.engine.app import App
from redsched.engine.mover import Mover
from redsched.engine.worker import Worker
from redsched.eventloop import loop_factory
from redsched.torture.handlers import application
from redsched.torture.history import Event, Journal
from redsched.torture.plan import Plan
from redsched.torture.recording import RecordingTransport
from redsched.web import server

STALL_S = 0.3


def worker(name: str, plan: Plan, make: Callable[[Journal], App] = application) -> None:
    """A worker with its mover, with the handlers that ``make`` answers."""
    journal = Journal(plan.folder, name)

    async def work() -> None:
        client = AsyncClient(settings=plan.settings, name=plan.client_name)
        client.transport = RecordingTransport(plan.settings, plan.client_name, journal)
        runs = Worker(make(journal), plan.settings, client=client)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runs.stop)
        watching = asyncio.create_task(_watch_stalls(journal))
        code = await runs.run()
        watching.cancel()
        await client.close()
        if code:
            raise SystemExit(code)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(work())


async def _watch_stalls(journal: Journal) -> None:
    """Note when this process did not get to run: paused by a signal, or by a machine that is too busy."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.05)
        now = time.monotonic()
        if now - before > STALL_S:
            journal.write_all((Event(before, "stall", until=now),))


def mover(name: str, plan: Plan) -> None:
    """A mover alone."""

    async def move() -> None:
        runs = Mover(plan.settings, client=AsyncClient(settings=plan.settings, name=plan.client_name))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runs.stop)
        await runs.run()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(move())


def api(name: str, plan: Plan) -> None:
    """The HTTP interface."""
    server.run(msgspec.structs.replace(plan.settings, api_port=plan.api_port))
