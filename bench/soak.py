"""Whether an hour under load and crashes loses a task or grows anything.

Tasks come at half of the top rate, each a second ahead, on the embedded server with an append-only file (everysec).
Two workers run them; every minute one of them is killed (SIGKILL) and started again, and once in each part the server
is. Kept for each minute: lateness, memory of the server and of the worker that is never killed, and what waits. At the
end of a part every acknowledged task must have started, and as many must have completed as were acknowledged.

The hour is made in parts: the same command with the same ``--state`` goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import minutes, plots
from bench.app import RECORD, RECORD_FILE
from bench.common import (
    CLIENT_CORE,
    QUEUE,
    ROOT,
    SERVER_CORE,
    Options,
    Stage,
    Tick,
    end_cleanly,
    now_ms,
    payload,
    pinned,
    worker_arguments,
)
from bench.drain import drain
from bench.minutes import Minute, Part, State
from bench.noise import busy_seconds, core_speed, cpu_seconds, on_core, resident_bytes
from bench.progress import Progress
from bench.report import Report, console, machine
from bench.wire import Wire
from redsched import Client, Task
from redsched.embedded import EmbeddedServer
from redsched.model.errors import OutcomeUnknown, StoreError

STEP = 0.05  # seconds between two batches
LEAD_MS = 1_000  # how far ahead tasks are enqueued
MOST = 1_000  # tasks of one call
TOP = 20_000  # tasks enqueued and drained to learn the top rate
HOUR_MS = 3_600_000
STEADY, KILLED = "steady", "killed"


class Soak:
    """One part: a server over the kept data, two workers, one producer."""

    def __init__(self, folder: Path, state: State, minute_seconds: float, lease: str, say: Tick) -> None:
        self._folder, self._state, self._minute, self._say = folder, state, minute_seconds, say
        self._lease = lease
        self._work = folder / "work"
        self._work.mkdir(exist_ok=True)
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._seen = bytearray()  # starts of each task by its number
        self._late: collections.Counter[int] = collections.Counter()  # of this minute, by tenth of a ms
        self._rest = b""
        self._acknowledged = self._again = self._early = 0
        self._killed: list[str] = []
        self._gone = 0.0  # CPU seconds of processes that were killed

    def run(self, count: int) -> None:
        """``count`` minutes of load, then wait for every task and keep what became of them."""
        records = self._work / RECORD_FILE
        with contextlib.ExitStack() as closing:
            closing.enter_context(on_core(CLIENT_CORE))
            with on_core(SERVER_CORE):
                self._server = closing.enter_context(EmbeddedServer.start(self._folder / "server"))
            self._client = closing.enter_context(Client(self._server.url, name="soak"))
            self._client.install()
            closing.callback(self._stop_workers)
            for name in (STEADY, KILLED):
                self._start(name)
            self._until_quiet("tasks of a part that was cut off")
            records.write_bytes(b"")
            self._records = closing.enter_context(records.open("rb"))
            before = self._completed()
            self._state.begun += 1
            self._state.save(self._folder)
            for minute in range(count):
                self._one_minute(minute, kills_server=minute == min(1, count - 1))
            self._until_quiet("the end of every task")
            self._read_starts()
            never = self._seen.count(0)
            self._state.parts.append(
                Part(
                    acknowledged=self._acknowledged,
                    completed=self._completed() - before,
                    never_started=never,
                    again=self._again,
                    early=self._early,
                )
            )
            self._state.save(self._folder)

    def _one_minute(self, minute: int, *, kills_server: bool) -> None:
        self._late.clear()
        self._killed = []
        acknowledged, again = self._acknowledged, self._again
        began, others = time.monotonic(), busy_seconds() - self._cpu()
        plans = {0.3: self._kill_worker} | ({0.6: self._kill_server} if kills_server else {})
        due_ms, made = now_ms() + LEAD_MS, 0
        while (passed := time.monotonic() - began) < self._minute:
            for at in [at for at in plans if passed >= at * self._minute]:
                plans.pop(at)()
            wanted = int(passed * self._state.rate)
            while made < wanted:
                size = min(wanted - made, MOST)
                self._enqueue([due_ms + int(1_000 * (made + n) / self._state.rate) for n in range(size)])
                made += size
            self._read_starts()
            time.sleep(max(0.0, STEP - (time.monotonic() - began - passed)))
        others = max(0.0, (busy_seconds() - self._cpu() - others) / (time.monotonic() - began))
        row = self._row(self._acknowledged - acknowledged, self._again - again, others)
        self._state.minutes.append(row)
        self._state.save(self._folder)
        self._say(
            f"minute {len(self._state.minutes)}: {row.acknowledged:,} acknowledged, p50 {row.p50:.1f} ms, "
            f"p99 {row.p99:.1f} ms, used_memory {row.used_memory / minutes.MIB:.1f} MiB, waiting {row.waiting:,}"
        )

    def _cpu(self) -> float:
        """CPU time of our processes so far, of those that were killed too."""
        pids = (os.getpid(), self._server.pid, *(worker.pid for worker in self._workers.values()))
        return self._gone + sum(map(cpu_seconds, pids))

    def _row(self, acknowledged: int, again: int, others: float) -> Minute:
        stats = self._client.stats([QUEUE])[0]
        return Minute(
            part=self._state.begun,
            acknowledged=acknowledged,
            started=self._late.total(),
            again=again,
            p50=share_of(self._late, 0.5),
            p99=share_of(self._late, 0.99),
            most=share_of(self._late, 1.0),
            used_memory=self._used_memory(),
            worker_rss=resident_bytes(self._workers[STEADY].pid),
            server_rss=resident_bytes(self._server.pid),
            waiting=stats.scheduled + stats.ready + stats.running,
            finished=stats.finished,
            others=others,
            killed=self._killed,
            core=core_speed(),
        )

    def _enqueue(self, dues_ms: list[int]) -> None:
        """Until they are acknowledged; their ids are their numbers, so that a repeat does nothing twice."""
        first = len(self._seen)
        tasks = [
            Task(
                type="bench.noop",
                payload=payload(first + n, due_ms),
                queue=QUEUE,
                due=due_ms,
                id=f"{self._state.begun}-{first + n}",
            )
            for n, due_ms in enumerate(dues_ms)
        ]
        while True:
            try:
                answers = self._client.enqueue_many(tasks)
                break
            except (OutcomeUnknown, StoreError):
                time.sleep(0.1)
        if any(answer.status == "conflict" for answer in answers):
            raise RuntimeError("an id of this part belongs to another task; give another --state")
        self._seen.extend(bytes(len(tasks)))
        self._acknowledged += len(tasks)

    def _read_starts(self) -> None:
        found = self._rest + self._records.read()
        whole = len(found) // RECORD.size * RECORD.size
        self._rest = found[whole:]
        for number, due_ms, started_ns in RECORD.iter_unpack(found[:whole]):
            late = started_ns // 100_000 - 10 * due_ms
            self._late[late] += 1
            self._early += late < 0
            if self._seen[number]:
                self._again += 1
            else:
                self._seen[number] = 1

    def _kill_worker(self) -> None:
        self._gone += cpu_seconds(self._workers[KILLED].pid)
        self._workers[KILLED].kill()
        self._workers[KILLED].wait()
        self._start(KILLED)
        self._killed.append("worker")

    def _kill_server(self) -> None:
        self._gone += cpu_seconds(self._server.pid)
        self._server.kill()
        with on_core(SERVER_CORE):
            self._server.restart()
        self._killed.append("server")

    def _start(self, name: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "REDSCHED_REDIS_URL": self._server.url}
        environment["REDSCHED_DATA_DIR"] = str(self._folder)
        command = [sys.executable, "-m", "redsched", *worker_arguments("--lease", self._lease)]
        with open(self._folder / f"{name}.log", "ab") as output:
            self._workers[name] = subprocess.Popen(
                pinned(CLIENT_CORE, command), cwd=self._work, env=environment, stdout=output, stderr=output
            )

    def _stop_workers(self) -> None:
        for worker in self._workers.values():
            worker.terminate()
        for worker in self._workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(30)
            worker.kill()

    def _until_quiet(self, what: str) -> None:
        """Wait until nothing is scheduled, ready or running; leases of a killed worker end meanwhile."""
        deadline, left = time.monotonic() + 180, -1
        while left:
            if (status := self._workers[STEADY].poll()) is not None:
                raise RuntimeError(f"{what}: the worker ended with status {status}; see {self._folder}")
            stats = self._client.stats([QUEUE])[0]
            now_left = stats.scheduled + stats.ready + stats.running
            if now_left != left:
                deadline = time.monotonic() + 180
            elif time.monotonic() > deadline:
                return  # what is left is lost: the part says so
            left = now_left
            time.sleep(0.1)

    def _completed(self) -> int:
        return self._client.stats([QUEUE])[0].totals.get("completed", 0)

    def _used_memory(self) -> int:
        with Wire(self._server.port) as wire:
            return int(wire.info("memory")["used_memory"])


def share_of(late: collections.Counter[int], share: float) -> float:
    """The nearest-rank percentile, in ms, of a count by tenth of a millisecond; 0 where nothing was counted."""
    left = share * late.total() - 1e-9
    for tenth in sorted(late):
        left -= late[tenth]
        if left <= 0:
            return tenth / 10
    return 0.0


def top_rate(options: Options) -> float:
    """Tasks a second that this server with an append-only file takes, and one worker runs.

    Both are measured one after the other; the server has to do both at once.
    """
    count = options.sized(TOP)
    with Stage(Report(name="rate", title="top rate"), options) as stage:
        began = time.perf_counter()
        stage.enqueue([now_ms() + HOUR_MS] * count)
        taken = time.perf_counter() - began
        return count / (taken + count / drain(stage, count).rate)


def main() -> int:
    """Measure; 1 where a task was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(tempfile.gettempdir()) / "redsched-soak"
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="minutes in all; default: 60")
    parser.add_argument("--part", type=int, default=10, metavar="N", help="minutes of a part; default: 10")
    parser.add_argument("--at-most", type=int, metavar="N", help="minutes of this call; the next one goes on")
    parser.add_argument("--state", type=Path, metavar="DIR", help=f"default: {default}")
    parser.add_argument("--rate", type=float, help="tasks a second; default: half of the top rate")
    parser.add_argument("--quick", action="store_true", help="four minutes of six seconds, in a directory of its own")
    given = parser.parse_args()
    end_cleanly()
    seconds, lease, total, part = (6.0, "5s", 4, 2) if given.quick else (60.0, "30s", given.minutes, given.part)
    with contextlib.ExitStack() as closing:
        folder = given.state or default
        if given.quick and not given.state:
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="redsched-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        state = State.load(folder)
        screen = console()
        with Progress(screen, "soak") as say:
            if not state.rate:
                options = Options(server="valkey", quick=given.quick, aof=True)
                state.rate = given.rate or top_rate(options) / 2
                say(f"{state.rate:,.0f} tasks a second")
            end = min(total, len(state.minutes) + (given.at_most or total))
            while (left := end - len(state.minutes)) > 0:
                Soak(folder, state, seconds, lease, say).run(min(left, part))
        return _tell(state, total)


def _tell(state: State, total: int) -> int:
    screen = console()
    screen.width = max(screen.width, 170)
    title = f"{len(state.minutes)} of {total} minutes at {state.rate:,.0f} tasks/s, with crashes"
    report = Report(name="soak", title=title)
    report.server, report.machine = "embedded server, AOF everysec", machine()
    minutes.fill(report, state)
    screen.print(minutes.table(state.minutes))
    report.print(screen)
    report.write()
    plots.draw(screen, [report])
    return 1 if any(part.lost for part in state.parts) else 0


if __name__ == "__main__":
    raise SystemExit(main())
