"""Recurring schedules: how fast many are fired that are due at once, and what a mover pays for having them.

10,000 schedules whose slots are the same second: from that second until the last task is ready, through one mover. The
floor is the four writes that a run needs, for as many runs, in bare pipelines. Then the mover with 10,000 schedules
that are due in a day, and its memory once it has planned 100,000; the floor is the same mover without any.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from bench.common import BATCH, QUEUE, TYPE, Options, Stage, Tick, main, now_ms, payload
from bench.idle import SETTLE_SECONDS, monitor
from bench.noise import resident_bytes
from bench.report import Report
from bench.wire import pack
from redsched.model.schedule import Schedule
from redsched.model.template import TaskTemplate
from redsched.schedule.definition import Every
from redsched.wire import schedules, scripts
from redsched.wire.keys import CellKeys, queue_keys

AT_ONCE = IDLE = 10_000
MANY = 100_000
DAY_MS = 86_400_000
A_CALL = 100  # runs of one bare pipeline, as many as the mover fires in one call


def measure(options: Options, tick: Tick) -> Report:
    """Seconds to fire, commands and CPU while nothing is due, memory."""
    report = Report(name="schedules", title="recurring schedules through one mover")
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            _at_once(stage, options.sized(AT_ONCE))
            tick(f"run {run}, due at once")
            _bare(stage, options.sized(AT_ONCE))
            tick(f"run {run}, bare writes")
            for count in (0, options.sized(IDLE)):
                _idle(stage, count)
                tick(f"run {run}, {count:,} idle")
            for count in (0, options.sized(MANY)):
                _memory(stage, count)
                tick(f"run {run}, memory of {count:,}")
    return report


def _at_once(stage: Stage, count: int) -> None:
    report, name = stage.report, f"{count:,} due in one second"
    stage.clear()
    with _mover(stage) as pid:
        slot = _put_ahead(stage, count)
        time.sleep(max((slot - now_ms()) / 1_000 - 0.1, 0))
        watch = stage.watch(mover=pid)
        ready = queue_keys(stage.client.cell, QUEUE).stream("normal")
        stage.until(lambda: stage.wire.call("XLEN", ready) >= count, 120, "every schedule fired")
        stage.watched(watch)
        ((last, _),) = stage.wire.call("XREVRANGE", ready, "+", "-", "COUNT", 1)
        ((first, _),) = stage.wire.call("XRANGE", ready, "-", "+", "COUNT", 1)
        if stage.wire.call("XLEN", ready) != count:
            raise RuntimeError("another number of tasks was made than schedules were due")
    times = [int(entry.split(b"-")[0]) - slot for entry in (first, last)]
    report.add(f"{name}: the first fired", times[0], "ms", better="less")
    report.add(f"{name}: the last fired", times[1], "ms", target=2_000, better="less")
    report.add(f"{name}: the mover's CPU", 1e6 * watch.used["mover"] / count, "us/schedule", better="less")
    report.add(f"{name}: the server's CPU", 1e6 * watch.used["server"] / count, "us/schedule", better="less")


def _bare(stage: Stage, count: int) -> None:
    stage.clear()
    fields = ("type", TYPE, "payload", str(payload(0, 0)), "state", "ready", "due_at", now_ms(), "schedule", "s")
    began = time.perf_counter()
    for first in range(0, count, A_CALL):
        some = range(first, min(first + A_CALL, count))
        stage.wire.pipeline(
            b"".join(
                pack("XADD", "{floor}:ready", "*", "id", f"s{n}")
                + pack("HSET", f"{{floor}}:task:s{n}", *fields)
                + pack("HSET", f"{{floor}}:schedule:s{n}", "slot", n, "fired", 1)
                + pack("ZADD", "{floor}:schedules", n, f"s{n}")
                for n in some
            ),
            4 * len(some),
        )
    took = 1_000 * (time.perf_counter() - began)
    stage.report.add(f"{count:,} due in one second: their writes alone", took, "ms", floor=True)


def _idle(stage: Stage, count: int) -> None:
    report, name = stage.report, f"{count:,} due tomorrow" if count else "none"
    stage.clear()
    with _mover(stage) as pid:
        _put(stage, range(count), now_ms() + DAY_MS)
        _planned(stage)
        time.sleep(SETTLE_SECONDS)
        commands, watch = monitor(stage, {"mover": pid})
        report.add(f"{name}: commands sent", commands.total() / watch.seconds, "1/s", better="less", floor=not count)
        report.add(f"{name}: CPU", 100 * watch.used["mover"] / watch.seconds, "%", better="less", floor=not count)
        report.add(
            f"{name}: the server's CPU",
            100 * watch.used["server"] / watch.seconds,
            "%",
            better="less",
            floor=not count,
        )


def _memory(stage: Stage, count: int) -> None:
    stage.clear()
    before = int(stage.wire.info("memory")["used_memory"])
    with _mover(stage) as pid:
        _put(stage, range(count), now_ms() + DAY_MS)
        _planned(stage)
        time.sleep(1)
        mebibytes = resident_bytes(pid) / 2**20
    name = f"{count:,} schedules" if count else "no schedule"
    stage.report.add(f"{name}: memory of the mover", mebibytes, "MiB", better="less", floor=not count)
    if count:
        grown = int(stage.wire.info("memory")["used_memory"]) - before
        stage.report.add(f"{name}: memory in Redis", grown / count, "bytes/schedule", better="less")


@contextlib.contextmanager
def _mover(stage: Stage) -> Iterator[int]:
    """``redsched mover``, once it follows wake-ups; its process id."""
    with stage.child("mover", ["mover"]) as process:
        log = stage.folder / "mover.log"
        stage.until(lambda: b"mover.started" in log.read_bytes(), 30, "the mover's start", process)
        time.sleep(0.5)
        yield process.pid


def _put_ahead(stage: Stage, count: int) -> int:
    """As many schedules of the same slot, which is ahead still when the last was planned; the slot, ms."""
    lead_ms = 3_000 + count // 2
    while lead_ms < 600_000:
        slot = now_ms() + lead_ms
        _put(stage, range(count), slot)
        _planned(stage)
        if now_ms() < slot - 500:
            return slot
        lead_ms *= 3
        stage.clear()  # some may have been fired
    raise RuntimeError(f"{count:,} schedules were not planned in ten minutes")


def _put(stage: Stage, numbers: Sequence[int], slot: int) -> None:
    """Write schedules straight to Redis, each due at ``slot`` and then every day."""
    for first in range(0, len(numbers), BATCH):
        some = numbers[first : first + BATCH]
        stage.wire.pipeline([_words(stage, number, slot) for number in some], len(some))


def _words(stage: Stage, number: int, slot: int) -> bytes:
    schedule = Schedule(
        id=f"bench-{number}",
        task=TaskTemplate(type=TYPE, payload=payload(number, slot), queue=QUEUE),
        every=Every("1d", timedelta(milliseconds=slot % DAY_MS)),
        overlap="allow_all",
    )
    call = schedules.put_schedule(stage.client.cell, schedule, max_payload=10_000)
    return pack("FCALL", scripts.PREFIX + call.verb, len(call.keys), *call.keys, *call.args)


def _planned(stage: Stage) -> None:
    """Wait until the mover has planned every schedule."""
    key = CellKeys(stage.client.cell).schedules
    stage.until(lambda: stage.wire.call("ZCOUNT", key, "-inf", 0) == 0, 600, "every schedule planned")


if __name__ == "__main__":
    main(measure, __doc__)
