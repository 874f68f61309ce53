"""Two versions side by side: workers and movers of the build before and of this one, each of which may be killed.
The variant is a server.

The older version is a copy of this tree with a smaller build number and another digest.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import redsched
from redsched.settings import child_environment
from redsched.torture.nemesis import FAULTS, Fault
from redsched.torture.stage import CAST, Stage
from redsched.wire import scripts
from tests.campaign.scenario import Result, Tell, play
from tests.campaign.server import Server

ROOT = Path(redsched.__file__).parents[1]
OLD_WORKER = """
import sys
from pathlib import Path
import msgspec
from redsched.settings import Settings
from redsched.torture import services
from redsched.torture.plan import Plan
from redsched.wire import scripts
assert scripts.BUILD == {build}, scripts.BUILD
plan = Plan(settings=Settings.load(), folder=Path(sys.argv[2]), rate=1.0)
services.{role}(sys.argv[1], plan)
"""


def older_tree(folder: Path) -> Path:
    """A copy of this tree with the build before this one."""
    old = folder / "older"
    shutil.copytree(ROOT / "redsched", old / "redsched", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "lua", old / "lua")
    (old / "lua" / "BUILDS").write_text(f"{scripts.BUILD - 1} {'0' * 16}\n")
    renew = old / "lua" / "renew.lua"
    renew.write_text(renew.read_text() + "-- the build before\n")
    return old


class Older:
    """Processes of the older version; each is replaced when it was killed."""

    def __init__(self, stage: Stage, tree: Path) -> None:
        self._stage, self._tree, self._numbers = stage, tree, 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for role in ("worker", "worker", "mover"):
            self.start(role)

    def start(self, role: str) -> None:
        """One more."""
        self._numbers += 1
        name, plan = f"{role}-old{self._numbers}", self._stage.plan
        environment = child_environment(plan.settings, os.environ | {"PYTHONPATH": str(self._tree)})
        with open(plan.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-c", OLD_WORKER.format(build=scripts.BUILD - 1, role=role), name, str(plan.folder)],
                env=environment,
                cwd=self._tree,
                stdout=log,
                stderr=log,
            )

    def kill(self, chance: random.Random) -> None:
        """SIGKILL one, start another."""
        begun = [
            name
            for name in sorted(self.processes)
            if name.startswith("mover") or (self._stage.plan.folder / f"{name}.jsonl").exists()
        ]
        name = chance.choice(begun)
        self._stage.journal.write("fault", word="kill", id=name)
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        self.start(name.partition("-")[0])

    def end(self) -> None:
        """SIGTERM to all."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(15)


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(result.variant, folder / "data"))
        tree, older = older_tree(folder), []

        def strike(stage: Stage, chance: random.Random) -> None:
            if not older:
                older.append(Older(stage, tree))
                stack.callback(older[0].end)
            else:
                older[0].kill(chance)

        faults = (Fault("kill older", 4, strike), *(fault for fault in FAULTS if "kill" in fault.name))
        stage = play(
            result,
            stack,
            server.url,
            folder,
            seconds,
            faults=faults,
            pace=(0.3, 1.0),
            tell=tell,
            cast=CAST | {"worker": 2, "mover": 1},
            before_drain=lambda stage: [part.end() for part in older] and None,
        )
        runs = {"older": 0, "newer": 0}
        for path in stage.plan.folder.glob("worker-*.jsonl"):
            runs["older" if "-old" in path.name else "newer"] += path.read_bytes().count(b'"op":"start"')
        result.figures = {f"executions by {name}": count for name, count in runs.items()}
        result.require(min(runs.values()) > 0, "VACUOUS: one version ran nothing")
