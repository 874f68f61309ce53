"""Handlers that do what no handler should, each to its own task only."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import ctypes
import decimal
import functools
import itertools
import multiprocessing
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from redsched import App, Context
from redsched.model.outcome import OutcomeChosen
from tests.apps.forks import FORKS
from tests.apps.ledger import LEDGER, Ledger, note

app = App(name="hostile")
mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="unset")


class Panic(BaseException):
    """What a Rust extension raises is no Exception."""


class Unreadable(BaseException):
    def __str__(self) -> str:
        raise SystemExit(7)

    __repr__ = __str__


class Unchosen(OutcomeChosen):
    """Without an outcome."""


def _raise(error: BaseException) -> Any:
    raise error


def _recurse(depth: int = 0) -> int:
    return _recurse(depth + 1) + 1


def _nested(depth: int) -> BaseException:
    error: BaseException = Panic("inmost")
    for _ in range(depth):
        error = BaseExceptionGroup("further in", [error])
    return error


def _numbers() -> Iterator[int]:
    yield 1


async def _later() -> AsyncIterator[int]:
    yield 1


async def _nothing() -> None: ...


class Ticks:
    """An async iterator that nobody iterates over."""

    def __aiter__(self) -> Ticks:
        return self

    async def __anext__(self) -> int:
        return 1


RAISES: dict[str, Callable[[], Any]] = {
    "panic": lambda: _raise(Panic("rust")),
    "group": lambda: _raise(BaseExceptionGroup("several", [KeyboardInterrupt(), Panic("rust")])),
    "groups in groups": lambda: _raise(_nested(3_000)),
    "interrupt": lambda: _raise(KeyboardInterrupt("by hand")),
    "exit 2": lambda: sys.exit(2),
    "generator exit": lambda: _raise(GeneratorExit("by hand")),
    "recursion": _recurse,
    "memory": lambda: _raise(MemoryError("all of it")),
    "unreadable": lambda: _raise(Unreadable()),
    "no outcome": lambda: _raise(Unchosen()),
    "generator": _numbers,
    "async generator": _later,
    "coroutine": _nothing,
    "lazy map": lambda: map(str, [1]),
    "lazy starmap": lambda: itertools.starmap(pow, [(1, 2)]),
    "lazy zip": lambda: zip([1], [2], strict=True),
    "async iterator": Ticks,
    "uncalled": lambda: _nothing,
    "uncalled partial": lambda: functools.partial(pow, 1),
    "thread's future": lambda: ThreadPoolExecutor(1).submit(time.sleep, 0.1),
}
AWAITABLE: dict[str, Callable[[], Any]] = {
    "asyncio task": lambda: asyncio.create_task(_nothing()),
    "asyncio future": lambda: asyncio.get_running_loop().create_future(),
    "awaitable": lambda: asyncio.sleep(600),
}


@app.task("add")
async def add(a: int, b: int = 1) -> int:
    return a + b


@app.task("raises")
async def raises(kind: str) -> Any:
    return RAISES[kind]()


@app.task("raises.late")
async def raises_late(kind: str) -> Any:
    await asyncio.sleep(0.001)
    return RAISES[kind]()


@app.task("returns.awaitable")
async def returns_awaitable(kind: str) -> Any:
    return AWAITABLE[kind]()


@app.task("returns.done")
async def returns_done(kind: str) -> Any:
    """Iterators whose work is done."""
    return {"file": lambda: open(os.devnull), "cursor": lambda: sqlite3.connect(":memory:").execute("SELECT 1")}[kind]()


@app.task("raises.sync")
def raises_sync(kind: str) -> Any:
    return RAISES[kind]()


async def _exits(how: BaseException) -> None:
    await asyncio.sleep(0.001)
    raise how


async def _gathers() -> None:
    await asyncio.gather(_exits(SystemExit(2)), asyncio.sleep(5))


async def _groups() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_exits(KeyboardInterrupt("in a child")))
        group.create_task(asyncio.sleep(5))


async def _awaits_a_thread() -> None:
    await asyncio.to_thread(sys.exit, 2)


async def _calls_back() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 2)
    await asyncio.sleep(0.01)
    raise RuntimeError("went on")


async def _forgets_a_child() -> None:
    children.append(asyncio.create_task(_exits(SystemExit(2))))
    await asyncio.sleep(0.01)
    raise RuntimeError("went on")


async def _stops_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    raise RuntimeError("went on")


async def _cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("by hand")
    await asyncio.sleep(5)


async def _cancels_itself_and_returns() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def _swallows_its_cancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    for _ in range(3):
        task.cancel()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            task.uncancel()
            task.uncancel()
    raise RuntimeError("went on")


async def _leaves_a_cancel_behind() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.05, task.cancel)
    await asyncio.sleep(0.001)
    raise RuntimeError("went on")


async def _child_exits() -> None:
    await asyncio.create_task(_exits(GeneratorExit("in a child")))


async def _cancels_all() -> None:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()
    await asyncio.sleep(0.01)
    raise RuntimeError("went on")


async def _waits_for_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    raise RuntimeError("went on")


async def _interrupts_as_python_does() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise KeyboardInterrupt("by hand")


children: list[asyncio.Task[None]] = []
BREAKS = {
    "gather": _gathers, "task group": _groups, "thread": _awaits_a_thread, "callback": _calls_back,
    "forgotten child": _forgets_a_child, "child's generator exit": _child_exits, "loop stop": _stops_the_loop,
    "own cancel": _cancels_itself,
    "own cancel, then the end": _cancels_itself_and_returns, "uncancel": _swallows_its_cancel,
    "late cancel": _leaves_a_cancel_behind, "cancel all": _cancels_all, "wait for all": _waits_for_all,
    "interrupt": _interrupts_as_python_does,
}  # fmt: skip


@app.task("breaks")
async def breaks(kind: str) -> None:
    await BREAKS[kind]()


@app.task("sleeps")
async def sleeps(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@app.task("cancels.later")
async def cancels_later() -> None:
    """Never waits, and leaves a cancel of its asyncio task behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.05, task.cancel)


# what outlives a run


def _leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()


def _leave_a_process() -> None:
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=False).start()


def _leave_a_stubborn_process() -> None:
    multiprocessing.get_context("fork").Process(target=_ignores_sigterm, daemon=False).start()


def _ignores_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def _leave_an_executor() -> None:
    executor = ThreadPoolExecutor(1)
    executor.submit(time.sleep, 600)
    kept.append(executor)


def _leave_an_asyncio_task() -> None:
    children.append(asyncio.create_task(_goes_on()))


async def _goes_on() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


kept: list[Any] = []
LEFT: dict[str, Callable[[], Any]] = {
    "thread": _leave_a_thread,
    "process": _leave_a_process,
    "stubborn process": _leave_a_stubborn_process,
    "executor": _leave_an_executor,
    "asyncio task": _leave_an_asyncio_task,
    "default executor": lambda: asyncio.get_running_loop().run_in_executor(None, time.sleep, 600),
    "exit function": lambda: atexit.register(time.sleep, 600),
}


@app.task("leaves")
async def leaves(kind: str) -> None:
    """Returns, and leaves behind what keeps a process for ten minutes."""
    LEFT[kind]()


@app.task("to.thread", timeout="100ms")
async def to_thread() -> None:
    await asyncio.to_thread(time.sleep, 600)


@app.task("blocks")
async def blocks() -> None:
    """Keeps the event loop."""
    time.sleep(600)


@app.task("takes.sigterm")
async def takes_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


# processes


def _ends(how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    os._exit(int(how))


@app.task("ends")
async def ends(ctx: Context, how: str) -> str:
    """Takes its process along the first time that it runs."""
    note(ctx)
    if len(Ledger(Path(os.environ[LEDGER])).of(ctx.id)) == 1:
        _ends(how)
    return "a later process"


@app.task("forks")
async def forks(how: str) -> Any:
    return FORKS[how]()


@app.task("forks.sync")
def forks_sync(how: str) -> Any:
    return FORKS[how]()


@app.task("orphan")
def orphan() -> None:
    """Leaves a child that outlives the run and, where the worker is killed, the worker."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    child.join()


# what a run leaves behind in its context


def _context() -> dict[str, Any]:
    found = {"mark": mark.get(), "precision": decimal.getcontext().prec}
    mark.set("of another run")
    decimal.getcontext().prec = 5
    return found


@app.task("context")
async def context() -> dict[str, Any]:
    return _context()


@app.task("context.late")
async def context_late() -> dict[str, Any]:
    await asyncio.sleep(0)
    found = _context()
    await asyncio.sleep(0)
    assert (mark.get(), decimal.getcontext().prec) == ("of another run", 5)
    child = await asyncio.create_task(asyncio.sleep(0, mark.get()))
    return found | {"child": child}


@app.task("context.sync")
def context_sync() -> dict[str, Any]:
    return _context()


_seen: set[int] = set()
_kept: list[Any] = []


@app.task("own.task")
async def own_task() -> bool:
    """Whether this run's asyncio task is that of no earlier run which waited."""
    task = asyncio.current_task()
    fresh = id(task) not in _seen
    await asyncio.sleep(0)
    _seen.add(id(task))
    _kept.append(task)
    return fresh


@app.task("progress.elsewhere")
def progress_elsewhere(ctx: Context) -> str:
    """A thread with a loop of its own asks by the worker's connections."""
    asyncio.run(ctx.progress({"step": 1}))
    return threading.current_thread().name
