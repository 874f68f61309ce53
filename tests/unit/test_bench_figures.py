"""The arithmetic of the measurements: percentiles, histograms, how much fits, and what is drawn."""

from __future__ import annotations

import collections
import importlib.util
import io
import re
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from bench import growth, holds, plots, run
from bench.common import PAYLOAD_BYTES, Options, payload
from bench.lateness import BUCKETS_MS, histogram, spread
from bench.report import PARTS, Report, percentile
from bench.soak import share_of
from bench.verbs import FLOOR
from redsched.settings import NAME
from redsched.wire import scripts


def test_a_histogram_counts_every_task_once() -> None:
    found = dict(histogram([-0.5, 0.1, 0.25, 0.3, 20_000.0]))

    assert list(found) == list(BUCKETS_MS)
    assert found[0.25] == 60
    assert found[0.5] == 20
    assert found[BUCKETS_MS[-1]] == 20
    assert sum(found.values()) == pytest.approx(100)


def test_percentiles_of_a_count_are_those_of_the_values() -> None:
    values = [1, 1, 2, 5, 9, 9, 30, 70, 71, 400]
    counted = collections.Counter(values)

    for share in (0.01, 0.1, 0.5, 0.9, 0.99, 1.0):
        assert share_of(counted, share) == percentile(values, share) / 10
    assert share_of(collections.Counter(), 0.5) == 0.0


def test_a_spread_is_as_dense_as_its_rate() -> None:
    assert spread(4, 300) == [0, 3, 6, 10]
    assert spread(5, 4_000) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("backlog", "levels"),
    [(5_000_000, [1_000, 100_000, 1_000_000, 5_000_000]), (200_000, [1_000, 100_000, 200_000]), (500, [500])],
)
def test_the_waiting_tasks_end_at_the_backlog(backlog: int, levels: list[int]) -> None:
    assert growth.levels(Options(backlog=backlog)) == levels


def test_five_million_tasks_do_not_fit_into_three_gigabytes() -> None:
    assert growth.fits(1_000_000, 3_000_000_000)
    assert not growth.fits(5_000_000, 3_000_000_000)


@pytest.mark.parametrize("due_ms", [0, 1_800_000_000_000])
def test_a_payload_is_a_hundred_bytes(due_ms: int) -> None:
    assert len(msgspec.json.encode(payload(7, due_ms))) == PAYLOAD_BYTES


def test_the_floor_has_every_part_of_a_life() -> None:
    registered = re.findall(r"register_function\('floor_(\w+)'", "".join(library.read_text() for library in FLOOR))

    assert {*PARTS} <= {*registered}


def test_every_measurement_names_a_file_and_growth_comes_last() -> None:
    for name, measure in run.MEASUREMENTS.items():
        assert NAME.fullmatch(name) and measure.__module__ == f"bench.{name}"
    assert [*run.MEASUREMENTS][-1] == "growth"


def test_every_verb_has_a_worst_input_and_each_is_named_once() -> None:
    assert {case.verb for case in holds.CASES} == {*scripts.verbs()}
    names = [case.name for case in holds.CASES]
    assert len(names) == len({*names})


def reports() -> list[Report]:
    life = Report(name="life", title="t", series={"redsched": [(at, 1.0) for at in range(len(PARTS))]})
    lines = Report(name="memory", title="t", series={"Redis": [(10, 380.0), (100, 440.0)]})
    shares = Report(name="lateness", title="t", series={"300/s": histogram([1.0, 2.0])})
    bars = Report(name="drain", title="t")
    bars.add("drain", 100.0, "tasks/s", target=90.0)
    bars.add("bare loop", 150.0, "tasks/s", floor=True)
    return [life, lines, shares, bars]


def test_each_kind_of_plot_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(plots, "PLOTS", tmp_path)

    files = plots.draw(Console(file=io.StringIO()), reports())

    assert [file.name for file in files] == ["life.svg", "memory.svg", "lateness.svg", "drain.svg"]
    assert all("<svg" in file.read_text() for file in files)
    assert "![t](plots/drain.svg)" in run.markdown(reports(), [file.stem for file in files])


def test_without_matplotlib_a_line_says_that_the_plots_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = io.StringIO()

    assert plots.draw(Console(file=said), reports()) == []
    assert "plots left out" in said.getvalue()
