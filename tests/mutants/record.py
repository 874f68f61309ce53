"""How long each look takes and to which blocks it comes; from this, which looks a mutant gets, and in which order."""

from __future__ import annotations

import hashlib
import json
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.progress import Progress

from redsched.embedded import EmbeddedServer
from redsched.wire import scripts
from tests.mutants import reach
from tests.mutants.looks import ROOT, Failures, Look, Stage, has_record, run_all, use
from tests.mutants.rooms import BROKEN, Room, Say, Work
from tests.mutants.rules import Mutant
from tests.mutants.verdicts import Result
from tests.support.lua_builds import Line


def _writing_down(part: list[Look], failures: Failures) -> Work:
    def work(server: EmbeddedServer, say: Say) -> None:
        use(server)
        with reach.written_down():
            stage, line = Stage.of(server), Line(server.port)
            reach.reached(line)
            began = time.monotonic()
            for look, noticed in run_all(part, stage, failures):
                seconds = time.monotonic() - began
                say([look.name, seconds, sorted(reach.reached(line)), noticed])
                began = time.monotonic()

    return work


def _digest(*texts: bytes) -> str:
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def _of_each(every: list[Look]) -> dict[str, str]:
    """For each look, what its record holds for: the Lua, what tests share, and the file that the look is in."""
    folders = [ROOT / "tests" / name for name in ("support", "simulation", "oracles")]
    shared = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py"))]
    around = _digest(scripts.digest().encode(), *shared)
    files = {look.item.path for look in every if look.item}
    digests = {path: _digest(path.read_bytes()) for path in files}
    return {look.name: around + (digests[look.item.path] if look.item else "") for look in every}


def _recorded(todo: list[Look], rooms: list[Room], failures: Failures) -> Iterator[list[Any]]:
    """For each look its name, how long it took, the blocks to which it came, and what it noticed."""
    share = -(-len(todo) // len(rooms)) or 1
    busy = []
    for room, first in zip(rooms, range(0, len(todo), share), strict=False):
        room.begin(_writing_down(todo[first : first + share], failures))
        busy.append(room)
    while busy:
        for room in select.select(busy, [], [], 120)[0]:
            for said in room.said():
                if said is None:
                    busy.remove(room)
                elif said[0] == BROKEN:
                    raise RuntimeError(f"the record was broken off: {said[1]}")
                else:
                    yield said


def _write(path: Path, found: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(found))
    fresh.replace(path)


class Record:
    """What is known of the looks."""

    def __init__(self, every: list[Look]) -> None:
        self._every = every
        self._seconds: dict[str, float] = {}
        self._blocks: dict[str, frozenset[int]] = {}

    def make(self, rooms: list[Room], path: Path, progress: Callable[[], Progress], failures: Failures) -> list[str]:
        """Read it, and run the looks that it lacks over the Lua that writes down its blocks; which of them failed.

        A look that failed gets a second chance, since a busy machine may have failed it.
        """
        of = _of_each(self._every)
        known = json.loads(path.read_text()) if path.exists() else {}
        found: dict[str, list[Any]] = {name: one for name, one in known.items() if one[0] == of.get(name)}
        broken: dict[str, str] = {}
        for _ in range(2):
            if not (todo := [look for look in self._every if look.name not in found]):
                break
            broken = {look.name: "the process died" for look in todo}
            with progress() as bar:
                task, written = bar.add_task("recorded", total=len(self._every)), time.monotonic()
                for name, seconds, blocks, noticed in _recorded(todo, rooms, failures):
                    if noticed:
                        broken[name] = noticed
                        continue
                    found[name] = [of[name], seconds, blocks]
                    del broken[name]
                    bar.update(task, completed=len(found), refresh=True)
                    if time.monotonic() > written + 20:  # what is broken off goes on from here
                        _write(path, found)
                        written = time.monotonic()
            _write(path, found)
        self._take(found)
        return [f"{name}: {noticed}" for name, noticed in broken.items()]

    def _take(self, found: dict[str, list[Any]]) -> None:
        self._seconds = {name: one[1] for name, one in found.items()}
        self._blocks = {name: frozenset(one[2]) for name, one in found.items()}

    def named(self, names: set[str]) -> list[Look]:
        """The looks of these names."""
        return [look for look in self._every if look.name in names]

    def limit(self, plan: list[Look], at: int) -> float:
        """Processor time for the look at this place of the plan: one that takes more has no end."""
        return 10 + 10 * self._seconds[plan[at].name] if at < len(plan) else 10

    def order(self, mutant: Mutant, found: dict[str, Result]) -> list[Look]:
        """The looks that come to the mutant's block: first those that cost least for what one may hope of them."""
        block = reach.block_of(mutant)
        mine = [look for look in self._every if not has_record(look) or block < 0 or block in self._blocks[look.name]]
        near: Counter[str] = Counter()
        for name, result in found.items():
            if result["verdict"] == "caught" and name.startswith(f"{mutant.file}:"):
                near[result["by"].partition(" | ")[0]] += 5 if result.get("block") == str(block) else 1
        named = _named_tests(mutant)

        def price(look: Look) -> float:
            narrow = 3 / (20 + len(self._blocks[look.name]))  # what comes to little looks at that little
            hope = narrow + near[look.name] / (1 + near.total()) + sum(0.05 for word in named if word in look.name)
            return (self._seconds[look.name] + 0.003) / hope

        return sorted(mine, key=price)


def _named_tests(mutant: Mutant) -> list[str]:
    """What the names of tests have in them that may be meant for the mutant: its verbs, its bounds, a full server."""
    stem = Path(mutant.file).stem
    users = [verb for verb in scripts.verbs() if stem in scripts.header(verb).uses]
    words = [f"test_{stem}.py", *(f"test_{verb}.py" for verb in users if len(users) <= 6)]
    if mutant.rule in ("compare", "limit"):
        words += ["longest", "most", "more_than", "thousand", "hundred", "limit", "exact", "no_more"]
    return [*words, *(["test_full.py"] * 10 if "memory.drain" in mutant.was else [])]
