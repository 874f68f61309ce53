"""A rolling upgrade from another tree: tasks of its clients and of this tree's, run by workers and movers of both.

``python -m tests.campaign.upgrade --old DIR``: DIR is a checkout of the version to upgrade from. Its workers begin
alone and its clients enqueue; this tree's workers and movers come, and each process is stopped and started again and
again; then clients of this tree enqueue. Every task must end as its conditions say, no handler may start twice, and no
log may hold an error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redsched
from redsched import Client
from redsched.observe.doctor import examine
from redsched.wire import scripts
from tests.campaign.server import Server

TREE = Path(redsched.__file__).parents[1]
NAMESPACE = "upgrade"
SERVERS = {"functions": (), "scripts": ("--rename-command", "FCALL", "", "--rename-command", "FUNCTION", "")}
PATIENCE_S = 900.0
PAUSE_S = 1.0  # between two restarts
STALLED = (
    "loop.stalled"  # an error of a worker that this machine gave no time for seconds: shown, and no broken promise
)
TITLES = "| clients of | created | completed | skipped | lost | otherwise | twice | unasked | ran by old | ran by new |"
HANDLERS = """
import os
from redsched import App, Context

app = App(name="upgrade")
ledger = os.open(os.environ["UPGRADE_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

@app.task("note")
async def note(ctx: Context, **anything):
    os.write(ledger, f"{os.environ['UPGRADE_SIDE']} {ctx.id}\\n".encode())
"""
# What a client of either tree does. Of ten tasks, five are plain, two are due later, one is skipped where its fact is
# there, one waits for an event, and one is in the line of a key. Every other fact is there; every event is emitted.
PRODUCER = """
import sys
from collections import Counter
from redsched import Client, Task
url, namespace, side, first, count = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])

def task(n):
    name, kind = f"{side}{n}:t", n % 10
    more = {}
    if kind in (5, 6):
        more = {"delay": f"{n % 4000}ms"}
    elif kind == 7:
        more = {"conditions": {"unless": f"paid:{side}{n}"}, "delay": "1s"}
    elif kind == 8:
        more = {"conditions": {"wait_for": f"go:{side}{n}"}}
    elif kind == 9:
        more = {"key": f"line-{n % 50}", "conditions": {"fifo": True}}
    return Task(type="note", id=name, payload={"n": n}, **more)

statuses = Counter()
with Client(url, namespace=namespace) as client:
    for at in range(first, first + count, 50):
        numbers = range(at, min(at + 50, first + count))
        for n in numbers:
            if n % 20 == 7:
                client.emit("paid", f"{side}{n}")
        statuses.update(made.status for made in client.enqueue_many([task(n) for n in numbers]))
        for n in numbers:
            if n % 10 == 8:
                client.emit("go", f"{side}{n}")
for status, number in statuses.items():
    print(status, number)
"""


class Told(NamedTuple):
    """What became of the tasks of one side's clients."""

    created: int
    states: Counter[str]
    wrong: list[str]  # ids that did not end as they had to
    twice: list[str]  # ids whose handler started more than once
    unasked: list[str]  # ids whose handler started though it must not
    by: Counter[str]  # which side's workers ran them


class Upgrade:
    """Both trees on one server."""

    def __init__(self, old: Path, folder: Path, url: str) -> None:
        self._trees = {"old": old, "new": TREE}
        self._folder, self._url = folder, url
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self._begun = self.restarts = 0
        (folder / "upgrade_app.py").write_text(HANDLERS)

    def _environment(self, side: str) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("REDSCHED_", "REDIS_URL"))}
        path = f"{self._trees[side]}{os.pathsep}{self._folder}"
        ours = {"UPGRADE_LEDGER": str(self.ledger), "UPGRADE_SIDE": side, "REDSCHED_LOG_FORMAT": "text"}
        return plain | ours | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def start(self, side: str, role: str) -> None:
        """A worker, with its mover, or a mover by itself."""
        words = ["worker", "upgrade_app:app", "-q", "default"] if role == "worker" else ["mover"]
        self._begun += 1
        with open(self._folder / f"{side}-{role}-{self._begun}.log", "wb") as log:
            self._running[f"{side}-{role}"] = subprocess.Popen(
                [sys.executable, "-m", "redsched", "-r", self._url, "--namespace", NAMESPACE, *words],
                env=self._environment(side),
                cwd=self._trees[side],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self, side: str, role: str) -> None:
        """SIGTERM to it, and wait for its end."""
        process = self._running.pop(f"{side}-{role}")
        process.terminate()
        process.wait(120)

    def end(self) -> None:
        """Stop all that runs."""
        for name in list(self._running):
            self.stop(*name.split("-"))

    @contextmanager
    def producing(self, side: str, first: int, count: int, created: Counter[str]) -> Iterator[subprocess.Popen[str]]:
        """Enqueue with a client of a tree while the block runs, and to the end; the client's process."""
        words = [self._url, NAMESPACE, side, str(first), str(count)]
        producer = subprocess.Popen(
            [sys.executable, "-c", PRODUCER, *words],
            env=self._environment(side),
            cwd=self._trees[side],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield producer
        finally:
            said, _ = producer.communicate(timeout=PATIENCE_S)
        if producer.returncode:
            raise RuntimeError(f"a client of the {side} tree ended with {producer.returncode}")
        for line in said.splitlines():
            status, number = line.split()
            created[status] += int(number)

    def restart_while(self, producer: subprocess.Popen[str]) -> None:
        """Stop and start each process, one after another, until the producer has ended; each at least once."""
        while True:
            for name in list(self._running):
                time.sleep(PAUSE_S)
                self.stop(*name.split("-"))
                self.start(*name.split("-"))
                self.restarts += 1
            if producer.poll() is not None:
                return

    def complaints(self) -> Counter[str]:
        """What the logs of each side hold of errors and warnings, by the word that names them."""
        found: Counter[str] = Counter()
        for path in self._folder.glob("*.log"):
            for line in path.read_text(errors="replace").splitlines():
                words = line.split()
                for level in ("WARNING", "ERROR", "CRITICAL"):
                    if level in words or level.lower() in words:
                        found[f"{path.name.partition('-')[0]} {' '.join(words[1:5])[:90]}"] += 1
                if "Traceback" in line:
                    found[f"{path.name.partition('-')[0]} Traceback"] += 1
        return found


def expected(number: int) -> str:
    """How a task has to end."""
    return "skipped" if number % 20 == 7 else "completed"


def judge(client: Client, side: str, count: int, created: Counter[str], ran: Counter[tuple[str, str]]) -> Told:
    """Compare what is known of the tasks of a side's clients with what had to come of them."""
    states: Counter[str] = Counter()
    wrong, twice, unasked = [], [], []
    by: Counter[str] = Counter()
    for at in range(0, count, 100):
        names = {f"{side}{n}:t": n for n in range(at, min(at + 100, count))}
        for name, view in client.show(list(names)).items():
            state = "lost" if view is None else view.state
            states[state] += 1
            starts = {who: ran[who, name] for who in ("old", "new")}
            by.update(starts)
            if state != expected(names[name]) or (state == "completed" and not sum(starts.values())):
                wrong.append(name)
            if sum(starts.values()) > 1:
                twice.append(name)
            if state == "skipped" and any(starts.values()):
                unasked.append(name)
    return Told(created["created"], states, wrong, twice, unasked, by)


def until_ended(client: Client, count: int) -> None:
    """Wait until nothing is scheduled, held, ready or running."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = client.stats(["default"])[0]
        left = found.scheduled + found.held + found.ready + found.running
        if not left:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{left} of {count} tasks are left: {found}")
        time.sleep(0.2)


def run(kind: str, old: Path, count: int, folder: Path) -> bool:
    """One server; prints what was found, and answers whether every promise was kept."""
    with Server("redis7", folder / "data", appendfsync="everysec", arguments=SERVERS[kind]) as server:
        upgrade = Upgrade(old, folder, server.url)
        by_old, by_new = Counter[str](), Counter[str]()
        began = time.monotonic()
        try:
            for role in ("worker", "mover"):
                upgrade.start("old", role)
            quarter = count // 4
            with upgrade.producing("old", 0, quarter, by_old):
                pass  # nothing of this tree has been here
            with upgrade.producing("old", quarter, count - quarter, by_old) as producer:
                for role in ("worker", "mover"):
                    upgrade.start("new", role)
                upgrade.restart_while(producer)
            with upgrade.producing("new", 0, count, by_new) as producer:
                upgrade.restart_while(producer)
            with Client(server.url, namespace=NAMESPACE) as client:
                until_ended(client, 2 * count)
        finally:
            upgrade.end()
        seconds = time.monotonic() - began
        ran = Counter(tuple(line.split()) for line in upgrade.ledger.read_text().splitlines())
        with Client(server.url, namespace=NAMESPACE) as client:
            told = {
                "old": judge(client, "old", count, by_old, ran),
                "new": judge(client, "new", count, by_new, ran),
            }
            dead = client.stats(["default"])[0].dead
            faults = examine(client, pause=0.5).findings
    good = not dead and not faults
    print(f"{kind}: build {scripts.BUILD} over {old.name} in {seconds:.0f} s, {upgrade.restarts} restarts")
    print(TITLES)
    for side, found in told.items():
        others = len(found.wrong) - found.states["lost"]
        kept = (
            not (found.wrong or found.twice or found.unasked) and found.created == count and min(found.by.values()) > 0
        )
        good = good and kept
        words = [side, found.created, found.states["completed"], found.states["skipped"], found.states["lost"]]
        words += [others, len(found.twice), len(found.unasked), found.by["old"], found.by["new"]]
        print("| " + " | ".join(map(str, words)) + " |")
        for what, names in (("ended otherwise", found.wrong), ("started twice", found.twice), ("ran", found.unasked)):
            if names:
                print(f"  {what}: {', '.join(names[:10])}")
    complaints = upgrade.complaints()
    print(f"dead {dead}; the doctor's findings {len(faults)}; warnings and errors in logs: {json.dumps(complaints)}")
    return good and all("WARNING" in what or STALLED in what for what in complaints)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.upgrade", description=__doc__)
    parser.add_argument("--old", type=Path, required=True, help="a checkout of the version to upgrade from")
    parser.add_argument("--tasks", type=int, default=20_000, help="of the clients of each version")
    parser.add_argument("--server", choices=list(SERVERS), help="only this kind: with functions, or without")
    given = parser.parse_args()
    kept = True
    for kind in [given.server] if given.server else SERVERS:
        with tempfile.TemporaryDirectory(prefix="redsched-upgrade-") as folder:
            if not run(kind, given.old.resolve(), given.tasks, Path(folder)):
                kept = False
                print(f"what it leaves behind: {shutil.copytree(folder, tempfile.mkdtemp(), dirs_exist_ok=True)}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
