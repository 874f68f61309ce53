"""What every Python adapter does alike: the command line, the payloads, the record of a task's start, the clock.

    peer_NAME.py produce one|bulk|fill|due COUNT [LEAD_MS GAP_US]
    peer_NAME.py work now|due

``one`` and ``bulk`` measure after a warm-up; ``fill`` submits exactly COUNT tasks by the bulk call; ``due`` schedules
them from LEAD_MS ahead, GAP_US apart. Each prints one line of JSON. Standard library only.
"""

import asyncio
import functools
import inspect
import json
import os
import struct
import sys
import time

PORT = int(os.environ.get("PEER_PORT", "6379"))
URL = f"redis://127.0.0.1:{PORT}/0"
HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = struct.Struct("<qqq")  # number, due ms, start ns
BATCH = 1_000
_TEXT = "a payment of 1,250.00 INR to your account was received today" * 2


@functools.cache
def _file():
    return os.open(os.environ["PEER_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def record(number, due_ms):
    """Note that a task starts: 24 bytes appended by one system call."""
    started_ns = time.time_ns()
    os.write(_file(), RECORD.pack(number, due_ms, started_ns))


def payload(number, due_ms=0):
    """The task's three arguments: 100 bytes once they are JSON."""
    spent = len('{"number":,"due_ms":,"text":""}') + len(str(number)) + len(str(due_ms))
    return {"number": number, "due_ms": due_ms, "text": _TEXT[: 100 - spent]}


def now_ms():
    """The wall clock, which the server on this machine shares."""
    return time.time_ns() // 1_000_000


def batches(items):
    """Parts of 1,000."""
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


async def in_flight(add, items, limit=100):
    """Await ``add`` of each, ``limit`` at a time: a bulk call for a library that has none."""
    rest = iter(items)

    async def lane():
        for item in rest:
            await add(item)

    await asyncio.gather(*(lane() for _ in range(limit)))


def runner():
    """An asyncio runner on uvloop where the environment has it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def become(module, *arguments):
    """Turn into a library's own command line, with the adapters on its path."""
    os.environ["PYTHONPATH"] = HERE
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def main(*, one, bulk, due, work, connect=None, prepare=None):
    """Do what the command line says.

    ``one`` and ``bulk`` take a list of payloads, ``due`` too (each has its own due_ms); functions or coroutine
    functions. ``prepare`` makes of a payload what ``bulk`` takes, before the clock starts. ``work(due)`` serves until
    it is stopped.
    """
    if sys.argv[1] == "work":
        work(sys.argv[2] == "due")
        return
    mode, count = sys.argv[2], int(sys.argv[3])
    with runner() as loop:

        def call(function, items):
            done = function(items)
            return loop.run(done) if inspect.isawaitable(done) else done

        if connect is not None:
            loop.run(connect())
        if mode == "due":
            first = now_ms() + int(sys.argv[4])
            gap_us = int(sys.argv[5])
            call(due, [payload(number, first + number * gap_us // 1_000) for number in range(count)])
            answer = {"first_ms": first, "spare_ms": first - now_ms()}
        else:
            submit, ready = (one, None) if mode == "one" else (bulk, prepare)
            if mode != "fill":
                warm = [payload(number) for number in range(BATCH)]
                call(submit, [ready(item) for item in warm] if ready else warm)
            items = [payload(number) for number in range(count)]
            items = [ready(item) for item in items] if ready else items
            began = time.perf_counter()
            call(submit, items)
            answer = {"seconds": time.perf_counter() - began}
        print(json.dumps(answer), flush=True)
        os._exit(0)  # connections that a library leaves open must not hold the measurement up
