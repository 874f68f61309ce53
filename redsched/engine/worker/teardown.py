"""Teardown: tells what a handler raised from what Python or a person raised in it to end the program."""

from __future__ import annotations

import asyncio
import signal
import threading

from redsched.engine import forks
from redsched.engine.ending import frames_of


class CutOff:
    """Around all that a slot runs: the slot ends as usual where ``Runner.cut_off`` has told of its last run."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is GeneratorExit and not is_torn_down()


def is_torn_down() -> bool:
    """Whether no asyncio task runs any more, so that a coroutine which is closed is only cleared away."""
    try:
        return asyncio.current_task() is None
    except RuntimeError:
        return True


def is_of_a_person(error: BaseException) -> bool:
    """Whether Ctrl-C raised it, in a program that leaves that to Python or to ``asyncio.run``; a ``redsched worker``
    has a handler of its own that raises nothing."""
    if forks.here.loop is not None:
        return False
    at = frames_of(error)
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is not None and at.tb_frame.f_code is asyncio.Runner._on_sigint.__code__:  # type: ignore[attr-defined]
        return True
    on_main_thread = threading.current_thread() is threading.main_thread()
    return on_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
