"""How much Redis memory a scheduled task with a 100-byte payload takes: the growth of used_memory over 100,000.

Measured with hash-max-listpack-value at 1,024, as ``redsched install`` and the embedded server set it, and at the
server's default of 64, where one value over 64 bytes unpacks the hash. The floor is the hash with type and payload and
the due entry, as a raw producer with the same ids writes them.
"""

from __future__ import annotations

import time

import msgspec

from bench.common import BATCH, TYPE, Options, Stage, Tick, main, now_ms, payload
from bench.report import Report
from bench.wire import pack

TASKS = 100_000
DAY_MS = 86_400_000
RAISED, DEFAULT = 1_024, 64


def measure(options: Options, tick: Tick) -> Report:
    """Bytes a scheduled task."""
    report = Report(name="memory", title="bytes of Redis memory a scheduled task, 100-byte payload")
    for _ in range(options.runs):
        for listpack in (RAISED, DEFAULT):
            target = 510.0 if listpack == RAISED else None
            setting = f"hash-max-listpack-value {listpack}"
            with Stage(report, options, listpack=listpack) as stage:
                stage.wire.call("CONFIG", "SET", "hash-max-listpack-value", listpack)  # install may have raised it
                count = options.sized(TASKS)
                report.add(setting, _scheduled(stage, count), "bytes/task", target=target, better="less")
                report.add(f"HSET + ZADD, {setting}", _raw(stage, count), "bytes/task", floor=True)
        tick()
    return report


def _scheduled(stage: Stage, count: int) -> float:
    before = _used_memory(stage)
    due = now_ms() + DAY_MS
    watch = stage.watch()
    stage.enqueue([due + n for n in range(count)])
    stage.watched(watch)
    return (_used_memory(stage) - before) / count


def _raw(stage: Stage, count: int) -> float:
    stage.wire.call("FLUSHALL", "SYNC")
    before = _used_memory(stage)
    due = now_ms() + DAY_MS
    for start in range(0, count, BATCH):
        packed = []
        for n in range(start, start + BATCH):
            name, body = f"0-{n:032x}", msgspec.json.encode(payload(n, due + n))
            packed.append(pack("HSET", "{rs}:task:bench:" + name, "type", TYPE, "payload", body))
            packed.append(pack("ZADD", "{rs}:due:bench", due + n, name))
        stage.wire.pipeline(packed, len(packed))
    return (_used_memory(stage) - before) / count


def _used_memory(stage: Stage) -> int:
    """Bytes in use, once the server has had time to finish growing its tables."""
    time.sleep(1.5)
    return int(stage.wire.info("memory")["used_memory"])


if __name__ == "__main__":
    main(measure, __doc__)
