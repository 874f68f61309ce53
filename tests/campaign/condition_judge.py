"""The judge of the campaign of conditions: each run of each task against what was promised, from the ledger alone.

LOST HUNG STUCK EARLY START-BY CANCELLED ASKED STALE DOUBLE AGAIN REAPED SPENT SLOW are judged here; conditions,
keys, digests, families and schedules in ``condition_rules``. If a process was stopped between its last look at a task
and the first line of its handler, the handler starts late through nobody's fault: one start of each pause may be so,
and is counted.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec

from tests.campaign.condition_ledger import AGAIN, ENDS, FORGOTTEN_MS, NEVER, Act, Case, Run, World

SLACK_MS = 10.0  # from the last look at a task to the first line of its handler, on a busy machine
QUIET_MS = 30_000.0  # nobody claimed anything for so long: what has not ended never will
CAUGHT_MS = 50.0  # after SIGCONT
HEARD_MS = 350.0  # beyond a beat of renewals, until a worker has heard of a cancel
BEAT_MS = 1_000.0
FINAL = frozenset(("completed", "cancelled", "expired", "skipped", "dead"))
LIVE = frozenset(("scheduled", "held", "ready", "running"))
FREE = frozenset(("digest", "unique"))  # kinds whose own due time may count for nothing
JUDGED = {  # columns of the table
    "lost": ("LOST", "HUNG", "STUCK", "DEAD", "SPENT", "ITEM", "UNHEARD", "RULE", "SLOT"),
    "early": ("EARLY", "ONLY-IF", "AWAITED", "HELD"),
    "past start-by": ("START-BY",),
    "after cancel": ("CANCELLED", "ASKED", "UNLESS", "DESPITE", "SKIPPED", "PAUSED"),
    "out of order": ("ORDER", "PARENT", "PARENTLESS"),
    "not unique": ("UNIQUE", "TWICE"),
    "without a lease's end": ("DOUBLE", "AGAIN", "REAPED", "STALE", "UNCLAIMED"),
    "slow after a crash": ("SLOW",),
    "other": ("DIGEST",),
}


class Violation(msgspec.Struct):
    """A promise that was not kept."""

    rule: str
    id: str
    story: str


class Verdict(msgspec.Struct, kw_only=True):
    """What a ledger proves."""

    tasks: int = 0  # acknowledged, or made by schedules and rules
    starts: int = 0
    again: int = 0  # claims beyond the first that the task's own outcome asked for
    extra: int = 0  # claims beyond the first that the end of a lease explains
    by_loss: int = 0  # tasks acknowledged in memory, and ends of claims, that a failover took
    caught: int = 0  # processes that were stopped between look and start
    kinds: dict[str, int] = {}
    ends: dict[str, int] = {}
    violations: list[Violation] = []

    def say(self, rule: str, task_id: str, story: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(rule, task_id, story))

    def counts(self) -> dict[str, int]:
        """Violations by rule."""
        return dict(Counter(found.rule for found in self.violations))


class RunJudge:
    """Judges the runs and the end of each task."""

    def __init__(self, world: World, verdict: Verdict) -> None:
        self.world, self.verdict = world, verdict
        self._caught: set[tuple[str, float]] = set()

    def judge(self) -> None:
        """All of them."""
        for case in self.world.cases.values():
            self.verdict.starts += sum(len(run.starts) for run in case.runs.values())
            if case.wish is not None:
                self.verdict.kinds[case.wish.kind] = self.verdict.kinds.get(case.wish.kind, 0) + 1
            if case.final:
                self.verdict.ends[case.final] = self.verdict.ends.get(case.final, 0) + 1
            for run in case.runs.values():
                for start in run.starts:
                    self._start(case, run, start)
                if len(run.starts) > 1:
                    self.verdict.say("DOUBLE", case.id, f"{run.token} started {len(run.starts)} times in {run.proc}")
            self._again(case)
            self._leases(case)
            self._end(case)

    def is_late(self, run: Run, start: float, limit: float) -> bool:
        """Whether a handler started after ``limit``, and not because its process was stopped in the last moment."""
        if start <= limit + SLACK_MS:
            return False
        pause = self.world.faults.paused(run.proc, start)
        if pause is None or limit < pause[0] - SLACK_MS or start - pause[1] > CAUGHT_MS:
            return True
        if not self.world.first_after(run.proc, pause[0], start):
            return True
        self._caught.add((run.proc, pause[0]))
        self.verdict.caught = len(self._caught)
        return False

    def _start(self, case: Case, run: Run, start: float) -> None:
        say, wish = self.verdict.say, case.wish
        if not run.claimed:
            say("UNCLAIMED", case.id, f"{run.token} started in {run.proc} and was never claimed")
            return
        least = max(run.due, (wish.due_ms or case.sent + wish.delay_ms) if wish and wish.kind not in FREE else 0.0)
        if start < least - 1.0 or run.claimed < run.due:
            say("EARLY", case.id, f"{least - start:.1f} ms early in {run.proc}, {self._kind(case)}")
        if run.expires and self.is_late(run, start, run.expires):
            say(
                "START-BY",
                case.id,
                f"{start - run.expires:.1f} ms past it in {run.proc}, {self._kind(case)}{self._pause(run, start)}",
            )
        later = (one.claimed for one in case.runs.values() if one.claimed > run.claimed)
        over = min(case.reaped_after(run), *later, NEVER)
        if over < NEVER and not self._taken(run) and self.is_late(run, start, over):
            say(
                "STALE",
                case.id,
                f"{run.token} {start - over:.1f} ms after its lease had ended in {run.proc}{self._pause(run, start)}",
            )
        for stop in case.stops:
            self._stopped(case, run, start, stop)

    def _stopped(self, case: Case, run: Run, start: float, stop: Act) -> None:
        if stop.word in ("cancelled", "abandoned") and self.is_late(run, start, stop.answered):
            self.verdict.say("CANCELLED", case.id, f"{start - stop.answered:.1f} ms after {stop.word} in {run.proc}")
        elif stop.word == "requested":
            self.heard_late(case, run, start, stop.answered)

    def heard_late(self, case: Case, run: Run, start: float, asked: float) -> None:
        """A handler that started although the worker must have heard by then that its task is to stop."""
        bound = min(BEAT_MS, self.world.lease_ms / 3) + HEARD_MS
        if start > asked + bound and not self.world.faults.during(run.proc, asked, start):
            self.verdict.say("ASKED", case.id, f"{start - asked:.1f} ms after it was asked to stop, in {run.proc}")

    def _again(self, case: Case) -> None:
        for this, following in pairwise(case.ordered()):
            between = [told for told in case.told if this.claimed <= told.at <= following.claimed]
            repeated = case.wish is not None and 0 <= case.wish.retention_ms < FORGOTTEN_MS and case.sends > 1
            ended = this.asked in ENDS and this.settled not in ("lost", "")
            if self._taken(this) or (this.asked_at < NEVER and self.world.faults.taken(this.asked_at)):
                self.verdict.by_loss += 1
            elif this.asked in AGAIN and not ended:
                self.verdict.again += 1
            elif repeated:
                self.verdict.again += 1  # its id was forgotten, and a submit without an answer was sent again
            elif ended:
                self.verdict.say("AGAIN", case.id, f"{following.token} after {this.token} was {this.settled}")
            elif any(told.event == "reaped" for told in between):
                self.verdict.extra += 1
            else:
                hit = self.world.faults.during(this.proc, this.sent, following.claimed)
                if hit and following.claimed >= this.claimed + self.world.lease_ms:
                    self.verdict.extra += 1  # what Redis tells may be lost
                else:
                    story = f"{this.token} in {this.proc} ({this.asked or 'no end'}) and {following.token} in"
                    story += f" {following.proc} {following.claimed - this.claimed:.0f} ms later, no lease ended"
                    self.verdict.say("DOUBLE", case.id, story)

    def _leases(self, case: Case) -> None:
        reaps = [told for told in case.told if told.event == "reaped"]
        for told in reaps:
            # one of the same ms follows the reap, which ended an earlier one: it may be nobody's whom we know
            claims = [run for run in case.runs.values() if run.claimed < told.at]
            last = max(claims, key=lambda run: run.claimed, default=None)
            # a claim that was repeated tells the time of the repeat, and its lease is that of the first
            if last is not None and told.at < last.sent + self.world.lease_ms - 2 and not self._taken(last):
                self.verdict.say("REAPED", case.id, f"{told.at - last.sent:.0f} ms after its claim was sent")
        if reaps and int(reaps[0].more.get("due", 0)) > reaps[0].at + 100:
            wait = int(reaps[0].more["due"]) - reaps[0].at
            self.verdict.say("SLOW", case.id, f"a crash, and then {wait:.0f} ms until it is due again")
        started = [run for run in case.runs.values() if run.starts]
        if case.final == "dead" and case.reason in ("lease", "attempts") and not started and len(reaps) < 2:
            self.verdict.say("SPENT", case.id, f"dead ({case.reason}), {len(case.runs)} claims, no handler started")

    def _end(self, case: Case) -> None:
        wish = case.wish
        if (case.made and case.acked < NEVER) or (wish is None and case.runs):
            self.verdict.tasks += 1
        elif case.made:
            self.verdict.by_loss += case.final == "missing"
            return
        else:
            return
        if case.final == "missing":
            if case.over() == NEVER:
                self.verdict.say(
                    "LOST",
                    case.id,
                    f"acknowledged ({case.word}), {len(case.runs)} claims, now missing; {self._kind(case)}",
                )
        elif case.final not in FINAL:
            what = f"{case.word}, now {case.final or 'unknown'} {case.reason}"
            stays = "HUNG" if self.world.quiet_ms > QUIET_MS else "STUCK"  # or the machine is only too busy
            self.verdict.say(stays if case.final in LIVE else "LOST", case.id, f"{what}; {self._kind(case)}")
        elif case.final == "completed" and not any(run.starts for run in case.runs.values()):
            self.verdict.say("LOST", case.id, "completed, and no handler ever started")
        elif case.final == "dead" and case.reason != "rejected" and (wish is None or wish.attempts > 1):
            self.verdict.say("DEAD", case.id, f"dead ({case.reason}) though it had a thousand attempts")

    def _taken(self, run: Run) -> bool:
        return self.world.faults.taken(run.claimed)

    def _kind(self, case: Case) -> str:
        return case.wish.kind if case.wish else "made by a schedule or a rule"

    def _pause(self, run: Run, start: float) -> str:
        pause = self.world.faults.paused(run.proc, start)
        if pause is None:
            return ""
        return f"; stopped from {start - pause[0]:.0f} to {start - pause[1]:.0f} ms before"
