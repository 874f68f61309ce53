"""Two trees in turn: what a task costs the server and the worker under another checkout and under this one.

Each pair runs the same measurement once in either tree, one right after the other, and the order changes from pair to
pair. So what counts is the ratio within a pair: it holds although the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.common import ROOT, end_cleanly, parser
from bench.progress import Progress
from bench.report import Report, console

COMPARED = {
    "drain": ("worker's CPU", "server's CPU"),
    "life": ("batches of 100: in all", "batches of 10: in all", "batches of 100, due at once: in all"),
}
MOST = 1.03  # times the other tree's


def main() -> int:
    """Measure; 1 where a run failed. A missed target is no failure."""
    given = _arguments()
    end_cleanly()
    screen = console()
    report = Report(name="pairs", title=f"{given.pairs} pairs: this tree's cost over that of {given.old.name}")
    with Progress(screen, "pairs") as progress:
        for pair in range(given.pairs):
            for name in given.only:
                trees = (given.old, ROOT) if pair % 2 == 0 else (ROOT, given.old)
                found = {}
                for tree in trees:
                    try:
                        found[tree] = measured(tree, name, given.server)
                    except RuntimeError as error:
                        screen.print(str(error), style="red", highlight=False)
                        return 1
                    progress(f"pair {pair + 1}, {name} in {tree.name}")
                _add(report, name, found[given.old], found[ROOT])
    report.print(screen)
    report.write()
    return 0


def _arguments() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--old", type=Path, required=True, metavar="DIR", help="a checkout to compare with")
    arguments.add_argument("--pairs", type=int, default=10, metavar="N", help="default: 10")
    arguments.add_argument("--only", default=",".join(COMPARED), metavar="A,B", help="only these measurements")
    given = arguments.parse_args()
    given.old, given.only = given.old.resolve(), given.only.split(",")
    if not (given.old / "bench" / "drain.py").is_file():
        arguments.error(f"--old: {given.old} is no checkout of redsched")
    if unknown := set(given.only) - COMPARED.keys():
        arguments.error(f"no figures of {', '.join(sorted(unknown))} are compared; there are {', '.join(COMPARED)}")
    return given


def measured(tree: Path, name: str, server: str) -> Report:
    """One run of a measurement with the code of a tree.

    Raises:
        RuntimeError: it ended with an error, whose last lines this carries.
    """
    flags = ["--repeat", "1", "--server", server, "--patience", "1"]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    ran = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *flags],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{name} in {tree}:\n{ran.stderr[-2_000:]}")
    return msgspec.json.decode((tree / "bench" / "results" / f"{name}.json").read_bytes(), type=Report)


def _add(report: Report, name: str, old: Report, new: Report) -> None:
    report.server, report.machine = new.server, new.machine
    report.probes += new.probes
    report.others += new.others
    for figure, before, after in _both(name, old, new):
        report.add(f"{name}, {figure}", after / before, "times", target=MOST, better="less")
        report.add(f"{name}, {figure}: other tree", before, "us/task", floor=True)
        report.add(f"{name}, {figure}: this tree", after, "us/task", floor=True)


def _both(name: str, old: Report, new: Report) -> Iterator[tuple[str, float, float]]:
    for figure in COMPARED[name]:
        yield figure, old.median(figure), new.median(figure)


if __name__ == "__main__":
    raise SystemExit(main())
