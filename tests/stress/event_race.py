"""Event and due time at the same millisecond, from several processes: each task either starts or never does.

    python -m tests.stress.event_race --tasks 100000

A task is cancelled on an event, skipped where it was, or both. The event comes before the task is submitted, within
some milliseconds of its due time, or after its end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from redsched import Client, Task
from redsched.model.condition import Conditions
from tests.support.workers import Site, own_site

ROUND = 500  # tasks submitted at once, due one after the other, a millisecond each
AHEAD_MS = 700  # of the first due time of a round
EMITTERS = 3
KINDS = ("cancel_on", "unless", "both")


class Racer(NamedTuple):
    """One task and its event; ``when``: before it is submitted, race, or after its end."""

    id: str
    kind: str
    when: str
    due: int  # ms
    emit: int  # ms


class Result(NamedTuple):
    """How many ended how, and what must not be."""

    ends: Counter[str]
    violations: list[str]


def race(site: Site, tasks: int, *, seed: int = 1, progress: bool = False) -> Result:
    """Run so many tasks against their events; a worker and a mover must run already."""
    rng, racers = random.Random(seed), []
    context = multiprocessing.get_context("spawn")
    inbox = [context.SimpleQueue() for _ in range(EMITTERS)]
    emitters = [
        context.Process(target=_emit, args=(site.url, site.store.namespace, queue), daemon=True) for queue in inbox
    ]
    for emitter in emitters:
        emitter.start()
    try:
        for first in range(0, tasks, ROUND):
            round_ = _round(site.client, rng, first, min(ROUND, tasks - first))
            racers += round_
            for at, queue in enumerate(inbox):
                queue.put([one for one in round_[at::EMITTERS] if one.when == "race"])
            _wait_until(round_[-1].due)
            if progress:
                print(f"\r{len(racers):,} of {tasks:,}", end="", file=sys.stderr, flush=True)
        for queue in inbox:
            queue.put(None)
        for emitter in emitters:
            emitter.join(60)
    finally:
        for emitter in emitters:
            emitter.kill()
    _until_ended(site, racers)
    for one in racers:
        if one.when == "after":
            site.client.emit("race", one.id)
    return _judge(site, racers)


def _round(client: Client, rng: random.Random, first: int, count: int) -> list[Racer]:
    """Submit some; those whose event comes first have it by then."""
    base = _now() + AHEAD_MS
    racers = []
    for at in range(count):
        when = rng.choices(("race", "before", "after"), (90, 5, 5))[0]
        due = base + at
        emit = due + rng.choice((-2, -1, 0, 0, 0, 1, 2))
        racers.append(Racer(f"race-{first + at}", rng.choice(KINDS), when, due, emit))
    for one in racers:
        if one.when == "before":
            client.emit("race", one.id)
    client.enqueue_many(
        [Task(type="note", payload={}, id=one.id, due=one.due, conditions=_conditions(one)) for one in racers]
    )
    return racers


def _conditions(one: Racer) -> Conditions:
    fact = f"race:{one.id}"
    return Conditions(
        cancel_on=fact if one.kind != "unless" else None, unless=fact if one.kind != "cancel_on" else None
    )


def _emit(url: str, namespace: str, queue: multiprocessing.SimpleQueue[Sequence[Racer] | None]) -> None:
    with Client(url, namespace=namespace) as client:
        while (racers := queue.get()) is not None:
            for one in sorted(racers, key=lambda one: one.emit):
                _wait_until(one.emit)
                client.emit("race", one.id)


def _until_ended(site: Site, racers: Sequence[Racer]) -> None:
    deadline = time.monotonic() + 60
    while (depths := site.depths()).keys() - {"finished"}:
        if time.monotonic() > deadline:
            raise AssertionError(f"{depths} after a minute of {len(racers)}")
        time.sleep(0.1)


def _judge(site: Site, racers: Sequence[Racer]) -> Result:
    started = Counter(run.id for run in site.ledger.runs("started"))
    states = {view.id: view.state for view in site.views([one.id for one in racers])}
    ends: Counter[str] = Counter()
    violations = []
    for one in racers:
        state, runs = states[one.id], started[one.id]
        ends[f"{one.when} {state}"] += 1
        if state in ("skipped", "cancelled"):
            fine = runs == 0 and one.when != "after"
        else:
            fine = state == "completed" and runs == 1 and one.when != "before"
        if not fine:
            violations.append(f"{one}: {state}, started {runs} time(s)")
    return Result(ends, violations)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _wait_until(due: int) -> None:
    """By this machine's clock, which is the server's."""
    left = due - time.time_ns() / 1_000_000
    if left > 0:
        time.sleep(left / 1_000)


def main() -> None:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with own_site() as site:
        site.worker("-c", "64", "-q", "default")
        site.mover()
        began = time.monotonic()
        result = race(site, given.tasks, seed=given.seed, progress=True)
        print(f"\n{given.tasks:,} tasks in {time.monotonic() - began:.0f} s: {len(result.violations)} violations")
        for end, count in sorted(result.ends.items()):
            print(f"  {end:<20} {count:>8,}")
        for violation in result.violations[:20]:
            print(violation)
        sys.exit(bool(result.violations))


if __name__ == "__main__":
    main()
