"""Mutation testing of the Lua: which mechanical mutants do the tests and the simulation notice?

For each mutant, until something notices it: a few seeds of the simulation, the tests of its verb, the other tests of
the Lua, a stop before each write, a hundred more seeds. ``python -m tests.model.mutants`` goes on where it stopped;
``--sample 200`` takes every n-th; ``--table`` prints the table of tests/README.md. Survivors are listed with the reason
in ``survivors.py``; one without is a missing test.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tests.servers
from redsched.embedded import EmbeddedServer
from redsched.wire import scripts
from tests.model import halfway, simulation
from tests.model.mutation import Mutant, mutants
from tests.model.oracle import Violation
from tests.model.store import Build, Line, Refused, changed, source
from tests.model.survivors import EQUIVALENT, UNNOTICED

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "lua"
RESULTS = ROOT / "build" / "mutants"  # build/ is not kept by git
LIMIT_S = 900
FIRST_SEEDS, MORE_SEEDS = range(6), range(6, 106)


class _First:
    """A pytest plugin that remembers the first test that failed."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest."""
        if report.failed and not self.failed:
            self.failed = report.nodeid.removeprefix("tests/lua/")

    def pytest_collectreport(self, report: Any) -> None:
        """Called by pytest."""
        if report.failed and not self.failed:
            self.failed = f"collecting {report.nodeid}"


def _pytest(files: list[Path], *arguments: str) -> str:
    """The first test that fails, or nothing."""
    first = _First()
    code = pytest.main(
        ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments,
         *map(str, files)],
        plugins=[first],
    )  # fmt: skip
    return first.failed or (f"pytest ended with {code}" if code not in (0, 5) else "")


def _seeds(line: Line, build: Build, seeds: range) -> str:
    failure = simulation.first_failure(line, build, iter(seeds))
    return f"simulation: {failure[:150]}" if failure else ""


def judge(mutant: Mutant, server: EmbeddedServer) -> tuple[str, str]:
    """``caught``, ``survived`` or ``invalid`` (it does not load), and by what."""
    tests.servers.start_valkey = lambda _: contextlib.nullcontext(server)  # type: ignore[assignment,return-value]
    with changed({mutant.file: mutant.text}):
        line = Line(server.port, db=5)
        try:
            build = Build.load(line, "mutant", {mutant.file: mutant.text})
        except Refused as refused:
            return "invalid", str(refused)[:150]
        mine, others = _files(mutant.file)
        slow = "thousand or within_its_bounds"  # these take seconds
        fast = ("-k", f"valkey-functions and not ({slow})")
        full = [TESTS / "test_full.py"]
        looks: tuple[Callable[[], str], ...] = (
            lambda: _seeds(line, build, FIRST_SEEDS),
            lambda: _pytest(mine, *fast),
            lambda: _pytest(others, *fast),
            lambda: _pytest(full, "-k", "valkey") if (TESTS / "test_full.py").exists() else "",
            lambda: _pytest([*mine, *others], "-k", f"valkey-functions and ({slow})"),
            lambda: halfway.first_failure(line, build) or "",
            lambda: _seeds(line, build, MORE_SEEDS),
        )
        for look in looks:
            found = look()
            if found:
                return "caught", found
    return "survived", ""


def _files(name: str) -> tuple[list[Path], list[Path]]:
    """The tests of a file's verb, or of the verbs that use a part, and the rest."""
    stem = Path(name).stem
    if name.startswith("lib/"):
        users = [verb for verb in scripts.verbs() if stem in scripts.header(verb).uses]
        users = [] if len(users) > 6 else users
    else:
        users = [stem]
    every = [path for path in sorted(TESTS.glob("test_*.py")) if path.stem not in ("test_walk", "test_full")]
    mine = [path for path in every if path.stem.removeprefix("test_") in users]
    return mine, [path for path in every if path not in mine]


def _child(mutant: Mutant, server: EmbeddedServer, out: int) -> None:
    """In a process of its own: nothing of one mutant reaches the next."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        found = judge(mutant, server)
    except (Violation, Exception) as error:
        found = ("caught", f"{type(error).__name__}: {error}"[:150])
    os.write(out, json.dumps(found).encode())
    os._exit(0)


class Runner:
    """One server, one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: EmbeddedServer | None = None

    def run(self, mutant: Mutant) -> tuple[str, str]:
        """The verdict on one mutant."""
        if self.server is None:
            self.server = EmbeddedServer.start(Path(tempfile.mkdtemp(dir=self.folder)), appendfsync="no")
            with contextlib.closing(Line(self.server.port)) as line:
                line("CONFIG", "SET", "appendonly", "no")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _child(mutant, self.server, write)
        os.close(write)
        ready, _, _ = select.select([read], [], [], LIMIT_S)
        found = os.read(read, 65_536) if ready else b""
        os.close(read)
        if not found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            self.server.kill()
            self.server.stop()
            self.server = None
        os.waitpid(child, 0)
        if not found:
            return "caught", f"no end within {LIMIT_S} s" if not ready else "the test process died"
        verdict, by = json.loads(found)
        return verdict, by

    def close(self) -> None:
        """Stop the server."""
        if self.server is not None:
            self.server.stop()


def results() -> dict[str, dict[str, str]]:
    """What earlier runs found, by the mutant's name and the digest of its text's file."""
    path = RESULTS / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _write(found: dict[str, dict[str, str]]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    fresh = RESULTS / "results.json.new"
    fresh.write_text(json.dumps(found, indent=1, sort_keys=True))
    fresh.replace(RESULTS / "results.json")


def table(found: dict[str, dict[str, str]]) -> str:
    """The Markdown between the markers of tests/README.md."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    known = {mutant.name for mutant in mutants()}
    survivors = []
    for name, result in sorted(found.items()):
        if name not in known or result["verdict"] == "invalid":
            continue
        file, rule = name.split(":")[0], name.split(" ")[1]
        verdict = result["verdict"]
        if verdict == "survived":
            unnumbered = file + " " + name.partition(" ")[2]
            verdict = "equivalent" if unnumbered in EQUIVALENT else "survived"
            reason = (EQUIVALENT | UNNOTICED).get(unnumbered, "no test notices it yet")
            survivors.append(f"- `{name}` ({verdict}): {reason}")
        for row in (file, "all", f"rule {rule}"):
            rows[row][verdict] += 1
    lines = ["<!-- mutants -->", "| of | mutants | caught | equivalent | survived | caught of the others |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in ("all", *sorted(name for name in rows if name != "all")):
        count = rows[row]
        real = count["caught"] + count["survived"]
        share = f"{100 * count['caught'] / real:.1f} %" if real else "-"
        lines.append(
            f"| {row} | {sum(count.values())} | {count['caught']} | {count['equivalent']} | {count['survived']} "
            f"| {share} |"
        )
    return "\n".join([*lines, "", "Survivors:", "", *survivors, "<!-- /mutants -->"])


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="at most so many, spread evenly; 0: all")
    parser.add_argument("--only", default="", help="files and names that contain this")
    parser.add_argument("--skip", default="", help="leave out files that are named here, with commas")
    parser.add_argument("--again", action="store_true", help="also those that survived an earlier run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of the results, run nothing")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    asked = parser.parse_args(argv)
    skipped = tuple(asked.skip.split(",")) if asked.skip else ()
    wanted = [mutant for mutant in mutants() if asked.only in mutant.name and mutant.file not in skipped]
    if asked.sample:
        wanted = [wanted[at * len(wanted) // asked.sample] for at in range(min(asked.sample, len(wanted)))]
    found = results()
    if asked.table:
        print(table(found))
        return 0
    if asked.list:
        print("\n".join(mutant.name for mutant in wanted))
        return 0
    todo = [m for m in wanted if m.name not in found or (asked.again and found[m.name]["verdict"] == "survived")]
    print(f"{len(wanted)} mutants, {len(wanted) - len(todo)} judged before")
    _collect_once()
    with tempfile.TemporaryDirectory() as folder:
        if todo and (broken := _healthy(Path(folder))):
            print(f"the Lua as it is does not pass: {broken}")
            return 1
        _work(todo, found, Path(folder), asked.processes)
    mine = Counter(found[mutant.name]["verdict"] for mutant in wanted)
    print(f"{len(wanted)} mutants: {dict(mine)}")
    for mutant in wanted:
        if found[mutant.name]["verdict"] == "survived":
            print(f"survived  {mutant.name}")
    return 0


def _healthy(folder: Path) -> str:
    """What notices the Lua without any mutation: nothing, or the campaign proves nothing."""
    runner = Runner(folder)
    try:
        verdict, by = runner.run(Mutant("cancel.lua", 0, "none", "", source("cancel.lua")))
    finally:
        runner.close()
    return "" if verdict == "survived" else by


def _collect_once() -> None:
    """Import every test here, so that the children need not."""
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(TESTS)])


def _work(todo: list[Mutant], found: dict[str, dict[str, str]], folder: Path, processes: int) -> None:
    queue, lock, done, began = list(reversed(todo)), threading.Lock(), [0], time.monotonic()

    def work() -> None:
        runner = Runner(folder)
        while True:
            with lock:
                if not queue:
                    break
                mutant = queue.pop()
            verdict, by = runner.run(mutant)
            with lock:
                found[mutant.name] = {"verdict": verdict, "by": by}
                _write(found)
                done[0] += 1
                rate = done[0] / (time.monotonic() - began)
                print(
                    f"{done[0]} of {len(todo)}, {rate * 60:.0f}/min  {verdict:8} {mutant.name}  {by[:90]}", flush=True
                )
        runner.close()

    threads = [threading.Thread(target=work) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
