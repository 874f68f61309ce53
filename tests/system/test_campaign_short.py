"""Short forms of the fault campaign; each runs in a process of its own, as ``make campaign`` runs the long ones."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec

import redsched
from tests.campaign.scenario import Result
from tests.campaign.server import program
from tests.campaign.shims import NoCompiler, build
from tests.support import servers

ROOT = Path(redsched.__file__).parents[1]
# What a machine that is busy with other things cannot be held to within a few seconds
TIMING = ("recovery p99", "RECOVERY", "WINDOW", "VACUOUS", "STUCK")


class Segment(NamedTuple):
    """One short segment of the campaign."""

    scenario: str
    variant: str
    seconds: float


def campaign(folder: Path, *segments: Segment) -> list[Result]:
    """Play them, all at once: each waits most of its time for leases and for servers that were killed."""
    for segment in segments:
        if program(segment.variant.partition("-")[0]) is None:
            servers.missing(f"no server program for {segment.variant}")
    with ThreadPoolExecutor(len(segments)) as pool:
        return list(pool.map(lambda segment: play(folder, segment), segments))


def play(folder: Path, segment: Segment) -> Result:
    """What one segment found."""
    results = folder / f"{segment.scenario}-{segment.variant}"
    given = (
        "--only",
        segment.scenario,
        "--variant",
        segment.variant,
        "--seconds",
        str(segment.seconds),
        "--segments",
        "1",
        "--results",
        str(results),
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign.run", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    checkpoint = results / f"{segment.scenario}-{segment.variant}-0.json"
    assert checkpoint.exists(), done.stdout + done.stderr
    return msgspec.json.decode(checkpoint.read_bytes(), type=Result)


def broken(result: Result) -> list[str]:
    """Promises that were not kept, but for those of timing."""
    return [problem for problem in result.problems if not problem.startswith(TIMING)]


def assert_kept(results: list[Result]) -> None:
    """Each had tasks and faults, and no promise was broken."""
    found = {f"{one.scenario} {one.variant}": broken(one) for one in results}
    assert {name: problems for name, problems in found.items() if problems} == {}
    assert [one.scenario for one in results if not one.submitted or not sum(one.faults.values())] == []


def test_nothing_is_lost_doubled_or_early(tmp_path: Path) -> None:
    results = campaign(
        tmp_path,
        Segment("processes", "valkey", 4),
        Segment("network", "redis7", 4),
        Segment("admin", "valkey-flush", 3),
        Segment("partition", "valkey", 4),
        Segment("recovery", "valkey", 4),
    )

    assert_kept(results)


def test_the_loss_of_any_reply_changes_nothing(tmp_path: Path) -> None:
    for seconds in (4, 60):  # the first is enough, but on a machine that is busy with other things
        (result,) = campaign(tmp_path / f"{seconds}", Segment("lostreply", "valkey", seconds))

        assert broken(result) == []
        if result.faults["lost reply"] > 0:
            return
    raise AssertionError("no reply was lost")


def test_a_power_cut_takes_nothing_that_was_synced(tmp_path: Path) -> None:
    try:
        build("fsync", tmp_path)
    except NoCompiler:
        servers.missing("no C compiler for the fsync shim")
    for seconds in (3, 45):  # the first is enough, but on a machine that is busy with other things
        (result,) = campaign(tmp_path / f"{seconds}", Segment("powercut", "valkey-always", seconds))

        assert broken(result) == []
        assert result.lost_to_loss == 0
        if result.figures["cuts"] > 1 and result.submitted > 10:
            return
    raise AssertionError("too few cuts or tasks")


def test_conditions_keys_and_digests_keep_their_promises_under_all_faults(tmp_path: Path) -> None:
    assert_kept(campaign(tmp_path, Segment("conditions", "valkey", 10), Segment("conditions", "redis7-failover", 8)))
