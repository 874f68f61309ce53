"""Functions of a handler that make processes of their own, each in another way; what comes back is compared."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def _terminated(method: str) -> Any:
    child = multiprocessing.get_context(method).Process(target=time.sleep, args=(60,))
    child.start()
    if method == "spawn":
        time.sleep(0.5)
    child.terminate()
    child.join(20)
    return child.exitcode


def _asks(connection: Any) -> None:
    async def main() -> None:
        connection.send(sum(await asyncio.gather(asyncio.sleep(0, 20), asyncio.sleep(0.01, 22))))

    asyncio.run(main())


def _runs_a_loop() -> Any:
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_asks, args=(there,))
    child.start()
    return here.recv() if here.poll(20) else None


def _pool() -> Any:
    with multiprocessing.get_context("fork").Pool(2) as pool:  # whose end is a SIGTERM to each
        return pool.map(abs, [-1, 2])


def _executor() -> Any:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        return list(executor.map(abs, [-1, 2]))


def _child_returns() -> Any:
    child = os.fork()
    if child == 0:
        return "the child"
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _child_raises() -> Any:
    child = os.fork()
    if child == 0:
        raise RuntimeError("in the child")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _signals_a_child() -> Any:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _subprocess() -> Any:
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = subprocess.Popen(program, preexec_fn=os.getpid)  # noqa: PLW1509 - so that it forks as Python does
    child.terminate()
    return child.wait(20)


FORKS: dict[str, Callable[[], Any]] = {
    "fork": lambda: _terminated("fork"), "spawn": lambda: _terminated("spawn"), "loop": _runs_a_loop, "pool": _pool,
    "executor": _executor, "os.fork": _child_returns, "os.fork, raising": _child_raises,
    "os.fork, SIGTERM": _signals_a_child, "subprocess": _subprocess,
}  # fmt: skip
