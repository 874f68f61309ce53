"""How many tasks a worker holds beside those that run."""

from __future__ import annotations

import pytest

from redsched.engine.worker.ahead import Ahead


def after(*steps: tuple[int, float], most: int = 1_000) -> int:
    """What is held ahead once so many runs had ended by those times."""
    ahead = Ahead(most)
    ahead.follow(0, 1_024.0)
    for ended, now in steps:
        ahead.follow(ended, 1_024.0 + now)
    return ahead.tasks


@pytest.mark.parametrize(
    ("ended", "tasks"),
    [(0, 0), (10, 0), (20, 0), (30, 1), (1_000, 50), (10_000, 500), (100_000, 1_000)],
)
def test_it_is_a_twentieth_of_a_second_of_work_and_bounded(ended: int, tasks: int) -> None:
    assert after((ended, 1.0)) == tasks


def test_the_rate_is_taken_over_a_while() -> None:
    assert after((1_000, 0.125), (1_050, 0.140625)) == 400
    assert after((1_000, 0.125), (1_050, 0.140625), (1_060, 0.25)) == 24


def test_a_worker_that_has_nothing_to_do_any_more_holds_nothing_ahead() -> None:
    assert after((1_000, 0.125), (1_000, 0.25)) == 0


def test_none_is_held_ahead_where_none_may_be() -> None:
    assert after((1_000, 0.125), most=0) == 0
