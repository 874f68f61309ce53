"""Tasks with conditions under a virtual clock and one seed: actors that crash, repeat calls and lose answers.

What must hold is said in plain Python, apart from the Lua, in ``condition_promises``: what had to be so when a task
started, what must not have happened before, and that all ends and nothing is left.
``python -m tests.simulation.conditions --seeds 500``; a seed that fails replays exactly with ``--seed N --trace``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

from redsched.embedded import EmbeddedServer
from redsched.model.condition import of_json
from redsched.model.explain import explained
from redsched.testing.clock import at_time
from redsched.wire import dead_letters, protocol
from redsched.wire.call import Call
from redsched.wire.claims import Settlement, Started
from tests.simulation.calls_and_states import Violation
from tests.simulation.condition_draw import FINAL, OVER, Known, after, condition
from tests.simulation.condition_makers import Makers
from tests.support.consistency import assert_consistent
from tests.support.lua_builds import Build, Line, Refused, clear

STEPS = 160
OUTCOMES = ("complete", "complete", "complete", "retry", "dead", "snooze", "return", "cancelled")
CHANGES = ("cancel_on", "wait_for", "unique", "digest", "test")
CIRCLE = "comes after this one"


class World(Makers):
    """One seed."""

    def __init__(
        self, line: Line, text: redis.Redis, build: Build, seed: int, trace: Callable[[str], None] | None
    ) -> None:
        super().__init__(line, text, build, seed)
        self.trace = trace
        self.send = self._send
        self.running: list[Started] = []
        self.halts = self.stops = seed % 2 == 0  # whether calls stop half-way now; whether any did
        self.mends = seed % 4 == 0  # whether the doctor mends what they leave

    # --- calls

    def _send(self, call: Call[Any], *, may_halt: bool = False, may_die: bool = False) -> Any:
        """Make the call. Sometimes it stops half-way, and is repeated, or is not as its caller dies (then None is
        answered); or it is sent twice."""
        words = self._words(call)
        often = 0.5 if call.verb in ("enqueue", "update", "follow", "revive", "drop") else 0.2
        at = 1 + int(40 * self.rng.random() ** 2)
        stopped = may_halt and self.halts and self.rng.random() < often and self._stop(words, at)
        dies = stopped and may_die and self.rng.random() < 0.5
        if not stopped and call.repeatable and self.rng.random() < 0.08:
            self.line(*words)
        reply = None if dies else call.read(self.line(*words))
        if self.trace is not None:
            how = " (stopped, and its caller died)" if dies else " (stopped, and repeated)" if stopped else ""
            said = [str(word)[:300] for word in words[4 + len(call.keys) :]]
            self.trace(f"{self.step:4} +{self.now % 10**9:7} {call.verb} {said} -> {reply}{how}")
        return reply

    def _stop(self, words: Sequence[Any], at: int) -> bool:
        """Make the call, which stops before its ``at``-th write; whether it did."""
        self.line("FCALL", f"{self.build.name}_halt", 0, at)
        try:
            self.line(*words)
            return False
        except Refused as refused:
            if "RS_HALT" not in str(refused):
                raise
            return True
        finally:
            self.line("FCALL", f"{self.build.name}_halt", 0, 0)

    def _words(self, call: Call[Any]) -> list[Any]:
        args = at_time(call, self.now).args
        return ["FCALL", f"{self.build.name}_{call.verb}", len(call.keys), *call.keys, *args]

    # --- actors

    def look(self) -> None:
        """What is told of one task, of its parents and of what is paused is what is so."""
        found = {
            f"type:{one.type}" if one.type else f"key:{one.key}" if one.key else "queue"
            for one in self.send(protocol.paused([self.keys]))[0]
        }
        if found != self.stopped:
            raise Violation(f"told to be paused: {found}, not {self.stopped}")
        if self.tasks:
            known = self.tasks[self.rng.choice(sorted(self.tasks))]
            told = explained(self.send(protocol.explain(self.keys, known.id)))
            self.check_told(known, told, self._kin, is_whole=not self.stops)

    def _kin(self, task_id: str, which: str) -> set[str]:
        return {one.id for one in self.send(protocol.kin(self.keys, task_id, which)).items}

    def follow(self) -> None:
        """A task that is to be confirmed comes after one more."""
        for known in self.tasks.values():
            more = self.rng.choice(list(self.tasks.values()))
            if "after" not in known.conditions or "hold" not in known.conditions or known.confirmed or more is known:
                continue
            if self.state(more.id) != "gone":
                try:
                    word = self.send(protocol.follow(self.keys, known.id, [more.id]), may_halt=True)
                except Refused as refused:
                    self._refused(refused, known, [more])
                    continue
                if word == "followed" and more.id not in {one.id for one in known.parents}:
                    known.parents = [*known.parents, more]

    def _refused(self, refused: Refused, known: Known, parents: list[Known], unique: str | None = None) -> None:
        if CIRCLE not in str(refused):
            raise refused
        self.check_circle(known, parents, unique, refused=True)

    def change(self) -> None:
        """The conditions of a task that waits become others, or none; they may be a circle."""
        live = [one for one, state in self.states().items() if state in ("scheduled", "held", "ready", "dead")]
        if not live:
            return
        known, rng = self.tasks[self.rng.choice(live)], self.rng
        there = [one for one, state in self.states().items() if state != "gone" and one != known.id]
        if rng.random() < 0.4 and there:
            conditions = after(rng, rng.sample(there, 1))
        else:
            conditions = condition(rng, self.theme, rng.choice(CHANGES), known.id, ())
        conditions = rng.choice((conditions, conditions, {}))
        parents = [self.tasks[one] for one in conditions.get("after", {}).get("ids", ())]
        circle = self.state(known.id) != "dead"
        call = protocol.update(self.keys, [known.id], {"conditions": of_json(conditions or None)}, max_payload=999)
        try:
            word = self.send(call, may_halt=True)[known.id]
        except Refused as refused:
            self._refused(refused, known, parents, conditions.get("unique", {}).get("key"))
            return
        stored = self.text.hget(self.keys.task(known.id), "conditions")
        if word != "updated" and not (conditions and stored == call.args[3].decode()):
            return  # where the call was repeated, what it had written may have ended the task
        if parents and circle:
            self.check_circle(known, parents, None, refused=False)
        if "digest" in conditions or "digest" in known.conditions:
            known.due = 0
        known.conditions, known.parents, known.is_fresh, known.heard = conditions, parents, True, set(self.facts)
        called_off = self.facts & set(conditions.get("cancel_on", ()))
        known.called_off = self.step if called_off else None
        if called_off and self.state(known.id) not in ("cancelled", "dead"):
            raise Violation(f"{known.id} is {self.state(known.id)} with {conditions} and {self.facts}")

    def unset(self) -> None:
        """Another client deletes a fact."""
        if self.facts:
            name = self.rng.choice(sorted(self.facts))
            self.facts.discard(name)
            self.line("DEL", self.cell_keys.fact(name))

    def confirm(self) -> None:
        """Confirm or abandon one that is held for it."""
        held = [one for one in self.tasks.values() if "hold" in one.conditions]
        if held:
            one = self.rng.choice(held)
            action = self.rng.choice(("confirm", "confirm", "abandon"))
            token = one.conditions["hold"]["token"]
            word = self.send(protocol.confirm(self.keys, [one.id], token, action=action), may_halt=True)[one.id]
            one.confirmed = one.confirmed or word == "confirmed"
            if word == "abandoned":
                one.called_off = self.step

    def pause(self) -> None:
        """Pause or resume something."""
        what = self.rng.choice(("queue", "type:t", "key:k1", "key:k2"))
        if what in self.stopped:
            self.send(protocol.resume(self.keys, what), may_halt=True)
            self.stopped.discard(what)
        else:
            self.send(protocol.pause(self.keys, what, reason="", until=None), may_halt=True)
            self.stopped.add(what)

    def cancel(self) -> None:
        """Cancel one."""
        if self.tasks:
            task_id = self.rng.choice(sorted(self.tasks))
            word = self.send(protocol.cancel(self.keys, [task_id]), may_halt=True)[task_id]
            if word == "cancelled" and self.tasks[task_id].called_off is None:
                self.tasks[task_id].called_off = self.step

    def care(self) -> None:
        """Somebody drops what has ended, revives what is dead or gives another due time; or retentions end."""
        rng, states = self.rng, self.states()
        which = rng.choice(("drop", "drop", "revive", "revive", "reschedule", "sweep"))
        wanted = {"drop": FINAL, "revive": ("dead",), "reschedule": ("scheduled", "ready", "held")}.get(which, ())
        some = [one for one, state in states.items() if state in wanted]
        self.note_ends()
        if which == "sweep":
            self.send(protocol.sweep([self.keys], limit=rng.choice((1, 500))), may_halt=True, may_die=True)
        elif some and which == "drop":
            self.send(dead_letters.drop(self.keys, rng.sample(some, min(3, len(some)))), may_halt=True)
        elif some and which == "revive":
            known = self.tasks[rng.choice(some)]
            delay = rng.choice((0, 0, 4_000))
            word = self.send(protocol.revive(self.keys, [known.id], delay=f"{delay}ms"), may_halt=True)[known.id]
            if word not in ("missing", "expires"):
                known.due = 0 if "digest" in known.conditions else self.now + delay
                known.attempt = known.given_back = 0
                known.run, known.was_revived, known.end = None, True, None
                known.place = (self.step if not self.stops else 9_999, 0)  # a repeated call leaves it to promote
                known.called_off = self.step if self.facts & set(known.conditions.get("cancel_on", ())) else None
        elif some:
            wait, known = rng.choice((0, 3_000)), self.tasks[rng.choice(some)]
            word = self.send(protocol.reschedule(self.keys, [known.id], delay=f"{wait}ms"), may_halt=True)[known.id]
            if word == "rescheduled":
                known.due = 0 if "digest" in known.conditions else min(known.due, self.now + wait)

    def move(self) -> None:
        """A mover does one thing."""
        kind, limit = self.rng.randrange(8), self.rng.choice((1, 3, 100))
        if kind < self.theme.reaps:
            self.send(protocol.reap([self.keys], limit=limit), may_halt=True, may_die=True)
        elif kind < 5:
            self.send(protocol.promote([self.keys], mover="m", limit=limit), may_halt=True, may_die=True)
            self.note_closed()
        else:
            self.send(protocol.attend(self.cell_keys, limit), may_halt=True, may_die=True)

    def work(self, *, fine: bool = False) -> None:
        """A worker claims, or ends what it has; or dies."""
        rng = self.rng
        if self.running and rng.random() < 0.7:
            task = self.running.pop(rng.randrange(len(self.running)))
            outcome = "complete" if fine else rng.choice(OUTCOMES)
            end = Settlement(task.queue, task.id, task.token, outcome, "300" if outcome == "snooze" else "")
            self._settled(task, outcome, self.send(protocol.settle(self.cell, [end]), may_halt=True)[0])
        elif self.running and rng.random() < 0.3:
            begun = rng.choice(self.running)
            call = protocol.renew(self.cell, [], begun=[begun], lease_ms=5_000)
            if self.send(call, may_halt=True)[0] != "lost":
                self.begun(self.tasks[begun.id])
        elif not fine and rng.random() < self.theme.death:
            self.running.clear()
        else:
            call = protocol.claim([self.keys], consumer="w", count=rng.choice((1, 3)), lease_ms=5_000)
            claimed = self.send(call, may_halt=True).tasks
            if self.halts:
                self.note_lost(str(call.args[2]), claimed)
            for task in claimed:
                self.running.append(task)
                self.check_start(task)

    def _settled(self, task: Started, outcome: str, word: str) -> None:
        known = self.tasks.get(task.id)
        if word == "lost" or known is None or known.run is None or known.run.token != task.token:
            return
        if outcome != "return":
            self.begun(known)
        if outcome in ("return", "snooze"):
            known.attempt -= 1
        spent = outcome == "retry" and known.attempt >= known.most
        if word == "dead" and outcome != "dead" and not spent:
            raise Violation(f"{known.id} is dead of {outcome} in attempt {known.attempt} of {known.most}")
        known.run, known.given_back = None, 0
        known.end = word if word in FINAL else None

    # --- the whole

    def begin(self) -> None:
        """An empty namespace with a virtual clock."""
        clear(self.line, self.cell.tag)
        self.line("HSET", self.cell_keys.meta, "virtual_clock", 1)

    def run(self) -> int:
        """All steps, then everything ends and is swept; the number of starts."""
        self.begin()
        facts = self.theme.facts
        acts = [
            (self.submit, self.theme.submits),
            (self.emit, 2 * facts),
            (self.unset, facts),
            (self.confirm, 2),
            (self.pause, self.theme.pauses),
            (self.cancel, 1),
            (self.rule, 1),
            (self.look, 2),
            (self.follow, 1),
            (self.change, 2),
            (self.care, self.theme.care),
            (self.move, 10),
            (self.work, 8),
        ]
        for self.step in range(1, STEPS + 1):
            self.now += self.rng.choice(self.theme.ticks) if self.rng.random() < 0.4 else 0
            act = self.rng.choices([one for one, _ in acts], [weight for _, weight in acts])[0]
            act()
            if self.step % 20 == 0 and not self.halts:
                self.check_whole()
        self.drain()
        return sum(one.starts for one in [*self.tasks.values(), *self.past])

    def check_whole(self) -> None:
        """Each task is where its state says, and the doctor finds nothing."""
        assert_consistent(self.text, self.cell.tag, stopped=self.stops)
        if found := self.faults():
            raise Violation(f"the doctor finds {found}")

    def drain(self) -> None:
        """What is paused goes on, all ends and is swept; nothing is left but what stays."""
        self.halts = False
        if self.mends:
            self.mend()
        for what in sorted(self.stopped):
            self.send(protocol.resume(self.keys, what))
        self.stopped.clear()
        for self.step in range(1_001, 1_090):
            if self.step == 1_040:  # what waits for no time at all
                self.check_left()
                left = [one for one, state in self.states().items() if state not in OVER]
                for at in range(0, len(left), 100):
                    self.send(protocol.cancel(self.keys, left[at : at + 100]))
            self.now += 7_000
            self.send(protocol.attend(self.cell_keys, 500))
            self.send(protocol.promote([self.keys], mover="m", limit=500))
            self.note_closed()
            self.send(protocol.reap([self.keys], limit=500))
            for _ in range(12):
                self.work(fine=True)
        left = {one: state for one, state in self.states().items() if state not in OVER}
        if left:
            raise Violation(f"does not end: {left}")
        self.check_deaths()
        self.check_digests()
        if not self.stops or self.mends:  # a call that stopped half-way may leave an index that only the sweep clears
            self.check_whole()
        self.sweep_all(mended=self.mends)


def simulate(line: Line, text: redis.Redis, build: Build, seed: int, trace: Callable[[str], None] | None = None) -> int:
    """Run one seed; how many runs it started. Raises Violation with the seed."""
    world = World(line, text, build, seed, trace)
    try:
        return world.run()
    except (Violation, Refused, AssertionError, KeyError) as broken:
        raise Violation(f"seed {seed}, step {world.step}: {type(broken).__name__}: {broken}") from broken
    finally:
        clear(line, world.cell.tag)


def first_failure(line: Line, text: redis.Redis, build: Build, seeds: Iterator[int]) -> str | None:
    """What the first seed that fails says."""
    for seed in seeds:
        try:
            simulate(line, text, build, seed)
        except Violation as failure:
            return str(failure)
    return None


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.conditions", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="print every call of --seed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder), appendfsync="no") as server:
        line, text = Line(server.port), redis.Redis(port=server.port, decode_responses=True, protocol=2)
        line("CONFIG", "SET", "appendonly", "no")
        build, began, runs, failures = Build.load(line, "conditions"), time.monotonic(), 0, []
        seeds = range(given.first, given.first + given.seeds) if given.seed is None else [given.seed]
        for seed in seeds:
            try:
                runs += simulate(line, text, build, seed, print if given.trace else None)
            except Violation as failure:
                failures.append(str(failure))
                print(failure, flush=True)
            if seed % 100 == 99:
                print(f"{seed + 1 - given.first} seeds, {runs} runs, {len(failures)} failed", flush=True)
        seconds = time.monotonic() - began
        print(f"{len(seeds)} seeds in {seconds:.0f} s, {runs} task runs, {len(failures)} seeds with a violation")
        return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
