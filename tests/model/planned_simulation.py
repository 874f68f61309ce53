"""Tasks with conditions under a virtual clock and one seed: actors that crash, repeat calls and lose answers.

What must hold is said here in plain Python, apart from the Lua: what had to be so when a task started, what must not
have happened before, and that all ends and nothing is left. ``python -m tests.model.planned_simulation --seeds 500``;
a seed that fails replays exactly with ``--seed N --trace``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from redsched.embedded import EmbeddedServer
from redsched.model.definition import TaskTemplate
from redsched.model.explain import explained
from redsched.model.rule import Rule
from redsched.model.task import Task
from redsched.wire import events, protocol, scripts
from redsched.wire.cells import Cell
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.protocol import Call, Settlement, Started
from tests.lua.consistency import assert_consistent
from tests.model.oracle import Violation
from tests.model.store import Build, Line, Refused, clear

NOW = 1_800_000_000_000
STEPS = 160
FACTS = tuple(f"e{n}" for n in range(5))
KEYS = ("k1", "k2")
KINDS = ("cancel_on", "wait_for", "test", "fifo", "unique", "digest", "hold", "after", "none")
FINAL = ("completed", "skipped", "expired", "cancelled", "dead")
STAYS = ("events", "stats", "meta", "queues", "sweeps", "mover", "claimed", "ready", "fact", "rules")
RULES = ("r1", "r2", "r3")
OUTCOMES = ("complete", "complete", "complete", "retry", "dead", "snooze")
TICKS = (0, 0, 1, 100, 1_000, 6_000, 31_000)
Holds = dict[str, Any]


@dataclass
class Known:
    """What a test knows of one task that was created."""

    id: str
    conditions: Holds
    key: str | None
    at: int  # when it was created
    payload: Any
    due: int  # it does not start before, if it is no digest: those do not count it
    starts: int = 0
    confirmed: bool = False
    called_off: bool = False  # an event that cancels it has come, or had come, before it started
    heard: set[str] = field(default_factory=set)  # of its facts, those that were there since


class World:
    """One seed."""

    def __init__(
        self, line: Line, text: redis.Redis, build: Build, seed: int, trace: Callable[[str], None] | None
    ) -> None:
        self.line, self.text, self.build, self.trace = line, text, build, trace
        self.rng = random.Random(seed)
        self.cell = Cell(f"p{seed:08d}")
        self.keys, self.cell_keys = queue_keys(self.cell, "q"), CellKeys(self.cell)
        self.now, self.step = NOW, 0
        self.tasks: dict[str, Known] = {}  # in the order in which they were created
        self.facts: set[str] = set()
        self.stopped: set[str] = set()
        self.rules: dict[str, Rule] = {}
        self.running: list[Started] = []
        self.merged: dict[str, list[Any]] = defaultdict(list)  # digest that ran -> items
        self.halts = self.stops = seed % 3 == 0  # whether calls stop half-way now; whether any did

    # --- calls

    def send(self, call: Call[Any], *, may_halt: bool = False) -> Any:
        """Make the call; sometimes it stops half-way and is repeated, or is sent twice."""
        args = [self.now if at == 0 and self._has_now(call) else word for at, word in enumerate(call.args)]
        words = ["FCALL", f"{self.build.name}_{call.verb}", len(call.keys), *call.keys, *args]
        if may_halt and self.halts and self.rng.random() < 0.2:
            self.line("FCALL", f"{self.build.name}_halt", 0, self.rng.randint(1, 14))
            try:
                self.line(*words)
            except Refused as refused:
                if "RS_HALT" not in str(refused):
                    raise
            finally:
                self.line("FCALL", f"{self.build.name}_halt", 0, 0)
        elif call.repeatable and self.rng.random() < 0.08:
            self.line(*words)
        reply = call.read(self.line(*words))
        if self.trace is not None:
            said = [str(word)[:90] for word in args[1:]]
            self.trace(f"{self.step:4} +{self.now - NOW:7} {call.verb} {said} -> {reply}")
        return reply

    @staticmethod
    def _has_now(call: Call[Any]) -> bool:
        return scripts.header(call.verb).args[:1] == ("now",)

    def state(self, task_id: str) -> str:
        """Of a task, as its hash says."""
        found = self.text.hget(self.keys.task(task_id), "state")
        return found if found else "scheduled" if self.text.exists(self.keys.task(task_id)) else "gone"

    # --- actors

    def submit(self) -> None:
        """A new task with conditions of one or two kinds."""
        rng, task_id = self.rng, f"t{len(self.tasks)}"
        conditions: Holds = {}
        for kind in rng.sample(KINDS, 2):
            conditions |= self._condition(kind, task_id)
        if "digest" in conditions:
            conditions = {"digest": conditions["digest"]}
        key = rng.choice(KEYS) if conditions.get("fifo") or rng.random() < 0.2 else None
        payload = {"n": len(self.tasks)}
        wait = rng.choice((0, 0, 500, 5_000))
        when = {"due": self.now + wait} if rng.random() < 0.3 else {"delay": wait}
        task = Task(
            type=rng.choice(("t", "u")), payload=payload, queue="q", id=task_id, key=key, conditions=conditions or None,
            **when, max_attempts=rng.choice((1, 2, 3)), retry=[700], request="r",
            expires_in=rng.choice((None, None, None, 20_000)), retention=rng.choice((None, None, 0)),
        )  # fmt: skip
        before = {one: self.state(one) for one in self.tasks}
        (answer,) = self.send(protocol.enqueue(self.cell, [task], max_payload=999), may_halt=True)
        if answer.status == "rejected":
            holder = self.tasks[answer.other]
            if before[answer.other] in (*FINAL, "gone"):
                raise Violation(f"{task_id} was rejected for {holder.id}, which is {before[answer.other]}")
            return
        due = 0 if "digest" in conditions else self.now + wait
        known = self.tasks[task_id] = Known(task_id, conditions, key, self.now, payload, due)
        known.called_off = bool(self.facts & set(conditions.get("cancel_on", ())))
        known.heard = self.facts & set(_awaited(conditions))
        unique = conditions.get("unique")
        if unique and unique["mode"] == "reject" and answer.status == "created":
            for other in self.tasks.values():
                same = other.id != task_id and other.conditions.get("unique", {}).get("key") == unique["key"]
                if same and before[other.id] not in (*FINAL, "gone") and self._holds_lock(other):
                    raise Violation(f"{task_id} was created beside {other.id}, which is {before[other.id]}")

    def _holds_lock(self, other: Known) -> bool:
        """Whether it was the last that took the lock: one that was replaced while it ran holds it no more."""
        later = [one for one in self.tasks.values() if one.conditions.get("unique", {}).get("key") ==
                 other.conditions["unique"]["key"]]  # fmt: skip
        return later[-2:-1] == [other]

    def _condition(self, kind: str, task_id: str) -> Holds:
        rng = self.rng
        some = rng.sample(FACTS, rng.choice((1, 1, 2)))
        if kind == "cancel_on":
            return {"cancel_on": some}
        if kind == "wait_for":
            ends = {"within": 20_000, "then": rng.choice(("run", "expire"))} if rng.random() < 0.6 else {}
            return {"wait_for": {rng.choice(("all", "any")): some, **ends}}
        if kind == "test":
            test = {rng.choice(("all", "any")): [{"fact": name, "exists": True} for name in some]}
            again = {"otherwise": {"again": 1_500, "within": 9_000}} if rng.random() < 0.4 else {}
            return {rng.choice(("unless", "only_if")): test, **again}
        if kind == "fifo":
            return {"fifo": True}
        if kind == "unique":
            return {"unique": {"key": rng.choice(("u1", "u2")), "mode": rng.choice(("reject", "replace", "keep_last"))}}
        if kind == "digest":
            return {"digest": {"key": "d", "grace": 2_000, "longest": 5_000, "size": 4}}
        if kind == "hold":
            return {"hold": {"token": task_id, "within": 15_000, "then": rng.choice(("run", "expire"))}}
        if kind == "after" and (there := [one for one in self.tasks if self.state(one) != "gone"][-8:]):
            parents = rng.sample(there, min(len(there), rng.choice((1, 2))))
            return {"after": {"ids": parents, "on": rng.choice(("success", "success", "failure", "either")),
                              "otherwise": rng.choice(("cancel", "skip", "run", "wait"))}}  # fmt: skip
        return {}

    def emit(self) -> None:
        """An event; its fact may be taken away by hand later."""
        name = self.rng.choice(FACTS)
        waiting = {one.id for one in self.tasks.values() if name in one.conditions.get("cancel_on", ())
                   and self.state(one.id) not in ("running", *FINAL, "gone")}  # fmt: skip
        call = events.emit(self.cell_keys, name, "", data={"n": self.step}, ttl="300d", event_id=f"e{self.step}")
        self.send(call, may_halt=True)
        self.facts.add(name)
        for one in self.tasks.values():
            if name in _awaited(one.conditions):
                one.heard.add(name)
        for one in self.tasks.values():
            wait = one.conditions.get("wait_for", {})
            met = set(wait["all"]) <= self.facts if "all" in wait else name in wait.get("any", ())
            if met and self.text.hmget(self.keys.task(one.id), "state", "blocked") == ["held", "facts"]:
                raise Violation(f"{one.id} waits for {wait} in spite of {self.facts}")
        self._made_by_rules(name)
        for task_id in waiting:
            self.tasks[task_id].called_off = True
            if self.state(task_id) != "cancelled":
                raise Violation(f"{task_id} is {self.state(task_id)} after {name}, which cancels it")

    def _made_by_rules(self, name: str) -> None:
        for made in [one for one in self.rules.values() if one.on == name]:
            task_id, conditions = f"{made.id}:e{self.step}", made.task.conditions or {}
            if self.state(task_id) == "gone":
                raise Violation(f"{made.id} made nothing of {name}")
            known = self.tasks[task_id] = Known(
                task_id, conditions, None, self.now, None, self.now + (made.delay or 0))  # fmt: skip
            known.called_off = bool(self.facts & set(conditions.get("cancel_on", ())))

    def rule(self) -> None:
        """A rule is put or dropped, and all are as they were put."""
        rng, rule_id = self.rng, self.rng.choice(RULES)
        if rule_id in self.rules and rng.random() < 0.5:
            self.send(events.drop_rule(self.cell_keys, rule_id))
            del self.rules[rule_id]
        else:
            conditions = rng.choice((None, {"cancel_on": [rng.choice(FACTS)]}))
            task, delay = TaskTemplate(type="t", queue="q", payload={}, conditions=conditions), rng.choice((None, 700))
            made = Rule(id=rule_id, on=rng.choice(FACTS), task=task, bind={"n": "data.n"}, delay=delay)
            self.send(events.put_rule(self.cell_keys, made, max_payload=999))
            self.rules[rule_id] = made
        found = {one.id: one.on for one in self.send(events.rules(self.cell_keys)).items}
        if found != {one.id: one.on for one in self.rules.values()}:
            raise Violation(f"the rules are {found}, not {self.rules}")

    def look(self) -> None:
        """What is told of one task, of its parents and of what is paused is what is so."""
        found = {f"type:{one.type}" if one.type else f"key:{one.key}" if one.key else "queue"
                 for one in self.send(events.paused([self.keys]))[0]}  # fmt: skip
        if found != self.stopped:
            raise Violation(f"told to be paused: {found}, not {self.stopped}")
        if not self.tasks:
            return
        known = self.tasks[self.rng.choice(sorted(self.tasks))]
        state, told = self.state(known.id), explained(self.send(events.explain(self.keys, known.id)))
        lost = told.code in ("lost", "held") and not self.stops
        if lost or told.state != ("unknown" if state == "gone" else state):
            raise Violation(f"{known.id} is {state} and told to be {told}")
        if told.code == "waits_for_event" and not set(_awaited(known.conditions)) - self.facts and not self.stops:
            raise Violation(f"{known.id} is told to wait though {self.facts} are there")
        after = known.conditions.get("after")
        if after and state not in (*FINAL, "gone"):
            kin = self.send(events.kin(self.keys, known.id, "parents")).items
            if {one.id for one in kin} != set(after["ids"]):
                raise Violation(f"the parents of {known.id} are told to be {kin}")
            for parent in after["ids"]:
                children = self.send(events.kin(self.keys, parent, "children")).items
                if self.state(parent) != "gone" and known.id not in {one.id for one in children}:
                    raise Violation(f"{parent} is told to have the children {children}, without {known.id}")

    def follow(self) -> None:
        """A task that is to be confirmed comes after one more."""
        for known in self.tasks.values():
            after = known.conditions.get("after")
            if after and "hold" in known.conditions and not known.confirmed and known.id != next(iter(self.tasks)):
                more = next(iter(self.tasks))
                if self.state(more) != "gone" and self.send(events.follow(self.keys, known.id, [more])) == "followed":
                    after["ids"] = sorted({*after["ids"], more})

    def change(self) -> None:
        """The conditions of a task that waits become others, or none."""
        kinds = {"cancel_on", "wait_for", "unless", "digest"}
        plain = [one for one in self.tasks.values() if set(one.conditions) <= kinds]
        if not plain:
            return
        known, conditions = self.rng.choice(plain), self._condition(self.rng.choice(("cancel_on", "wait_for")), "")
        conditions = self.rng.choice((conditions, {}))
        call = protocol.update(self.keys, [known.id], {"conditions": conditions or None}, max_payload=999)
        if self.send(call)[known.id] == "updated":
            known.conditions, known.heard = conditions, self.facts & set(_awaited(conditions))
            known.called_off = bool(self.facts & set(conditions.get("cancel_on", ())))
            if known.called_off and self.state(known.id) not in ("cancelled", "dead"):
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
            word = self.send(events.confirm(self.keys, [one.id], one.id, action=action), may_halt=True)[one.id]
            one.confirmed = one.confirmed or word == "confirmed"
            one.called_off = one.called_off or word == "abandoned"

    def pause(self) -> None:
        """Pause or resume something."""
        what = self.rng.choice(("queue", "type:t", "key:k1"))
        if what in self.stopped:
            self.send(events.resume(self.keys, what), may_halt=True)
            self.stopped.discard(what)
        else:
            self.send(events.pause(self.keys, what, reason="", until=None), may_halt=True)
            self.stopped.add(what)

    def cancel(self) -> None:
        """Cancel one."""
        if self.tasks:
            task_id = self.rng.choice(sorted(self.tasks))
            word = self.send(protocol.cancel(self.keys, [task_id]), may_halt=True)[task_id]
            if word == "cancelled":
                self.tasks[task_id].called_off = True

    def move(self) -> None:
        """A mover does one thing."""
        kind, limit = self.rng.randrange(8), self.rng.choice((1, 3, 100))
        if kind <= 3:
            self.send(protocol.promote([self.keys], mover="m", limit=limit), may_halt=True)
        elif kind <= 6:
            self.send(events.attend(self.cell_keys, limit), may_halt=True)
        else:
            self.send(protocol.reap([self.keys], limit=limit), may_halt=True)

    def work(self, *, fine: bool = False) -> None:
        """A worker claims, or ends what it has; or dies."""
        rng = self.rng
        if self.running and rng.random() < 0.7:
            task = self.running.pop(rng.randrange(len(self.running)))
            outcome = "complete" if fine else rng.choice(OUTCOMES)
            end = Settlement(task.queue, task.id, task.token, outcome, "300" if outcome == "snooze" else "")
            self.send(protocol.settle(self.cell, [end]), may_halt=True)
        elif self.running and rng.random() < 0.2:
            self.send(protocol.renew(self.cell, [], begun=[rng.choice(self.running)], lease_ms=5_000), may_halt=True)
        elif not fine and rng.random() < 0.05:
            self.running.clear()
        else:
            call = protocol.claim([self.keys], consumer="w", count=rng.choice((1, 3)), lease_ms=5_000)
            for task in self.send(call, may_halt=True).tasks:
                self.running.append(task)
                self._started(task)

    # --- what must hold

    def _started(self, task: Started) -> None:
        known = self.tasks[task.id]
        known.starts += 1
        if known.called_off and known.starts == 1:
            raise Violation(f"{task.id} starts though it was called off")
        if self.now < known.due:
            raise Violation(f"{task.id} starts {known.due - self.now} ms before it is due")
        conditions = known.conditions
        self._conditions_held(known)
        line = [one.id for one in self.tasks.values() if one.key == known.key and one.conditions.get("fifo")]
        if conditions.get("fifo"):
            before = [one for one in line[: line.index(task.id)] if self.state(one) not in (*FINAL, "gone")]
            if before:
                raise Violation(f"{task.id} starts before {before} of key {known.key} have ended")
        if self.stopped & {"queue", f"type:{task.type}", f"key:{known.key}"}:
            raise Violation(f"{task.id} starts while {self.stopped} is paused")
        payload = json.loads(task.payload)
        if "items" in payload or "digest" in conditions:
            self.merged[task.id] = payload["items"]

    def _conditions_held(self, known: Known) -> None:
        conditions, age = known.conditions, self.now - known.at
        for which in ("unless", "only_if"):
            if which in conditions and _holds(conditions[which], self.facts) == (which == "unless"):
                raise Violation(f"{known.id} starts though {which} {conditions[which]} with {self.facts}")
        wait = conditions.get("wait_for")
        if wait:
            met = known.heard >= set(wait["all"]) if "all" in wait else bool(known.heard & set(wait["any"]))
            if not met and not (wait.get("then") == "run" and age >= wait["within"]):
                raise Violation(f"{known.id} starts before {wait}; heard {known.heard}")
        hold = conditions.get("hold")
        if hold and not known.confirmed and not (hold["then"] == "run" and age >= hold["within"]):
            raise Violation(f"{known.id} starts unconfirmed")
        after = conditions.get("after")
        if after:
            states = [self.state(one) for one in after["ids"]]
            failed = any(state not in ("completed", "gone") for state in states)
            over = all(state in (*FINAL, "gone") for state in states)
            wrong = not over or (after["on"] == "success" and failed and after["otherwise"] != "run")
            if wrong or (after["on"] == "failure" and not failed):
                raise Violation(f"{known.id} starts after {after} with {states}")

    # --- the whole

    def begin(self) -> None:
        """An empty namespace with a virtual clock."""
        clear(self.line, self.cell.tag)
        self.line("HSET", self.cell_keys.meta, "virtual_clock", 1)

    def run(self) -> int:
        """All steps, then everything ends and is swept; the number of starts."""
        self.begin()
        acts = [(self.submit, 6), (self.emit, 2), (self.unset, 1), (self.confirm, 2), (self.pause, 1), (self.cancel, 1),
                (self.rule, 1), (self.look, 2), (self.follow, 1), (self.change, 1),
                (self.move, 10), (self.work, 8)]  # fmt: skip
        for self.step in range(1, STEPS + 1):
            self.now += self.rng.choice(TICKS) if self.rng.random() < 0.4 else 0
            act = self.rng.choices([one for one, _ in acts], [weight for _, weight in acts])[0]
            act()
            if self.step % 20 == 0 and not self.halts:
                assert_consistent(self.text, self.cell.tag)
        self.drain()
        return sum(one.starts for one in self.tasks.values())

    def drain(self) -> None:
        """What is paused goes on, all ends and is swept; nothing is left but what stays."""
        for what in sorted(self.stopped):
            self.send(events.resume(self.keys, what))
        self.stopped.clear()
        self.halts = False
        for self.step in range(1_001, 1_120):
            if self.step == 1_040:  # what waits for no time at all
                left = [one for one in self.tasks if self.state(one) not in (*FINAL, "gone")]
                for at in range(0, len(left), 100):
                    self.send(protocol.cancel(self.keys, left[at : at + 100]))
            self.now += 7_000
            self.send(events.attend(self.cell_keys, 500))
            self.send(protocol.promote([self.keys], mover="m", limit=500))
            self.send(protocol.reap([self.keys], limit=500))
            for _ in range(12):
                self.work(fine=True)
        left = {one: self.state(one) for one in self.tasks if self.state(one) not in (*FINAL, "gone")}
        if left:
            raise Violation(f"does not end: {left}")
        self._digests()
        if not self.stops:  # a call that stopped half-way may leave an index that only the sweep clears
            assert_consistent(self.text, self.cell.tag)
        self._sweep()

    def _digests(self) -> None:
        """Each payload of a digest that ran is in one of them, once."""
        items = [json.dumps(item) for found in self.merged.values() for item in found]
        if len(items) != len(set(items)):
            raise Violation(f"merged twice: {sorted(items)}")
        for one in self.tasks.values():
            reason = self.text.hget(self.keys.task(one.id), "reason") or ""
            into = reason.removeprefix("merged into ")
            if into != reason and into in self.merged and one.payload not in self.merged[into]:
                raise Violation(f"{one.id} was merged into {into}, which ran without it")

    def _sweep(self) -> None:
        for _ in range(12):
            self.now += 20 * 86_400_000
            self.send(protocol.sweep([self.keys], limit=500))
            self.send(events.attend(self.cell_keys, 500))
        prefix = f"{{{self.cell.tag}}}:"
        there = [key.removeprefix(prefix) for key in self.text.scan_iter(match=prefix + "*", count=1_000)]
        expires = {key for key in there if self.text.pttl(prefix + key) >= 0}  # the server's own clock counts for that
        left = [key for key in there if key.partition(":")[0] not in STAYS and key not in expires]
        if left:
            raise Violation(f"left behind: {left}")


def _awaited(conditions: Holds) -> list[str]:
    wait = conditions.get("wait_for", {})
    return list(wait.get("all") or wait.get("any") or ())


def _holds(test: Holds, facts: set[str]) -> bool:
    found = [one["fact"] in facts for one in test.get("all") or test["any"]]
    return all(found) if "all" in test else any(found)


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
    parser = argparse.ArgumentParser(prog="python -m tests.model.planned_simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="print every call of --seed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder), appendfsync="no") as server:
        line, text = Line(server.port), redis.Redis(port=server.port, decode_responses=True, protocol=2)
        line("CONFIG", "SET", "appendonly", "no")
        build, began, runs, failures = Build.load(line, "planned"), time.monotonic(), 0, []
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
