"""Mutation testing of the Lua: which mechanical mutants do the tests and the simulations notice?

A look is a test of the Lua on the embedded server, a few seeds of a simulation, or a verb that is stopped before each
of its writes. One recorded run says to which blocks of the Lua each look comes, and how long it takes. A mutant gets
the looks that come to its block, first those that are quick and have noticed others near it, until one notices it. It
survives once all of them have passed; one that passes the first few gets the others after all other mutants. A
campaign goes on where it stopped, as long as a mutant's file is as it was. Survivors are listed with the reason in
``survivors.py``; one without is a missing test. What is listed there gets the first looks only, unless ``--again``.
"""

from __future__ import annotations

import argparse
import gc
import select
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from redsched.embedded import EmbeddedServer
from tests.mutants import reach, verdicts
from tests.mutants.looks import ROOT, Failures, Look, Stage, looks, pytest_arguments, run_all, use
from tests.mutants.record import Record
from tests.mutants.rooms import BROKEN, Room, Say, Work
from tests.mutants.rules import Mutant, mutants
from tests.mutants.survivors import EQUIVALENT, UNNOTICED
from tests.support.lua_builds import Refused, changed

BUILD = ROOT / "build" / "mutants"  # build/ is not kept by git
FIRST = 80  # looks that each mutant gets before any gets more


def judging(mutant: Mutant | None, plan: list[Look], failures: Failures) -> Work:
    """Tell after each look how many have passed, and then the verdict and by what; no mutant: on the Lua as it is."""

    def work(server: EmbeddedServer, say: Say) -> None:
        use(server)
        with changed({mutant.file: mutant.text} if mutant else {}):
            try:
                stage = Stage.of(server)
            except Refused as refused:
                return say(["invalid", str(refused)[:150]])
            for passed, (look, noticed) in enumerate(run_all(plan, stage, failures), 1):
                if noticed:
                    return say(["caught", f"{look.name} | {noticed}"])
                say(passed)
        return say(["survived", ""])

    return work


@dataclass
class Trial:
    """A mutant in a room."""

    mutant: Mutant
    plan: list[Look]
    more: list[Look]  # that it gets later
    passed: int = 0
    verdict: tuple[str, str] | None = None

    def stuck(self, why: str) -> tuple[str, str]:
        """The verdict on one that does not come to an end."""
        name = self.plan[self.passed].name if self.passed < len(self.plan) else "the last look"
        return "caught", f"{name} | {why}"


class Campaign:
    """Judges mutants, one at a time in each room."""

    def __init__(self, record: Record, rooms: list[Room], failures: Failures) -> None:
        self._record, self._rooms, self._failures = record, rooms, failures
        self._trials: dict[Room, Trial] = {}

    def judge(self, todo: list[Mutant], found: dict[str, verdicts.Result], brief: set[str], path: Path) -> None:
        """All of these, in turn; ``brief``: those that get the first looks only."""
        waiting, long, began, tally = list(reversed(todo)), list[Trial](), time.monotonic(), Counter[str]()
        with progress() as bar:
            task = bar.add_task("", total=len(todo))
            while waiting or long or self._trials:
                for room in self._rooms:
                    if waiting and room not in self._trials:
                        mutant = waiting.pop()
                        plan = self._record.order(mutant, found)
                        self._begin(room, Trial(mutant, plan[:FIRST], [] if mutant.name in brief else plan[FIRST:]))
                    elif long and room not in self._trials:
                        self._begin(room, long.pop())
                for trial in self._ended():
                    assert trial.verdict is not None
                    (verdict, by), mutant = trial.verdict, trial.mutant
                    if verdict == BROKEN:  # the machine's fault, not the mutant's
                        bar.console.print(f"once more: {mutant.name}: {by}", markup=False, soft_wrap=True)
                        waiting.append(mutant)
                        continue
                    if verdict == "survived" and trial.more:
                        long.insert(0, Trial(mutant, trial.more, []))
                        bar.update(
                            task, description=f"{_counts(tally)}, {len(long)} to be looked at longer", refresh=True
                        )
                        continue
                    block = str(reach.block_of(mutant))
                    found[mutant.name] = {"verdict": verdict, "by": by, "of": verdicts.digest(mutant), "block": block}
                    verdicts.keep(path, found)
                    tally[verdict] += 1
                    rate = 60 * tally.total() / (time.monotonic() - began)
                    line = f"{tally.total()} of {len(todo)}, {rate:.0f}/min  {verdict:8} {mutant.name}  {by[:120]}"
                    bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
                    description = f"{_counts(tally)}, {len(long)} to be looked at longer"
                    bar.update(task, completed=tally.total(), description=description, refresh=True)

    def _begin(self, room: Room, trial: Trial) -> None:
        self._trials[room] = trial
        room.limit_s = self._record.limit(trial.plan, 0)
        room.begin(judging(trial.mutant, trial.plan, self._failures))

    def _ended(self) -> Iterator[Trial]:
        speaking = select.select(list(self._trials), [], [], 0.5)[0]
        for room, trial in list(self._trials.items()):
            over = False
            for said in room.said() if room in speaking else ():
                if said is None:
                    over = True
                elif isinstance(said, int):
                    trial.passed = said
                    room.limit_s = self._record.limit(trial.plan, said)
                else:
                    trial.verdict = (said[0], said[1])
            if over and trial.verdict is None:
                trial.verdict = trial.stuck("the process of the looks died")
            elif not over and (why := room.stuck()):
                trial.verdict, over = trial.stuck(why), True
                room.stop()
            if over:
                del self._trials[room]
                yield trial

    def confirm(self, names: set[str]) -> str:
        """Run the looks that noticed something over the Lua as it is: what one of them notices there, or nothing."""
        room, plan = self._rooms[0], self._record.named(names)
        room.limit_s, verdict = 60.0, ("caught", "the looks broke off")
        room.begin(judging(None, plan, self._failures))
        while select.select([room], [], [], 120)[0]:
            for said in room.said():
                if said is None:
                    return verdict[1]
                if isinstance(said, list):
                    verdict = (said[0], said[1])
        return "the looks have no end"


def _counts(tally: Counter[str]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(tally.items()))


def progress() -> Progress:
    """A bar that is drawn when something has ended: a thread that draws would be there when this process forks."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    return Progress(*columns, auto_refresh=False)


class Host:
    """A pytest plugin: once pytest has collected the tests, the campaign takes the place of running them."""

    def __init__(self, asked: argparse.Namespace, wanted: list[Mutant]) -> None:
        self._asked, self._wanted, self._failures = asked, wanted, Failures()
        self.code = 2  # unless it comes to its end

    def pytest_configure(self, config: pytest.Config) -> None:
        """Called by pytest."""
        config.pluginmanager.register(self._failures)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Called by pytest."""
        if session.testsfailed:
            print("the tests could not be collected: run pytest --collect-only")
            return True
        every = looks(session.items)
        gc.collect()
        gc.freeze()  # children share what is there
        with tempfile.TemporaryDirectory() as folder:
            rooms = [Room(Path(folder)) for _ in range(self._asked.processes)]
            try:
                self.code = self._run(every, rooms)
            finally:
                for room in rooms:
                    room.stop()
        return True

    def _run(self, every: list[Look], rooms: list[Room]) -> int:
        asked, wanted = self._asked, self._wanted
        record = Record(every)
        if broken := record.make(rooms, BUILD / "reach.json", progress, self._failures):
            print("the Lua as it is does not pass:", *broken, sep="\n")
            return 1
        found = verdicts.kept(asked.resume)
        todo = [m for m in wanted if m.name not in found or (asked.again and found[m.name]["verdict"] == "survived")]
        print(f"{len(wanted)} mutants, {len(wanted) - len(todo)} judged before; {len(every)} looks", flush=True)
        listed = {m.name for m in todo if not asked.again and verdicts.unnumbered(m.name) in EQUIVALENT | UNNOTICED}
        campaign = Campaign(record, rooms, self._failures)
        campaign.judge(todo, found, listed, asked.resume)
        caught = {found[m.name]["by"].partition(" | ")[0] for m in todo if found[m.name]["verdict"] == "caught"}
        if caught and (broken_by := campaign.confirm(caught)):
            print(f"the Lua as it is does not pass, so what this look noticed proves nothing: {broken_by}")
            return 1
        summary = Counter(found[mutant.name]["verdict"] for mutant in wanted)
        print(f"{len(wanted)} mutants: {dict(summary)}")
        for mutant in wanted:
            if found[mutant.name]["verdict"] == "survived":
                kind = "equivalent" if verdicts.unnumbered(mutant.name) in EQUIVALENT else "survived"
                print(f"{kind}  {mutant.name}")
        for name in verdicts.stale():
            print(f"survivors.py names what is no mutant any more: {name}")
        return 0


def chosen(asked: argparse.Namespace) -> list[Mutant]:
    """The mutants that the command line asks for."""
    wanted = [
        mutant
        for mutant in mutants()
        if any(part in mutant.name for part in asked.only.split(","))
        and not any(part and part in mutant.name for part in asked.skip.split(","))
    ]
    return verdicts.sample(wanted, asked.sample, asked.seed) if asked.sample else wanted


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="about so many, of every file its share; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="another one draws another sample")
    parser.add_argument("--only", default="", help="files and names that contain one of these, with commas")
    parser.add_argument("--skip", default="", help="leave out those that contain one of these, with commas")
    parser.add_argument("--again", action="store_true", help="also those that survived an earlier run, and all looks")
    parser.add_argument("--resume", type=Path, default=BUILD / "results.json", help="where results are kept")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of the results, run nothing")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    asked = parser.parse_args(argv)
    if asked.table:
        print(verdicts.table(verdicts.kept(asked.resume)))
        return 0
    wanted = chosen(asked)
    if asked.list:
        print(*(mutant.name for mutant in wanted), sep="\n")
        return 0
    host = Host(asked, wanted)
    with tempfile.TemporaryDirectory() as folder:
        pytest.main([*pytest_arguments(), "--basetemp", folder], plugins=[host])
    return host.code


if __name__ == "__main__":
    sys.exit(main())
