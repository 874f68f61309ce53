"""What the simulation of tasks with conditions knows of each task, and how it draws conditions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redsched.wire.claims import Started

Holds = dict[str, Any]
FACTS = tuple(f"e{n}" for n in range(5))
KEYS = ("k1", "k2")
KINDS = ("cancel_on", "wait_for", "test", "fifo", "unique", "unique", "digest", "digest", "hold", "after", "none")
TICKS = (0, 0, 1, 100, 1_000, 6_000, 31_000)
FINAL = ("completed", "skipped", "expired", "cancelled", "dead")
OVER = (*FINAL, "gone", "rejected")


@dataclass(frozen=True)
class Theme:
    """What a seed has much of."""

    kinds: tuple[str, ...] = KINDS  # of conditions
    ticks: tuple[int, ...] = TICKS  # how long nothing happens, ms
    family: float = 0.25  # how often several tasks are made that come after one another
    care: int = 2  # how often somebody drops, revives, reschedules or sweeps
    death: float = 0.08  # how often a worker dies
    digests: tuple[str, ...] = ("d1", "d1", "d2")
    reaps: int = 1  # of eight things that a mover does
    facts: int = 1  # how often events come and facts go
    submits: int = 6
    pauses: float = 1


_SHORT = (0, 1, 100, 500, 1_000, 2_000, 6_000)
THEMES = (
    Theme(),
    Theme(
        ("digest",) * 6 + ("cancel_on", "test", "test", "test", "unique", "hold"),
        (0, 1, 100, 500, 1_000, 2_000),
        0.05,
        3,
        0.2,
        ("d1",),
        2,
        3,
        12,
        0.2,
    ),
    Theme(("unique",) * 5 + ("fifo", "fifo", "test", "none", "hold"), _SHORT, 0.1, pauses=0.3),
    Theme(("after", "after", "cancel_on", "unique", "hold", "none", "none"), _SHORT, 0.5, 5, pauses=0.3),
    Theme(
        ("none", "none", "digest", "digest", "test", "fifo"),
        (0, 1_000, 5_000, 6_000),
        0.1,
        3,
        0.4,
        ("d1",),
        3,
        pauses=0.2,
    ),
)


@dataclass(eq=False)
class Known:
    """What a test knows of one task that was created. Another task of the same id is another one."""

    id: str
    conditions: Holds
    key: str | None
    at: int  # when it was created
    payload: Any
    due: int  # it does not start before, if it is no digest: those do not count it
    most: int = 5  # attempts
    expires: int | None = None
    parents: list[Known] = field(default_factory=list)
    starts: int = 0
    is_fresh: bool = True  # whether it has not started since it got its conditions
    confirmed: bool = False
    called_off: int | None = None  # the step in which an event that cancels it, or a call, came
    heard: set[str] = field(default_factory=set)  # of its facts, those that were there since
    end: str | None = None  # the state in which it was removed, or what became of it in place of being made
    was_revived: bool = False
    place: tuple[int, int] = (0, 0)  # in its lines: since which step, and as which of its call
    attempt: int = 0
    given_back: int = 0  # in a row
    run: Started | None = None  # that has not been answered
    has_begun: bool = False  # as its worker has told
    closed: set[str] | None = None  # the facts when its digest closed
    claimed: tuple[list[Any], int, int] | None = None  # items, step and time of the first claim that had them
    ran: tuple[list[Any], int, int] | None = None  # the same, once a handler has begun with them


def unique_key(known: Known) -> str | None:
    """The key of which there is one at a time."""
    found: Holds = known.conditions.get("unique", {})
    return found.get("key")


def awaited(conditions: Holds) -> list[str]:
    """The facts that it waits for."""
    wait = conditions.get("wait_for", {})
    return list(wait.get("all") or wait.get("any") or ())


def is_heard(conditions: Holds, facts: set[str]) -> bool:
    """Whether these facts are what it waits for."""
    wait = conditions.get("wait_for", {})
    return set(wait["all"]) <= facts if "all" in wait else bool(set(wait.get("any", ())) & facts)


def holds(test: Holds, facts: set[str]) -> bool:
    """Whether a test holds."""
    found = [one["fact"] in facts for one in test.get("all") or test["any"]]
    return all(found) if "all" in test else any(found)


def condition(rng: random.Random, theme: Theme, kind: str, task_id: str, there: Sequence[str]) -> Holds:
    """Conditions of one kind; ``there``: ids of tasks that it may come after."""
    some = rng.sample(FACTS, rng.choice((1, 1, 2)))
    if kind == "cancel_on":
        return {"cancel_on": some}
    if kind == "wait_for":
        ends = {"within": 20_000, "then": rng.choice(("run", "expire"))} if rng.random() < 0.6 else {}
        return {"wait_for": {rng.choice(("all", "any")): some, **ends}}
    if kind == "test":
        test = {rng.choice(("all", "any")): [{"fact": name, "exists": True} for name in some]}
        again = {"otherwise": {"again": 1_500, "within": 9_000}} if rng.random() < 0.4 else {}
        return {rng.choice(("unless", "unless", "only_if")): test, **again}
    if kind == "fifo":
        return {"fifo": True}
    if kind == "unique":
        mode = rng.choice(("reject", "replace", "keep_last", "keep_last"))
        return {"unique": {"key": rng.choice(("u1", "u2")), "mode": mode}}
    if kind == "digest":
        return {"digest": {"key": rng.choice(theme.digests), "grace": 2_000, "longest": 5_000, "size": 4}}
    if kind == "hold":
        return {"hold": {"token": task_id, "within": 15_000, "then": rng.choice(("run", "expire"))}}
    if kind == "after" and there:
        return after(rng, rng.sample(there, min(len(there), rng.choice((1, 2)))))
    return {}


def after(rng: random.Random, parents: Sequence[str]) -> Holds:
    """It comes after these."""
    on = rng.choice(("success", "success", "failure", "either"))
    otherwise = rng.choice(("cancel", "skip", "run", "wait"))
    return {"after": {"ids": list(parents), "on": on, "otherwise": otherwise}}


def some_conditions(rng: random.Random, theme: Theme, task_id: str, there: Sequence[str], most: int = 3) -> Holds:
    """Conditions of up to so many kinds that go together."""
    made: Holds = {}
    for kind in rng.sample(theme.kinds, rng.randint(1, most)):
        made |= condition(rng, theme, kind, task_id, there)
    if "digest" in made:
        made.pop("fifo", None)
    return made
