"""How much memory a scheduled task takes in Redis: the growth of used_memory over 100,000 of them.

On the embedded server and on Debian's Redis, with ids made here and with a request token beside an id of the
producer's, for payloads of 10 to 1,000 bytes; with hash-max-listpack-value at 1,024, as ``redsched install`` and the
embedded server set it, and at the server's default of 64, where one longer value unpacks the hash. The floor is the
hash with type and payload and the due entry, as a raw producer with the same ids writes them. used_memory is exact,
so each is measured once. At the end: what stays when every task has run and was swept.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from bench.common import BATCH, QUEUE, TYPE, Options, Stage, Tick, main, now_ms
from bench.report import Report
from bench.verbs import Verbs
from bench.wire import pack
from redsched import Task
from redsched.wire.ids import new_ids, nonce

TASKS = 100_000
DAY_MS = 86_400_000
RAISED, DEFAULT = 1_024, 64
PAYLOADS = (10, 100, 300, 1_000)
USUAL = 100  # bytes of payload, which the targets are for
SERVERS = {"valkey": "embedded server", "redis": "Redis"}
TARGETS = {("valkey", False): 400, ("valkey", True): 450, ("redis", False): 450, ("redis", True): 510}
ROUNDS = 5  # of tasks that run and are swept
UNIT = "bytes/task"


def measure(options: Options, tick: Tick) -> Report:
    """Bytes a scheduled task, and what is left of it afterwards."""
    report = Report(name="memory", title="bytes of Redis memory a scheduled task")
    told = []
    for kind, name in SERVERS.items():
        try:
            with Stage(report, msgspec.structs.replace(options, server=kind)) as stage:
                told.append(report.server)
                _scheduled(stage, kind, tick)
                _drained(stage, name)
                tick(f"{name}, after a full drain")
        except RuntimeError as error:
            report.notes.append(f"{name} left out: {error}")
    report.server = "; ".join(told)
    return report


def _scheduled(stage: Stage, kind: str, tick: Tick) -> None:
    report, count, name = stage.report, stage.options.sized(TASKS), SERVERS[kind]
    for listpack in (RAISED, DEFAULT):
        setting = f"{name}, listpack {listpack}"
        for size in PAYLOADS:
            for token in (False, True) if size == USUAL else (False,):
                goal = TARGETS[kind, token] if listpack == RAISED and size == USUAL else None
                value = _grown(stage, listpack, count, lambda: _enqueue(stage, count, size, token))  # noqa: B023
                what = f"{setting}, {size} bytes" + (", with a token" if token else "")
                report.add(what, value, UNIT, target=goal, better="less")
                if not token:
                    report.series.setdefault(setting, []).append((size, value))
        raw = _grown(stage, listpack, count, lambda: _raw(stage, count))
        report.add(f"HSET + ZADD, {setting}, {USUAL} bytes", raw, UNIT, floor=True)
        tick(setting)


def _grown(stage: Stage, listpack: int, count: int, write: Callable[[], None]) -> float:
    """Bytes a task that ``write`` adds to an empty server."""
    stage.wire.call("FLUSHALL", "SYNC")
    stage.client.install()
    stage.wire.call("CONFIG", "SET", "hash-max-listpack-value", listpack)  # install may have raised it
    before = int(stage.wire.info("memory")["used_memory"])
    watch = stage.watch()
    write()
    stage.watched(watch)
    return (used_memory(stage) - before) / count


def _enqueue(stage: Stage, count: int, size: int, token: bool) -> None:
    due = now_ms() + DAY_MS
    payload = {"text": "x" * (size - len('{"text":""}'))} if size > 10 else "x" * (size - 2)
    for start in range(0, count, BATCH):
        ids = new_ids(BATCH)
        stage.client.enqueue_many(
            [
                Task(
                    type=TYPE,
                    payload=payload,
                    queue=QUEUE,
                    due=due + start + n,
                    id=ids[n] if token else None,
                    request=nonce() if token else None,
                )
                for n in range(BATCH)
            ]
        )


def _raw(stage: Stage, count: int) -> None:
    due = now_ms() + DAY_MS
    body = msgspec.json.encode({"text": "x" * (USUAL - len('{"text":""}'))})
    for start in range(0, count, BATCH):
        packed = []
        for n in range(start, start + BATCH):
            name = f"0-{n:032x}"
            packed.append(pack("HSET", "{rs}:task:bench:" + name, "type", TYPE, "payload", body))
            packed.append(pack("ZADD", "{rs}:due:bench", due + n, name))
        stage.wire.pipeline(packed, len(packed))


def _drained(stage: Stage, name: str) -> None:
    """What the store holds after each of some rounds of tasks that ran and were swept."""
    count = stage.options.sized(TASKS)
    stage.clear()
    verbs = Verbs(stage)
    verbs.life(100, 100)  # what a queue keeps for itself
    held = [used_memory(stage)]
    for _ in range(ROUNDS):
        verbs.life(count, 100)
        held.append(used_memory(stage))
    report = stage.report
    report.add(f"{name}: left of a task that was swept", max(held[1] - held[0], 0) / count, UNIT)
    growth = (held[-1] - held[1]) / (count * (ROUNDS - 1))
    report.add(f"{name}: growth by each later task", growth, UNIT, target=0.1, better="less")


def used_memory(stage: Stage) -> int:
    """Bytes in use, once the server has had time to finish growing its tables."""
    time.sleep(1.5)
    return int(stage.wire.info("memory")["used_memory"])


if __name__ == "__main__":
    main(measure, __doc__)
