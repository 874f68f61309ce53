"""What each verb may do to each task: the state before a call and the state after it are compared with what was asked.

Nothing is computed twice that Lua computes: the table says which changes of state a verb may make and under which
condition, and a ledger of starts and answers keeps the promises that span calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redsched.wire.call import Call
from tests.simulation import moved, operator_rules
from tests.simulation.calls_and_states import (
    HOME,
    LIVE,
    MOVES,
    asked,
    changes,
    crashes,
    has_begun,
    number_of,
    require,
)
from tests.support.lua_builds import Snapshot, TaskKey, text

NEVER = 4e12


@dataclass
class Ledger:
    """What was promised in answers, over the whole run."""

    started: dict[TaskKey, list[str]] = field(default_factory=dict)  # tokens, in order
    settled: dict[str, str] = field(default_factory=dict)  # id and token -> first accepted answer
    acknowledged: set[TaskKey] = field(default_factory=set)  # created, by the answer
    ended: dict[TaskKey, str] = field(default_factory=dict)  # -> last state, of those that are over
    given_back: dict[TaskKey, int] = field(default_factory=dict)  # attempts in a row, of claims that had not begun
    runs: int = 0


@dataclass
class Oracle:
    """Judges every call of one run."""

    ledger: Ledger = field(default_factory=Ledger)
    loose: set[TaskKey] = field(default_factory=set)  # touched by hand: may be named by an index too many
    halted: bool = False  # some script stopped half-way: any id may be
    unwritten: set[TaskKey] = field(default_factory=set)  # an enqueue of them was stopped and not repeated yet

    def judge(self, call: Call[Any], now: int, reply: Any, before: Snapshot, after: Snapshot) -> None:
        """A call that was answered."""
        self.follow(call)
        queues = [key.partition(":due:")[2] for key in call.keys]
        for task, old, new in changes(before, after):
            self._change(call.verb, task, old, new)
        check = getattr(self, f"_{call.verb}", None) or operator_rules.CHECKS.get(call.verb)
        if check is not None:
            check(call, queues, now, reply, before, after)
        self._note(before, after)
        self.static(after)

    def halt(self, call: Call[Any], before: Snapshot, after: Snapshot) -> None:
        """A call that stopped half-way: it may have done a part, never lost anything."""
        self.halted = True
        self.follow(call)
        if call.verb == "enqueue":
            self.unwritten.update(task for task, *_ in asked(call, 0))
        for task, old, new in changes(before, after):
            self._change(call.verb, task, old, new)
        self._note(before, after)
        self.static(after)

    def follow(self, call: Call[Any]) -> None:
        """What is not known of a task in its old queue is not known in its new one."""
        for pair in moved.pairs(call) if call.verb == "move" else ():
            for known in (self.loose, self.unwritten):
                if known.intersection(pair):
                    known.update(pair)

    def _note(self, before: Snapshot, after: Snapshot) -> None:
        for task, old, new in changes(before, after):
            state = new.get("state", "scheduled") if new else "removed"
            if state in LIVE:
                self.ledger.ended.pop(task, None)
            else:
                self.ledger.ended.setdefault(task, state)
            fresh = old is not None and new is not None and "token" in new and "token" not in old
            require(not fresh or state == "running" or moved.moved_to(old), f"{task} got a token as {state}")

    def foreign(self, after: Snapshot) -> None:
        """Something was written by hand."""
        self.static(after)

    def static(self, now: Snapshot) -> None:
        """Each task is in the place that its state names, and in no other."""
        where = now.where()
        for task, fields in now.tasks.items():
            state = fields.get("state", "scheduled")
            places = where.pop(task, [])
            if state not in HOME or ("type" not in fields and task in self.loose):
                require(task in self.loose, f"{task} is {state}")
                continue
            if state == "scheduled" and task in self.unwritten | self.loose:
                continue
            if state == "ready":
                home = now.entries.get((task[0], fields.get("entry", ""))) == task[1]
            else:
                home = HOME[state] in places
            require(home, f"LOST {task} is {state} and in {places}: {fields}")
            if not self.halted and task not in self.loose:
                require(len(places) == 1, f"{task} is {state} and in {places}")
            if state == "running" and not (self.halted and "token" not in fields):  # reap takes it first
                require(fields.get("token", "").partition(".")[0] == fields["attempt"], f"{task} has {fields}")
        if not self.halted:
            strays = set(where) - self.loose - now.wrong - self.unwritten
            require(not strays, f"ids without a task: {strays}")
            for (queue, entry), task_id in now.entries.items():
                fields = now.tasks.get((queue, task_id), {})
                require((queue, task_id) in self.loose or fields.get("entry") == entry, f"a stale entry of {task_id}")
            for task in now.outcomes - now.tasks.keys():
                require(task in self.loose, f"an outcome without a task: {task}")

    def drained(self, now: Snapshot) -> None:
        """Nothing is left to do, and everything acknowledged has ended."""
        alive = {task: fields.get("state", "scheduled") for task, fields in now.tasks.items()}
        left = {task: state for task, state in alive.items() if state in LIVE and task not in self.unwritten}
        require(not left, f"LOST never ended: {left}")
        for (queue, place), ids in now.places.items():
            require(place in ("finished", "dead", "quarantine", "held") or not ids, f"{place} of {queue} keeps {ids}")
        require(not now.entries and not now.pending, f"the streams keep {now.entries} {now.pending}")
        vanished = self.ledger.acknowledged - self.ledger.ended.keys() - now.tasks.keys()
        require(not vanished, f"LOST without a trace: {vanished}")

    # --- one call

    def _change(self, verb: str, task: TaskKey, old: dict[str, str] | None, new: dict[str, str] | None) -> None:
        before = None if old is None else old.get("state", "scheduled")
        after = None if new is None else new.get("state", "scheduled")
        if before == after or (task in self.unwritten and verb == "enqueue"):
            if before == after == "running" and old and new:
                require(
                    verb == "claim" or old.get("token") == new.get("token") or verb == "reap", f"{task} lost its token"
                )
            if old and new and verb not in ("claim",):
                require(old.get("attempt") == new.get("attempt"), f"{verb} changed the attempt of {task}")
            return
        if before == "dead" and after is None and verb == "sweep":
            return
        strange = before not in HOME and before is not None
        if strange and verb in ("promote", "claim") and after == "dead":
            return
        allowed = moved.CHANGES if verb == "move" else MOVES.get(verb, ())
        require((before, after) in allowed, f"{verb} took {task} from {before} to {after}")

    def _enqueue(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        for (task, due, fields), answer in zip(asked(call, now), [text(word) for word in reply], strict=True):
            known = old.tasks.get(task)
            if answer != "created":
                require(task in old.tasks or task in old.wrong or self._twice(call, task), f"{task} was {answer}")
                continue
            self.unwritten.discard(task)
            if known is not None and "state" not in known and task[1] not in old.places.get((task[0], "due"), {}):
                known = None  # a hash that no index knows
            if known is not None:
                require(known.get("request") == fields.get("request"), f"created {task} again")
                continue
            self.ledger.acknowledged.add(task)
            made = new.tasks.get(task)
            self.ledger.ended.pop(task, None)
            if made is None:
                require(fields.get("retention_ms") == "0", f"LOST created {task} is nowhere")
                self.ledger.ended[task] = "removed"
            elif due > now:
                require(new.places.get((task[0], "due"), {}).get(task[1]) == due, f"{task} is not due at {due}: {made}")
            else:
                require(made.get("state") in ("ready", "expired"), f"{task} is due and {made}")
                if made["state"] == "ready":
                    _unexpired(task, made, now)

    def _twice(self, call: Call[Any], task: TaskKey) -> bool:
        return [made for made, *_ in asked(call, 0)].count(task) > 1

    def _promote(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        for task, was, is_ in changes(old, new):
            if was is None or was.get("state", "scheduled") != "scheduled":
                continue
            score = old.places.get((task[0], "due"), {}).get(task[1], NEVER)
            state = is_.get("state") if is_ else "expired"
            if state in ("ready", "expired", "dead"):
                require(score <= now, f"EARLY {task} was promoted at {now}, due {score}")
            if state == "ready" and is_:
                _unexpired(task, is_, now)
            elif state == "expired":
                require(number_of(was, "expires_at", NEVER) <= now, f"{task} expired too early")
            elif state == "dead" and is_:
                require(task in self.loose and is_.get("reason") == "malformed", f"{task} is dead: {is_}")
        moved = sum(reply[2::3])
        if moved < min(int(call.args[1]), 500):
            left = {
                (queue, member)
                for queue in queues
                for member, score in new.places.get((queue, "due"), {}).items()
                if score <= now and (queue, member) in new.tasks and (queue, member) not in self.loose
            }
            looked = sum(
                score > now and old.places.get((queue, "due"), {}).get(member, NEVER) <= now
                for queue in queues
                for member, score in new.places.get((queue, "due"), {}).items()
            )
            require(not left or moved + looked >= int(call.args[1]), f"promote left {left}")

    def _claim(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        _, consumer, nonce, count, lease = (text(word) for word in call.args[:5])
        answered = {}
        for number, task_id, attempt, *_ in reply[2:]:
            answered[queues[number - 1], text(task_id)] = f"{attempt}.{nonce}"
        require(len(answered) <= int(count), f"claim started {len(answered)} of {count}")
        fresh = {}
        for task, was, is_ in changes(old, new):
            if was is not None and was.get("state") == "running":
                late = number_of(was, "expires_at", NEVER) <= now
                require(late and was.get("token", "").endswith("." + nonce), f"claim ended {task}, which ran: {was}")
            if was is None or was.get("state") != "ready":
                continue
            state = is_.get("state") if is_ else "expired"
            if state == "running" and is_:
                fresh[task] = is_["token"]
                _unexpired(task, is_, now)
                require(int(is_["attempt"]) == number_of(was, "attempt", 0) + 1, f"{task} started uncounted: {is_}")
                require(int(is_["attempt"]) <= number_of(was, "max_attempts", 5), f"{task} started too often: {is_}")
                require(new.places[task[0], "running"].get(task[1]) == now + int(lease), f"the lease of {task}")
                require(is_["worker"] == consumer and is_["started_at"] == str(now), f"{task} started as {is_}")
                require(number_of(is_, "due_at", 0) <= now, f"EARLY {task} started at {now}: {is_}")
                before = self.ledger.started.setdefault(task, [])
                require(is_["token"] not in before, f"{task} was started twice as {is_['token']}")
                before.append(is_["token"])
                self.ledger.runs += 1
            elif state == "expired":
                require(number_of(was, "expires_at", NEVER) <= now, f"{task} expired too early")
            elif state == "dead" and is_:
                spent = number_of(was, "attempt", 0) >= number_of(was, "max_attempts", 5)
                require(task in self.loose or (spent and is_["reason"] == "attempts"), f"{task} is dead: {is_}")
        for task, token in answered.items():
            is_running = new.tasks.get(task, {})
            require(is_running.get("state") == "running" and is_running.get("token") == token, f"{task} was answered")
        if fresh:
            require(fresh == answered, f"started {fresh} and answered {answered}")
        earlier = {
            task: fields["token"]
            for task, fields in old.tasks.items()
            if task[0] in queues
            and fields.get("state") == "running"
            and fields.get("token", "").endswith("." + nonce)
            and number_of(fields, "expires_at", NEVER) > now
        }
        repeated = bool(earlier) and f"claimed:{consumer}" in old.others and not self.halted
        require(not repeated or answered == earlier, f"claim of {nonce} answered {answered}, before {earlier}")
        repeated = any(nonce in token for tokens in self.ledger.started.values() for token in tokens) and not fresh
        if reply[1] == 0 and not repeated and len(answered) < int(count):
            for (queue, entry), task_id in new.entries.items():
                held = (queue, entry) in new.pending
                require(queue not in queues or held, f"claim left {task_id} in {entry} of {queue}")

    def _settle(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        args = [text(word) for word in call.args]
        moved = {task for task, *_ in changes(old, new)}
        seen: set[TaskKey] = set()
        for at, answer in zip(range(1, len(args), 7), [text(word) for word in reply], strict=True):
            task, token, outcome, first = (
                (queues[int(args[at]) - 1], args[at + 1]),
                args[at + 2],
                args[at + 3],
                args[at + 4],
            )
            was, is_ = old.tasks.get(task, {}), new.tasks.get(task)
            mine = was.get("token") == token
            if not mine or was.get("state") != "running" or task in seen:
                expected = ("lost", "already") if mine and task in seen else ("already",) if mine else ("lost",)
                require(answer in expected, f"settle of {task} {token} answered {answer}, the task was {was}")
                continue
            seen.add(task)
            moved.discard(task)
            accepted = self.ledger.settled.setdefault(f"{task} {token}", answer)
            require(answer not in ("lost", "already") and accepted is answer, f"{task} {token}: {accepted}, {answer}")
            state = is_.get("state") if is_ else answer
            require(state == answer, f"{task} is {state}, the answer {answer}")
            self.ledger.given_back.pop(task, None)
            self._outcome(task, outcome, first, answer, now, was, new)
        require(not moved, f"settle changed {moved} without their tokens")

    def _outcome(
        self, task: TaskKey, outcome: str, first: str, answer: str, now: int, was: dict[str, str], new: Snapshot
    ) -> None:
        is_ = new.tasks.get(task, {})
        attempt, expires = number_of(was, "attempt", 1), number_of(was, "expires_at", NEVER)
        spent = attempt >= number_of(was, "max_attempts", 5)
        if outcome == "complete" or outcome == "dead":
            require(answer == ("completed" if outcome == "complete" else "dead"), f"{outcome} of {task}: {answer}")
        elif outcome == "cancelled" or "cancel_requested" in was:
            require(answer == "cancelled", f"{task} was asked to stop and is {answer}")
        elif outcome == "retry" and task in self.loose and is_.get("reason") == "malformed":
            require(answer == "dead", f"{task} is malformed and {answer}")
        elif outcome == "retry" and spent:
            require(answer == "dead", f"{task} has no attempt left and is {answer}")
        elif outcome == "return" and not first:
            over = expires <= now
            require(answer == ("expired" if over else "ready"), f"{task} was returned and is {answer}")
        else:
            require(answer in ("scheduled", "expired"), f"{outcome} of {task}: {answer}")
        if answer == "scheduled":
            due = new.places[task[0], "due"][task[1]]
            require(due < expires and due >= now, f"{task} is due {due}, start-by {expires}")
            if outcome != "return" and first:
                require(due == now + int(first), f"{task} is due {due}, not after {first}")
        if answer in ("scheduled", "ready"):
            given_back = outcome in ("snooze", "return")
            require(number_of(is_, "attempt", 0) == attempt - given_back, f"{outcome} of attempt {attempt}: {is_}")

    def _reap(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        for task, was, is_ in changes(old, new):
            lease = old.places.get((task[0], "running"), {}).get(task[1], NEVER)
            if was is None or was.get("state") != "running":
                continue
            require(lease <= now, f"{task} was taken back at {now}, its lease ends at {lease}")
            state = is_.get("state") if is_ else None
            begun = has_begun(was)
            crashed, given_back = crashes(was)
            free = not begun and given_back < 2
            spent = not free and number_of(was, "attempt", 1) >= number_of(was, "max_attempts", 5)
            in_a_row = self.ledger.given_back.get(task, 0) + 1
            self.ledger.given_back[task] = 0 if begun else in_a_row if free else in_a_row - 1
            require(not free or in_a_row <= 2 or task in self.loose or self.halted, f"{task} is free for ever: {was}")
            used = number_of(was, "attempt", 1) - free
            require(not is_ or number_of(is_, "attempt", 0) == max(used, 0), f"{task} was {was} and is {is_}")
            if state == "scheduled" and is_:
                due = new.places[task[0], "due"][task[1]]
                require(due == now or (crashed and not free), f"{task} is due {due} after a crash at {now}: {was}")
                row = (crashed + 1, 0 if begun else given_back) if not free else (crashed, given_back + 1)
                require(crashes(is_) == row, f"{task} counts {is_['crashes']} after {was}")
            if "cancel_requested" in was:
                require(state in ("cancelled", None), f"{task} was asked to stop and is {state}")
            elif number_of(was, "expires_at", NEVER) <= now:
                require(state in ("expired", None), f"{task} is past its start-by and {state}")
            else:
                malformed = state == "dead" and task in self.loose and (is_ or {}).get("reason") == "malformed"
                require((state == "dead") == spent or malformed, f"{task} is {state} after attempt {was['attempt']}")
            require(not is_ or "token" not in is_, f"{task} was taken back and keeps its token")
        if sum(reply[1::2]) < min(int(call.args[1]), 500):
            for queue in queues:
                late = {task_id for task_id, end in new.places.get((queue, "running"), {}).items() if end <= now}
                require(not late, f"reap left {late}")

    def _renew(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        args = [text(word) for word in call.args]
        for at, answer in zip(range(2, len(args), 3), [text(word) for word in reply], strict=True):
            task, token = (queues[int(args[at]) - 1], args[at + 1]), args[at + 2].removeprefix("begun/")
            was = old.tasks.get(task, {})
            if answer != "lost" and token != args[at + 2]:
                self.ledger.given_back.pop(task, None)
                require(new.tasks[task].get("begun") == token, f"{task} has begun and is {new.tasks[task]}")
            if was.get("state") != "running" or was.get("token") != token:
                require(answer == "lost", f"renew of {task} {token} answered {answer}: {was}")
            else:
                require(answer == ("cancel" if "cancel_requested" in was else "renewed"), f"renew of {task}: {answer}")
                end = new.places[task[0], "running"][task[1]]
                require(end == now + int(args[1]), f"{task} was renewed until {end}")

    def _move(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        ids = {task for pair in moved.pairs(call) for task in pair}
        wrong = moved.problem(call, now, reply, old, new)
        require(wrong is None or ids & self.loose or self.halted, str(wrong))
        for task, other in moved.pairs(call):
            if other in new.tasks and other not in old.tasks:
                self.ledger.acknowledged.add(other)
                self.ledger.given_back[other] = self.ledger.given_back.pop(task, 0)

    def _sweep(self, call: Call[Any], queues: list[str], now: int, reply: Any, old: Snapshot, new: Snapshot) -> None:
        for task, was, is_ in changes(old, new):
            require(is_ is None and was, f"sweep changed {task}")
            until = old.places.get((task[0], HOME[(was or {})["state"]]), {}).get(task[1], NEVER)
            require(until <= now, f"sweep removed {task} before {until}")
        for queue in queues:
            for place in ("finished", "dead"):
                late = [end for end in new.places.get((queue, place), {}).values() if end <= now]
                require(not late or reply[1] == 1, f"sweep left {late} in {place}")


def _unexpired(task: TaskKey, fields: dict[str, str], now: int) -> None:
    expires = number_of(fields, "expires_at", NEVER)
    require(expires > now, f"EXPIRED {task} is {fields.get('state')} at {now}, its start-by was {expires}")
