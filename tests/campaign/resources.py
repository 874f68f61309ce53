"""A server without memory, without disk, and with nobody to work: producers are told, everything else goes on."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from redsched.torture.history import Event
from redsched.torture.nemesis import FAULTS, Fault
from redsched.torture.stage import CAST, Stage
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server

DISK_MB = 24
BACKLOG = 100_000


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment; the variant is ``memory``, ``disk-always``, ``disk-everysec`` or ``backlog``."""
    {"memory": _memory, "backlog": _backlog}.get(result.variant, _disk)(result, folder, seconds, tell)


def _memory(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """maxmemory falls below what is used, and rises again: enqueue is refused, draining goes on."""
    with ExitStack() as stack:
        server = stack.enter_context(Server("valkey", folder / "data"))
        connection = stack.enter_context(server.connect())
        ended = {"drained while full": 0}

        def fill(stage: Stage, chance: random.Random) -> None:
            began, before = time.monotonic(), _completed(stage)
            connection.config_set("maxmemory", "1mb")
            time.sleep(chance.uniform(0.5, 2.5))
            ended["drained while full"] += _completed(stage) - before
            connection.config_set("maxmemory", "0")
            # it explains no execution too many: whoever runs must be able to renew and to settle
            stage.journal.write_all((Event(began, "fault", word="out of memory", id="the memory"),))

        kills = [fault for fault in FAULTS if fault.name.startswith("kill")]
        faults = (Fault("out of memory", 12, fill), *kills)
        play(
            result,
            stack,
            server.url,
            folder,
            seconds,
            faults=faults,
            pace=(0.2, 1.0),
            tell=tell,
            before_drain=lambda stage: connection.config_set("maxmemory", "0"),
        )
        result.figures = ended
        result.require(ended["drained while full"] > 0, "STOPPED: nothing was completed while memory was full")


def _completed(stage: Stage) -> int:
    return sum(stats.totals.get("completed", 0) for stats in stage.client.stats(stage.plan.settings.queues))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a few megabytes; raises PermissionError where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise PermissionError("mount is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _disk(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """The disk of the append-only file is full for a while. With ``always`` the server ends itself and is started again
    when there is room; with ``everysec`` it refuses every write."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(folder / "disk"))
        except PermissionError as error:
            result.figures = {"left out": str(error)}
            return
        fsync = result.variant.partition("-")[2]
        server = stack.enter_context(Server("redis7", disk, appendfsync=fsync))
        ballast, times = disk / "ballast", {"filled": 0, "server ended itself": 0}

        def fill(stage: Stage, chance: random.Random) -> None:
            began = time.monotonic()
            with suppress(OSError), open(ballast, "wb") as file:
                while True:
                    file.write(bytes(65_536))
                    file.flush()
            end = time.monotonic() + chance.uniform(1.0, 2.5)
            while time.monotonic() < end and server.process.poll() is None:
                stage.tend()
                time.sleep(0.02)
            ballast.unlink()
            times["filled"] += 1
            if server.process.poll() is not None:
                times["server ended itself"] += 1
                server.start()
            else:
                _until_written(server)
            with server.connect() as connection, suppress(redis.RedisError):
                connection.bgrewriteaof()
            stage.journal.write_all((Event(began, "fault", word="disk full", until=time.monotonic() + 1.0),))

        faults = (Fault("disk full", 1, fill),)
        play(result, stack, server.url, folder, seconds, faults=faults, pace=(4.0, 6.0), rate=20.0, tell=tell)
        result.figures = times
        result.require(times["filled"] > 0, "VACUOUS: the disk was never full")


def _until_written(server: Server) -> None:
    """Wait until the server takes writes again."""
    deadline = time.monotonic() + 10
    with server.connect() as connection:
        while time.monotonic() < deadline:
            with suppress(redis.RedisError):
                if connection.info("persistence")["aof_last_write_status"] == "ok":
                    return
            time.sleep(0.05)


def _backlog(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """Very many tasks are due and nobody works; then everybody comes at once."""
    with ExitStack() as stack:
        server = stack.enter_context(Server("valkey", folder / "data", appendfsync="everysec"))
        connection = stack.enter_context(server.connect())
        connection.config_set("slowlog-log-slower-than", 10_000)
        took = {"backlog": 0, "seconds": 0.0}

        def pile(stage: Stage) -> None:
            prefix = stage.client.cell_keys.prefix
            for queue in stage.plan.settings.queues:
                pipeline = connection.pipeline(transaction=False)
                for number in range(BACKLOG // len(stage.plan.settings.queues)):
                    task_id = f"{queue}:pile:{number}"
                    pipeline.hset(f"{prefix}task:{queue}:{task_id}", mapping={"type": "torture.run", "payload": "{}"})
                    pipeline.zadd(f"{prefix}due:{queue}", {task_id: 1_000_000_000_000 + number})
                    if number % 5_000 == 4_999:
                        pipeline.execute()
                pipeline.execute()
            time.sleep(3.0)  # movers make all of it ready, whether anybody works or not
            took["backlog"] = stage.left() or 0
            began = time.monotonic()
            for _ in range(4):
                stage.spawn("worker")
            while (left := stage.left()) is None or left > 1_000:
                stage.tend()
                time.sleep(0.1)
                if time.monotonic() - began > 120:
                    break
            took["seconds"] = round(time.monotonic() - began, 2)
            took["a second"] = round(took["backlog"] / took["seconds"])

        none = (Fault("none", 1, lambda stage, chance: None),)
        play(
            result,
            stack,
            server.url,
            folder,
            min(seconds, 5.0),
            faults=none,
            cast=CAST | {"worker": 0, "producer": 0, "http-producer": 1},
            tell=tell,
            before_drain=pile,
        )
        slow = [entry["duration"] for entry in connection.slowlog_get(128)]
        result.problems = [problem for problem in result.problems if not problem.startswith("GHOST")]  # written by hand
        result.other = len(result.problems)
        result.figures = took | {
            "slowest call ms": round(max(slow, default=0) / 1_000, 1),
            "calls over 10 ms": len(slow),
        }
        result.require(took["seconds"] < 115, "STUCK: the backlog was not worked off")
