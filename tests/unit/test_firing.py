"""What is decided about a schedule's slots: catch-up policies, their window, pauses, jitter, long outages, chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from redsched.schedule.catch_up import MOST_FIRED, MOST_LOOKED_AT, NONE, ON_TIME_MS, SAME, Decision, Policy, decide

T = 1_800_000_000_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
YEAR = 365 * DAY
WIDE = 400 * DAY  # a window that leaves nothing out


@dataclass
class Beat:
    """A slot each ``every`` ms from T on; ``plain``: it says that it is nothing else."""

    every: int
    plain: bool = True
    last: int | None = None
    drawn: int = 0  # slots that were asked for

    @property
    def interval(self) -> tuple[int, int] | None:
        return (self.every, T % self.every) if self.plain else None

    def after(self, ms: int) -> Iterator[int]:
        at = T + max((ms - T) // self.every + 1, 0) * self.every
        while self.last is None or at <= self.last:
            self.drawn += 1
            yield at
            at += self.every

    def due(self, slot: int) -> int:
        return slot

    def holds(self, slot: int) -> bool:
        return (slot - T) % self.every == 0

    def wall(self, slot: int) -> str:
        return ""

    def after_wall(self, wall: str) -> Iterator[int]:
        raise NotImplementedError


@dataclass
class Listed:
    """These slots, each due so much later than planned."""

    slots: Sequence[int]
    late: dict[int, int] = field(default_factory=dict)
    interval: None = None

    def after(self, ms: int) -> Iterator[int]:
        return (slot for slot in self.slots if slot > ms)

    def due(self, slot: int) -> int:
        return slot + self.late.get(slot, 0)

    def holds(self, slot: int) -> bool:
        return slot in self.slots

    def wall(self, slot: int) -> str:
        return ""

    def after_wall(self, wall: str) -> Iterator[int]:
        raise NotImplementedError


def policy(catch_up: str = "latest", window: int = WIDE, **more: Any) -> Policy:
    return Policy(catch_up=catch_up, window_ms=window, **more)


def fired(found: Decision) -> list[int]:
    return [slot - T for slot, _ in found.slots]


def test_a_schedule_that_is_not_planned_yet_gets_its_next_slot_and_makes_nothing() -> None:
    found = decide(Beat(MINUTE), policy(), slot=None, since=T + 1, now=T + HOUR)

    assert found == Decision(following=str(T + MINUTE), due=T + MINUTE)


def test_a_schedule_without_a_slot_left_ends() -> None:
    assert decide(Listed([T]), policy(), slot=None, since=T, now=T + 1) == Decision(following=NONE)
    assert decide(Listed([T]), policy(), slot=T, since=0, now=T) == Decision(following=NONE, slots=((T, T),), handled=T)


def test_a_slot_that_is_not_due_stays_as_it_is() -> None:
    assert decide(Beat(HOUR), policy(), slot=T, since=0, now=T - 1) == Decision(following=SAME, due=T)


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
@pytest.mark.parametrize("plain", [True, False])
def test_a_slot_on_time_is_made_by_every_policy(catch_up: str, plain: bool) -> None:
    found = decide(Beat(MINUTE, plain), policy(catch_up), slot=T, since=0, now=T + 3)

    assert found == Decision(following=str(T + MINUTE), due=T + MINUTE, slots=((T, T),), handled=T)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    ("catch_up", "made", "why"),
    [("none", [], "catch_up none 60"), ("latest", [59], "catch_up latest 59"), ("all", [*range(60)], "")],
)
def test_after_an_hour_without_redis(plain: bool, catch_up: str, made: list[int], why: str) -> None:
    found = decide(Beat(MINUTE, plain), policy(catch_up), slot=T, since=0, now=T + HOUR - 10 * SECOND)

    assert fired(found) == [minute * MINUTE for minute in made]
    assert (found.missed, found.why) == (60 - len(made), why)
    assert found.following == str(T + HOUR)


@pytest.mark.parametrize(("late", "made"), [(ON_TIME_MS, True), (ON_TIME_MS + 1, False)])
def test_without_catch_up_a_slot_is_made_as_late_as_a_change_of_movers_makes_it(late: int, made: bool) -> None:
    found = decide(Beat(MINUTE), policy("none"), slot=T, since=0, now=T + late)

    assert (fired(found), found.missed) == (([0], 0) if made else ([], 1))


def test_without_catch_up_what_is_on_time_is_made_and_what_is_not_is_missed() -> None:
    found = decide(Beat(SECOND), policy("none"), slot=T, since=0, now=T + 20 * SECOND)

    assert fired(found) == [second * SECOND for second in range(15, 21)]
    assert (found.missed, found.why) == (15, "catch_up none 15")


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
@pytest.mark.parametrize("plain", [True, False])
def test_a_stall_as_long_as_a_change_of_movers_loses_no_slot_of_a_second(catch_up: str, plain: bool) -> None:
    found = decide(Beat(SECOND, plain), policy(catch_up), slot=T, since=0, now=T + ON_TIME_MS)

    assert (fired(found), found.missed) == ([second * SECOND for second in range(6)], 0)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    ("catch_up", "made", "missed"), [("none", [], 61), ("latest", [60], 60), ("all", range(50, 61), 50)]
)
def test_the_window_bounds_what_is_caught_up(plain: bool, catch_up: str, made: Sequence[int], missed: int) -> None:
    window = 10 * MINUTE + 30 * SECOND

    found = decide(Beat(MINUTE, plain), policy(catch_up, window), slot=T, since=0, now=T + HOUR + 20 * SECOND)

    assert fired(found) == [minute * MINUTE for minute in made]
    assert found.missed == missed
    assert "catch_up_window 50" in found.why


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("late", "made"), [(MINUTE, True), (MINUTE + 1, False)])
def test_a_slot_as_late_as_the_window_is_still_made(plain: bool, late: int, made: bool) -> None:
    found = decide(Beat(HOUR, plain), policy("all", MINUTE), slot=T, since=0, now=T + late)

    assert (fired(found), found.missed) == (([0], 0) if made else ([], 1))
    assert found.following == str(T + HOUR)


@pytest.mark.parametrize("plain", [True, False])
def test_slots_of_a_pause_are_missed_whatever_the_policy(plain: bool) -> None:
    found = decide(
        Beat(MINUTE, plain), policy("all"), slot=T, since=0, now=T + 12 * MINUTE + 1, resumed=T + 10 * MINUTE
    )

    assert fired(found) == [11 * MINUTE, 12 * MINUTE]
    assert (found.missed, found.why) == (11, "paused 11")


@pytest.mark.parametrize("plain", [True, False])
def test_a_pause_and_the_window_are_told_apart(plain: bool) -> None:
    found = decide(
        Beat(MINUTE, plain), policy("latest", 5 * MINUTE), slot=T, since=0, now=T + 20 * MINUTE, resumed=T + 3 * MINUTE
    )

    assert fired(found) == [20 * MINUTE]
    assert (found.missed, found.why) == (20, "paused 4, catch_up_window 11, catch_up latest 5")


@pytest.mark.parametrize("plain", [True, False])
def test_a_resume_just_before_a_slot_makes_it(plain: bool) -> None:
    found = decide(Beat(HOUR, plain), policy(), slot=T, since=0, now=T, resumed=T - 1)

    assert (fired(found), found.missed) == ([0], 0)


def test_a_slot_waits_for_its_jitter() -> None:
    plan = Listed([T, T + HOUR], {T: 9 * MINUTE, T + HOUR: 2 * MINUTE})

    assert decide(plan, policy(), slot=T, since=0, now=T + MINUTE) == Decision(following=SAME, due=T + 9 * MINUTE)
    assert decide(plan, policy(), slot=T, since=0, now=T + 9 * MINUTE) == Decision(
        following=str(T + HOUR), due=T + HOUR + 2 * MINUTE, slots=((T, T + 9 * MINUTE),), handled=T
    )


def test_lateness_counts_from_the_jittered_time() -> None:
    plan = Listed([T, T + HOUR], {T: 9 * MINUTE})

    on_time = decide(plan, policy("none", MINUTE), slot=T, since=0, now=T + 9 * MINUTE + SECOND)
    too_late = decide(plan, policy("all", MINUTE), slot=T, since=0, now=T + 10 * MINUTE + 1)

    assert (fired(on_time), on_time.missed) == ([0], 0)
    assert (fired(too_late), too_late.missed, too_late.why) == ([], 1, "catch_up_window 1")


@pytest.mark.parametrize("catch_up", ["none", "all"])
def test_a_slot_that_waited_for_one_whose_jitter_is_longer_is_not_late_for_that(catch_up: str) -> None:
    plan = Listed([T, T + MINUTE, T + HOUR], {T: 10 * MINUTE, T + MINUTE: SECOND})

    found = decide(plan, policy(catch_up, MINUTE), slot=T, since=0, now=T + 10 * MINUTE)

    assert found.slots == ((T, T + 10 * MINUTE), (T + MINUTE, T + 10 * MINUTE))
    assert (found.missed, found.following) == (0, str(T + HOUR))


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_a_year_without_redis_is_counted_without_a_walk_for_an_interval_of_a_second(catch_up: str) -> None:
    plan = Beat(SECOND)

    found = decide(plan, policy(catch_up, MINUTE), slot=T, since=0, now=T + YEAR)

    assert plan.drawn < 100
    made = {"none": 6, "latest": 1, "all": 61}[catch_up]
    assert (len(found.slots), found.missed) == (made, YEAR // SECOND + 1 - made)
    assert found.following == str(T + YEAR + SECOND)


def test_a_year_of_a_pause_is_counted_without_a_walk() -> None:
    plan = Beat(SECOND)

    found = decide(plan, policy("all"), slot=T, since=0, now=T + YEAR, resumed=T + YEAR - 2 * SECOND)

    assert (fired(found), plan.drawn < 10) == ([YEAR - SECOND, YEAR], True)
    assert (found.missed, found.why) == (YEAR // SECOND - 1, f"paused {YEAR // SECOND - 1}")


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_one_decision_looks_at_a_bounded_number_of_slots(catch_up: str) -> None:
    plan = Beat(SECOND, plain=False)

    found = decide(plan, policy(catch_up), slot=T, since=0, now=T + YEAR)

    assert plan.drawn <= MOST_LOOKED_AT + 2
    assert len(found.slots) <= MOST_FIRED
    assert T < int(found.following) <= T + YEAR


def carried_out(plan: Beat | Listed, how: Policy, slot: int, now: int) -> tuple[list[int], int, int, Decision]:
    """Decisions until nothing is due: the slots made, how many were missed, of how many looks, the last decision."""
    made: list[int] = []
    missed = looks = 0
    at: int | None = slot
    while True:
        found = decide(plan, how, slot=at, since=0, now=now)
        looks += 1
        made += [slot for slot, _ in found.slots]
        missed += found.missed
        if not found.following.isdecimal() or found.due is None or found.due > now:
            return made, missed, looks, found
        assert at is None or int(found.following) > at, "it must go on"
        at = int(found.following)


@pytest.mark.parametrize("plain", [True, False])
def test_all_is_made_in_chunks_each_slot_once_and_in_order(plain: bool) -> None:
    made, missed, looks, last = carried_out(Beat(MINUTE, plain), policy("all"), T, T + DAY)

    assert made == [T + minute * MINUTE for minute in range(24 * 60 + 1)]
    assert (missed, looks) == (0, 15)
    assert last.following == str(T + DAY + MINUTE)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("catch_up", "made"), [("none", 6), ("latest", 1)])
def test_of_thousands_the_last_are_made_once_and_all_others_are_counted_once(
    plain: bool, catch_up: str, made: int
) -> None:
    found, missed, _, last = carried_out(Beat(SECOND, plain), policy(catch_up), T, T + 5_000 * SECOND)

    assert found == [T + (5_001 - made + n) * SECOND for n in range(made)]
    assert missed == 5_001 - made
    assert last.following == str(T + 5_001 * SECOND)


def test_after_a_completion_there_is_one_run_and_its_end_decides_about_the_next() -> None:
    how = policy(after_completion=True, end_ms=T + HOUR)
    plan = Listed([])

    assert decide(plan, how, slot=None, since=T, now=T) == Decision(following="")
    assert decide(plan, how, slot=T, since=0, now=T - 1) == Decision(following=SAME, due=T)
    assert decide(plan, how, slot=T, since=0, now=T + DAY) == Decision(following="", slots=((T, T),))
    assert decide(plan, how, slot=T + HOUR + 1, since=0, now=T + DAY) == Decision(following=NONE)


def test_after_a_completion_nothing_runs_before_the_start() -> None:
    how = policy(after_completion=True, start_ms=T + HOUR)
    waiting = Decision(following=str(T + HOUR), due=T + HOUR)

    assert decide(Listed([]), how, slot=T, since=0, now=T - 1) == waiting
    assert decide(Listed([]), how, slot=T, since=0, now=T) == waiting
    assert fired(decide(Listed([]), how, slot=T + HOUR, since=0, now=T + HOUR)) == [HOUR]


@settings(max_examples=200, deadline=None)
@given(
    gaps=some.lists(some.integers(1, 100_000), min_size=1, max_size=60),
    late=some.lists(some.integers(0, 60_000), min_size=60, max_size=60),
    catch_up=some.sampled_from(["none", "latest", "all"]),
    window=some.integers(0, 300_000),
    looks=some.lists(some.integers(0, 400_000), min_size=1, max_size=20),
    pause=some.none() | some.integers(0, 3_000_000),
)
def test_every_slot_is_made_or_missed_once_whenever_it_is_looked_at(
    gaps: list[int], late: list[int], catch_up: str, window: int, looks: list[int], pause: int | None
) -> None:
    slots = [T + sum(gaps[: n + 1]) for n in range(len(gaps))]
    plan = Listed(slots, dict(zip(slots, late, strict=False)))
    now, at, made, missed = T, slots[0], list[int](), 0
    for step in [*looks, 10_000_000]:
        now += step
        resumed = T + pause if pause is not None and T + pause <= now else None
        found = decide(plan, policy(catch_up, window), slot=at, since=0, now=now, resumed=resumed)
        assert all(due <= now and now - due <= max(window, ON_TIME_MS) for _, due in found.slots)
        made += [slot for slot, _ in found.slots]
        missed += found.missed
        passed = [slot for slot in slots if slot < int(found.following)] if found.following.isdecimal() else slots
        if found.following == NONE:
            break
        at = at if found.following == SAME else int(found.following)
        if found.following != SAME:
            assert len(made) + missed == len(passed)
    assert made == sorted(set(made)) and set(made) <= set(slots)
    assert len(made) + missed == len(slots)
