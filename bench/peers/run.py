"""redsched beside other task libraries: the same steps on the same server, round by round, in one run.

``--install`` first puts each library into an environment of its own under ``build/peers``. ``--only dramatiq,bullmq``
and ``--steps drain,bulk`` measure a part (redsched is always in), ``--readme`` puts the tables into bench/README.md.
"""

from __future__ import annotations

import datetime
import statistics
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.common import Options, end_cleanly, options_of, parser
from bench.noise import Probe
from bench.peers.bed import Bed, PeerFailed
from bench.peers.catalog import OURS, PEERS
from bench.peers.install import install, installed
from bench.peers.steps import STEPS
from bench.peers.table import Comparison, Known, markdown, tables
from bench.report import README, RESULTS, console, machine, put, range_text

BEGIN, END = "<!-- peers -->", "<!-- end of peers -->"


def main() -> int:
    """Install or measure; 1 where something could not be done. A missed target is no failure."""
    arguments = parser(__doc__)
    arguments.set_defaults(repeat=5)
    others = [name for name in PEERS if name != OURS]
    arguments.add_argument("--only", default=",".join(others), metavar="A,B", help="only these libraries")
    arguments.add_argument("--steps", default="one,bulk,drain", metavar="A,B", help=f"of {','.join(STEPS)}")
    arguments.add_argument("--install", action="store_true", help="install what is missing, and measure nothing")
    arguments.add_argument("--readme", action="store_true", help="put the tables into bench/README.md")
    given = arguments.parse_args()
    names, steps = _words(given.only), _words(given.steps)
    if unknown := {*names, *steps} - {*PEERS, *STEPS}:
        arguments.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(others)}; {', '.join(STEPS)}")
    if given.readme and given.quick:
        arguments.error("--readme takes a whole run, not --quick")
    names = [OURS, *(name for name in PEERS if name in names and name != OURS)]
    end_cleanly()
    screen = console()
    if given.install:
        failed = install(screen, [PEERS[name] for name in names])
        screen.print(*failed, sep="\n", style="red", highlight=False)
        return 1 if failed else 0
    comparison, known = compare(screen, names, steps, options_of(given)), Known.read()
    for table in tables(comparison, known):
        screen.print(table)
    for line in (*(check.line for check in comparison.checks(known)), *comparison.notes):
        screen.print(line, highlight=False)
    screen.print(f"{comparison.server}; {comparison.machine}; {comparison.noise}", highlight=False, style="dim")
    for line in comparison.failed:
        screen.print(line, style="red", highlight=False)
    _keep(comparison)
    if given.readme:
        put(markdown(comparison, known, names), BEGIN, END)
        screen.print(f"the tables are in {README}", highlight=False)
    return 1 if comparison.failed else 0


def compare(screen: Console, names: Sequence[str], steps: Sequence[str], options: Options) -> Comparison:
    """Round by round, every step by every library, each on a fresh server; odd rounds in the opposite order."""
    found = Comparison(machine=machine(), rounds=options.runs, quick=options.quick)
    found.failed = [f"{name}: not installed: --install" for name in names if not installed(PEERS[name])]
    ready = [name for name in names if installed(PEERS[name])]
    probes: list[Probe] = []
    others: list[float] = []
    broken: set[tuple[str, str]] = set()
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not sys.stdout.isatty()) as progress:
        bar = progress.add_task("", total=options.runs * len(steps) * len(ready))
        for at_round in range(options.runs):
            for step in steps:
                for name in ready if at_round % 2 == 0 else reversed(ready):
                    progress.update(bar, description=f"{step} {name}", advance=1)
                    if (name, step) in broken:
                        continue
                    try:
                        with Bed(PEERS[name], options) as bed:
                            _measure(found, bed, step, at_round)
                            found.server = bed.server
                            probes.append(bed.probe)
                            others.append(bed.others())
                    except (PeerFailed, OSError, ValueError, KeyError) as error:
                        found.failed.append(f"{name}, {step}: {type(error).__name__}: {error}")
                        broken.add((name, step))
                if not sys.stdout.isatty():
                    screen.print(f"round {at_round + 1} of {options.runs}: {step} done", highlight=False)
    found.noise = _noise(probes, others)
    return found


def _measure(found: Comparison, bed: Bed, step: str, at_round: int) -> None:
    outcome = STEPS[step](bed)
    for figure, value in outcome.figures.items():
        found.add(figure, bed.peer.name, at_round, value)
        if outcome.cut and (figure, bed.peer.name) not in found.cut:
            found.cut.append((figure, bed.peer.name))
    found.notes += [f"{bed.peer.name}, {step}, round {at_round + 1}: {note}" for note in outcome.notes]


def _noise(probes: Sequence[Probe], others: Sequence[float]) -> str:
    loops, trips = [probe.loops for probe in probes], [probe.round_trips for probe in probes]
    used = f"{statistics.median(others):.2f} (most {max(others):.2f})" if others else "-"
    return (
        f"probes: {range_text(loops)} loops/s, {range_text(trips)} round trips/s; cores used by other processes: {used}"
    )


def _keep(comparison: Comparison) -> None:
    now = datetime.datetime.now(datetime.UTC)
    comparison.at = now.isoformat(timespec="seconds")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"peers-{now:%Y%m%d-%H%M%S}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=2))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


if __name__ == "__main__":
    raise SystemExit(main())
