"""How long does it take at most to work out when a schedule runs next?

A fuzzer draws schedules of every kind, with exclusions that leave out much or nearly all, and measures the work (CPU
time of the thread) of each call that a mover, the API or a command makes: compile, check, the next slot, a decision
after an outage, what is shown. A search that stops says so and counts as one that did. The floor is the same work for
the plainest schedule. ``python -m bench.next_time --seeds 2000``
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from redsched.model.errors import InvalidSchedule, SearchSpent
from redsched.model.schedule import Schedule, check
from redsched.model.template import TaskTemplate
from redsched.schedule.catch_up import Policy, decide
from redsched.schedule.definition import Every, Exclude, Random
from redsched.schedule.slots import Plan
from redsched.steps.schedule_view import A_VIEW_S

NOW = 1_800_000_000_000
DAY = 86_400_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
SECOND = ("*", "*/2", "0", "30", "1-59", "*/7", "0-29")
MINUTE = ("*", "*/5", "0", "*/2", "1-59", "7", "0,30", "*/59")
HOUR = ("*", "*/3", "0", "9-17", "1-23", "H", "2")
DOM = ("*", "1-9,11-19,21-31", "L", "31", "29", "1", "15W", "2-31")
MONTH = ("*", "7,8", "2", "1-11", "2-12", "*/5")
DOW = ("*", "MON-FRI", "SUN", "0-5", "5L", "2#1")
YEAR = ("*", "2028-2096", "2027,2031", "2096")
RRULES = (
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3", "FREQ=SECONDLY;INTERVAL=86399", "FREQ=MINUTELY;BYHOUR=3;BYMINUTE=7",
    "FREQ=MONTHLY;BYDAY=5MO;BYSETPOS=-1", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU", "FREQ=DAILY;INTERVAL=9999",
    "DTSTART:19720101T000000\nRRULE:FREQ=HOURLY;INTERVAL=7;COUNT=10000", "FREQ=YEARLY;BYYEARDAY=366;INTERVAL=4",
)  # fmt: skip


def cron(rng: random.Random) -> str:
    """An expression of five, six or seven fields."""
    five = [rng.choice(field) for field in (MINUTE, HOUR, DOM, MONTH, DOW)]
    if rng.random() < 0.5:
        return " ".join(five)
    return " ".join([rng.choice(SECOND), *five, *([rng.choice(YEAR)] if rng.random() < 0.4 else [])])


def span(milliseconds: int) -> timedelta:
    """As a duration."""
    return timedelta(milliseconds=milliseconds)


def draw(rng: random.Random) -> Schedule:
    """A schedule of any kind; it may be one that cannot be used."""
    kinds: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"cron": [cron(rng) for _ in range(rng.choice((1, 1, 2, 5, 100)))]},
        lambda: {"every": [Every(span(rng.choice((1_000, 2_000, 60_000, 7 * DAY))), span(rng.choice((0, 500))))]},
        lambda: {"random": Random(span(rng.choice((1_000, 60_000))), span(rng.choice((60_000, DAY))))},
        lambda: {"rrule": rng.sample(RRULES, rng.choice((1, 2)))},
        lambda: {"at": sorted(NOW + rng.randrange(DAY * 900) for _ in range(rng.choice((1, 50, 1_000))))},
        lambda: {"cron": cron(rng), "every": [Every("1h")]},
    )
    more: dict[str, Any] = {"time_zone": rng.choice(ZONES), "jitter": rng.choice((0, 0, 60_000, DAY))}
    if rng.random() < 0.7:
        dates = [f"*-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
        more["exclude"] = Exclude(
            crons=[cron(rng) for _ in range(rng.choice((1, 1, 2, 20)))],
            dates=rng.sample(dates, rng.choice((0, 0, 5, 300))),
            calendars=rng.choice(([], ["c"])),
        )
    timing = rng.choice(kinds)()
    return Schedule(id=f"s{rng.randrange(9)}", task=TaskTemplate(type="t"), catch_up="all", **timing, **more)


def calls(schedule: Schedule, rng: random.Random) -> dict[str, Callable[[], Any]]:
    """What is done with it, by name."""
    closed = {"c": frozenset(f"2027-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29))}
    plan = Plan(schedule, closed)
    begin = NOW + rng.randrange(400 * DAY)
    policy = Policy(catch_up="all", window_ms=40 * DAY)

    def slot() -> int | None:
        return next(plan.after(begin), None)

    def outage() -> Any:
        return decide(plan, policy, slot=next(plan.after(begin), None), since=begin, now=begin + 30 * DAY)

    return {
        "compile": lambda: Plan(schedule, closed),
        "check": lambda: check(schedule, closed, after_ms=begin),
        "next": slot,
        "due": lambda: plan.due(slot() or begin),
        "decide": outage,
        "show ten": lambda: plan.preview(begin, 10, budget_s=A_VIEW_S),
        "excluded": lambda: plan.excluded(begin, begin + 30 * DAY),
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.next_time", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="schedules")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    asked = parser.parse_args(argv)
    taken: dict[str, list[tuple[float, int]]] = defaultdict(list)
    spent: Counter[str] = Counter()
    refused = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        rng = random.Random(seed)
        schedule = draw(rng) if seed else Schedule(id="s", task=TaskTemplate(type="t"), every=[Every("1m")])
        try:
            todo = calls(schedule, rng)
        except InvalidSchedule:
            refused += 1
            continue
        for name, call in todo.items():
            began = time.thread_time()
            try:
                call()
            except SearchSpent:
                spent[name] += 1
            except InvalidSchedule:
                spent[name] += name == "check"
            taken[name if seed else f"floor: {name}"].append(((time.thread_time() - began) * 1_000, seed))
        if sys.stderr.isatty() and seed % 50 == 0:
            print(f"\r{seed - asked.first} of {asked.seeds}", end="", file=sys.stderr)
    print(f"{asked.seeds} schedules, of which {refused} cannot be used; ms of work")
    print(f"{'call':<18}{'median':>9}{'longest':>9}  {'seed':>6}  searches that stopped")
    for name, found in sorted(taken.items()):
        found.sort()
        print(f"{name:<18}{found[len(found) // 2][0]:>9.3f}{found[-1][0]:>9.1f}  {found[-1][1]:>6}  {spent[name]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
