"""Watchdog: a thread that notices when the event loop stands still, says where, and says when it goes on.

A coroutine handler that computes, or calls something that blocks, stops every other task, the renewals and the mover
with it; nothing on the loop could tell.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

log = logging.getLogger("redsched.worker")
TICK = 0.5  # seconds


class Watchdog:
    """Watches the loop that starts it. ``stalled_s``: how long it may stand still before that is told."""

    def __init__(self, stalled_s: float) -> None:
        self.stalls = 0  # how often the loop stood still
        self._stalled_s = stalled_s
        self._ended = threading.Event()
        self._seen = 0.0

    def __enter__(self) -> Watchdog:
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._tick()
        self._thread = threading.Thread(target=self._watch, name="redsched-watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._timer.cancel()
        self._thread.join(2 * TICK)

    def _tick(self) -> None:
        self._seen = time.monotonic()
        self._timer = self._loop.call_later(TICK, self._tick)

    def _watch(self) -> None:
        told = False
        while not self._ended.wait(TICK):
            stood = time.monotonic() - self._seen
            if stood > self._stalled_s and not told:
                told, self.stalls = True, self.stalls + 1
                frame = sys._current_frames().get(self._watched)
                where = "".join(traceback.format_stack(frame)[-8:]) if frame is not None else ""
                log.error("loop.stalled", extra={"seconds": round(stood, 1), "stack": where})
            elif told and stood < 2 * TICK:
                told = False
                log.warning("loop.resumed")
