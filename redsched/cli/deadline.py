"""Deadline: ends this process some time after it was told to stop, whatever handlers have left behind.

Python leaves a process only when all its threads, executors and child processes have ended, and a coroutine handler
that blocks keeps the event loop from seeing a signal at all. So a thread counts from the signal.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import sys
import threading
import time

log = logging.getLogger("redsched.worker")
AFTER_S = 4.5  # from the end of the grace: a worker may need 4 s of it to hand back what runs
CHILDREN_S = 0.5  # for child processes, from SIGTERM to SIGKILL


class Deadline:
    """Counts from the first signal or from ``ended``, whichever comes first; a second signal leaves no more grace."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._code = 1  # of a process whose run does not end
        self._told: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True: a signal. Its put is safe in a signal handler
        threading.Thread(target=self._count, name="redsched-deadline", daemon=True).start()

    def signalled(self) -> None:
        """The process was told to stop."""
        self._told.put(True)

    def ended(self, code: int) -> None:
        """Nothing is left to do but to leave, with this exit code."""
        self._code = code
        self._told.put(False)

    def _count(self) -> None:
        ends_at = math.inf
        while (left := ends_at - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                is_signal = self._told.get(timeout=None if ends_at == math.inf else left)
                grace_s = self._grace_s if ends_at == math.inf else 0.0
                if is_signal or ends_at == math.inf:
                    ends_at = min(ends_at, time.monotonic() + grace_s + AFTER_S)
        # whoever stands still may hold the lock of the log
        telling = threading.Thread(target=log.warning, args=("worker.left_behind",), daemon=True)
        telling.start()
        telling.join(0.5)
        leave(self._code)


def leave(code: int) -> None:
    """End the process now, and the child processes that handlers started by multiprocessing: their tasks run again
    elsewhere, or have ended."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        with contextlib.suppress(Exception):
            children = multiprocessing.active_children()
            for child in children:
                child.terminate()
            until = time.monotonic() + CHILDREN_S
            for child in children:
                child.join(max(0.0, until - time.monotonic()))
                child.kill()
    os._exit(code)
