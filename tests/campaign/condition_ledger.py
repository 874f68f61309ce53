"""The ledger of the campaign of conditions: what was asked for, what each process saw, and when, written outside Redis.

A line is appended before the effect that it tells of and survives SIGKILL of its process. Every time here is in ms of
the wall clock, which is the server's: all processes are of one machine.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from redsched.torture.history import Event

NEVER = float("inf")
WINDOW_MS = 1_000.0  # most that a replica on a busy machine may lag behind
FORGOTTEN_MS = 5_000  # of a shorter retention nothing may be left when it is asked for
ENDS = frozenset(("complete", "dead", "cancelled"))  # outcomes after which a task never runs again
AGAIN = frozenset(("retry", "snooze", "return"))


class Wish(msgspec.Struct, omit_defaults=True):
    """What a producer asked for with one task: what the judge holds redsched to. Facts are named in full."""

    kind: str
    queue: str = ""
    due_ms: int = 0  # 0: none was given
    delay_ms: int = 0
    retention_ms: int = -1  # -1: the default
    attempts: int = 1_000
    lasting: bool = False  # submitted with replicas:1
    unless: str = ""
    only_if: str = ""
    above: int = -1  # only_if holds where the fact's n is greater
    again_ms: int = 0  # looked at again, in place of a skip
    awaits: list[str] = []
    any: bool = False  # one of them is enough
    within_ms: int = 0  # of awaits or hold; 0: without an end
    then_runs: bool = False  # when that is over
    cancel_on: list[str] = []
    line: str = ""  # fifo key
    place: int = 0  # in the line
    unique: str = ""
    mode: str = ""
    digest: str = ""
    parents: list[str] = []
    on: str = "success"
    otherwise: str = "cancel"
    held: bool = False
    halt: str = ""  # key that is paused and resumed


class Line(Event, omit_defaults=True):
    """One line: an event of a history with both clocks, the wish of a submit, and what else there is to tell."""

    wall_us: int = 0  # CLOCK_REALTIME
    boot_us: int = 0  # CLOCK_BOOTTIME: it goes on while the machine sleeps
    wish: Wish | None = None
    more: dict[str, Any] = msgspec.field(default_factory=dict)


def line(op: str, **fields: Any) -> Line:
    """One line, now."""
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    return Line(time.monotonic(), op, wall_us=time.time_ns() // 1_000, boot_us=boot, **fields)


class Act:
    """A call of somebody: when it was sent first, when it was answered (NEVER: it was not, or the answer was taken
    away by a failover), and the answer."""

    __slots__ = ("answered", "more", "sent", "word")

    def __init__(self, sent: float, more: dict[str, Any]) -> None:
        self.sent, self.answered, self.word, self.more = sent, NEVER, "", more


class Run:
    """One claim and what became of it."""

    __slots__ = ("asked", "asked_at", "attempt", "claimed", "due", "ended", "expires", "items", "proc", "sent",
                 "settled", "starts", "token")  # fmt: skip

    def __init__(self, proc: str, token: str) -> None:
        self.proc, self.token = proc, token
        self.attempt, self.sent, self.claimed, self.due, self.expires = 0, 0.0, 0.0, 0.0, 0.0
        self.starts: list[float] = []  # of its handler
        self.ended = NEVER  # its handler came to its end
        self.items: list[str] = []  # tags of the payloads that it saw
        self.asked, self.asked_at = "", NEVER  # the outcome that its worker asked for, and when
        self.settled = ""  # the answer to that


class Told(msgspec.Struct):
    """A decision that Redis told of in its events stream."""

    at: float
    event: str
    more: dict[str, Any]


class Case:
    """All that is known of one task."""

    __slots__ = ("acked", "final", "finished", "id", "other", "reason", "runs", "sends", "sent", "stops", "told",
                 "wish", "word")  # fmt: skip

    def __init__(self, task_id: str) -> None:
        self.id = task_id
        self.wish: Wish | None = None  # None: a schedule or a rule made it
        self.sent, self.acked, self.sends, self.word, self.other = NEVER, NEVER, 0, "", ""
        self.runs: dict[str, Run] = {}
        self.told: list[Told] = []
        self.stops: list[Act] = []  # cancel, confirm, abandon
        self.final, self.reason, self.finished = "", "", 0.0

    @property
    def made(self) -> bool:
        """Whether it was acknowledged, as a task of its own or as a part of a digest."""
        return self.word in ("created", "existing", "merged")

    def ordered(self) -> list[Run]:
        """Its claims, in the order in which the server made them."""
        return sorted(self.runs.values(), key=lambda run: run.claimed)

    def first(self) -> Run | None:
        """Its first claim whose handler started."""
        return next((run for run in self.ordered() if run.starts), None)

    def reaped_after(self, run: Run) -> float:
        """When the lease of this claim was ended by the server; NEVER if it was not."""
        later = [other.claimed for other in self.ordered() if other.claimed > run.claimed]
        # a reap in the ms of this claim ended the one before it: no lease is that short
        ends = [
            told.at
            for told in self.told
            if (told.event == "reaped" and told.at > run.claimed)
            or (told.event in ("expired", "cancelled", "dead") and told.at >= run.claimed)
        ]
        at = min(ends, default=NEVER)
        return at if not later or at <= later[0] + 1 else NEVER

    def over(self) -> float:
        """When it ended at the earliest, by all that is known; NEVER if it did not."""
        if self.finished:
            return self.finished
        told = [told.at for told in self.told if told.event in ("expired", "cancelled", "skipped", "dead")]
        forgotten = self.wish is not None and 0 <= self.wish.retention_ms < FORGOTTEN_MS  # then a repeat answers lost
        asked = [
            run.asked_at for run in self.runs.values() if run.asked in ENDS and (run.settled != "lost" or forgotten)
        ]
        return min(told + asked, default=NEVER)


class Faults:
    """When what was hit, in ms."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        self._losses: list[tuple[float, float]] = []

    def add(self, begin: float, end: float, event: Event) -> None:
        """Note one."""
        self._of[event.id].append((begin, max(begin, end), event.word))
        if event.phase == "loss":
            self._losses.append((begin, max(begin, end)))

    def close(self) -> None:
        """Nothing more comes."""
        for found in self._of.values():
            found.sort()

    def during(self, proc: str, begin: float, end: float) -> str:
        """What hit this process, or everything, in that time; empty if nothing did."""
        for name in (proc, ""):
            for at, until, word in self._of.get(name, ()):
                if at <= end and until >= begin:
                    return word
        return ""

    def paused(self, proc: str, at: float) -> tuple[float, float] | None:
        """The last pause of a process that began before."""
        found = [(begin, end) for begin, end, word in self._of.get(proc, ()) if word == "pause" and begin < at]
        return found[-1] if found else None

    def taken(self, at: float) -> bool:
        """Whether a failover may have taken away what was answered then."""
        return any(begin - WINDOW_MS <= at <= end for begin, end in self._losses)


class World:
    """The whole ledger, read."""

    def __init__(self, folder: Path, *, lease_ms: int) -> None:
        self.lease_ms = lease_ms
        self.cases: dict[str, Case] = {}
        self.emits: dict[str, list[Act]] = defaultdict(list)  # by fact
        self.halts: dict[str, list[Act]] = defaultdict(list)  # by key: pause and resume
        self.schedules: dict[str, dict[str, str]] = {}  # their hashes at the end, and what else is known of them
        self.told_of: dict[str, list[Told]] = defaultdict(list)  # by schedule
        self.faults = Faults()
        self.struck: dict[str, int] = defaultdict(int)
        self.starts_of: dict[str, list[float]] = defaultdict(list)  # by process
        lines = sorted(read(folder), key=lambda one: one.at)
        self._offset = next(one.wall_us / 1_000 - one.at * 1_000 for one in lines if one.wall_us)
        for one in lines:
            if one.op in ("fault", "stall"):
                self._suffer(one)
        self.faults.close()
        acts: dict[str, Act] = {}
        for one in lines:
            self._note(one, self.ms(one.at), acts)
        for found in self.starts_of.values():
            found.sort()
        claims = [self.ms(one.at) for one in lines if one.op == "claim"]
        self.quiet_ms = self.ms(lines[-1].at) - max(claims, default=0.0)  # from the last claim to the last line

    def ms(self, at: float) -> float:
        """A monotonic time by the wall clock."""
        return at * 1_000 + self._offset

    def case(self, task_id: str) -> Case:
        """What is known of a task; empty where nothing is."""
        if task_id not in self.cases:
            self.cases[task_id] = Case(task_id)
        return self.cases[task_id]

    def _suffer(self, one: Line) -> None:
        if one.op == "stall":
            one.id, one.word = one.proc, "stall"
        else:
            self.struck[one.word] += 1
        self.faults.add(self.ms(one.at), self.ms(max(one.at, one.until)), one)

    def _note(self, one: Line, at: float, acts: dict[str, Act]) -> None:
        match one.op, one.phase:
            case "submit", "invoke":
                case = self.case(one.id)
                case.wish, case.sent = one.wish, min(case.sent, at)
            case "submit", "ok" | "fail":
                case = self.case(one.id)
                case.sends, case.word, case.other = one.attempt, one.word, one.token
                lasting = case.wish is not None and case.wish.lasting
                case.acked = at if lasting or not self.faults.taken(at) else NEVER
            case "claim", _:
                run = self._run(one)
                run.attempt, run.sent, run.claimed = one.attempt, self.ms(one.sent), float(one.server_ms)
                run.due, run.expires = float(one.due_ms), float(one.expires_ms)
            case "start", _:
                run = self._run(one)
                run.starts.append(one.wall_us / 1_000)
                run.items = one.more.get("tags", [])
                self.starts_of[one.proc].append(one.wall_us / 1_000)
            case "end", _:
                self._run(one).ended = at
            case "settle", "invoke":
                run = self._run(one)
                run.asked, run.asked_at = one.asked, min(run.asked_at, at)
            case "settle", "ok":
                run = self._run(one)
                run.settled = run.settled if one.word == "already" and run.settled else one.word
            case "told", _:
                told = Told(float(one.server_ms), one.word, one.more)
                if one.word.startswith(("slot_", "schedule_")):
                    self.told_of[one.id].append(told)
                elif one.id:
                    self.case(one.id).told.append(told)
            case "final", _:
                case = self.case(one.id)
                case.final, case.reason, case.finished = one.word, one.asked, float(one.server_ms)
            case "schedule", _:
                self.schedules[one.id] = one.more
            case (("emit" | "cancel" | "confirm" | "abandon" | "pause" | "resume"), "invoke"):
                acts[one.token] = act = Act(at, {"op": one.op, **one.more})
                if one.op == "emit":
                    self.emits[one.id].append(act)
                elif one.op in ("pause", "resume"):
                    self.halts[one.id].append(act)
                else:
                    self.case(one.id).stops.append(act)
            case _, "ok" if one.token in acts:
                acts[one.token].word = one.word
                acts[one.token].answered = NEVER if self.faults.taken(at) else at

    def _run(self, one: Line) -> Run:
        runs = self.case(one.id).runs
        if one.token not in runs:
            runs[one.token] = Run(one.proc, one.token)
        return runs[one.token]

    def first_after(self, proc: str, begin: float, at: float) -> bool:
        """Whether a start of a process is its first one after ``begin``."""
        found = self.starts_of[proc]
        return bisect_right(found, at - 0.001) == bisect_right(found, begin)


def read(folder: Path) -> Iterable[Line]:
    """Every line of a run; a last one that was cut short is left out."""
    decoder = msgspec.json.Decoder(Line)
    for path in sorted(folder.glob("*.jsonl")):
        with open(path, "rb") as file:
            for text in file:
                if text.endswith(b"\n"):
                    yield decoder.decode(text)
