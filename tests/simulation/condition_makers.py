"""Those who make tasks in the simulation of tasks with conditions: submitters, events, and rules."""

from __future__ import annotations

import random
from collections.abc import Sequence

import redis

from redsched.model.condition import of_json
from redsched.model.events import Rule
from redsched.model.task import Task
from redsched.model.template import TaskTemplate
from redsched.wire import events, protocol
from tests.simulation.calls_and_states import Violation
from tests.simulation.condition_draw import FACTS, KEYS, OVER, THEMES, Holds, Known, after, some_conditions, unique_key
from tests.simulation.condition_promises import Promises, met
from tests.support.lua_builds import Build, Line

RULES = ("r1", "r2", "r3")


class Makers(Promises):
    """A world in which tasks are made."""

    def __init__(self, line: Line, text: redis.Redis, build: Build, seed: int) -> None:
        super().__init__(line, text, build, seed)
        self.rng, self.number, self.theme = random.Random(seed), 0, THEMES[seed % len(THEMES)]
        self.rules: dict[str, Rule] = {}

    def _task(self, task_id: str, conditions: Holds, wait: int) -> Task:
        rng, self.number = self.rng, self.number + 1
        key = rng.choice(KEYS) if conditions.get("fifo") or rng.random() < 0.2 else None
        when = {"due": self.now + wait} if rng.random() < 0.3 else {"delay": f"{wait}ms"}
        return Task(
            type=rng.choice(("t", "u")),
            payload={"n": self.number},
            queue="q",
            id=task_id,
            key=key,
            conditions=of_json(conditions or None),
            **when,
            max_attempts=rng.choice((1, 2, 3)),
            retry=["700ms"],
            request=f"r{self.number}",
            expires_in=rng.choice((None, None, None, "20s")),
            retention=rng.choice((None, None, "0s")),
        )

    def _fresh_id(self, states: dict[str, str]) -> str:
        """Of a task that was never there, or of one that is gone."""
        gone = [one for one, state in states.items() if state == "gone"]
        return self.rng.choice(gone) if gone and self.rng.random() < 0.3 else f"t{self.number + 1}"

    def _know(self, task: Task, conditions: Holds, wait: int, made: dict[str, Known]) -> Known:
        """What is known of a new task, from now on or as soon as it is made; ``made``: others of its call."""
        due = 0 if "digest" in conditions else self.now + wait
        known = Known(task.id or "", conditions, task.key, self.now, task.payload, due, most=task.max_attempts or 5)
        known.expires = None if task.expires_in is None else self.now + 20_000
        known.parents = [made.get(one) or self.tasks[one] for one in conditions.get("after", {}).get("ids", ())]
        known.called_off = self.step if self.facts & set(conditions.get("cancel_on", ())) else None
        known.heard = set(self.facts)
        return known

    def _made(self, known: Known) -> None:
        """It is the task of its id from now on."""
        if known.id in self.tasks:
            self.past.append(self.tasks.pop(known.id))
        self.tasks[known.id] = known
        known.place = (self.step, len(self.tasks))

    def submit(self) -> None:
        """A new task with conditions of some kinds; or several that come after one another."""
        if self.rng.random() < self.theme.family:
            self.submit_family()
            return
        states = self.states()
        there = [one for one, state in states.items() if state != "gone"][-8:]
        task_id, wait = self._fresh_id(states), self.rng.choice((0, 0, 500, 5_000))
        conditions = some_conditions(self.rng, self.theme, task_id, there)
        self._enqueue([self._task(task_id, conditions, wait)], [conditions], wait, states)

    def submit_family(self) -> None:
        """Some tasks that come after one another, in one call; one may have the id of another task."""
        rng, states = self.rng, self.states()
        tasks, plans, wait = list[Task](), list[Holds](), rng.choice((0, 0, 500))
        live = [one for one, state in states.items() if state in ("scheduled", "held") and "r" not in one]
        strange = rng.randrange(6) if live and rng.random() < 0.3 else -1
        for at in range(rng.randint(2, 4)):
            task_id = rng.choice(live) if at == strange else self._fresh_id(states)
            if task_id in [task.id for task in tasks]:
                return
            plan = some_conditions(rng, self.theme, task_id, (), most=1) if rng.random() < 0.6 else {}
            if tasks:
                parents = {str(task.id) for task in rng.sample(tasks, rng.choice((1, len(tasks))))}
                plan |= after(rng, sorted({*parents, str(tasks[-1].id)}))
            tasks.append(self._task(task_id, plan, wait))
            plans.append(plan)
        self._enqueue(tasks, plans, wait, states)

    def _enqueue(self, tasks: Sequence[Task], plans: Sequence[Holds], wait: int, before: dict[str, str]) -> None:
        strange = [task.id for task in tasks if before.get(str(task.id), "gone") != "gone"]
        was = {one: self.text.hgetall(self.keys.task(str(one))) for one in strange}
        answers = self.send(protocol.enqueue(self.cell, tasks, max_payload=999), may_halt=True)
        made: dict[str, Known] = {}
        if strange:
            told = [(answer.status, answer.other) for answer in answers]
            wanted = [("conflict", None) if task.id in strange else ("refused", strange[0]) for task in tasks]
            if told != wanted or any(self.text.hgetall(self.keys.task(str(one))) != was[one] for one in was):
                raise Violation(f"{[task.id for task in tasks]} with {strange} were answered {told}")
            left = [task.id for task in tasks if task.id not in strange and self.state(str(task.id)) != "gone"]
            if left:
                raise Violation(f"{left} were made in spite of {strange}")
            return
        for task, plan, answer in zip(tasks, plans, answers, strict=True):
            known = self._know(task, plan, wait, made)
            made[known.id] = known
            if answer.status == "rejected":
                known.end = "rejected"
                self.past.append(known)
                together = answer.other in [one.id for one in tasks]
                state = "running" if together else before.get(answer.other, "gone")
                if state in OVER:
                    raise Violation(f"{task.id} was rejected for {answer.other}, which is {state}")
            else:
                self._made(known)
                self._check_alone(known, before)

    def _check_alone(self, known: Known, before: dict[str, str]) -> None:
        """One that would be rejected is made only where no other of its key lives."""
        if known.conditions.get("unique", {}).get("mode") != "reject":
            return
        for other in self.tasks.values():
            if other is known or unique_key(other) != unique_key(known) or other.was_revived:
                continue
            entered = "p" in (self.text.hget(self.keys.task(other.id), "bound") or "")
            if entered and before.get(other.id, "gone") not in OVER:
                raise Violation(f"{known.id} was made beside {other.id}, which was {before[other.id]}")

    def emit(self) -> None:
        """An event; its fact may be taken away by hand later."""
        name = self.rng.choice(FACTS)
        asked = {one.id for one in self.tasks.values() if name in one.conditions.get("cancel_on", ())}
        waiting = {one for one, state in self.states().items() if one in asked and state not in ("running", *OVER)}
        call = events.emit(self.cell_keys, name, "", data={"n": f"e{self.step}"}, ttl="300d", event_id=f"e{self.step}")
        self.send(call, may_halt=True)
        self.facts.add(name)
        self._made_by_rules(name)
        for one, (state, blocked, _) in self.told().items():
            known = self.tasks[one]
            known.heard.add(name)
            if met(known, self.facts, name) and (state, blocked) == ("held", "facts"):
                raise Violation(f"{one} waits for {known.conditions['wait_for']} in spite of {self.facts}")
            if one in waiting:
                known.called_off = self.step if known.called_off is None else known.called_off
                if state != "cancelled" and not self._runs_in_a_digest(one):
                    raise Violation(f"{one} is {state} after {name}, which cancels it")

    def _runs_in_a_digest(self, task_id: str) -> bool:
        into = self.text.hget(self.keys.task(task_id), "into")
        return bool(into) and self.text.hexists(f"{{{self.cell.tag}}}:items:q:{into}", ":started")

    def _made_by_rules(self, name: str) -> None:
        for made in [one for one in self.rules.values() if one.on == name]:
            task_id, conditions = f"{made.id}:e{self.step}", made.task.conditions or {}
            if self.state(task_id) == "gone":
                raise Violation(f"{made.id} made nothing of {name}")
            payload = {"r": made.id, "n": f"e{self.step}"}
            known = Known(task_id, conditions, None, self.now, payload, self.now + (made.delay or 0))
            known.called_off = self.step if self.facts & set(conditions.get("cancel_on", ())) else None
            known.heard = set(self.facts)
            self._made(known)

    def rule(self) -> None:
        """A rule is put or dropped, and all are as they were put."""
        rng, rule_id = self.rng, self.rng.choice(RULES)
        if rule_id in self.rules and rng.random() < 0.5:
            self.send(events.drop_rule(self.cell_keys, rule_id))
            del self.rules[rule_id]
        else:
            conditions = rng.choice((None, {"cancel_on": [rng.choice(FACTS)]}))
            task = TaskTemplate(type="t", queue="q", payload={"r": rule_id}, conditions=conditions)
            delay = rng.choice((None, 700))
            made = Rule(id=rule_id, on=rng.choice(FACTS), task=task, bind={"n": "data.n"}, delay=delay)
            self.send(events.put_rule(self.cell_keys, made, max_payload=999))
            self.rules[rule_id] = made
        found = {one.id: one.on for one in self.send(events.rules(self.cell_keys)).items}
        if found != {one.id: one.on for one in self.rules.values()}:
            raise Violation(f"the rules are {found}, not {self.rules}")
