"""Every-prefix crash: a session is recorded, its append-only file is cut everywhere, and a server reads what is left.

With ``appendfsync always`` an acknowledged call is in the file, and a script's writes are one transaction there. So
after any cut the namespace must be exactly as it was after the last whole call: nothing acknowledged is lost and
nothing is half done. Then everything that is left is drained. ``python -m tests.simulation.aof_prefix --cuts 2000``.
"""

from __future__ import annotations

import argparse
import bisect
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redsched.embedded import find_server_binary
from tests.simulation.calls_and_states import Violation
from tests.simulation.oracle import Oracle
from tests.simulation.tasks import Run
from tests.support.lua_builds import SNAPSHOT, Build, Line, Refused, whole
from tests.support.servers import RedisServer

OPERATIONS = 300
SEED = 4  # with foreign writes, without scripts that stop half-way
PASSING = ("claimed", "mover")  # keys that end by themselves, by real time
_SERVER = (
    "--appendfsync", "always", "--aof-use-rdb-preamble", "no", "--auto-aof-rewrite-percentage", "0",
    "--enable-debug-command", "yes",
)  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """The state after one command was answered, and how long the file was."""

    size: int
    now: int
    state: dict[str, Any] = field(repr=False)


class Recorder(Line):
    """Remembers the state and the length of the file after each command."""

    def __init__(self, port: int, file: Path, namespace: str) -> None:
        super().__init__(port)
        self.file, self.namespace = file, namespace
        self.run: Run | None = None
        self.marks: list[Mark] = []
        self.calls = 0

    def __call__(self, *words: Any) -> Any:
        reply = super().__call__(*words)
        if SNAPSHOT not in words and self.run is not None:
            self.calls += words[0] == "FCALL"
            self.marks.append(Mark(self.file.stat().st_size, self.run.now, whole(self, self.namespace, PASSING)))
        return reply


@dataclass(frozen=True)
class Session:
    """What was recorded: the folder with the whole file, and the marks."""

    folder: Path
    marks: list[Mark]
    oracle: Oracle
    calls: int

    @property
    def incremental(self) -> Path:
        """The file that is cut."""
        return self.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"

    def cuts(self, many: int) -> list[int]:
        """Lengths: every end of a command and a place inside each, or ``many`` of them, spread evenly."""
        rng, ends = random.Random(1), list(_ends(self.incremental.read_bytes()))
        inside = [rng.randrange(start + 1, end) for start, end in zip([0, *ends], ends, strict=False)]
        every = sorted({*ends, *inside})
        return every if many >= len(every) else [every[at * len(every) // many] for at in range(many)]

    def expected(self, cut: int) -> Mark | None:
        """The state that a server must have which reads this much."""
        at = bisect.bisect_right([mark.size for mark in self.marks], cut)
        return self.marks[at - 1] if at else None


def _ends(content: bytes) -> Iterator[int]:
    """Where each command of the file ends."""
    at = 0
    while at < len(content):
        end = content.index(b"\r\n", at)
        words, at = int(content[at + 1 : end]), end + 2
        for _ in range(words):
            end = content.index(b"\r\n", at)
            at = end + 2 + int(content[at + 1 : end]) + 2
        yield at


def record(folder: Path, operations: int = OPERATIONS) -> Session:
    """A session of the simulation's actors, at least so many calls long."""
    server = RedisServer(find_server_binary()[0], folder, *_SERVER)
    try:
        line = Recorder(server.port, folder / "appendonlydir" / "appendonly.aof.1.incr.aof", f"s{SEED:08d}")
        run = Run(line, Build.load(line, "sim"), SEED)
        line("HSET", run.key("meta"), "virtual_clock", 1)
        # what ends by itself must not be written between the end of a command and the look at how long the file is
        line("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        line.run = run
        run.state = run._look()
        while line.calls < operations:
            run.step += 1
            run._turn()
        line.run = None
        line.close()
    finally:
        server.stop()
    return Session(folder, line.marks, run.oracle, line.calls)


def _loaded(port: int) -> Line:
    """A connection to a server that has read its file."""
    line = Line(port)
    while True:
        try:
            line("PING")
            return line
        except Refused as refused:
            if not str(refused).startswith("LOADING"):
                raise
            time.sleep(0.01)


def check(session: Session, cut: int, folder: Path) -> None:
    """Start a server on a file of this length; compare, check and drain. Raises Violation."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        session.folder / "appendonlydir", folder / "appendonlydir", ignore=shutil.ignore_patterns("*.incr.aof")
    )
    with open(session.incremental, "rb") as recorded:
        (folder / "appendonlydir" / session.incremental.name).write_bytes(recorded.read(cut))
    server = RedisServer(find_server_binary()[0], folder, *_SERVER[2:], "--appendfsync", "no")
    try:
        line = _loaded(server.port)
        run = Run(line, Build.load(line, "sim"), SEED)
        expected = session.expected(cut)
        if expected is None:
            return
        found = whole(line, run.cell.tag, PASSING)
        other = [
            f"{key} is {found.get(key)}, was {expected.state.get(key)}"
            for key in sorted(found.keys() | expected.state.keys())
            if found.get(key) != expected.state.get(key)
        ]
        if other:
            raise Violation("; ".join(other))
        run.oracle.loose = set(session.oracle.loose)
        run.now, run.state = expected.now, run._look()
        run.oracle.static(run.state)
        run._drain()
        line.close()
    except Violation as broken:
        raise Violation(f"cut {cut}: {broken}") from broken
    finally:
        server.stop()


def _part(work: tuple[Session, list[int], Path]) -> list[str]:
    session, cuts, folder = work
    failures = []
    for cut in cuts:
        try:
            check(session, cut, folder)
        except Violation as broken:
            failures.append(str(broken))
    return failures


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.aof_prefix", description=__doc__)
    parser.add_argument("--cuts", type=int, default=2_500, help="at most so many, spread evenly over the file")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="calls of the recorded session")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many of the cuts, from the start")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder) / "recorded"
        recorded.mkdir()
        session = record(recorded, asked.operations)
        cuts = session.cuts(asked.cuts)[asked.skip :]
        print(
            f"{session.calls} calls, {len(session.marks)} commands, "
            f"{session.incremental.stat().st_size} bytes, {len(cuts)} cuts"
        )
        began, done = time.monotonic(), 0
        failures: list[str] = []
        parts = [(session, cuts[at : at + 20], Path(folder) / f"part{at}") for at in range(0, len(cuts), 20)]
        with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
            for failed in pool.imap_unordered(_part, parts):
                done += 1
                failures += failed
                for failure in failed:
                    print(failure[:1_000])
                rate = min(done * 20, len(cuts)) / (time.monotonic() - began)
                print(
                    f"{min(done * 20, len(cuts))} of {len(cuts)} cuts, {rate:.0f}/s, {len(failures)} failed", flush=True
                )
    print(f"{len(cuts)} cuts in {time.monotonic() - began:.0f} s, {len(failures)} violations")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
