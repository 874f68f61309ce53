"""The five steps, each the same for every library: one, bulk, drain, burst, lateness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from bench.peers.bed import Bed, PeerFailed
from bench.report import percentile

ONE, BULK, BURST, SPREAD, RATE, WARM = 5_000, 20_000, 10_000, 3_000, 300, 100
LIMIT = 120.0  # seconds for one submission or one drain
SPARE_MS = 300  # the last task must be scheduled this long before the first is due


class Kind(msgspec.Struct, frozen=True):
    """One figure of a step."""

    title: str
    unit: str
    better: Literal["more", "less"]


KINDS = {
    "one": Kind(f"one after the other, {ONE:,} tasks due now", "tasks/s", "more"),
    "bulk": Kind(f"the best bulk call, {BULK:,} tasks due now", "tasks/s", "more"),
    "drain": Kind("one worker process runs a backlog of 20,000 no-op tasks, first start to last", "tasks/s", "more"),
    "burst": Kind(f"{BURST:,} tasks due at one instant: all started within", "ms", "less"),
    "p50": Kind(f"{RATE} tasks a second for {SPREAD // RATE} s: start less due, p50", "ms", "less"),
    "p99": Kind(f"{RATE} tasks a second for {SPREAD // RATE} s: start less due, p99", "ms", "less"),
}


class Outcome(msgspec.Struct):
    """What one step found."""

    figures: dict[str, float]
    notes: list[str] = []
    cut: bool = False  # the time limit came first: the rate is over what was done


def one(bed: Bed) -> Outcome:
    """One enqueue after the other."""
    count = bed.options.sized(ONE)
    return Outcome({"one": count / bed.produce("one", count, limit=LIMIT)["seconds"]})


def bulk(bed: Bed) -> Outcome:
    """The best bulk call."""
    count = bed.options.sized(BULK)
    return Outcome({"bulk": count / bed.produce("bulk", count, limit=LIMIT)["seconds"]})


def drain(bed: Bed) -> Outcome:
    """A backlog that is there before the worker is; from the first start to the last."""
    count = bed.options.sized(bed.peer.drain)
    bed.produce("fill", count, limit=LIMIT)
    with bed.worker(due=False):
        whole = bed.until_started(count, LIMIT)
        records = bed.records() if bed.started() else []
    if len(records) < 2:
        raise PeerFailed(f"drain: {len(records)} of {count:,} tasks started within {LIMIT:.0f} s")
    starts = [start for _, _, start in records]
    found = Outcome({"drain": (len(starts) - 1) * 1e9 / (max(starts) - min(starts))}, cut=not whole)
    _count(found, records, count)
    return found


def burst(bed: Bed) -> Outcome:
    """Many tasks due at one instant."""
    found, late = _late(bed, bed.options.sized(BURST), 0)
    found.figures["burst"] = late[-1]
    return found


def lateness(bed: Bed) -> Outcome:
    """Tasks due evenly over ten seconds."""
    found, late = _late(bed, bed.options.sized(SPREAD), 1_000_000 // RATE)
    found.figures |= {"p50": percentile(late, 0.5), "p99": percentile(late, 0.99)}
    return found


STEPS: dict[str, Callable[[Bed], Outcome]] = {
    "one": one, "bulk": bulk, "drain": drain, "burst": burst, "lateness": lateness,
}  # fmt: skip


def _late(bed: Bed, count: int, gap_us: int) -> tuple[Outcome, list[float]]:
    lead_ms = bed.options.sized(bed.peer.lead_ms) + 2_000 if bed.options.quick else bed.peer.lead_ms
    seconds = count * gap_us / 1e6
    with bed.worker(due=True):
        bed.produce("fill", WARM, limit=LIMIT)
        if not bed.until_started(WARM, LIMIT):
            raise PeerFailed(f"{bed.started()} of {WARM} first tasks started within {LIMIT:.0f} s")
        while True:
            bed.forget()
            answer = bed.produce("due", count, lead_ms, gap_us, limit=LIMIT)
            whole = bed.until_started(count, lead_ms / 1_000 + seconds + LIMIT)
            if answer["spare_ms"] >= SPARE_MS or not whole or lead_ms > 60_000:
                break
            lead_ms *= 3  # those ran for nothing: the last was scheduled too late to be on time
        records = bed.records()
    if not whole:
        raise PeerFailed(f"{len(records):,} of {count:,} due tasks started within the limit")
    found = Outcome({})
    _count(found, records, count)
    late = sorted(start / 1e6 - due for _, due, start in records)
    if early := sum(1 for value in late if value < 0):
        found.notes.append(f"{early:,} of {count:,} started early, the earliest by {-late[0]:,.0f} ms")
    return found, late


def _count(found: Outcome, records: list[tuple[int, int, int]], count: int) -> None:
    """Note what ran twice or not at all."""
    numbers = {number for number, _, _ in records}
    if missing := count - len(numbers & set(range(count))):
        found.notes.append(f"{missing:,} of {count:,} did not start")
    if twice := len(records) - len(numbers):
        found.notes.append(f"{twice:,} started more than once")
