"""A process with 1,000 connections that wait as idle workers do, over 100 queues, 50 of them on the measured one.

An entry that rings is claimed with up to 15 more, each start is noted as the measured handler does it, the claims are
settled, and the connection waits again.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import sys
import time

import msgspec

from bench.app import RECORD, RECORD_FILE
from bench.common import QUEUE
from bench.wire import Wire, pack
from redsched.wire import protocol
from redsched.wire.cells import Cell
from redsched.wire.claims import Bell, Settlement, Started
from redsched.wire.keys import GROUP, QueueKeys, queue_keys

CONNECTIONS, ON_THE_QUEUE, QUEUES = 1_000, 50, 100
CLAIM, LEASE_MS = 16, 30_000
CELL = Cell("rs")


class Reader:
    """One connection that waits for one queue."""

    def __init__(self, port: int, number: int, keys: QueueKeys) -> None:
        self.wire = Wire(port)
        self._consumer = f"reader{number}"
        self._keys = keys
        group = ("GROUP", GROUP, self._consumer)
        self._wait = pack("XREADGROUP", *group, "COUNT", 1, "BLOCK", 0, "STREAMS", keys.ready, ">")
        self.wire.send(self._wait)

    def rung(self, file: int) -> None:
        """Run what rang, then wait again."""
        (((_, ((entry, (_, task_id)),)),),) = self.wire.answers(1)
        bells = [Bell(self._keys.queue, f"normal/{entry.decode()}", task_id.decode())]
        more = True
        while more:
            call = protocol.claim([self._keys], consumer=self._consumer, count=CLAIM, lease_ms=LEASE_MS, bells=bells)
            claimed = call.read(self.wire.call("FCALL", "rs1_claim", len(call.keys), *call.keys, *call.args))
            bells, more = [], claimed.more
            if claimed.tasks:
                self._run(claimed.tasks, file)
        self.wire.send(self._wait)

    def _run(self, tasks: list[Started], file: int) -> None:
        for started in tasks:
            given = msgspec.json.decode(started.payload)
            os.write(file, RECORD.pack(given["number"], given["due_ms"], time.time_ns()))
        ends = [Settlement(started.queue, started.id, started.token, "complete") for started in tasks]
        call = protocol.settle(CELL, ends)
        self.wire.call("FCALL", "rs1_settle", len(call.keys), *call.keys, *call.args)


def main(port: int) -> None:
    """Wait until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    file = os.open(RECORD_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    names = [QUEUE, *(f"quiet{n}" for n in range(1, QUEUES))]
    with Wire(port) as wire, selectors.DefaultSelector() as selector:
        for name in names:
            wire.call("XGROUP", "CREATE", queue_keys(CELL, name).ready, GROUP, 0, "MKSTREAM")
        for number in range(CONNECTIONS):
            name = QUEUE if number < ON_THE_QUEUE else names[1 + number % (QUEUES - 1)]
            reader = Reader(port, number, queue_keys(CELL, name))
            selector.register(reader.wire, selectors.EVENT_READ, reader)
        while True:
            for key, _ in selector.select():
                key.data.rung(file)


if __name__ == "__main__":
    main(int(sys.argv[1]))
