"""What a soak keeps, and what it calls flat and lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.minutes import Minute, Part, State, drift, fill, verdicts
from bench.report import Report

MIB = 2**20


def minute(used_mib: float = 30.0, p99: float = 5.0) -> Minute:
    return Minute(
        part=1,
        acknowledged=600,
        started=600,
        again=0,
        p50=1.5,
        p99=p99,
        most=20.0,
        used_memory=int(used_mib * MIB),
        worker_rss=40 * MIB,
        server_rss=50 * MIB,
        waiting=0,
        finished=100,
        others=0.1,
        killed=["worker"],
    )


@pytest.mark.parametrize(
    ("values", "share"),
    [([], 0.0), ([5.0], 0.0), ([5.0] * 10, 0.0), ([10.0, 11.0, 12.0], 2 / 11), ([12.0, 11.0, 10.0], -2 / 11)],
)
def test_drift_is_the_way_from_first_to_last_as_a_share_of_the_median(values: list[float], share: float) -> None:
    assert drift(values) == pytest.approx(share)


def test_a_single_outlier_is_no_drift() -> None:
    assert drift([5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 900.0]) == 0.0


def test_memory_that_grows_by_a_hundredth_a_minute_is_not_flat_and_one_that_falls_is() -> None:
    growing = verdicts([minute(used_mib=30 * 1.01**n) for n in range(60)])
    falling = verdicts([minute(used_mib=30 * 0.99**n) for n in range(60)])

    assert not growing["used_memory"][1]
    assert falling["used_memory"][1]
    assert growing["worker_rss"] == (0.0, True)


def test_the_first_sixth_is_warm_up() -> None:
    found = verdicts([minute(used_mib=min(30.0, 3.0 * n)) for n in range(1, 61)])

    assert found["used_memory"] == (0.0, True)


def test_a_task_is_lost_where_it_never_started_and_where_it_never_completed() -> None:
    assert Part(acknowledged=10, completed=10, never_started=0, again=3, early=0).lost == 0
    assert Part(acknowledged=10, completed=8, never_started=0, again=0, early=0).lost == 2
    assert Part(acknowledged=10, completed=10, never_started=1, again=0, early=0).lost == 1


def test_a_state_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    state = State(rate=900.0, begun=2, minutes=[minute()])
    state.parts.append(Part(acknowledged=10, completed=10, never_started=0, again=3, early=0))

    state.save(tmp_path)

    assert State.load(tmp_path) == state
    assert State.load(tmp_path / "nothing") == State()


def test_the_report_says_what_was_cut_off_and_what_is_flat() -> None:
    report = Report(name="soak", title="-")
    state = State(rate=900.0, begun=2, minutes=[minute() for _ in range(12)])
    state.parts.append(Part(acknowledged=10, completed=9, never_started=0, again=0, early=0))

    fill(report, state)

    assert report.median("lost") == 1
    assert "1 part(s) cut off" in report.notes[0]
    assert all(": flat" in note for note in report.notes[1:-1])
    assert report.notes[-1].startswith("speed of the core: +0.0 % over the run")
    assert len(report.series["p99 ms"]) == 12
