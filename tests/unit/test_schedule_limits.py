"""The limits of a schedule: its start and its end, given in every way, and what a catch-up window of 0 leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
import pytest

from redsched.model.errors import InvalidSchedule
from redsched.model.schedule import Schedule, check, schedule_of
from redsched.model.template import TaskTemplate
from redsched.schedule.catch_up import ON_TIME_MS, Policy, decide
from redsched.schedule.slots import Plan
from redsched.wire.stored_schedule import policy_of, spec_text

NOON = 1_798_804_800_000  # 2027-01-01T12:00:00Z
SECOND, DAY = 1_000, 86_400_000
WITHIN = datetime(2027, 1, 1, 12, 0, 0, 1_999, tzinfo=UTC)  # 1.999 ms after it


def schedule(**fields: Any) -> Schedule:
    return Schedule(**{"id": "s", "task": TaskTemplate(type="log"), "every": "1d", **fields})


def slots(found: Plan, after: int = NOON - 2 * DAY) -> list[int]:
    return list(islice(found.after(after), 9))


@pytest.mark.parametrize("end", [WITHIN, WITHIN.isoformat(), "2027-01-01T12:00:00.0019999999Z"])
def test_no_slot_lies_after_an_end_within_a_millisecond(end: Any) -> None:
    later = schedule(at=[NOON, NOON + 1, NOON + 2], every=[], end=end)

    assert slots(Plan(later)) == [NOON, NOON + 1]
    assert msgspec.json.decode(spec_text(later))["end"] == policy_of(later).end_ms == NOON + 1


def test_an_end_within_the_last_microsecond_of_a_millisecond_is_rounded_down() -> None:
    assert Plan(schedule(end="2027-01-01T12:00:00.0009999Z"))._end == NOON


def test_no_slot_lies_before_a_start_within_a_millisecond() -> None:
    later = schedule(at=[NOON, NOON + 1, NOON + 2], every=[], start=WITHIN)

    assert slots(Plan(later)) == [NOON + 2]
    assert msgspec.json.decode(spec_text(later))["start"] == policy_of(later).start_ms == NOON + 2


@pytest.mark.parametrize("end", [WITHIN, WITHIN.isoformat()])
def test_a_run_with_jitter_is_not_due_after_an_end_within_a_millisecond(end: Any) -> None:
    found = Plan(schedule(id="late", at=[NOON], every=[], jitter="1h", end=end))

    assert found.due(NOON) <= NOON + 1


@pytest.mark.parametrize("start", [0, "0"])
@pytest.mark.parametrize("timing", [{"every": "1d"}, {"every": [], "random": {"least": "1d", "most": "2d"}}])
def test_a_start_of_0_is_from_the_beginning(start: Any, timing: dict[str, Any]) -> None:
    given = schedule_of({"id": "s", "task": {"type": "log"}, **timing, "start": start})
    without = schedule_of({"id": "s", "task": {"type": "log"}, **timing})

    check(given, after_ms=NOON)

    assert slots(Plan(given)) == slots(Plan(without))
    assert policy_of(given).start_ms is None
    assert spec_text(given) == spec_text(without), "so that a put of the one after the other changes nothing"


def test_an_end_of_0_is_no_time() -> None:
    with pytest.raises(InvalidSchedule, match="0 is no time") as caught:
        check(schedule(end=0))

    assert caught.value.field == "end"


@pytest.mark.parametrize("window", [0, "0", "0s"])
def test_a_catch_up_window_of_0_is_stored_as_0(window: Any) -> None:
    given = schedule(catch_up_window=window)

    check(given, after_ms=NOON)

    assert msgspec.json.decode(spec_text(given))["catch_up_window"] == policy_of(given).window_ms == 0


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
@pytest.mark.parametrize("window", [0, 1_000, ON_TIME_MS])
@pytest.mark.parametrize(("late", "made", "missed"), [(0, [0], 0), (ON_TIME_MS, [0], 0), (ON_TIME_MS + 1, [], 1)])
@pytest.mark.parametrize("jitter", ["0", "1h"])
def test_a_window_of_0_catches_nothing_up_and_makes_what_is_on_time(
    catch_up: Any, window: int, late: int, made: Sequence[int], missed: int, jitter: str
) -> None:
    plan = Plan(schedule(jitter=jitter))
    slot = next(plan.after(NOON))

    found = decide(plan, Policy(catch_up=catch_up, window_ms=window), slot=slot, since=0, now=plan.due(slot) + late)

    assert ([at - slot for at, _ in found.slots], found.missed) == (made, missed)
    assert found.following == str(slot + DAY)
