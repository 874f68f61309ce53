"""Elapsed: the clock by which leases and start-bys are compared. It goes on while the process is stopped and, where the
system has such a clock, while the machine sleeps. It is no wall clock: only differences of it mean something.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


def _clock() -> Callable[[], float]:
    if hasattr(time, "CLOCK_BOOTTIME"):
        boottime = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        try:
            boottime()
            return boottime
        except OSError:
            pass  # known to Python and not to this kernel
    return time.monotonic


elapsed: Callable[[], float] = _clock()  # seconds
