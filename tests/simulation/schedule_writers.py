"""A model of one schedule whose writers meet every moment of a slot, over the shipped Lua and a virtual clock.

A seed decides who writes (a put as decorators and deployments do, apply, a patch of its times or its description, a
raw ``FCALL``, a calendar by client or by ``FCALL``, pause, resume, drop), when, and whether a mover is there. Each slot
must be made once or be counted as missed, as the definition of its time says; where a calendar changes between a slot
and the next look of a mover, either calendar may decide. What is shown as next runs must be what is made then.
With ``--overlap buffer_all`` slots wait for the runs before them, whoever writes meanwhile, and are made then.
``python -m tests.simulation.schedule_writers --seeds 5000``
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redsched import Client
from redsched.embedded import EmbeddedServer
from redsched.model.schedule import Schedule
from redsched.model.template import TaskTemplate
from redsched.schedule.definition import Exclude, Overlap
from redsched.schedule.slots import Plan
from redsched.wire.schedules import put_calendar
from redsched.wire.stored_schedule import spec_text
from tests.simulation.calls_and_states import Violation
from tests.support.schedule_clock import HOUR, MINUTE, NOW, SECOND, Mover, Stage
from tests.support.servers import Store, connect

DATES = [f"2027-01-{day}" for day in range(15, 20)]
LONG = 400 * 86_400_000
TIMINGS: tuple[dict[str, Any], ...] = (
    {"every": "7m"},
    {"every": "30m/3m"},
    {"every": "20m", "jitter": "5m"},
    {"cron": "*/10 * * * *"},
    {"cron": "5 * * * *", "time_zone": "Europe/Berlin", "exclude": Exclude(calendars=["c"])},
    {"cron": "0 */3 * * *", "exclude": Exclude(calendars=["c"], crons=["* 9-11 * * *"])},
    {"cron": ["0 12 * * *", "*/45 * * * *"], "time_zone": "America/New_York", "exclude": Exclude(calendars=["c"])},
)


@dataclass
class Epoch:
    """A definition, from when (exclusive) to when (inclusive; None: now) its slots count, and those not settled yet."""

    schedule: Schedule
    since: int
    until: int | None = None
    must: set[int] = field(default_factory=set)
    may: set[int] = field(default_factory=set)  # one calendar has them, another has not


class Run:
    """One seed."""

    def __init__(self, stage: Stage, seed: int, overlap: Overlap) -> None:
        self.stage, self.rng, self.overlap = stage, random.Random(seed), overlap
        self.dates: list[str] | None = None
        self.epochs: list[Epoch] = []
        self.made: set[int] = set()
        self.missed = [0, 0]  # of the schedule that is there: at least, at most
        self.passed: list[Epoch] = []  # slots of pauses that are over, which no mover has counted yet
        self.dropped = [0, 0]  # because too many wait: at least, at most
        self.kept: set[int] = set()  # those that have waited for a run
        self.pause: int | None = None  # 0: until somebody resumes it
        self.told: list[str] = []
        self.acts = 0

    # what must be

    def plan(self, schedule: Schedule) -> Plan:
        return Plan(schedule, {} if self.dates is None else {"c": frozenset(self.dates)})

    def come(self) -> None:
        """Note the slots that have come up to now, by the calendar of now."""
        for epoch in self.epochs + self.passed:
            for slot in self.plan(epoch.schedule).after(epoch.since):
                if slot > min(self.stage.now, epoch.until or self.stage.now):
                    break
                if slot not in epoch.may:
                    epoch.must.add(slot)

    def calendar_changes(self, dates: list[str] | None) -> None:
        self.come()
        self.dates = dates
        for epoch in self.epochs + self.passed:
            now = set[int]()
            for slot in self.plan(epoch.schedule).after(epoch.since):
                if slot > min(self.stage.now, epoch.until or self.stage.now):
                    break
                now.add(slot)
            epoch.may |= epoch.must ^ now
            epoch.must &= now

    def missed_up_to(self, at: int) -> None:
        """A pause ends: what has come up to then and was not looked at is to be counted."""
        self.come()
        for epoch in self.epochs:
            must = {slot for slot in epoch.must if slot <= at}
            may = {slot for slot in epoch.may if slot <= at}
            self.passed.append(Epoch(epoch.schedule, epoch.since, min(at, epoch.until or at), must, may))
            epoch.must -= must
            epoch.may -= may
            epoch.since = max(epoch.since, min(at, epoch.until or at))

    def count_passed(self) -> None:
        """A mover counts the slots of pauses that are over; jitter says when it looks at each."""
        for epoch in self.passed:
            plan = self.plan(epoch.schedule)
            must = {slot for slot in epoch.must if plan.due(slot) <= self.stage.now}
            may = {slot for slot in epoch.may if plan.due(slot) <= self.stage.now}
            self.missed[0] += len(must)
            self.missed[1] += len(must | may)
            epoch.must -= must
            epoch.may -= may
            epoch.since = min(epoch.must | epoch.may, default=epoch.until or 0) - 1
        self.passed = [epoch for epoch in self.passed if epoch.must or epoch.may]

    def settle(self) -> None:
        """A mover has looked at everything: what is to be made is made."""
        if self.pause and self.pause <= self.stage.now:
            self.missed_up_to(self.pause)
            self.pause = None
        self.come()
        made = self.all_made()
        fresh = made - self.made
        if self.pause is None:
            for epoch in self.epochs:
                plan = self.plan(epoch.schedule)
                waiting = {slot for slot in epoch.must | epoch.may if plan.due(slot) > self.stage.now}
                lost = epoch.must - waiting - made
                if self.overlap != "allow_all":
                    self.dropped[0] += len(lost)
                    self.dropped[1] += len((epoch.must | epoch.may) - waiting - made)
                elif lost:
                    raise Violation(f"not made: {self.named(lost)}")
                fresh -= epoch.must | epoch.may
                settled = (epoch.must | epoch.may) - waiting
                epoch.since = max([epoch.since, *settled]) if not waiting else min(waiting) - 1
                if not waiting:
                    epoch.since = max(epoch.since, min(self.stage.now, epoch.until or self.stage.now))
                epoch.must &= waiting
                epoch.may &= waiting
            last = self.epochs[-1:]
            self.epochs = [epoch for epoch in self.epochs[:-1] if epoch.must or epoch.may] + last
        if fresh:
            raise Violation(f"made, though no slots: {self.named(fresh)}")
        self.made = made
        if self.epochs:
            counters = self.stage.view().counters
            counted, dropped = counters["missed"], counters["dropped"]
            if self.pause is None:
                self.count_passed()
            if not self.missed[0] <= counted <= self.missed[1]:
                raise Violation(f"{counted} are counted as missed, wanted {self.missed}")
            if not self.dropped[0] <= dropped <= self.dropped[1]:
                raise Violation(f"{dropped} are dropped, wanted {self.dropped}")

    def all_made(self) -> set[int]:
        """The slots of its tasks, and those that wait for a run."""
        buffer = self.stage.store.redis.hget(self.stage.store.key("schedule:s"), "buffer") or ""
        waiting = {int(one.partition("/")[0]) for one in buffer.split()}
        self.kept |= waiting
        return self.tasks() | waiting

    def tasks(self) -> set[int]:
        prefix = self.stage.store.key("task:default:s@")
        return {int(key.removeprefix(prefix)) for key in self.stage.store.redis.keys(prefix + "*")}

    def named(self, slots: set[int]) -> list[str]:
        return [f"{(slot - NOW) / MINUTE:.2f} min" for slot in sorted(slots)[:5]]

    # who acts

    def run(self, acts: int = 30) -> None:
        self.put()
        for self.acts in range(acts):
            kinds = (
                self.go,
                self.nobody,
                self.put,
                self.patch,
                self.describe,
                self.calendar,
                self.halt,
                self.drop,
                self.look,
            )
            kind = self.rng.choices(kinds, (8, 6, 3, 3, 3, 3, 3, 0.5, 3))[0]
            self.tell(kind.__name__)
            kind()
        self.resume()
        self.go()
        self.end_runs()
        if lost := self.kept - self.tasks():
            raise Violation(f"waited and never made: {self.named(lost)}")

    def tell(self, what: str) -> None:
        self.told.append(f"{(self.stage.now - NOW) / MINUTE:9.3f} {what}")

    def go(self) -> None:
        """Time goes on, and a mover looks whenever it has to."""
        if self.rng.random() < 0.3:
            self.stage.mover = Mover(self.stage)  # one that knows nothing
        self.stage.mover.look()  # calendars are watched: a mover hears of their change
        if self.overlap != "allow_all" and self.rng.random() < 0.5:
            self.end_runs()
        self.advance(self.rng.choice((0, 1, SECOND, 7 * MINUTE, 50 * MINUTE, 3 * HOUR, 11 * HOUR)))
        self.settle()

    def advance(self, ms: int) -> None:
        """So much later. Where slots wait, a mover looks twice a second, which would take long."""
        if self.overlap == "allow_all":
            self.stage.advance(ms)
            return
        until = self.stage.now + ms
        while True:
            self.stage.jump(min(5 * MINUTE, until - self.stage.now))
            self.stage.advance(0)
            if self.stage.now == until:
                return

    def end_runs(self) -> None:
        """One run after the other ends, and what waits for it starts."""
        while True:
            self.stage.jump(SECOND)
            self.stage.advance(0)
            self.stage.start()
            if not self.stage.started:
                return
            for task_id in list(self.stage.started):
                self.stage.end(task_id.rpartition("@")[2])

    def nobody(self) -> None:
        """Time goes on without a mover."""
        self.stage.jump(self.rng.choice((1, SECOND, 5 * MINUTE, 20 * MINUTE, 2 * HOUR, 9 * HOUR)))

    def define(self) -> Schedule:
        timing = self.rng.choice([one for one in TIMINGS if self.dates is not None or "exclude" not in one])
        return Schedule(
            id="s", task=TaskTemplate(type="t"), overlap=self.overlap, catch_up="all", catch_up_window=LONG, **timing
        )

    def put(self) -> None:
        schedule, stage = self.define(), self.stage
        how = self.rng.randrange(3)
        if how == 0:
            stage.schedules.put(schedule)
        elif how == 1:
            stage.schedules.apply([schedule], prune=True)
        else:
            words = [stage.now, "s", "", spec_text(schedule), "type", "t", "payload", "{}"]
            stage.store.redis.fcall("rs1_put_schedule", 1, stage.store.key("due:default"), *words)
        self.defined(schedule)

    def defined(self, schedule: Schedule) -> None:
        """From now on its times are these, if they are others."""
        self.tell(f"  {schedule.cron or schedule.every} {schedule.jitter} {schedule.exclude}")
        if self.epochs and same_times(self.epochs[-1].schedule, schedule):
            return
        self.come()
        for epoch in self.epochs[-1:]:
            epoch.until = self.stage.now
        self.epochs.append(Epoch(schedule, self.stage.now))

    def patch(self) -> None:
        if not self.epochs:
            return
        schedule = self.define()
        every = schedule.every or [{"every": "13m"}]
        if schedule.exclude is None and not schedule.jitter and schedule.every:
            changed = {"every": every, "cron": None, "jitter": None, "exclude": None, "time_zone": None}
            self.stage.schedules.patch("s", changed)
            self.defined(schedule)

    def describe(self) -> None:
        if self.epochs and (self.dates is not None or self.epochs[-1].schedule.exclude is None):
            self.stage.schedules.patch("s", {"description": str(self.rng.random()), "task": {"priority": "high"}})

    def calendar(self) -> None:
        dates = None if self.rng.random() < 0.15 else sorted(self.rng.sample(DATES, self.rng.randint(0, 3)))
        self.calendar_changes(dates)
        self.tell(f"  {dates}")
        if self.rng.random() < 0.5:
            call = put_calendar(self.stage.client.cell_keys, "c", dates)
            self.stage.store.redis.fcall("rs1_put_calendar", 1, *call.keys, *call.args[:-1], self.stage.now)
        elif dates is None:
            self.stage.schedules.drop_calendar("c")
        else:
            self.stage.schedules.put_calendar("c", dates)

    def halt(self) -> None:
        """Pause, until a time or not, or resume."""
        if not self.epochs:
            return
        if self.rng.random() < 0.4:
            self.resume()
            return
        until = self.stage.now + self.rng.choice((1, MINUTE, 2 * HOUR)) if self.rng.random() < 0.5 else None
        self.stage.schedules.pause("s", until=until)
        self.pause = until or 0
        self.tell(f"  until {until and (until - NOW) / MINUTE}")

    def resume(self) -> None:
        if self.epochs and self.pause is not None:
            self.stage.schedules.resume("s")
            self.missed_up_to(min(self.pause or self.stage.now, self.stage.now))
            self.pause = None

    def drop(self) -> None:
        """Its slots that nobody looked at end with it, and so do its counters."""
        if self.epochs:
            self.stage.schedules.delete("s")
            self.epochs, self.pause, self.missed, self.passed = [], None, [0, 0], []
            self.dropped, self.kept = [0, 0], set()
            self.put()

    def look(self) -> None:
        """What is shown is what is made then."""
        self.go()
        if not self.epochs or self.pause is not None:
            return
        if self.overlap != "allow_all":  # or they are dropped
            self.end_runs()
            self.settle()
        shown = self.stage.view().next_runs[:4]
        if not shown or shown[-1].due_ms - self.stage.now > 20 * HOUR:
            return
        before = self.made
        self.advance(shown[-1].due_ms - self.stage.now)
        self.settle()
        fresh, wanted = self.made - before, {run.slot_ms for run in shown} - before
        if fresh != wanted:
            raise Violation(f"shown {self.named(wanted)}, made {self.named(fresh)}")


def same_times(one: Schedule, other: Schedule) -> bool:
    """Whether two definitions name the same slots."""
    names = ("every", "cron", "time_zone", "exclude", "jitter")
    first, second = (
        Schedule(id="s", task=one.task, **{name: getattr(given, name) for name in names}) for given in (one, other)
    )
    return spec_text(first) == spec_text(second)


def simulate(client: Client, store: Store, seed: int, overlap: Overlap) -> int:
    """One seed; how many tasks were made. Raises Violation with the seed and what was done."""
    stage = Stage(store, client)
    run = Run(stage, seed, overlap)
    try:
        run.run()
    except Violation as broken:
        raise Violation(f"seed {seed}: {broken}\n" + "\n".join(run.told)) from None
    finally:
        store.clear()
    return len(run.made)


def campaign(url: str, seeds: range, overlap: Overlap = "allow_all") -> tuple[int, list[str]]:
    """Run seeds on a server: tasks made, and what was violated."""
    made, failures = 0, []
    connection = connect(url)
    for seed in seeds:
        store = Store("valkey", connection, url=url, namespace=f"w{seed}")
        with store.client() as client:
            client.install()
            try:
                made += simulate(client, store, seed, overlap)
            except Violation as broken:
                failures.append(str(broken))
    connection.close()
    return made, failures


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.schedule_writers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--overlap", choices=["allow_all", "buffer_all"], default="allow_all")
    asked = parser.parse_args(argv)
    began, made, failed = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder), appendfsync="no") as server:
        connect(server.url).config_set("appendonly", "no")
        for first in range(asked.first, asked.first + asked.seeds, 50):
            tasks, failures = campaign(
                server.url, range(first, min(first + 50, asked.first + asked.seeds)), asked.overlap
            )
            made, failed = made + tasks, failed + len(failures)
            for failure in failures[:2]:
                print(failure, flush=True)
            done = first + 50 - asked.first
            seconds = time.monotonic() - began
            print(f"{done} of {asked.seeds} seeds, {made} tasks, {failed} failed, {seconds:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
