"""What a handler forks (os.fork, multiprocessing) is no second worker: signals to it reach it alone, and it ends where
its handler ends.

A forked child inherits the worker's signal handlers, the socket by which they wake its event loop, and that loop. A
SIGTERM to the child would stop the worker and not the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn


class _Process:
    """This process, as far as forks of it are concerned."""

    def __init__(self) -> None:
        self.in_child = False  # it was forked from a worker
        self.loop: asyncio.AbstractEventLoop | None = None
        self.usual: dict[int, Any] = {}  # signal -> what it did before a worker took it over
        self.watched = False
        self.masks = threading.local()

    def hold_signals(self) -> None:
        """One that came before the child has its own handlers would wake the worker's loop."""
        self.masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, self.usual) if self.usual else None

    def release_signals(self) -> None:
        """To the handlers that are in place now."""
        if self.masks.before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.masks.before)

    def become_child(self) -> None:
        """A process of its own, with the signals of its own and without the loop."""
        self.in_child = True
        if self.usual:
            signal.set_wakeup_fd(-1)
            for number, usual in self.usual.items():
                signal.signal(number, signal.SIG_DFL if usual is None else usual)
        if self.loop is not None:
            _leave(self.loop)
        disown_signals()
        self.release_signals()


here = _Process()


def watch() -> None:
    """Mark the processes that are forked from this one; a second call does nothing."""
    if not here.watched:
        here.watched = True
        os.register_at_fork(
            before=here.hold_signals, after_in_parent=here.release_signals, after_in_child=here.become_child
        )


def own_signals(loop: asyncio.AbstractEventLoop, usual: Mapping[Any, Any]) -> None:
    """From now on the loop handles these signals; children get back what they did before."""
    watch()
    here.loop = loop
    here.usual.update(usual)


def disown_signals() -> None:
    """The loop has ended."""
    here.loop = None
    here.usual = {}


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    """What the child closes must stay in the worker's epoll set, which both share. If the loop goes on in the child, it
    ends the child."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        selector = getattr(loop, "_selector", None)
        backend = loop._get_backend_id() if selector is None else selector.fileno()  # type: ignore[attr-defined]
        with select.epoll() as fresh:
            os.dup2(fresh.fileno(), backend, inheritable=False)
    with contextlib.suppress(RuntimeError):
        loop.call_soon(os._exit, 1)
    asyncio.set_event_loop(None)


def end_child(error: BaseException | None) -> NoReturn:
    """End a forked process whose handler has returned, or raised this."""
    code = 0 if error is None else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)
