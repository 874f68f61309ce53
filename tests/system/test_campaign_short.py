"""Short forms of the fault campaign; each runs in a process of its own, as ``make campaign`` runs the long ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import redsched
from tests.campaign.scenario import Result
from tests.campaign.server import program
from tests.campaign.shims import NoCompiler, build
from tests.support import servers

ROOT = Path(redsched.__file__).parents[1]
# What a machine that is busy with other things cannot be held to within a few seconds
TIMING = ("recovery p99", "RECOVERY", "WINDOW", "VACUOUS", "STUCK")


def campaign(folder: Path, scenario: str, variant: str, seconds: float) -> Result:
    """One short segment."""
    if program(variant.partition("-")[0]) is None:
        servers.missing(f"no server program for {variant}")
    given = (
        "--only",
        scenario,
        "--variant",
        variant,
        "--seconds",
        str(seconds),
        "--segments",
        "1",
        "--results",
        str(folder),
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
    checkpoint = folder / f"{scenario}-{variant}-0.json"
    assert checkpoint.exists(), done.stdout + done.stderr
    return msgspec.json.decode(checkpoint.read_bytes(), type=Result)


def broken(result: Result) -> list[str]:
    """Promises that were not kept, but for those of timing."""
    return [problem for problem in result.problems if not problem.startswith(TIMING)]


@pytest.mark.parametrize(
    ("scenario", "variant", "seconds"),
    [
        ("processes", "valkey", 4),
        ("network", "redis7", 4),
        ("admin", "valkey-flush", 3),
        ("partition", "valkey", 4),
        ("recovery", "valkey", 4),
    ],
)
def test_nothing_is_lost_doubled_or_early(scenario: str, variant: str, seconds: float, tmp_path: Path) -> None:
    result = campaign(tmp_path, scenario, variant, seconds)

    assert broken(result) == []
    assert result.submitted > 0
    assert sum(result.faults.values()) > 0


def test_the_loss_of_any_reply_changes_nothing(tmp_path: Path) -> None:
    for seconds in (4, 60):  # the first is enough, but on a machine that is busy with other things
        result = campaign(tmp_path / f"{seconds}", "lostreply", "valkey", seconds)

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
        result = campaign(tmp_path / f"{seconds}", "powercut", "valkey-always", seconds)

        assert broken(result) == []
        assert result.lost_to_loss == 0
        if result.figures["cuts"] > 1 and result.submitted > 10:
            return
    raise AssertionError("too few cuts or tasks")


@pytest.mark.parametrize(("variant", "seconds"), [("valkey", 10), ("redis7-failover", 8)])
def test_conditions_keys_and_digests_keep_their_promises_under_all_faults(
    variant: str, seconds: float, tmp_path: Path
) -> None:
    result = campaign(tmp_path, "conditions", variant, seconds)

    assert broken(result) == []
    assert result.submitted > 0
    assert sum(result.faults.values()) > 0
