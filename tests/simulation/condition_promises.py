"""What must hold of tasks with conditions, in plain Python, apart from the Lua: at their start, at their end, later."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import redis

from redsched.wire import doctor, protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Started
from redsched.wire.keys import CellKeys, queue_keys
from tests.simulation.calls_and_states import Violation
from tests.simulation.condition_draw import FINAL, OVER, Known, awaited, holds, is_heard, unique_key
from tests.simulation.condition_ends import check_end
from tests.support.lua_builds import Build, Line

STAYS = (
    "events", "stats", "meta", "queues", "sweeps", "mover", "claimed", "ready", "fact", "rules", "emitted", "forgotten",
    "indexed",
)  # fmt: skip
STATES = """
local found = {}
for i = 2, #ARGV do
  local told = redis.call('HMGET', ARGV[1] .. ARGV[i], 'state', 'blocked', 'reason')
  local there = told[1] or redis.call('EXISTS', ARGV[1] .. ARGV[i]) == 1 and 'scheduled' or 'gone'
  found[#found + 1] = there .. '|' .. (told[2] or '') .. '|' .. (told[3] or '')
end
return found
"""


class Promises:
    """A namespace, what was done in it, and what follows from that."""

    def __init__(self, line: Line, text: redis.Redis, build: Build, seed: int) -> None:
        self.line, self.text, self.build = line, text, build
        self.cell = Cell(f"p{seed:08d}")
        self.keys, self.cell_keys = queue_keys(self.cell, "q"), CellKeys(self.cell)
        self.now, self.step = 1_800_000_000_000, 0
        self.tasks: dict[str, Known] = {}  # the last of each id, in the order in which they were created
        self.past: list[Known] = []  # those whose ids others have by now, or that were never made
        self.facts: set[str] = set()
        self.stopped: set[str] = set()
        self.send: Callable[..., Any] = self.call
        self.stops = False  # whether a call has stopped half-way

    def call(self, call: Call[Any]) -> Any:
        """Make a call that only reads."""
        args = [self.now, *call.args[1:]]
        return call.read(self.line("FCALL", f"{self.build.name}_{call.verb}", len(call.keys), *call.keys, *args))

    # --- what is so

    def told(self, ids: Sequence[str] | None = None) -> dict[str, tuple[str, str, str]]:
        """State, blocked and reason of these, or of all."""
        asked = list(self.tasks) if ids is None else list(ids)
        words = self.line("EVAL", STATES, 0, self.keys.task(""), *asked) if asked else []
        return {one: tuple(word.decode().split("|", 2)) for one, word in zip(asked, words, strict=True)}  # type: ignore[misc]

    def states(self) -> dict[str, str]:
        """State of each, as its hash says."""
        return {one: state for one, (state, _, _) in self.told().items()}

    def state(self, task_id: str) -> str:
        """Of a task, as its hash says."""
        return self.told([task_id])[task_id][0]

    def end_of(self, known: Known) -> str:
        """The state of a task whose id another may have by now."""
        if self.tasks.get(known.id) is not known:
            return known.end or "gone"
        found = self.state(known.id)
        return known.end or found if found == "gone" else found

    def note_closed(self) -> None:
        """Remember the facts by which digests have closed just now."""
        digests = [one.id for one in self.tasks.values() if "digest" in one.conditions]
        for one, (state, _, _) in self.told(digests).items():
            known = self.tasks[one]
            if state != "ready":
                known.closed = None
            elif known.closed is None:
                known.closed = set(self.facts)

    def note_ends(self) -> None:
        """Remember how each has ended, before some are removed."""
        for one, (state, _, reason) in self.told().items():
            if state in FINAL:
                self.tasks[one].end = state
                check_end(self.tasks[one], state, reason, self.end_of)

    def is_live(self, known: Known) -> bool:
        """Whether it may still run."""
        return self.end_of(known) not in OVER

    # --- at the start of a task

    def check_start(self, task: Started) -> None:
        """What had to be so when a worker got it."""
        known = self.tasks[task.id]
        self._check_attempt(known, task)
        known.starts += 1
        if known.called_off is not None and known.starts == 1:
            raise Violation(f"{task.id} starts though it was called off in step {known.called_off}")
        if self.now < known.due:
            raise Violation(f"{task.id} starts {known.due - self.now} ms before it is due")
        if known.expires is not None and self.now >= known.expires:
            raise Violation(f"{task.id} starts {self.now - known.expires} ms after its start-by")
        if self.stopped & {"queue", f"type:{task.type}", f"key:{known.key}"}:
            raise Violation(f"{task.id} starts while {self.stopped} is paused")
        states = self.states()
        self._check_order(known, states)
        self._check_conditions(known)
        payload = json.loads(task.payload)
        if "items" in payload or "digest" in known.conditions:
            before = known.claimed
            if before is None or before[0] != payload["items"]:
                known.claimed = (payload["items"], self.step, self.now)
                self._check_items(known, payload["items"])
        else:
            known.claimed = None  # it has left its digest
        known.is_fresh = False

    def _check_items(self, digest: Known, items: list[Any]) -> None:
        """Each of the others passed its own tests when the digest closed."""
        if digest.closed is None or "digest" not in digest.conditions or self.stops:
            return  # or a call that stopped half-way may have judged some of them
        for one in [*self.tasks.values(), *self.past]:
            if one is digest or one.payload not in items:
                continue
            for which in ("unless", "only_if"):
                test = one.conditions.get(which)
                if test and holds(test, digest.closed) == (which == "unless"):
                    raise Violation(f"{one.id} is in the run of {digest.id} though {which} {test} with {digest.closed}")

    def _check_attempt(self, known: Known, task: Started) -> None:
        self.give_up(known)
        known.attempt += 1
        if task.attempt != known.attempt or known.attempt > known.most:
            raise Violation(f"{known.id} starts as attempt {task.attempt}, not {known.attempt} of {known.most}")
        known.run, known.has_begun = task, False

    def give_up(self, known: Known) -> None:
        """Count a run whose lease has ended without an answer."""
        if known.run is None:
            return
        if known.has_begun or known.given_back >= 2:
            known.given_back = 0 if known.has_begun else known.given_back
            known.ran = known.claimed  # it counts as begun
        else:
            known.given_back, known.attempt = known.given_back + 1, known.attempt - 1
        known.run = None

    def note_lost(self, nonce: str, got: Sequence[Started]) -> None:
        """A claim that was repeated after it stopped has not answered all that it started."""
        for one, state in self.states().items():
            known, token = self.tasks[one], ""
            if state == "running" and one not in [task.id for task in got]:
                token = self.text.hget(self.keys.task(one), "token") or ""
            if token.partition(".")[2] == nonce and (known.run is None or known.run.token != token):
                self.give_up(known)
                known.attempt, known.starts, known.has_begun = known.attempt + 1, known.starts + 1, False
                stored = self.text.hmget(self.keys.task(one), "payload", "frozen")
                if stored[1] and "items" in json.loads(stored[0]):
                    known.claimed = (json.loads(stored[0])["items"], self.step, self.now)
                known.run = Started("q", one, known.attempt, 0, "t", b"", None, None, None, None, None, None, token)

    def begun(self, known: Known) -> None:
        """Its worker has told that the handler has begun, or has ended: its items are in that run."""
        known.has_begun = True
        known.ran = known.claimed

    def _check_order(self, known: Known, states: dict[str, str]) -> None:
        everyone = list(self.tasks.values())
        if known.conditions.get("fifo"):
            line = [one for one in everyone if one.key == known.key and one.conditions.get("fifo")]
            before = [one.id for one in line if one.place < known.place and states[one.id] not in OVER]
            if before and not known.was_revived:
                raise Violation(f"{known.id} starts before {before} of key {known.key} have ended")
        unique = known.conditions.get("unique")
        if unique and known.is_fresh and unique["mode"] in ("reject", "keep_last"):
            others = [one.id for one in everyone if unique_key(one) == unique["key"] and one is not known]
            runs = [one for one in others if states[one] == "running"]
            if runs:
                raise Violation(f"{known.id} starts while {runs} of unique key {unique['key']} run")

    def _check_conditions(self, known: Known) -> None:
        conditions, age = known.conditions, self.now - known.at
        for which in ("unless", "only_if"):
            if which in conditions and holds(conditions[which], self.facts) == (which == "unless"):
                raise Violation(f"{known.id} starts though {which} {conditions[which]} with {self.facts}")
        wait = conditions.get("wait_for")
        if wait and not is_heard(conditions, known.heard) and not (wait.get("then") == "run" and age >= wait["within"]):
            raise Violation(f"{known.id} starts before {wait}; heard {known.heard}")
        hold = conditions.get("hold")
        if hold and not known.confirmed and not (hold["then"] == "run" and age >= hold["within"]):
            raise Violation(f"{known.id} starts unconfirmed")
        after = conditions.get("after")
        parents = {one.id: self.end_of(one) for one in known.parents if not one.was_revived}
        if after and parents:
            failed = any(state != "completed" for state in parents.values())
            over = all(state in OVER for state in parents.values())
            wrong = not over or (after["on"] == "success" and failed and after["otherwise"] != "run")
            alone = len(parents) == len({one.id for one in known.parents})
            if wrong or (after["on"] == "failure" and not failed and alone):
                raise Violation(f"{known.id} starts after {after} with {parents}")

    # --- of what waits

    def check_left(self) -> None:
        """Long after the last event: whoever has not ended waits for something that may still come."""
        for task_id, (state, blocked, _) in self.told().items():
            known = self.tasks[task_id]
            after = known.conditions.get("after", {})
            if state in (*OVER, "ready", "running"):
                continue
            if state == "held" and blocked == "facts" and not is_heard(known.conditions, self.facts):
                continue
            if state == "held" and blocked == "parents":
                patient = after.get("otherwise") == "wait" and after.get("on", "success") == "success"
                ends = [self.end_of(one) for one in known.parents]
                if any(end not in OVER or (end != "completed" and patient) for end in ends):
                    continue
            if state == "held" and blocked == "line" and self._stands_behind_one(known):
                continue
            raise Violation(f"{task_id} is {state} {blocked} for ever: {known.conditions}, {known.parents}")

    def _stands_behind_one(self, known: Known) -> bool:
        states = self.states()
        same = [one for one in self.tasks.values() if one is not known and states[one.id] not in OVER]
        line = [one for one in same if one.key == known.key and one.conditions.get("fifo")]
        unique = [one for one in same if unique_key(one) == unique_key(known)]
        return bool(known.conditions.get("fifo") and line) or bool(unique_key(known) and unique)

    def check_told(self, known: Known, told: Any, kin: Callable[[str, str], set[str]], *, is_whole: bool) -> None:
        """What explain and kin say of one; ``is_whole``: no call has stopped half-way."""
        state = self.state(known.id)
        lost = told.code in ("lost", "held") and is_whole
        if lost or told.state != ("unknown" if state == "gone" else state):
            raise Violation(f"{known.id} is {state} and told to be {told}")
        if told.code == "waits_for_event" and is_heard(known.conditions, self.facts) and is_whole:
            raise Violation(f"{known.id} is told to wait though {self.facts} are there")
        bound = self.text.hget(self.keys.task(known.id), "bound") or ""
        if "after" not in known.conditions or state in OVER or "p" not in bound:
            return  # it has ended, or a pause came before it was entered anywhere
        parents = {one.id for one in known.parents}
        if kin(known.id, "parents") != parents:
            raise Violation(f"the parents of {known.id} are told to be {kin(known.id, 'parents')}, not {parents}")
        for one in known.parents:
            if self.tasks.get(one.id) is one and self.is_live(one) and known.id not in kin(one.id, "children"):
                raise Violation(f"{one.id} is not told to have the child {known.id}")

    # --- of the end

    def check_digests(self) -> None:
        """Each payload of a digest that ran is in one of them, once, and its task says so."""
        everyone = [*self.tasks.values(), *self.past]
        owner = {_text(one.payload): one for one in everyone}
        ran: dict[str, Known] = {}
        for digest in everyone:
            items, step, at = digest.ran or ([], 0, 0)
            for item in items:
                name, one = _text(item), owner[_text(item)]
                if ran.setdefault(name, digest) is not digest:
                    raise Violation(f"{name} is in the runs of {ran[name].id} and {digest.id}")
                off, expires = one.called_off, one.expires
                if one is not digest and ((off is not None and off < step) or (expires is not None and expires <= at)):
                    when = f"called off in step {off}, past its start-by {expires}"
                    raise Violation(f"{one.id}, {when}, is in the run of {digest.id} in step {step} at {at}")
        for task_id, (state, _, reason) in self.told().items():
            known = self.tasks[task_id]
            into, run = reason.removeprefix("merged into "), ran.get(_text(known.payload))
            if into != reason and (run is None or run.id != into):
                raise Violation(f"{task_id} was merged into {into}, which ran without it")
            if state in FINAL and into == reason and run not in (None, known):
                raise Violation(f"{task_id} is {state} {reason} and in a run of another")

    def check_deaths(self) -> None:
        """A dead letter has used up its attempts, where that is its reason."""
        for one, (state, _, reason) in self.told().items():
            known = self.tasks[one]
            if state == "dead" and reason in ("lease", "attempts"):
                self.give_up(known)
                if known.attempt < known.most:
                    raise Violation(f"{one} is dead of {reason} in attempt {known.attempt} of {known.most}")

    def faults(self) -> list[tuple[str, bytes, str]]:
        """What the doctor finds: kind, name and rule."""
        prefix = f"{{{self.cell.tag}}}:"
        names = [key.removeprefix(prefix) for key in self.text.scan_iter(match=prefix + "*", count=1_000)]
        ids = {name.split(":", 2)[2] for name in names if name.startswith("task:")}
        for place in ("due", "held", "running", "finished", "dead"):
            ids.update(self.text.zrange(self.keys.index(place), 0, -1))
        found = []
        others = [name for name in names if not name.startswith(("task:", "fact:")) and name != "meta"]
        for what, some in (("tasks", sorted(ids)), ("keys", sorted(others))):
            at = 0
            while at < len(some):
                page = [name.encode() for name in some[at : at + 50]]
                told = self.call(doctor.inspect(self.keys, what, names=page))
                found += [(fault.kind, fault.name, fault.rule) for fault in told.faults]
                at += int(told.cursor or len(page))
        for priority in ("high", "normal", "low"):
            told = self.call(doctor.inspect(self.keys, priority, limit=500))
            found += [(fault.kind, fault.name, fault.rule) for fault in told.faults]
        return found

    def mend(self) -> None:
        """The doctor mends what calls left that stopped half-way; then it finds nothing."""
        for _ in range(6):
            found = self.faults()
            if not found:
                self._note_mended()
                return
            self.call(doctor.repair(self.keys, sorted({(kind, name) for kind, name, _ in found})))
            self.call(protocol.attend(self.cell_keys, 500))
            self.call(protocol.promote([self.keys], mover="m", limit=500))
        raise Violation(f"the doctor does not mend {found}")

    def _note_mended(self) -> None:
        """A run that the doctor gave up is over, and its attempt is what the doctor made of it."""
        for one, state in self.states().items():
            known = self.tasks[one]
            if known.run is not None and state not in ("running", *OVER):
                known.run, known.attempt = None, int(self.text.hget(self.keys.task(one), "attempt") or 0)
                crashes = (self.text.hget(self.keys.task(one), "crashes") or "0 0").split()
                known.given_back = int(crashes[1])

    def sweep_all(self, *, mended: bool) -> None:
        """After all retention nothing is left but what stays."""
        for _ in range(12):
            self.now += 20 * 86_400_000
            self.send(protocol.sweep([self.keys], limit=500))
            self.send(protocol.attend(self.cell_keys, 500))
        prefix = f"{{{self.cell.tag}}}:"
        there = [key.removeprefix(prefix) for key in self.text.scan_iter(match=prefix + "*", count=1_000)]
        stays = (*STAYS, "quarantine") if mended else STAYS  # ids without a hash, which the doctor set aside
        expires = {key for key in there if self.text.pttl(prefix + key) >= 0}  # the server's own clock counts for that
        left = [key for key in there if key.partition(":")[0] not in stays and key not in expires]
        if left:
            raise Violation(f"left behind: {left}")

    def check_circle(self, known: Known, parents: list[Known], unique: str | None, *, refused: bool) -> None:
        """Whether these parents and this unique key may be refused to a task, and may be taken."""
        strict = self._comes_after(parents, known, with_lines=False)
        if strict and not refused:
            raise Violation(f"{known.id} may come after {[one.id for one in parents]}, which come after it")
        before = [one for one in self.tasks.values() if unique and unique_key(one) == unique and one is not known]
        if refused and not self._comes_after([*parents, *before], known, with_lines=True):
            raise Violation(f"{known.id} may not come after {[one.id for one in parents]}")

    @staticmethod
    def _share_a_line(one: Known, other: Known) -> bool:
        keyed = bool(one.conditions.get("fifo")) and other.key == one.key
        return keyed or (unique_key(one) is not None and unique_key(other) == unique_key(one))

    def _comes_after(self, some: list[Known], target: Known, *, with_lines: bool) -> bool:
        states, seen, pending = self.states(), set[int](), list(some)
        while pending:
            one = pending.pop()
            if one is target:
                return True
            waits = self.tasks.get(one.id) is one and states[one.id] not in OVER
            may_wait = waits or (with_lines and self.tasks.get(one.id) is one and states[one.id] == "dead")
            if id(one) in seen or not may_wait:
                continue
            seen.add(id(one))
            pending += one.parents
            if with_lines:
                pending += [other for other in self.tasks.values() if self._share_a_line(one, other)]
        return False


def _text(payload: Any) -> str:
    return json.dumps(payload, sort_keys=True)


def met(known: Known, facts: set[str], name: str) -> bool:
    """Whether an event that has come now lets it go."""
    return name in awaited(known.conditions) and is_heard(known.conditions, facts)
