"""A budget of work for next runs: it counts over all steps of a conversation, and whatever asks for more ends."""

from __future__ import annotations

import threading
import time
from itertools import islice
from typing import Any

import pytest

from redsched.model.errors import InvalidSchedule, PlanningSpent
from redsched.model.schedule import Schedule, check
from redsched.model.template import TaskTemplate
from redsched.schedule.budget import Budget
from redsched.schedule.definition import Exclude, Random
from redsched.schedule.slots import Plan

BEGIN = 1_800_000_000_000
TIMINGS: dict[str, dict[str, Any]] = {
    "cron": {"cron": "* * * * * *"},
    "every": {"every": "1s"},
    "random": {"random": Random("1s", "1s")},
    "rrule": {"rrule": "FREQ=SECONDLY"},
    "some left out": {"cron": "* * * * * *", "exclude": Exclude(crons=["*/2 * * * * *"])},
}


def schedule(**timing: Any) -> Schedule:
    return Schedule(id="s", task=TaskTemplate(type="t"), **timing)


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("timing", TIMINGS.values(), ids=TIMINGS)
def test_a_walk_over_slots_without_an_end_ends_with_its_budget(timing: dict[str, Any]) -> None:
    budget = Budget(0.02)

    def walk() -> None:
        for _ in Plan(schedule(**timing), budget=budget).after(BEGIN):
            pass

    with pytest.raises(PlanningSpent):
        budget.spend(walk)


@pytest.mark.parametrize("timing", TIMINGS.values(), ids=TIMINGS)
def test_a_budget_that_suffices_changes_no_slot(timing: dict[str, Any]) -> None:
    budget = Budget(60)
    found = budget.spend(lambda: list(islice(Plan(schedule(**timing), budget=budget).after(BEGIN), 500)))
    assert found == list(islice(Plan(schedule(**timing)).after(BEGIN), 500))


def test_a_schedule_that_is_checked_when_the_budget_is_used_up_is_not_called_one_that_never_fires() -> None:
    budget = Budget(0)
    with pytest.raises(PlanningSpent) as spent:
        budget.spend(lambda: check(schedule(cron="@daily"), budget=budget))
    assert not isinstance(spent.value, InvalidSchedule)


def test_the_work_of_all_steps_counts_whichever_threads_do_them_and_nothing_else_does() -> None:
    budget = Budget(0.1)
    budget.check()
    for seconds in (0.04, 0.04, 0.04):
        thread = threading.Thread(target=budget.spend, args=(work, seconds))
        thread.start()
        thread.join()
        work(0.02)  # of somebody else
    with pytest.raises(PlanningSpent):
        budget.spend(budget.check)


def test_a_share_ends_with_the_whole_and_does_not_use_it_up() -> None:
    whole = Budget(0.2)

    def first() -> None:
        share = Budget.share(0.01, whole)
        work(0.02)
        with pytest.raises(PlanningSpent):
            share.check()
        whole.check()

    whole.spend(first)
    with pytest.raises(PlanningSpent):
        whole.spend(lambda: (work(0.3), Budget.share(60, whole).check()))
