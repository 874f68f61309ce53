"""Recurring schedules simulated: movers that decide as in life, over the shipped Lua, on a virtual clock and one seed.

Three movers look and fire; the seed kills and starts them between two calls, loses answers (the same call is sent
again, later), stops scripts half-way, and takes all movers away for minutes or hours. A day with a change of the clocks
or the end of a month goes by; some schedules leave out the dates of a calendar. At the end every slot of every schedule
must have been made once or be counted as missed, skipped or dropped, and nothing may have been made twice, early, or
that is no slot. ``python -m tests.simulation.schedules --seeds 2000``
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redsched.embedded import EmbeddedServer
from redsched.engine.mover.decisions import Decisions
from redsched.model.schedule import Schedule, check
from redsched.model.template import TaskTemplate
from redsched.schedule.definition import OVERLAPS, Exclude
from redsched.schedule.slots import Plan
from redsched.testing.clock import at_time
from redsched.wire import protocol, schedules
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Settlement, Started
from redsched.wire.keys import CellKeys, queue_keys
from tests.simulation.calls_and_states import Violation
from tests.support.lua_builds import Build, Line, Refused, clear, text

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
# 2027: hours before the clocks change in New York, in Berlin, on Lord Howe, and again in Berlin, where the last day of
# October begins too; and before the end of a year whose last day is a Friday
STARTS = (
    1_804_960_800_000,
    1_806_170_400_000,
    1_822_456_800_000,
    1_824_919_200_000,
    1_830_232_800_000,
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
CRONS = (
    "*/15 * * * *", "7 * * * *", "30 1 * * *", "30 2 * * *", "0 3,15 * * MON-FRI", "H H * * *", "0 0 L * *",
    "0 */6 * * *", "59 23 * * 5L", "15 30 2 * * *",
)  # fmt: skip
EXCLUDED = (Exclude(calendars=["closed"]), Exclude(crons=["* 9-11 * * *"]), Exclude(dates=["*-10-31", "*-12-31"]))
CLOSED = {"closed": frozenset(("2027-03-14", "2027-03-29", "2027-10-03", "2027-11-01", "*-12-31"))}
QUEUE = "default"
WAITING = ("buffer_one", "buffer_all", "cancel_other")  # policies by which a slot may wait for the end of a run
POLL = 500  # how often such a schedule is looked at, ms
PASSED_OVER = (0, 1, 3, 7, 7)  # of these looks, in a row: 7 are less than catch_up.ON_TIME_MS
MAKE_TASKS = ("fire", "trigger")  # verbs after which a worker may find a task that is ready
LONG = 40 * DAY
OUTAGES = (30 * SECOND, 10 * MINUTE, HOUR, 3 * HOUR)


class Mover:
    """What a mover does between two calls: it looks, decides, fires."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.alive = True
        self.forget()

    def forget(self) -> None:
        """Lose the memory: plans, and what was to be fired."""
        self.decisions = Decisions()
        self.decisions.use_calendars(CLOSED)
        self.todo: Call[Any] | None = None
        self.makes_none = False  # no run waits that firing may start, if no slot is made

    def take(self, looked: schedules.Looked) -> None:
        """Decide about what it saw."""
        decided = [self.decisions.about(stored, looked.now) for stored in looked.schedules]
        self.todo = schedules.fire(self.cell, decided) if decided else None
        self.makes_none = not any(stored.text("buffer") for stored in looked.schedules)


class Run:
    """One seed."""

    def __init__(
        self, line: Line, build: Build, seed: int, days: float, trace: Callable[[str], None] | None = None
    ) -> None:
        self.line, self.build, self.seed = line, build, seed
        self.rng = random.Random(seed)
        self.cell = Cell(f"f{seed:08d}")
        self.begin = self.now = STARTS[seed % len(STARTS)]
        self.until = self.begin + int(days * DAY)
        self.calm = seed % 3 == 0  # one mover is always there
        self.halts = seed % 3 == 1
        self.movers = [Mover(self.cell) for _ in range(3)]
        self.back_at = 0  # end of an outage
        self.schedules: dict[str, Schedule] = {}
        self.changed: dict[str, list[Plan]] = {}  # those that an operator touches, and each plan that they had
        self.running: dict[str, tuple[Started, int]] = {}  # task -> claim, when it ends
        self.made: dict[str, int] = {}  # task -> when it was made
        self.looks: dict[str, int] = {}  # when each schedule is looked at next
        self.may_be_ready = False  # a call may have made a task since a claim found none
        self.tell = trace or (lambda line: None)
        self.calls = 0

    def key(self, name: str) -> str:
        """A key of the namespace."""
        return f"{{{self.cell.tag}}}:{name}"

    def send(self, call: Call[Any], halt: int = 0) -> Any:
        """Make a call at this time, with ``halt`` one that stops before its n-th write."""
        words = at_time(call, self.now).args
        self.calls += 1
        stops = [("FCALL", f"{self.build.name}_halt", 0, at) for at in ((halt, 0) if halt else ())]
        sent = ("FCALL", f"{self.build.name}_{call.verb}", len(call.keys), *call.keys, *words)
        looks = ("ZRANGE", self.key("schedules"), 0, -1, "WITHSCORES")
        reply, *_, found = self.line.together(*stops[:1], sent, *stops[1:], looks)[len(stops[:1]) :]
        self.looks = {text(id_): int(float(at)) for id_, at in zip(found[::2], found[1::2], strict=True)}
        self.may_be_ready |= call.verb in MAKE_TASKS
        if isinstance(reply, Refused):
            raise reply
        return call.read(reply)

    # --- the schedules

    def _timing(self, number: int) -> dict[str, Any]:
        rng = self.rng
        kind = number % 5
        if kind <= 1:
            many = rng.choice((1, 1, 2))
            exclude = rng.choice((None, None, *EXCLUDED)) if kind else None
            return {"cron": rng.sample(CRONS, many), "time_zone": rng.choice(ZONES), "exclude": exclude}
        if kind == 2:
            return {"every": rng.choice(("10m", "1h", "6h/17m", "47m"))}
        if kind == 3:
            return {"every": rng.choice(("30m", "2h")), "jitter": rng.choice(("3m", "20m"))}
        return {"every": rng.choice(("1m", "2m")), "end": self.begin + rng.choice((1, 2)) * HOUR}

    def _define(self) -> None:
        rng = self.rng
        for number in range(14):
            overlap = ("allow_all", *OVERLAPS)[(number * 5 + self.seed) % 7]
            given = self._timing(number)
            if number % 5 != 4 and overlap in WAITING:
                given |= {"end": self.begin + DAY}
            catch_up = rng.choice(("none", "latest", "all"))
            window = rng.choice((0, "10s", "5m", LONG)) if catch_up != "all" else LONG
            schedule = Schedule(
                id=f"s{number}",
                task=TaskTemplate(type="t", payload={"n": number}),
                overlap=overlap,  # type: ignore[arg-type]
                catch_up=catch_up,
                catch_up_window=window,
                **given,
            )
            self._put(schedule)
            if number % 7 == 6:
                self.changed[schedule.id] = [Plan(schedule, CLOSED)]

    def _put(self, schedule: Schedule) -> None:
        check(schedule)
        self.schedules[schedule.id] = schedule
        self.send(schedules.put_schedule(self.cell, schedule, max_payload=1_000))

    # --- turns

    def run(self) -> None:
        """All of the time, then what is left; raises Violation."""
        clear(self.line, self.cell.tag)
        self.line("HSET", self.key("meta"), "virtual_clock", 1)
        for name, dates in CLOSED.items():
            self.send(schedules.put_calendar(CellKeys(self.cell), name, sorted(dates)))
        self._define()
        while self.now < self.until:
            self._turn()
        self._drain()
        self._note_made()
        for schedule in self.schedules.values():
            self._judge(schedule)
        clear(self.line, self.cell.tag)

    def _turn(self) -> None:
        rng = self.rng
        if self.now >= self.back_at:
            self._kill_and_start()
        alive = [mover for mover in self.movers if mover.alive]
        firing = [mover for mover in alive if mover.todo is not None]
        if rng.random() < 0.01:
            self._operate()
        if firing and rng.random() < 0.8:
            self._fire(rng.choice(firing))
        elif alive and self._next_look() <= self.now:
            mover = rng.choice(alive)
            mover.take(self.send(schedules.due_schedules(CellKeys(self.cell), rng.choice((1, 5, 100)))))
        else:
            self._pass_time(bool(alive))
        self._work()

    def _kill_and_start(self) -> None:
        rng = self.rng
        for mover in self.movers:
            if not mover.alive and rng.random() < 0.2:
                mover.alive = True
            elif rng.random() < 0.03 and (not self.calm or sum(mover.alive for mover in self.movers) > 1):
                mover.alive = False
                mover.forget()
        if not self.calm and rng.random() < 0.003:
            self.back_at = self.now + rng.choice(OUTAGES)
            self.tell(f"{self.now - self.begin:10} nobody until {self.back_at - self.begin}")
            for mover in self.movers:
                mover.alive = False
                mover.forget()

    def _fire(self, mover: Mover) -> None:
        assert mover.todo is not None
        halt = self.rng.choice((0, 0, 0, 1, 2, 3, 4, 6, 9)) if self.halts else 0
        was_ready = self.may_be_ready
        try:
            words = self.send(mover.todo, halt)
        except Refused as refused:
            if "RS_HALT" not in str(refused):
                raise
            self.tell(f"{self.now - self.begin:10} stops before write {halt}")
            mover.todo = None
            return
        self.tell(f"{self.now - self.begin:10} fires {words}")
        if mover.makes_none and set(words) == {"0"}:
            self.may_be_ready = was_ready
        if self.rng.random() < 0.9:
            mover.todo = None  # else the answer was lost: the same again, later

    def _next_look(self) -> int:
        return min(self.looks.values(), default=self.until)

    def _next_event(self) -> int:
        """When the next look is, the next end of a run or the end of the simulation.

        A look at a schedule with a slot that waits for a run finds what the last look found until that run has ended.
        Some of those are passed over: too few to make the schedule's own next slot late.
        """
        soon = self.now + POLL
        polled = [at for id_, at in self.looks.items() if at <= soon and self.schedules[id_].overlap in WAITING]
        others = [at for id_, at in self.looks.items() if at > soon or self.schedules[id_].overlap not in WAITING]
        ends = [end for _, end in self.running.values()]
        at = min([self.until, *others, *ends]) if self.until > self.now else min([*others, *ends], default=self.now)
        return min([at, min(polled) + self.rng.choice(PASSED_OVER) * POLL]) if polled else at

    def _pass_time(self, watched: bool) -> None:
        rng = self.rng
        if not watched:
            self.now = max(self.now + 1, self.back_at if self.back_at > self.now else self.now + rng.choice((10, 300)))
            return
        self.now = max(self.now, self._next_event()) + rng.choice((0, 0, 0, 1, 40, 400))

    def _work(self) -> None:
        """A worker: it takes what is ready, and ends what has run long enough."""
        over = [task_id for task_id, (_, end) in self.running.items() if end <= self.now]
        if over:
            ends = [Settlement(QUEUE, id_, self.running.pop(id_)[0].token, "complete") for id_ in over]
            self.send(protocol.settle(self.cell, ends))
        if self.rng.random() < 0.5 and self.may_be_ready:
            keys = queue_keys(self.cell, QUEUE)
            tasks = self.send(protocol.claim([keys], consumer="w", count=100, lease_ms=30 * DAY)).tasks
            self.may_be_ready = bool(tasks)
            for started in tasks:
                lengths = (1, 1, 5, 5, 70) if self._waits(started.id) else (1, 1, 5, 30, 1_800)
                self.running[started.id] = (started, self.now + self.rng.choice(lengths) * SECOND)
            self._assert_alone()
        if self.rng.random() < 0.001:
            self._note_made()
            self.send(protocol.sweep([queue_keys(self.cell, QUEUE)], limit=10_000))

    def _waits(self, task_id: str) -> bool:
        """Whether others may wait for it, which means two looks a second."""
        return self.schedules[task_id.partition("@")[0]].overlap in WAITING

    def _assert_alone(self) -> None:
        """No two runs of a schedule at once where its policy says so; a terminated run's worker may not know yet."""
        alone: set[str] = set()
        for task_id in self.running:
            id_ = task_id.partition("@")[0]
            schedule = self.schedules[id_]
            if schedule.overlap in ("allow_all", "terminate_other") or id_ in self.changed:
                continue
            if id_ in alone:
                raise Violation(f"two runs of {id_} ({schedule.overlap}) at once")
            alone.add(id_)

    def _operate(self) -> None:
        """Somebody changes, pauses, resumes, triggers or backfills one of those that may be touched."""
        rng, id_ = self.rng, self.rng.choice([*self.changed])
        schedule, kind = self.schedules[id_], self.rng.randrange(6)
        verb = ("changes", "pauses", "pauses", "resumes", "triggers", "fills")[kind]
        self.tell(f"{self.now - self.begin:10} {verb} {id_}")
        keys = CellKeys(self.cell)
        if kind == 0:
            every = rng.choice(("9m", "20m", "1h"))
            changed = Schedule(id=id_, task=schedule.task, every=every, overlap=schedule.overlap)
            self.changed[id_].append(Plan(changed))
            self._put(changed)
        elif kind <= 2:
            till = self.now + rng.choice((MINUTE, HOUR)) if kind == 1 else 0
            self.send(schedules.pause_schedule(keys, id_, reason="", until=till))
        elif kind == 3:
            self.send(schedules.resume_schedule(keys, id_))
        elif kind == 4:
            self.send(schedules.trigger(self.cell, id_, QUEUE, overlap=rng.choice(("", "allow_all"))))
        else:
            slots = [self.now - n * HOUR for n in range(1, 4)]
            self.send(schedules.trigger(self.cell, id_, QUEUE, overlap="allow_all", slots=slots))

    # --- the end

    def _drain(self) -> None:
        """Movers that live, a worker that ends what it begins, until nothing waits any more."""
        self.halts, self.back_at = False, 0
        self.until = self.now  # no slot after this is asked for
        mover = Mover(self.cell)
        for _ in range(20_000):
            while self._next_look() <= self.now:
                mover.take(self.send(schedules.due_schedules(CellKeys(self.cell), 100)))
                if mover.todo is not None:
                    self.send(mover.todo)
            self._work()
            if not any(self._buffer(id_) for id_ in self.schedules if id_ not in self.changed):
                return
            self.now = max(self.now + 1, self._next_event())
        raise Violation("what waits is never run")

    def _buffer(self, id_: str) -> bool:
        """Whether a slot waits for a run."""
        waits = self.schedules[id_].overlap in WAITING
        return waits and bool(self.line("HGET", self.key(f"schedule:{id_}"), "buffer"))

    def _hash(self, id_: str) -> dict[str, str]:
        words = [text(word) for word in self.line("HGETALL", self.key(f"schedule:{id_}"))]
        return dict(zip(words[::2], words[1::2], strict=True))

    def _note_made(self) -> None:
        prefix = self.key(f"task:{QUEUE}:")
        for name in self.line("KEYS", prefix + "*"):
            task_id = text(name).removeprefix(prefix)
            created, due = (int(word or 0) for word in self.line("HMGET", name, "created_at", "due_at"))
            if self.made.setdefault(task_id, created) != created:
                raise Violation(f"{task_id} was made twice")
            if due > created:
                raise Violation(f"{task_id} was made {due - created} ms early")

    def _judge(self, schedule: Schedule) -> None:
        """What became of every slot up to now."""
        prefix = schedule.id + "@"
        made = [id_.removeprefix(prefix) for id_ in self.made if id_.startswith(prefix)]
        slots = {int(word) for word in made if word.isdecimal()}
        if schedule.id in self.changed:
            plans = self.changed[schedule.id]
            known = {slot for plan in plans for slot in self._slots(plan)}
            if slots - known:
                raise Violation(f"{schedule.id}: made {sorted(slots - known)[:3]}, which are no slots")
            return
        plan, found = Plan(schedule, CLOSED), self._hash(schedule.id)
        wanted = set(self._slots(plan))
        if slots - wanted or len(made) != len(slots):
            raise Violation(f"{schedule.id}: made {sorted(slots - wanted)[:3]}, which are no slots")
        for slot in slots:
            if self.made[f"{prefix}{slot}"] < plan.due(slot):
                raise Violation(f"{schedule.id}: {slot} was made before it was due")
        told = {name: int(found.get(name) or 0) for name in ("fired", "missed", "skipped", "dropped")}
        policies = f"{schedule.overlap}, {schedule.catch_up}"
        what = f"{schedule.id} ({policies}): of {len(wanted)} slots {len(slots)} made, {told}"
        self.tell(what)
        sure = schedule.overlap == "allow_all" and (self.calm or schedule.catch_up == "all")
        if sure and slots != wanted:
            raise Violation(f"{what}; not made: {sorted(slot - self.begin for slot in wanted - slots)[:5]}")
        if self.seed % 3 != 1 and (sum(told.values()) != len(wanted) or told["fired"] != len(slots)):
            raise Violation(what)  # a script that stops half-way may count once too often, or not at all

    def _slots(self, plan: Plan) -> list[int]:
        found = []
        for slot in plan.after(self.begin):
            if slot > self.now:
                break
            if plan.due(slot) <= self.now:
                found.append(slot)
        return found


def simulate(
    line: Line, build: Build, seed: int, days: float = 0.75, trace: Callable[[str], None] | None = None
) -> tuple[int, int]:
    """Run one seed; how many tasks were made of how many calls. Raises Violation with the seed."""
    run = Run(line, build, seed, days, trace)
    try:
        run.run()
    except (Violation, Refused, KeyError, ValueError) as broken:
        at = (run.now - run.begin) / DAY
        raise Violation(f"seed {seed}, day {at:.4f}: {type(broken).__name__}: {broken}") from broken
    finally:
        clear(line, run.cell.tag)
    return len(run.made), run.calls


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.schedules", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--days", type=float, default=0.75, help="how long, of virtual time")
    parser.add_argument("--trace", action="store_true", help="print every call that fires")
    asked = parser.parse_args(argv)
    began, made, calls, failed = time.monotonic(), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder), appendfsync="no") as server:
        line = Line(server.port)
        line("CONFIG", "SET", "appendonly", "no")
        build = Build.load(line, "fires")
        for seed in range(asked.first, asked.first + asked.seeds):
            try:
                tasks, sent = simulate(line, build, seed, asked.days, print if asked.trace else None)
            except Violation as failure:
                failed += 1
                print(failure, flush=True)
            else:
                made, calls = made + tasks, calls + sent
                print(f"seed {seed}: {tasks} tasks made, {sent} calls, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{asked.seeds} seeds of {asked.days} days: {made} tasks, {calls} calls, {failed} seeds with a violation")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
