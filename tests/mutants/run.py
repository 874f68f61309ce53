"""Mutation testing of the Lua: which mechanical mutants do the tests and the simulation notice?

For each mutant, until something notices it, the quickest first: a few seeds of the simulation, the tests of its verb,
the other tests of the Lua, sixty seeds of the simulation of conditions, a stop before each write, a hundred more of the
first. ``python -m tests.mutants.run`` goes on where it stopped, as long as a mutant's file is as it was; ``--sample
220`` takes the same ones each time, of every file its share; ``--table`` prints the table of tests/README.md. Survivors
are listed with the reason in ``survivors.py``; one without is a missing test. What is listed there gets the first two
looks only, unless ``--again``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
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
import redis

import tests.support.servers
from redsched.embedded import EmbeddedServer
from redsched.wire import scripts
from tests.mutants.rules import Mutant, mutants
from tests.mutants.survivors import EQUIVALENT, UNNOTICED
from tests.simulation import conditions, halfway, tasks
from tests.simulation.oracle import Violation
from tests.support.lua_builds import Build, Line, Refused, changed, source

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "lua"
RESULTS = ROOT / "build" / "mutants"  # build/ is not kept by git
LIMIT_S = 400
BUSY_MS = 2_000  # a script that takes longer has no end
FIRST_SEEDS, MORE_SEEDS, PLANNED_SEEDS = range(6), range(6, 106), range(60)
SIMULATED = {"enqueue", "promote", "claim", "settle", "reap", "renew", "cancel", "reschedule", "update", "revive",
             "requeue", "drop", "progress", "sweep", "leave"}  # fmt: skip
PLANNED = {"enqueue", "promote", "claim", "settle", "reap", "cancel", "update", "sweep", "emit", "attend", "confirm",
           "follow", "kin", "explain", "pause", "resume", "paused", "put_rule", "drop_rule", "rules"}  # fmt: skip

SCHEDULES = {"put_schedule", "due_schedules", "fire", "trigger", "pause_schedule", "resume_schedule", "drop_schedule",
             "show_schedules", "put_calendar", "calendars"}  # fmt: skip
OF_SCHEDULES = ("schedules", "fire", "overlap", "trigger", "calendars", "schedule_garbage")  # the tests of these


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
    if not files:
        return ""  # pytest would take every test there is
    first = _First()
    code = pytest.main(
        ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments, *map(str, files)],
        plugins=[first],
    )
    return first.failed or (f"pytest ended with {code}" if code not in (0, 5) else "")


def _seeds(line: Line, build: Build, seeds: range) -> str:
    failure = tasks.first_failure(line, build, iter(seeds))
    return f"simulation: {failure[:150]}" if failure else ""


def _planned(server: EmbeddedServer, line: Line, build: Build) -> str:
    with redis.Redis(port=server.port, db=5, decode_responses=True, protocol=2) as text:
        failure = conditions.first_failure(line, text, build, iter(PLANNED_SEEDS))
    return f"simulation of conditions: {failure[:150]}" if failure else ""


def judge(mutant: Mutant, server: EmbeddedServer, brief: bool, telling: Counter[str]) -> tuple[str, str]:
    """``caught``, ``survived`` or ``invalid`` (it does not load), and by what.

    ``brief``: the first two looks only; ``telling``: how many mutants of this file each file of tests caught so far.
    """
    tests.support.servers.start_valkey = lambda _: contextlib.nullcontext(server)  # type: ignore[assignment,return-value]
    with changed({mutant.file: mutant.text}):
        line = Line(server.port, db=5)
        try:
            build = Build.load(line, "mutant", {mutant.file: mutant.text})
        except Refused as refused:
            return "invalid", str(refused)[:150]
        mine, others = (sorted(some, key=lambda path: -telling[path.name]) for some in _files(mutant.file))
        simulated, planned = (bool(some & set(_verbs(mutant.file))) for some in (SIMULATED, PLANNED))
        slow = "thousand or within_its_bounds"  # these take seconds
        fast = ("-k", f"valkey-functions and not ({slow})")
        full = [TESTS / "test_full.py"]
        looks: tuple[Callable[[], str], ...] = (
            lambda: _seeds(line, build, FIRST_SEEDS) if simulated else "",
            lambda: _pytest(mine, *fast),
            lambda: _pytest(others, *fast),
            lambda: _planned(server, line, build) if planned else "",
            lambda: _pytest(full, "-k", "valkey"),
            lambda: _pytest([*mine, *others], "-k", f"valkey-functions and ({slow})"),
            lambda: (halfway.first_failure(line, build) or "") if simulated else "",
            lambda: _seeds(line, build, MORE_SEEDS) if simulated else "",
        )
        for look in looks[:2] if brief else looks:
            found = look()
            if found:
                return "caught", found
    return "survived", ""


def _verbs(name: str) -> list[str]:
    """The verb that a file is, or those that load a module."""
    stem = Path(name).stem
    return [verb for verb in scripts.verbs() if stem in scripts.linked(verb)] if "/" in name else [stem]


def _files(name: str) -> tuple[list[Path], list[Path]]:
    """The tests of a file's verb, or of the verbs that use a module, and the rest."""
    stem = Path(name).stem
    if name.startswith("lib/"):
        users = [verb for verb in scripts.verbs() if stem in scripts.header(verb).uses]
        users = users if len(users) <= 6 or SCHEDULES.issuperset(users) else []
    else:
        users = [stem]
    if users and SCHEDULES.issuperset(users):
        users = [*OF_SCHEDULES]
    every = [path for path in sorted(TESTS.glob("test_*.py")) if path.stem not in ("test_walk", "test_full")]
    mine = [path for path in every if path.stem.removeprefix("test_") in users]
    return mine, [path for path in every if path not in mine]


def _child(mutant: Mutant, server: EmbeddedServer, out: int, brief: bool, telling: Counter[str]) -> None:
    """In a process of its own: nothing of one mutant reaches the next."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        found = judge(mutant, server, brief, telling)
    except (Violation, Exception) as error:
        found = ("caught", f"{type(error).__name__}: {error}"[:150])
    os.write(out, json.dumps(found).encode())
    os._exit(0)


class Runner:
    """One server, one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: EmbeddedServer | None = None

    def run(self, mutant: Mutant, brief: bool = False, telling: Counter[str] | None = None) -> tuple[str, str]:
        """The verdict on one mutant."""
        if self.server is None:
            self.server = EmbeddedServer.start(Path(tempfile.mkdtemp(dir=self.folder)), appendfsync="no")
            with contextlib.closing(Line(self.server.port)) as line:
                line("CONFIG", "SET", "appendonly", "no")
                line("CONFIG", "SET", "busy-reply-threshold", BUSY_MS)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _child(mutant, self.server, write, brief, telling or Counter())
        os.close(write)
        ends, why = time.monotonic() + LIMIT_S, "the test process died"
        while not (ready := select.select([read], [], [], 2)[0]):
            if (stuck := time.monotonic() > ends) or self._busy():
                why = f"no end within {LIMIT_S} s" if stuck else "a script has no end"
                break
        found = os.read(read, 65_536) if ready else b""
        os.close(read)
        if not found or self._busy():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            self.server.kill()
            self.server.stop()
            self.server = None
        os.waitpid(child, 0)
        verdict, by = json.loads(found) if found else ("caught", why)
        return verdict, by

    def _busy(self) -> bool:
        """Whether the server is held up by a script."""
        assert self.server is not None
        try:
            with contextlib.closing(Line(self.server.port)) as line:
                line("PING")
        except Refused as refused:
            return str(refused).startswith("BUSY")
        except OSError:
            return True  # it is not there any more
        return False

    def close(self) -> None:
        """Stop the server."""
        if self.server is not None:
            self.server.stop()


def results() -> dict[str, dict[str, str]]:
    """What earlier runs found of the mutants that there are now."""
    path = RESULTS / "results.json"
    found: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    return {m.name: found[m.name] for m in mutants() if m.name in found and found[m.name].get("of") == _digest(m)}


def _digest(mutant: Mutant) -> str:
    return hashlib.sha256(mutant.text.encode()).hexdigest()[:16]


def _unnumbered(name: str) -> str:
    """The name without its line, as survivors.py has it."""
    file, _, rest = name.partition(":")
    return f"{file} {rest.partition(' ')[2]}"


def sample(wanted: list[Mutant], most: int) -> list[Mutant]:
    """About so many, of every file its share and at least one; a change in one file leaves those of another."""
    of: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in wanted:
        of[mutant.file].append(mutant)
    taken = set()
    for mutants_of in of.values():
        drawn = sorted(mutants_of, key=lambda mutant: hashlib.sha256(_unnumbered(mutant.name).encode()).digest())
        taken.update(drawn[: max(1, round(len(drawn) * most / len(wanted)))])
    return [mutant for mutant in wanted if mutant in taken]


def _write(found: dict[str, dict[str, str]]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    fresh = RESULTS / "results.json.new"
    fresh.write_text(json.dumps(found, indent=1, sort_keys=True))
    fresh.replace(RESULTS / "results.json")


def table(found: dict[str, dict[str, str]]) -> str:
    """The Markdown between the markers of tests/README.md."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for name, result in sorted(found.items()):
        if result["verdict"] == "invalid":
            continue
        file, rule = name.split(":")[0], name.split(" ")[1]
        verdict = result["verdict"]
        if verdict == "survived":
            unnumbered = _unnumbered(name)
            verdict = "equivalent" if unnumbered in EQUIVALENT else "survived"
            reason = (EQUIVALENT | UNNOTICED).get(unnumbered, "no test notices it yet")
            survivors.append(f"- `{name}` ({verdict}): {reason}")
        for row in (file, "all", f"rule {rule}"):
            rows[row][verdict] += 1
    lines = [
        "<!-- mutants -->",
        "| of | mutants | caught | equivalent | survived | caught of the others |",
        "|---|---|---|---|---|---|",
    ]
    for row in ("all", *sorted(name for name in rows if name != "all")):
        count = rows[row]
        real = count["caught"] + count["survived"]
        share = f"{100 * count['caught'] / real:.1f} %" if real else "-"
        lines.append(
            f"| {row} | {sum(count.values())} | {count['caught']} | {count['equivalent']} | {count['survived']} "
            f"| {share} |"
        )
    return "\n".join([*lines, "", "Survivors:", "", *survivors, "<!-- end of mutants -->"])


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="about so many, of every file its share; 0: all")
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
        wanted = sample(wanted, asked.sample)
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
        _work(todo, found, Path(folder), asked.processes, asked.again)
    mine = Counter(found[mutant.name]["verdict"] for mutant in wanted)
    print(f"{len(wanted)} mutants: {dict(mine)}")
    for mutant in wanted:
        if found[mutant.name]["verdict"] == "survived":
            print(f"{'equivalent' if _unnumbered(mutant.name) in EQUIVALENT else 'survived'}  {mutant.name}")
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


def _work(todo: list[Mutant], found: dict[str, dict[str, str]], folder: Path, processes: int, again: bool) -> None:
    queue, lock, done, began = list(reversed(todo)), threading.Lock(), [0], time.monotonic()

    def work() -> None:
        runner = Runner(folder)
        while True:
            with lock:
                if not queue:
                    break
                mutant = queue.pop()
                same = [by["by"] for name, by in found.items() if name.startswith(f"{mutant.file}:")]
            brief = _unnumbered(mutant.name) in EQUIVALENT | UNNOTICED and not again
            verdict, by = runner.run(mutant, brief, Counter(by.partition("::")[0] for by in same))
            with lock:
                found[mutant.name] = {"verdict": verdict, "by": by, "of": _digest(mutant)}
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
