"""The comparison with other libraries: ratios, marks and checks are worked out as its README says."""

from __future__ import annotations

import pytest

from bench.peers.catalog import PEERS
from bench.peers.steps import KINDS
from bench.peers.table import MARK, TARGETS, Comparison, Known, markdown, tables

KNOWN = Known(at="2026-01-01", machine="a machine", figures={"huey": {"drain": 1_000.0}, "bullmq": {"p99": 8.0}})


def comparison(**figures: dict[str, list[float]]) -> Comparison:
    """Values by figure and library, in the order of the rounds."""
    found = Comparison(rounds=3)
    for figure, peers in figures.items():
        for peer, values in peers.items():
            for at_round, value in enumerate(values):
                found.add(figure, peer, at_round, value)
    return found


def test_redsched_comes_first_and_the_others_best_first() -> None:
    found = comparison(
        drain={"rq": [10.0], "huey": [30.0], "redsched": [20.0]}, p99={"rq": [9.0], "huey": [3.0], "redsched": [5.0]}
    )
    assert [row.peer for row in found.rows("drain", KNOWN)] == ["redsched", "huey", "rq"]
    assert [row.peer for row in found.rows("p99", KNOWN)] == ["redsched", "huey", "rq"]


def test_a_ratio_above_one_is_an_advantage_for_rates_and_for_times() -> None:
    found = comparison(
        drain={"redsched": [30.0, 20.0, 25.0], "huey": [10.0, 10.0, 5.0]},
        p99={"redsched": [2.0], "huey": [8.0]},
    )
    ours, huey = found.rows("drain", KNOWN)
    assert (ours.median, ours.ratio, ours.ratios) == (25.0, None, [])
    assert (huey.median, huey.ratio, sorted(huey.ratios)) == (10.0, 2.5, [2.0, 3.0, 5.0])
    assert found.rows("p99", KNOWN)[1].ratio == 4.0


def test_rounds_that_one_of_both_missed_have_no_ratio_of_their_own() -> None:
    found = comparison(drain={"redsched": [30.0], "huey": [10.0, 20.0]})
    assert found.rows("drain", KNOWN)[1].ratios == [3.0]
    assert comparison(drain={"huey": [10.0]}).rows("drain", KNOWN)[0].ratio is None


@pytest.mark.parametrize(
    ("figure", "peer", "value", "mark"),
    [
        ("drain", "huey", 799.0, MARK),
        ("drain", "huey", 801.0, ""),
        ("p99", "bullmq", 10.1, MARK),
        ("p99", "bullmq", 9.9, ""),
        ("drain", "rq", 1.0, ""),
    ],
)
def test_a_library_below_its_known_figure_is_marked(figure: str, peer: str, value: float, mark: str) -> None:
    assert comparison(**{figure: {peer: [value]}}).rows(figure, KNOWN)[0].mark == mark


def test_a_drain_that_was_cut_off_is_marked_and_a_quick_look_is_not_compared() -> None:
    found = comparison(drain={"huey": [1.0]})
    found.cut.append(("drain", "huey"))
    assert found.rows("drain", KNOWN)[0].mark == f"cut off, {MARK}"
    found.quick = True
    assert found.rows("drain", KNOWN)[0].mark == "cut off"


def test_checks_name_the_fastest_python_library_and_doubt_a_marked_one() -> None:
    found = comparison(
        drain={"redsched": [2_000.0], "huey": [700.0], "rq": [100.0], "bullmq": [1_600.0]},
        bulk={"redsched": [100.0], "bullmq": [40.0]},
    )
    checks = found.checks(KNOWN)
    assert [(check.met, round(check.ratio, 2)) for check in checks] == [(True, 2.86), (False, 1.25), (True, 2.5)]
    assert "(huey)" in checks[0].line and checks[0].line.endswith(f"met, but huey is {MARK}")
    assert checks[1].line == "drain against bullmq: 1.25x, aimed at 1.35x: missed"


def test_without_redsched_or_a_library_there_is_nothing_to_check() -> None:
    assert comparison(drain={"huey": [1.0]}).checks(KNOWN) == []
    assert Comparison().checks(KNOWN) == []


def test_tables_hold_every_library_once() -> None:
    found = comparison(drain={"redsched": [2_000.0], "huey": [700.0]}, one={"redsched": [1.0], "huey": [1.0]})
    text = markdown(found, KNOWN, ["redsched", "huey"])
    assert "| huey | 700 | 700 | 2.86x | 2.86 | 1,000 | below its known figure |" in text
    assert len(list(tables(found, KNOWN))) == 2


def test_known_figures_and_targets_name_what_exists() -> None:
    known = Known.read()
    assert set(known.figures) == {*PEERS} - {"redsched"}
    assert all(set(figures) == {*KINDS} for figures in known.figures.values())
    assert all(figure in KINDS and against in ("", *PEERS) for figure, against, _ in TARGETS)
    assert all(peer.adapter.is_file() for peer in PEERS.values())
