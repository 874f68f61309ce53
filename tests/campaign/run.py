"""``python -m tests.campaign.run``: runs what is left of the campaign, a checkpoint after each segment, then the table.

A segment takes minutes; a run stops beginning new ones after ``--most`` minutes, and the next run goes on.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.campaign.report import write_tables
from tests.campaign.scenario import Result

RESULTS = Path(__file__).parent / "results"


class Part(NamedTuple):
    """Segments of one scenario: how many of each variant, and how long each takes."""

    scenario: str
    variants: tuple[str, ...]
    segments: int
    seconds: float


CAMPAIGN = (
    Part("processes", ("valkey", "redis7", "redis8"), 2, 225),
    Part("powercut", ("valkey-always", "redis7-always", "redis8-always", "valkey-everysec", "redis7-everysec"), 1, 120),
    Part("lostreply", ("valkey", "redis7", "redis8", "scripts"), 1, 300),
    Part("network", ("valkey", "redis7", "redis8"), 1, 240),
    Part("admin", ("valkey", "redis7", "valkey-flush"), 1, 120),
    Part("partition", ("valkey", "redis7"), 1, 180),
    Part("failover", ("valkey-0", "redis7-50", "valkey-200"), 1, 60),
    Part("sentinel", ("valkey-1", "valkey-2", "redis7-2"), 1, 180),
    Part("recovery", ("valkey", "redis7"), 1, 240),
    Part("resources", ("memory", "disk-always", "disk-everysec", "backlog"), 1, 45),
    Part("versions", ("valkey", "redis7"), 1, 60),
    Part("conditions", ("valkey", "redis7", "redis8", "valkey-scripts", "valkey-failover", "redis7-failover"), 2, 150),
    Part("clock", ("valkey-1", "valkey-60", "redis7-3600", "valkey-strobe", "redis7-strobe"), 1, 60),
)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.run", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios, separated by commas")
    parser.add_argument("--variant", default="", help="one variant only")
    parser.add_argument("--seconds", type=float, help="of each segment, in place of its own")
    parser.add_argument("--segments", type=int, help="of each scenario and variant, in place of its own")
    parser.add_argument("--most", type=float, default=55.0, help="minutes after which no segment is begun")
    parser.add_argument("--results", type=Path, default=RESULTS, help="checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", type=Path, help="file whose marked part gets the table; - prints it only")
    given = parser.parse_args(arguments)
    given.results.mkdir(parents=True, exist_ok=True)
    end, broken = time.monotonic() + given.most * 60, False
    only = [name for name in given.only.split(",") if name]
    for part in CAMPAIGN:
        if only and part.scenario not in only:
            continue
        for number in range(given.segments or part.segments):
            for variant in part.variants:
                if given.variant and variant != given.variant:
                    continue
                checkpoint = given.results / f"{part.scenario}-{variant}-{number}.json"
                if checkpoint.exists():
                    continue
                if time.monotonic() > end:
                    print("out of time; run again to go on")
                    break
                result = segment(
                    part, variant, given.seed * 1_000 + number, given.seconds or part.seconds, given.results
                )
                checkpoint.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
                broken = broken or not result.ok
    write_tables(given.results, given.table)
    return int(broken)


def segment(part: Part, variant: str, seed: int, seconds: float, results: Path) -> Result:
    """Play one; what a failed one leaves behind stays beside the results."""
    result = Result(scenario=part.scenario, variant=variant, seed=seed)
    folder = Path(tempfile.mkdtemp(prefix=f"redsched-{part.scenario}-"))
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{part.scenario} {variant} {seed}: {line}", flush=True)

    tell(f"{seconds:.0f} s in {folder}")
    try:
        importlib.import_module(f"tests.campaign.{part.scenario}").run(result, folder, seconds, tell)
    except Exception as error:
        traceback.print_exc()
        result.problems.append(f"BROKEN OFF {type(error).__name__}: {error}")
    result.seconds = round(time.monotonic() - began, 1)
    tell("ok" if result.ok else "\n  ".join(("BROKE A PROMISE", *result.problems[:10])))
    if result.ok:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.move(folder, results / f"{part.scenario}-{variant}-{seed}-{int(time.time())}")
    return result


if __name__ == "__main__":
    sys.exit(main())
