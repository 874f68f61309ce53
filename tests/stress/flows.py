"""Chains, groups and lines of keys while workers and movers are killed at random.

    python -m tests.stress.flows --chain 1000 --group 10000 --keys 1000 --each 100

A child never starts before its parents have completed, the join runs once all have, and the tasks of a key start in the
order in which they came.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import msgspec

from redsched import Fixed, Task
from redsched.model.condition import Conditions
from tests.support.processes import Redsched
from tests.support.workers import Site, killed, own_site

FLAKY = Task(type="flaky", retry=Fixed("50ms"), max_attempts=50)


@contextmanager
def killing(site: Site, *, every: float, seed: int = 1) -> Iterator[list[str]]:
    """Two workers and two movers of which one is killed now and then, and replaced; what was killed."""
    rng, over, dead = random.Random(seed), threading.Event(), list[str]()
    cast: dict[str, Redsched] = {}

    def start(name: str) -> None:
        cast[name] = (
            site.worker("-c", "32", "--no-mover", "--lease", "2s") if name.startswith("worker") else site.mover()
        )

    for name in ("worker-1", "worker-2", "mover-1", "mover-2"):
        start(name)

    def kill() -> None:
        while not over.wait(every * (0.5 + rng.random())):
            name = rng.choice(sorted(cast))
            killed(cast[name])
            dead.append(name)
            start(name)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        yield dead
    finally:
        over.set()
        killer.join(60)


def wait(site: Site, seconds: float, *, tell: str = "") -> float:
    """Until nothing is left to do; the seconds that it took."""
    began = time.monotonic()
    while (depths := site.depths()).keys() - {"finished"}:
        passed = time.monotonic() - began
        assert passed < seconds, f"{depths} after {passed:.0f} s"
        if tell:
            print(f"\r{tell} {passed:4.0f} s {depths}          ", end="", file=sys.stderr, flush=True)
        time.sleep(0.1)
    return time.monotonic() - began


def chain(site: Site, length: int) -> list[str]:
    """Submit one; its ids in order."""
    return [made.id for made in site.client.chain([FLAKY] * length)]


def group(site: Site, size: int) -> list[str]:
    """Submit one; its ids, that of the join last."""
    return [made.id for made in site.client.group([FLAKY] * size, FLAKY)]


def diamond(site: Site) -> list[str]:
    """One, two that come after it, one that comes after both."""
    site.client.enqueue("flaky", id="top", retry=FLAKY.retry, max_attempts=50)
    for name in ("left", "right"):
        site.client.enqueue("flaky", id=name, after="top", retry=FLAKY.retry, max_attempts=50)
    site.client.enqueue("flaky", id="bottom", after=["left", "right"], retry=FLAKY.retry, max_attempts=50)
    return ["top", "left", "right", "bottom"]


def lines(site: Site, keys: int, each: int) -> dict[str, list[str]]:
    """Submit so many tasks of so many keys, mixed, some of them delayed; the ids of each key in order."""
    rng, made = random.Random(keys), defaultdict[str, list[str]](list)
    names = [f"key-{key}" for key in range(keys) for _ in range(each)]
    rng.shuffle(names)
    tasks = []
    for name in names:
        made[name].append(f"{name}:{len(made[name])}")
        delay = rng.choice(("0s", "0s", "200ms"))
        own = {"id": made[name][-1], "key": name, "delay": delay, "conditions": Conditions(fifo=True)}
        tasks.append(msgspec.structs.replace(FLAKY, **own))
    for at in range(0, len(tasks), 200):
        site.client.enqueue_many(tasks[at : at + 200])
    return dict(made)


def check_order(site: Site, families: Sequence[tuple[Sequence[str], str]]) -> None:
    """Each child started only after its parents had ended, and knows what they returned."""
    started: dict[str, int] = {}
    ended: dict[str, int] = {}
    for at, run in enumerate(site.ledger.runs()):
        (started if run.note == "started" else ended).setdefault(run.id, at)
    for parents, child in families:
        early = [parent for parent in parents if ended[parent] > started[child]]
        assert not early, f"{child} started before {early[:5]} had ended"
        results = {kin.id: kin.result for kin in site.client.parents(child)}
        assert results == {parent: parent for parent in parents}


def check_lines(site: Site, made: dict[str, list[str]]) -> None:
    """The order of the first starts of each key is that of its submission."""
    seen: dict[str, list[str]] = defaultdict(list)
    known = set[str]()
    for run in site.ledger.runs("started"):
        if run.id not in known:
            known.add(run.id)
            seen[run.id.partition(":")[0]].append(run.id)
    wrong = [key for key, ids in made.items() if seen[key] != ids]
    assert not wrong, f"out of order: {wrong[:5]}"


def families(name: str, ids: Sequence[str]) -> list[tuple[Sequence[str], str]]:
    """Parents and child, of each child of a workflow."""
    if name == "chain":
        return [([before], after) for before, after in pairwise(ids)]
    if name == "group":
        return [(ids[:-1], ids[-1])]
    return [(["top"], "left"), (["top"], "right"), (["left", "right"], "bottom")]


def run(site: Site, *, length: int, size: int, keys: int, each: int, every: float, seconds: float, tell: bool) -> str:
    """Everything, under fire; what was measured."""
    said = []
    with killing(site, every=every) as dead:
        for name, submit in (("chain", chain), ("group", group), ("diamond", None), ("lines", None)):
            began = time.monotonic()
            if name == "lines":
                made = lines(site, keys, each)
                wait(site, seconds, tell=name if tell else "")
                check_lines(site, made)
            else:
                ids = diamond(site) if submit is None else submit(site, length if name == "chain" else size)
                wait(site, seconds, tell=name if tell else "")
                check_order(site, families(name, ids))
            said.append(f"{name}: {time.monotonic() - began:.1f} s")
    assert site.depths().keys() == {"finished"}
    return f"{', '.join(said)}; {len(dead)} kills"


def main() -> None:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", type=int, default=1_000)
    parser.add_argument("--group", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--each", type=int, default=100)
    given = parser.parse_args()
    with own_site() as site:
        print(
            "\n"
            + run(
                site,
                length=given.chain,
                size=given.group,
                keys=given.keys,
                each=given.each,
                every=3.0,
                seconds=1_800,
                tell=True,
            )
        )


if __name__ == "__main__":
    main()
