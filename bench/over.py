"""What one ``redsched mover`` costs beside 10,000 queues that are over: each had a task, and nothing is left of it.

Commands a second as MONITOR shows them, and CPU, as in ``idle.py``, once the mover has looked at every queue. The
floor is the same mover with no queue at all.
"""

from __future__ import annotations

import time
from typing import Any

from bench.common import BATCH, TYPE, Options, Stage, Tick, main
from bench.idle import monitor
from bench.report import Report
from redsched import Task
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Settlement
from redsched.wire.keys import queue_keys

QUEUES = 10_000
A_CALL = 16
SETTLE_SECONDS = 90  # the mover's first look at every queue, and the sweep after the minute in which tasks ended


def measure(options: Options, tick: Tick) -> Report:
    """Commands a second of a mover with nothing to do."""
    queues = options.sized(QUEUES)
    report = Report(name="over", title=f"one mover beside {queues:,} queues that are over")
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            for count, name in ((0, "no queue"), (queues, f"{queues:,} queues that are over")):
                stage.clear()
                _use(stage, count)
                _idle(stage, name, floor=not count)
                tick(f"run {run}, {name}")
    return report


def _idle(stage: Stage, name: str, *, floor: bool) -> None:
    report = stage.report
    with stage.child("mover", ["mover"]) as process:
        time.sleep(SETTLE_SECONDS)
        commands, watch = monitor(stage, {"mover": process.pid})
    goal: dict[str, Any] = {} if floor else {"target": 2.0, "better": "less"}
    report.add(f"{name}: commands sent", commands.total() / watch.seconds, "1/s", floor=floor, **goal)
    report.add(f"{name}: the mover's CPU", 100 * watch.used["mover"] / watch.seconds, "%", floor=floor)
    report.add(f"{name}: the server's CPU", 100 * watch.used["server"] / watch.seconds, "%", floor=floor)
    counted = ", ".join(f"{command} {n / watch.seconds:.2f}/s" for command, n in commands.most_common())
    report.notes[:] = [*(line for line in report.notes if not line.startswith(name)), f"{name}, last run: {counted}"]


def _use(stage: Stage, count: int) -> None:
    """One task in each of ``count`` queues, run to its end; it leaves no id behind."""
    names = [f"over{n}" for n in range(count)]
    cell = stage.client.cell

    def send(call: Call[Any]) -> Any:
        return call.read(stage.wire.call("FCALL", "rs1_" + call.verb, len(call.keys), *call.keys, *call.args))

    for at in range(0, count, BATCH):
        stage.client.enqueue_many([Task(type=TYPE, queue=name, retention="0s") for name in names[at : at + BATCH]])
    for at in range(0, count, A_CALL):
        keys = [queue_keys(cell, name) for name in names[at : at + A_CALL]]
        started = send(protocol.claim(keys, consumer="bench", count=A_CALL, lease_ms=30_000)).tasks
        send(protocol.settle(cell, [Settlement(one.queue, one.id, one.token, "complete") for one in started]))
    stage.wire.call("DEL", "{rs}:claimed:bench")


if __name__ == "__main__":
    main(measure, __doc__)
