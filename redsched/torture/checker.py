"""One checker for every history: what was promised, read off the records of those who were there.

LOST GHOST EARLY DOUBLE-ACK CANCEL EXPIRED UNEXPLAINED are violations. An execution too many is explained where its
earlier attempt was hit by a recorded fault or pause, or was answered with a retry. What a fault that may lose took away
is excused only where its answer came while that fault lasted, or within the window of loss before it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from redsched.torture.history import Event

ENDED = frozenset(("completed", "dead", "cancelled", "expired"))
AGAIN = frozenset(("retry", "snooze", "return"))  # outcomes that ask for another run
FINAL = frozenset(("completed", "cancelled", "expired", "skipped", "dead"))
RECOVERY_SLACK_MS = 500
CLOCK_BACK, CLOCK_FORWARD = "clock back", "clock forward"
Say = Callable[[str, str], None]


class Violation(NamedTuple):
    """A promise that was not kept."""

    rule: str
    id: str
    story: str


class Report(msgspec.Struct, kw_only=True):
    """What a history proves."""

    submitted: int = 0  # acknowledged
    unknown: int = 0  # submits that never had an answer
    executions: int = 0
    faults: dict[str, int] = {}
    again: int = 0  # executions beyond the first that the task's own outcome asked for
    extra: int = 0  # executions beyond the first that a fault explains
    lost_to_loss: int = 0  # acknowledged submits that a fault known to lose took away
    lost_by_durability: dict[str, int] = {}  # the same, by the durability that was asked for
    loss_window_s: float = 0.0  # the longest before such a fault that one of them was acknowledged
    recovery_ms: list[float] = []  # SIGKILL of a worker until the server started its task again
    recoveries_left_out: int = 0  # a second fault, or a machine that stood still, shares their time
    lease_ms: int = 0
    late_ms: list[float] = []  # first starts after their due time
    violations: list[Violation] = []

    @property
    def recovered_in_time(self) -> bool:
        """Whether p99 of the recoveries is at most the lease and half a second."""
        return quantile(self.recovery_ms, 0.99) <= self.lease_ms + RECOVERY_SLACK_MS

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations and self.recovered_in_time

    def count(self, rule: str) -> int:
        """Violations of one rule."""
        return sum(violation.rule == rule for violation in self.violations)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which so much of them lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class _Task:
    """What the records say of one task."""

    __slots__ = (
        "acked",
        "asked",
        "cancelled",
        "claims",
        "due_ms",
        "final",
        "invoked",
        "invoked_at",
        "settled",
        "starts",
    )

    def __init__(self) -> None:
        self.invoked = False
        self.invoked_at = 0.0
        self.acked: Event | None = None
        self.due_ms = 0
        self.starts: list[Event] = []
        self.claims: list[Event] = []
        self.asked: dict[str, str] = {}  # by token: the outcome that its worker asked for
        self.settled: dict[str, Event] = {}  # by token: the definite answer
        self.cancelled: Event | None = None
        self.final: Event | None = None


class _Faults:
    """Which faults hit which process or server, and when."""

    def __init__(self, events: Iterable[Event], loss_window_s: float) -> None:
        self.all = sorted(events, key=lambda event: event.at)
        self._of: dict[str, list[Event]] = defaultdict(list)
        for event in self.all:
            self._of[event.id].append(event)
        self._losses = [event for event in self._of.get("", ()) if event.phase == "loss"]
        self._window = loss_window_s

    def during(self, proc: str, begin: float, end: float) -> Event | None:
        """A fault of this process, of all of its role, or of everything, that overlaps the time."""
        role = proc.rpartition("-")[0]
        return self._find(proc, begin, end) or (role and self._find(role, begin, end)) or self._find("", begin, end)

    def of_all(self, begin: float, end: float) -> Event | None:
        """A fault of everything that overlaps the time."""
        return self._find("", begin, end)

    def taking(self, answer: Event, before: float = float("inf")) -> Event | None:
        """A fault that may have taken away what this answer acknowledged, and that began ``before``."""
        for event in self._losses:
            ends = max(event.at, event.until)
            if (answer.sent or answer.at) <= ends and answer.at >= event.at - self._window and event.at <= before:
                return event
        return None

    def of_workers(self, begin: float, end: float) -> bool:
        """Whether another worker was hit while the task was ready again: it may have had it in its hands."""
        return any(
            event.id.startswith("worker") and event.at < end and max(event.at, event.until) > begin
            for event in self.all
        )

    def paused(self, stall: Event) -> bool:
        """Whether the process stood still because it had been paused or killed, and not by itself."""
        return any(
            event.word == "pause" and event.at < stall.until and event.until > stall.at
            for event in self._of.get(stall.id, ())
        )

    def stepped_back_ms(self, begin: float, end: float) -> int:
        """How far behind its furthest the server's clock fell meanwhile: what was due before may seem not to be."""
        ahead = furthest = behind = 0
        for event in self._of.get("", ()):
            if begin < event.at < end and event.word in (CLOCK_BACK, CLOCK_FORWARD):
                ahead += event.server_ms if event.word == CLOCK_FORWARD else -event.server_ms
                furthest, behind = max(furthest, ahead), max(behind, furthest - ahead)
        return behind

    def _find(self, proc: str, begin: float, end: float) -> Event | None:
        for event in self._of.get(proc, ()):
            if event.at > end:
                break
            if max(event.at, event.until) >= begin:
                return event
        return None


def check(
    events: Iterable[Event],
    *,
    lease_ms: int,
    drained: bool = True,
    loss_window_s: float = float("inf"),
    lasting: str = "",
) -> Report:
    """Judge a whole history. ``drained``: the run waited until nothing was left to do, and asked for final states.

    A fault that may lose takes at most what was answered ``loss_window_s`` before it or while it lasted, and nothing
    that was submitted with the durability ``lasting``.
    """
    tasks: defaultdict[str, _Task] = defaultdict(_Task)
    suffered: list[Event] = []
    for event in sorted(events, key=lambda event: event.at):
        if event.op in ("fault", "stall"):
            if event.op == "stall":
                event.id, event.word = event.proc, "stall"
            suffered.append(event)
        elif event.id:
            _note(tasks[event.id], event)
    faults = _Faults(suffered, loss_window_s)
    report = Report(lease_ms=lease_ms, faults=dict(Counter(event.word for event in suffered if event.op == "fault")))
    offsets = [claim.server_ms - claim.at * 1_000 for task in tasks.values() for claim in task.claims]
    offset = quantile(offsets, 0.5)
    for task_id, task in tasks.items():
        _judge(report, task_id, task, faults, drained, lasting)
    report.recovery_ms, report.recoveries_left_out = _recoveries(tasks, faults, offset)
    return report


def _note(task: _Task, event: Event) -> None:
    match event.op, event.phase:
        case "submit", "invoke":
            task.invoked, task.invoked_at = True, task.invoked_at or event.at
            task.due_ms = max(task.due_ms, event.due_ms)
        case "submit", "ok":
            task.acked = event
        case "cancel", "ok" if event.word == "cancelled":
            task.cancelled = task.cancelled or event
        case "reschedule", "invoke":
            task.due_ms = 0  # from here on the server's own due time is what counts
        case "claim", _:
            task.claims.append(event)
        case "start", _:
            task.starts.append(event)
        case "settle", "invoke":
            task.asked[event.token] = event.asked
        case "settle", "ok" if event.word != "already" or event.token not in task.settled:
            before = task.settled.get(event.token)
            if before is not None and before.word in ENDED and event.word in ENDED:
                event.phase = "twice"
            task.settled[event.token] = event
        case "final", _:
            task.final = event


def _judge(report: Report, task_id: str, task: _Task, faults: _Faults, drained: bool, lasting: str) -> None:
    def violation(rule: str, story: str) -> None:
        report.violations.append(Violation(rule, task_id, story))

    report.executions += len(task.starts)
    if task.acked is not None:
        report.submitted += 1
    elif task.invoked:
        report.unknown += 1
    if task.starts and not task.invoked:
        violation("GHOST", f"started by {task.starts[0].proc} and submitted by nobody")
    _judge_starts(report, task, faults, violation)
    _judge_claims(report, task, faults, violation)
    ends = [settled for settled in task.settled.values() if settled.word in ENDED]
    doubled = len(ends) > 1 or any(settled.phase == "twice" for settled in ends)
    if doubled and not faults.taking(ends[0], ends[-1].at):
        violation("DOUBLE-ACK", " and ".join(f"{end.token} {end.word} for {end.proc}" for end in ends))
    if drained and task.acked is not None:
        _judge_end(report, task, task.acked, faults, lasting, violation)


def _judge_end(report: Report, task: _Task, acked: Event, faults: _Faults, lasting: str, violation: Say) -> None:
    state = task.final.word if task.final is not None else "never asked for"
    if state in FINAL and (task.starts or state != "completed"):
        if state == "dead":
            violation("DEAD", "every attempt was spent, and there were enough of them")
        return
    if state == "missing" and any(settled.word in ENDED for settled in task.settled.values()):
        return  # finished, and later taken away by a loss or by its retention
    fault, asked = faults.taking(acked), acked.asked or "memory"
    if fault is not None and state == "missing" and asked != lasting:
        report.lost_to_loss += 1
        report.lost_by_durability[asked] = report.lost_by_durability.get(asked, 0) + 1
        report.loss_window_s = max(report.loss_window_s, fault.at - acked.at)
    else:
        violation("LOST", f"acknowledged ({asked}) to {acked.proc}, now {state}, started {len(task.starts)} times")


def _judge_claims(report: Report, task: _Task, faults: _Faults, violation: Say) -> None:
    for claim in task.claims:
        early = max(task.due_ms, claim.due_ms) - claim.server_ms
        if early > 0 and early > faults.stepped_back_ms(task.invoked_at, claim.at):
            violation("EARLY", f"{early} ms early, attempt {claim.attempt} by {claim.proc}")
        if claim.expires_ms and claim.server_ms >= claim.expires_ms:
            violation("EXPIRED", f"started {claim.server_ms - claim.expires_ms} ms past its start-by by {claim.proc}")
        if (
            task.cancelled is not None
            and claim.sent > task.cancelled.at
            and not faults.taking(task.cancelled, claim.at)
        ):
            violation("CANCEL", f"started by {claim.proc} after {task.cancelled.proc} was told that it is cancelled")
    if task.claims and task.claims[0].attempt == 1:
        report.late_ms.append(task.claims[0].server_ms - task.claims[0].due_ms)


def _judge_starts(report: Report, task: _Task, faults: _Faults, violation: Say) -> None:
    starts = sorted(task.starts, key=lambda start: (start.attempt, start.at))
    sent: dict[str, float] = {}  # when the call left that claimed: its lease may be as old as that
    for claim in task.claims:
        sent[claim.token] = min(claim.sent, sent.get(claim.token, claim.sent))
    for this, following in pairwise(starts):
        settled = task.settled.get(this.token)
        begin = sent.get(this.token, this.at)
        if this.token == following.token:
            violation("UNEXPLAINED", f"attempt {this.attempt} ran twice in {this.proc} and {following.proc}")
        elif task.asked.get(this.token) in AGAIN and (settled is None or settled.word not in ENDED):
            report.again += 1  # "already", "lost" or no answer too: the first answer to the settle was lost on its way
        elif settled is not None and settled.word in ENDED:
            if faults.taking(settled, following.at):
                report.extra += 1
            else:
                violation("UNEXPLAINED", f"ran again as {following.token} after {settled.token} was {settled.word}")
        elif faults.during(this.proc, begin, max(this.at, following.at)):
            report.extra += 1
        else:
            answer = settled.word if settled is not None else "no answer"
            violation(
                "UNEXPLAINED",
                f"{this.token} by {this.proc} ({answer}) and {following.token} by {following.proc}"
                f" {following.at - this.at:.3f} s later, and no fault between",
            )


def _recoveries(tasks: dict[str, _Task], faults: _Faults, offset: float) -> tuple[list[float], int]:
    """For each task that a SIGKILL took from its worker: how long until the server started it again. Left out, and
    counted, where two faults share the time: one of everything, a claim that nobody could record, or a machine that
    did not run a process which nobody had paused."""
    kills = {event.id: event.at for event in faults.all if event.word == "kill"}
    standing = [event for event in faults.all if event.word == "stall" and not faults.paused(event)]
    found: list[float] = []
    left_out = 0
    if any(event.word in (CLOCK_BACK, CLOCK_FORWARD) for event in faults.all):
        return found, 0  # the server's clock cannot tell how long anything took
    for task in tasks.values():
        claims = sorted(task.claims, key=lambda claim: (claim.attempt, claim.server_ms))
        for at, claim in enumerate(claims, 1):
            killed = kills.get(claim.proc)
            if killed is None or claim.token in task.settled:
                continue
            if at == len(claims):
                continue
            took = claims[at].server_ms - offset - killed * 1_000
            end = killed + took / 1_000
            if took < 0:
                continue
            if (
                claims[at].attempt != claim.attempt + 1  # also where no handler had begun
                or faults.of_all(killed, end)
                or any(event.at < end and event.until > killed for event in standing)
                or faults.of_workers((claims[at].due_ms - offset) / 1_000, end)
            ):
                left_out += 1
            else:
                found.append(took)
    return found, left_out
