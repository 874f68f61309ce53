"""The doctor looks again and again at a namespace under load, one worker and producers of every kind: it finds nothing.

``python -m tests.stress.doctor_under_load --minutes 60`` is the long form: it keeps its state in a directory, goes on
where it was stopped, prints a line a minute and at last a table.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from redsched import Client, Task
from redsched.embedded import EmbeddedServer
from redsched.observe.doctor import Report, examine
from tests.apps.ledger import LEDGER
from tests.support.processes import environment, until
from tests.support.servers import connect

QUEUES = ("default", "mail")
BATCHES_A_SECOND = 10


class Tally(msgspec.Struct):
    """What a run has done so far; written after each look."""

    seconds: float = 0.0
    looks: int = 0
    tasks_looked_at: int = 0
    enqueued: int = 0
    alarms: list[str] = []  # each would be a false one
    late: list[str] = []  # true ones of a machine that is too busy to keep up: nothing ran for two seconds
    warnings: dict[str, int] = {}
    slowest_look: float = 0.0


class Producers(threading.Thread):
    """Enqueues at a steady rate: soon due, later due, failing, slow, cancelled, moved, and raw in two commands."""

    def __init__(self, url: str, namespace: str, rate: int) -> None:
        super().__init__(daemon=True)
        self.enqueued = 0
        self.problem: Exception | None = None
        self._url = url
        self._namespace = namespace
        self._rate = rate
        self._ended = threading.Event()
        self._random = random.Random()

    def stop(self) -> None:
        """End, and tell what went wrong."""
        self._ended.set()
        self.join(30)
        if self.problem is not None:
            raise self.problem

    def run(self) -> None:
        """Until stopped."""
        try:
            with Client(self._url, namespace=self._namespace) as client, connect(self._url) as raw:
                at = time.monotonic()
                while not self._ended.is_set():
                    made = client.enqueue_many([self._task() for _ in range(self._rate // BATCHES_A_SECOND)])
                    self.enqueued += len(made)
                    some = [task.id for task in made if task.queue == QUEUES[0]]
                    if len(some) > 1:
                        client.cancel(some[0])
                        client.reschedule(some[1], delay="1s")
                    self._raw(raw)
                    at += 1 / BATCHES_A_SECOND
                    self._ended.wait(max(0.0, at - time.monotonic()))
        except Exception as error:
            self.problem = error

    def _task(self) -> Task:
        lot = self._random.random()
        delay = self._random.choice(("0s", "0s", "50ms", "500ms", "3s", "1m"))
        kind, payload = "note", None
        if lot < 0.02:
            kind, payload = "fail", {"times": 1}
        elif lot < 0.03:
            kind = "fail"
        elif lot < 0.05:
            kind, payload = "sleep", {"seconds": self._random.choice((0.1, 1.5))}
        return Task(
            type=kind,
            payload=payload,
            queue=self._random.choice(QUEUES),
            delay=delay,
            max_attempts=3,
            priority=self._random.choice(("high", "normal", "low")),
            retention=self._random.choice(("0s", "1s", "20s")),
        )

    def _raw(self, raw: object) -> None:
        """A foreign producer with a pause between its two commands."""
        task_id = f"raw-{self._random.getrandbits(60):x}"
        fields = {"type": "note", "payload": "null", "retention_ms": 1_000}
        raw.hset(f"{{{self._namespace}}}:task:default:{task_id}", mapping=fields)  # type: ignore[attr-defined]
        time.sleep(0.02)
        raw.zadd(f"{{{self._namespace}}}:due:default", {task_id: 0}, nx=True)  # type: ignore[attr-defined]


@contextmanager
def worker(url: str, namespace: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One worker of both queues with a lease of 2 s, so that leases are renewed all the time."""
    log = open(directory / "worker.log", "ab")  # noqa: SIM115
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "redsched",
            "-r",
            url,
            "--namespace",
            namespace,
            "worker",
            "tests.apps.ledger:app",
            "-q",
            ",".join(QUEUES),
            "--lease",
            "2s",
            "-c",
            "64",
        ],
        env=environment(**{LEDGER: os.devnull, "REDSCHED_LOG_LEVEL": "warning"}),
        stdout=log,
        stderr=log,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def alarms_of(report: Report) -> tuple[list[str], list[str]]:
    """Every fault and every line that says FAIL; those of lateness apart."""
    late: list[str] = []
    alarms = [f"{found.rule} {found.kind} {found.name}" for found in report.findings]
    for line in report.lines:
        if line.level == "FAIL":
            is_late = line.check == "mover" or line.check.endswith(": late")
            (late if is_late else alarms).append(f"{line.check}: {line.what}")
    return alarms, late


def run(
    url: str,
    directory: Path,
    seconds: float,
    *,
    rate: int,
    pause: float,
    gap: float = 0.0,
    tally: Tally,
    namespace: str = "load",
    state: Path | None = None,
) -> None:
    """Load for so long, looking all the while; goes on with the tally."""
    with Client(url, namespace=namespace) as client:
        client.install()
        producers = Producers(url, namespace, rate)
        with worker(url, namespace, directory) as process:
            with connect(url) as raw:
                until(lambda: raw.exists(f"{{{namespace}}}:mover"), lambda: "no worker yet")
            producers.start()
            warnings: Counter[str] = Counter(tally.warnings)
            last, told, before = time.monotonic(), time.monotonic(), tally.enqueued
            while tally.seconds < seconds:
                began = time.monotonic()
                report = examine(client, pause=pause)
                tally.slowest_look = max(tally.slowest_look, time.monotonic() - began - pause)
                tally.looks += 1
                tally.tasks_looked_at += report.tasks
                alarms, late = alarms_of(report)
                tally.alarms += alarms
                tally.late += late
                warnings.update(line.check for line in report.lines if line.level == "WARN")
                time.sleep(gap)
                tally.seconds += time.monotonic() - last
                last = time.monotonic()
                tally.enqueued, tally.warnings = before + producers.enqueued, dict(warnings)
                if state is not None:
                    state.write_bytes(msgspec.json.encode(tally))
                    if last - told >= 60:
                        told = last
                        print(_line(tally), flush=True)
                if producers.problem is not None or process.poll() is not None:
                    break
            producers.stop()
            assert process.poll() is None, "the worker ended"


def _line(tally: Tally) -> str:
    return (
        f"{tally.seconds / 60:.1f} min: {tally.looks} looks at {tally.tasks_looked_at} tasks, "
        f"{tally.enqueued} enqueued, {len(tally.alarms)} alarms, {len(tally.late)} late, "
        f"slowest look {tally.slowest_look:.2f} s"
    )


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=200, help="tasks a second")
    parser.add_argument("--directory", type=Path, default=Path("doctor-under-load"))
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    state = given.directory / "tally.json"
    tally = msgspec.json.decode(state.read_bytes(), type=Tally) if state.exists() else Tally()
    with EmbeddedServer.start(given.directory / "data") as server:
        seconds = given.minutes * 60
        run(server.url, given.directory, seconds, rate=given.rate, pause=2.0, gap=3.0, tally=tally, state=state)
    print(_line(tally))
    for check, times in sorted(tally.warnings.items()):
        print(f"  warned {times} times: {check}")
    for alarm in tally.alarms[:50]:
        print(f"  ALARM {alarm}")
    for late in tally.late[:50]:
        print(f"  late  {late}")
    return 1 if tally.alarms or tally.late else 0


if __name__ == "__main__":
    sys.exit(main())
